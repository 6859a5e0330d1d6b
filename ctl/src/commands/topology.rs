//! `prunella topology`.

use std::process::ExitCode;

use clap::Args;
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::show;
use crate::Common;
use crate::client::{Client, Connection, run};
use crate::names::short;
use crate::output::{self, Paint, Rows, Time, Tone};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet topology                  what is amiss in what needs what
  prunella --dir ./fleet topology --edges          and every edge

deadlock: targets wait for each other; the cheapest is ended. bottleneck: a saturated target explains those that need it.
cycle: targets need each other; the weakest edge is softened: nothing waits for proof along it, and blame follows it only
to what is dead. missing: a need that nothing in the fleet meets. redundant: an edge whose end is needed anyway.
JSON: {time, targets, edges_total, softened_total, redundant_total, findings: [{kind, category, targets, summary, repair,
  undo, incident, since}], edges: [{from, to, kind, softened, redundant, what}]}. Edges are null unless asked for."
);

/// Arguments of `prunella topology`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct TopologyArgs {
    /// Show every edge.
    #[arg(long)]
    edges: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct View {
    time: Time,
    targets: u32,
    edges_total: u32,
    softened_total: u32,
    redundant_total: u32,
    findings: Vec<FindingView>,
    edges: Option<Vec<EdgeView>>,
}

#[derive(Debug, Serialize)]
struct FindingView {
    kind: &'static str,
    category: String,
    targets: Vec<String>,
    summary: String,
    repair: Option<String>,
    undo: Option<String>,
    incident: Option<String>,
    since: Time,
}

#[derive(Debug, Serialize)]
struct EdgeView {
    from: String,
    to: String,
    kind: &'static str,
    softened: bool,
    redundant: bool,
    what: Option<String>,
}

impl TopologyArgs {
    /// Shows the topology.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let client = Client::connect(common, &self.connection).await?;
            let request = pb::GetTopologyRequest { edges: self.edges };
            let view = View::of(client.fleet().get_topology(request).await?.into_inner(), self.edges);
            show(common, &view, |paint| table(&view, paint))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

const fn finding_kind(kind: pb::topology_finding::Kind) -> &'static str {
    use pb::topology_finding::Kind;
    match kind {
        Kind::Unspecified => "unspecified",
        Kind::Deadlock => "deadlock",
        Kind::Bottleneck => "bottleneck",
        Kind::Cycle => "cycle",
        Kind::Missing => "missing",
        Kind::Redundant => "redundant",
    }
}

const fn edge_kind(kind: pb::topology_edge::Kind) -> &'static str {
    use pb::topology_edge::Kind;
    match kind {
        Kind::Unspecified => "unspecified",
        Kind::Needs => "needs",
        Kind::NeedsOneOf => "needs_one_of",
        Kind::WaitsFor => "waits_for",
    }
}

impl View {
    fn of(it: pb::Topology, edges: bool) -> Self {
        let finding = |it: pb::TopologyFinding| FindingView {
            kind: finding_kind(it.kind()),
            category: it.category,
            targets: it.targets.iter().map(|name| short(name)).collect(),
            summary: it.summary,
            repair: it.repair,
            undo: it.undo,
            incident: it.incident.as_deref().map(short),
            since: it.since_time.into(),
        };
        let edge = |it: pb::TopologyEdge| EdgeView {
            kind: edge_kind(it.kind()),
            from: short(&it.from),
            to: short(&it.to),
            softened: it.softened,
            redundant: it.redundant,
            what: it.what,
        };
        Self {
            time: it.time.into(),
            targets: it.targets,
            edges_total: it.edges_total,
            softened_total: it.softened_total,
            redundant_total: it.redundant_total,
            findings: it.findings.into_iter().map(finding).collect(),
            edges: edges.then(|| it.edges.into_iter().map(edge).collect()),
        }
    }
}

fn table(view: &View, paint: Paint) -> String {
    let mut text = format!(
        "{} targets, {} edges: {} softened, {} redundant\n",
        view.targets, view.edges_total, view.softened_total, view.redundant_total
    );
    if view.findings.is_empty() {
        text.push_str("Nothing is amiss.\n");
    } else {
        let mut rows = Rows::new(&["FINDING", "INCIDENT", "WHAT", "DONE", "UNDO"]);
        for it in &view.findings {
            let tone = match it.kind {
                "deadlock" | "bottleneck" => Tone::Bad,
                "cycle" | "missing" => Tone::Warning,
                _ => Tone::Plain,
            };
            let row = [
                it.kind.to_owned(),
                output::optional(it.incident.as_deref()),
                it.summary.clone(),
                output::optional(it.repair.as_deref()),
                output::optional(it.undo.as_deref()),
            ];
            rows.push(tone, row);
        }
        text = format!("{text}\n{}", rows.print(paint));
    }
    if let Some(edges) = &view.edges {
        let mut rows = Rows::new(&["FROM", "KIND", "TO", "NOTE"]);
        for it in edges {
            let notes = [it.softened.then_some("softened"), it.redundant.then_some("redundant"), it.what.as_deref()];
            let notes: Vec<&str> = notes.into_iter().flatten().collect();
            let note = if notes.is_empty() { output::optional(None) } else { notes.join(", ") };
            let tone = if it.softened { Tone::Warning } else { Tone::Plain };
            rows.push(tone, [it.from.clone(), it.kind.to_owned(), it.to.clone(), note]);
        }
        text = format!("{text}\n{}", rows.print(paint));
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn findings_say_what_was_done_and_how_it_is_undone() {
        let cycle = pb::TopologyFinding {
            kind: pb::topology_finding::Kind::Cycle.into(),
            category: "STRUCTURAL".to_owned(),
            targets: vec!["hosts/h1/targets/a".to_owned(), "hosts/h1/targets/b".to_owned()],
            summary: "h1/a, h1/b need each other".to_owned(),
            repair: Some("softened, as the weakest: hosts/h1/targets/a -> hosts/h1/targets/b".to_owned()),
            undo: Some("policy: [topology] keep = [\"hosts/h1/targets/a -> hosts/h1/targets/b\"]".to_owned()),
            ..pb::TopologyFinding::default()
        };
        let edge = pb::TopologyEdge {
            from: "hosts/h1/targets/a".to_owned(),
            to: "hosts/h1/targets/b".to_owned(),
            kind: pb::topology_edge::Kind::Needs.into(),
            softened: true,
            ..pb::TopologyEdge::default()
        };
        let topology = pb::Topology {
            targets: 2,
            edges_total: 2,
            softened_total: 1,
            findings: vec![cycle],
            edges: vec![edge],
            ..pb::Topology::default()
        };
        let view = View::of(topology, true);
        expect![[r#"
            2 targets, 2 edges: 1 softened, 0 redundant

            FINDING  INCIDENT  WHAT                        DONE                                                                UNDO
            cycle    —         h1/a, h1/b need each other  softened, as the weakest: hosts/h1/targets/a -> hosts/h1/targets/b  policy: [topology] keep = ["hosts/h1/targets/a -> hosts/h1/targets/b"]

            FROM  KIND   TO    NOTE
            h1/a  needs  h1/b  softened
        "#]]
        .assert_eq(&table(&view, Paint(false)));
        assert!(View::of(pb::Topology::default(), false).edges.is_none(), "what was not asked for is null");
    }
}

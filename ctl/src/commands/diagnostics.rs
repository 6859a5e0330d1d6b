//! `prunella diagnostics`.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::{now, pages, show};
use crate::client::{Client, Connection, Failure, run};
use crate::names::{self, short};
use crate::output::{self, Paint, Rows, Time, Tone, clean};
use crate::{Common, EXIT_FAILURE};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet diagnostics run
  prunella --dir ./fleet diagnostics list
  prunella --dir ./fleet diagnostics show latest"
);

const RUN_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet diagnostics run               every probe of every host looks now
  prunella --dir ./fleet diagnostics run groups/db
  prunella --dir ./fleet diagnostics run web-1 -o json

JSON: as `prunella diagnostics show -o json`. Exit code 1 when anything is not ok."
);

const LIST_HELP: &str = help!(
    "\
Example:
  prunella --dir ./fleet diagnostics list

JSON: {\"diagnostics\": [{id, scope, by, start, end, hosts, hosts_done, ok, broken, unknown, unreachable, layers}]}."
);

const SHOW_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet diagnostics show latest
  prunella --dir ./fleet diagnostics show 6740e3a0-17 -o json

JSON: {id, scope, by, start, end, hosts, hosts_done, ok, broken, unknown, unreachable, layers: [{layer, found, text}],
  targets: [{target, found, probes: [{probe, found, age_seconds, why}]}], omitted}. What is not known is null."
);

/// How often a sweep that runs is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Arguments of `prunella diagnostics`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct DiagnosticsArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Have every probe look now, and wait for what they find.
    Run(RunArgs),
    /// Sweeps that run and the latest that have ended, newest first.
    List(ListArgs),
    /// What one sweep found.
    Show(ShowArgs),
}

#[derive(Debug, Args)]
#[command(after_help = RUN_HELP)]
struct RunArgs {
    /// What: the fleet, groups/G or a host.
    #[arg(value_name = "SCOPE", default_value = "fleet", value_parser = names::scope)]
    scope: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = LIST_HELP)]
struct ListArgs {
    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = SHOW_HELP)]
struct ShowArgs {
    /// The sweep: 6740e3a0-17, or latest.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct SweepView {
    id: String,
    scope: String,
    by: Option<String>,
    start: Time,
    end: Time,
    hosts: u32,
    hosts_done: u32,
    ok: Option<u32>,
    broken: Option<u32>,
    unknown: Option<u32>,
    unreachable: Option<u32>,
    layers: Vec<LayerView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    targets: Option<Vec<TargetView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    omitted: Option<u32>,
}

#[derive(Debug, Serialize)]
struct LayerView {
    layer: String,
    found: String,
    text: String,
}

#[derive(Debug, Serialize)]
struct TargetView {
    target: String,
    found: String,
    probes: Vec<ProbeView>,
}

#[derive(Debug, Serialize)]
struct ProbeView {
    probe: String,
    found: String,
    age_seconds: Option<f64>,
    why: String,
}

#[derive(Debug, Serialize)]
struct ListView {
    diagnostics: Vec<SweepView>,
}

impl DiagnosticsArgs {
    /// Runs, lists or shows sweeps.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            match self.verb {
                Verb::Run(args) => args.ask(common).await,
                Verb::List(args) => args.list(common).await,
                Verb::Show(args) => args.show(common).await,
            }
        })
    }
}

impl RunArgs {
    async fn ask(self, common: &Common) -> Result<ExitCode, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let request = pb::RunDiagnosticsRequest { scope: self.scope };
        let begun = client.diagnostics().run_diagnostics(request).await?.into_inner();
        loop {
            // The server ends each sweep when its hosts have had their time.
            let found = get(&client, &begun.name).await?;
            if found.end_time.is_some() {
                let view = SweepView::whole(found);
                show(common, &view, |paint| note(&view, now(), paint))?;
                return Ok(view.exit_code());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl ListArgs {
    async fn list(self, common: &Common) -> Result<ExitCode, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let diagnostics = all(&client, self.limit).await?.into_iter().map(SweepView::brief).collect();
        let view = ListView { diagnostics };
        show(common, &view, |paint| table(&view, now(), paint))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl ShowArgs {
    async fn show(self, common: &Common) -> Result<ExitCode, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let name = match self.id.as_str() {
            "latest" => {
                let all = all(&client, 1_000).await?;
                let ended = all.into_iter().find(|it| it.end_time.is_some());
                ended.ok_or_else(|| Failure::NotFound("no sweep has ended yet".to_owned()))?.name
            }
            id => format!("diagnostics/{id}"),
        };
        let view = SweepView::whole(get(&client, &name).await?);
        show(common, &view, |paint| note(&view, now(), paint))?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn get(client: &Client, name: &str) -> Result<pb::Diagnostics, Failure> {
    let request = pb::GetDiagnosticsRequest { name: name.to_owned() };
    Ok(client.diagnostics().get_diagnostics(request).await?.into_inner())
}

async fn all(client: &Client, limit: usize) -> Result<Vec<pb::Diagnostics>, Failure> {
    pages::all(limit, |page_token| {
        let mut service = client.diagnostics();
        async move {
            let request = pb::ListDiagnosticsRequest { page_size: pages::PAGE, page_token };
            let page = service.list_diagnostics(request).await?.into_inner();
            Ok((page.diagnostics, page.next_page_token))
        }
    })
    .await
}

impl SweepView {
    fn brief(it: pb::Diagnostics) -> Self {
        Self { targets: None, omitted: None, ..Self::whole(it) }
    }

    fn whole(it: pb::Diagnostics) -> Self {
        let probe = |it: pb::ProbeDiagnostic| ProbeView {
            probe: it.probe,
            found: it.found,
            age_seconds: it.age.and_then(|age| Duration::try_from(age).ok()).map(|age| age.as_secs_f64()),
            why: it.why,
        };
        let target = |it: pb::TargetDiagnostic| TargetView {
            target: short(&it.target),
            found: it.found,
            probes: it.probes.into_iter().map(probe).collect(),
        };
        let layer = |it: pb::LayerDiagnostic| LayerView { layer: it.layer, found: it.found, text: it.text };
        Self {
            id: it.name.strip_prefix("diagnostics/").unwrap_or(&it.name).to_owned(),
            scope: it.scope,
            by: it.by,
            start: it.start_time.into(),
            end: it.end_time.into(),
            hosts: it.hosts,
            hosts_done: it.hosts_done,
            ok: it.targets.map(|it| it.ok),
            broken: it.targets.map(|it| it.broken),
            unknown: it.targets.map(|it| it.unknown),
            unreachable: it.targets.map(|it| it.unreachable),
            layers: it.layers.into_iter().map(layer).collect(),
            targets: Some(it.found.into_iter().map(target).collect()),
            omitted: Some(it.omitted),
        }
    }

    fn exit_code(&self) -> ExitCode {
        let bad = [self.broken, self.unknown, self.unreachable].into_iter().flatten().any(|count| count > 0);
        let own = self.layers.iter().any(|it| it.found != "ok");
        if bad || own { ExitCode::from(EXIT_FAILURE) } else { ExitCode::SUCCESS }
    }
}

fn tone(found: &str) -> Tone {
    match found {
        "ok" => Tone::Plain,
        "broken" => Tone::Bad,
        _ => Tone::Warning,
    }
}

fn count(it: Option<u32>) -> String {
    output::optional(it.map(|it| it.to_string()).as_deref())
}

fn table(view: &ListView, now: Time, paint: Paint) -> String {
    if view.diagnostics.is_empty() {
        return "No sweep yet. The first is due when the policy says so; prunella diagnostics run makes one now.\n"
            .to_owned();
    }
    let mut rows =
        Rows::new(&["ID", "BEGUN", "SCOPE", "BY", "HOSTS", "OK", "BROKEN", "UNKNOWN", "UNREACHABLE", "NOT OK ITSELF"]);
    for it in &view.diagnostics {
        let own: Vec<&str> = it.layers.iter().filter(|it| it.found != "ok").map(|it| it.layer.as_str()).collect();
        let worst = if it.broken.is_some_and(|count| count > 0) { Tone::Bad } else { Tone::Plain };
        rows.push(
            worst,
            [
                it.id.clone(),
                it.start.relative(now),
                it.scope.clone(),
                it.by.clone().unwrap_or_else(|| "due".to_owned()),
                if it.end.0.is_some() { it.hosts.to_string() } else { format!("{} of {}", it.hosts_done, it.hosts) },
                count(it.ok),
                count(it.broken),
                count(it.unknown),
                count(it.unreachable),
                output::optional(Some(own.join(", ").as_str()).filter(|it| !it.is_empty())),
            ],
        );
    }
    rows.print(paint)
}

fn note(it: &SweepView, now: Time, paint: Paint) -> String {
    let by = it.by.clone().unwrap_or_else(|| "the policy".to_owned());
    let took =
        it.end.since(it.start).map_or_else(|| "still running".to_owned(), |it| format!("took {}", output::span(it)));
    let hosts = output::count(u64::from(it.hosts), "host", "hosts");
    let mut text = format!(
        "{}  {}, {hosts}, for {}, {}, {took}\n",
        clean(&it.id),
        clean(&it.scope),
        clean(&by),
        it.start.relative(now)
    );
    if it.end.0.is_none() {
        return text + &format!("{} of {hosts} have answered\n", it.hosts_done);
    }
    text += &format!(
        "{} ok, {} broken, {} unknown, {} unreachable\n\n",
        count(it.ok),
        count(it.broken),
        count(it.unknown),
        count(it.unreachable)
    );
    let mut rows = Rows::new(&["THE CONTROL PLANE", "FOUND", "BECAUSE"]);
    for layer in &it.layers {
        rows.push(tone(&layer.found), [layer.layer.clone(), layer.found.clone(), layer.text.clone()]);
    }
    text += &rows.print(paint);
    let mut rows = Rows::new(&["TARGET", "FOUND", "PROBE", "FOUND", "AGE", "BECAUSE"]);
    for target in it.targets.iter().flatten() {
        for (place, probe) in target.probes.iter().enumerate() {
            let (name, found) =
                if place == 0 { (target.target.clone(), target.found.clone()) } else { (String::new(), String::new()) };
            let age = probe.age_seconds.map(|it| output::span(Duration::from_secs_f64(it.max(0.0))));
            let why = output::optional(Some(probe.why.as_str()).filter(|it| !it.is_empty()));
            let age = output::optional(age.as_deref());
            rows.push(tone(&probe.found), [name, found, probe.probe.clone(), probe.found.clone(), age, why]);
        }
    }
    if !rows.is_empty() {
        text += "\n";
        text += &rows.print(paint);
    }
    match it.omitted {
        Some(more) if more > 0 => text + &format!("… and {more} more targets, none of them worse\n"),
        Some(_) | None => text,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::sample;
    use super::*;

    #[test]
    fn a_sweep_is_read_from_the_worst_on() {
        let view = SweepView::whole(sample::diagnostics());
        expect![[r#"
            6740e3a0-3  fleet, 2 hosts, for ada, 30 s ago, took 2.5 s
            1 ok, 1 broken, 0 unknown, 1 unreachable

            THE CONTROL PLANE  FOUND   BECAUSE
            signing            ok      delegation 3 is good for another 11 h
            inventory          broken  1 of 2 hosts are not connected: h2

            TARGET   FOUND        PROBE    FOUND        AGE     BECAUSE
            h1/web   broken       process  ok           3.0 ms  —
                                  http     broken       200 ms  —
            h2/db    unreachable  process  unreachable  —       its host is not connected
            h1/host  ok           host     ok           1.0 ms  —
        "#]]
        .assert_eq(&note(&view, sample::now(), Paint(false)));
        let list = ListView { diagnostics: vec![SweepView::brief(sample::diagnostics())] };
        expect![[r#"
            ID          BEGUN     SCOPE  BY   HOSTS  OK  BROKEN  UNKNOWN  UNREACHABLE  NOT OK ITSELF
            6740e3a0-3  30 s ago  fleet  ada  2      1   1       0        1            inventory
        "#]]
        .assert_eq(&table(&list, sample::now(), Paint(false)));
    }
}

//! `prunella explain`.

use std::process::ExitCode;

use clap::Args;
use prunella_model::IncidentId;
use prunella_proto::control::v1 as pb;

use super::incident_view::IncidentView;
use super::note::note;
use super::{incidents, now, show};
use crate::Common;
use crate::client::{Client, Connection, Failure, run};
use crate::names::{self, IncidentKey};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet explain latest            the one that was opened last
  prunella --dir ./fleet explain 17                the counter is enough while it is unambiguous
  prunella --dir ./fleet explain 6740e3a0-17 -o json

JSON: {id, state, state_detail, severity, fault: {rule, target, symptom, severity, fingerprint, since, summary}, also: [fault],
  opened, recovered, closed, closing, upstream, diagnosis: {category, cause, cause_target, confidence, priority,
  affected, evidence, rejected, recommended}, shared: {kind, attribute, cause, failing, sharing, others_failing, others,
  rate, base_rate, chance}, chain: {by, why, links: [{target, incident, state, why}], end, end_detail}, link: {head, position, length},
  response: {due, begun, missed}, reports: [{report_id, by, severity, summary, filed, withdrawn}],
  attempts: [{number, repair, command, steps, because, decided, outcome, outcome_detail, outcome_time, verdict, verdict_time, verdict_evidence, undoes, alternatives}], holds, released,
  stages, advice: {action, text, command}}. What does not exist is null."
);

/// How many incidents are searched for a counter.
const SEARCHED: usize = 10_000;

/// Arguments of `prunella explain`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct ExplainArgs {
    /// The incident: 6740e3a0-17, 17, or latest.
    #[arg(value_name = "INCIDENT", value_parser = names::incident)]
    incident: IncidentKey,
    #[command(flatten)]
    connection: Connection,
}

impl ExplainArgs {
    /// Tells the whole story of one incident.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let client = Client::connect(common, &self.connection).await?;
            let request = pb::GetIncidentRequest { name: format!("incidents/{}", find(&client, self.incident).await?) };
            let view = IncidentView::of(client.incidents().get_incident(request).await?.into_inner());
            show(common, &view, |paint| note(&view, now(), paint))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// The whole id of an incident that an operator named.
pub(super) async fn find(client: &Client, key: IncidentKey) -> Result<IncidentId, Failure> {
    match key {
        IncidentKey::Whole(id) => Ok(id),
        IncidentKey::Counter(counter) => choose(counter, &incidents::list(client, false, "", SEARCHED).await?),
        IncidentKey::Latest => latest(&incidents::list(client, false, "", SEARCHED).await?),
    }
}

fn latest(among: &[IncidentView]) -> Result<IncidentId, Failure> {
    let ids = among.iter().filter_map(|it| it.id.parse().ok());
    ids.max().ok_or_else(|| Failure::NotFound("there is no incident yet".to_owned()))
}

fn choose(counter: u64, among: &[IncidentView]) -> Result<IncidentId, Failure> {
    let with_id = among.iter().filter_map(|it| it.id.parse::<IncidentId>().ok().map(|id| (id, it)));
    let matching: Vec<(IncidentId, &IncidentView)> = with_id.filter(|(id, _)| id.0.counter == counter).collect();
    match matching[..] {
        [] => Err(Failure::NotFound(none_of(counter, among))),
        [(id, _)] => Ok(id),
        _ => {
            let lines: String =
                matching.iter().map(|(id, it)| format!("\n  {id}  {}  {}", it.fault.target, it.fault.rule)).collect();
            Err(Failure::Other(anyhow::anyhow!(
                "several incidents have the counter {counter}; give the whole id:{lines}"
            )))
        }
    }
}

/// What to say when no incident has the counter: those whose counters are next to it.
fn none_of(counter: u64, among: &[IncidentView]) -> String {
    let mut ids: Vec<IncidentId> = among.iter().filter_map(|it| it.id.parse().ok()).collect();
    ids.sort_by_key(|id| (id.0.counter.abs_diff(counter), *id));
    let near: Vec<String> = ids.iter().take(3).map(ToString::to_string).collect();
    match near[..] {
        [] => format!("there is no incident {counter}, nor any other yet"),
        _ => format!(
            "there is no incident {counter}; the nearest are {}; `prunella incidents --all` lists them",
            near.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::sample;
    use super::*;
    use crate::output::Paint;

    fn explain(it: pb::Incident) -> String {
        note(&IncidentView::of(it), sample::now(), Paint(false))
    }

    #[test]
    fn a_repaired_incident_is_understood_in_ten_seconds() {
        expect![[r#"
            6740e3a0-17  h3/db  closed: repaired
            high process_down, opened 119 s ago

            What happened  db's process ended by signal 9, since 11:58:00.512 UTC
            Cause          process_killed, here (97 % sure, OPERATIONAL, priority immediate)
            Because        ended by signal 9
                           bad answer 503: db unreachable of h2/api
            And not        config_corrupted: config is as its known-good snapshot
            What was done  1. start_service: start db → done after 4.0 ms
                           because it helped 12 of 12 times
            Verified       recovered 18 ms after the fault: answered in 0.3 ms
            Left alone     h2/api, h1/web: only suffer from it; repairing them would not help while h3/db is broken
            Response       begun after 0.2 ms of 60 s allowed
            Over           recovered 18 ms after the fault; closed 11:59:00.000 UTC

            Evidence (host's clock, UTC)
              11:58:00.512  h3/db   process  down  ended by signal 9
              11:58:00.530  h2/api  http     down  bad answer 503: db unreachable

            Causes that were rejected
              config_corrupted  config is as its known-good snapshot

            Repairs that were considered (score: larger is better)
              instead of 1  do nothing       0.10  the symptom lasts
              instead of 1  restart_service  —     nothing runs

            Stages
              11:58:00.512  DETECT  0.2 ms  process_down on h3/db  health 100 → 20

            Holds
              per_host  1 repair in flight on h3  released 11:58:00.512
        "#]]
        .assert_eq(&explain(sample::repaired()));
    }

    #[test]
    fn a_victim_says_why_it_was_left_alone() {
        expect![[r#"
            6740e3a0-19  h2/api  upstream
            high http_failing, opened 119 s ago

            What happened  api answers 503, since 11:58:00.512 UTC
            Cause          dependency_down, upstream on h3/db (90 % sure, STRUCTURAL, priority monitor)
            What was done  nothing, on purpose: the cause lies upstream, in incident 6740e3a0-17
            Now            upstream: left alone: the cause lies upstream, in incident 6740e3a0-17
        "#]]
        .assert_eq(&explain(sample::victim()));
    }

    #[test]
    fn a_chain_says_how_far_each_link_is() {
        let link = |target: &str, incident: Option<&str>, state: &str, why: Option<&str>| pb::ChainLink {
            target: format!("hosts/{target}"),
            incident: incident.map(str::to_owned),
            state: state.to_owned(),
            why: why.map(str::to_owned),
        };
        let links = vec![
            link("h3/targets/db", Some("incidents/6740e3a0-17"), "failed", Some("restart_service did not help")),
            link("h1/targets/web", None, "dropped", Some("the chain ended before it")),
        ];
        let chain = pb::Chain {
            by: "ann".to_owned(),
            why: "both are down".to_owned(),
            links,
            end: Some("stopped".to_owned()),
            end_detail: Some("h3/db: restart_service did not help".to_owned()),
        };
        let text = explain(pb::Incident { chain: Some(chain), ..sample::fresh() });
        let said: String =
            text.lines().skip_while(|it| !it.starts_with("Chain")).take(3).map(|it| format!("{it}\n")).collect();
        expect![[r#"
            Chain          asked for by ann (both are down), stopped: h3/db: restart_service did not help
                           1. h3/db (incident 6740e3a0-17) failed: restart_service did not help
                           2. h1/web dropped: the chain ended before it
        "#]]
        .assert_eq(&said);
        let place = pb::ChainPlace { head: "incidents/6740e3a0-20".to_owned(), position: 1, length: 2 };
        let text = explain(pb::Incident { link: Some(place), ..sample::victim() });
        assert!(text.contains("Chain          link 1 of 2 of the chain of incident 6740e3a0-20\n"), "{text}");
    }

    #[test]
    fn what_holds_an_incident_and_what_to_do_is_said_first() {
        expect![[r#"
            6740e3a0-20  h1/web  held
            high http_failing, opened 1 s ago

            What happened  web does not answer, since 11:58:00.512 UTC
            Cause          not known yet
            What was done  nothing yet: brakes hold it back
            Held           by target_cool_down, released in 4 min: restart_service did not hold once: 5 min between such repairs
            To do          wait: target_cool_down lets it through in 4 min; a person's request passes it at once
                           prunella repair run h1/web --why TEXT

            Holds
              target_cool_down  restart_service did not hold once: 5 min between such repairs  releases in 4 min
        "#]].assert_eq(&explain(sample::held()));
    }

    #[test]
    fn an_incident_without_anything_known_still_reads() {
        expect![[r#"
            6740e3a0-20  h1/web  diagnosing
            high http_failing, opened 1 s ago

            What happened  web does not answer, since 11:58:00.512 UTC
            Cause          not known yet
            What was done  nothing
            Now            diagnosing: more evidence is needed before a cause can be named
        "#]]
        .assert_eq(&explain(sample::fresh()));
    }

    #[test]
    fn the_json_has_every_field_and_null_for_what_is_absent() {
        let json = crate::output::json(&IncidentView::of(sample::fresh())).unwrap();
        expect![[r#"
            {
              "id": "6740e3a0-20",
              "state": "diagnosing",
              "state_detail": "more evidence is needed before a cause can be named",
              "severity": "high",
              "fault": {
                "rule": "http_failing",
                "target": "h1/web",
                "symptom": "process",
                "severity": "high",
                "fingerprint": "00ff00ff00ff00ff",
                "since": "2026-03-01T11:58:00.512Z",
                "summary": "web does not answer"
              },
              "also": [],
              "opened": "2026-03-01T11:59:59Z",
              "recovered": null,
              "closed": null,
              "closing": null,
              "upstream": null,
              "diagnosis": null,
              "shared": null,
              "chain": null,
              "link": null,
              "response": {
                "due": null,
                "begun": null,
                "missed": null
              },
              "reports": [],
              "attempts": [],
              "holds": [],
              "released": [],
              "stages": [],
              "advice": null
            }
        "#]]
        .assert_eq(&json);
    }

    #[test]
    fn a_counter_is_enough_while_it_is_unambiguous() {
        let among: Vec<IncidentView> = sample::incidents().into_iter().map(IncidentView::of).collect();
        assert_eq!(choose(17, &among).unwrap().to_string(), "6740e3a0-17");
        assert_eq!(latest(&among).unwrap().to_string(), "6740e3a0-20");
        assert!(choose(99, &among).unwrap_err().to_string().contains("no incident 99"));
        let mut twice = sample::incidents();
        twice[1].name = "incidents/aa-17".to_owned();
        let twice: Vec<IncidentView> = twice.into_iter().map(IncidentView::of).collect();
        assert!(choose(17, &twice).unwrap_err().to_string().contains("aa-17"));
    }
}

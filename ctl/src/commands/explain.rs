//! `prunella explain`.

use std::process::ExitCode;

use clap::Args;
use prunella_model::IncidentId;
use prunella_proto::control::v1 as pb;

use super::incident_view::IncidentView;
use super::note::note;
use super::{incidents, now, show};
use crate::client::{Client, Connection, Failure, run};
use crate::names::{self, IncidentKey};
use crate::Common;

const HELP: &str = help!("\
Examples:
  prunella --dir ./fleet explain 17                the counter is enough while it is unambiguous
  prunella --dir ./fleet explain 6740e3a0-17 -o json

JSON: {id, state, state_detail, fault: {rule, target, symptom, severity, fingerprint, since, summary}, also: [fault],
  opened, recovered, closed, closing, upstream, diagnosis: {category, cause, cause_target, confidence, priority,
  affected, evidence, rejected, recommended}, attempts: [{number, repair, command, steps, because, decided, outcome,
  outcome_detail, outcome_time, verdict, verdict_time, verdict_evidence, undoes, alternatives}], holds, released,
  stages}. What does not exist is null.");

/// How many incidents are searched for a counter.
const SEARCHED: usize = 10_000;

/// Arguments of `prunella explain`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct ExplainArgs {
    /// The incident: 6740e3a0-17, or 17.
    #[arg(value_name = "INCIDENT")]
    incident: String,
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
            let key = names::incident(&self.incident)?;
            let client = Client::connect(common, &self.connection).await?;
            let request = pb::GetIncidentRequest { name: format!("incidents/{}", find(&client, key).await?) };
            let view = IncidentView::of(client.incidents().get_incident(request).await?.into_inner());
            show(common, &view, |paint| note(&view, now(), paint))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// The whole id of an incident that an operator named.
pub(super) async fn find(client: &Client, key: IncidentKey) -> Result<IncidentId, Failure> {
    let counter = match key {
        IncidentKey::Whole(id) => return Ok(id),
        IncidentKey::Counter(counter) => counter,
    };
    choose(counter, &incidents::list(client, false, "", SEARCHED).await?)
}

fn choose(counter: u64, among: &[IncidentView]) -> Result<IncidentId, Failure> {
    let with_id = among.iter().filter_map(|it| it.id.parse::<IncidentId>().ok().map(|id| (id, it)));
    let matching: Vec<(IncidentId, &IncidentView)> = with_id.filter(|(id, _)| id.0.counter == counter).collect();
    match matching[..] {
        [] => Err(Failure::NotFound(format!("there is no incident {counter}; `prunella incidents --all` lists them"))),
        [(id, _)] => Ok(id),
        _ => {
            let lines: String =
                matching.iter().map(|(id, it)| format!("\n  {id}  {}  {}", it.fault.target, it.fault.rule)).collect();
            Err(Failure::Other(anyhow::anyhow!("several incidents have the counter {counter}; give the whole id:{lines}")))
        }
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
        expect![[r#""#]].assert_eq(&explain(sample::repaired()));
    }

    #[test]
    fn a_victim_says_why_it_was_left_alone() {
        expect![[r#""#]].assert_eq(&explain(sample::victim()));
    }

    #[test]
    fn an_incident_without_anything_known_still_reads() {
        expect![[r#""#]].assert_eq(&explain(sample::fresh()));
    }

    #[test]
    fn the_json_has_every_field_and_null_for_what_is_absent() {
        let json = crate::output::json(&IncidentView::of(sample::fresh())).unwrap();
        expect![[r#""#]].assert_eq(&json);
    }

    #[test]
    fn a_counter_is_enough_while_it_is_unambiguous() {
        let among: Vec<IncidentView> = sample::incidents().into_iter().map(IncidentView::of).collect();
        assert_eq!(choose(17, &among).unwrap().to_string(), "6740e3a0-17");
        assert!(choose(99, &among).unwrap_err().to_string().contains("no incident 99"));
        let mut twice = sample::incidents();
        twice[1].name = "incidents/aa-17".to_owned();
        let twice: Vec<IncidentView> = twice.into_iter().map(IncidentView::of).collect();
        assert!(choose(17, &twice).unwrap_err().to_string().contains("aa-17"));
    }
}

//! Server and agent are killed in the middle of a repair: nothing is lost, and nothing is done twice.

use std::time::Duration;

use prunella::chain::ask;
use prunella::lab::{Lab, Service};
use prunella_proto::control::v1 as pb;
use rustix::process::Signal;

use crate::support::{kill, wait, with_lab};

/// How long a service may take to answer.
const ANSWER: Duration = Duration::from_secs(1);

async fn answers(service: &Service) -> bool {
    ask(service.address, "/healthz", ANSWER).await.is_ok_and(|it| it.is_ok())
}

/// The only incident there is, once it is closed or a person is asked for.
async fn the_incident(lab: &Lab) -> pb::Incident {
    let over = |it: &pb::Incident| matches!(it.state(), pb::incident::State::Closed | pb::incident::State::NeedsHuman);
    wait("the incident is over", async || {
        let found = lab.records.incidents().await.unwrap_or_default();
        found.len() == 1 && found.iter().all(over)
    })
    .await;
    lab.records.incidents().await.unwrap().remove(0)
}

#[test]
fn a_server_that_is_killed_in_the_middle_of_a_repair_finishes_it_once() {
    // From before the command can have left to after the service runs again.
    for delay in [0, 2, 5, 15, 60] {
        with_lab(async |lab, service| {
            kill(&service, Signal::KILL);
            wait("the repair starts", async || lab.records.first("repair_started").is_some()).await;
            tokio::time::sleep(Duration::from_millis(delay)).await;
            lab.fleet.crash_server().await.unwrap();
            lab.records = prunella::demo::records::Records::new(lab.fleet.control());
            let incident = the_incident(lab).await;
            assert_eq!(incident.closing.as_deref(), Some("repaired"), "after {delay} ms: {incident:?}");
            assert_eq!(incident.attempts.len(), 1, "after {delay} ms: {:?}", incident.attempts);
            assert_eq!(service.runs().len(), 2, "after {delay} ms the service was started once and repaired once");
            assert!(answers(&service).await);
        });
    }
}

#[test]
fn an_agent_that_is_killed_between_intent_and_done_repeats_nothing() {
    for delay in [0, 50, 150] {
        with_lab(async |lab, service| {
            // Stopped, so that the restart first waits for it to end by itself: that is when the agent is killed.
            kill(&service, Signal::STOP);
            wait("the repair starts", async || lab.records.first("repair_started").is_some()).await;
            tokio::time::sleep(Duration::from_millis(delay)).await;
            lab.crash_agent().await.unwrap();
            let incident = the_incident(lab).await;
            let runs = service.runs().len();
            assert!(
                runs <= incident.attempts.len() + 1,
                "after {delay} ms: {runs} runs for {} commands: {:?}",
                incident.attempts.len(),
                incident.attempts
            );
            let told = incident.state() == pb::incident::State::NeedsHuman;
            assert!(told || answers(&service).await, "after {delay} ms it is neither healed nor a person asked for");
        });
    }
}

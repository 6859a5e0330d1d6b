//! Steps by their one door, on real processes.

use std::sync::Arc;

use prunella_model::step::Signal;
use tokio::sync::mpsc;

use super::*;
use crate::config::AgentConfig;

const TEXT: &str = r#"
[[target]]
name = "it"
manager = "command"
start = ["/bin/sleep", "1000"]
start_with_agent = false
stop_with_agent = true
[[target]]
name = "watched"
[[target.probe]]
kind = "tcp"
address = "127.0.0.1:1"
"#;

async fn carry_out(hands: &Hands, target: &str, step: Step) -> Result<String, String> {
    let target = TargetName::new(target).unwrap();
    hands.carry_out(&TargetStep { target, step }).await.map_err(|it| it.to_string())
}

#[tokio::test]
async fn each_step_says_what_it_did_and_repeats_nothing_that_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let config = Arc::new(AgentConfig::parse("agent.toml", TEXT, dir.path(), "h1").unwrap());
    let (to, _seen) = mpsc::channel(100);
    let senses = Senses::start(config, to).await.unwrap();
    let hands = Hands::new(&senses);
    let grace = Duration::from_secs(10);
    let signal = Step::SignalProcess { signal: Signal::User1 };
    assert_eq!(carry_out(&hands, "it", signal.clone()).await.unwrap_err(), "it has no running process");
    let started = carry_out(&hands, "it", Step::StartService).await.unwrap();
    assert!(started.starts_with("it started as pid:"), "{started}");
    let again = carry_out(&hands, "it", Step::StartService).await.unwrap();
    assert!(again.starts_with("it runs already as pid:"), "{again}");
    let restarted = carry_out(&hands, "it", Step::RestartService { grace: Duration::ZERO }).await.unwrap();
    assert!(restarted.starts_with("it restarted: pid:"), "{restarted}");
    assert_eq!(carry_out(&hands, "it", signal).await.unwrap(), "it was sent User1");
    let stopped = carry_out(&hands, "it", Step::StopService { grace }).await.unwrap();
    assert!(stopped.starts_with("it stopped; ") || stopped == "it did not run", "{stopped}");
    assert_eq!(carry_out(&hands, "it", Step::StopService { grace }).await.unwrap(), "it did not run");
    senses.close().await;
}

#[tokio::test]
async fn what_is_not_named_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let config = Arc::new(AgentConfig::parse("agent.toml", TEXT, dir.path(), "h1").unwrap());
    let (to, _seen) = mpsc::channel(100);
    let senses = Senses::start(config, to).await.unwrap();
    let hands = Hands::new(&senses);
    assert_eq!(carry_out(&hands, "other", Step::StartService).await.unwrap_err(), "agent.toml names no target other");
    let unmanaged = carry_out(&hands, "watched", Step::StartService).await.unwrap_err();
    assert_eq!(unmanaged, "watched has no manager in agent.toml, so nothing can start or stop it");
    let clean = Step::CleanDirectory { directory: PartName::new("etc").unwrap(), until_percent: 0 };
    let unnamed = carry_out(&hands, "it", clean).await.unwrap_err();
    assert_eq!(unnamed, "agent.toml names no directory etc of target it");
}

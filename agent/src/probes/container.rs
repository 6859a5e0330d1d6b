//! A container of a Docker-compatible engine, asked over its Unix socket.

use std::time::Duration;

use prunella_model::observation::{Finding, Level, Status};
use serde::Deserialize;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::kit::http1;
use crate::board::{Board, Look, Series};
use crate::config::ContainerSubject;

/// The longest answer; it holds a container's whole configuration and its latest health checks.
const ANSWER_MAX: usize = 1024 * 1024;
/// How much of a health check's output is told.
const TOLD_MAX: usize = 160;

/// See the module.
pub(super) struct Container {
    subject: ContainerSubject,
    request: String,
    timeout: Duration,
    restarts: Option<Series>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    state: State,
    restart_count: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: String,
    exit_code: Option<i64>,
    #[serde(rename = "OOMKilled", default)]
    oom_killed: bool,
    health: Option<Health>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    #[serde(default)]
    status: String,
    #[serde(default)]
    log: Option<Vec<HealthLog>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HealthLog {
    #[serde(default)]
    output: String,
}

impl Container {
    pub(super) fn new(subject: &ContainerSubject, timeout: Duration, restarts: Option<Series>) -> Self {
        let path = format!("/containers/{}/json", subject.container);
        let request = http1::request(&path, "localhost", "application/json", std::iter::empty());
        Self { subject: subject.clone(), request, timeout, restarts }
    }

    pub(super) async fn look(&mut self, board: &Board) -> Look {
        let socket = self.subject.socket.display();
        let asked = timeout(self.timeout, Box::pin(self.ask())).await;
        let answer = match asked {
            Err(_) => return Look::broken(format!("the engine at {socket} does not answer")),
            Ok(Err(why)) => return Look::broken(format!("the engine at {socket} cannot be asked: {why}")),
            Ok(Ok(answer)) => answer,
        };
        match answer.code {
            200 => {}
            404 => {
                let why = format!("there is no container {}", self.subject.container);
                return Look::down(Finding::BadAnswer { code: Some(404), why });
            }
            code => return Look::broken(format!("the engine at {socket} answers with status {code}")),
        }
        let inspected: Inspected = match serde_json::from_slice(&answer.body) {
            Ok(inspected) => inspected,
            Err(error) => return Look::broken(format!("the engine's answer cannot be read: {error}")),
        };
        if let (Some(series), Some(count)) = (self.restarts, inspected.restart_count) {
            board.measure(series, count);
        }
        judge(&inspected.state)
    }

    async fn ask(&self) -> Result<http1::Answer, http1::HttpError> {
        let mut stream = UnixStream::connect(&self.subject.socket).await?;
        http1::exchange(&mut stream, &self.request, ANSWER_MAX).await
    }
}

fn judge(state: &State) -> Look {
    let down = |text: String| Look::checked(Level::Critical, text);
    if state.status != "running" {
        let why = match (state.oom_killed, state.exit_code) {
            (true, _) => " (killed for want of memory)".to_owned(),
            (false, Some(code)) if state.status == "exited" || state.status == "dead" => format!(" (exit {code})"),
            (false, _) => String::new(),
        };
        return down(format!("it is {}{why}", state.status));
    }
    let Some(health) = &state.health else { return Look::checked(Level::Good, "it runs") };
    match health.status.as_str() {
        "unhealthy" => {
            let last = health.log.iter().flatten().next_back().map(|it| it.output.trim()).unwrap_or_default();
            let end = (0..=TOLD_MAX.min(last.len())).rev().find(|at| last.is_char_boundary(*at)).unwrap_or(0);
            down(format!("its own health check fails: {}", last.get(..end).unwrap_or_default()))
        }
        // It has not had its time yet: neither good nor bad.
        "starting" => Look {
            status: Status::Unknown,
            finding: Finding::Checked { level: Level::Warning, text: "it is starting".to_owned() },
        },
        _ => Look::checked(Level::Good, "it runs"),
    }
}

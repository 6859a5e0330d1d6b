//! Questions to agents that change nothing, and their answers: which answer belongs to whom.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prunella_model::HostId;
use prunella_model::link::ServerMessage;
use prunella_model::question::{Answer, Question, Rehearsal};
use prunella_model::snapshot::{SnapshotAnswer, SnapshotAsk, SnapshotReport};
use prunella_model::step::TargetStep;
use tokio::sync::oneshot;
use tonic::{Code, Status};

use crate::rpc::error;
use crate::sessions::{NotQueued, Sessions};

/// How long an agent may take: it reads files, at most fifty of at most 16 MiB, or looks for 15 s.
const ANSWER: Duration = Duration::from_secs(20);

/// How many questions may wait for answers at the same time.
const WAITING_MAX: usize = 256;

/// The questions that wait for an answer.
#[derive(Debug, Default)]
pub struct Questions(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    asked: u64,
    waiting: BTreeMap<u64, (HostId, oneshot::Sender<Answer>)>,
}

impl Questions {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks an agent of its snapshots.
    ///
    /// # Errors
    /// The status for the caller: the agent is not connected, does not answer, or says why it cannot.
    pub async fn snapshots(
        &self,
        sessions: &Sessions,
        host: &HostId,
        ask: SnapshotAsk,
    ) -> Result<Vec<SnapshotReport>, Status> {
        match self.ask(sessions, host, Question::Snapshots(ask)).await? {
            Answer::Snapshots(SnapshotAnswer::Snapshots(all)) => Ok(all),
            Answer::Snapshots(SnapshotAnswer::Failed { why }) => {
                Err(error::refused("AGENT_FAILED", format!("{host}: {why}")))
            }
            Answer::Rehearsed(_) => Err(astray(host)),
        }
    }

    /// Asks an agent what it would do for these steps. Nothing is done for it.
    ///
    /// # Errors
    /// The status for the caller: the agent is not connected, or does not answer.
    pub async fn rehearse(
        &self,
        sessions: &Sessions,
        host: &HostId,
        steps: Vec<TargetStep>,
    ) -> Result<Rehearsal, Status> {
        match self.ask(sessions, host, Question::Rehearse(steps)).await? {
            Answer::Rehearsed(it) => Ok(it),
            Answer::Snapshots(_) => Err(astray(host)),
        }
    }

    async fn ask(&self, sessions: &Sessions, host: &HostId, question: Question) -> Result<Answer, Status> {
        let (number, answer) = {
            let mut table = self.table();
            if table.waiting.len() >= WAITING_MAX {
                return Err(Status::resource_exhausted(
                    "too many questions to agents are open; ask again in a few seconds",
                ));
            }
            table.asked += 1;
            let (sender, answer) = oneshot::channel();
            let number = table.asked;
            table.waiting.insert(number, (host.clone(), sender));
            (number, answer)
        };
        let answered = match sessions.send(host, ServerMessage::Ask { number, question }) {
            Ok(()) => tokio::time::timeout(ANSWER, answer).await,
            Err(why) => {
                self.table().waiting.remove(&number);
                let reason = match why {
                    NotQueued::NotConnected => "NOT_CONNECTED",
                    NotQueued::TooSlow => "TOO_SLOW",
                };
                return Err(error::status(Code::Unavailable, reason, format!("{host}: {why}"), &[]));
            }
        };
        self.table().waiting.remove(&number);
        match answered {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => {
                let why = format!(
                    "{host} did not answer within {} s; is its agent older than this server?",
                    ANSWER.as_secs()
                );
                Err(error::status(Code::DeadlineExceeded, "NO_ANSWER", why, &[]))
            }
        }
    }

    /// An agent has answered. What nobody asked of that host is dropped.
    pub fn answered(&self, host: &HostId, number: u64, answer: Answer) {
        let mut table = self.table();
        if table.waiting.get(&number).is_some_and(|(asked, _)| asked == host)
            && let Some((_, waiting)) = table.waiting.remove(&number)
        {
            let _ = waiting.send(answer);
        }
    }
}

fn astray(host: &HostId) -> Status {
    error::refused("AGENT_FAILED", format!("{host} answered another question than it was asked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_host_that_was_asked_can_answer() {
        let refused = |why: &str| Answer::Rehearsed(Rehearsal::Refused { why: why.to_owned() });
        let questions = Questions::default();
        let (sender, mut answer) = oneshot::channel();
        let (asked, other) = (HostId::of("h1"), HostId::of("h2"));
        questions.table().waiting.insert(7, (asked.clone(), sender));
        questions.answered(&other, 7, refused("forged"));
        questions.answered(&asked, 8, refused("another"));
        assert!(answer.try_recv().is_err());
        questions.answered(&asked, 7, refused("paused"));
        assert_eq!(answer.try_recv(), Ok(refused("paused")));
        assert!(questions.table().waiting.is_empty());
    }
}

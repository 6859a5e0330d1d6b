//! Questions to agents that change nothing, and their answers: which answer belongs to whom.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prunella_model::HostId;
use prunella_model::link::ServerMessage;
use prunella_model::snapshot::{SnapshotAnswer, SnapshotAsk, SnapshotReport};
use tokio::sync::oneshot;
use tonic::{Code, Status};

use crate::rpc::error;
use crate::sessions::{NotQueued, Sessions};

/// How long an agent may take: it reads files, at most fifty of at most 16 MiB.
const ANSWER: Duration = Duration::from_secs(20);

/// How many questions may wait for answers at the same time.
const WAITING_MAX: usize = 256;

/// The questions that wait for an answer.
#[derive(Debug, Default)]
pub struct Questions(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    asked: u64,
    waiting: BTreeMap<u64, (HostId, oneshot::Sender<SnapshotAnswer>)>,
}

impl Questions {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks an agent of its snapshots.
    ///
    /// # Errors
    /// The status for the caller: the agent is not connected, does not answer, or says why it cannot.
    pub async fn ask(
        &self,
        sessions: &Sessions,
        host: &HostId,
        ask: SnapshotAsk,
    ) -> Result<Vec<SnapshotReport>, Status> {
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
        let answered = match sessions.send(host, ServerMessage::Snapshots { number, ask }) {
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
            Ok(Ok(SnapshotAnswer::Snapshots(all))) => Ok(all),
            Ok(Ok(SnapshotAnswer::Failed { why })) => Err(error::refused("AGENT_FAILED", format!("{host}: {why}"))),
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
    pub fn answered(&self, host: &HostId, number: u64, answer: SnapshotAnswer) {
        let mut table = self.table();
        if table.waiting.get(&number).is_some_and(|(asked, _)| asked == host)
            && let Some((_, waiting)) = table.waiting.remove(&number)
        {
            let _ = waiting.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_host_that_was_asked_can_answer() {
        let questions = Questions::default();
        let (sender, mut answer) = oneshot::channel();
        let (asked, other) = (HostId::of("h1"), HostId::of("h2"));
        questions.table().waiting.insert(7, (asked.clone(), sender));
        questions.answered(&other, 7, SnapshotAnswer::Failed { why: "forged".to_owned() });
        questions.answered(&asked, 8, SnapshotAnswer::Failed { why: "another".to_owned() });
        assert!(answer.try_recv().is_err());
        questions.answered(&asked, 7, SnapshotAnswer::Snapshots(Vec::new()));
        assert_eq!(answer.try_recv(), Ok(SnapshotAnswer::Snapshots(Vec::new())));
        assert!(questions.table().waiting.is_empty());
    }
}

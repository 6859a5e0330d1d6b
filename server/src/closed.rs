//! What is over: closed incidents and the audit log. One thread owns both files, empties the store's outbox into them,
//! and answers those who ask; so nobody who serves ever waits for these disks' writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use prunella_model::IncidentId;
use prunella_model::incident::Incident;
use prunella_model::record::AuditEntry;
use prunella_proto::control::v1 as pb;
use prunella_seal::{Head, SecretKey};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use crate::archive::{ArchiveError, empty_outbox};
use crate::audit::{self, AUDIT_LOG, AuditError, AuditLog};
use crate::driver::Stopped;
use crate::history::{History, HistoryError};
use crate::rpc::error;
use crate::store::Backend;
use crate::store::repository::{AUDIT_HEAD, Repository, RepositoryError};

/// How often what was committed is moved out of the store, and the audit log's head signed. Nothing waits for it.
const MOVE_EVERY: Duration = Duration::from_secs(2);

/// How many questions may wait.
const QUESTIONS_MAX: usize = 64;

/// How many closed incidents one request looks through for those that it wants.
const LOOKED_THROUGH_MAX: usize = 10_000;

/// Why the archive cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The history.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// What the store remembers of the audit log.
    #[error("the store does not say how long the audit log is")]
    Anchor(#[from] RepositoryError),
    /// The thread.
    #[error("cannot start the archive's thread")]
    Thread(#[from] std::io::Error),
}

/// The head of the audit log as the store remembers it: who removes the log with its signed heads does not remove this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Anchor {
    sequence: u64,
    hash: [u8; 32],
}

type Wanted = Box<dyn Fn(&Incident) -> bool + Send>;
type Answer<T, E> = oneshot::Sender<Result<T, E>>;

enum Question {
    Page(Option<IncidentId>, usize, Wanted, Answer<Vec<Incident>, HistoryError>),
    Get(IncidentId, Answer<Option<Incident>, HistoryError>),
    Entries(Option<u64>, usize, Answer<Vec<(u64, AuditEntry)>, AuditError>),
    Verify(Answer<pb::VerifyAuditResponse, AuditError>),
    Stop,
}

/// The way to closed incidents and the audit log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Archive(mpsc::Sender<Question>);

/// The thread.
#[derive(Debug)]
pub struct Keeper {
    thread: JoinHandle<()>,
    archive: Archive,
}

impl Keeper {
    /// Has everything moved that was committed, and ends the thread. Blocks.
    pub fn stop(self) {
        // An error means that the thread has ended already.
        let _ = self.archive.0.blocking_send(Question::Stop);
        if self.thread.join().is_err() {
            tracing::error!(target: "prunella::store", "the archive's thread had failed");
        }
    }
}

impl Archive {
    /// Opens both files under `state` and starts the thread.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        state: &Path,
        repository: Arc<Repository<Backend>>,
        key: SecretKey,
    ) -> Result<(Self, Keeper), OpenError> {
        let dir = state.join("audit");
        let known: Option<(Anchor, _)> = repository.read(AUDIT_HEAD).await?;
        let known = known.map(|(Anchor { sequence, hash }, _)| Head { sequence, hash });
        let anchor = known.unwrap_or_else(|| Head::genesis(AUDIT_LOG));
        let log = AuditLog::open(&dir, anchor)?;
        let history = History::open(&state.join("history"))?;
        let (sender, questions) = mpsc::channel(QUESTIONS_MAX);
        let owner = Owner { repository, key, dir, log, anchor, history, questions, failing: false };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let run = move || runtime.block_on(owner.run());
        let thread = std::thread::Builder::new().name("archive".to_owned()).spawn(run)?;
        let archive = Self(sender);
        Ok((archive.clone(), Keeper { thread, archive }))
    }

    async fn ask<T, E: std::error::Error + 'static>(
        &self,
        what: &'static str,
        question: impl FnOnce(Answer<T, E>) -> Question,
    ) -> Result<T, Status> {
        let (to, answer) = oneshot::channel();
        self.0.send(question(to)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)?.map_err(|error| error::internal(what, &error))
    }

    /// Closed incidents that `wanted` holds of, the last one to be closed first, at most `most`: those after `after` in
    /// that order, or from the newest on. It looks through at most [`LOOKED_THROUGH_MAX`].
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn page(
        &self,
        after: Option<IncidentId>,
        most: usize,
        wanted: impl Fn(&Incident) -> bool + Send + 'static,
    ) -> Result<Vec<Incident>, Status> {
        self.ask("reading the history", |to| Question::Page(after, most, Box::new(wanted), to)).await
    }

    /// One closed incident; null when it is not kept.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn get(&self, id: IncidentId) -> Result<Option<Incident>, Status> {
        self.ask("reading the history", |to| Question::Get(id, to)).await
    }

    /// Checks the whole audit log.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub async fn verify(&self) -> Result<pb::VerifyAuditResponse, Status> {
        self.ask("verifying the audit log", Question::Verify).await
    }

    /// Entries of the audit log before a number, newest first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn entries(&self, before: Option<u64>, most: usize) -> Result<Vec<(u64, AuditEntry)>, Status> {
        self.ask("reading the audit log", |to| Question::Entries(before, most, to)).await
    }
}

/// What the thread owns.
struct Owner {
    repository: Arc<Repository<Backend>>,
    key: SecretKey,
    dir: PathBuf,
    log: AuditLog,
    /// The head that the store remembers.
    anchor: Head,
    history: History,
    questions: mpsc::Receiver<Question>,
    /// Whether the last move failed: it is said once, not every two seconds.
    failing: bool,
}

impl Owner {
    async fn run(mut self) {
        let mut moving = tokio::time::interval(MOVE_EVERY);
        moving.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let question = tokio::select! {
                question = self.questions.recv() => question,
                _ = moving.tick() => {
                    self.move_on().await;
                    continue;
                }
            };
            // First, so that an answer knows of everything that was committed before the question.
            self.move_on().await;
            match question {
                Some(Question::Stop) | None => return,
                Some(question) => self.answer(question),
            }
        }
    }

    /// Empties the outbox and signs the audit log's head. A failure loses nothing: the store keeps what was not moved.
    async fn move_on(&mut self) {
        match self.try_move().await {
            Ok(()) => self.failing = false,
            Err(error) if self.failing => {
                tracing::debug!(target: "prunella::store", error = &error as &dyn std::error::Error, "still cannot move audit entries and closed incidents out of the store");
            }
            Err(error) => {
                self.failing = true;
                tracing::error!(target: "prunella::store", error = &error as &dyn std::error::Error, "cannot move audit entries and closed incidents out of the store; they wait there");
            }
        }
    }

    async fn try_move(&mut self) -> Result<(), ArchiveError> {
        if let Err(error) = empty_outbox(&self.repository, &mut self.log, &mut self.history).await {
            if matches!(error, ArchiveError::Audit(_)) {
                // After a failed write the log must be looked at again before it is continued.
                self.log = AuditLog::open(&self.dir, self.anchor)?;
            }
            return Err(error);
        }
        self.log.sign(&self.key)?;
        let head = self.log.head();
        if head != self.anchor {
            // After the log is on disk: the store never remembers more than there was.
            let Head { sequence, hash } = head;
            self.repository.write(AUDIT_HEAD, &Anchor { sequence, hash }, Vec::new(), Vec::new()).await?;
            self.anchor = head;
        }
        Ok(())
    }

    fn answer(&self, question: Question) {
        // An error of a send only means that the caller has gone away.
        match question {
            Question::Page(after, most, wanted, to) => drop(to.send(self.page(after, most, &wanted))),
            Question::Get(id, to) => drop(to.send(self.history.get(id))),
            Question::Entries(before, most, to) => drop(to.send(audit::newest(&self.dir, before, most))),
            Question::Verify(to) => drop(to.send(self.verify())),
            Question::Stop => {}
        }
    }

    fn page(&self, after: Option<IncidentId>, most: usize, wanted: &Wanted) -> Result<Vec<Incident>, HistoryError> {
        let (mut found, mut after, mut looked_through) = (Vec::new(), after, 0);
        while found.len() < most && looked_through < LOOKED_THROUGH_MAX {
            let page = self.history.newest(after, most)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            looked_through += page.len();
            found.extend(page.into_iter().filter(|it| wanted(it)));
        }
        found.truncate(most);
        Ok(found)
    }

    fn verify(&self) -> Result<pb::VerifyAuditResponse, AuditError> {
        let report = audit::verify(&self.dir, &[self.key.public()], &[self.anchor])?;
        let head = self.log.head();
        Ok(pb::VerifyAuditResponse {
            intact: report.ok,
            entries: report.entries,
            head: head.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            findings: report.findings.iter().map(|it| format!("{}: {}", it.file, it.what)).collect(),
        })
    }
}

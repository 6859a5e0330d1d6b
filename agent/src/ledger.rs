//! What was done on this host, so that a restart never repeats it.
//!
//! An append-only, hash-chained file of a fixed size, written ahead of every effect: the intent is on the disk, synced,
//! before its first step begins. After a crash [`Ledger::unfinished`] says what must be looked into; the outcome of
//! every command is kept until a server has acknowledged it, and its id for good ([`Ledger::knows`]).
//!
//! When the file fills up it is written anew, with what still matters in its first record, and put in the old one's
//! place in one rename. An error of the disk poisons the ledger: it refuses everything from then on, and the agent
//! only observes.

mod book;
mod disk;
mod entry;

use std::path::{Path, PathBuf};
use std::time::Duration;

use prunella_model::command::Intent;
use prunella_model::outcome::{Outcome, OutcomeReport};
use prunella_model::step::TargetStep;
use prunella_model::{CommandId, Generation, Timestamp};
use prunella_proto::wire::encode_intent;
use prunella_seal::Opened;
use prunella_seal::chain::{self, Break, Head, OVERHEAD, Records};
use serde::{Deserialize, Serialize};

use book::Book;
use disk::{Disk, FileDisk};
use entry::Entry;

/// The size of the file, in bytes: some 800 commands until it is written anew, which takes milliseconds.
pub const CAPACITY: usize = 1024 * 1024;

/// A new command is refused when what must be kept takes more than this: nothing is being acknowledged.
const ROOM_FOR_INTENTS: usize = CAPACITY / 2;

/// The file is written anew when this much of it is used, at a moment when no command waits for it.
const FULL_ENOUGH: usize = CAPACITY / 4 * 3;

/// The longest intent, in bytes. One with the most steps and the longest names has a third of it.
pub const INTENT_MAX: usize = 64 * 1024;

/// The longest outcome report, in bytes of JSON; what is longer loses its notes.
pub const REPORT_MAX: usize = 16 * 1024;

/// Why the ledger cannot be opened or written. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It is gone although there was one.
    #[error(
        "the ledger {} is gone, so it is not known what was done on this host; \
         look at the host, then enrol it again with a new join token",
        path.display()
    )]
    Lost {
        /// Where it should be.
        path: PathBuf,
    },
    /// It was changed by something else than this agent.
    #[error(
        "the ledger {} is damaged ({why}), so it is not known what was done on this host; \
         keep the file for an investigation, look at the host, then enrol it again with a new join token",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another agent has it open.
    #[error("the ledger {} is in use: another agent runs with the same state directory", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The disk failed. The ledger is poisoned from then on.
    #[error("the ledger cannot {what} {}", path.display())]
    Disk {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// The disk failed before.
    #[error("the ledger could not be written ({why}); repair the disk, then restart the agent")]
    Poisoned {
        /// What went wrong then.
        why: String,
    },
    /// The command is in it already.
    #[error("command {command} is in the ledger already")]
    AlreadyKnown {
        /// The command.
        command: CommandId,
    },
    /// The command is not in it, or not in a state for this.
    #[error("command {command} is not under way")]
    NotUnderWay {
        /// The command.
        command: CommandId,
    },
    /// Too much is waiting for an acknowledgement.
    #[error("the ledger is full of outcomes that no server has acknowledged; reconnect this host to its server")]
    Full,
    /// An intent or report that is too long.
    #[error("the {what} has {bytes} bytes; at most {limit} fit into the ledger")]
    TooLong {
        /// Which.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

/// How far a command has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Its intent is on the disk; no step has begun.
    Intended,
    /// This step has begun, and with it all before it.
    Executing {
        /// Its index, from 0.
        step: u32,
    },
    /// It has an outcome, which no server has acknowledged.
    Finished(OutcomeReport),
    /// A server has its outcome.
    Acknowledged,
    /// It is so old that only this is known: it, or a later one, was handled.
    Forgotten,
}

/// A command that a crash interrupted.
///
/// Idempotent steps are probed and may run again under the same id. Steps that must not happen twice are compared with
/// boot id and probe; otherwise the outcome is [`Outcome::Unknown`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// What was meant to be done.
    pub intent: Intent,
    /// When it was accepted, by the host's wall clock.
    pub at: Timestamp,
    /// The last step that had begun. None is certain only while the host has not rebooted since: after a loss of power
    /// the note of the step may be lost although the step was begun.
    pub begun: Option<u32>,
}

/// The ledger of one enrolment of this host.
pub struct Ledger {
    disk: Box<dyn Disk>,
    path: PathBuf,
    start: Head,
    head: Head,
    end: usize,
    book: Book,
    torn: bool,
    poisoned: Option<String>,
}

impl Ledger {
    /// Opens the ledger, or makes it when there was none.
    ///
    /// `log` names it (fleet, host and enrolment), so that the file of another enrolment is not taken for it. `begun`
    /// is the marker in the enrolment that says one existed. A record that a crash left incomplete was never acted on:
    /// it is cut, and [`Ledger::was_torn`] says so.
    ///
    /// # Errors
    /// [`LedgerError`]; the agent then only observes.
    pub fn open(path: &Path, log: &str, begun: bool) -> Result<Self, LedgerError> {
        let start = Head::genesis(log);
        let opened = FileDisk::open(path).map_err(|source| disk_error(path, "open", source))?;
        let Some((disk, bytes)) = opened else {
            if begun {
                return Err(LedgerError::Lost { path: path.to_owned() });
            }
            let disk = FileDisk::new(path).map_err(|source| disk_error(path, "lock", source))?;
            return Self::create(Box::new(disk), path, start);
        };
        Self::resume(Box::new(disk), path, start, &bytes)
    }

    fn create(disk: Box<dyn Disk>, path: &Path, start: Head) -> Result<Self, LedgerError> {
        let (path, book) = (path.to_owned(), Book::default());
        let mut ledger = Self { disk, path, start, head: start, end: 0, book, torn: false, poisoned: None };
        ledger.rewrite(ROOM_FOR_INTENTS)?;
        Ok(ledger)
    }

    fn resume(disk: Box<dyn Disk>, path: &Path, start: Head, bytes: &[u8]) -> Result<Self, LedgerError> {
        let damaged = |why: String| LedgerError::Damaged { path: path.to_owned(), why };
        if bytes.len() != CAPACITY {
            return Err(damaged(format!("it has {} bytes, and a ledger has {CAPACITY}", bytes.len())));
        }
        let mut records = Records::new(bytes, start);
        let (mut book, mut torn) = (None, false);
        for next in records.by_ref() {
            let record = match next {
                Ok(record) => record,
                // The first record came into being with the file, so it is never still being written.
                Err(Break::Torn { .. }) if book.is_some() => {
                    torn = true;
                    break;
                }
                Err(broken @ (Break::Torn { .. } | Break::Damaged { .. })) => return Err(damaged(broken.to_string())),
            };
            let entry =
                Entry::decode(record.body).map_err(|why| damaged(format!("record {}: {why}", record.sequence)))?;
            book =
                Some(Book::replay(book, entry).map_err(|why| damaged(format!("record {}: {why}", record.sequence)))?);
        }
        let (head, end) = (records.head(), records.at());
        let book = book.ok_or_else(|| damaged("its first record is missing".to_owned()))?;
        let mut ledger = Self { disk, path: path.to_owned(), start, head, end, book, torn, poisoned: None };
        if torn {
            tracing::warn!(target: "prunella::ledger", at = end, "cut the record that a crash left incomplete");
            ledger.rewrite(CAPACITY)?;
        }
        Ok(ledger)
    }

    /// Writes down that a command will be carried out, and syncs it. Only then may its first step begin.
    ///
    /// # Errors
    /// [`LedgerError`]; the command must then not be carried out.
    pub fn intend(&mut self, opened: &Opened, now: Timestamp) -> Result<(), LedgerError> {
        self.intend_bytes(opened.intent.id, opened.delivery.generation, &opened.delivery.intent, now)
    }

    /// The same for a run of a standing order, which no server sends.
    ///
    /// # Errors
    /// [`LedgerError`]; the run must then not begin.
    pub fn intend_run(&mut self, intent: &Intent, now: Timestamp) -> Result<(), LedgerError> {
        self.intend_bytes(intent.id, self.mark(), &encode_intent(intent), now)
    }

    fn intend_bytes(
        &mut self,
        command: CommandId,
        generation: Generation,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        if self.book.knows(command).is_some() {
            return Err(LedgerError::AlreadyKnown { command });
        }
        if bytes.len() > INTENT_MAX {
            return Err(LedgerError::TooLong { what: "intent", bytes: bytes.len(), limit: INTENT_MAX });
        }
        let entry = Entry::Intent { command, generation, at: now, intent: bytes.to_vec() };
        self.append(entry, Sync::Now, ROOM_FOR_INTENTS)
    }

    /// Writes down that a step begins. Survives the death of the agent; it is not synced, so a loss of power may lose it.
    ///
    /// # Errors
    /// [`LedgerError`]; the step must then not begin.
    pub fn executing(&mut self, command: CommandId, step: u32) -> Result<(), LedgerError> {
        if !matches!(self.book.knows(command), Some(State::Intended | State::Executing { .. })) {
            return Err(LedgerError::NotUnderWay { command });
        }
        self.append(Entry::Executing { command, step }, Sync::Later, CAPACITY)
    }

    /// Writes an outcome down, and syncs it. Also for a command that was refused and never intended, so that its
    /// report is not lost.
    ///
    /// # Errors
    /// [`LedgerError::NotUnderWay`] when it has an outcome already, or none was intended and it is no refusal.
    pub fn finished(&mut self, report: &OutcomeReport) -> Result<(), LedgerError> {
        let command = report.command;
        match (self.book.knows(command), &report.outcome) {
            (Some(State::Intended | State::Executing { .. }), _) | (None, Outcome::Refused(_)) => {}
            (Some(State::Finished(_) | State::Acknowledged | State::Forgotten), _) | (None, _) => {
                return Err(LedgerError::NotUnderWay { command });
            }
        }
        self.append(Entry::finished(report)?, Sync::Now, CAPACITY)
    }

    /// Writes down that a server has stored an outcome. Ids that have none are ignored: servers repeat themselves.
    ///
    /// # Errors
    /// [`LedgerError`] when the disk fails.
    pub fn acknowledged(&mut self, command: CommandId) -> Result<(), LedgerError> {
        match self.book.knows(command) {
            Some(State::Finished(_)) => self.append(Entry::Acknowledged { command }, Sync::Later, CAPACITY)?,
            Some(State::Intended | State::Executing { .. } | State::Acknowledged | State::Forgotten) | None => {}
        }
        if self.end > FULL_ENOUGH { self.rewrite(CAPACITY) } else { Ok(()) }
    }

    /// How far a command has come; none when it was never here. True for good: a command too old to be remembered by
    /// itself counts as [`State::Forgotten`].
    #[must_use]
    pub fn knows(&self, command: CommandId) -> Option<State> {
        self.book.knows(command)
    }

    /// What a crash interrupted, oldest first.
    #[must_use]
    pub fn unfinished(&self) -> Vec<Unfinished> {
        self.book.unfinished()
    }

    /// Outcomes that no server has acknowledged, oldest first.
    #[must_use]
    pub fn unacknowledged(&self) -> Vec<OutcomeReport> {
        self.book.unacknowledged()
    }

    /// The highest generation of any command that was accepted.
    #[must_use]
    pub fn mark(&self) -> Generation {
        self.book.mark()
    }

    /// The commands of the last hour that acted, each with its age: what budgets start from after a restart.
    #[must_use]
    pub fn recent(&self, now: Timestamp) -> Vec<(Duration, Vec<TargetStep>)> {
        self.book.recent(now)
    }

    /// Whether opening it cut a record that a crash left incomplete.
    #[must_use]
    pub fn was_torn(&self) -> bool {
        self.torn
    }

    /// Why nothing may be done any more; none while the ledger works.
    #[must_use]
    pub fn poisoned(&self) -> Option<&str> {
        self.poisoned.as_deref()
    }

    fn append(&mut self, entry: Entry, sync: Sync, room: usize) -> Result<(), LedgerError> {
        self.check()?;
        let body = entry.encode();
        if self.end + OVERHEAD + body.len() > CAPACITY || (self.end > FULL_ENOUGH && room == ROOM_FOR_INTENTS) {
            self.rewrite(room)?;
        }
        let (mut head, mut record) = (self.head, Vec::new());
        // Bodies are bounded far below what a record can hold.
        chain::append(&mut head, &body, &mut record).map_err(|_| LedgerError::Full)?;
        if self.end + record.len() > CAPACITY {
            return Err(LedgerError::Full);
        }
        let written = self.disk.write_at(self.end, &record).and_then(|()| match sync {
            Sync::Now => self.disk.sync(),
            Sync::Later => Ok(()),
        });
        written.map_err(|source| self.poison("write", source))?;
        (self.head, self.end) = (head, self.end + record.len());
        // What was checked before writing can be applied.
        self.book.apply(entry).map_err(|why| LedgerError::Damaged { path: self.path.clone(), why })
    }

    /// Writes the file anew with what still matters. Fails without harm when that takes more than `room`.
    fn rewrite(&mut self, room: usize) -> Result<(), LedgerError> {
        self.check()?;
        let body = Entry::Checkpoint(self.book.checkpoint(self.head)).encode();
        let (mut head, mut file) = (self.start, Vec::with_capacity(CAPACITY));
        if OVERHEAD + body.len() > room || chain::append(&mut head, &body, &mut file).is_err() {
            return Err(LedgerError::Full);
        }
        let end = file.len();
        file.resize(CAPACITY, 0);
        self.disk.replace(&file).map_err(|source| self.poison("rewrite", source))?;
        (self.head, self.end) = (head, end);
        Ok(())
    }

    fn check(&self) -> Result<(), LedgerError> {
        match &self.poisoned {
            Some(why) => Err(LedgerError::Poisoned { why: why.clone() }),
            None => Ok(()),
        }
    }

    fn poison(&mut self, what: &'static str, source: std::io::Error) -> LedgerError {
        tracing::error!(target: "prunella::ledger", error = %source, "the disk failed: from here on this agent only observes");
        self.poisoned = Some(source.to_string());
        disk_error(&self.path, what, source)
    }
}

/// Whether a record must be on the disk before anything else happens.
#[derive(Debug, Clone, Copy)]
enum Sync {
    Now,
    Later,
}

fn disk_error(path: &Path, what: &'static str, source: std::io::Error) -> LedgerError {
    if source.kind() == std::io::ErrorKind::ResourceBusy {
        return LedgerError::InUse { path: path.to_owned() };
    }
    LedgerError::Disk { what, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;

//! The latest events on disk, so that a reader goes on where it stopped although the server was started again.
//!
//! Two files of JSON lines in one directory: `events.jsonl`, and `events.1.jsonl`, which was full when the first was
//! begun. Nothing waits for them: events are for people who follow along, the audit log is the record. So a crash may
//! lose the last ones; the numbers of the others show it, and whoever resumes is told.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use prunella_model::Id;
use prunella_model::event::FleetEvent;
use serde::{Deserialize, Serialize};

use super::Kept;

/// How many events a file holds. With two of them, at least so many can be read again.
const SEGMENT: usize = super::KEPT;

/// How many events may wait for the disk: some seconds of a large fleet.
const WAITING_MAX: usize = 8_192;

/// Why the events of the past cannot be read, or new ones not kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}", path.display())]
pub struct LogError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
    let path = path.to_owned();
    move |source| LogError { what, path, source }
}

/// One line of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// A server began with this epoch.
    Begun(u64),
    /// Something happened.
    Event(FleetEvent),
    /// A server ended in order. Nothing happened after the event of this id.
    Ended(Option<Id>),
}

enum Note {
    Event(Arc<FleetEvent>),
    End(Option<Id>),
    #[cfg(test)]
    Settle(std::sync::mpsc::Sender<()>),
}

/// The thread that writes events down. Dropping it writes what waits, and that the end was in order.
#[derive(Debug)]
pub(super) struct Writer {
    to: Option<SyncSender<Note>>,
    thread: Option<JoinHandle<()>>,
    last: Option<Id>,
}

impl Writer {
    /// Hands an event over. Never waits: what the disk is too slow for is missing, and its number shows it.
    pub(super) fn write(&mut self, event: &Arc<FleetEvent>) {
        self.last = Some(event.id);
        let Some(to) = &self.to else { return };
        match to.try_send(Note::Event(Arc::clone(event))) {
            Ok(()) | Err(TrySendError::Full(_)) => {}
            // The thread has said why it ended.
            Err(TrySendError::Disconnected(_)) => self.to = None,
        }
    }
}

#[cfg(test)]
impl Writer {
    /// Waits until everything before is written.
    pub(super) fn settle(&self) {
        let (done, settled) = std::sync::mpsc::channel::<()>();
        self.to.as_ref().unwrap().send(Note::Settle(done)).unwrap();
        settled.recv().unwrap_err();
    }

    /// Ends as a crash would.
    pub(super) fn crash(&mut self) {
        self.settle();
        drop(self.to.take());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(to) = self.to.take() {
            // An error means that the thread has ended already, and said why.
            let _ = to.send(Note::End(self.last));
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(target: "prunella::server", "the thread that keeps events had failed");
        }
    }
}

/// Reads what is kept in `dir`, and begins to write what happens in `epoch`.
pub(super) fn open(dir: &Path, epoch: u64) -> Result<(Kept, Writer), LogError> {
    fs::create_dir_all(dir).map_err(error("create", dir))?;
    let mut kept = Kept::default();
    let mut reading = Reading::default();
    let mut count = 0;
    for path in [older(dir), newer(dir)] {
        count = 0;
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(it) if it.kind() == io::ErrorKind::NotFound => continue,
            Err(it) => return Err(error("read", &path)(it)),
        };
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            count += 1;
            // A crash cut it off, or a newer program wrote it: the next number tells that something is missing.
            if let Ok(line) = serde_json::from_slice::<Line>(line) {
                reading.take(line, &mut kept);
            }
        }
    }
    reading.take(Line::Begun(epoch), &mut kept);
    kept.cut = reading.cut;
    let path = newer(dir);
    let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(error("open", &path))?;
    // A line that a crash cut off must not swallow the next one.
    file.write_all(b"\n").and_then(|()| put(&mut file, &Line::Begun(epoch))).map_err(error("write", &path))?;
    let (to, notes) = sync_channel(WAITING_MAX);
    let writing = Writing { dir: dir.to_owned(), file, count };
    let spawned = std::thread::Builder::new().name("events".to_owned()).spawn(move || writing.run(&notes));
    let thread = spawned.map_err(error("start the writer of", dir))?;
    Ok((kept, Writer { to: Some(to), thread: Some(thread), last: None }))
}

fn newer(dir: &Path) -> PathBuf {
    dir.join("events.jsonl")
}

fn older(dir: &Path) -> PathBuf {
    dir.join("events.1.jsonl")
}

fn put(file: &mut File, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    file.write_all(&text)
}

/// Where reading stands.
#[derive(Debug, Default)]
struct Reading {
    /// Whether a server has begun and not ended, as far as is read.
    under_way: bool,
    /// Whether events may be missing here.
    cut: bool,
}

impl Reading {
    fn take(&mut self, line: Line, kept: &mut Kept) {
        match line {
            Line::Begun(_) => {
                self.cut |= self.under_way;
                self.under_way = true;
            }
            Line::Ended(last) => {
                self.under_way = false;
                self.cut |= last.is_some() && last != kept.last();
            }
            Line::Event(event) => {
                self.under_way = true;
                kept.cut = std::mem::take(&mut self.cut);
                kept.push(Arc::new(event));
            }
        }
    }
}

/// What the thread owns.
struct Writing {
    dir: PathBuf,
    file: File,
    count: usize,
}

impl Writing {
    fn run(mut self, notes: &Receiver<Note>) {
        if let Err(error) = self.write(notes) {
            // Following along is worth a warning, not an outage.
            tracing::error!(target: "prunella::server", dir = %self.dir.display(), %error, "events are no longer kept: they cannot be written");
        }
    }

    fn write(&mut self, notes: &Receiver<Note>) -> io::Result<()> {
        while let Ok(note) = notes.recv() {
            let event = match note {
                Note::Event(event) => event,
                Note::End(last) => {
                    put(&mut self.file, &Line::Ended(last))?;
                    return self.file.sync_data();
                }
                #[cfg(test)]
                Note::Settle(done) => {
                    drop(done);
                    continue;
                }
            };
            if self.count >= SEGMENT {
                fs::rename(newer(&self.dir), older(&self.dir))?;
                self.file = OpenOptions::new().create(true).append(true).open(newer(&self.dir))?;
                self.count = 0;
            }
            put(&mut self.file, &Line::Event(FleetEvent::clone(&event)))?;
            self.count += 1;
        }
        Ok(())
    }
}

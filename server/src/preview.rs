//! What another policy would have done with what was recorded.

use std::path::{Path, PathBuf};

use prunella_model::policy::FleetPolicy;
use prunella_replay::{Recording, Replay, replay};

use crate::journal::{self, JournalError};

/// How many recorded events a preview goes through: some seconds of work.
pub const EVENTS_MAX: usize = 50_000;

/// Why nothing can be gone through.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// There is none.
    #[error("there is no journal in {}", .0.display())]
    Nothing(PathBuf),
}

/// Reads one segment, or of a directory the newest that follow the last start of an engine, and no older ones once there are
/// `most` events. Says what was left out.
///
/// # Errors
/// [`RecordError`].
pub fn record(path: &Path, most: usize) -> Result<(Recording, Vec<String>), RecordError> {
    let paths = if path.is_dir() { journal::segments(path)? } else { vec![path.to_owned()] };
    let mut segments = Vec::new();
    let mut events = 0;
    for path in paths.iter().rev() {
        let segment = journal::read(path)?;
        if !segments.is_empty() && events + segment.events.len() > most {
            break;
        }
        events += segment.events.len();
        let exact = segment.start.exact;
        segments.push((path, segment));
        if exact {
            break;
        }
    }
    let mut warnings = Vec::new();
    let mut recording: Option<Recording> = None;
    for (path, segment) in segments.into_iter().rev() {
        if let Some(at) = segment.torn_at {
            warnings.push(format!("{}: the record at byte {at} is incomplete and left out", path.display()));
        }
        match &mut recording {
            None => {
                if !segment.start.exact {
                    let why = "its engine ran on from an earlier segment and knew more; the replay is not exact";
                    warnings.push(format!("{}: {why}", path.display()));
                }
                let start = segment.start;
                let (fleet, epoch, at, stored) = (start.fleet, start.epoch, start.at, start.stored);
                recording = Some(Recording { fleet, epoch, at, stored, events: segment.events });
            }
            Some(recording) => recording.events.extend(segment.events),
        }
    }
    let recording = recording.ok_or_else(|| RecordError::Nothing(path.to_owned()))?;
    Ok((recording, warnings))
}

/// What a policy would have done with the latest events of a journal.
#[derive(Debug)]
pub struct Preview {
    /// What was decided, and what would have been.
    pub replay: Replay,
    /// When the recording begins.
    pub since: prunella_model::Timestamp,
    /// What was left out, or is not exact.
    pub warnings: Vec<String>,
}

/// Goes through the latest events of a journal under `policy`.
///
/// # Errors
/// [`RecordError`].
pub fn preview(journal: &Path, policy: &FleetPolicy) -> Result<Preview, RecordError> {
    let (mut recording, mut warnings) = record(journal, EVENTS_MAX)?;
    if recording.events.len() > EVENTS_MAX {
        recording.events.truncate(EVENTS_MAX);
        warnings.push(format!("only the first {EVENTS_MAX} events of the newest segment were gone through"));
    }
    let replay = replay(&recording, Some(policy));
    Ok(Preview { replay, since: recording.at, warnings })
}

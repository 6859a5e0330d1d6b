//! What the ledger's records say, and their bytes.

use prunella_model::outcome::OutcomeReport;
use prunella_model::step::TargetStep;
use prunella_model::{CommandId, Generation, Timestamp};
use prunella_seal::chain::Head;
use serde::{Deserialize, Serialize};

use super::{LedgerError, REPORT_MAX};

/// The format of the bodies; the first record names it.
const FORMAT: u32 = 1;

/// One record. New kinds are added at the end: their order is their number on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Entry {
    /// The first record of a file: everything before it that still matters.
    Checkpoint(Checkpoint),
    /// A command will be carried out.
    Intent { command: CommandId, generation: Generation, at: Timestamp, intent: Vec<u8> },
    /// A step begins.
    Executing { command: CommandId, step: u32 },
    /// A command has an outcome. In JSON, which later versions can still read when outcomes have changed.
    Finished { command: CommandId, report: String },
    /// A server has the outcome.
    Acknowledged { command: CommandId },
}

/// What still matters of everything before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    pub(super) format: u32,
    /// Where the file before this one ended.
    pub(super) continues: (u64, [u8; 32]),
    pub(super) mark: Generation,
    /// Ids up to this one that are not listed were handled and forgotten.
    pub(super) floor: Option<CommandId>,
    pub(super) pages: Vec<SavedPage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedPage {
    pub(super) command: CommandId,
    pub(super) at: Timestamp,
    /// What it did or will do; empty when it did nothing, as a refused one or a dry run.
    pub(super) steps: Vec<TargetStep>,
    pub(super) progress: SavedProgress,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum SavedProgress {
    Open { intent: Vec<u8>, begun: Option<u32> },
    Finished { report: String },
    Acknowledged,
}

impl Checkpoint {
    pub(super) fn new(before: Head, mark: Generation, floor: Option<CommandId>, pages: Vec<SavedPage>) -> Self {
        Self { format: FORMAT, continues: (before.sequence, before.hash), mark, floor, pages }
    }
}

impl Entry {
    /// The entry of an outcome. Notes that are too long are left out; they are for people, and the outcome counts.
    pub(super) fn finished(report: &OutcomeReport) -> Result<Self, LedgerError> {
        let mut text = report_to_json(report);
        if text.len() > REPORT_MAX {
            let notes = vec!["the notes were too long to be kept".to_owned()];
            text = report_to_json(&OutcomeReport { notes, ..report.clone() });
        }
        if text.len() > REPORT_MAX {
            return Err(LedgerError::TooLong { what: "outcome report", bytes: text.len(), limit: REPORT_MAX });
        }
        Ok(Self::Finished { command: report.command, report: text })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // Plain values always have an encoding, and memory is the only thing that it could want for.
        postcard::to_stdvec(self).unwrap_or_default()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (entry, rest) = postcard::take_from_bytes::<Self>(bytes).map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            return Err("it is longer than what it says".to_owned());
        }
        match &entry {
            Self::Checkpoint(it) if it.format != FORMAT => {
                Err(format!("it has format {}, and this version knows format {FORMAT}", it.format))
            }
            Self::Checkpoint(_)
            | Self::Intent { .. }
            | Self::Executing { .. }
            | Self::Finished { .. }
            | Self::Acknowledged { .. } => Ok(entry),
        }
    }
}

pub(super) fn report_to_json(report: &OutcomeReport) -> String {
    // Text, numbers and enums always have a JSON form.
    serde_json::to_string(report).unwrap_or_default()
}

pub(super) fn report_from_json(text: &str) -> Result<OutcomeReport, String> {
    serde_json::from_str(text).map_err(|error| format!("its outcome is unreadable: {error}"))
}

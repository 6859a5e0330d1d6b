//! What the fleet hears of saved files: a content was kept as known-good, put back, and seen in its place.

use prunella_model::event::EventKind;
use prunella_model::observation::{Finding, Observation, Sha256};
use prunella_model::outcome::Outcome;
use prunella_model::step::Step;
use prunella_model::{CommandId, IncidentId};

use crate::Engine;
use crate::changes::FileSeen;
use crate::key::Key;

/// How many contents of one target may wait to be seen in their place: more than any command puts back.
const RESTORED: usize = 16;

impl Engine {
    /// Compares what a probe now says of a file with what was known of it before.
    pub(crate) fn note_saved(&mut self, key: Key, before: Option<&Finding>, seen: &Observation) {
        let Some(now) = FileSeen::of(&seen.finding) else { return };
        let target = self.target_at(key);
        let declared = target.report.files.iter().find(|file| file.name.as_str() == seen.probe.as_str());
        let known = before.and_then(FileSeen::of).map(|it| it.known_good).or(declared.map(|it| it.known_good));
        // The first look at a file, of which no report speaks, says nothing of when it was kept.
        if let (Some(known), Some(good)) = (known, now.known_good)
            && known != Some(good)
        {
            let line = format!("{}: the content {good:?} is kept as known-good", seen.probe);
            self.announce(EventKind::SnapshotTaken, Some(key), None, line);
        }
        let Some(content) = now.content else { return };
        let target = self.target_mut(key);
        let waiting = target.restored.len();
        target.restored.retain(|it| *it != content);
        if target.restored.len() < waiting {
            let line = format!("{}: the content {content:?} that was put back is in its place", seen.probe);
            self.announce(EventKind::SnapshotVerified, Some(key), None, line);
        }
    }

    /// An agent has told what became of a command that may have put files back.
    pub(crate) fn note_restored(&mut self, key: Option<Key>, incident: IncidentId, command: CommandId) {
        let Some(record) = self.commands.get(&command) else { return };
        let Some(report) = &record.report else { return };
        let done = match &report.outcome {
            Outcome::Done => record.intent.steps.len(),
            Outcome::Failed { step, .. } => crate::key::at(*step),
            Outcome::Cancelled { done } => crate::key::at(*done),
            Outcome::Refused(_) | Outcome::Unknown { .. } | Outcome::Lost => 0,
        };
        let restored = record.intent.steps.iter().take(done).filter_map(|it| match &it.step {
            Step::RestoreFile { file, snapshot } => Some((file.clone(), *snapshot)),
            Step::StartService
            | Step::StopService { .. }
            | Step::RestartService { .. }
            | Step::SignalProcess { .. }
            | Step::CleanDirectory { .. }
            | Step::Use { .. } => None,
        });
        for (file, snapshot) in restored.collect::<Vec<(_, Sha256)>>() {
            let line = format!("{file}: command {command} put the content {snapshot:?} back");
            self.announce(EventKind::SnapshotRestored, key, Some(incident), line);
            let Some(key) = key else { continue };
            let waiting = &mut self.target_mut(key).restored;
            waiting.retain(|it| *it != snapshot);
            waiting.push(snapshot);
            if waiting.len() > RESTORED {
                waiting.remove(0);
            }
        }
    }
}

//! What the records add up to. Pure: the same records always make the same book.

use std::collections::BTreeMap;
use std::time::Duration;

use prunella_model::command::Intent;
use prunella_model::outcome::OutcomeReport;
use prunella_model::step::TargetStep;
use prunella_model::{CommandId, Generation, Timestamp};
use prunella_proto::wire::decode_intent;
use prunella_seal::chain::Head;

use super::entry::{Checkpoint, Entry, SavedPage, SavedProgress, report_from_json, report_to_json};
use super::{State, Unfinished};

/// How many acknowledged commands are remembered one by one. Older ids are known by their order.
const REMEMBERED: usize = 1024;

const HOUR: Duration = Duration::from_secs(3600);

/// Everything the ledger knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Book {
    mark: Generation,
    floor: Option<CommandId>,
    pages: BTreeMap<CommandId, Page>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Page {
    at: Timestamp,
    steps: Vec<TargetStep>,
    progress: Progress,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    Open { bytes: Vec<u8>, intent: Box<Intent>, begun: Option<u32> },
    Finished(Box<OutcomeReport>),
    Acknowledged,
}

impl Book {
    /// The book after one more record; the first must be a checkpoint, and no later one may be.
    pub(super) fn replay(book: Option<Self>, entry: Entry) -> Result<Self, String> {
        match (book, entry) {
            (None, Entry::Checkpoint(it)) => Self::from_checkpoint(it),
            (None, _) => Err("the first record is no checkpoint".to_owned()),
            (Some(mut book), entry) => book.apply(entry).map(|()| book),
        }
    }

    pub(super) fn apply(&mut self, entry: Entry) -> Result<(), String> {
        match entry {
            Entry::Checkpoint(_) => Err("a checkpoint stands in the middle".to_owned()),
            Entry::Intent { command, generation, at, intent: bytes } => {
                if self.knows(command).is_some() {
                    return Err(format!("command {command} is intended twice"));
                }
                let page = open_page(at, bytes, None)?;
                self.mark = self.mark.max(generation);
                self.pages.insert(command, page);
                Ok(())
            }
            Entry::Executing { command, step } => match self.pages.get_mut(&command).map(|it| &mut it.progress) {
                Some(Progress::Open { begun, .. }) => {
                    *begun = Some(step);
                    Ok(())
                }
                Some(Progress::Finished(_) | Progress::Acknowledged) | None => {
                    Err(format!("a step of command {command} begins, which is not under way"))
                }
            },
            Entry::Finished { command, report } => self.finish(command, report_from_json(&report)?),
            Entry::Acknowledged { command } => self.acknowledge(command),
        }
    }

    fn finish(&mut self, command: CommandId, report: OutcomeReport) -> Result<(), String> {
        let refused = Page { at: report.ended_at, steps: Vec::new(), progress: Progress::Acknowledged };
        let page = self.pages.entry(command).or_insert(refused);
        page.progress = Progress::Finished(Box::new(report));
        Ok(())
    }

    fn acknowledge(&mut self, command: CommandId) -> Result<(), String> {
        let page = self.pages.get_mut(&command).ok_or_else(|| format!("command {command} is acknowledged unknown"))?;
        page.progress = Progress::Acknowledged;
        let done = |page: &Page| matches!(page.progress, Progress::Acknowledged);
        if self.pages.values().filter(|page| done(page)).count() > REMEMBERED
            && let Some(oldest) = self.pages.iter().find(|(_, page)| done(page)).map(|(id, _)| *id)
        {
            self.pages.remove(&oldest);
            self.floor = self.floor.max(Some(oldest));
        }
        Ok(())
    }

    pub(super) fn knows(&self, command: CommandId) -> Option<State> {
        match self.pages.get(&command).map(|it| &it.progress) {
            Some(Progress::Open { begun: None, .. }) => Some(State::Intended),
            Some(Progress::Open { begun: Some(step), .. }) => Some(State::Executing { step: *step }),
            Some(Progress::Finished(report)) => Some(State::Finished(report.as_ref().clone())),
            Some(Progress::Acknowledged) => Some(State::Acknowledged),
            None => self.floor.filter(|floor| command <= *floor).map(|_| State::Forgotten),
        }
    }

    pub(super) fn unfinished(&self) -> Vec<Unfinished> {
        let open = self.pages.values().filter_map(|page| match &page.progress {
            Progress::Open { intent, begun, .. } => {
                Some(Unfinished { intent: intent.as_ref().clone(), at: page.at, begun: *begun })
            }
            Progress::Finished(_) | Progress::Acknowledged => None,
        });
        open.collect()
    }

    pub(super) fn unacknowledged(&self) -> Vec<OutcomeReport> {
        let finished = self.pages.values().filter_map(|page| match &page.progress {
            Progress::Finished(report) => Some(report.as_ref().clone()),
            Progress::Open { .. } | Progress::Acknowledged => None,
        });
        finished.collect()
    }

    pub(super) fn mark(&self) -> Generation {
        self.mark
    }

    pub(super) fn recent(&self, now: Timestamp) -> Vec<(Duration, Vec<TargetStep>)> {
        let acted = self.pages.values().filter(|page| !page.steps.is_empty());
        acted.map(|page| (now.since(page.at), page.steps.clone())).filter(|(age, _)| *age < HOUR).collect()
    }

    pub(super) fn checkpoint(&self, before: Head) -> Checkpoint {
        let pages = self.pages.iter().map(|(command, page)| SavedPage {
            command: *command,
            at: page.at,
            steps: page.steps.clone(),
            progress: match &page.progress {
                Progress::Open { bytes, begun, .. } => SavedProgress::Open { intent: bytes.clone(), begun: *begun },
                Progress::Finished(report) => SavedProgress::Finished { report: report_to_json(report) },
                Progress::Acknowledged => SavedProgress::Acknowledged,
            },
        });
        Checkpoint::new(before, self.mark, self.floor, pages.collect())
    }

    fn from_checkpoint(it: Checkpoint) -> Result<Self, String> {
        let mut pages = BTreeMap::new();
        for saved in it.pages {
            let page = match saved.progress {
                SavedProgress::Open { intent, begun } => open_page(saved.at, intent, begun)?,
                SavedProgress::Finished { report } => Page {
                    at: saved.at,
                    steps: saved.steps,
                    progress: Progress::Finished(Box::new(report_from_json(&report)?)),
                },
                SavedProgress::Acknowledged => {
                    Page { at: saved.at, steps: saved.steps, progress: Progress::Acknowledged }
                }
            };
            pages.insert(saved.command, page);
        }
        Ok(Self { mark: it.mark, floor: it.floor, pages })
    }
}

fn open_page(at: Timestamp, bytes: Vec<u8>, begun: Option<u32>) -> Result<Page, String> {
    let intent = decode_intent(&bytes).map_err(|error| format!("its intent is unreadable: {error}"))?;
    let steps = if intent.dry_run { Vec::new() } else { intent.steps.clone() };
    Ok(Page { at, steps, progress: Progress::Open { bytes, intent: Box::new(intent), begun } })
}

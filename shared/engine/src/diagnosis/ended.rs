//! Why a process ended.

use std::time::Duration;

use prunella_model::Timestamp;
use prunella_model::observation::{Finding, ProbeKind, Status};
use prunella_model::step::StepKind;

use super::Draft;
use crate::Engine;
use crate::cause::Cause;
use crate::incident::Case;
use crate::key::{Key, at};
use crate::target::{Life, Probe, Target};

/// A file's change may be noticed so much later than the failure that it led to.
const NOTICED: Duration = Duration::from_secs(1);

/// A look at a file takes no longer than this, the way to the host and back included.
const ONE_LOOK: Duration = Duration::from_millis(500);

impl Engine {
    /// The file probe that saw a change from known-good content before `failed`.
    pub(super) fn changed_file<'a>(&self, key: Key, target: &'a Target, failed: Timestamp) -> Option<&'a Probe> {
        let contact = self.hosts[at(key.host)].contact();
        target.of_kind(ProbeKind::File).find(|probe| {
            let fresh = probe.fresh(self.now, contact, self.policy.verification.fresh);
            let changed = matches!(&probe.finding, Some(Finding::FileChanged { known_good: Some(_), .. }));
            fresh.is_some_and(|seen| seen.status == Status::Down) && changed && probe.since <= failed.after(NOTICED)
        })
    }

    /// How long to wait for a look at a target's files, when its process ended by itself and none of them was looked at
    /// since: what ended it may be a file that was changed at the same moment. Only before the first diagnosis, and for
    /// one look: null when that has come, or should have.
    pub(super) fn file_to_look_at(&self, case: &Case, target: &Target) -> Option<Duration> {
        if case.it.diagnosis.is_some() || case.forced.is_some() || !self.hosts[at(case.key.host)].online() {
            return None;
        }
        let exit = target.process.exits.back().filter(|exit| !exit.came_from_outside())?;
        let looked = |probe: &Probe| probe.last().is_some_and(|seen| seen.host >= exit.host);
        if target.of_kind(ProbeKind::File).all(looked) || self.changed_file(case.key, target, exit.host).is_some() {
            return None;
        }
        let left = ONE_LOOK.checked_sub(self.now.since(case.it.opened_at))?;
        (!left.is_zero()).then_some(left)
    }

    pub(super) fn why_ended(&self, case: &Case, target: &Target, looping: bool, full: bool, draft: &mut Draft) {
        let exit = target.process.exits.back().filter(|_| target.process.life == Life::Ended);
        let failed = exit.map_or(case.it.fault.since, |exit| exit.host);
        let outside = exit.is_some_and(crate::target::Exit::came_from_outside);
        let did_not_help = case.it.attempts.iter().any(|it| crate::plan::failed(it.verdict));
        if let Some(thief) = thief(target) {
            (draft.cause, draft.confidence) = (Cause::PortStolen, 0.9);
            draft.reject(Cause::Killed, format!("its declared rule {thief} matches a process that is in its way"));
            return;
        }
        if let Some(probe) = self.changed_file(case.key, target, failed) {
            let text = format!("{} differs from its known-good content", probe.report.name);
            draft.evidence.push(self.seen(case.key, probe, text));
            if looping || did_not_help || case.relapsed || !outside {
                draft.cause = Cause::ConfigCorrupted;
                draft.confidence = if looping || did_not_help { 0.9 } else { 0.75 };
                draft.reject(Cause::Killed, "a file changed before it ended, and a restart alone would not mend that");
                return;
            }
            draft.reject(Cause::ConfigCorrupted, "a file changed, but something outside ended the process");
        } else {
            draft.reject(Cause::ConfigCorrupted, "no file differs from its known-good content");
        }
        if full && !outside {
            (draft.cause, draft.confidence) = (Cause::DirectoryFull, 0.7);
            return;
        }
        if (looping || did_not_help || case.relapsed) && !outside && self.blame_version(case, draft) {
            draft.reject(Cause::Killed, "its version changed before it failed, and a restart did not mend that");
            return;
        }
        if looping {
            (draft.cause, draft.confidence) = (Cause::Unknown, 0.4);
            draft.reject(Cause::Killed, "it ended by itself again and again");
            return;
        }
        draft.cause = Cause::Killed;
        draft.confidence = match exit {
            Some(_) if outside => 0.95,
            Some(_) => 0.85,
            None => 0.7,
        };
        draft.reject(Cause::Hung, "there is no process that could hang");
        draft.reject(Cause::Upstream, "that a process ends is its own symptom, whatever it depends on");
    }

    /// Blames a deploy that came before the fault. False when there was none. Which one it was, the evidence says.
    pub(super) fn blame_version(&self, case: &Case, draft: &mut Draft) -> bool {
        let deployed = self.deployed_before(case.key, self.onset(case)).is_some();
        if deployed {
            (draft.cause, draft.confidence) = (Cause::BadVersion, 0.8);
        }
        deployed
    }
}

/// A declared rule for stray processes that matches one now.
fn thief(target: &Target) -> Option<&prunella_model::PartName> {
    let rules = target.report.parts_for(StepKind::KillProcess);
    rules.into_iter().find(|it| it.spare.is_some_and(|found| found > 0)).map(|it| &it.name)
}

//! What does not answer, or does not keep up: whose fault is it?

use std::time::Duration;

use prunella_model::Timestamp;
use prunella_model::incident::Evidence;
use prunella_model::observation::{Finding, Status};

use super::{Draft, Insight, is_late};
use crate::Engine;
use crate::blame::{Culprit, SUSPECTS};
use crate::brakes::works;
use crate::cause::Cause;
use crate::incident::Case;
use crate::key::Key;
use crate::rules::Symptom;
use crate::target::{Life, Probe, Target};

impl Engine {
    /// A target that does not answer: whose fault is it? Null when the draft is complete: its own.
    pub(super) fn why_silent(
        &self,
        case: &Case,
        target: &Target,
        present: &[(String, Symptom)],
        draft: &mut Draft,
    ) -> Option<Insight> {
        let probe = |symptom: &Symptom| symptom.probe.as_ref().and_then(|name| target.probe(name));
        let silent: Vec<&Probe> = present.iter().filter_map(|(_, symptom)| probe(symptom)).collect();
        let onset = silent.iter().map(|probe| probe.since_at).min().unwrap_or(case.it.opened_at);
        let onset = onset.max(case.afresh);
        let upstream = self.upstream(case.key, onset);
        for name in &upstream.missing {
            draft.reject(
                Cause::Upstream,
                format!("{name} is declared as needed, but nothing in the fleet has that name"),
            );
        }
        if let Some(victim) = self.caught_with(case.key) {
            draft.reject(Cause::Hung, "it is caught in a deadlock with what is blamed, which costs less to end");
            return Some(self.blame_one(case, victim, draft));
        }
        if target.stuck.is_some() {
            (draft.cause, draft.confidence) = (Cause::Deadlock, 0.9);
            draft.reject(Cause::Hung, "what it waits for waits for it; of those, it costs least to end");
            return None;
        }
        if let Some(first) = upstream.culprits.first() {
            return Some(self.blame_first(case, first, &upstream.culprits, draft));
        }
        let unheard: Vec<Key> = self.waited_for(case.key).filter(|key| !self.heard_waits(*key, onset)).collect();
        if !unheard.is_empty() {
            return Some(Insight::Wait(unheard));
        }
        if let Some(saturated) = self.bottleneck(case.key) {
            let name = self.reference(saturated);
            draft.reject(Cause::Hung, format!("{name} is saturated, and explains more than this one"));
            return Some(self.blame_one(case, saturated, draft));
        }
        if !upstream.unknown.is_empty() && works("proof_of_needs") {
            return Some(Insight::Wait(upstream.unknown));
        }
        if let Some(left) = self.settling(&upstream.well, onset) {
            return Some(Insight::Settling(left));
        }
        let proven = upstream.well.iter().filter_map(|key| self.proven_at(*key, onset)).max();
        if proven.is_some_and(|proven| !silent.iter().any(|probe| probe.began().is_some_and(|at| at >= proven))) {
            return Some(Insight::Wait(vec![case.key]));
        }
        for well in &upstream.well {
            let name = self.reference(*well);
            draft.reject(Cause::Upstream, format!("{name} is well, on evidence newer than the symptom"));
        }
        if upstream.well.is_empty() && upstream.missing.is_empty() {
            draft.reject(Cause::Upstream, "it depends on nothing");
        }
        let bad_answer = silent.iter().any(|probe| matches!(probe.finding, Some(Finding::BadAnswer { .. })));
        let since = silent.iter().map(|probe| probe.since).min().unwrap_or(case.it.fault.since);
        if let Some(changed) = self.changed_file(case.key, target, since).filter(|_| bad_answer) {
            let text = format!("{} differs from its known-good content", changed.report.name);
            draft.evidence.push(self.seen(case.key, changed, text));
            (draft.cause, draft.confidence) = (Cause::ConfigCorrupted, 0.6);
            return None;
        }
        let did_not_help = case.it.attempts.iter().any(|it| crate::plan::failed(it.verdict));
        if did_not_help && self.blame_version(case, draft) {
            draft.reject(Cause::Hung, "its version changed before it failed, and a restart did not mend that");
            return None;
        }
        let alive = if target.process.life == Life::Running { 0.9 } else { 0.6 };
        // What answers does not hang, and what mends the one need not mend the other: they are learned apart.
        let answers = |probe: &&Probe| matches!(probe.finding, Some(Finding::BadAnswer { .. }));
        if !silent.is_empty() && silent.iter().all(answers) {
            (draft.cause, draft.confidence) = (Cause::BadAnswers, alive);
            draft.reject(Cause::Hung, "it answers, but wrongly");
        } else {
            (draft.cause, draft.confidence) = (Cause::Hung, alive);
        }
        if target.process.life == Life::Running {
            draft.reject(Cause::Killed, "its process lives");
        }
        None
    }

    /// What it depends on is broken: the most suspect is blamed, the next ones are named.
    fn blame_first(&self, case: &Case, first: &Culprit, culprits: &[Culprit], draft: &mut Draft) -> Insight {
        let mut own = Draft {
            cause: Cause::Upstream,
            confidence: if self.target_at(first.key).process.life == Life::Ended { 0.95 } else { 0.85 },
            evidence: std::mem::take(&mut draft.evidence),
            rejected: Vec::new(),
        };
        for broken in culprits.iter().take(SUSPECTS) {
            own.evidence.extend(self.broken_evidence(broken.key));
        }
        if is_late(draft.cause) {
            own.reject(draft.cause, "what it depends on is broken, which explains that it falls behind");
        } else {
            own.reject(Cause::Hung, "what it depends on is broken, which explains its silence");
        }
        let name = self.reference(first.key);
        for other in culprits.iter().skip(1).take(SUSPECTS - 1) {
            let (other_name, why) = (self.reference(other.key), other.against(first));
            own.reject(Cause::Upstream, format!("{other_name} is broken too, but {name} is more suspect: {why}"));
        }
        if culprits.len() > SUSPECTS {
            own.reject(Cause::Upstream, format!("{} more are broken too", culprits.len() - SUSPECTS));
        }
        Insight::Upstream(first.key, self.conclusion(case, own, first.key))
    }

    /// What a custom rule found. It may see through to what the target depends on, or be about something that follows from
    /// it; so nothing is done before that is known to be well. Null when the draft is complete: the fault is the target's.
    pub(super) fn why_declared(
        &self,
        case: &Case,
        target: &Target,
        present: &[(String, Symptom)],
        draft: &mut Draft,
    ) -> Option<Insight> {
        let probes = present.iter().filter_map(|(_, symptom)| target.probe(symptom.probe.as_ref()?));
        let through = probes.into_iter().any(|probe| {
            probe.report.kind.sees_through() && probe.last().is_some_and(|seen| seen.status == Status::Down)
        });
        let insight = if through {
            self.why_silent(case, target, present, draft)
        } else {
            let culprits = self.upstream(case.key, case.it.opened_at.max(case.afresh)).culprits;
            culprits.first().map(|first| self.blame_first(case, first, &culprits, draft))
        };
        if insight.is_none() {
            (draft.cause, draft.confidence) = (Cause::Declared, 0.7);
            draft.reject(Cause::Unknown, "the fleet policy has a rule for just this");
        }
        insight
    }

    /// Something else explains its silence, on the evidence of the other's own incident.
    fn blame_one(&self, case: &Case, culprit: Key, draft: &mut Draft) -> Insight {
        let incident = self.target_at(culprit).incident.and_then(|id| self.cases.get(&id));
        let mut evidence = std::mem::take(&mut draft.evidence);
        evidence.extend(incident.map(|other| Evidence {
            at: other.it.fault.since,
            target: self.reference(culprit),
            probe: other.it.fault.symptom.clone(),
            status: None,
            text: other.it.fault.summary.clone(),
        }));
        let rejected = std::mem::take(&mut draft.rejected);
        let own = Draft { cause: Cause::Upstream, confidence: 0.8, evidence, rejected };
        Insight::Upstream(culprit, self.conclusion(case, own, culprit))
    }

    /// How long after its cause is gone a target may take to recover.
    pub(crate) fn grace(&self) -> Duration {
        self.policy.verification.deadline / 2
    }

    /// How much of the grace is left because something that is needed was broken at or after `onset`.
    fn settling(&self, well: &[Key], onset: Timestamp) -> Option<Duration> {
        let recovered =
            well.iter().filter_map(|key| self.target_at(*key).well_since).filter(|since| *since >= onset).max();
        let left = self.grace().saturating_sub(self.now.since(recovered?));
        (!left.is_zero()).then_some(left)
    }

    /// A queue is not worked off: is whoever works on it to blame, or what that one depends on? Null when it is.
    pub(super) fn why_late(&self, case: &Case, draft: &mut Draft) -> Option<Insight> {
        let upstream = self.upstream(case.key, case.it.opened_at.max(case.afresh));
        if let Some(first) = upstream.culprits.first() {
            return Some(self.blame_first(case, first, &upstream.culprits, draft));
        }
        if !upstream.unknown.is_empty() {
            return Some(Insight::Wait(upstream.unknown));
        }
        for well in &upstream.well {
            draft.reject(Cause::Upstream, format!("{} is well", self.reference(*well)));
        }
        None
    }

    fn broken_evidence(&self, key: Key) -> Vec<Evidence> {
        let target = self.target_at(key);
        let down = target.probes.iter().filter(|probe| probe.last().is_some_and(|seen| seen.status == Status::Down));
        let mut all: Vec<Evidence> = down
            .map(|probe| self.seen(key, probe, format!("{} of {} fails", probe.report.name, self.reference(key))))
            .collect();
        if all.is_empty() {
            all.push(Evidence {
                at: self.now,
                target: self.reference(key),
                probe: None,
                status: None,
                text: format!("{} is out of reach or being repaired", self.reference(key)),
            });
        }
        all
    }
}

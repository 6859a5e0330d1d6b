//! From symptoms to a cause, with what it stands on and what was rejected.

mod ended;
mod silent;

use prunella_model::CauseName;
use prunella_model::incident::{Diagnosis, Evidence, Fault, Priority, Severity};
use prunella_model::observation::Status;
use prunella_model::{RepairName, Timestamp};
use std::time::Duration;

use crate::Engine;
use crate::cause::Cause;
use crate::incident::{Case, REPORTED};
use crate::key::{Key, at};
use crate::repairs::{Patient, REPAIRS};
use crate::rules::{self, Judgement, Subject, Symptom};
use crate::target::Probe;

/// What judging an incident's symptoms gives.
#[derive(Debug, Clone)]
pub(crate) enum Presence {
    /// Some are there; each with the name of its rule.
    Present(Vec<(String, Symptom)>),
    /// All are gone, on fresh evidence; so many good verdicts in a row.
    Gone(u32),
    /// There is no fresh evidence.
    Unknown,
}

/// What a diagnosis comes to.
#[derive(Debug, Clone)]
pub(crate) enum Insight {
    /// The cause lies here.
    Here(Cause, Diagnosis),
    /// The cause lies upstream, in that target.
    Upstream(Key, Diagnosis),
    /// These must be looked at first.
    Wait(Vec<Key>),
    /// What it depends on was broken when the symptom began and is well again since then: it is given this long to
    /// recover.
    Settling(Duration),
}

/// A diagnosis in the making.
struct Draft {
    cause: Cause,
    confidence: f64,
    evidence: Vec<Evidence>,
    rejected: Vec<(CauseName, String)>,
}

impl Draft {
    fn reject(&mut self, cause: Cause, why: impl Into<String>) {
        self.rejected.push((cause.name(), why.into()));
    }
}

impl Engine {
    /// Judges one rule on one target.
    pub(crate) fn judge(&self, rule: usize, key: Key, since: Timestamp) -> Judgement {
        if let Some(custom) = rule.checked_sub(rules::RULES.len()) {
            return self.judge_custom(custom, key, since);
        }
        let tuning = &self.tuning[rule];
        if !tuning.enabled {
            return Judgement::Absent(u32::MAX);
        }
        let host = &self.hosts[at(key.host)];
        let target = &host.targets[at(key.target)];
        let fresh = self.policy.verification.fresh;
        let open = target.incident.and_then(|id| self.cases.get(&id));
        rules::RULES[rule].judge(&Subject { host, target, open, rule, tuning, now: self.now, fresh, since })
    }

    /// Judges an incident's symptoms on what was seen at or after `since`, by the host's clock.
    pub(crate) fn presence(&self, case: &Case, since: Timestamp) -> Presence {
        let mut present = Vec::new();
        let (mut unknown, mut good) = (false, u32::MAX);
        let kind = Self::kind_of(case);
        // A broken probe or a slow agent must not make a repair of something else look as if it had not helped.
        let only_agent = case.only_agent();
        for fault in case.faults().filter(|fault| only_agent || !rules::about_agent(&fault.rule)) {
            let judgement = match self.rule_index(&fault.rule) {
                Some(rule) if self.speaks(rule) => self.judge(rule, case.key, since),
                // In shadow it holds nothing against the target.
                Some(_) => Judgement::Absent(u32::MAX),
                None => match kind {
                    Some(kind) => self.judge_optimisation(case, kind),
                    None => self.judge_reported(case, fault, since),
                },
            };
            match judgement {
                Judgement::Present(symptom) => present.push((fault.rule.to_string(), symptom)),
                Judgement::Absent(row) => good = good.min(row),
                Judgement::Unknown => unknown = true,
            }
        }
        if !present.is_empty() {
            Presence::Present(present)
        } else if unknown {
            Presence::Unknown
        } else {
            Presence::Gone(good)
        }
    }

    /// A fault that was reported lasts until something was done or every report was taken back; then the target's own
    /// probes say whether it is well.
    fn judge_reported(&self, case: &Case, fault: &Fault, since: Timestamp) -> Judgement {
        let reported = fault.rule.as_str() == REPORTED && since == Timestamp::ZERO;
        let since = if reported { self.reports_over(case).unwrap_or(since) } else { since };
        if since == Timestamp::ZERO {
            let symptom = Symptom { since: fault.since, probe: None, summary: fault.summary.clone() };
            return Judgement::Present(symptom);
        }
        let mut worst = Judgement::Absent(u32::MAX);
        for (rule, _) in rules::RULES.iter().enumerate().take(rules::ABOUT_SERVICE) {
            match (self.judge(rule, case.key, since), &worst) {
                (Judgement::Present(symptom), _) => return Judgement::Present(symptom),
                (Judgement::Absent(row), Judgement::Absent(other)) => worst = Judgement::Absent(row.min(*other)),
                (Judgement::Absent(_) | Judgement::Unknown, _) => {}
            }
        }
        match worst {
            Judgement::Absent(u32::MAX) => Judgement::Unknown,
            Judgement::Absent(_) | Judgement::Present(_) | Judgement::Unknown => worst,
        }
    }

    /// Works out what is wrong from the symptoms that are there.
    pub(crate) fn diagnose(&self, case: &Case, present: &[(String, Symptom)]) -> Insight {
        let target = self.target_at(case.key);
        let has = |rule: &str| present.iter().any(|(name, _)| name == rule);
        let mut draft = Draft {
            cause: Cause::Unknown,
            confidence: 0.5,
            evidence: self.evidence_of(case, present),
            rejected: Vec::new(),
        };
        if let Some((cause, confidence)) = Self::optimisation_cause(case) {
            (draft.cause, draft.confidence) = (cause, confidence);
        } else if case.only_agent() {
            (draft.cause, draft.confidence) = self.agent_cause(case, has);
        } else if has(rules::PROCESS_DOWN) || has(rules::CRASH_LOOP) {
            if let Some(left) = self.file_to_look_at(case, target) {
                return Insight::Settling(left);
            }
            self.why_ended(case, target, has(rules::CRASH_LOOP), has(rules::DIRECTORY_FULL), &mut draft);
        } else if has(rules::DEADLOCK) {
            (draft.cause, draft.confidence) = (Cause::Deadlock, 0.95);
            draft.reject(Cause::Hung, "what it waits for waits for it; of those, it costs least to end");
        } else if has(rules::UNRESPONSIVE) {
            if let Some(insight) = self.why_silent(case, target, present, &mut draft) {
                return insight;
            }
            if has(rules::DIRECTORY_FULL) {
                (draft.cause, draft.confidence) = (Cause::DirectoryFull, 0.7);
            } else if let Some(leak) = leak(has) {
                (draft.cause, draft.confidence) = (leak, 0.7);
            }
        } else if has(rules::DIRECTORY_FULL) {
            (draft.cause, draft.confidence) = (Cause::DirectoryFull, 0.95);
        } else if let Some(leak) = leak(has) {
            (draft.cause, draft.confidence) = (leak, 0.85);
            draft.reject(Cause::Hung, "it still answers");
        } else if let Some((cause, confidence)) = late(has) {
            (draft.cause, draft.confidence) = (cause, confidence);
            if let Some(insight) = self.why_late(case, &mut draft) {
                return insight;
            }
        } else if has(rules::HOST_SILENT) {
            (draft.cause, draft.confidence) = (Cause::OutOfReach, 0.9);
        } else if present.iter().any(|(name, _)| self.custom_index(name).is_some()) {
            if let Some(insight) = self.why_declared(case, target, present, &mut draft) {
                return insight;
            }
        } else if has(rules::EXHAUSTION) {
            (draft.cause, draft.confidence) = (Cause::Exhaustion, 0.8);
            draft.reject(Cause::Overload, "it has not run out yet");
        } else if let Some(cause) = rules::checked(has) {
            (draft.cause, draft.confidence) = (cause, 0.9);
        } else if present
            .iter()
            .all(|(name, _)| [rules::LOG_ERRORS, rules::ANOMALY, rules::PEER_OUTLIER].contains(&name.as_str()))
        {
            (draft.cause, draft.confidence) = (Cause::Unusual, 0.3);
        } else if present.iter().any(|(name, _)| rules::index_of(name).is_some()) {
            (draft.cause, draft.confidence) = (Cause::Overload, 0.6);
        }
        Insight::Here(draft.cause, self.conclusion(case, draft, case.key))
    }

    fn evidence_of(&self, case: &Case, present: &[(String, Symptom)]) -> Vec<Evidence> {
        let target = self.reference(case.key);
        let one = |(_, symptom): &(String, Symptom)| Evidence {
            at: symptom.since,
            target: target.clone(),
            probe: symptom.probe.clone(),
            // An opportunity is nothing that a probe says is down.
            status: symptom.probe.as_ref().filter(|_| case.it.optimisation.is_none()).map(|_| Status::Down),
            text: symptom.summary.clone(),
        };
        present.iter().map(one).collect()
    }

    fn seen(&self, key: Key, probe: &Probe, text: String) -> Evidence {
        Evidence {
            at: probe.last().map_or(Timestamp::ZERO, |seen| seen.host),
            target: self.reference(key),
            probe: Some(probe.report.name.clone()),
            status: probe.last().map(|seen| seen.status),
            text,
        }
    }

    fn conclusion(&self, case: &Case, mut draft: Draft, cause_target: Key) -> Diagnosis {
        let onset = self.onset(case);
        draft.evidence.extend(self.change_evidence(cause_target, onset));
        // Only what is measured against a threshold can begin because the policy changed.
        let measured = rules::index(&case.it.fault.rule).is_some_and(|rule| self.tuning[rule].threshold > 0.0);
        if measured && case.it.fault.symptom.is_none() {
            draft.evidence.extend(self.policy_evidence(cause_target, onset));
        }
        let mut affected: Vec<_> = self.victims(case.key).into_iter().map(|(_, key)| self.reference(key)).collect();
        affected.sort();
        affected.dedup();
        let cause = draft.cause;
        let mut diagnosis = Diagnosis {
            category: draft.cause.category(),
            cause: draft.cause.name(),
            cause_target: self.reference(cause_target),
            confidence: draft.confidence,
            affected,
            evidence: draft.evidence,
            rejected: draft.rejected,
            recommended: Vec::new(),
            priority: priority(case.severity()),
        };
        diagnosis.recommended = self.recommended(case, cause, &diagnosis);
        diagnosis
    }

    /// The repairs that treat the cause and are of use here, the likeliest first.
    fn recommended(&self, case: &Case, cause: Cause, diagnosis: &Diagnosis) -> Vec<RepairName> {
        let patient = Patient { target: self.target_at(case.key), diagnosis, fault: &case.it.fault, restore: None };
        let mut recommended: Vec<(f64, &str)> = REPAIRS
            .iter()
            .filter(|repair| repair.fits(&patient))
            .filter_map(|repair| Some((self.prior(case, cause, *repair)?, repair.name())))
            .collect();
        recommended.sort_by(|a, b| b.0.total_cmp(&a.0));
        recommended.into_iter().map(|(_, name)| RepairName::of(name)).collect()
    }
}

/// Whether a cause is the trouble of a queue.
const fn is_late(cause: Cause) -> bool {
    matches!(cause, Cause::QueueBacklog | Cause::JobTimeout | Cause::QueueExhausted | Cause::JobSlow)
}

/// The cause of a leak, where one was found.
fn leak(has: impl Fn(&str) -> bool) -> Option<Cause> {
    let leaks = [
        (rules::MEMORY_LEAK, Cause::MemoryLeak),
        (rules::DESCRIPTOR_LEAK, Cause::DescriptorLeak),
        (rules::THREAD_LEAK, Cause::ThreadLeak),
    ];
    leaks.into_iter().find(|(rule, _)| has(rule)).map(|(_, cause)| cause)
}

/// The cause that the symptoms of a queue speak for, and how sure they are.
fn late(has: impl Fn(&str) -> bool) -> Option<(Cause, f64)> {
    let symptoms = [
        (rules::QUEUE_BACKLOG, Cause::QueueBacklog, 0.8),
        (rules::JOB_TIMEOUT, Cause::JobTimeout, 0.7),
        (rules::QUEUE_EXHAUSTED, Cause::QueueExhausted, 0.7),
        (rules::JOB_SLOW, Cause::JobSlow, 0.6),
    ];
    symptoms.into_iter().find(|(rule, _, _)| has(rule)).map(|(_, cause, sure)| (cause, sure))
}

/// How soon to act on a fault of that severity.
pub(crate) const fn priority(severity: Severity) -> Priority {
    match severity {
        Severity::Critical => Priority::Immediate,
        Severity::High => Priority::High,
        Severity::Medium => Priority::Normal,
        Severity::Low => Priority::Low,
        Severity::Info => Priority::Monitor,
    }
}

//! What worked, for which fingerprint, with how much certainty.
//!
//! A repair's chance is the mean of a Beta distribution: the catalogue's prior, worth two trials, and what happened
//! since. Credit for a recovery is shared with the chance that the fault would have gone away by itself meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use prunella_model::incident::Fingerprint;
use prunella_model::record::KnowledgeRecord;
use prunella_model::{RepairName, Timestamp};
use sha2::{Digest, Sha256};

/// How many trials the catalogue's prior is worth.
const PRIOR_TRIALS: f64 = 2.0;

/// The normal score of a one-sided 95 % bound.
const BOUND: f64 = 1.645;

/// The learned record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Knowledge {
    records: BTreeMap<(Fingerprint, RepairName), KnowledgeRecord>,
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Lesson {
    /// Verified to have recovered and stayed so, after this time.
    Healed(Duration),
    /// Verified not to have helped, or not for long.
    Failed,
    /// No verdict could be reached.
    Censored,
}

/// The stable name of "the same fault again": the same rule and symptom of the same kind of target, on any host.
pub(crate) fn fingerprint(rule: &str, kind: &str, symptom: Option<&str>) -> Fingerprint {
    let mut hash = Sha256::new();
    for part in ["prunella.fingerprint.v1", rule, kind, symptom.unwrap_or("")] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest = hash.finalize();
    Fingerprint(digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// The key under which it is learned what helps against a fault *from a cause*: what heals a killed process says nothing
/// of one whose configuration is corrupted.
pub(crate) fn lesson_key(fault: &Fingerprint, cause: &str) -> Fingerprint {
    fingerprint("lesson", &fault.0, Some(cause))
}

impl Knowledge {
    /// Goes on from what is stored.
    pub(crate) fn load(records: Vec<KnowledgeRecord>) -> Self {
        Self { records: records.into_iter().map(|it| ((it.fingerprint.clone(), it.repair.clone()), it)).collect() }
    }

    /// Everything that is known.
    pub(crate) fn all(&self) -> Vec<KnowledgeRecord> {
        self.records.values().cloned().collect()
    }

    /// What is known of a repair for a fault. All fingerprints here are those of [`lesson_key`].
    pub(crate) fn of(&self, fingerprint: &Fingerprint, repair: &RepairName) -> Option<&KnowledgeRecord> {
        self.records.get(&(fingerprint.clone(), repair.clone()))
    }

    /// The expected chance that the repair heals the fault.
    pub(crate) fn chance(&self, fingerprint: &Fingerprint, repair: &RepairName, prior: f64) -> f64 {
        let (healed, failed) = self.of(fingerprint, repair).map_or((0.0, 0.0), |it| (it.healed, it.failed));
        (prior * PRIOR_TRIALS + healed) / (PRIOR_TRIALS + healed + failed)
    }

    /// The lower end of what the chance may be, and how many trials that stands on.
    ///
    /// By the normal approximation of the Beta distribution, which is good enough to say "not shown to help".
    pub(crate) fn lower(&self, fingerprint: &Fingerprint, repair: &RepairName, prior: f64) -> (f64, f64) {
        let trials = self.of(fingerprint, repair).map_or(0.0, |it| it.healed + it.failed);
        let mean = self.chance(fingerprint, repair, prior);
        let deviation = libm::sqrt(mean * (1.0 - mean) / (PRIOR_TRIALS + trials + 1.0));
        ((mean - BOUND * deviation).max(0.0), trials)
    }

    /// Learns from a trial and returns what to store.
    pub(crate) fn learn(
        &mut self,
        fingerprint: &Fingerprint,
        repair: &RepairName,
        lesson: Lesson,
        (chance, alone): (f64, f64),
        now: Timestamp,
    ) -> KnowledgeRecord {
        let key = (fingerprint.clone(), repair.clone());
        let record = self.records.entry(key).or_insert_with(|| KnowledgeRecord {
            fingerprint: fingerprint.clone(),
            repair: repair.clone(),
            healed: 0.0,
            failed: 0.0,
            censored: 0,
            mean_time: None,
            updated_at: now,
        });
        record.updated_at = now;
        match lesson {
            Lesson::Healed(took) => {
                let credit = chance / (chance + alone * (1.0 - chance)).max(f64::MIN_POSITIVE);
                let before = record.healed;
                record.healed += credit.clamp(0.0, 1.0);
                record.mean_time = Some(match record.mean_time {
                    Some(mean) if record.healed > 0.0 => {
                        let seconds = (mean.as_secs_f64() * before + took.as_secs_f64() * credit) / record.healed;
                        Duration::from_micros(micros(seconds))
                    }
                    Some(_) | None => took,
                });
            }
            Lesson::Failed => record.failed += 1.0,
            Lesson::Censored => record.censored += 1,
        }
        record.clone()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6).clamp(0.0, 1e15) as u64
}

/// The chance that the fault goes away by itself within `during`.
pub(crate) fn alone(mean: Duration, during: Duration) -> f64 {
    1.0 - libm::exp(-during.as_secs_f64() / mean.as_secs_f64().max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_loses_its_chance_and_what_heals_gains() {
        let mut knowledge = Knowledge::default();
        let print = fingerprint("unresponsive", "web", Some("http"));
        let repair = RepairName::of("restart_service");
        let before = knowledge.chance(&print, &repair, 0.8);
        knowledge.learn(&print, &repair, Lesson::Healed(Duration::from_secs(2)), (0.8, 0.0), Timestamp::ZERO);
        assert!(knowledge.chance(&print, &repair, 0.8) > before);
        for _ in 0..20 {
            knowledge.learn(&print, &repair, Lesson::Failed, (0.8, 0.0), Timestamp::ZERO);
        }
        assert!(knowledge.lower(&print, &repair, 0.8).0 < 0.05);
        knowledge.learn(&print, &repair, Lesson::Censored, (0.8, 0.0), Timestamp::ZERO);
        assert_eq!(knowledge.of(&print, &repair).map(|it| it.censored), Some(1));
    }
}

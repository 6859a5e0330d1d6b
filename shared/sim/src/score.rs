//! The figures by which whoever repairs a fleet is compared: the engine and the baselines, over one seed or many.

use serde::Serialize;

/// Counts of one or more runs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tally {
    /// Faults that call for an incident, and lasted long enough to be noticed or ended unnoticed.
    pub expected: u64,
    /// Of those, how many an incident told of.
    pub detected: u64,
    /// Incidents of targets with something wrong with them, or with what they stand on.
    pub true_incidents: u64,
    /// Incidents of targets with nothing wrong.
    pub false_incidents: u64,
    /// Faults with a first diagnosis.
    pub diagnosed: u64,
    /// Of those, how many it was right for.
    pub cause_right: u64,
    /// Faults with a first decision.
    pub decided: u64,
    /// Of those, how many it was right for.
    pub first_right: u64,
    /// Repairs of targets with nothing wrong with themselves.
    pub collateral: u64,
    /// Incidents during which the right action was none, and that were repaired.
    pub needless: u64,
    /// Repairs that were tried.
    pub attempts: u64,
    /// Incidents for which at least one was.
    pub attempted: u64,
    /// From the beginning of each fault to its end by a repair, rising at the end of a run.
    pub repair_seconds: Vec<f64>,
    /// Target-seconds without service.
    pub downtime: f64,
    /// Of those, the ones in the second half of the run.
    pub learned_downtime: f64,
    /// Of all, the ones by the doing of kinds that a repair can cure.
    pub curable_downtime: f64,
}

/// Shares and means; null where there is nothing to take them of.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Scores {
    /// The share of the faults that call for an incident and got one.
    pub recall: Option<f64>,
    /// The share of the incidents that told of something.
    pub precision: Option<f64>,
    /// The share of first diagnoses, at the first repair or at the end, that named the true cause at its true place.
    pub cause_at_1: Option<f64>,
    /// The share of first decisions that were right: a repair that cures, or a person where only one can help.
    pub first_repair_correct: Option<f64>,
    /// Repairs of targets with nothing wrong with themselves.
    pub collateral: u64,
    /// Incidents that were repaired although the right action was none.
    pub needless_repairs: u64,
    /// Repairs tried for each incident for which any was.
    pub attempts_per_incident: Option<f64>,
    /// The mean time from the beginning of a fault to its end by a repair, in seconds.
    pub mttr_s: Option<f64>,
    /// The median of those times.
    pub mttr_median_s: Option<f64>,
    /// Time without service that users felt, summed over targets, in seconds.
    pub downtime_s: f64,
    /// Of that, what fell into the second half of the run, when something may have been learned.
    pub downtime_learned_s: f64,
    /// Of all, what came of the kinds that a shipped repair can cure; the rest waits for a person, whoever watches.
    pub downtime_curable_s: f64,
}

#[expect(clippy::cast_precision_loss, reason = "no simulation has 2^52 incidents")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl Tally {
    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.detected += other.detected;
        self.true_incidents += other.true_incidents;
        self.false_incidents += other.false_incidents;
        self.diagnosed += other.diagnosed;
        self.cause_right += other.cause_right;
        self.decided += other.decided;
        self.first_right += other.first_right;
        self.collateral += other.collateral;
        self.needless += other.needless;
        self.attempts += other.attempts;
        self.attempted += other.attempted;
        self.repair_seconds.extend_from_slice(&other.repair_seconds);
        self.repair_seconds.sort_by(f64::total_cmp);
        self.downtime += other.downtime;
        self.learned_downtime += other.learned_downtime;
        self.curable_downtime += other.curable_downtime;
    }

    /// What the counts come to.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "no simulation has 2^52 repairs")]
    pub fn scores(&self) -> Scores {
        let times = &self.repair_seconds;
        Scores {
            recall: share(self.detected, self.expected),
            precision: share(self.true_incidents, self.true_incidents + self.false_incidents),
            cause_at_1: share(self.cause_right, self.diagnosed),
            first_repair_correct: share(self.first_right, self.decided),
            collateral: self.collateral,
            needless_repairs: self.needless,
            attempts_per_incident: share(self.attempts, self.attempted),
            mttr_s: (!times.is_empty()).then(|| times.iter().sum::<f64>() / times.len() as f64),
            mttr_median_s: times.get(times.len() / 2).copied(),
            downtime_s: self.downtime,
            downtime_learned_s: self.learned_downtime,
            downtime_curable_s: self.curable_downtime,
        }
    }
}

//! Runs of several seeds taken together: the engine's figures, those of the baselines, and how sure they are.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::baselines::Baseline;
use crate::report::{KindReport, Report};
use crate::score::{Scores, Tally};

/// A 95 % confidence interval of a mean over seeds, by Student's t; shares are kept within 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The mean of the seeds.
    pub mean: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How many seeds have the figure.
    pub seeds: usize,
}

/// The quantiles 0.975 of Student's t for 1 to 30 degrees of freedom; beyond, that of the normal distribution.
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
const NORMAL: f64 = 1.960;

impl Interval {
    /// The interval of some seeds' figures; null for fewer than two.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "no run has 2^52 seeds")]
    pub fn of(values: &[f64], share: bool) -> Option<Self> {
        let degrees = values.len().checked_sub(1).filter(|degrees| *degrees > 0)?;
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|it| (it - mean) * (it - mean)).sum::<f64>() / degrees as f64;
        let reach = T.get(degrees - 1).copied().unwrap_or(NORMAL) * libm::sqrt(variance / n);
        let bound = |it: f64| if share { it.clamp(0.0, 1.0) } else { it };
        Some(Self { mean, low: bound(mean - reach), high: bound(mean + reach), seeds: values.len() })
    }
}

/// The intervals of the figures; null where fewer than two seeds have one.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Confidence {
    /// See [`Scores::recall`].
    pub recall: Option<Interval>,
    /// See [`Scores::precision`].
    pub precision: Option<Interval>,
    /// See [`Scores::cause_at_1`].
    pub cause_at_1: Option<Interval>,
    /// See [`Scores::first_repair_correct`].
    pub first_repair_correct: Option<Interval>,
    /// See [`Scores::attempts_per_incident`].
    pub attempts_per_incident: Option<Interval>,
    /// See [`Scores::mttr_s`].
    pub mttr_s: Option<Interval>,
    /// See [`Scores::downtime_s`].
    pub downtime_s: Option<Interval>,
    /// See [`Scores::downtime_learned_s`].
    pub downtime_learned_s: Option<Interval>,
}

impl Confidence {
    fn of(seeds: &[Scores]) -> Self {
        let of = |figure: fn(&Scores) -> Option<f64>, share: bool| {
            let values: Vec<f64> = seeds.iter().filter_map(figure).collect();
            Interval::of(&values, share)
        };
        Self {
            recall: of(|it| it.recall, true),
            precision: of(|it| it.precision, true),
            cause_at_1: of(|it| it.cause_at_1, true),
            first_repair_correct: of(|it| it.first_repair_correct, true),
            attempts_per_incident: of(|it| it.attempts_per_incident, false),
            mttr_s: of(|it| it.mttr_s, false),
            downtime_s: of(|it| Some(it.downtime_s), false),
            downtime_learned_s: of(|it| Some(it.downtime_learned_s), false),
        }
    }
}

/// Figures over all seeds, and how sure they are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// All seeds' counts taken together.
    #[serde(flatten)]
    pub scores: Scores,
    /// The 95 % intervals over seeds.
    pub confidence: Confidence,
}

impl Judged {
    fn of<'a>(reports: impl Iterator<Item = &'a Report>) -> Self {
        let (mut tally, mut seeds) = (Tally::default(), Vec::new());
        for report in reports {
            tally.add(&report.tally);
            seeds.push(report.scores);
        }
        Self { scores: tally.scores(), confidence: Confidence::of(&seeds) }
    }
}

/// One seed: the engine, and the baselines that were asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// How the engine did.
    pub report: Report,
    /// How the baselines did.
    pub baselines: Vec<(Baseline, Report)>,
}

/// Everything that was simulated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// True when nothing happened that must never happen.
    pub ok: bool,
    /// How many hosts.
    pub hosts: u32,
    /// For how many hours.
    pub hours: u32,
    /// How many seeds.
    pub seeds: usize,
    /// Faults that were injected, controls not counted.
    pub faults: u64,
    /// How the engine did.
    #[serde(flatten)]
    pub judged: Judged,
    /// How the baselines did.
    pub baselines: BTreeMap<&'static str, Judged>,
    /// The baseline with the least downtime; null without any.
    pub best_baseline: Option<&'static str>,
    /// By what share the engine's downtime is less than that baseline's; null without any.
    pub less_downtime: Option<f64>,
    /// The same in the second half of the runs.
    pub less_downtime_learned: Option<f64>,
    /// The same for the kinds that a shipped repair can cure.
    pub less_downtime_curable: Option<f64>,
    /// The 95 % interval of [`Summary::less_downtime`] over seeds, each with its own ratio.
    pub confidence_less_downtime: Option<Interval>,
    /// The same of [`Summary::less_downtime_learned`].
    pub confidence_less_downtime_learned: Option<Interval>,
    /// The same of [`Summary::less_downtime_curable`].
    pub confidence_less_downtime_curable: Option<Interval>,
    /// How it went with each kind.
    pub kinds: BTreeMap<String, KindReport>,
    /// How often something happened that must never happen.
    pub violations: u64,
    /// One report for each seed.
    pub runs: Vec<Report>,
}

impl Summary {
    /// Takes some runs together; null for none.
    #[must_use]
    pub fn of(runs: &[Run]) -> Option<Self> {
        let first = &runs.first()?.report;
        let mut baselines = BTreeMap::new();
        for baseline in Baseline::ALL {
            let own = || runs.iter().flat_map(|run| &run.baselines).filter(|it| it.0 == baseline).map(|it| &it.1);
            if own().next().is_some() {
                baselines.insert(baseline.as_str(), Judged::of(own()));
            }
        }
        let judged = Judged::of(runs.iter().map(|run| &run.report));
        let best = baselines.iter().min_by(|a, b| a.1.scores.downtime_s.total_cmp(&b.1.scores.downtime_s));
        let less = |own: f64, other: f64| (other > 0.0).then(|| 1.0 - own / other);
        let mut kinds: BTreeMap<String, KindReport> = BTreeMap::new();
        for (name, kind) in runs.iter().flat_map(|run| &run.report.kinds) {
            kinds.entry(name.clone()).or_default().add(kind);
        }
        for (baseline, report) in runs.iter().flat_map(|run| &run.baselines) {
            for (name, kind) in &mut kinds {
                let seconds = report.kinds.get(name).map_or(0.0, |it| it.downtime_s);
                *kind.baselines_downtime_s.entry(baseline.as_str()).or_insert(0.0) += seconds;
            }
        }
        let best_name = best.map(|it| *it.0);
        let of_seeds = |figure: fn(&Scores) -> f64| less_of_seeds(runs, best_name?, figure);
        Some(Self {
            ok: runs.iter().all(|run| run.report.ok),
            hosts: first.hosts,
            hours: first.hours,
            seeds: runs.len(),
            faults: runs.iter().map(|run| run.report.faults).sum(),
            best_baseline: best_name,
            confidence_less_downtime: of_seeds(|it| it.downtime_s),
            confidence_less_downtime_learned: of_seeds(|it| it.downtime_learned_s),
            confidence_less_downtime_curable: of_seeds(|it| it.downtime_curable_s),
            less_downtime: best.and_then(|it| less(judged.scores.downtime_s, it.1.scores.downtime_s)),
            less_downtime_learned: best
                .and_then(|it| less(judged.scores.downtime_learned_s, it.1.scores.downtime_learned_s)),
            less_downtime_curable: best
                .and_then(|it| less(judged.scores.downtime_curable_s, it.1.scores.downtime_curable_s)),
            judged,
            baselines,
            kinds,
            violations: runs.iter().map(|run| run.report.violations).sum(),
            runs: runs.iter().map(|run| run.report.clone()).collect(),
        })
    }
}

/// By what share the engine lost less than a baseline, with its interval over seeds.
fn less_of_seeds(runs: &[Run], baseline: &str, figure: fn(&Scores) -> f64) -> Option<Interval> {
    let of = |run: &Run| {
        let (_, report) = run.baselines.iter().find(|it| it.0.as_str() == baseline)?;
        let other = figure(&report.scores);
        (other > 0.0).then(|| 1.0 - figure(&run.report.scores) / other)
    };
    let values: Vec<f64> = runs.iter().filter_map(of).collect();
    Interval::of(&values, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_students() {
        // Mean 3, standard deviation √2.5, t = 2.776 for four degrees of freedom.
        let it = Interval::of(&[1.0, 2.0, 3.0, 4.0, 5.0], false).unwrap();
        assert!(
            (it.mean - 3.0).abs() < 1e-12 && (it.high - 4.963).abs() < 1e-3 && (it.low - 1.037).abs() < 1e-3,
            "{it:?}"
        );
        assert_eq!(Interval::of(&[1.0], false), None);
        let share = Interval::of(&[1.0, 0.9, 1.0], true).unwrap();
        assert!(share.high <= 1.0 && share.low < share.mean);
    }
}

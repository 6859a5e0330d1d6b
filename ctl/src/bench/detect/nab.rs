//! The Numenta Anomaly Benchmark's own score, standard profile (Lavin and Ahmad 2015).
//!
//! An early detection in a window is worth more than a late one, a false alarm costs 0.11, and a missed window 1; zero is
//! a detector that says nothing, 100 a perfect one. As the benchmark does, one threshold serves all series, the best one.

use super::data::Series;
use super::judge::round;

/// What a false alarm costs in the standard profile.
const FALSE: f64 = 0.11;

/// The first rows are not scored: that share of them, and no more than that many.
const PROBATION: (f64, usize) = (0.15, 750);

/// How many thresholds are tried, by quantiles of the scores.
const TRIES: u32 = 600;

/// The score of the series, 0 to 100; null without a window.
pub(super) fn score(series: &[Series], scores: &[Vec<f64>]) -> Option<f64> {
    let mut all: Vec<f64> =
        series.iter().zip(scores).flat_map(|(it, own)| own.iter().skip(probation(it)).copied()).collect();
    all.sort_unstable_by(f64::total_cmp);
    let windows: usize = series.iter().map(|it| scored(it).count()).sum();
    if windows == 0 || all.is_empty() {
        return None;
    }
    let windows = windows as f64;
    (0..TRIES)
        .filter_map(|it| {
            let beyond = 0.3 * 10_f64.powf(-4.3 * f64::from(it) / f64::from(TRIES));
            let threshold = *all.get(((1.0 - beyond) * all.len() as f64) as usize)?;
            let sum: f64 = series.iter().zip(scores).map(|(it, own)| raw(it, own, threshold)).sum();
            Some(100.0 * (sum + windows) / (2.0 * windows))
        })
        .max_by(f64::total_cmp)
        .map(round)
}

fn probation(it: &Series) -> usize {
    ((PROBATION.0 * it.values.len() as f64) as usize).min(PROBATION.1)
}

/// The windows that do not end in the probation.
fn scored(it: &Series) -> impl Iterator<Item = &(usize, usize)> {
    let from = probation(it);
    it.windows.iter().filter(move |(_, last)| *last >= from)
}

fn raw(it: &Series, scores: &[f64], threshold: f64) -> f64 {
    let windows: Vec<(usize, usize)> = scored(it).copied().collect();
    let mut hit = vec![false; windows.len()];
    let mut sum = 0.0;
    for (row, score) in scores.iter().enumerate().skip(probation(it)) {
        if *score < threshold {
            continue;
        }
        if let Some(place) = windows.iter().position(|(first, last)| (*first..=*last).contains(&row)) {
            if !std::mem::replace(&mut hit[place], true) {
                let (first, last) = windows[place];
                let left = (last - row + 1) as f64 / (last - first + 1) as f64;
                sum += sigmoid(-left) / sigmoid(-1.0);
            }
            continue;
        }
        let before = windows.iter().rev().find(|(_, last)| *last < row);
        sum += FALSE
            * before.map_or(-1.0, |(first, last)| sigmoid((row - last) as f64 / ((last - first) as f64).max(1.0)));
    }
    sum - hit.iter().filter(|it| !**it).count() as f64
}

/// From 1 well before the end of a window, through 0 at its end, to −1 after it.
fn sigmoid(place: f64) -> f64 {
    if place > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * place).exp()) - 1.0 }
}

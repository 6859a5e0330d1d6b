//! Hosts that are used by the hour of the day, for weeks.

use std::time::Duration;

use prunella_model::time::parse_span;

use crate::lang::Words;
use crate::play::World;

/// How often a host says how busy its processors are.
const EVERY: Duration = Duration::from_secs(600);

impl World {
    /// `rhythm SPAN TARGET=HOUR:MOST:LEAST …`: processors that are busiest at an hour of the day and least busy twelve hours
    /// later, with some noise that is always the same.
    pub(crate) fn rhythm(&mut self, words: &Words<'_>) {
        let span = parse_span(words.0[0]).expect("a span");
        let hosts: Vec<(&str, Vec<f64>)> = words.0[1..]
            .iter()
            .map(|word| {
                let (target, figures) = word.split_once('=').expect("TARGET=HOUR:MOST:LEAST");
                (target, figures.split(':').map(|it| it.parse().expect("a number")).collect())
            })
            .collect();
        for _ in 0..span.as_secs() / EVERY.as_secs() {
            self.pass(EVERY);
            let hours = self.now.as_secs() as f64 / 3_600.0;
            for (target, figures) in &hosts {
                let [peak, most, least] = figures[..] else { panic!("HOUR:MOST:LEAST") };
                let wave = ((hours - peak) / 24.0 * std::f64::consts::TAU).cos();
                let value = f64::midpoint(most, least) + (most - least) / 2.0 * wave + 0.5 * (hours * 37.7).sin();
                self.seen(target, &Words::of(&format!("sample cpu.used_percent {value}")));
            }
        }
    }
}

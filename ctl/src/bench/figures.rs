//! Percentiles, and on what they were measured.

use std::time::Duration;

use serde::Serialize;

/// What times came to, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) runs: usize,
}

impl Spread {
    /// None when there is nothing to sum up.
    pub(super) fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let at = |percent: usize| {
            // The nearest rank: a time that was really seen, never one between two.
            let rank = (times.len() * percent).div_ceil(100).max(1);
            times.get(rank - 1).map(|it| (it.as_secs_f64() * 1e6).round() / 1e3)
        };
        Some(Self { p50_ms: at(50)?, p95_ms: at(95)?, p99_ms: at(99)?, runs: times.len() })
    }
}

/// The machine, as far as it says. Figures without it mean nothing.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    pub(super) processor: Option<String>,
    pub(super) cores: Option<usize>,
    pub(super) kernel: Option<String>,
    /// The load average of the last minute before the measurement.
    pub(super) load: Option<f64>,
    /// How this program was built.
    pub(super) build: &'static str,
}

impl Machine {
    /// This one, now.
    pub(super) fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let model = |it: String| {
            let line = it.lines().find(|line| line.starts_with("model name"))?;
            line.split_once(':').map(|(_, value)| value.trim().to_owned())
        };
        Self {
            processor: read("/proc/cpuinfo").and_then(model),
            cores: std::thread::available_parallelism().ok().map(usize::from),
            kernel: read("/proc/sys/kernel/osrelease").map(|it| it.trim().to_owned()),
            load: read("/proc/loadavg").and_then(|it| it.split(' ').next()?.parse().ok()),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
        }
    }

    /// In one line.
    pub(super) fn line(&self) -> String {
        let unknown = || "unknown".to_owned();
        format!(
            "measured on {}, {} cores, Linux {}, load {} at the start, {} build",
            self.processor.clone().unwrap_or_else(unknown),
            self.cores.map_or_else(unknown, |it| it.to_string()),
            self.kernel.clone().unwrap_or_else(unknown),
            self.load.map_or_else(unknown, |it| it.to_string()),
            self.build
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_seen() {
        assert_eq!(Spread::of(Vec::new()), None);
        let times = (1..=200).rev().map(Duration::from_millis).collect();
        let expected = Spread { p50_ms: 100.0, p95_ms: 190.0, p99_ms: 198.0, runs: 200 };
        assert_eq!(Spread::of(times), Some(expected));
        let one = Spread { p50_ms: 7.0, p95_ms: 7.0, p99_ms: 7.0, runs: 1 };
        assert_eq!(Spread::of(vec![Duration::from_millis(7)]), Some(one));
    }
}

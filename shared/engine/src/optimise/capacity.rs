//! How much of what can run out is left, and how long it lasts at the present pace.

use std::time::Duration;

use prunella_model::Timestamp;
use prunella_model::observation::Finding;

use crate::Engine;
use crate::host::Series;
use crate::key::{Key, at, next};
use crate::view::Capacity;

/// A trend that is less sure than this is none.
const SURE: f64 = 0.95;

/// Further than this nobody can see from one day: a year.
const FAR: f64 = 365.0;

/// All there is of a share, in percent.
const ALL: f64 = 100.0;

/// Whether a series measures something that can run out.
fn runs_out(series: &Series, host: bool) -> bool {
    let metric = series.metric.as_str();
    let begins = if host { ["memory.", "disk."].as_slice() } else { ["directory."].as_slice() };
    series.trend.is_some() && metric.ends_with("used_percent") && begins.iter().any(|it| metric.starts_with(it))
}

impl Engine {
    /// What can run out: memory and disk of each host, and the directories of its targets.
    #[must_use]
    pub fn capacities(&self, now: Timestamp) -> Vec<Capacity> {
        let mut all = Vec::new();
        for host in self.names.values().copied() {
            for target in 0..next(self.hosts[at(host)].targets.len()) {
                let key = Key { host, target };
                let name = &self.target_at(key).report.name;
                if self.target_at(key).gone && !name.is_host() {
                    continue;
                }
                let numbers = self.target_at(key).series.iter();
                let series = numbers.filter_map(|number| self.hosts[at(host)].series.get(at(*number))?.as_ref());
                let mine = series.filter(|it| runs_out(it, name.is_host()));
                all.extend(mine.map(|it| self.capacity(key, it, now)));
            }
        }
        all
    }

    fn capacity(&self, key: Key, series: &Series, now: Timestamp) -> Capacity {
        let host = &self.hosts[at(key.host)];
        let fresh = host.contact().is_some_and(|contact| now.since(contact) <= self.policy.verification.fresh);
        let mut trend = series.trend.clone();
        if let Some(trend) = trend.as_mut().filter(|_| fresh) {
            trend.pass(now);
        }
        let used = series.value.filter(|_| fresh);
        let line = trend.as_ref().and_then(|trend| trend.line());
        let sure = line.filter(|line| line.confidence >= SURE);
        let left = sure.zip(used).and_then(|(line, used)| days_left(used, line.per_day));
        Capacity {
            target: self.reference(key),
            metric: series.metric.clone(),
            used_percent: used,
            last_percent: series.value,
            per_day: sure.map(|line| line.per_day),
            confidence: line.map(|line| line.confidence),
            watched: trend.as_ref().map_or(Duration::ZERO, |trend| trend.span()),
            exhausted_at: left.map(|days| now.after(Duration::from_secs_f64(days * 86_400.0))),
            total_bytes: self.total(key, series),
        }
    }

    /// How large the whole is, where a probe says so.
    fn total(&self, key: Key, series: &Series) -> Option<u64> {
        let target = self.target_at(key);
        let directory = series.metric.as_str().strip_prefix("directory.")?.strip_suffix("used_percent")?;
        let name = directory.strip_suffix('.');
        let mut parts = target.probes.iter().filter(|probe| name.is_none_or(|name| probe.report.name.as_str() == name));
        parts.find_map(|probe| match &probe.finding {
            Some(Finding::DirectoryUse { quota_bytes, .. }) => Some(*quota_bytes),
            Some(_) | None => None,
        })
    }
}

/// In how many days a share reaches all of it; null when it does not rise, or only in a future that nobody can see.
fn days_left(now: f64, per_day: f64) -> Option<f64> {
    if per_day <= 0.0 {
        return None;
    }
    let days = (ALL - now).max(0.0) / per_day;
    (days <= FAR).then_some(days)
}

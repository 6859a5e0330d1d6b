//! How much of what can run out is left, and how long it lasts at the present pace.

use std::time::Duration;

use prunella_model::Timestamp;
use prunella_model::observation::Finding;

use crate::Engine;
use crate::detect::trend::Line;
use crate::host::Series;
use crate::key::{Key, at, next};
use crate::view::Capacity;

/// A trend that is less sure than this is none.
const SURE: f64 = 0.95;

/// Further than this nobody can see from one day: a year.
const FAR: f64 = 365.0;

/// All there is of a share, in percent.
const ALL: f64 = 100.0;

/// What the shares of a host and of its targets begin with that can run out.
const OF_HOSTS: [&str; 4] = ["memory.", "disk.", "inodes.", "files."];
const OF_TARGETS: [&str; 3] = ["directory.", "files.", "cgroup."];

/// Whether a measurement is a share, in percent, of something that can run out.
pub(crate) fn runs_out(metric: &str, host: bool) -> bool {
    let begins = if host { OF_HOSTS.as_slice() } else { OF_TARGETS.as_slice() };
    metric.ends_with("used_percent") && begins.iter().any(|it| metric.starts_with(it))
}

impl Engine {
    /// What can run out: memory, disks, inodes and open files of each host; directories, open files and control groups of its
    /// targets.
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
                let mine = series.filter(|it| it.trend.is_some() && runs_out(it.metric.as_str(), name.is_host()));
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
        let end = |per_day: fn(Line) -> f64| {
            let left = sure.zip(used).and_then(|(line, used)| days_left(used, per_day(line)));
            left.map(|days| now.after(Duration::from_secs_f64(days * 86_400.0)))
        };
        let total = self.total(key, series);
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
        let bytes = total.map(|it| it as f64);
        let per_day = sure.map(|line| line.per_day);
        Capacity {
            target: self.reference(key),
            metric: series.metric.clone(),
            used_percent: used,
            last_percent: series.value,
            per_day,
            bytes_per_day: per_day.zip(bytes).map(|(per_day, bytes)| per_day / ALL * bytes),
            confidence: line.map(|line| line.confidence),
            watched: trend.as_ref().map_or(Duration::ZERO, |trend| trend.span()),
            exhausted_at: end(|line| line.per_day),
            exhausted_earliest: end(|line| line.bounds.1),
            exhausted_latest: end(|line| line.bounds.0),
            total_bytes: total,
        }
    }

    /// How large the whole is, where a probe says so.
    fn total(&self, key: Key, series: &Series) -> Option<u64> {
        let target = self.target_at(key);
        if target.report.name.is_host() {
            let whole = match series.metric.as_str() {
                "memory.used_percent" => "memory.total_bytes",
                "disk.used_percent" => "disk.total_bytes",
                _ => return None,
            };
            let mut own = target.series.iter().filter_map(|it| self.hosts[at(key.host)].series.get(at(*it))?.as_ref());
            let value = own.find(|it| it.metric.as_str() == whole)?.value?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "bytes that were measured, whole and below 2^53"
            )]
            return (0.0..9e15).contains(&value).then_some(value as u64);
        }
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

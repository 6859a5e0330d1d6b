//! What agents see, frame by frame.

use std::collections::BTreeSet;

use prunella_model::observation::{Frame, Observation, SeriesName};
use prunella_model::{HostId, TargetName, Timestamp};

use super::Stirred;
use crate::Engine;
use crate::custom::{self, Custom};
use crate::detect::Watch;
use crate::detect::trend::{Keeps, Trend};
use crate::health::part_used;
use crate::host::Series;
use crate::key::{Key, at};
use crate::optimise::capacity::runs_out;
use crate::quiet;
use crate::rules::{self, RULES};
use crate::timers::Timer;
use crate::unusual::Habit;

impl Engine {
    pub(super) fn rename_series(&mut self, index: u32, names: &[SeriesName]) {
        let custom = &self.custom;
        let host = &mut self.hosts[at(index)];
        let mut old = host.renumber();
        for name in names {
            host.name_series(name, |target| {
                let mut known =
                    old.remove(&(target, name.metric.clone())).unwrap_or_else(|| series(name, target, custom));
                for watch in &mut known.watches {
                    watch.detector.gap();
                }
                if let Some(trend) = &mut known.trend {
                    trend.gap();
                }
                known
            });
        }
    }

    /// An agent saw something.
    pub(crate) fn frame(&mut self, host: &HostId, frame: &Frame) {
        let Some(index) = self.names.get(host).copied() else { return };
        if !self.hosts[at(index)].stream {
            return;
        }
        self.heard(index);
        for name in &frame.series {
            let custom = &self.custom;
            self.hosts[at(index)].name_series(name, |target| series(name, target, custom));
        }
        if frame.late {
            // What happened while nobody was listening is history. The report of the new stream says how it is now.
            return;
        }
        let it = &mut self.hosts[at(index)];
        if it.clock.learn(frame.at, self.now) {
            it.targets.iter_mut().for_each(crate::target::Target::clock_was_set);
            self.out.probes.insert((index, None));
        }
        it.last_frame = Some(frame.at);
        let seen_at = it.clock.to_server(frame.at, self.now);
        let mut touched: Vec<u32> = Vec::new();
        for seen in &frame.observations {
            touched.extend(self.observe(index, seen, true));
        }
        let stirred = self.measure(index, frame, seen_at, &mut touched);
        touched.extend(self.stir(index, &touched, stirred));
        let mut touched: BTreeSet<Key> = touched.into_iter().map(|target| Key { host: index, target }).collect();
        if let Some(waits) = &frame.waits {
            self.hosts[at(index)].waits_at = Some(frame.at);
            touched.extend(self.take_waits(index, seen_at, waits));
        }
        for key in touched {
            self.review(key);
        }
    }

    /// Feeds the samples of a frame to their detectors.
    ///
    /// Returns the targets and custom rules that a new value concerns.
    fn measure(&mut self, index: u32, frame: &Frame, seen_at: Timestamp, touched: &mut Vec<u32>) -> Stirred {
        let mut stirred = Stirred::new();
        let it = &mut self.hosts[at(index)];
        if let Some(tuning) = rules::index_of(rules::ANOMALY).and_then(|rule| self.tuning.get(rule))
            && it.close_minute(tuning, seen_at)
        {
            touched.push(it.ensure(&TargetName::host()));
        }
        if !frame.samples.is_empty() {
            it.agent.measured = Some(seen_at);
        }
        let targets = it.targets.len();
        for sample in &frame.samples {
            let Some(Some(series)) = it.series.get_mut(at(sample.series)) else { continue };
            if !sample.value.is_finite() || crate::rules::impossible(series.metric.as_str(), sample.value) {
                continue;
            }
            if let Some(trend) = &mut series.trend {
                trend.feed(seen_at, sample.value);
            }
            if series.value.replace(sample.value) != Some(sample.value) {
                Self::stirred_by(series, targets, &mut stirred);
            }
            series.habit.add(sample.value);
            if series.measure.is_some() {
                it.usage.measured = Some(seen_at);
            }
            for watch in &mut series.watches {
                let tuning = &self.tuning[watch.rule];
                if watch.detector.feed(tuning, seen_at, sample.value) {
                    touched.push(series.target);
                }
                if let Some(due) = watch.detector.deadline(tuning) {
                    self.timers.sooner(Timer::Series(index, sample.series), due, self.now);
                }
            }
        }
        stirred
    }

    /// Evaluates the custom rules that a frame concerns. Returns the targets that must be judged again.
    pub(super) fn stir(&mut self, index: u32, touched: &[u32], mut stirred: Stirred) -> Vec<u32> {
        if self.custom.is_empty() {
            return Vec::new();
        }
        for target in touched {
            self.stirred_by_probes(Key { host: index, target: *target }, &mut stirred);
        }
        self.evaluate_all(index, stirred)
    }

    /// A measurement may have been beyond its threshold for long enough.
    pub(crate) fn series_due(&mut self, index: u32, number: u32) {
        let it = &mut self.hosts[at(index)];
        let contact = it.contact();
        let fresh = contact.is_some_and(|contact| self.now.since(contact) <= self.policy.verification.fresh);
        let Some(Some(series)) = it.series.get_mut(at(number)) else { return };
        let target = series.target;
        let mut raised = false;
        for watch in &mut series.watches {
            let tuning = &self.tuning[watch.rule];
            if fresh {
                raised |= watch.detector.pass(tuning, self.now);
            } else {
                watch.detector.gap();
            }
            if let Some(due) = watch.detector.deadline(tuning) {
                self.timers.sooner(Timer::Series(index, number), due, self.now);
            }
        }
        if raised {
            self.review(Key { host: index, target });
        }
    }

    /// Takes a verdict in. Returns the target that it is about, if it is known and the verdict is news.
    pub(super) fn observe(&mut self, index: u32, seen: &Observation, live: bool) -> Option<u32> {
        let now = self.now;
        let it = &mut self.hosts[at(index)];
        let target = *it.names.get(&seen.target)?;
        let when = it.clock.to_server(seen.at, now);
        let before = it.targets[at(target)].probe(&seen.probe).and_then(|probe| probe.finding.clone());
        let new_run = it.targets[at(target)].see(seen, when, live)?;
        let changed = crate::changes::file_change(before.as_ref(), seen);
        if new_run {
            for number in it.targets[at(target)].series.clone() {
                if let Some(Some(series)) = it.series.get_mut(at(number)) {
                    series.watches.iter_mut().for_each(|watch| watch.detector.restart());
                    if let Some(trend) =
                        series.trend.as_mut().filter(|_| series.metric.as_str().starts_with("process."))
                    {
                        trend.restart();
                    }
                }
            }
        }
        if let Some(id) = it.targets[at(target)].incident {
            self.woken.insert(id);
        }
        let key = Key { host: index, target };
        if let Some(what) = changed {
            self.note_change(key, when, what);
        }
        self.note_saved(key, before.as_ref(), seen);
        Some(target)
    }

    /// A first bad answer is due to be confirmed.
    pub(crate) fn confirm(&mut self, key: Key) {
        self.probe(key);
        if self.target_at(key).incident.is_none() {
            // An order to look may go astray, so it is given again until the answer is known.
            self.confirm_later(key);
        }
    }
}

/// The series of a target, with the detectors and the custom rules that want it.
fn series(name: &SeriesName, target: u32, custom: &[Custom]) -> Series {
    let watches = RULES
        .iter()
        .enumerate()
        .filter_map(|(rule, it)| it.watches(name).map(|detector| Watch { rule, detector }))
        .collect();
    let (feeds, feeds_all) = custom::feeds(custom, name.metric.as_str(), name.target.is_host());
    let trend = trend(name).map(Box::new);
    Series {
        target,
        metric: name.metric.clone(),
        value: None,
        watches,
        feeds,
        feeds_all,
        trend,
        habit: Habit::default(),
        part: part_used(name.metric.as_str()),
        measure: quiet::measure_of(name.metric.as_str()).filter(|_| name.target.is_host()),
    }
}

/// What is remembered of the last day of a series, where it measures something that can run out.
fn trend(name: &SeriesName) -> Option<Trend> {
    let metric = name.metric.as_str();
    match metric {
        "process.rss_bytes" => Some(Trend::new(Keeps::Floor)),
        _ if runs_out(metric, name.target.is_host()) => Some(Trend::new(Keeps::Mean)),
        _ => None,
    }
}

//! Taking the scores at each interval, and what is said of them.

use std::collections::BTreeMap;

use prunella_model::event::EventKind;
use prunella_model::incident::{IncidentState, Severity};
use prunella_model::{ServiceName, TargetRef, Timestamp};

use super::history::History;
use super::layers::{LAYERS, mean};
use crate::Engine;
use crate::key::{Key, at, next};
use crate::timers::Timer;
use crate::view::{Course, HealthName, HealthView, Level, PartView, Risk, TrendView};

/// A change of level by less than this is not announced: a score on the border must not say so each minute.
const WORTH: f64 = 2.0;

/// The histories of everything that has one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records {
    fleet: History,
    layers: [History; LAYERS.len()],
    hosts: Vec<History>,
    services: BTreeMap<ServiceName, History>,
}

impl Engine {
    /// Takes a score of everything, announces what changed, and comes back after the interval.
    pub(crate) fn sample_health(&mut self) {
        let now = self.now;
        self.timers.set(Timer::Health, now.after(self.policy.health.interval()), now);
        let layers = self.layer_scores();
        for (score, history) in layers.iter().zip(&mut self.records.layers) {
            if let Some(score) = score {
                history.push(now, *score);
            }
        }
        let services: Vec<ServiceName> = self.topology.services.keys().cloned().collect();
        for service in services {
            if let Some(score) = self.service_score(&service) {
                self.records.services.entry(service).or_default().push(now, score);
            }
        }
        self.records.hosts.resize_with(self.hosts.len(), History::default);
        let hosts: Vec<u32> = self.names.values().copied().collect();
        for index in hosts {
            let Some(score) = self.host_score(index) else { continue };
            let Some(mut history) = self.records.hosts.get_mut(at(index)).map(std::mem::take) else { continue };
            history.push(now, score);
            self.say_health(Some(index), score, &mut history);
            if let Some(place) = self.records.hosts.get_mut(at(index)) {
                *place = history;
            }
        }
        if let Some(score) = weighted(&layers) {
            let mut history = std::mem::take(&mut self.records.fleet);
            history.push(now, score);
            self.say_health(None, score, &mut history);
            self.records.fleet = history;
        }
    }

    fn say_health(&mut self, host: Option<u32>, score: f64, history: &mut History) {
        let before = history.said.replace(score);
        if let Some(before) = before {
            let (was, is) = (Level::of(before), Level::of(score));
            let kind = match (was.cmp(&is), is) {
                (std::cmp::Ordering::Equal, _) => None,
                (std::cmp::Ordering::Less, Level::Critical) => Some(EventKind::HealthCritical),
                (std::cmp::Ordering::Less, _) => Some(EventKind::HealthDegraded),
                (std::cmp::Ordering::Greater, _) => Some(EventKind::HealthImproved),
            };
            if let Some(kind) = kind.filter(|_| (score - before).abs() >= WORTH) {
                let line = format!(
                    "health of {} is {} ({score:.0}), after {} ({before:.0})",
                    self.spoken_of(host),
                    is.as_str(),
                    was.as_str()
                );
                self.announce_health(kind, host, line);
            } else {
                // What was said last is what the next change is measured against.
                history.said = Some(before);
            }
        }
        let Some(trend) = history.trend() else { return };
        let before = history.course.replace(trend.course);
        let news = before.is_some_and(|before| before != trend.course);
        let worth = matches!(trend.course, Course::Declining | Course::Volatile);
        if news && worth {
            let line = format!(
                "health of {} is {}: {:+.0} an hour, {:.0} foreseen",
                self.spoken_of(host),
                trend.course.as_str(),
                trend.slope_per_hour,
                trend.prediction
            );
            self.announce_health(EventKind::HealthTrend, host, line);
        }
    }

    /// The name of a host, or the fleet. Only few have something to say, and only those need one.
    fn spoken_of(&self, host: Option<u32>) -> String {
        host.map_or_else(|| "fleet".to_owned(), |index| format!("hosts/{}", self.hosts[at(index)].id))
    }

    fn announce_health(&mut self, kind: EventKind, host: Option<u32>, line: String) {
        match host {
            Some(index) => self.announce_host(kind, index, line),
            None => self.announce(kind, None, None, line),
        }
    }

    /// The scores of the layers, in their order. Each goes through the whole fleet.
    fn layer_scores(&self) -> [Option<f64>; LAYERS.len()] {
        let targets = self.present_targets();
        std::array::from_fn(|layer| mean(self.layer(layer, &targets).into_iter().filter_map(|part| part.score)))
    }

    /// The lowest health of a host's targets.
    fn host_score(&self, index: u32) -> Option<f64> {
        let targets = 0..next(self.hosts[at(index)].targets.len());
        let keys = targets.map(|target| Key { host: index, target }).filter(|key| !self.target_at(*key).gone);
        keys.filter_map(|key| self.health(key)).reduce(f64::min)
    }

    /// The mean health of a service's members.
    fn service_score(&self, service: &ServiceName) -> Option<f64> {
        let members = self.topology.services.get(service)?;
        mean(members.iter().filter_map(|key| self.health(*key)))
    }

    /// The resource score of a host: the mean of what is free of its processors, memory and disks, and of its services,
    /// which count 100 while all of them work and 50 otherwise.
    pub(crate) fn resource_score(&self, index: u32) -> Option<f64> {
        let services = self.broken_services(index);
        mean(self.free(index).into_iter().flatten().chain(service_part(services)))
    }

    /// What is free of a host's processors, memory and disks, in percent; null where that is not known.
    fn free(&self, index: u32) -> [Option<f64>; 3] {
        let host = &self.hosts[at(index)];
        let recent = host.contact().is_some_and(|it| self.now.since(it) <= self.policy.verification.fresh);
        let own = host.targets.iter().find(|target| target.report.name.is_host());
        own.filter(|_| recent).map_or([None; 3], |own| super::free(host, own))
    }

    /// How many of a host's targets are broken, and of how many that is known.
    fn broken_services(&self, index: u32) -> (usize, usize) {
        let targets = 0..next(self.hosts[at(index)].targets.len());
        let known = targets
            .map(|target| Key { host: index, target })
            .filter(|key| !self.target_at(*key).gone && !self.target_at(*key).report.name.is_host())
            .filter(|key| self.health(*key).is_some());
        known.fold((0, 0), |(broken, known), key| (broken + usize::from(self.ailing(key)), known + 1))
    }

    fn resource_parts(&self, index: u32) -> Vec<PartView> {
        let part = |(score, name): (Option<f64>, &'static str)| PartView {
            name,
            score,
            about: format!("what is free of its {name}"),
        };
        let mut parts: Vec<PartView> = self.free(index).into_iter().zip(["cpu", "memory", "disk"]).map(part).collect();
        let (broken, known) = self.broken_services(index);
        let about = format!("{broken} of {known} targets are broken");
        parts.push(PartView { name: "services", score: service_part((broken, known)), about });
        parts
    }

    /// How likely a target is to be in trouble soon, and why.
    fn risk(&self, key: Key) -> (Risk, Vec<String>) {
        let target = self.target_at(key);
        let (mut risk, mut why) = (Risk::Low, Vec::new());
        let mut raise = |to: Risk, reason: String| {
            risk = risk.max(to);
            why.push(reason);
        };
        if let Some(case) = target.incident.and_then(|id| self.cases.get(&id)) {
            let over = matches!(case.it.state, IncidentState::Probation { .. });
            let to = if case.severity() >= Severity::High && !over { Risk::High } else { Risk::Medium };
            raise(to, format!("incident {} is open: {}", case.it.id, case.it.fault.summary));
        }
        match self.health(key) {
            Some(health) if health < 40.0 => raise(Risk::High, format!("its health is {health:.0}")),
            Some(health) if health < 75.0 => raise(Risk::Medium, format!("its health is {health:.0}")),
            Some(_) => {}
            None => raise(Risk::Medium, "nothing fresh is known of it".to_owned()),
        }
        match target.relapses.len() {
            0 => {}
            1 => raise(Risk::Medium, "it relapsed after a repair".to_owned()),
            many => raise(Risk::High, format!("it relapsed {many} times after repairs")),
        }
        (risk, why)
    }

    /// The health of one thing; null when there is no such thing.
    #[must_use]
    pub fn health_of(&self, name: &HealthName) -> Option<HealthView> {
        match name {
            HealthName::Fleet => Some(self.fleet_view()),
            HealthName::Layer(name) => {
                let layer = LAYERS.iter().position(|(it, _)| it == name)?;
                Some(self.layer_view(layer))
            }
            HealthName::Host(host) => self.names.get(host).map(|index| self.host_health(*index)),
            HealthName::Service(service) => {
                let members = self.topology.services.get(service).filter(|it| !it.is_empty())?;
                let history = self.records.services.get(service);
                let about = format!("the mean of {} members", members.len());
                let score = self.service_score(service);
                let parts = vec![PartView { name: "members", score, about }];
                Some(view(format!("services/{service}"), score, history, parts))
            }
            HealthName::Target(target) => {
                let key = self.find(target).filter(|key| !self.target_at(*key).gone)?;
                Some(self.target_health(key))
            }
        }
    }

    /// The layers, in the order of their weights.
    #[must_use]
    pub fn layer_healths(&self) -> Vec<HealthView> {
        (0..LAYERS.len()).map(|layer| self.layer_view(layer)).collect()
    }

    /// The hosts, by name.
    #[must_use]
    pub fn host_healths(&self) -> Vec<HealthView> {
        self.names.values().map(|index| self.host_health(*index)).collect()
    }

    /// The services, by name.
    #[must_use]
    pub fn service_healths(&self) -> Vec<HealthView> {
        self.topology.services.keys().filter_map(|it| self.health_of(&HealthName::Service(it.clone()))).collect()
    }

    /// The targets, by host and name.
    #[must_use]
    pub fn target_healths(&self) -> Vec<HealthView> {
        let mut all: Vec<(TargetRef, Key)> =
            self.present_targets().into_iter().map(|key| (self.reference(key), key)).collect();
        all.sort();
        all.into_iter().map(|(_, key)| self.target_health(key)).collect()
    }

    /// The latest score and the trend of everything that has one, by resource name.
    pub(crate) fn trends(&self) -> Vec<(String, (Timestamp, f64), TrendView)> {
        let hosts = self
            .names
            .iter()
            .filter_map(|(id, index)| Some((format!("hosts/{id}"), self.records.hosts.get(at(*index))?)));
        let services = self.records.services.iter().map(|(name, it)| (format!("services/{name}"), it));
        let all = std::iter::once(("fleet".to_owned(), &self.records.fleet)).chain(services).chain(hosts);
        all.filter_map(|(name, it)| Some((name, it.last()?, it.trend()?))).collect()
    }

    fn fleet_view(&self) -> HealthView {
        let targets = self.present_targets();
        let parts = LAYERS.iter().enumerate().map(|(layer, (name, _))| {
            let parts = self.layer(layer, &targets);
            let without: Vec<&str> = parts.iter().filter(|it| it.score.is_none()).map(|it| it.name).collect();
            let score = mean(parts.iter().filter_map(|part| part.score));
            let about = match (score, without.is_empty()) {
                (None, _) => "no data, so it is left out".to_owned(),
                (Some(_), true) => "every score has data".to_owned(),
                (Some(_), false) => format!("no data on {}", without.join(", ")),
            };
            PartView { name, score, about }
        });
        view("fleet".to_owned(), weighted(&self.layer_scores()), Some(&self.records.fleet), parts.collect())
    }

    fn layer_view(&self, layer: usize) -> HealthView {
        let (name, weight) = LAYERS.get(layer).copied().unwrap_or(("", 0.0));
        let parts = self.layer(layer, &self.present_targets());
        let score = mean(parts.iter().filter_map(|part| part.score));
        let it = view(format!("layers/{name}"), score, self.records.layers.get(layer), parts);
        HealthView { weight: Some(weight), ..it }
    }

    fn host_health(&self, index: u32) -> HealthView {
        let name = format!("hosts/{}", self.hosts[at(index)].id);
        let mut parts = vec![PartView {
            name: "resources",
            score: self.resource_score(index),
            about: "the mean of the following".to_owned(),
        }];
        parts.extend(self.resource_parts(index));
        let targets = 0..next(self.hosts[at(index)].targets.len());
        let keys = targets.map(|target| Key { host: index, target }).filter(|key| !self.target_at(*key).gone);
        let risks: Vec<(Risk, Vec<String>)> = keys.map(|key| self.risk(key)).collect();
        let risk = risks.iter().map(|(risk, _)| *risk).max();
        let reasons = risks.into_iter().flat_map(|(_, why)| why).collect();
        let it = view(name, self.host_score(index), self.records.hosts.get(at(index)), parts);
        HealthView { risk, reasons, ..it }
    }

    fn target_health(&self, key: Key) -> HealthView {
        let (risk, reasons) = self.risk(key);
        let it = view(self.subject(key), self.health(key), None, Vec::new());
        HealthView { risk: Some(risk), reasons, ..it }
    }
}

/// Which of a host's resources a measurement is the used share of: its place among processors, memory and disks.
pub(crate) fn part_used(metric: &str) -> Option<usize> {
    if !metric.ends_with("used_percent") {
        return None;
    }
    ["cpu.", "memory.", "disk."].iter().position(|begins| metric.starts_with(begins))
}

/// What the services of a host count; null when nothing is known of any.
fn service_part((broken, known): (usize, usize)) -> Option<f64> {
    (known > 0).then_some(if broken == 0 { 100.0 } else { 50.0 })
}

/// The weighted mean of the layers that have data.
fn weighted(layers: &[Option<f64>; LAYERS.len()]) -> Option<f64> {
    let known = layers.iter().zip(&LAYERS).filter_map(|(score, (_, weight))| Some(((*score)?, *weight)));
    let (sum, weights) =
        known.fold((0.0, 0.0), |(sum, weights), (score, weight)| (sum + score * weight, weights + weight));
    (weights > 0.0).then(|| sum / weights)
}

fn view(name: String, score: Option<f64>, history: Option<&History>, parts: Vec<PartView>) -> HealthView {
    HealthView {
        name,
        score,
        level: score.map(Level::of),
        trend: history.and_then(History::trend),
        weight: None,
        parts,
        risk: None,
        reasons: Vec::new(),
        history: history.map(History::scores).unwrap_or_default(),
    }
}

/// When the first scores are taken.
pub(crate) fn first_sample(engine: &mut Engine, now: Timestamp) {
    let due = now.after(engine.policy.health.interval());
    engine.timers.set(Timer::Health, due, now);
}

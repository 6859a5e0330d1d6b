//! Which service is to blame: suspects of a failure, ranked from the call graph and from what was measured.
//!
//! Four views of the same failure, fused. Each is weak in a way of its own:
//!
//! 1. **What nothing behind it explains.** A service's loss (seconds added to its answers, or answers that went wrong) less
//!    the losses of those it calls. Callers inherit their loss; only where it arises does something remain. The share of
//!    the whole is the one view that counts by its size rather than by its rank.
//! 2. **Personalised PageRank** on the anomalous part of the call graph, started at the violated service, as in MonitorRank
//!    (Kim et al., SIGMETRICS 2013).
//! 3. **The largest robust deviation** max |x − median| / IQR on the violated indicator alone, as in BARO (Pham et al.,
//!    FSE 2024).
//! 4. **The deepest unhealthy dependency**: unhealthy itself, and nothing that it calls is.
//!
//! Views 2 to 4 are fused by reciprocal rank, Σ 1 / (5 + rank) (Cormack et al., SIGIR 2009). A service whose own resources
//! rose outranks those with symptoms of latency only. A service that was never called before the failure cannot have broken:
//! its caller changed, so its caller keeps the loss.

pub(crate) mod walk;
mod window;

use std::collections::BTreeSet;

pub use window::{Window, Worse};

/// The smoothing of reciprocal rank fusion. Small, because the lists are short.
const SMOOTH: f64 = 5.0;

/// A robust deviation from which a service counts as unhealthy.
const UNHEALTHY: f64 = 3.0;

/// A robust deviation from which a resource counts as risen. Resources are noisier than indicators.
const RISEN: f64 = 5.0;

/// What all of the unexplained loss, or a risen resource, weighs against the three ranks, of which each is worth 1/6 at most.
pub(crate) const DECISIVE: f64 = 0.5;

/// So many values from before make a service known; fewer where nobody has as many.
const KNOWN: usize = 5;

/// One service of the call graph.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Service {
    /// The places of the services that it calls.
    pub calls: Vec<usize>,
    /// The violated indicator, measured at this service, for example its latency in seconds or its availability in percent.
    pub indicator: Window,
    /// How many requests it answered in each interval after the violation, in step with `indicator.after`; empty when
    /// nobody counts requests.
    pub requests: Vec<Option<f64>>,
    /// Its own resources, for example its processor and memory, each a measurement of its own.
    pub resources: Vec<Window>,
}

/// A suspect, with what speaks against it.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspect {
    /// The place of the service in the graph.
    pub service: usize,
    /// The fused rank value; larger is more suspect. Comparable within one ranking only.
    pub score: f64,
    /// How far its indicator left what it used to be, in interquartile ranges; null when that cannot be told.
    pub deviation: Option<f64>,
    /// The share, 0 to 1, of the unexplained loss of all services that arises in this one; null when nobody lost anything.
    pub share: Option<f64>,
    /// Whether its own resources rose.
    pub resources_rose: bool,
}

/// What is known of one service.
#[derive(Debug, Clone, Copy, Default)]
struct Symptoms {
    deviation: Option<f64>,
    loss: f64,
    rose: bool,
    known: bool,
}

impl Symptoms {
    fn unhealthy(&self) -> bool {
        self.known && (self.rose || self.deviation.is_some_and(|it| it >= UNHEALTHY))
    }
}

/// Ranks the services that may have caused the violation of `violated`'s indicator, the most suspect first.
///
/// Only services that `violated` reaches by calls are suspects, itself included. Calls to places that do not exist are
/// ignored; a `violated` that does not exist has no suspects. Equal scores are ordered by place.
#[must_use]
pub fn rank(services: &[Service], violated: usize, worse: Worse) -> Vec<Suspect> {
    let reached = reach(services, violated);
    let symptoms = examine(services, &reached, worse);
    let mut unhealthy: BTreeSet<usize> = reached.iter().copied().filter(|it| symptoms[*it].unhealthy()).collect();
    let unexplained = unexplained(services, &symptoms, &unhealthy);
    unhealthy.extend(reached.contains(&violated).then_some(violated));

    let calls = |from: usize| services[from].calls.iter().copied().filter(|to| unhealthy.contains(to));
    let heat = |at: usize| libm::log1p(symptoms[at].deviation.unwrap_or(0.0).max(0.0));
    let visits = walk::pagerank(services.len(), &unhealthy, violated, calls, heat);
    let depths = walk::depths(&unhealthy, violated, calls);
    let deepest = depths.iter().filter(|(it, _)| calls(**it).next().is_none()).map(|(it, depth)| (*it, *depth));
    let fused = fuse(&[
        visits,
        unhealthy.iter().filter_map(|it| Some((*it, symptoms[*it].deviation?))).collect(),
        deepest.collect(),
    ]);

    let total: f64 = unexplained.iter().map(|it| it.1).sum();
    let share = |at: usize| {
        let own = unexplained.iter().find(|it| it.0 == at).map_or(0.0, |it| it.1);
        (total > 0.0).then_some(own / total)
    };
    let mut suspects: Vec<Suspect> = unhealthy
        .iter()
        .map(|at| {
            let (share, resources_rose) = (share(*at), symptoms[*at].rose);
            let rank = fused.iter().find(|it| it.0 == *at).map_or(0.0, |it| it.1);
            let score = rank + DECISIVE * share.unwrap_or(0.0) + if resources_rose { DECISIVE } else { 0.0 };
            Suspect { service: *at, score, deviation: symptoms[*at].deviation, share, resources_rose }
        })
        .collect();
    suspects.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.service.cmp(&b.service)));
    suspects
}

/// Fuses lists of (item, value), larger values first, by reciprocal rank. Equal values share the better rank.
pub(crate) fn fuse(lists: &[Vec<(usize, f64)>]) -> Vec<(usize, f64)> {
    let mut fused: std::collections::BTreeMap<usize, f64> = std::collections::BTreeMap::new();
    for list in lists {
        for (item, value) in list {
            let before = list.iter().filter(|(_, other)| other.total_cmp(value).is_gt()).count();
            *fused.entry(*item).or_default() += 1.0 / (SMOOTH + 1.0 + f64::from(crate::key::next(before)));
        }
    }
    fused.into_iter().collect()
}

/// Every place that `from` reaches by calls, itself included. Empty when there is no such place.
fn reach(services: &[Service], from: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(next) = open.pop() {
        if let Some(service) = services.get(next)
            && reached.insert(next)
        {
            open.extend(&service.calls);
        }
    }
    reached
}

/// The symptoms of every service; of those that were not reached, none.
fn examine(services: &[Service], reached: &BTreeSet<usize>, worse: Worse) -> Vec<Symptoms> {
    let most = reached.iter().map(|it| services[*it].indicator.known()).max().unwrap_or(0);
    let counted = reached.iter().any(|it| services[*it].requests.iter().any(Option::is_some));
    let one = |at: usize, service: &Service| {
        if !reached.contains(&at) {
            return Symptoms::default();
        }
        let requests = counted.then_some(service.requests.as_slice());
        Symptoms {
            deviation: service.indicator.deviation(worse),
            loss: service.indicator.loss(worse, requests),
            rose: service.resources.iter().filter_map(|it| it.deviation(Worse::High)).any(|it| it >= RISEN),
            known: service.indicator.known() >= KNOWN.min(most).max(1),
        }
    };
    services.iter().enumerate().map(|(at, service)| one(at, service)).collect()
}

/// The loss of each unhealthy service that the losses of those it calls do not explain.
fn unexplained(services: &[Service], symptoms: &[Symptoms], unhealthy: &BTreeSet<usize>) -> Vec<(usize, f64)> {
    let own = |at: usize| {
        let called: BTreeSet<usize> = services[at].calls.iter().copied().filter(|it| *it != at).collect();
        let behind: f64 = called.intersection(unhealthy).map(|it| symptoms[*it].loss).sum();
        (at, (symptoms[at].loss - behind).max(0.0))
    };
    unhealthy.iter().map(|it| own(*it)).collect()
}

#[cfg(test)]
mod tests;

//! Walks on the unhealthy part of a call graph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How often the walk goes on instead of starting again.
const GO_ON: f64 = 0.85;

/// 0.85 to this power is below one in a thousand: more rounds change no rank.
const ROUNDS: u32 = 50;

/// Where a random walk from `start` along calls spends its time, hotter services visited more often.
///
/// A service that calls nobody unhealthy keeps the walker: blame that arrives there has nowhere else to go.
pub(crate) fn pagerank<I: Iterator<Item = usize>>(
    places: usize,
    among: &BTreeSet<usize>,
    start: usize,
    calls: impl Fn(usize) -> I,
    heat: impl Fn(usize) -> f64,
) -> Vec<(usize, f64)> {
    let edges: Vec<(usize, Vec<(usize, f64)>)> = among
        .iter()
        .map(|from| {
            let to: Vec<(usize, f64)> = calls(*from).filter(|to| to != from).map(|to| (to, heat(to))).collect();
            let total: f64 = to.iter().map(|it| it.1).sum();
            (*from, to.into_iter().filter(|_| total > 0.0).map(|(to, heat)| (to, heat / total)).collect())
        })
        .collect();
    let mut visits = vec![0.0; places];
    if !among.contains(&start) {
        return Vec::new();
    }
    visits[start] = 1.0;
    for _ in 0..ROUNDS {
        let mut next = vec![0.0; places];
        next[start] = 1.0 - GO_ON;
        for (from, to) in &edges {
            let moving = GO_ON * visits[*from];
            if to.is_empty() {
                next[*from] += moving;
            }
            for (to, share) in to {
                next[*to] += moving * share;
            }
        }
        visits = next;
    }
    among.iter().map(|it| (*it, visits[*it])).collect()
}

/// How many calls away from `start` each place is.
pub(crate) fn depths<I: Iterator<Item = usize>>(
    among: &BTreeSet<usize>,
    start: usize,
    calls: impl Fn(usize) -> I,
) -> BTreeMap<usize, f64> {
    let mut depths = BTreeMap::new();
    let mut open: VecDeque<(usize, f64)> = among.get(&start).map(|it| (*it, 0.0)).into_iter().collect();
    while let Some((next, depth)) = open.pop_front() {
        if depths.contains_key(&next) {
            continue;
        }
        depths.insert(next, depth);
        open.extend(calls(next).map(|to| (to, depth + 1.0)));
    }
    depths
}

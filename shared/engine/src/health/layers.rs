//! The six layers of the fleet's health. Each is the mean of named scores; what has no data is left out and says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use prunella_model::incident::{IncidentState, Verdict};
use prunella_model::observation::{Finding, ProbeKind, Status};
use prunella_model::outcome::Outcome;
use prunella_model::policy::{Mode, Scope};

use crate::Engine;
use crate::key::{Key, at, next};
use crate::topology::Needed;
use crate::view::PartView;

/// How many outcomes and verdicts are remembered.
const KEPT: usize = 100;

/// A relapse counts for this long.
const DAY: Duration = Duration::from_secs(86_400);

/// The layers with their weights, which sum up to 100.
pub(crate) const LAYERS: [(&str, f64); 6] = [
    ("orchestration", 20.0),
    ("topology", 20.0),
    ("agents", 20.0),
    ("meta", 15.0),
    ("governance", 15.0),
    ("self_healing", 10.0),
];

/// What a command came to, as far as health is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// It is known what was done.
    Known,
    /// Its host refused it.
    Refused,
    /// Nobody knows what was done.
    Unknown,
}

/// What became of the latest commands and repairs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    outcomes: VecDeque<Came>,
    verdicts: VecDeque<bool>,
}

impl Tally {
    /// Takes an outcome in.
    pub(crate) fn outcome(&mut self, outcome: &Outcome) {
        let came = match outcome {
            Outcome::Done | Outcome::Failed { .. } | Outcome::Cancelled { .. } => Came::Known,
            Outcome::Refused(_) => Came::Refused,
            Outcome::Unknown { .. } | Outcome::Lost => Came::Unknown,
        };
        if self.outcomes.len() == KEPT {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back(came);
    }

    /// Takes a verdict in. One without evidence says nothing of repairs.
    pub(crate) fn verdict(&mut self, verdict: Verdict) {
        let healed = match verdict {
            Verdict::Recovered => true,
            Verdict::Unchanged | Verdict::Worse => false,
            Verdict::Inconclusive => return,
        };
        if self.verdicts.len() == KEPT {
            self.verdicts.pop_front();
        }
        self.verdicts.push_back(healed);
    }
}

fn part(name: &'static str, score: Option<f64>, about: impl Into<String>) -> PartView {
    PartView { name, score: score.map(|it| it.clamp(0.0, 100.0)), about: about.into() }
}

/// The share of `good` among `all`, 0 to 100; null when there is nothing to share.
#[expect(clippy::cast_precision_loss, reason = "a percentage needs no more than 52 bits")]
fn share(good: usize, all: usize) -> Option<f64> {
    (all > 0).then(|| good.min(all) as f64 / all as f64 * 100.0)
}

/// The mean of the scores that exist.
pub(crate) fn mean(scores: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = scores.fold((0.0, 0.0), |(sum, count), score| (sum + score, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

impl Engine {
    /// The named scores of a layer, by its place in [`LAYERS`], of the targets that are there.
    pub(crate) fn layer(&self, layer: usize, targets: &[Key]) -> Vec<PartView> {
        match layer {
            0 => self.orchestration(),
            1 => self.topology_parts(targets),
            2 => self.agents(),
            3 => self.meta(targets),
            4 => self.governance(targets),
            5 => self.self_healing(),
            _ => Vec::new(),
        }
    }

    /// Every target that is there.
    pub(crate) fn present_targets(&self) -> Vec<Key> {
        let of = |index: &u32| {
            let targets = next(self.hosts[at(*index)].targets.len());
            let host = *index;
            (0..targets).map(move |target| Key { host, target })
        };
        self.names.values().flat_map(of).filter(|key| !self.target_at(*key).gone).collect()
    }

    fn orchestration(&self) -> Vec<PartView> {
        let open = self.cases.len();
        if open == 0 && self.tally.outcomes.is_empty() {
            return vec![part("queue", None, "no incident has been seen since the start")];
        }
        let held = self.cases.values().filter(|case| matches!(case.it.state, IncidentState::Held)).count();
        let queued = self.queue.len();
        let outcomes = &self.tally.outcomes;
        let known = outcomes.iter().filter(|it| **it != Came::Unknown).count();
        vec![
            part(
                "queue",
                share(open.saturating_sub(queued), open),
                format!("{queued} of {open} incidents wait for a place"),
            ),
            part(
                "holds",
                share(open.saturating_sub(held), open),
                format!("brakes hold {held} of {open} incidents back"),
            ),
            part(
                "commands",
                share(known, outcomes.len()),
                format!("of {} commands {known} are known to the end", outcomes.len()),
            ),
        ]
    }

    fn topology_parts(&self, targets: &[Key]) -> Vec<PartView> {
        let mut needs: BTreeMap<Key, BTreeSet<Key>> = BTreeMap::new();
        let (mut declared, mut missing) = (0, 0);
        for key in targets {
            for needed in self.declared_needs(*key) {
                let there = match needed {
                    Needed::Target(target) => match self.find(&target) {
                        // What needs itself needs nothing.
                        Some(other) if other == *key => continue,
                        Some(other) => {
                            needs.entry(*key).or_default().insert(other);
                            true
                        }
                        None => false,
                    },
                    // Any one of several is no fixed edge.
                    Needed::Service(service) => {
                        let members = self.topology.services.get(&service);
                        members.is_some_and(|members| members.iter().any(|it| it != key))
                    }
                };
                declared += 1;
                missing += usize::from(!there);
            }
        }
        let cyclic = on_cycles(needs);
        let watched = targets.iter().filter(|key| !self.target_at(**key).probes.is_empty()).count();
        let ailing = targets.iter().filter(|key| self.ailing(**key)).count();
        vec![
            part(
                "resolved",
                share(declared - missing, declared),
                format!("{missing} of {declared} dependencies name nothing"),
            ),
            part(
                "acyclic",
                share(targets.len() - cyclic, targets.len()),
                format!("{cyclic} targets need each other in circles"),
            ),
            part(
                "working",
                share(watched.saturating_sub(ailing), watched),
                format!("{ailing} of {watched} targets are broken"),
            ),
        ]
    }

    fn agents(&self) -> Vec<PartView> {
        let hosts: Vec<_> = self.names.values().map(|index| (*index, &self.hosts[at(*index)])).collect();
        let expected: Vec<_> = hosts.iter().filter(|(_, host)| host.link != crate::host::Link::Left).collect();
        let online: Vec<_> = expected.iter().filter(|(_, host)| host.online()).collect();
        let may_act = |host: &crate::host::Host| {
            host.report.as_ref().is_some_and(|it| it.paused.is_none() && it.observe_only.is_none())
        };
        let acting = online.iter().filter(|(_, host)| may_act(host)).count();
        let scores: Vec<f64> = online.iter().filter_map(|(index, _)| self.resource_score(*index)).collect();
        let (all, here) = (expected.len(), online.len());
        vec![
            part("online", share(here, all), format!("{here} of {all} agents talk to the server")),
            part("acting", share(acting, here), format!("{acting} of those {here} may act")),
            part("resources", mean(scores.iter().copied()), format!("the free resources of {} hosts", scores.len())),
        ]
    }

    fn meta(&self, targets: &[Key]) -> Vec<PartView> {
        let relapsed =
            |key: &&Key| self.target_at(**key).relapses.back().is_some_and(|last| self.now.since(*last) < DAY);
        let unstable = targets.iter().filter(relapsed).count();
        let (mut probes, mut telling) = (0, 0);
        for key in targets.iter().filter(|key| self.hosts[at(key.host)].online()) {
            let contact = self.hosts[at(key.host)].contact();
            for probe in &self.target_at(*key).probes {
                probes += 1;
                let seen = probe.fresh(self.now, contact, self.policy.verification.fresh);
                telling += usize::from(seen.is_some_and(|seen| seen.status != Status::Unknown));
            }
        }
        let broken = self.custom.iter().filter(|rule| rule.broken.is_some()).count();
        let rules = self.custom.len();
        vec![
            part("telemetry", share(telling, probes), format!("{telling} of {probes} probes give a fresh verdict")),
            part(
                "stability",
                share(targets.len() - unstable, targets.len()),
                format!("{unstable} targets relapsed within a day"),
            ),
            part("rules", share(rules - broken, rules), format!("{broken} of {rules} custom rules are broken")),
        ]
    }

    fn governance(&self, targets: &[Key]) -> Vec<PartView> {
        let outcomes = &self.tally.outcomes;
        let refused = outcomes.iter().filter(|it| **it == Came::Refused).count();
        let (mut files, mut drifted) = (0, 0);
        for key in targets {
            let contact = self.hosts[at(key.host)].contact();
            for probe in self.target_at(*key).of_kind(ProbeKind::File) {
                if probe.fresh(self.now, contact, self.policy.verification.fresh).is_none() {
                    continue;
                }
                match &probe.finding {
                    Some(Finding::FileAsKnown { .. }) => files += 1,
                    Some(Finding::FileChanged { known_good: Some(_), .. }) => {
                        (files, drifted) = (files + 1, drifted + 1)
                    }
                    Some(_) | None => {}
                }
            }
        }
        let off = self.policy.mode == Mode::Disabled || self.pauses.contains_key(&Scope::Fleet);
        let known = !self.names.is_empty();
        let charge =
            if off { "repairs of the whole fleet are switched off" } else { "nobody has switched repairs off" };
        vec![
            part(
                "accepted",
                share(outcomes.len() - refused, outcomes.len()),
                format!("{refused} of {} commands were refused", outcomes.len()),
            ),
            part(
                "drift",
                share(files - drifted, files),
                format!("{drifted} of {files} files differ from their known-good content"),
            ),
            part("in_charge", known.then_some(if off { 50.0 } else { 100.0 }), charge),
        ]
    }

    fn self_healing(&self) -> Vec<PartView> {
        let verdicts = &self.tally.verdicts;
        let healed = verdicts.iter().filter(|it| **it).count();
        let open = self.cases.len();
        let human =
            self.cases.values().filter(|case| matches!(case.it.state, IncidentState::NeedsHuman { .. })).count();
        vec![
            part("success", share(healed, verdicts.len()), format!("{healed} of {} repairs healed", verdicts.len())),
            part("unattended", share(open - human, open), format!("{human} of {open} open incidents need a person")),
        ]
    }
}

/// How many of the targets lie on a circle of needs, or between two: those that remain when whatever needs nothing, or is
/// needed by nothing, is taken away again and again.
fn on_cycles(mut needs: BTreeMap<Key, BTreeSet<Key>>) -> usize {
    loop {
        let before = needs.len();
        let needing: BTreeSet<Key> = needs.keys().copied().collect();
        let needed: BTreeSet<Key> = needs.values().flatten().copied().collect();
        needs.retain(|key, others| {
            others.retain(|other| needing.contains(other));
            !others.is_empty() && needed.contains(key)
        });
        if needs.len() == before {
            return before;
        }
    }
}

//! When custom rules are evaluated, and what they said of each target.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use prunella_model::event::EventKind;
use prunella_model::incident::Closing;
use prunella_model::policy::FleetPolicy;
use prunella_model::{OperatorName, RepairName, RuleName, Timestamp};

use super::facts::{self, View};
use super::{Custom, Truth, Uses};
use crate::Engine;
use crate::host::Series;
use crate::key::{Key, at, next};
use crate::rules::{Judgement, RULES, Symptom, Tuning};
use crate::timers::Timer;

/// How many looks of one run of equal verdicts are remembered.
const SEEN: usize = 8;

/// What a rule came to, without the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Verdict {
    #[default]
    Unknown,
    True,
    False,
}

/// What one rule said of one target.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    verdict: Verdict,
    /// When this run of equal verdicts began, by the server's clock.
    since: Timestamp,
    /// When the evidence was seen that the run stands on, by the host's clock, newest last.
    seen: VecDeque<Timestamp>,
    /// Whether the condition has held for long enough in this run, and that was counted.
    counted: bool,
}

impl Said {
    fn take(&mut self, verdict: Verdict, now: Timestamp, evidence: Timestamp) -> bool {
        let changed = self.verdict != verdict;
        if changed {
            *self = Self { verdict, since: now, seen: VecDeque::new(), counted: false };
        }
        if self.seen.back().is_none_or(|last| evidence > *last) {
            if self.seen.len() == SEEN {
                self.seen.pop_front();
            }
            self.seen.push_back(evidence);
        }
        changed
    }

    /// How many looks at or after `since`, by the host's clock, found the condition not to hold.
    fn row_since(&self, since: Timestamp) -> u32 {
        let row = self.seen.iter().rev().take_while(|at| **at >= since).count();
        u32::try_from(row).unwrap_or(u32::MAX)
    }
}

/// The figures of the custom rules of a policy, in the form of those of the shipped ones.
pub(crate) fn tune(policy: &FleetPolicy) -> impl Iterator<Item = Tuning> {
    policy.custom.iter().map(|rule| Tuning {
        enabled: true,
        severity: rule.severity,
        threshold: 0.0,
        clear: 0.0,
        hold: rule.hold,
        count: 1,
    })
}

/// The custom rules that a change of a measurement concerns: those on its own target, and those on any of its host.
pub(crate) fn feeds(custom: &[Custom], metric: &str, of_host: bool) -> (Vec<u32>, Vec<u32>) {
    let using = |wanted: &dyn Fn(&Uses) -> bool| {
        let hit =
            |(rule, it): (usize, &Custom)| it.judge.as_ref().is_some_and(|it| wanted(it.uses())).then(|| next(rule));
        custom.iter().enumerate().filter_map(hit).collect()
    };
    let own = using(&|uses| uses.metrics.has(metric));
    let wide = if of_host { using(&|uses| uses.host_metrics.has(metric)) } else { Vec::new() };
    (own, wide)
}

impl Engine {
    /// The name of a rule, shipped or custom.
    pub(crate) fn rule_name(&self, rule: usize) -> &str {
        match RULES.get(rule) {
            Some(shipped) => shipped.name(),
            None => self.custom.get(rule.wrapping_sub(RULES.len())).map_or("", |it| it.rule.name.as_str()),
        }
    }

    /// The index of a rule, shipped or custom.
    pub(crate) fn rule_index(&self, name: &RuleName) -> Option<usize> {
        crate::rules::index(name).or_else(|| Some(RULES.len() + self.custom_index(name.as_str())?))
    }

    /// The index of a custom rule among the custom ones.
    pub(crate) fn custom_index(&self, name: &str) -> Option<usize> {
        self.custom.iter().position(|it| it.rule.name.as_str() == name)
    }

    /// The repairs that the policy names for the custom rules among `rules`, best first.
    pub(crate) fn declared_repairs<'a>(&self, rules: impl Iterator<Item = &'a RuleName>) -> Vec<RepairName> {
        let mut all: Vec<RepairName> = Vec::new();
        for index in rules.filter_map(|name| self.custom_index(name.as_str())) {
            let new: Vec<_> = self.custom[index].rule.actions.iter().filter(|it| !all.contains(it)).cloned().collect();
            all.extend(new);
        }
        all
    }

    /// Works out which custom rules look at which targets of a host. What a rule has said stays when it is the same
    /// under the new number that `renumbered` gives the old one.
    pub(crate) fn match_custom(&mut self, index: u32, renumbered: &dyn Fn(u32) -> Option<u32>) {
        let custom = &self.custom;
        let host = &mut self.hosts[at(index)];
        let matches: Vec<Vec<u32>> = host
            .targets
            .iter()
            .map(|target| {
                let fits = |(rule, it): (usize, &Custom)| {
                    (!target.gone && facts::fits(&it.rule.scope, host, target)).then(|| next(rule))
                };
                custom.iter().enumerate().filter_map(fits).collect()
            })
            .collect();
        let mut used: BTreeSet<u32> = BTreeSet::new();
        for (target, rules) in host.targets.iter_mut().zip(matches) {
            let old = std::mem::take(&mut target.custom);
            let mut kept: BTreeMap<u32, Said> =
                old.into_iter().filter_map(|(rule, said)| Some((renumbered(rule)?, said))).collect();
            used.extend(&rules);
            target.custom = rules.into_iter().map(|rule| (rule, kept.remove(&rule).unwrap_or_default())).collect();
        }
        for series in host.series.iter_mut().flatten() {
            let of_host = host.targets[at(series.target)].report.name.is_host();
            (series.feeds, series.feeds_all) = feeds(custom, series.metric.as_str(), of_host);
        }
        for rule in used {
            self.timers.ensure(Timer::Custom(index, rule), self.now.after(self.beat_of(rule)), self.now);
        }
    }

    fn beat_of(&self, rule: u32) -> Duration {
        self.custom.get(at(rule)).map_or(Duration::MAX, |it| it.rule.beat(self.policy.profile))
    }

    /// What may have changed for custom rules because `series` has a new value.
    pub(crate) fn stirred_by(series: &Series, targets: usize, stirred: &mut BTreeSet<(u32, u32)>) {
        stirred.extend(series.feeds.iter().map(|rule| (series.target, *rule)));
        for rule in &series.feeds_all {
            stirred.extend((0..next(targets)).map(|target| (target, *rule)));
        }
    }

    /// What may have changed for custom rules because probes of `target` said something. While an incident is open,
    /// everything is looked at: somebody waits for the answer.
    pub(crate) fn stirred_by_probes(&self, key: Key, stirred: &mut BTreeSet<(u32, u32)>) {
        let target = self.target_at(key);
        let all = target.incident.is_some();
        let rules = target.custom.keys().filter(|rule| {
            let judge = self.custom.get(at(**rule)).and_then(|it| it.judge.as_ref());
            judge.is_some_and(|judge| all || !judge.uses().probes.is_none())
        });
        stirred.extend(rules.map(|rule| (key.target, *rule)));
    }

    /// Evaluates what was stirred. Returns the targets that must be judged again.
    pub(crate) fn evaluate_all(&mut self, host: u32, stirred: BTreeSet<(u32, u32)>) -> Vec<u32> {
        let mut changed = Vec::new();
        for (target, rule) in stirred {
            if self.evaluate(Key { host, target }, rule) {
                changed.push(target);
            }
        }
        changed
    }

    /// A rule is due on a host.
    pub(crate) fn custom_due(&mut self, host: u32, rule: u32) {
        let it = &self.hosts[at(host)];
        let with = |(target, it): (usize, &crate::target::Target)| it.custom.contains_key(&rule).then(|| next(target));
        let targets: Vec<u32> = it.targets.iter().enumerate().filter_map(with).collect();
        if targets.is_empty() || !it.online() {
            return;
        }
        self.timers.ensure(Timer::Custom(host, rule), self.now.after(self.beat_of(rule)), self.now);
        for target in targets {
            let key = Key { host, target };
            if self.evaluate(key, rule) || self.target_at(key).incident.is_some() {
                self.review(key);
            }
        }
    }

    /// Evaluates one rule on one target. True when the target must be judged again.
    fn evaluate(&mut self, key: Key, rule: u32) -> bool {
        let now = self.now;
        let Some(judge) = self.custom.get(at(rule)).and_then(|it| it.judge.clone()) else { return false };
        let host = &self.hosts[at(key.host)];
        let target = &host.targets[at(key.target)];
        if !target.custom.contains_key(&rule) {
            return false;
        }
        let view = View { host, target, now, fresh: self.policy.verification.fresh, since: Timestamp::ZERO };
        let evidence = view.evidence(judge.uses());
        let truth = judge.judge(&view.facts(judge.uses()));
        let custom = &mut self.custom[at(rule)];
        custom.evaluations += 1;
        let hold = custom.rule.hold;
        let (verdict, broken) = match truth {
            Truth::True => (Verdict::True, None),
            Truth::False => (Verdict::False, None),
            Truth::Unknown(_) => (Verdict::Unknown, None),
            Truth::Broken(why) => (Verdict::Unknown, Some(why)),
        };
        if let Some(why) = broken {
            self.rule_broke(rule, key, why);
        }
        let Some(said) = self.target_mut(key).custom.get_mut(&rule) else { return false };
        let changed = said.take(verdict, now, evidence);
        if said.verdict != Verdict::True || said.counted {
            return changed;
        }
        if now.since(said.since) < hold {
            let due = said.since.after(hold);
            self.timers.sooner(Timer::Custom(key.host, rule), due, now);
            return changed;
        }
        said.counted = true;
        self.rule_spoke(rule, key);
        true
    }

    fn rule_spoke(&mut self, rule: u32, key: Key) {
        let name = self.reference(key);
        let now = self.now;
        let custom = &mut self.custom[at(rule)];
        custom.spoke += 1;
        custom.last = Some((now, name));
        let custom = &self.custom[at(rule)];
        if custom.rule.shadow {
            let line = format!("in shadow, {}: {}", custom.rule.name, self.custom_summary(rule, key));
            self.audit("shadow_fault", key, None, line.clone());
            self.announce(EventKind::ShadowFault, Some(key), None, line);
        }
    }

    fn rule_broke(&mut self, rule: u32, key: Key, why: String) {
        let custom = &mut self.custom[at(rule)];
        if custom.broken.is_some() {
            return;
        }
        let line = format!("rule {} cannot be evaluated, so it says nothing: {why}", custom.rule.name);
        custom.broken = Some(why);
        self.audit("rule_broken", key, None, line.clone());
        self.announce(EventKind::RuleBroken, Some(key), None, line);
    }

    fn custom_summary(&self, rule: u32, key: Key) -> String {
        let Some(custom) = self.custom.get(at(rule)) else { return String::new() };
        let host = &self.hosts[at(key.host)];
        let target = &host.targets[at(key.target)];
        let fresh = self.policy.verification.fresh;
        let view = View { host, target, now: self.now, fresh, since: Timestamp::ZERO };
        let values = custom.judge.as_ref().map_or_else(String::new, |judge| view.values(judge.uses()));
        let what = if custom.rule.summary.is_empty() { &custom.rule.when } else { &custom.rule.summary };
        if values.is_empty() { what.clone() } else { format!("{what} ({values})") }
    }

    /// What a custom rule says of a target, on evidence from `since` on, by the host's clock; zero for all.
    pub(crate) fn judge_custom(&self, rule: usize, key: Key, since: Timestamp) -> Judgement {
        let Some(custom) = self.custom.get(rule) else { return Judgement::Unknown };
        let number = next(rule);
        let host = &self.hosts[at(key.host)];
        let target = &host.targets[at(key.target)];
        let (Some(judge), Some(said)) = (&custom.judge, target.custom.get(&number)) else {
            // It no longer looks at this target, so it has nothing against it.
            return if custom.judge.is_some() { Judgement::Absent(u32::MAX) } else { Judgement::Unknown };
        };
        let fresh = self.policy.verification.fresh;
        if host.contact().is_none_or(|contact| self.now.since(contact) > fresh) {
            return Judgement::Unknown;
        }
        let verdict = if since == Timestamp::ZERO {
            said.verdict
        } else {
            let view = View { host, target, now: self.now, fresh, since };
            match judge.judge(&view.facts(judge.uses())) {
                Truth::True => Verdict::True,
                Truth::False => Verdict::False,
                Truth::Unknown(_) | Truth::Broken(_) => Verdict::Unknown,
            }
        };
        match verdict {
            Verdict::Unknown => Judgement::Unknown,
            Verdict::False if said.verdict == Verdict::False => Judgement::Absent(said.row_since(since)),
            Verdict::False => Judgement::Absent(0),
            // Not yet for long enough, which is neither well nor ill.
            Verdict::True if since == Timestamp::ZERO && self.now.since(said.since) < custom.rule.hold => {
                Judgement::Unknown
            }
            Verdict::True => Judgement::Present(Symptom {
                since: host.clock.to_host(said.since),
                probe: shown_by(judge.uses(), target),
                summary: format!("{}: {}", target.report.name, self.custom_summary(number, key)),
            }),
        }
    }
}

/// The probe that shows what an expression finds: one that sees through to what the target needs, if it uses such a one.
fn shown_by(uses: &Uses, target: &crate::target::Target) -> Option<prunella_model::ProbeName> {
    let used = || target.probes.iter().filter(|probe| uses.probes.has(probe.report.name.as_str()));
    let through = used().find(|probe| probe.report.kind.sees_through());
    through.or_else(|| used().next()).map(|probe| probe.report.name.clone())
}

impl Engine {
    /// Whether a rule opens incidents: every one that is not in shadow.
    pub(crate) fn speaks(&self, rule: usize) -> bool {
        match rule.checked_sub(RULES.len()) {
            None => !crate::rules::in_shadow(&self.policy, rule),
            Some(custom) => self.custom.get(custom).is_some_and(|it| !it.rule.shadow),
        }
    }

    /// Compiles the custom rules of a new policy, and says which ones do not compile. Returns the new number of each old
    /// rule that is unchanged, and the names of the old ones.
    pub(crate) fn change_custom(&mut self, policy: &FleetPolicy) -> (BTreeMap<u32, u32>, BTreeSet<RuleName>) {
        let new = super::compile(policy, self.compiler.as_ref());
        let old = std::mem::replace(&mut self.custom, new);
        for rule in 0..next(old.len().max(self.custom.len())) {
            for host in 0..next(self.hosts.len()) {
                self.timers.clear(&Timer::Custom(host, rule));
            }
        }
        let names = old.iter().map(|it| it.rule.name.clone()).collect();
        let mut renumbered = BTreeMap::new();
        for (was, before) in old.into_iter().enumerate() {
            let same = self.custom.iter().position(|it| it.rule == before.rule);
            if let Some(is) = same {
                let custom = &mut self.custom[is];
                (custom.evaluations, custom.spoke, custom.last) = (before.evaluations, before.spoke, before.last);
                // What broke when it was evaluated has been said.
                custom.broken = custom.broken.take().or(before.broken.filter(|_| before.judge.is_some()));
                renumbered.insert(next(was), next(is));
            }
        }
        for index in 0..self.custom.len() {
            let it = &self.custom[index];
            let Some(why) = it.broken.clone().filter(|_| it.judge.is_none()) else { continue };
            let line = format!("rule {} does not compile, so it says nothing: {why}", it.rule.name);
            let subject = format!("rules/{}", it.rule.name);
            self.audit_as("engine".to_owned(), "rule_broken", subject, None, line.clone());
            self.announce(EventKind::RuleBroken, None, None, line);
        }
        (renumbered, names)
    }

    /// Takes the faults of rules that a new policy has no more, or has in shadow, out of their incidents: nobody could say
    /// when they are over. An incident without any other fault is closed.
    pub(crate) fn withdraw(&mut self, old: &BTreeSet<RuleName>) {
        let gone = |rule: &RuleName| old.contains(rule) && self.rule_index(rule).is_none_or(|rule| !self.speaks(rule));
        let gone: BTreeSet<RuleName> = old.iter().filter(|rule| gone(rule)).cloned().collect();
        if gone.is_empty() {
            return;
        }
        let mut over = Vec::new();
        let mut changed = Vec::new();
        for (id, case) in &mut self.cases {
            let before = case.it.also.len();
            case.it.also.retain(|fault| !gone.contains(&fault.rule));
            if !gone.contains(&case.it.fault.rule) {
                changed.extend((case.it.also.len() < before).then_some(*id));
            } else if case.it.also.is_empty() {
                over.push(*id);
            } else {
                case.it.fault = case.it.also.remove(0);
                changed.push(*id);
            }
        }
        for id in changed {
            self.touched(id);
        }
        for id in over {
            self.close(id, Closing::Cancelled { by: OperatorName::of("policy") });
        }
    }
}

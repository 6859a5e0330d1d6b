//! What a person might do, each with what it stands on. Nothing of it is done unasked.

use std::collections::BTreeMap;
use std::time::Duration;

use prunella_model::knowledge::{Subject, WishRecord};
use prunella_model::{MetricName, RuleName, Timestamp};

use super::{bounds, in_words, number};
use crate::Engine;
use crate::key::{at, next};
use crate::rules;
use crate::text::{about, span};
use crate::view::{Advice, Capacity, Insight, Recommendation};

/// So many incidents make a habit.
const HABIT: u64 = 5;

/// So many incidents of a few tell something.
const FEW: u64 = 3;

/// A fault that comes back within this is worth looking for what leads to it.
const OFTEN: Duration = Duration::from_secs(86_400);

/// A directory that fills within this is too small for what is written.
const SOON: Duration = Duration::from_secs(7 * 86_400);

/// What was not seen for so long is history.
const LATELY: Duration = Duration::from_secs(30 * 86_400);

/// Above this share, with 95 %, the faults of a rule go away by themselves.
const MOSTLY: f64 = 0.9;

impl Engine {
    /// What a person might do, what bears on most incidents first.
    #[must_use]
    pub fn recommendations(&self, now: Timestamp) -> Vec<Recommendation> {
        let mut all: Vec<Recommendation> = self.wishes.values().filter_map(|it| self.permit(it)).collect();
        all.extend(self.foreseen_capacities(now).iter().map(|it| make_room(it, now)));
        all.extend(self.flapping(now));
        all.extend(self.rules_to_shadow());
        let known = self.known();
        let lately = known.iter().filter(|(_, it)| {
            let seen = it.own.and_then(|own| own.recent.last());
            seen.is_some_and(|last| now.since(*last) <= LATELY)
        });
        for insight in lately.map(|(id, it)| self.insight(id, it, now)) {
            all.extend(hopeless_repairs(&insight));
            all.extend(quota(&insight));
            all.extend(recurring(&insight));
            all.extend(escalates(&insight));
        }
        all.sort_by_cached_key(Recommendation::place);
        all
    }

    /// A repair that would have been chosen, and is still not permitted.
    fn permit(&self, it: &WishRecord) -> Option<Recommendation> {
        let permits = &self.target_at(self.find(&it.target)?).report.permits;
        if permits.iter().any(|permit| permit.step.as_str() == it.step && permit.per_hour > 0) {
            return None;
        }
        let name = &it.target.target;
        Some(Recommendation {
            kind: Advice::Permit,
            target: Some(it.target.clone()),
            subject: None,
            rule: None,
            text: format!("permit {:?} for target {:?} in agent.toml of {}", it.step, name.as_str(), it.target.host),
            evidence: vec![format!("{} would have been chosen first in {} incidents", it.repair, it.incidents)],
            incidents: it.incidents,
        })
    }

    /// Targets that relapsed as often as a person must look at.
    fn flapping(&self, now: Timestamp) -> Vec<Recommendation> {
        let limit = at(self.policy.limits.relapses.max(1));
        let mut all = Vec::new();
        for (host, index) in &self.names {
            for target in self.hosts[at(*index)].targets.iter().filter(|target| !target.gone) {
                let relapses = crate::detect::rate::within(target.relapses.iter(), OFTEN, now);
                if relapses < limit {
                    continue;
                }
                let name = &target.report.name;
                all.push(Recommendation {
                    kind: Advice::Flapping,
                    target: Some(prunella_model::TargetRef::new(host.clone(), name.clone())),
                    subject: None,
                    rule: None,
                    text: format!("look at {name} of {host}: repairs do not last, so none is made unasked"),
                    evidence: vec![format!("it relapsed {relapses} times within a day; the limit is {limit}")],
                    incidents: u64::from(next(relapses)),
                });
            }
        }
        all
    }

    /// Rules of which nearly every fault goes away before any repair.
    fn rules_to_shadow(&self) -> Vec<Recommendation> {
        let mut counts: BTreeMap<&RuleName, (u64, u64)> = BTreeMap::new();
        for it in self.book.patterns().filter(|it| it.source.is_none()) {
            let (all, alone) = counts.entry(&it.subject.rule).or_default();
            (*all, *alone) = (all.saturating_add(it.incidents), alone.saturating_add(it.self_recovered));
        }
        let speaks = |rule: &RuleName| rules::index(rule).is_some_and(|it| !rules::in_shadow(&self.policy, it));
        let found = counts.into_iter().filter(|(rule, (all, alone))| {
            let (low, _) = bounds(number(*alone), number(*all));
            speaks(rule) && low >= MOSTLY
        });
        let advice = |(rule, (all, alone)): (&RuleName, (u64, u64))| Recommendation {
            kind: Advice::ShadowRule,
            target: None,
            subject: None,
            rule: Some(rule.clone()),
            text: format!(
                "let rule {rule} hold longer (rules.{rule}.hold), or put it in shadow (rules.{rule}.shadow): its faults go \
                 away by themselves"
            ),
            evidence: vec![format!(
                "{alone} of {all} incidents went away before any repair: at least {:.0} % do, with 95 %",
                bounds(number(alone), number(all)).0 * 100.0
            )],
            incidents: all,
        };
        found.map(advice).collect()
    }
}

/// What a person does about a share that is used up.
fn remedy(metric: &MetricName) -> &'static str {
    match metric.as_str().split('.').next() {
        Some("files") => "raise the limit, or look for what keeps files open",
        Some("inodes") => "remove small files",
        Some("cgroup") => "raise the limit of the control group",
        Some(_) | None => "make room",
    }
}

/// Something that is used up soon.
fn make_room(it: &Capacity, now: Timestamp) -> Recommendation {
    let left = it.exhausted_at.map_or(Duration::ZERO, |end| end.since(now));
    let rise = it.per_day.map_or_else(String::new, |rise| format!(" and rises by {rise:.1} points a day"));
    let used = it.last_percent.map_or_else(|| "its use is not known".to_owned(), |it| format!("it is at {it:.0} %"));
    Recommendation {
        kind: Advice::Capacity,
        target: Some(it.target.clone()),
        subject: None,
        rule: None,
        text: format!(
            "{}: {} of {} is full in {}",
            remedy(&it.metric),
            it.metric,
            it.target,
            about(left.as_secs_f64())
        ),
        evidence: vec![format!("{used}{rise}")],
        incidents: 0,
    }
}

fn on(insight: &Insight, kind: Advice, text: String, evidence: Vec<String>) -> Recommendation {
    let subject: Subject = insight.subject.clone();
    let incidents = insight.incidents;
    Recommendation { kind, target: None, rule: None, subject: Some(subject), text, evidence, incidents }
}

/// Repairs of which experience does not show that they help.
fn hopeless_repairs(it: &Insight) -> Vec<Recommendation> {
    let shadow = it.helps.iter().filter(|help| help.shadow && help.after.is_empty());
    let advice = |help: &crate::view::Help| {
        let text = format!(
            "look for what {} needs instead of {}, or forbid that (forbid_repairs): it is not made unasked any more",
            in_words(&it.subject),
            help.repair
        );
        let trials = help.healed + help.failed;
        let evidence = format!(
            "{trials:.0} trials, {:.0} helped: between {:.0} and {:.0} % likely to help",
            help.healed,
            help.low * 100.0,
            help.high * 100.0
        );
        on(it, Advice::RepairInShadow, text, vec![evidence])
    };
    shadow.map(advice).collect()
}

/// A directory that fills again and again.
fn quota(it: &Insight) -> Option<Recommendation> {
    let every = it.every.filter(|every| *every <= SOON && it.incidents >= FEW)?;
    if it.subject.rule.as_str() != rules::DIRECTORY_FULL {
        return None;
    }
    let directory = it.subject.symptom.as_ref().map_or("a directory", |it| it.as_str());
    let kind = &it.subject.kind;
    let text = format!("raise the quota of {directory} of {kind}, or let less be written: cleaning does not last");
    let evidence = format!("{} incidents, {} apart in the median", it.incidents, span(every));
    Some(on(it, Advice::Quota, text, vec![evidence]))
}

/// What is repaired again and again.
fn recurring(it: &Insight) -> Option<Recommendation> {
    let every = it.every.filter(|every| *every <= OFTEN && it.incidents >= HABIT)?;
    let healed: f64 = it.helps.iter().map(|help| help.healed).sum();
    if healed < 1.0 || it.subject.rule.as_str() == rules::DIRECTORY_FULL {
        return None;
    }
    let text = format!("look for what leads to {}: repairs mend it, and it comes back", in_words(&it.subject));
    let evidence = format!("{} incidents, {} apart in the median", it.incidents, span(every));
    Some(on(it, Advice::Recurring, text, vec![evidence]))
}

/// What mostly needs a person.
fn escalates(it: &Insight) -> Option<Recommendation> {
    if it.incidents < FEW || it.escalated.saturating_mul(2) <= it.incidents {
        return None;
    }
    let text = format!("{} mostly needs a person: permit a repair for it, or write a rule", in_words(&it.subject));
    let evidence = format!("{} of {} incidents were handed to a person", it.escalated, it.incidents);
    Some(on(it, Advice::Escalates, text, vec![evidence]))
}

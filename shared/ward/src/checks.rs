//! The checks themselves, in the order in which the ward makes them.

use std::time::Duration;

use prunella_model::command::{Delivery, Intent, LIFETIME_MAX, Precondition, SCHEMA, STEPS_MAX};
use prunella_model::outcome::Refusal;
use prunella_model::part::Act;
use prunella_model::step::{Effect, Risk, Step, TargetStep};
use prunella_model::{FleetName, HostId, PartName, TargetName};
use prunella_seal::{Delegation, HostScope};

use crate::facts::{Facts, Moment};
use crate::policy::{LocalPolicy, TargetPolicy};
use crate::ward::{Own, Ward};

type Check = Result<(), Refusal>;

/// How much later than it can have been a delivery may claim to be signed: what a server's clock gains on the host's.
/// A thousandth is far more than any clock is off.
fn clock_gain(elapsed: Duration) -> Duration {
    Duration::from_secs(5).saturating_add(elapsed / 1000)
}

pub(crate) fn schema(delivery: &Delivery, intent: &Intent) -> Check {
    schemas(delivery.schema, intent.schema)?;
    match intent.attempt {
        0 => Err(Refusal::Undecodable { why: "only a standing order has attempt 0".to_owned() }),
        _ => Ok(()),
    }
}

pub(crate) fn schemas(delivery: u32, inner: u32) -> Check {
    for found in [delivery, inner] {
        if found > SCHEMA {
            return Err(Refusal::NewerSchema { found, known: SCHEMA });
        }
        if found == 0 {
            return Err(Refusal::Undecodable { why: "it names no schema".to_owned() });
        }
    }
    Ok(())
}

pub(crate) fn addressee(own: &Own, intent: &Intent) -> Check {
    addressed(own, &intent.fleet, &intent.host, intent.enrolment)
}

pub(crate) fn addressed(own: &Own, fleet: &FleetName, host: &HostId, enrolment: u64) -> Check {
    if *fleet != own.fleet {
        return Err(Refusal::WrongFleet { found: fleet.to_string() });
    }
    if *host != own.host {
        return Err(Refusal::WrongHost { found: host.to_string() });
    }
    if enrolment != own.enrolment {
        return Err(Refusal::WrongEnrolment { found: enrolment, own: own.enrolment });
    }
    Ok(())
}

pub(crate) fn delegation_version(delivery: &Delivery, it: &Delegation) -> Check {
    if delivery.delegation_version != it.version {
        let why = format!("it names delegation {}, but {} is in force", delivery.delegation_version, it.version);
        return Err(Refusal::NoDelegation { why });
    }
    Ok(())
}

/// Whether a delegation covers a program.
pub(crate) fn scope(ward: &Ward, intent: &Intent, it: &Delegation, now: Moment) -> Check {
    if it.fleet != ward.own.fleet {
        return Err(Refusal::NoDelegation { why: format!("the delegation is for fleet {}", it.fleet) });
    }
    it.check_time(now.wall).map_err(|why| Refusal::NoDelegation { why })?;
    let outside = |why: String| Err(Refusal::OutsideDelegation { why });
    let scope = &it.scope;
    // What the steps are counts, whatever is declared.
    let risk = intent.risk.max(risk_of(intent));
    if risk > scope.max_risk {
        return outside(format!("its risk is {risk:?}, and at most {:?} is delegated", scope.max_risk));
    }
    match &scope.hosts {
        HostScope::All => {}
        HostScope::Only(hosts) if hosts.contains(&ward.own.host) => {}
        HostScope::Only(_) => return outside(format!("host {} is not in it", ward.own.host)),
    }
    if let Some(steps) = &scope.steps
        && let Some(step) = intent.steps.iter().find(|it| !steps.contains(&it.step.kind()))
    {
        return outside(format!("{} is not in it", step.step.kind().as_str()));
    }
    if !intent.dry_run && ward.budget.commands(now.boot) >= scope.per_hour {
        return outside(format!(
            "{} commands an hour for each host are delegated, and that is used up",
            scope.per_hour
        ));
    }
    Ok(())
}

pub(crate) fn freshness(ward: &Ward, delivery: &Delivery, now: Moment) -> Check {
    let Some(stream) = ward.stream.filter(|it| it.challenge == delivery.challenge) else {
        return Err(Refusal::WrongChallenge);
    };
    if delivery.lifetime > LIFETIME_MAX {
        let why = format!(
            "it wants to live {} s; at most {} are allowed",
            delivery.lifetime.as_secs(),
            LIFETIME_MAX.as_secs()
        );
        return Err(Refusal::Expired { why });
    }
    // The server received the challenge after it was made here, so measured from its making everything comes early.
    let elapsed = now.boot.saturating_sub(stream.made);
    if delivery.issued_after > elapsed.saturating_add(clock_gain(elapsed)) {
        let why = format!(
            "it claims to be signed {} s after the stream began, which is {} s old",
            delivery.issued_after.as_secs(),
            elapsed.as_secs()
        );
        return Err(Refusal::Expired { why });
    }
    let end = delivery.issued_after.saturating_add(delivery.lifetime);
    if elapsed > end {
        let late = (elapsed - end).as_millis();
        return Err(Refusal::Expired { why: format!("{late} ms too late, by the boot clock") });
    }
    Ok(())
}

pub(crate) fn order(ward: &Ward, delivery: &Delivery, intent: &Intent, facts: &impl Facts) -> Check {
    in_order(ward, delivery)?;
    if facts.knows(intent.id) {
        return Err(Refusal::AlreadyKnown);
    }
    Ok(())
}

pub(crate) fn in_order(ward: &Ward, delivery: &Delivery) -> Check {
    if delivery.generation < ward.mark {
        return Err(Refusal::StaleGeneration { found: delivery.generation.to_string(), mark: ward.mark.to_string() });
    }
    let last = ward.stream.map_or(0, |it| it.sequence);
    if delivery.sequence <= last {
        return Err(Refusal::Replayed { found: delivery.sequence, last });
    }
    Ok(())
}

pub(crate) fn approvals(policy: &LocalPolicy, intent: &Intent, have: u32) -> Check {
    let permits = intent.steps.iter().filter_map(|it| policy.targets.get(&it.target)?.permits.get(&it.step.kind()));
    let need = permits.map(|it| it.approvals).max().unwrap_or(0).max(intent.approvals_required);
    if have < need { Err(Refusal::NotApproved { have, need }) } else { Ok(()) }
}

pub(crate) fn danger(intent: &Intent) -> Check {
    match intent.risk.max(risk_of(intent)) {
        Risk::Low | Risk::Medium | Risk::High => Ok(()),
        Risk::Dangerous => Err(Refusal::Dangerous),
    }
}

pub(crate) fn understatement(intent: &Intent) -> Check {
    let risk = risk_of(intent);
    if intent.risk < risk {
        let why = format!("it declares risk {:?}, but its steps have {risk:?}", intent.risk);
        return Err(Refusal::Understated { why });
    }
    let once = intent.steps.iter().any(|it| it.step.effect() == Effect::AtMostOnce);
    match intent.effect {
        Effect::Idempotent if once => {
            Err(Refusal::Understated { why: "it declares itself idempotent, but a step is not".to_owned() })
        }
        Effect::Idempotent | Effect::AtMostOnce => Ok(()),
    }
}

pub(crate) fn step_count(steps: &[TargetStep]) -> Check {
    match steps.len() {
        1..=STEPS_MAX => Ok(()),
        found => Err(Refusal::StepCount { found: found as u64, limit: STEPS_MAX as u64 }),
    }
}

/// Everything that a command names must be something that `agent.toml` names.
pub(crate) fn named(policy: &LocalPolicy, intent: &Intent) -> Check {
    let not_named = |what: String| Refusal::NotNamed { what };
    let target = |name: &TargetName| policy.targets.get(name).ok_or_else(|| not_named(format!("target {name}")));
    parts_named(policy, &intent.steps)?;
    let observed = intent.preconditions.iter().filter_map(|it| match it {
        Precondition::Boot(_) => None,
        Precondition::Instance { target, .. } => Some((target, None)),
        Precondition::Observed { target, probe, .. } => Some((target, Some(probe))),
    });
    let verified = intent.verify.iter().map(|(target, probe)| (target, Some(probe)));
    for (name, probe) in observed.chain(verified) {
        let known = target(name)?;
        if let Some(probe) = probe.filter(|it| !known.probes.contains(*it)) {
            return Err(not_named(format!("probe {probe} of target {name}")));
        }
    }
    Ok(())
}

/// The same of steps alone.
pub(crate) fn parts_named(policy: &LocalPolicy, steps: &[TargetStep]) -> Check {
    steps.iter().try_for_each(|it| {
        let not_named = || Refusal::NotNamed { what: format!("target {}", it.target) };
        part_named(policy.targets.get(&it.target).ok_or_else(not_named)?, &it.target, &it.step)
    })
}

fn part_named(policy: &TargetPolicy, target: &TargetName, step: &Step) -> Check {
    let (what, part, known) = match step {
        Step::CleanDirectory { directory, .. } => ("directory", directory, &policy.directories),
        Step::RestoreFile { file, .. } => ("file", file, &policy.files),
        Step::StartService | Step::StopService { .. } | Step::RestartService { .. } | Step::SignalProcess { .. } => {
            return Ok(());
        }
        Step::Use { part, act } => return use_named(policy, target, part, act),
    };
    if known.contains(part) {
        Ok(())
    } else {
        Err(Refusal::NotNamed { what: format!("{what} {part} of target {target}") })
    }
}

/// What is done with a part must be what its declaration makes possible, within its bounds, at no lower risk than declared.
fn use_named(policy: &TargetPolicy, target: &TargetName, part: &PartName, act: &Act) -> Check {
    let step = act.kind();
    let Some(kind) = step.spec().part else {
        return Err(Refusal::Undecodable { why: format!("{} acts on no declared part", step.as_str()) });
    };
    let Some(known) = policy.parts.get(&(kind, part.clone())) else {
        return Err(Refusal::NotNamed { what: format!("{} {part} of target {target}", kind.as_str()) });
    };
    if !known.acts.contains(&step) {
        return Err(Refusal::NotNamed { what: format!("way to {} with {part} of target {target}", step.as_str()) });
    }
    if let Some(value) = act.value() {
        match known.bounds {
            Some((least, most)) if (least..=most).contains(&value) => {}
            Some((least, most)) => return Err(Refusal::OutOfBounds { part: part.clone(), value, least, most }),
            None => return Err(Refusal::NotNamed { what: format!("bounds for {part} of target {target}") }),
        }
    }
    match act {
        Act::RunDeclared { risk } if *risk < known.risk => Err(Refusal::Understated {
            why: format!("it states risk {risk:?} for {part}, but agent.toml declares {:?}", known.risk),
        }),
        _ => Ok(()),
    }
}

pub(crate) fn permitted(policy: &LocalPolicy, steps: &[TargetStep]) -> Check {
    let forbidden = steps.iter().find(|it| {
        let permits = policy.targets.get(&it.target).map(|it| &it.permits);
        !permits.is_some_and(|permits| permits.contains_key(&it.step.kind()))
    });
    match forbidden {
        Some(it) => Err(Refusal::NotPermitted { step: it.step.kind(), target: it.target.clone() }),
        None => Ok(()),
    }
}

pub(crate) fn pause(policy: &LocalPolicy, facts: &impl Facts) -> Check {
    if let Some(why) = facts.paused() {
        return Err(Refusal::Paused { why });
    }
    if policy.observe_only {
        return Err(Refusal::ObserveOnly { why: "agent.toml says so".to_owned() });
    }
    facts.observe_only().map_or(Ok(()), |why| Err(Refusal::ObserveOnly { why }))
}

/// A dry run costs nothing.
pub(crate) fn budgets(ward: &Ward, intent: &Intent, now: Moment) -> Check {
    if intent.dry_run { Ok(()) } else { room(ward, &intent.steps, now) }
}

/// Whether the budgets have room for these steps.
pub(crate) fn room(ward: &Ward, steps: &[TargetStep], now: Moment) -> Check {
    let over =
        |it: &TargetStep, limit| Err(Refusal::OverBudget { step: it.step.kind(), target: it.target.clone(), limit });
    for it in steps {
        let (kind, target) = (it.step.kind(), &it.target);
        let permit = ward.policy.targets.get(target).and_then(|known| known.permits.get(&kind));
        let limit = permit.map_or(0, |permit| permit.per_hour);
        let own = steps.iter().filter(|other| other.step.kind() == kind && other.target == *target).count();
        let spent = ward.budget.steps(now.boot, kind, target) as usize;
        if spent + own > limit as usize {
            return over(it, limit);
        }
    }
    let host = ward.policy.per_hour;
    match steps.first() {
        Some(first) if ward.budget.commands(now.boot) >= host => over(first, host),
        Some(_) | None => Ok(()),
    }
}

pub(crate) fn preconditions(intent: &Intent, facts: &impl Facts) -> Check {
    let changed = |why: String| Err(Refusal::Precondition { why });
    for it in &intent.preconditions {
        match it {
            Precondition::Boot(boot) if boot != facts.boot() => return changed("it has rebooted".to_owned()),
            Precondition::Boot(_) => {}
            Precondition::Instance { target, instance } => match facts.instance(target) {
                Some(now) if now == *instance => {}
                Some(now) => return changed(format!("{target} is now run {now}, not {instance}")),
                None => return changed(format!("no run of {target} is known here, and {instance} was expected")),
            },
            Precondition::Observed { target, probe, status } => match facts.observed(target, probe) {
                Some(now) if now == *status => {}
                Some(now) => return changed(format!("probe {probe} of {target} now says {now:?}, not {status:?}")),
                None => return changed(format!("probe {probe} of {target} has not looked yet")),
            },
        }
    }
    Ok(())
}

/// The highest risk of the steps; `Low` when there are none.
fn risk_of(intent: &Intent) -> Risk {
    intent.steps.iter().map(|it| it.step.risk()).max().unwrap_or(Risk::Low)
}

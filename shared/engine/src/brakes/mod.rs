//! What holds a repair back: one file for each brake, all of one shape, and the table of them.
//!
//! A brake looks at the engine's state and says nothing, or why the repair must wait and when that ends. Every brake is
//! asked every time, so that an operator sees all that holds, and each releases by itself.

mod breaker;
mod capacity;
mod chain_turn;
mod cold_start;
mod critical;
mod fleet;
mod govern;
mod group;
mod host;
mod low_severity;
mod maintenance;
mod member;
mod mode;
mod offline;
mod own_parts;
mod pause;
mod refused;
mod self_recovery;
mod target;
mod throttle;
mod unpromising;

pub(crate) use unpromising::hopeless;

use prunella_model::incident::{Hold, Release, Severity};
use prunella_model::policy::FleetPolicy;
use prunella_model::{BrakeName, RepairName, Timestamp};

use crate::Engine;
use crate::cause::Cause;
use crate::harmless;
use crate::incident::Case;
use crate::key::Key;
use crate::plan::Plan;
use crate::view::BrakeView;

pub(crate) use breaker::open as breaker_why;
pub(crate) use low_severity::{LOW_SEVERITY, low_severity};
pub(crate) use maintenance::maintained;
pub(crate) use own_parts::is_own_part;
pub(crate) use pause::pause_of;
pub(crate) use target::COOL_DOWN;
pub(crate) use throttle::budget_why;

pub(crate) use crate::view::Class;

/// What the same brake holds back beside this repair, which decides when it is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Repairs of the whole fleet: they queue, and the first in the queue is asked.
    Fleet,
    /// Repairs of one host or target only.
    Local,
}

/// A repair that asks to be let through.
pub(crate) struct Ask<'a> {
    /// Everything that is known.
    pub(crate) engine: &'a Engine,
    /// Its incident.
    pub(crate) case: &'a Case,
    /// Its target.
    pub(crate) key: Key,
    /// The repair.
    pub(crate) repair: &'a RepairName,
    /// What it treats.
    pub(crate) cause: Cause,
    /// The severity of the fault.
    pub(crate) severity: Severity,
    /// What it would do; null while that is not known.
    pub(crate) plan: Option<&'a Plan>,
    /// Whether it undoes an earlier one.
    pub(crate) rollback: bool,
}

impl Ask<'_> {
    fn now(&self) -> Timestamp {
        self.engine.now
    }
}

/// Why a repair must wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Until something that will happen by itself.
    Wait {
        /// Why, with its figures.
        why: String,
        /// When it ends.
        release: Release,
    },
    /// A person must decide; waiting would not help.
    Person {
        /// Why.
        why: String,
    },
}

impl Stop {
    pub(crate) fn until(at: Timestamp, why: String) -> Option<Self> {
        Some(Self::Wait { why, release: Release::At(at) })
    }

    pub(crate) fn when(what: impl Into<String>, why: String) -> Option<Self> {
        Some(Self::Wait { why, release: Release::When(what.into()) })
    }
}

/// One brake.
pub(crate) trait Brake: Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// What it counts and when it releases, for people.
    fn about(&self) -> &'static str;
    /// Who may pass it.
    fn class(&self) -> Class;
    /// What a policy sets it to, as the policy's keys; empty when no policy moves it.
    fn settings(&self, _policy: &FleetPolicy) -> String {
        String::new()
    }
    /// What else it holds back.
    fn reach(&self) -> Reach {
        Reach::Local
    }
    /// Whether the repair must wait.
    fn check(&self, ask: &Ask<'_>) -> Option<Stop>;
    /// What it has counted and its limit, where that is one figure for the whole fleet.
    fn gauge(&self, _engine: &Engine) -> (Option<f64>, Option<f64>) {
        (None, None)
    }
}

/// All brakes.
pub(crate) static BRAKES: [&dyn Brake; 31] = [
    &pause::Pause,
    &maintenance::Maintenance,
    &maintenance::Blockers,
    &offline::Offline,
    &offline::ObserveOnly,
    &cold_start::ColdStart,
    &mode::ModeBrake,
    &breaker::Breaker,
    &target::InFlight,
    &target::CoolDown,
    &target::Flapping,
    &host::PerHour,
    &host::Rollbacks,
    &host::HealthFloor,
    &member::LastMember,
    &group::GroupConcurrent,
    &group::GroupMinimum,
    &capacity::Capacity,
    &critical::CriticalActions,
    &own_parts::OwnParts,
    &chain_turn::ChainTurn,
    &govern::RuleConflict,
    &govern::OverrideAbuse,
    &throttle::ThrottleBrake,
    &fleet::PerMinute,
    &fleet::PerHour,
    &fleet::Concurrent,
    &refused::Refused,
    &unpromising::Unpromising,
    &self_recovery::SelfRecovery,
    &low_severity::LowSeverity,
];

/// The class of a brake, or of a do-no-harm rule.
pub(crate) fn class_of(name: &str) -> Option<Class> {
    let brake = BRAKES.iter().chain(&crate::harmless::RULES).find(|brake| brake.name() == name);
    brake.map(|brake| brake.class())
}

/// What all brakes say to a repair.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// What holds it, with the reach of the brake.
    pub(crate) holds: Vec<(Hold, Reach)>,
    /// Why a person must decide, if one must.
    pub(crate) person: Option<(&'static str, String)>,
}

/// Whether a brake, a rule or another restraint is asked at all. Only a build for mutation tests can switch one off.
#[cfg(any(test, feature = "mutants"))]
pub(crate) fn works(name: &str) -> bool {
    !crate::mutants::off(name)
}

/// Whether a brake, a rule or another restraint is asked at all.
#[cfg(not(any(test, feature = "mutants")))]
pub(crate) const fn works(_: &str) -> bool {
    true
}

/// Asks every brake.
pub(crate) fn ask(ask: &Ask<'_>) -> Answer {
    ask_all(ask, &BRAKES)
}

/// Asks brakes of one table.
pub(crate) fn ask_all(ask: &Ask<'_>, brakes: &[&dyn Brake]) -> Answer {
    let forced = ask.case.forced.is_some();
    let aggressive = ask.engine.mode_of(ask.key).0 == prunella_model::policy::Mode::Aggressive;
    let mut answer = Answer::default();
    for brake in brakes {
        let passes = match brake.class() {
            Class::Safety | Class::DoNoHarm => false,
            Class::Pacing => forced || aggressive,
            Class::Consent => forced,
        };
        if passes || !works(brake.name()) {
            continue;
        }
        match brake.check(ask) {
            None => {}
            Some(Stop::Person { why }) => answer.person = answer.person.or(Some((brake.name(), why))),
            Some(Stop::Wait { why, release }) => {
                let name = BrakeName::of(brake.name());
                let since =
                    ask.case.it.holds.iter().find(|hold| hold.brake == name).map_or(ask.now(), |hold| hold.since);
                answer.holds.push((Hold { brake: name, why, since, release }, brake.reach()));
            }
        }
    }
    answer
}

impl Engine {
    /// A brake began to hold a repair.
    pub(crate) fn count_hold(&mut self, brake: &str) {
        if let Some(brake) = BRAKES.iter().chain(&harmless::RULES).find(|it| it.name() == brake) {
            *self.held_back.entry(brake.name()).or_default() += 1;
        }
    }

    /// Every brake and what it holds back.
    #[must_use]
    pub fn brakes(&self, _now: Timestamp) -> Vec<BrakeView> {
        let view = |brake: &&dyn Brake| {
            let name = BrakeName::of(brake.name());
            let (current, limit) = brake.gauge(self);
            let mut holding = Vec::new();
            for (id, case) in &self.cases {
                holding.extend(case.it.holds.iter().filter(|hold| hold.brake == name).map(|hold| (*id, hold.clone())));
            }
            BrakeView {
                brake: name,
                class: brake.class(),
                counts: brake.about().to_owned(),
                current,
                limit,
                held: self.held_back.get(brake.name()).copied().unwrap_or(0),
                holding,
            }
        };
        BRAKES.iter().chain(&harmless::RULES).map(view).collect()
    }
}

//! What the engine can find and do, for people: the tables of rules, repairs and brakes.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::policy::FleetPolicy;

use crate::brakes::{BRAKES, Brake};
use crate::harmless;
use crate::optimise::KINDS;
use crate::repairs::{REPAIRS, Undo};
use crate::rules::{RULES, tune};
pub use crate::view::Class;

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleEntry {
    /// Its name.
    pub name: &'static str,
    /// What it finds and how.
    pub about: &'static str,
    /// Whether it is in force.
    pub enabled: bool,
    /// How bad its faults are.
    pub severity: Severity,
    /// The value at which it speaks, in the rule's own unit; zero where it has none.
    pub threshold: f64,
    /// The value below which it is silent again.
    pub clear: f64,
    /// How long its condition must hold, or the length of its window.
    pub hold: Duration,
    /// How many in a row, or in the window.
    pub count: u32,
    /// Whether it only says what it would have opened.
    pub shadow: bool,
}

/// One repair.
#[derive(Debug, Clone, PartialEq)]
pub struct RepairEntry {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// The causes that it treats, each with the chance that it helps before anything is known from experience.
    pub treats: Vec<(&'static str, f64)>,
    /// Whether it can be undone.
    pub reversible: bool,
    /// What undoing puts back, or why nothing can be.
    pub undo: &'static str,
    /// How its effect is verified.
    pub verify: &'static str,
}

/// One kind of opportunity.
#[derive(Debug, Clone, PartialEq)]
pub struct OpportunityEntry {
    /// Its name.
    pub name: &'static str,
    /// What it finds and does.
    pub about: &'static str,
    /// What is measured before and after.
    pub metric: &'static str,
}

/// One brake.
#[derive(Debug, Clone, PartialEq)]
pub struct BrakeEntry {
    /// Its name.
    pub name: &'static str,
    /// Who may pass it.
    pub class: Class,
    /// What it counts and when it releases.
    pub about: &'static str,
    /// What the policy sets it to, as the policy's keys; empty when no policy moves it.
    pub settings: String,
}

/// All rules, with their figures under a policy.
#[must_use]
pub fn rules(policy: &FleetPolicy) -> Vec<RuleEntry> {
    let entry = |(number, (rule, it)): (usize, (&&dyn crate::rules::Rule, crate::rules::Tuning))| RuleEntry {
        name: rule.name(),
        about: rule.about(),
        enabled: it.enabled,
        severity: it.severity,
        threshold: it.threshold,
        clear: it.clear,
        hold: it.hold,
        count: it.count,
        shadow: crate::rules::in_shadow(policy, number),
    };
    RULES.iter().zip(tune(policy)).enumerate().map(entry).collect()
}

/// All repairs, in the order of the ladder.
#[must_use]
pub fn repairs() -> Vec<RepairEntry> {
    let entry = |repair: &&dyn crate::repairs::Repair| RepairEntry {
        name: repair.name(),
        about: repair.about(),
        treats: repair.treats().iter().map(|(cause, chance)| (cause.as_str(), *chance)).collect(),
        reversible: match repair.undo() {
            Undo::Restores(_) => true,
            Undo::Irreversible(_) => false,
        },
        undo: repair.undo().text(),
        verify: repair.verify(),
    };
    REPAIRS.iter().map(entry).collect()
}

/// All kinds of opportunity.
#[must_use]
pub fn opportunities() -> Vec<OpportunityEntry> {
    let entry =
        |it: &&dyn crate::optimise::Kind| OpportunityEntry { name: it.name(), about: it.about(), metric: it.metric() };
    KINDS.iter().map(entry).collect()
}

/// All brakes, then all do-no-harm rules.
#[must_use]
pub fn brakes(policy: &FleetPolicy) -> Vec<BrakeEntry> {
    let entry = |brake: &&dyn Brake| BrakeEntry {
        name: brake.name(),
        class: brake.class(),
        about: brake.about(),
        settings: brake.settings(policy),
    };
    BRAKES.iter().chain(&harmless::RULES).map(entry).collect()
}

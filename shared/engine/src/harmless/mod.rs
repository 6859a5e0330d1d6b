//! Do no harm: what no command may ever be, whoever asks for it. One table, each rule with its name.
//!
//! Brakes decide *when* a repair may go. These decide whether its command may be made at all. They are asked last, of the
//! finished plan, at the one place through which every command passes; a person's request, the mode aggressive and the
//! profile rapid change nothing about them. They have the shape of a brake, so that operators see them in one list.

mod control;
mod evidence;
mod extent;
mod members;
mod person;
mod reason;

#[cfg(test)]
mod tests;

use crate::brakes::{Answer, Ask, Brake, ask_all};

/// All do-no-harm rules.
pub(crate) static RULES: [&dyn Brake; 10] = [
    &evidence::NeverStale,
    &evidence::NeverHealthy,
    &extent::NeverBeyondNamed,
    &members::NeverLastHealthy,
    &extent::NeverUncoveredDeletion,
    &person::NeverHeldByPerson,
    &reason::NeverWhatMadeItWorse,
    &reason::NeverUpstream,
    &control::NeverDisableSecurity,
    &reason::NeverUnverifiable,
];

/// Asks every rule about a repair with a finished plan.
pub(crate) fn ask(ask: &Ask<'_>) -> Answer {
    ask_all(ask, &RULES)
}

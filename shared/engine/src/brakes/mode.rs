//! The fleet's mode.

use prunella_model::incident::Severity;
use prunella_model::policy::Mode;

use super::{Ask, Brake, Class, Stop};

/// See the module.
pub(super) struct ModeBrake;

impl Brake for ModeBrake {
    fn name(&self) -> &'static str {
        "mode"
    }

    fn about(&self) -> &'static str {
        "In mode conservative all but critical faults are held, in mode disabled all. Releases when the mode is changed."
    }

    fn class(&self) -> Class {
        Class::Consent
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        match ask.engine.policy.mode {
            Mode::Aggressive | Mode::Balanced => None,
            Mode::Conservative if ask.severity == Severity::Critical => None,
            Mode::Conservative => {
                Stop::when("the mode is changed", "in mode conservative only critical faults are repaired".to_owned())
            }
            Mode::Disabled => Stop::when("the mode is changed", "in mode disabled nothing is repaired".to_owned()),
        }
    }
}

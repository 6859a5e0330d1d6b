//! The mode of the fleet, or of the target's group.

use prunella_model::incident::Severity;
use prunella_model::policy::{FleetPolicy, Mode};

use super::{Ask, Brake, Class, Stop};

/// See the module.
pub(super) struct ModeBrake;

impl Brake for ModeBrake {
    fn name(&self) -> &'static str {
        "mode"
    }

    fn about(&self) -> &'static str {
        "In mode conservative all but critical faults are held, in mode disabled all. A group's mode takes the place of the \
         fleet's, but a disabled fleet is so everywhere. Releases when the mode is changed."
    }

    fn class(&self) -> Class {
        Class::Consent
    }

    fn settings(&self, policy: &FleetPolicy) -> String {
        format!("mode = {:?}, groups.NAME.mode", policy.mode.as_str())
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let (mode, scope) = ask.engine.mode_of(ask.key);
        let scope = scope.spoken();
        match mode {
            Mode::Aggressive | Mode::Balanced => None,
            Mode::Conservative if ask.severity == Severity::Critical => None,
            Mode::Conservative => Stop::when(
                "the mode is changed",
                format!("{scope} is in mode conservative: only critical faults are repaired"),
            ),
            Mode::Disabled => {
                Stop::when("the mode is changed", format!("{scope} is in mode disabled: nothing is repaired"))
            }
        }
    }
}

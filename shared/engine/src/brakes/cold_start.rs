//! After a start of the server, wait until the fleet is back: half a picture leads to wrong conclusions.

use prunella_model::policy::FleetPolicy;
use prunella_model::time::format_span;

use super::{Ask, Brake, Class, Reach, Stop};
use crate::Engine;

/// See the module.
pub(super) struct ColdStart;

impl Brake for ColdStart {
    fn name(&self) -> &'static str {
        "cold_start"
    }

    fn about(&self) -> &'static str {
        "Known hosts that have not reported since the server's start. Releases when 90 percent are back, and at the \
         policy's cold-start time at the latest. A new fleet has none."
    }

    fn class(&self) -> Class {
        Class::Safety
    }

    fn settings(&self, policy: &FleetPolicy) -> String {
        format!("limits.cold_start = {:?}", format_span(policy.limits.cold_start))
    }

    fn reach(&self) -> Reach {
        Reach::Fleet
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let cold = ask.engine.cold.as_ref()?;
        let why = format!(
            "the server has just started: {} of {} known hosts are back, {} are needed",
            cold.back, cold.known, cold.needed
        );
        Stop::until(cold.until, why)
    }

    fn gauge(&self, engine: &Engine) -> (Option<f64>, Option<f64>) {
        engine.cold.as_ref().map_or((None, None), |cold| (Some(f64::from(cold.back)), Some(f64::from(cold.needed))))
    }
}

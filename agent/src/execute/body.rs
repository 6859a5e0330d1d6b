//! What commands are carried out with: the hands that act, and the senses that look whether it helped.

use std::time::Duration;

use prunella_model::command::{Intent, Precondition};
use prunella_model::host::TargetReport;
use prunella_model::observation::Instance;
use prunella_model::step::TargetStep;
use prunella_model::{ProbeName, TargetName};

use crate::driver::causes;
use crate::senses::{Facts, Senses};
use crate::steps::Hands;

/// Senses and hands of this host.
pub struct Body {
    senses: Senses,
    hands: Hands,
}

impl Body {
    /// The body that these senses belong to.
    #[must_use]
    pub fn new(senses: Senses) -> Self {
        Self { hands: Hands::new(&senses), senses }
    }

    /// What preconditions may ask.
    pub(super) fn facts(&self) -> Facts {
        self.senses.facts()
    }

    /// The targets, as the server is told of them.
    pub(super) fn targets(&self) -> Vec<TargetReport> {
        self.senses.full().targets
    }

    /// Carries one step out: a line that says what was done, or what went wrong.
    pub(super) async fn carry_out(&self, step: &TargetStep) -> Result<String, String> {
        self.hands.carry_out(step).await.map_err(|error| causes(&error))
    }

    /// Says what a step would do; a line that says it, or why it could not be done.
    pub(super) async fn rehearse(&self, step: &TargetStep) -> Result<String, String> {
        self.hands.rehearse(step).await.map_err(|error| causes(&error))
    }

    /// Looks again and again until one of the probes finds its target well; none when none did in time.
    pub(super) async fn confirm(
        &self,
        verify: &[(TargetName, ProbeName)],
        lasting: Duration,
    ) -> Option<(TargetName, ProbeName)> {
        self.senses.burst(verify, lasting).first_up().await
    }
}

/// The run of a target that the decision was about, if its preconditions name one.
pub(super) fn run_meant<'i>(intent: &'i Intent, target: &TargetName) -> Option<&'i Instance> {
    intent.preconditions.iter().find_map(|it| match it {
        Precondition::Instance { target: named, instance } if named == target => Some(instance),
        Precondition::Instance { .. } | Precondition::Boot(_) | Precondition::Observed { .. } => None,
    })
}

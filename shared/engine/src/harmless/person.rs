//! What a person holds is left alone.

use prunella_model::incident::Release;

use crate::brakes::{Ask, Brake, Class, Stop, maintained, pause_of};
use crate::key::at;

/// Never touch what a person holds.
pub(super) struct NeverHeldByPerson;

impl Brake for NeverHeldByPerson {
    fn name(&self) -> &'static str {
        "never_held_by_person"
    }

    fn about(&self) -> &'static str {
        "Never touch what a person holds: by a pause, a maintenance, or the host administrator's own pause. Releases when \
         they let go."
    }

    fn class(&self) -> Class {
        Class::DoNoHarm
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let (engine, key) = (ask.engine, ask.key);
        let lifted = || Release::When("they let go".to_owned());
        let pause = pause_of(engine, key).map(|it| {
            (format!("{} holds {} by a pause", it.by, it.scope.spoken()), it.until.map_or_else(lifted, Release::At))
        });
        let own = || {
            let report = engine.hosts[at(key.host)].report.as_ref()?;
            let why = report.paused.as_ref()?;
            Some((format!("the host's administrator holds it: {why}"), lifted()))
        };
        let (why, release) = pause.or_else(|| maintained(engine, key)).or_else(own)?;
        Some(Stop::Wait { why, release })
    }
}

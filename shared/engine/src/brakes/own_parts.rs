//! The control plane never repairs itself unasked.

use super::{Ask, Brake, Class, Stop};

/// What the names of its own parts begin with: `prunella-server`, `prunella-agent`, `prunella-signer`, `prunella-etcd`.
const OWN: &str = "prunella";

/// The label by which any other target says that it is a part.
const LABEL: &str = "part-of";

/// See the module.
pub(super) struct OwnParts;

impl Brake for OwnParts {
    fn name(&self) -> &'static str {
        "own_parts"
    }

    fn about(&self) -> &'static str {
        "The control plane's own server, store and signer, by their names (prunella-…) or by the label part-of = prunella: \
         what decides must not end itself. A person must ask."
    }

    fn class(&self) -> Class {
        Class::Consent
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let report = &ask.engine.target_at(ask.key).report;
        let own = |name: &str| name.strip_prefix(OWN).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        let named = own(report.name.as_str()) || report.service.as_ref().is_some_and(|it| own(it.as_str()));
        if !named && report.labels.get(LABEL).is_none_or(|it| it != OWN) {
            return None;
        }
        Some(Stop::Person {
            why: format!("{} is a part of the control plane: it is not repaired unasked", report.name),
        })
    }
}

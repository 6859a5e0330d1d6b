//! The control plane never repairs itself unasked.

use prunella_model::host::TargetReport;

use super::{Ask, Brake, Class, Stop};

/// What the names of its own parts begin with: `prunella-server`, `prunella-agent`, `prunella-signer`, `prunella-etcd`.
const OWN: &str = "prunella";

/// The label by which any other target says that it is a part.
const LABEL: &str = "part-of";

/// See the module.
pub(super) struct OwnParts;

/// Whether a target is a part of the control plane.
pub(crate) fn is_own_part(report: &TargetReport) -> bool {
    let own = |name: &str| name.strip_prefix(OWN).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    let named = own(report.name.as_str()) || report.service.as_ref().is_some_and(|it| own(it.as_str()));
    named || report.labels.get(LABEL).is_some_and(|it| it == OWN)
}

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
        if !is_own_part(report) {
            return None;
        }
        Some(Stop::Person {
            why: format!("{} is a part of the control plane: it is not repaired unasked", report.name),
        })
    }
}

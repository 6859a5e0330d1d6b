//! Resource names: `hosts/H`, `hosts/H/targets/T`, `incidents/I`, and `fleet`.

use prunella_model::policy::Scope;
use prunella_model::{HostId, IncidentId, MaintenanceName, TargetName, TargetRef};
use tonic::Status;

use super::error::invalid;

/// What a listing is narrowed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Within {
    /// Everything.
    All,
    /// One host and its targets.
    Host(HostId),
    /// One target.
    Target(TargetRef),
}

impl Within {
    /// Whether something about this host, and about this target of it if it is about one, belongs to the listing.
    #[must_use]
    pub fn holds(&self, host: Option<&HostId>, target: Option<&TargetName>) -> bool {
        match self {
            Self::All => true,
            Self::Host(it) => host == Some(it),
            Self::Target(it) => host == Some(&it.host) && target == Some(&it.target),
        }
    }
}

/// The name of a host.
#[must_use]
pub fn of_host(host: &HostId) -> String {
    format!("hosts/{host}")
}

/// The name of a target.
#[must_use]
pub fn of_target(it: &TargetRef) -> String {
    format!("hosts/{}/targets/{}", it.host, it.target)
}

/// The name of an incident.
#[must_use]
pub fn of_incident(id: IncidentId) -> String {
    format!("incidents/{id}")
}

/// The name of what a pause covers.
#[must_use]
pub fn of_scope(scope: &Scope) -> String {
    scope.to_string()
}

/// Reads `hosts/H`.
///
/// # Errors
/// The status for the caller.
pub fn host(field: &str, name: &str) -> Result<HostId, Status> {
    match within(field, name)? {
        Within::Host(host) => Ok(host),
        Within::All | Within::Target(_) => Err(invalid(field, format!("{name:?} must be like hosts/H"))),
    }
}

/// Reads `hosts/H/targets/T`.
///
/// # Errors
/// The status for the caller.
pub fn target(field: &str, name: &str) -> Result<TargetRef, Status> {
    match within(field, name)? {
        Within::Target(target) => Ok(target),
        Within::All | Within::Host(_) => Err(invalid(field, format!("{name:?} must be like hosts/H/targets/T"))),
    }
}

/// Reads `incidents/I`.
///
/// # Errors
/// The status for the caller.
pub fn incident(field: &str, name: &str) -> Result<IncidentId, Status> {
    let id = name.strip_prefix("incidents/").unwrap_or(name);
    id.parse().map_err(|error| invalid(field, format!("{error}; the whole name is like incidents/6740e3a0-17")))
}

/// Reads `fleet`, `groups/G`, `hosts/H`, `hosts/H/targets/T` or `operators/O`.
///
/// # Errors
/// The status for the caller.
pub fn scope(field: &str, name: &str) -> Result<Scope, Status> {
    name.parse().map_err(|error: prunella_model::scope::BadScope| invalid(field, error))
}

/// Reads `maintenances/M`.
///
/// # Errors
/// The status for the caller.
pub fn maintenance(field: &str, name: &str) -> Result<MaintenanceName, Status> {
    let text = name.strip_prefix("maintenances/").unwrap_or(name);
    MaintenanceName::new(text).map_err(|error| invalid(field, error))
}

/// Reads nothing, `hosts/H` or `hosts/H/targets/T`.
///
/// # Errors
/// The status for the caller.
pub fn within(field: &str, name: &str) -> Result<Within, Status> {
    let bad = |error: prunella_model::id::BadName| invalid(field, error);
    let parts: Vec<&str> = name.split('/').collect();
    match parts[..] {
        [""] => Ok(Within::All),
        ["hosts", host] => HostId::new(host).map(Within::Host).map_err(bad),
        ["hosts", host, "targets", target] => {
            let host = HostId::new(host).map_err(bad)?;
            Ok(Within::Target(TargetRef::new(host, TargetName::new(target).map_err(bad)?)))
        }
        _ => Err(invalid(field, format!("{name:?} names nothing; names are like hosts/H or hosts/H/targets/T"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_written() {
        let it = target("name", "hosts/h1/targets/db").unwrap();
        assert_eq!(of_target(&it), "hosts/h1/targets/db");
        assert_eq!(of_host(&host("name", "hosts/h1").unwrap()), "hosts/h1");
        assert_eq!(of_scope(&scope("name", "fleet").unwrap()), "fleet");
        assert_eq!(of_incident(incident("name", "incidents/6740e3a0-17").unwrap()), "incidents/6740e3a0-17");
        for bad in ["hosts", "hosts/", "hosts/A", "hosts/h1/targets", "h1", "hosts/h1/targets/db/x", "/"] {
            assert!(within("name", bad).is_err(), "{bad}");
        }
        assert!(host("name", "").is_err() && target("name", "hosts/h1").is_err() && scope("name", "").is_err());
    }
}

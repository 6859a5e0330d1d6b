//! What operators may write for hosts, targets and incidents, and what the server calls them.

use anyhow::{anyhow, bail};
use prunella_model::policy::Scope;
use prunella_model::{HostId, IncidentId, MaintenanceName, TargetName};
use prunella_settings::nearest;

/// How many names are listed when none is like what was asked for.
const NAMED_MAX: usize = 12;

/// `hosts/H` of `H` or `hosts/H`.
///
/// # Errors
/// When it is no host's name.
pub fn host(text: &str) -> anyhow::Result<String> {
    match parts(text)? {
        (host, None) => Ok(format!("hosts/{host}")),
        (host, Some(_)) => bail!("{text:?} names a target; only a host is meant here: {host}"),
    }
}

/// `hosts/H/targets/T` of `H/T` or `hosts/H/targets/T`.
///
/// # Errors
/// When it is no target's name.
pub fn target(text: &str) -> anyhow::Result<String> {
    match parts(text)? {
        (host, Some(target)) => Ok(format!("hosts/{host}/targets/{target}")),
        (host, None) => bail!("{text:?} names a host; write HOST/TARGET, for example {host}/web"),
    }
}

/// `hosts/H` or `hosts/H/targets/T`, whichever is meant.
///
/// # Errors
/// When it is neither.
pub fn host_or_target(text: &str) -> anyhow::Result<String> {
    Ok(match parts(text)? {
        (host, None) => format!("hosts/{host}"),
        (host, Some(target)) => format!("hosts/{host}/targets/{target}"),
    })
}

/// What a pause covers: `fleet`, `groups/G`, a host or a target; and `operators/O`, whose suspension can be lifted.
///
/// # Errors
/// When it is none of them.
pub fn scope(text: &str) -> anyhow::Result<String> {
    if text == "fleet" {
        return Ok("fleet".to_owned());
    }
    if text.starts_with("groups/") || text.starts_with("operators/") {
        return text.parse().map(|it: Scope| it.to_string()).map_err(|why| anyhow!("{why}"));
    }
    host_or_target(text)
}

/// What has a mode: `fleet` or `groups/G`.
///
/// # Errors
/// When it is neither.
pub fn fleet_or_group(text: &str) -> anyhow::Result<String> {
    match scope(text)? {
        it if it == "fleet" || it.starts_with("groups/") => Ok(it),
        _ => bail!("{text:?} has no mode of its own; write fleet or groups/GROUP"),
    }
}

/// `maintenances/M` of `M` or `maintenances/M`.
///
/// # Errors
/// When it is no maintenance's name.
pub fn maintenance(text: &str) -> anyhow::Result<String> {
    let name = text.strip_prefix("maintenances/").unwrap_or(text);
    let name = MaintenanceName::new(name).map_err(|why| anyhow!("{text:?} names no maintenance: {why}"))?;
    Ok(format!("maintenances/{name}"))
}

fn parts(text: &str) -> anyhow::Result<(HostId, Option<TargetName>)> {
    let pieces: Vec<&str> = text.split('/').collect();
    let (host, target) = match pieces[..] {
        [host] | ["hosts", host] => (host, None),
        ["hosts", host, "targets", target] | [host, target] => (host, Some(target)),
        _ => bail!("{text:?} names neither a host nor a target; write HOST or HOST/TARGET"),
    };
    // The reason is part of the message itself: the command line's parser shows no causes.
    let host = HostId::new(host).map_err(|why| anyhow!("{text:?} names no host: {why}"))?;
    let target = target.map(TargetName::new).transpose().map_err(|why| anyhow!("{text:?} names no target: {why}"))?;
    Ok((host, target))
}

/// How an operator speaks of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncidentKey {
    /// By its whole id.
    Whole(IncidentId),
    /// By its counter alone, which is enough while only one server start has counted that far.
    Counter(u64),
    /// The one that was opened last.
    Latest,
}

/// `incidents/6740e3a0-17`, `6740e3a0-17`, `17` or `latest`.
///
/// # Errors
/// When it is none of them.
pub fn incident(text: &str) -> anyhow::Result<IncidentKey> {
    if text == "latest" {
        return Ok(IncidentKey::Latest);
    }
    let text = text.strip_prefix("incidents/").unwrap_or(text);
    match (text.parse(), text.parse()) {
        (Ok(id), _) => Ok(IncidentKey::Whole(id)),
        (Err(_), Ok(counter)) => Ok(IncidentKey::Counter(counter)),
        (Err(_), Err(_)) => {
            bail!("{text:?} is no incident's id; ids look like 6740e3a0-17; 17 is enough, and so is latest")
        }
    }
}

/// `web-1/web` of `hosts/web-1/targets/web`; `web-1` of `hosts/web-1`; other texts as they are.
#[must_use]
pub fn short(name: &str) -> String {
    match name.split('/').collect::<Vec<_>>()[..] {
        ["hosts", host, "targets", target] => format!("{host}/{target}"),
        ["hosts" | "incidents" | "insights" | "maintenances" | "opportunities", only] => only.to_owned(),
        _ => name.to_owned(),
    }
}

/// What to say after "there is no X": the name that was probably meant, or where the names are.
#[must_use]
pub fn advice(found: &str, known: &[String]) -> String {
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    match nearest(found, &names) {
        Some(name) => format!("; did you mean {name}?"),
        None if known.is_empty() => "; there is none".to_owned(),
        None if known.len() <= NAMED_MAX => format!("; there are: {}", known.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_both_forms() {
        assert_eq!(host("h1").unwrap(), "hosts/h1");
        assert_eq!(host("hosts/h1").unwrap(), "hosts/h1");
        assert_eq!(target("h1/web").unwrap(), "hosts/h1/targets/web");
        assert_eq!(target("hosts/h1/targets/web").unwrap(), "hosts/h1/targets/web");
        assert_eq!(scope("fleet").unwrap(), "fleet");
        assert_eq!(scope("h1").unwrap(), "hosts/h1");
        assert_eq!(scope("groups/web").unwrap(), "groups/web");
        assert!(scope("groups/W").is_err() && fleet_or_group("h1").is_err());
        assert_eq!(fleet_or_group("groups/web").unwrap(), "groups/web");
        assert_eq!(maintenance("disks").unwrap(), "maintenances/disks");
        assert_eq!(short("hosts/h1/targets/web"), "h1/web");
        assert_eq!(short("incidents/a-1"), "a-1");
        for text in ["", "H1", "a/b/c", "hosts/h1/x/y"] {
            assert!(host_or_target(text).is_err(), "{text:?}");
        }
        assert!(target("h1").unwrap_err().to_string().contains("h1/web"));
    }

    #[test]
    fn incidents_are_read_by_id_or_counter() {
        assert_eq!(incident("17").unwrap(), IncidentKey::Counter(17));
        assert_eq!(incident("incidents/a-1").unwrap(), IncidentKey::Whole("a-1".parse().unwrap()));
        assert_eq!(incident("latest").unwrap(), IncidentKey::Latest);
        assert!(incident("seventeen").is_err());
    }
}

//! The host as a whole: locked down, shut down, restarted. All of it is dangerous; the ward sees to it that operators have
//! signed before anything here runs.

use std::path::Path;
use std::time::Duration;

use prunella_model::part::Act;

use super::{Mode, program, told};
use crate::config::part::{Machine, Program};
use crate::snapshot;

/// The table of the lockdown. Nothing else uses its name, so that ending it takes away nothing else.
const TABLE: &str = "inet prunella_lockdown";

pub(super) async fn act(
    it: &Machine,
    act: &Act,
    state_dir: &Path,
    limit: Duration,
    mode: Mode,
) -> Result<String, String> {
    let plain = Program { run: Vec::new(), user: None, working_dir: "/".into(), env: Default::default() };
    let words = |first: &str, more: &[&str]| -> Vec<String> {
        std::iter::once(first).chain(more.iter().copied()).map(str::to_owned).collect()
    };
    let nft = || it.nft.as_deref().ok_or("nft is not declared, so there is no lockdown");
    let systemctl = || it.systemctl.as_deref().ok_or("systemctl is not declared, so the host cannot be shut down");
    let (all, done) = match act {
        Act::Lockdown => {
            let rules = rules(it);
            if let Some(told) = told(mode, || format!("load into nftables: {rules}")) {
                nft()?;
                return Ok(told);
            }
            let file = state_dir.join("lockdown.nft");
            std::fs::create_dir_all(state_dir).map_err(|error| error.to_string())?;
            snapshot::replace(&file, rules.as_bytes(), 0o600, None).map_err(|error| error.to_string())?;
            (words(nft()?, &["-f", &file.display().to_string()]), "the host is locked down")
        }
        Act::EndLockdown => {
            // Made first, so that taking it away succeeds when it is not there.
            let rules = format!("table {TABLE} {{}}\ndelete table {TABLE}\n");
            let file = state_dir.join("end-lockdown.nft");
            if mode == Mode::Act {
                std::fs::create_dir_all(state_dir).map_err(|error| error.to_string())?;
                snapshot::replace(&file, rules.as_bytes(), 0o600, None).map_err(|error| error.to_string())?;
            }
            (words(nft()?, &["-f", &file.display().to_string()]), "the lockdown has ended")
        }
        // The outcome must leave the host before it goes down.
        Act::ShutDownHost => (words(systemctl()?, &["--no-block", "poweroff"]), "the host shuts down"),
        Act::RebootHost => (words(systemctl()?, &["--no-block", "reboot"]), "the host restarts"),
        other => return Err(format!("{} is nothing that is done to a host", other.kind().as_str())),
    };
    if let Some(told) = told(mode, || format!("run {}", all.join(" "))) {
        return Ok(told);
    }
    program::succeed(&plain, &all, limit).await?;
    Ok(done.to_owned())
}

/// Nothing in or out but this host with itself, the control plane, name look-up, and what is declared.
pub(super) fn rules(it: &Machine) -> String {
    let set = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let line = |direction: &str, ports: &[u16]| match ports {
        [] => String::new(),
        ports => format!("    tcp {direction} {{ {} }} accept\n", set(ports)),
    };
    let (inward, outward) = (line("dport", &it.allow), line("dport", &it.control));
    format!(
        "table {TABLE} {{}}\ndelete table {TABLE}\ntable {TABLE} {{\n  chain input {{\n    type filter hook input priority -300; policy drop;\n    \
         iif lo accept\n    ct state established,related accept\n{inward}  }}\n  chain output {{\n    type filter hook output priority -300; policy drop;\n    \
         oif lo accept\n    ct state established,related accept\n    udp dport 53 accept\n{outward}  }}\n}}\n"
    )
}

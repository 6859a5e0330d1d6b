//! Ending stray processes: those that a declared rule matches, and never one that belongs here.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::process::{self, Process};
use super::{Context, blocking, told};
use crate::clock;
use crate::config::part::Stray;

/// How long a killed process may take to vanish.
const KILLED_WITHIN: Duration = Duration::from_secs(2);

pub(super) async fn end(it: &Context<'_>, rule: &Stray) -> Result<String, String> {
    let targets: Vec<(String, u32)> = it
        .config
        .targets
        .iter()
        .filter_map(|target| Some((target.name.to_string(), it.services.pid(&target.name)?)))
        .collect();
    let (rule, mode) = (rule.clone(), it.mode);
    blocking(move || {
        let found = matches(&rule, &targets)?;
        let names: Vec<String> = found.iter().map(describe).collect();
        if found.is_empty() {
            return Ok(format!("there are no {rule}"));
        }
        if found.len() > rule.most {
            return Err(format!(
                "{} {rule}, and the rule permits {} at most; nothing was ended: {}",
                found.len(),
                rule.most,
                names.join(", ")
            ));
        }
        if let Some(told) = told(mode, || format!("end {}", names.join(", "))) {
            return Ok(told);
        }
        let ends: Result<Vec<String>, String> = found.iter().map(|it| kill(it, rule.grace)).collect();
        Ok(format!("ended {}", ends?.join(", ")))
    })
    .await
}

/// How many processes the rule matches now, besides the target's own; none when that cannot be told.
pub(super) async fn count(rule: &Stray, own: Option<u32>) -> Option<u32> {
    let rule = rule.clone();
    let counting = move || {
        let own: Vec<(String, u32)> = own.map(|pid| (String::new(), pid)).into_iter().collect();
        // What belongs to the target or the agent is no stray.
        Ok(matches(&rule, &own).map_or(0, |it| it.len()))
    };
    blocking(counting).await.ok().and_then(|it| u32::try_from(it).ok())
}

fn describe(it: &Process) -> String {
    let program = it.program.as_ref().map_or_else(|| "?".to_owned(), |it| it.display().to_string());
    format!("process {} ({program})", it.pid)
}

/// The processes that the rule means.
///
/// # Errors
/// That one of them belongs to the agent or to a target: then the rule is a mistake, or the target must be repaired.
fn matches(rule: &Stray, targets: &[(String, u32)]) -> Result<Vec<Process>, String> {
    let all = process::all()?;
    let sockets = rule.port.map(process::listening);
    let uid = rule.user.as_deref().map(super::program::uid).transpose()?;
    let own = std::process::id();
    let fits = |it: &&Process| {
        it.program.is_some()
            && rule.executable.as_ref().is_none_or(|wanted| it.program.as_ref() == Some(wanted))
            && uid.is_none_or(|uid| it.uid == uid)
            && age(it) >= rule.older_than
            && sockets.as_ref().is_none_or(|sockets| process::holds(it.pid, sockets))
    };
    let found: Vec<Process> = all.iter().filter(fits).cloned().collect();
    let mut owned: Vec<(String, BTreeSet<u32>)> = vec![("the agent".to_owned(), [own].into())];
    owned.extend(targets.iter().map(|(name, pid)| (format!("target {name}"), process::family(&all, *pid))));
    for it in &found {
        if it.pid <= 1 {
            return Err("the rule matches the first process of the host; nothing was ended".to_owned());
        }
        if let Some((owner, _)) = owned.iter().find(|(_, pids)| pids.contains(&it.pid)) {
            return Err(format!("{} belongs to {owner} and is no stray; nothing was ended", describe(it)));
        }
    }
    Ok(found)
}

fn age(it: &Process) -> Duration {
    let began = Duration::from_secs(it.stat.start / rustix::param::clock_ticks_per_second().max(1));
    clock::boot_now().saturating_sub(began)
}

/// Ends just that process: held by its descriptor, it cannot be mistaken for a later one with its number.
fn kill(it: &Process, grace: Duration) -> Result<String, String> {
    let what = describe(it);
    let fail = |error: Errno| format!("{what} cannot be ended: {error}");
    let pid = i32::try_from(it.pid).ok().and_then(Pid::from_raw).ok_or("no process has such a number")?;
    let held = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(held) => held,
        Err(Errno::SRCH) => return Ok(format!("{what}, which had ended already")),
        Err(error) => return Err(fail(error)),
    };
    // Read after opening: what is held must still be the process that the rule matched.
    if process::of(it.pid).is_none_or(|now| now.stat.start != it.stat.start) {
        return Ok(format!("{what}, which had ended already"));
    }
    for (signal, patience) in [(Signal::TERM, grace), (Signal::KILL, KILLED_WITHIN)] {
        match pidfd_send_signal(&held, signal) {
            Ok(()) => {}
            Err(Errno::SRCH) => return Ok(what),
            Err(error) => return Err(fail(error)),
        }
        let wait = Timespec::try_from(patience).map_err(|error| error.to_string())?;
        let mut polled = [PollFd::new(&held, PollFlags::IN)];
        if poll(&mut polled, Some(&wait)).is_ok_and(|ready| ready > 0) {
            let how = if signal == Signal::KILL { ", killed" } else { "" };
            return Ok(format!("{what}{how}"));
        }
    }
    Err(format!("{what} did not end when it was killed: it waits in the kernel"))
}

//! Numbers that say how much of the machine a service gets, and kernel parameters.

use std::fs;
use std::path::Path;
use std::time::Duration;

use prunella_model::part::Act;
use rustix::process::{Pid, getpriority_process, setpriority_process};

use super::process::{all, family};
use super::{Mode, bounded, program, told};
use crate::config::part::{Bounds, Knob, Program};

/// How long a look at an I/O priority may take.
const IONICE: Duration = Duration::from_secs(5);
/// The class of I/O priority that can be set: neither starved nor starving others.
const BEST_EFFORT: &str = "2";

/// The one number in a file; none when it holds none.
pub(super) fn number(path: &Path) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// What a weight is now; none when that cannot be told here.
pub(super) fn weight(knob: &Knob, pid: Option<u32>) -> Option<i64> {
    match knob {
        Knob::Nice => getpriority_process(Some(posix(pid?)?)).ok().map(i64::from),
        // Asking takes a program; it is told when it is set.
        Knob::Io => None,
        Knob::Group(path) => number(path),
    }
}

fn posix(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

pub(super) async fn turn(
    knob: &Knob,
    bounds: Bounds,
    pid: Option<u32>,
    act: &Act,
    mode: Mode,
) -> Result<String, String> {
    let value = bounded(act, bounds)?;
    match knob {
        Knob::Group(path) => write(path, bounds, act, mode),
        Knob::Nice => {
            let pid = pid.ok_or("the target has no running process")?;
            let before = weight(knob, Some(pid)).map_or_else(|| "unknown".to_owned(), |it| it.to_string());
            let tasks = tasks(pid)?;
            let many = tasks.len();
            if let Some(told) = told(mode, || format!("set the nice value of {many} threads from {before} to {value}"))
            {
                return Ok(told);
            }
            let nice = i32::try_from(value).map_err(|_| "no nice value is that large")?;
            for task in tasks {
                match setpriority_process(Some(task), nice) {
                    Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                    Err(error) => {
                        return Err(format!("the nice value of {} cannot be set: {error}", task.as_raw_nonzero()));
                    }
                }
            }
            Ok(format!("nice value of {many} threads set to {value}; before it was {before}"))
        }
        Knob::Io => io(pid.ok_or("the target has no running process")?, value, mode).await,
    }
}

/// All threads of a process and of those that descend from it.
fn tasks(pid: u32) -> Result<Vec<Pid>, String> {
    let family = family(&all()?, pid);
    let threads = family.into_iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok()).flatten();
    Ok(threads.filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok().and_then(Pid::from_raw)).collect())
}

async fn io(pid: u32, value: i64, mode: Mode) -> Result<String, String> {
    let tasks: Vec<String> = tasks(pid)?.iter().map(|it| it.as_raw_nonzero().to_string()).collect();
    let program = Program { run: Vec::new(), user: None, working_dir: "/".into(), env: Default::default() };
    let words = |more: &[&str]| -> Vec<String> {
        std::iter::once("ionice").chain(more.iter().copied()).map(str::to_owned).collect()
    };
    let before = program::succeed(&program, &words(&["-p", &pid.to_string()]), IONICE).await?;
    let many = tasks.len();
    if let Some(told) =
        told(mode, || format!("set the I/O priority of {many} threads from {before} to best-effort {value}"))
    {
        return Ok(told);
    }
    let mut all = words(&["-c", BEST_EFFORT, "-n", &value.to_string(), "-p"]);
    all.extend(tasks);
    program::succeed(&program, &all, IONICE).await?;
    Ok(format!("I/O priority of {many} threads set to best-effort {value}; before it was {before}"))
}

/// Writes a number to a file that holds one.
pub(super) fn write(path: &Path, bounds: Bounds, act: &Act, mode: Mode) -> Result<String, String> {
    let value = bounded(act, bounds)?;
    let before = number(path).ok_or_else(|| format!("{} holds no single number here", path.display()))?;
    if before == value {
        return Ok(format!("{} is {value} already", path.display()));
    }
    if let Some(told) = told(mode, || format!("set {} from {before} to {value}", path.display())) {
        return Ok(told);
    }
    fs::write(path, value.to_string())
        .map_err(|error| format!("{} cannot be set to {value}: {error}", path.display()))?;
    match number(path) {
        Some(now) if now == value => Ok(format!("{} set to {value}; before it was {before}", path.display())),
        now => Err(format!("{} took {value}, but says {now:?}", path.display())),
    }
}

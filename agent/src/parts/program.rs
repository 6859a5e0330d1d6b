//! Running declared programs: no shell, a clean environment, one user, one time limit.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use super::{Context, Mode, told};
use crate::config::part::{Program, Way};
use crate::snapshot;

/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How much of what a program says is kept: the end, where errors are.
const SAID_MAX: usize = 1024;
/// How long a program that is told to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(2);
/// How long to wait for the rest of what an ended program said: what it left behind may hold the pipe open.
const REST: Duration = Duration::from_millis(100);

/// A user of the host.
struct User {
    uid: u32,
    gid: u32,
    home: String,
}

fn user(name: &str) -> Result<User, String> {
    let text =
        std::fs::read_to_string("/etc/passwd").map_err(|error| format!("/etc/passwd cannot be read: {error}"))?;
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (is, uid, gid) = (fields.next()?, fields.nth(1)?, fields.next()?);
        let home = fields.nth(1)?;
        (is == name).then(|| Some(User { uid: uid.parse().ok()?, gid: gid.parse().ok()?, home: home.to_owned() }))?
    });
    found.ok_or_else(|| format!("this host has no user {name}"))
}

/// The number of a user of this host.
pub(super) fn uid(name: &str) -> Result<u32, String> {
    user(name).map(|it| it.uid)
}

fn command(program: &Program, words: &[String]) -> Result<Command, String> {
    let (first, rest) = words.split_first().ok_or("the program has no words")?;
    let mut command = std::process::Command::new(first);
    command.args(rest).current_dir(&program.working_dir).env_clear().env("PATH", PATH).env("LANG", "C.UTF-8");
    match &program.user {
        Some(name) => {
            let user = user(name)?;
            command.env("HOME", user.home).env("USER", name);
            if user.uid != rustix::process::geteuid().as_raw() {
                // It also takes the agent's own further groups away.
                command.gid(user.gid).uid(user.uid);
            }
        }
        None => {
            command.env("HOME", "/").env("USER", "root");
        }
    }
    command.envs(&program.env).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    Ok(Command::from(command))
}

/// Reads all that a program says, and keeps the end of it.
async fn listen(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut from) = from else { return kept };
    let mut buffer = [0; 4096];
    while let Ok(read) = from.read(&mut buffer).await {
        let Some(said) = buffer.get(..read).filter(|it| !it.is_empty()) else { break };
        kept.extend_from_slice(said);
        kept.drain(..kept.len().saturating_sub(SAID_MAX));
    }
    kept
}

/// How a program ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// The end of what it said, output first.
    pub(super) said: String,
}

/// Runs a program to its end.
///
/// # Errors
/// That it cannot be run, or had not ended in time and was killed.
pub(super) async fn run(program: &Program, words: &[String], limit: Duration) -> Result<Ended, String> {
    let name = words.first().cloned().unwrap_or_default();
    let mut child = command(program, words)?.spawn().map_err(|error| format!("cannot run {name}: {error}"))?;
    let group = child.id().and_then(|it| i32::try_from(it).ok()).and_then(Pid::from_raw);
    let (out, err) = (tokio::spawn(listen(child.stdout.take())), tokio::spawn(listen(child.stderr.take())));
    let ended = timeout(limit, child.wait()).await;
    let kill = |signal| group.map(|group| kill_process_group(group, signal));
    if ended.is_err() {
        let _ = kill(Signal::TERM);
        if timeout(GRACE, child.wait()).await.is_err() {
            let _ = kill(Signal::KILL);
            let _ = timeout(GRACE, child.wait()).await;
        }
        // Whoever of its group did not end with it.
        let _ = kill(Signal::KILL);
    }
    let said = said(out, err).await;
    match ended {
        Ok(Ok(status)) => Ok(Ended { status, said }),
        Ok(Err(error)) => Err(format!("{name} cannot be waited for: {error}")),
        Err(_) => Err(format!("{name} had not ended after {} s and was killed{}", limit.as_secs(), after(&said))),
    }
}

async fn said(out: tokio::task::JoinHandle<Vec<u8>>, err: tokio::task::JoinHandle<Vec<u8>>) -> String {
    let mut said = Vec::new();
    for mut it in [out, err] {
        match timeout(REST, &mut it).await {
            Ok(text) => said.extend(text.unwrap_or_default()),
            Err(_) => it.abort(),
        }
    }
    let text = String::from_utf8_lossy(&said);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn after(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("; it said: {said}") }
}

/// Runs a program, which must succeed.
pub(super) async fn succeed(program: &Program, words: &[String], limit: Duration) -> Result<String, String> {
    let ended = run(program, words, limit).await?;
    if ended.status.success() {
        return Ok(ended.said);
    }
    let name = words.first().map_or("", String::as_str);
    Err(format!("{name} failed ({}){}", ended.status, after(&ended.said)))
}

/// A declared program just as it is declared.
pub(super) async fn declared(program: &Program, limit: Duration, mode: Mode) -> Result<String, String> {
    let user_is = program.user.as_ref().map_or_else(String::new, |it| format!(" as {it}"));
    let words = program.run.join(" ");
    if let Some(told) = told(mode, || format!("run {words}{user_is} for at most {} s", limit.as_secs())) {
        // What can be told to be impossible before, is.
        command(program, &program.run)?;
        return Ok(told);
    }
    let said = succeed(program, &program.run, limit).await?;
    Ok(format!("{words} succeeded{}", after(&said)))
}

/// A declared program or signal.
pub(super) async fn way(it: &Context<'_>, way: &Way, limit: Duration) -> Result<String, String> {
    match way {
        Way::Run(program) => declared(program, limit, it.mode).await,
        Way::Signal(signal) => {
            let pid = it.services.pid(it.target).ok_or_else(|| format!("{} has no running process", it.target))?;
            if let Some(told) = told(it.mode, || format!("send {signal:?} to process {pid}")) {
                return Ok(told);
            }
            it.services.signal(it.target, *signal).await.map_err(|error| error.to_string())?;
            Ok(format!("{signal:?} was sent to process {pid}"))
        }
    }
}

/// Renews a certificate: the tool must succeed, and the certificate must be another one afterwards.
pub(super) async fn renew(it: &Context<'_>, path: &Path, renew: &Program, limit: Duration) -> Result<String, String> {
    let before = digest(path)?;
    let words = renew.run.join(" ");
    if let Some(told) = told(it.mode, || format!("run {words}, which must renew {}", path.display())) {
        command(renew, &renew.run)?;
        return Ok(told);
    }
    if before.is_some() {
        let kept = it.snapshots.keep_before_repair(it.target, &it.part.name, path);
        kept.map_err(|error| format!("the certificate cannot be saved first: {error}"))?;
    }
    succeed(renew, &renew.run, limit).await?;
    match digest(path)? {
        None => Err(format!("{words} succeeded, but there is no {}", path.display())),
        after if after == before => {
            Err(format!("{words} succeeded, but {} is the same as before: is it due already?", path.display()))
        }
        Some(_) => Ok(format!("{} was renewed by {words}", path.display())),
    }
}

fn digest(path: &Path) -> Result<Option<prunella_model::observation::Sha256>, String> {
    snapshot::digest_of(path).map_err(|error| error.to_string())
}

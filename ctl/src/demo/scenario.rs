//! The faults: how each is made, what the truth about it is, and when it is healed.

use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};

use super::site::QUOTA_MIB;
use super::witness::{Standing, Witness};
use crate::chain::{Role, Run, ask, monotonic};

/// How long `db` recovers in [`Scenario::Upstream`]: long enough that `web` and `api` must notice.
const RECOVERY_MS: u32 = 4_000;

/// How fast the leak grows. A hundred times what would matter in days, because the demonstration has seconds.
const LEAK_MIB: u32 = 8;

/// How long a request that starts trouble may take: it writes a few MiB.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// The share of the quota at which a directory counts as full, in percent.
const FULL_PERCENT: u64 = 90;

/// Something that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Scenario {
    /// `api` is killed.
    Killed,
    /// `api` is stopped: alive, not answering.
    Hung,
    /// The configuration of `api` is corrupted and `api` killed, so that it cannot start again.
    Config,
    /// The cache directory of `api` fills its quota.
    Directory,
    /// `web` leaks memory.
    Leak,
    /// `db` is killed and takes its time to come back.
    Upstream,
}

/// What is true of a fault. Only the injector knows it.
#[derive(Debug, Clone, Copy)]
pub struct Truth {
    /// Where the fault is.
    pub target: Role,
    /// The cause that a good diagnosis names.
    pub cause: &'static str,
    /// The category that it belongs to.
    pub category: &'static str,
    /// The repair that heals it.
    pub repair: &'static str,
    /// Whether healing needs a new run of the target; otherwise its run must be left alone.
    pub restarts: bool,
    /// Services that suffer long enough that each must open a fault, and that must be left alone.
    pub victims: &'static [Role],
}

impl Scenario {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 6] = [Self::Killed, Self::Hung, Self::Config, Self::Directory, Self::Leak, Self::Upstream];

    /// Its name on the command line and in output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Hung => "hung",
            Self::Config => "config",
            Self::Directory => "directory",
            Self::Leak => "leak",
            Self::Upstream => "upstream",
        }
    }

    /// What is done, for a person.
    #[must_use]
    pub const fn story(self) -> &'static str {
        match self {
            Self::Killed => "api is killed with SIGKILL",
            Self::Hung => "api is stopped with SIGSTOP: it lives and does not answer",
            Self::Config => "the configuration of api is overwritten with garbage, and api is killed",
            Self::Directory => "the cache directory of api is filled beyond its quota",
            Self::Leak => "web begins to leak memory",
            Self::Upstream => {
                "db is killed and needs 4 s to recover; web and api fail meanwhile through no fault of theirs"
            }
        }
    }

    /// What is true of it.
    #[must_use]
    pub const fn truth(self) -> Truth {
        let (operational, threat) = ("OPERATIONAL", "STABILITY_THREAT");
        let api = Truth {
            target: Role::Api,
            cause: "killed",
            category: operational,
            repair: "restart_service",
            restarts: true,
            victims: &[],
        };
        match self {
            Self::Killed => api,
            Self::Hung => Truth { cause: "hung", ..api },
            Self::Config => {
                Truth { cause: "config_corrupted", category: "GOVERNANCE_DRIFT", repair: "repair_config", ..api }
            }
            Self::Directory => {
                Truth { cause: "directory_full", category: threat, repair: "clean_directory", restarts: false, ..api }
            }
            Self::Leak => Truth { target: Role::Web, cause: "memory_leak", category: threat, ..api },
            Self::Upstream => Truth { target: Role::Db, victims: &[Role::Api, Role::Web], ..api },
        }
    }

    /// Breaks it, and says when by the monotonic clock.
    ///
    /// # Errors
    /// When it could not be broken, which is the demonstration's own fault.
    pub async fn inject(self, witness: &Witness, before: &Standing) -> anyhow::Result<Duration> {
        let target = self.truth().target;
        let run = before.run(target).with_context(|| format!("{} does not run", target.as_str()))?;
        let site = witness.site();
        match self {
            Self::Killed => signal(run, Signal::KILL),
            Self::Hung => signal(run, Signal::STOP),
            Self::Config => {
                // Not even text, as a disk that went bad would leave it.
                std::fs::write(site.api_config(), [0xFF, 0x00, 0xA5, b'\n'].repeat(64))
                    .context("corrupting the config")?;
                signal(run, Signal::KILL)
            }
            Self::Directory => request(witness, target, &format!("/fill?mib={QUOTA_MIB}")).await,
            Self::Leak => request(witness, target, &format!("/leak?mib={LEAK_MIB}")).await,
            Self::Upstream => {
                std::fs::write(site.recovery_marker(), RECOVERY_MS.to_string())
                    .context("writing the recovery marker")?;
                signal(run, Signal::KILL)
            }
        }
    }

    /// Whether the harm is gone and everything serves again, as seen from outside.
    pub async fn healed(self, witness: &Witness, before: &Standing) -> bool {
        let truth = self.truth();
        if truth.restarts && !witness.born_again(before, truth.target) {
            return false;
        }
        let gone = match self {
            Self::Killed | Self::Hung | Self::Leak | Self::Upstream => true,
            Self::Config => {
                let found = std::fs::read_to_string(witness.site().api_config());
                found.is_ok_and(|it| it == witness.site().good_api_config())
            }
            Self::Directory => witness.cache_percent(truth.target) < FULL_PERCENT,
        };
        gone && witness.all_answer().await
    }
}

fn signal(run: Run, signal: Signal) -> anyhow::Result<Duration> {
    let pid = Pid::from_raw(run.pid).context("a run has no process id")?;
    anyhow::ensure!(run.lives(), "process {} has ended already", run.pid);
    let at = monotonic();
    kill_process(pid, signal).with_context(|| format!("sending a signal to process {}", run.pid))?;
    Ok(at)
}

async fn request(witness: &Witness, role: Role, path: &str) -> anyhow::Result<Duration> {
    let at = monotonic();
    let answer = ask(witness.site().place(role).address, path, REQUEST_TIME).await?;
    anyhow::ensure!(answer.is_ok(), "{} answers {}: {}", role.as_str(), answer.status, answer.body.trim());
    Ok(at)
}

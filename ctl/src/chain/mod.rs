//! A small real service chain, `web → api → db`, that the demonstration breaks on purpose.
//!
//! Each service is one process with one thread. It says that it runs before it does anything else, because how soon
//! that happens after its predecessor's death is what the benchmarks measure.

mod birth;
mod http;
mod service;
mod store;
mod trouble;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, ValueEnum};
use rustix::time::{ClockId, clock_gettime};

pub use birth::{Birth, Run};
pub use http::{Answer, ask};

/// The exit code of `api` when its configuration is corrupted (`EX_CONFIG` of sysexits.h).
pub const EXIT_CONFIG: u8 = 78;

/// The file in the data directory of `db` that makes its next start slow: it holds the milliseconds to wait.
pub const RECOVERY_MARKER: &str = "recover-for-ms";

/// Which service of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Role {
    /// What users see; asks `api`.
    Web,
    /// The logic; reads a configuration file at its start and asks `db`.
    Api,
    /// The data; needs nobody.
    Db,
}

impl Role {
    /// The service's name, which is also its target's.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Api => "api",
            Self::Db => "db",
        }
    }
}

/// Arguments of `prunella chain`.
#[derive(Debug, Args)]
pub struct ChainArgs {
    /// Which service.
    role: Role,
    /// The loopback port to listen on.
    #[arg(long)]
    port: u16,
    /// The service that this one asks; `api` reads it from its configuration instead.
    #[arg(long)]
    upstream: Option<SocketAddr>,
    /// The configuration file of `api`.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Where `db` keeps its data.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Where logs and cached files go.
    #[arg(long)]
    cache: Option<PathBuf>,
    /// A file to which the service adds a line when it starts; see [`Birth`].
    #[arg(long)]
    births: Option<PathBuf>,
}

#[derive(Debug, Parser)]
#[command(name = "prunella chain")]
struct Cli {
    #[command(flatten)]
    args: ChainArgs,
}

impl ChainArgs {
    /// Runs one service until it is ended by a signal.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let started = monotonic();
        if let Some(path) = &self.births {
            Birth::here(started)?.record(path).with_context(|| format!("writing {}", path.display()))?;
        }
        println!("{} started pid={} monotonic_ns={}", self.role.as_str(), std::process::id(), started.as_nanos());
        std::io::stdout().flush()?;
        let upstream = match (&self.config, self.role) {
            (Some(path), Role::Api) => match read_config(path) {
                Ok(it) => Some(it),
                Err(why) => {
                    println!("api: {why}");
                    eprintln!("api: {why}");
                    return Ok(ExitCode::from(EXIT_CONFIG));
                }
            },
            (_, Role::Web | Role::Api | Role::Db) => self.upstream,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(service::serve(service::Setup {
            role: self.role,
            port: self.port,
            upstream,
            data: self.data,
            cache: self.cache,
        }))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The whole program of one service.
#[must_use]
pub fn main() -> ExitCode {
    let args = Cli::parse_from(std::env::args_os().skip(1)).args;
    args.run().unwrap_or_else(|error| {
        eprintln!("prunella chain: {error:#}");
        ExitCode::FAILURE
    })
}

/// The monotonic clock, which all processes of a host share.
#[must_use]
pub fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    // The kernel's monotonic clock starts at boot and is never negative.
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}

/// Reads the configuration of `api`: one `upstream = ADDRESS` among comments; anything else is corruption.
fn read_config(path: &std::path::Path) -> anyhow::Result<SocketAddr> {
    let bytes = std::fs::read(path).with_context(|| format!("config {} cannot be read", path.display()))?;
    let text = String::from_utf8(bytes).with_context(|| format!("config {} is corrupted", path.display()))?;
    let mut upstream = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = || format!("config {}:{} is corrupted", path.display(), number + 1);
        let (key, value) = line.split_once('=').with_context(at)?;
        anyhow::ensure!(key.trim() == "upstream", at());
        upstream = Some(value.trim().parse().with_context(at)?);
    }
    upstream.with_context(|| format!("config {} names no upstream", path.display()))
}

//! The agent from its start to its end: everything in its order, then the loop.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use prunella_identity::JoinToken;
use prunella_model::command::BootId;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::config::AgentConfig;
use crate::driver::{Driver, Parts};
use crate::enrol::{EnrolError, Membership};
use crate::execute::Executor;
use crate::helper::HelperLink;
use crate::keep::Keep;
use crate::keeper::{Keeper, KeeperParts};
use crate::own_files::OwnFiles;
use crate::senses::{Part, Senses};
use crate::state_dir::StateDir;
use crate::stop::Stop;

/// How many things seen may wait for the loop. It takes them at once; only a slow disk makes it late.
pub(crate) const SENSED: usize = 256;

/// Threads for looking up names, the only thing here that blocks. One would let a slow name server hold up another.
const BLOCKING_THREADS: usize = 2;

/// How long such a thread stays without work.
const BLOCKING_IDLE: Duration = Duration::from_secs(5);

/// What the agent is started with.
#[derive(Debug, Clone)]
pub struct RunArgs {
    /// Where `agent.toml` is.
    pub config: PathBuf,
    /// A join token; needed only as long as the host is not a member of a fleet.
    pub join_token: Option<String>,
    /// Stop in good order when this process, the parent, ends.
    pub with_parent: Option<u32>,
}

/// Runs the agent until SIGTERM, SIGINT or its parent's end. It uses the calling thread alone.
///
/// # Errors
/// When it cannot begin: `agent.toml` is wrong, the host is no member of a fleet and cannot become one, or another agent
/// uses the same state directory. Once it runs it goes on, and reports what is wrong.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    run_with(args, |_| {})
}

/// The same with an `agent.toml` that is not the last word: `adjust` may change what was read, for example where the
/// agent's state is.
///
/// # Errors
/// Those of [`run`].
pub fn run_with(args: RunArgs, adjust: impl FnOnce(&mut AgentConfig)) -> anyhow::Result<()> {
    on_this_thread(live(args, adjust))
}

/// Runs a program's only future to its end.
pub(crate) fn on_this_thread(live: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_IDLE)
        .build()
        .context("no event loop can be made")?;
    let done = LocalSet::new().block_on(&runtime, live);
    // A name that is still being looked up must not hold up the end.
    runtime.shutdown_background();
    done
}

async fn live(args: RunArgs, adjust: impl FnOnce(&mut AgentConfig)) -> anyhow::Result<()> {
    // First, so that a signal during a slow start is not lost.
    let mut stop = Stop::watch(args.with_parent)?;
    let mut config = AgentConfig::load(&args.config)?;
    adjust(&mut config);
    let config = Arc::new(config);
    let state = StateDir::open(&config.state_dir)?;
    let _alone = state.lock()?;
    let membership = tokio::select! {
        membership = become_member(&config, &state, args.join_token.as_deref()) => membership?,
        why = stop.asked() => {
            tracing::info!(target: "prunella::agent", why, "stopped before this host was a member");
            return Ok(());
        }
    };
    let boot = boot_id()?;
    let (sensed, seen) = mpsc::channel(SENSED);
    let part = if config.helper.is_some() { Part::Network } else { Part::Whole };
    let senses = Senses::start_part(Arc::clone(&config), sensed, part).await?;
    let mut membership = membership;
    let keep = match &config.helper {
        Some(socket) => {
            let own_series = senses.series_room();
            Keep::Helper(Box::new(HelperLink::new(socket, membership.enrolment().enrolment, own_series)))
        }
        None => {
            let anchor = membership.anchor().clone();
            let (config, senses, boot) = (Arc::clone(&config), senses.clone(), boot.clone());
            let oath = &mut membership;
            Keep::Own(Box::new(Keeper::open(KeeperParts { config, state, boot, oath, anchor, senses })))
        }
    };
    tracing::info!(
        target: "prunella::agent", host = %config.host, fleet = %membership.enrolment().fleet,
        targets = config.targets.len(), "watching"
    );
    // Without a service manager that asks for it this does nothing.
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
    let driver = Driver::new(Parts { config, boot, membership, senses, keep, files: Some(OwnFiles::of(&args.config)) });
    driver.run(stop, seen).await;
    Ok(())
}

/// Reads the papers of this host, or trades the join token for some.
async fn become_member(config: &AgentConfig, state: &StateDir, token: Option<&str>) -> Result<Membership, EnrolError> {
    let token = token.map(str::parse::<JoinToken>).transpose()?;
    let member = Membership::load(state)?;
    match (member, token) {
        (Some(member), token) => {
            member.check(&config.host, token.as_ref())?;
            match token {
                // What was done before is not known any more. A new enrolment makes old commands void.
                Some(token) if config.helper.is_none() && Executor::has_lost_its_ledger(state, &member) => {
                    Membership::join(state, &config.host, &token).await
                }
                Some(_) | None => Ok(member),
            }
        }
        (None, Some(token)) => Membership::join(state, &config.host, &token).await,
        (None, None) => Err(EnrolError::NoToken),
    }
}

pub(crate) fn boot_id() -> anyhow::Result<BootId> {
    const FILE: &str = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(FILE).with_context(|| format!("cannot read {FILE}; is /proc mounted?"))?;
    Ok(BootId(text.trim().to_owned()))
}

/// Starts logging to standard error: `PRUNELLA_LOG` says what (`info` when it is not set), and `PRUNELLA_LOG_FORMAT=json`
/// or `json` makes each line a JSON object.
pub fn start_logging(json: bool) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("PRUNELLA_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let json = json || std::env::var("PRUNELLA_LOG_FORMAT").is_ok_and(|it| it == "json");
    // A subscriber that is set already is the caller's choice.
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
}

//! The privileged half of an agent, as a process of its own: it has no network, and believes nothing but signatures.
//!
//! The other half keeps the stream to the server and the probes that need no privilege. It asks by a Unix socket, and
//! what it says is as untrusted as if it came from the network itself: the helper makes the challenges, verifies the
//! commands, holds the trust, the local policy, the pause file, the budgets and the ledger, and carries the steps out.
//! Whoever takes the other half over can keep commands away and lie about what its probes see, and nothing else.

mod door;
mod link;
mod oath;
mod protocol;
mod serve;
#[cfg(test)]
mod tests;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::mpsc;

use crate::config::AgentConfig;
use crate::run::{SENSED, boot_id, on_this_thread};
use crate::senses::{Part, Senses};
use crate::state_dir::StateDir;
use crate::stop::Stop;

use door::Door;
use oath::HelperOath;
use serve::{Helper, HelperParts};

pub use door::{DoorError, user_id};
pub(crate) use link::HelperLink;
pub(crate) use protocol::Ask;

/// Bursts that may wait for the other half; each command asks for one.
const BURSTS: usize = 64;

/// What the helper is started with.
#[derive(Debug, Clone)]
pub struct HelperArgs {
    /// Where `agent.toml` is: the same file as the other half's.
    pub config: PathBuf,
    /// The helper's own directory. The other half's user must not be able to write there.
    pub state_dir: PathBuf,
    /// The user of the other half: a number, or a name in `/etc/passwd`.
    pub user: String,
    /// The join token of the other half; needed once.
    pub join_token: Option<String>,
    /// Stop in good order when this process, the parent, ends.
    pub with_parent: Option<u32>,
}

/// Runs the helper until SIGTERM, SIGINT or its parent's end. It uses the calling thread alone.
///
/// # Errors
/// When it cannot begin.
pub fn run_helper(args: HelperArgs) -> anyhow::Result<()> {
    on_this_thread(live(args))
}

async fn live(args: HelperArgs) -> anyhow::Result<()> {
    // First, so that a signal during a slow start is not lost.
    let stop = Stop::watch(args.with_parent)?;
    let mut config = AgentConfig::load(&args.config)?;
    let user = user_id(&args.user).map_err(anyhow::Error::msg)?;
    check_owner(&args.config, user)?;
    let socket = config
        .helper
        .clone()
        .context("agent.toml names no helper; write `helper = \"/run/prunella/helper.sock\"` into its [agent]")?;
    config.state_dir = args.state_dir;
    let config = Arc::new(config);
    let state = StateDir::open(&config.state_dir)?;
    let _alone = state.lock()?;
    let oath = HelperOath::open(&state, &config.host, args.join_token.as_deref())?;
    let door = Door::open(&socket, user)?;
    let (sensed, seen) = mpsc::channel(SENSED);
    let (burst, bursts) = mpsc::channel(BURSTS);
    let senses = Senses::start_part(Arc::clone(&config), sensed, Part::Helper(burst)).await?;
    let helper = Helper::new(HelperParts { config, state, boot: boot_id()?, senses, oath });
    tracing::info!(target: "prunella::helper", socket = %socket.display(), user, "serving");
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
    helper.run(stop, door, seen, bursts).await;
    Ok(())
}

/// What may ever be done is in `agent.toml`, so the other half must not be able to write it.
fn check_owner(config: &Path, user: u32) -> anyhow::Result<()> {
    if user == rustix::process::geteuid().as_raw() {
        tracing::warn!(target: "prunella::helper", user, "both halves run as the same user: nothing keeps them apart");
        return Ok(());
    }
    let found = std::fs::metadata(config).with_context(|| format!("cannot look at {}", config.display()))?;
    let by_others = found.mode() & 0o022 != 0;
    anyhow::ensure!(
        found.uid() != user && !by_others,
        "{} can be written by others than its administrator, so it permits nothing: chown root and chmod 644 it",
        config.display()
    );
    Ok(())
}

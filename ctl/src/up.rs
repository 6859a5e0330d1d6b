//! `prunella up`: a server and an agent for this host, with the user's own targets, until Ctrl-C.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use prunella_agent::config::AgentConfig;
use prunella_model::HostId;
use prunella_model::policy::FleetPolicy;
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::admin_service_client::AdminServiceClient;
use prunella_server::config::HttpListen;
use prunella_server::fleet_dir::Options;
use prunella_server::serve::signalled;
use prunella_settings::Source;
use serde::Deserialize;

use crate::Common;
use crate::demo::screen::{Screen, Tone};
use crate::fleet::{self, Fleet};

const EXAMPLES: &str = "\
Examples:
  prunella up --dir ./fleet --config agent.toml                      this host alone
  prunella up --dir ./fleet --config agent.toml --listen 10.0.0.5    other hosts may join
  prunella --dir ./fleet status                                      meanwhile, in another terminal

The file may hold the fleet's policy as well, in [policy]. All keys are made on first use; an existing directory goes on
as it is. Exit codes: 0 ended by Ctrl-C, 1 it could not start or go on, 2 the command line is wrong.";

/// The ports of a new fleet if they are free, so that other hosts find it again after a restart.
const CONTROL_PORT: u16 = 7600;
const AGENTS_PORT: u16 = 7601;

/// How often the two processes are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Arguments of `prunella up`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct UpArgs {
    /// The targets of this host, and what may be done to them.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The name of this host in the fleet, instead of the one in the file or the kernel's.
    #[arg(long, value_name = "NAME")]
    host: Option<HostId>,
    /// Where a new fleet listens; later that is in server.toml.
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// The name of a new fleet.
    #[arg(long, value_name = "NAME", default_value = "home")]
    fleet: String,
    /// Where to serve JSON and the dashboard: ADDRESS:PORT, or off. A free port when the usual one is taken.
    #[arg(long, value_name = "ADDRESS", default_value_t)]
    http: HttpListen,
}

impl UpArgs {
    /// Runs both until Ctrl-C.
    ///
    /// # Errors
    /// When the file is wrong, or server or agent do not start or end by themselves.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let dir = common.dir.as_ref().context("say where the fleet's keys and state shall be: --dir DIR")?;
        let dir = std::path::absolute(dir)?;
        let screen = Screen::new(false);
        // Everything that can be wrong with the file is said before anything starts.
        let host = AgentConfig::load(&self.config)?.host;
        let host = self.host.clone().unwrap_or(host);
        let policy = policy_text(&self.config)?;
        let options = Options { profile: policy.profile, ..self.options()? };
        crate::block_on(async {
            tokio::select! {
                ended = self.keep_up(&dir, &host, &policy, &options, &screen) => ended,
                () = signalled() => Ok(()),
            }
        })?;
        screen.say(
            Tone::Plain,
            "Server and agent have ended; services that were running go on unless agent.toml says otherwise.",
        );
        Ok(ExitCode::SUCCESS)
    }

    async fn keep_up(
        &self,
        dir: &Path,
        host: &HostId,
        policy: &PolicyText,
        options: &Options,
        screen: &Screen,
    ) -> anyhow::Result<()> {
        let dir = fleet::directory(dir, &self.fleet, options)?;
        let config = std::path::absolute(&self.config)?;
        let mut fleet = Fleet::start(dir, self.http).await?;
        if let Some(text) = &policy.text {
            put_policy(&fleet, text).await?;
        }
        let state_dir = fleet.dir().agent_dir(host).join("state");
        fleet.add_agent_at(host, &config, &state_dir).await?;
        let place = fleet.dir().path().display().to_string();
        screen.say(
            Tone::Title,
            &format!("Fleet {} is up: host {host}, control at {}", self.fleet, fleet.addresses().control),
        );
        if let Some(link) = fleet.dashboard().await? {
            screen.say(Tone::Plain, &format!("Dashboard, opened once within 5 minutes: {link}"));
        }
        screen.say(Tone::Plain, &format!("Logs: {place}/server.log and {place}/{host}.log"));
        screen.say(Tone::Plain, "Look at it from another terminal:");
        for command in ["dashboard", "status", "targets", "incidents", "events --follow"] {
            screen.say(Tone::Plain, &format!("  prunella --dir {place} {command}"));
        }
        screen.say(Tone::Plain, &format!("Let another host join:\n  prunella --dir {place} token create"));
        loop {
            fleet.must_run()?;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How a new fleet shall be.
    fn options(&self) -> anyhow::Result<Options> {
        let free = |port| TcpListener::bind((self.listen, port)).is_ok();
        let usable = free(0);
        anyhow::ensure!(usable, "nothing can listen on {}; is it an address of this host?", self.listen);
        let at = |port| SocketAddr::new(self.listen, if free(port) { port } else { 0 });
        Ok(Options { control: at(CONTROL_PORT), agents: at(AGENTS_PORT), ..Options::default() })
    }
}

/// The `[policy]` of a file.
struct PolicyText {
    profile: prunella_model::policy::Profile,
    /// As a file of its own; none when the file has no such part.
    text: Option<String>,
}

fn policy_text(path: &Path) -> anyhow::Result<PolicyText> {
    #[derive(Deserialize)]
    struct Parts {
        policy: Option<FleetPolicy>,
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let name = path.display().to_string();
    let typed = Source::new(&name, &text).read::<Parts>()?.policy;
    let profile = typed.as_ref().map(|it| it.profile).unwrap_or_default();
    let table: toml::Table = text.parse()?;
    let part = table.get("policy").and_then(toml::Value::as_table).map(toml::to_string).transpose()?;
    if let Some(part) = &part {
        // The place is that in the part alone, but the types were right, so this is about figures that do not fit.
        prunella_server::policy::parse(&format!("{name} [policy]"), part)?;
    }
    Ok(PolicyText { profile, text: part })
}

/// Puts the file's policy in force unless it is already.
async fn put_policy(fleet: &Fleet, text: &str) -> anyhow::Result<()> {
    let mut admin = AdminServiceClient::new(fleet.control());
    let kept = fleet.dir().path().join("up-policy.toml");
    // Only a change is put in force: a policy that an operator set since is not undone by a restart.
    if std::fs::read_to_string(&kept).is_ok_and(|it| it == text) {
        return Ok(());
    }
    let request =
        pb::UpdatePolicyRequest { toml: text.to_owned(), etag: String::new(), validate_only: false, at_once: true };
    admin.update_policy(request).await.context("putting the file's [policy] in force")?;
    std::fs::write(&kept, text).with_context(|| format!("writing {}", kept.display()))
}

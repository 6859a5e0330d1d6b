//! A fleet of real processes on this machine: one server, some agents, each its own process, joined with real tokens.
//!
//! Stands under `demo`, `up`, the benchmarks and the tests. Nothing that it starts outlives it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use prunella_identity::{client_config, explain_tls};
use prunella_model::{FleetName, HostId};
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::admin_service_client::AdminServiceClient;
use prunella_proto::dial::{DialOptions, dial};
use prunella_server::Addresses;
use prunella_server::config::HttpListen;
use prunella_server::fleet_dir::{FleetDir, Options};
use tonic::transport::Channel;

use crate::children::{Child, end_all};

/// How long a server may take until it listens. A debug build on a busy machine needs two seconds.
const LISTEN_TIME: Duration = Duration::from_secs(30);

/// How often a starting server is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// A server and its agents.
#[derive(Debug)]
pub struct Fleet {
    dir: FleetDir,
    program: PathBuf,
    http: HttpListen,
    server: Child,
    agents: Vec<Child>,
    agent_program: Option<PathBuf>,
    addresses: Addresses,
    control: Channel,
}

/// The fleet directory at `path`; makes it when there is none.
///
/// # Errors
/// When it cannot be made or opened.
pub fn directory(path: &Path, name: &str, options: &Options) -> anyhow::Result<FleetDir> {
    if path.join("server.toml").exists() {
        return Ok(FleetDir::open(path)?);
    }
    Ok(FleetDir::create(path, &FleetName::new(name)?, options)?)
}

impl Fleet {
    /// Starts the server of a fleet directory and connects to it as its admin.
    ///
    /// # Errors
    /// When it does not start; the error holds the end of its log.
    pub async fn start(dir: FleetDir, http: HttpListen) -> anyhow::Result<Self> {
        Self::start_with(dir, std::env::current_exe().context("finding this program's own file")?, http).await
    }

    /// The same with another program as server and agents, for tests.
    ///
    /// # Errors
    /// Those of [`Fleet::start`].
    pub async fn start_with(dir: FleetDir, program: PathBuf, http: HttpListen) -> anyhow::Result<Self> {
        let before = Stamp::of(&dir);
        let mut server = start_server(&dir, &program, http)?;
        let addresses = wait_until_listening(&dir, &mut server, before).await?;
        let control = connect(&dir, &addresses).await.with_context(|| server.last_words())?;
        Ok(Self { dir, program, http, server, agents: Vec::new(), agent_program: None, addresses, control })
    }

    /// Starts the agent of `host` with its `agent.toml` at `config`, and joins it when it is not yet a member.
    ///
    /// `state_dir` is where that file says that the agent's state is.
    ///
    /// # Errors
    /// When it cannot be started, or the server makes no join token.
    pub async fn add_agent(&mut self, host: &HostId, config: &Path, state_dir: &Path) -> anyhow::Result<()> {
        let args = ["agent".into(), "--config".into(), config.as_os_str().to_owned()];
        self.start_agent(host, &args, state_dir).await
    }

    /// The same with an `agent.toml` that says nothing of this fleet: name, state and addresses are given beside it.
    ///
    /// # Errors
    /// Those of [`Fleet::add_agent`].
    pub async fn add_agent_at(&mut self, host: &HostId, config: &Path, state_dir: &Path) -> anyhow::Result<()> {
        let Addresses { control, agents, http: _ } = self.addresses;
        let mut args: Vec<OsString> = vec!["agent".into(), "--config".into(), config.into()];
        args.extend(["--host".into(), host.as_str().into(), "--state-dir".into(), state_dir.into()]);
        args.extend(["--control".into(), control.to_string().into(), "--agents".into(), agents.to_string().into()]);
        self.start_agent(host, &args, state_dir).await
    }

    /// Starts agents from now on with the slim binary instead of this program; none means this program.
    pub fn use_agent_program(&mut self, program: Option<&Path>) {
        self.agent_program = program.map(Path::to_owned);
    }

    async fn start_agent(&mut self, host: &HostId, args: &[OsString], state_dir: &Path) -> anyhow::Result<()> {
        let token = if state_dir.join("enrolment.json").exists() { None } else { Some(self.join_token(host).await?) };
        // In the environment, because everybody may read the arguments of a process.
        let envs: Vec<(&str, &str)> = token.iter().map(|it| ("PRUNELLA_JOIN_TOKEN", it.as_str())).collect();
        let log = self.log(host.as_str());
        let name = format!("the agent of {host}");
        self.agents.push(match &self.agent_program {
            None => Child::start(&self.program, &name, args, &envs, &log)?,
            // The slim binary is the subcommand and nothing else.
            Some(program) => Child::start(program, &name, args.get(1..).unwrap_or_default(), &envs, &log)?,
        });
        Ok(())
    }

    /// A token with which `host` joins, once.
    ///
    /// # Errors
    /// When the server makes none.
    pub async fn join_token(&self, host: &HostId) -> anyhow::Result<String> {
        let request = pb::CreateJoinTokenRequest { lifetime: None, host: host.to_string() };
        let answer = AdminServiceClient::new(self.control()).create_join_token(request).await;
        Ok(answer.with_context(|| format!("making a join token for {host}"))?.into_inner().token)
    }

    /// A link that opens the dashboard once; null when there is none.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn dashboard(&self) -> anyhow::Result<Option<String>> {
        if self.addresses.http.is_none() {
            return Ok(None);
        }
        let mut admin = AdminServiceClient::new(self.control());
        let link = admin.create_login_link(pb::CreateLoginLinkRequest::default()).await;
        Ok(Some(link.context("asking for a link to the dashboard")?.into_inner().url))
    }

    /// A connection to the control services as the admin.
    #[must_use]
    pub fn control(&self) -> Channel {
        self.control.clone()
    }

    /// The fleet directory.
    #[must_use]
    pub fn dir(&self) -> &FleetDir {
        &self.dir
    }

    /// Where the server listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The server's process.
    pub fn server(&mut self) -> &mut Child {
        &mut self.server
    }

    /// The agents' processes, in the order in which they were added.
    pub fn agents(&mut self) -> &mut [Child] {
        &mut self.agents
    }

    /// Takes the latest agent out: it is no longer this fleet's to end.
    pub fn take_agent(&mut self) -> Option<Child> {
        self.agents.pop()
    }

    /// The log of the server (`server`) or of a host's agent.
    #[must_use]
    pub fn log(&self, of: &str) -> PathBuf {
        log_file(&self.dir, of)
    }

    /// Kills the server as a crash would and starts it again on the same directory.
    ///
    /// # Errors
    /// When it does not come back.
    pub async fn crash_server(&mut self) -> anyhow::Result<()> {
        self.server.kill()?;
        let before = Stamp::of(&self.dir);
        self.server = start_server(&self.dir, &self.program, self.http)?;
        self.addresses = wait_until_listening(&self.dir, &mut self.server, before).await?;
        self.control = connect(&self.dir, &self.addresses).await.with_context(|| self.server.last_words())?;
        Ok(())
    }

    /// An error when one of the processes has ended.
    ///
    /// # Errors
    /// Which one, and what it said last.
    pub fn must_run(&mut self) -> anyhow::Result<()> {
        self.server.must_run()?;
        self.agents.iter_mut().try_for_each(Child::must_run)
    }

    /// Ends everything in good order: agents first, which stop what they supervise.
    pub fn end(&mut self) {
        end_all(&mut self.agents);
        self.agents.clear();
        end_all(std::slice::from_mut(&mut self.server));
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.end();
    }
}

fn log_file(dir: &FleetDir, of: &str) -> PathBuf {
    dir.path().join(format!("{of}.log"))
}

fn start_server(dir: &FleetDir, program: &Path, http: HttpListen) -> anyhow::Result<Child> {
    let config = dir.config_file().into_os_string();
    let args = ["server".into(), "--config".into(), config, "--http".into(), http.to_string().into()];
    Child::start(program, "the server", &args, &[], &log_file(dir, "server"))
}

/// Tells one file of addresses from the next. An earlier one names ports that nobody may listen on any more; but it must
/// stay until there is another, because it may be that of a server which runs already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    written: (i64, i64),
}

impl Stamp {
    /// That of the file as it is now; none when there is no file.
    fn of(dir: &FleetDir) -> Option<Self> {
        let meta = fs::metadata(dir.addresses_file()).ok()?;
        Some(Self { inode: meta.ino(), written: (meta.mtime(), meta.mtime_nsec()) })
    }
}

async fn wait_until_listening(dir: &FleetDir, server: &mut Child, before: Option<Stamp>) -> anyhow::Result<Addresses> {
    let deadline = Instant::now() + LISTEN_TIME;
    loop {
        // The file appears whole, once the ports are open.
        if Stamp::of(dir) != before
            && let Ok(text) = fs::read(dir.addresses_file())
        {
            return serde_json::from_slice(&text)
                .with_context(|| format!("reading {}", dir.addresses_file().display()));
        }
        server.must_run()?;
        anyhow::ensure!(
            Instant::now() < deadline,
            "the server does not listen after {LISTEN_TIME:?}; {}",
            server.last_words()
        );
        tokio::time::sleep(LOOK).await;
    }
}

async fn connect(dir: &FleetDir, addresses: &Addresses) -> anyhow::Result<Channel> {
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("reading {}", path.display()));
    let config = dir.config();
    let (ca, chain, key) = (read(&config.tls.authority)?, read(&dir.admin_certificate())?, read(&dir.admin_key())?);
    let tls = client_config(&config.fleet, &ca, &chain, &key)?;
    let options = DialOptions { explain: explain_tls, ..DialOptions::default() };
    Ok(dial(&addresses.control.to_string(), tls, &options).await?)
}

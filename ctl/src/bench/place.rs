//! One host with services that need nobody, in a directory that is removed afterwards.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use prunella_model::policy::Profile;
use prunella_model::{HostId, TargetName, TargetRef};
use prunella_server::fleet_dir::Options;

use crate::chain::monotonic;
use crate::demo::fresh_directory;
use crate::demo::records::{Records, name_of};
use crate::demo::site::{free_ports, quote};
use crate::fleet::{self, Fleet};

/// How long everything may take until it is healthy.
const HEALTHY_TIME: Duration = Duration::from_secs(60);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A fleet of one host with `count` services that answer HTTP.
pub(super) struct Place {
    pub(super) fleet: Fleet,
    pub(super) records: Records,
    pub(super) targets: Vec<TargetRef>,
    births: PathBuf,
    // Last, so that it is removed when nothing in it is in use any more.
    _scratch: Scratch,
}

/// A directory that is removed with everything in it.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Place {
    /// Starts it and waits until every probe is up. `interval` is that of every probe.
    pub(super) async fn start(count: usize, interval: &str, agent: Option<&Path>) -> anyhow::Result<Self> {
        let scratch = Scratch(fresh_directory("prunella-bench")?);
        let options = Options { profile: Profile::Rapid, ..Options::default() };
        let dir = fleet::directory(&scratch.0, "bench", &options)?;
        let host = HostId::new("bench")?;
        let home = dir.agent_dir(&host);
        let births = scratch.0.join("births");
        std::fs::create_dir_all(&home)?;
        std::fs::create_dir_all(&births)?;
        let names: Vec<TargetName> =
            (1..=count).map(|number| TargetName::new(&format!("service-{number}"))).collect::<Result<_, _>>()?;
        let mut fleet = Fleet::start(dir).await?;
        let config = home.join("agent.toml");
        let state_dir = home.join("state");
        let mut text = format!(
            "[agent]\nhost = \"{host}\"\nstate_dir = {}\ncontrol = [\"{}\"]\nagents = [\"{}\"]\n\n\
             [limits]\nrepairs_per_hour = 1000000\n",
            quote(&state_dir),
            fleet.addresses().control,
            fleet.addresses().agents
        );
        for (name, port) in names.iter().zip(free_ports(count)?) {
            text.push_str(&target(name, port, interval, &births)?);
        }
        std::fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
        fleet.use_agent_program(agent);
        fleet.add_agent(&host, &config, &state_dir).await?;
        let records = Records::new(fleet.control());
        let targets = names.into_iter().map(|name| TargetRef::new(host.clone(), name)).collect();
        let mut place = Self { fleet, records, targets, births, _scratch: scratch };
        place.wait_until_healthy().await?;
        Ok(place)
    }

    /// The register of the runs of a service.
    pub(super) fn births(&self, target: &TargetRef) -> PathBuf {
        self.births.join(target.target.as_str())
    }

    async fn wait_until_healthy(&mut self) -> anyhow::Result<()> {
        let deadline = monotonic() + HEALTHY_TIME;
        loop {
            let known = self.records.targets().await?;
            let up = |it: &TargetRef| {
                let name = name_of(it);
                known
                    .iter()
                    .any(|it| it.name == name && it.probes.len() > 1 && it.probes.iter().all(|it| it.status == "up"))
            };
            if self.targets.iter().all(up) {
                return Ok(());
            }
            self.fleet.must_run()?;
            let late = self.fleet.server().last_words();
            anyhow::ensure!(monotonic() < deadline, "the services are not healthy after {HEALTHY_TIME:?}; {late}");
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// One service without dependencies, watched by process and by HTTP.
fn target(name: &TargetName, port: u16, interval: &str, births: &Path) -> anyhow::Result<String> {
    let program = std::env::current_exe().context("finding this program's own file")?;
    let mut text = String::new();
    write!(
        text,
        "\n[[target]]\nname = \"{name}\"\nmanager = \"command\"\nstop_with_agent = true\n\
         start = [{program}, \"chain\", \"db\", \"--port\", \"{port}\", \"--births\", {births}]\n\
         [target.permit]\nstart_service = {{ per_hour = 1000000 }}\nrestart_service = {{ per_hour = 1000000 }}\n\
         [[target.probe]]\nkind = \"process\"\ninterval = \"{interval}\"\n\
         [[target.probe]]\nkind = \"http\"\nurl = \"http://127.0.0.1:{port}/healthz\"\ninterval = \"{interval}\"\n",
        program = quote(&program),
        births = quote(&births.join(name.as_str())),
    )?;
    Ok(text)
}

//! A fleet of one host with services that need nobody, for benchmarks and tests.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use prunella_model::policy::Profile;
use prunella_model::{HostId, TargetName, TargetRef};
use prunella_server::config::HttpListen;
use prunella_server::fleet_dir::Options;

use crate::chain::{Birth, Run, monotonic};
use crate::demo::records::{Records, name_of};
use crate::demo::site::{free_ports, quote};
use crate::fleet::{self, Fleet};
use crate::meter::Meter;

/// How long everything may take until it is healthy.
const HEALTHY_TIME: Duration = Duration::from_secs(60);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How a lab shall be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many services.
    pub services: usize,
    /// How often each probe looks, as text: `250ms`.
    pub interval: &'static str,
    /// Whether each service needs the one before it.
    pub in_line: bool,
    /// Whether services are also looked at by HTTP, beside their process.
    pub http: bool,
    /// The program that runs as server, agent and service.
    pub program: PathBuf,
    /// The slim agent, where that shall be used instead.
    pub agent: Option<PathBuf>,
    /// Where JSON and the dashboard are served.
    pub door: HttpListen,
    /// The timings of the fleet's policy.
    pub profile: Profile,
    /// Whether the agent's stream goes through a meter.
    pub metered: bool,
}

impl Plan {
    /// One service that is looked at four times a second, everything run by `program`.
    #[must_use]
    pub const fn new(program: PathBuf) -> Self {
        Self {
            services: 1,
            in_line: false,
            interval: "250ms",
            http: true,
            program,
            agent: None,
            door: HttpListen::Off,
            profile: Profile::Rapid,
            metered: false,
        }
    }
}

/// A fleet of one host with services that answer HTTP.
#[derive(Debug)]
pub struct Lab {
    /// Its processes.
    pub fleet: Fleet,
    /// What its server says.
    pub records: Records,
    /// Its host.
    pub host: HostId,
    /// Its services.
    pub services: Vec<Service>,
    /// What went over its agent's stream, where that was asked for.
    pub meter: Option<Meter>,
    config: PathBuf,
    http: bool,
}

/// One service.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its target.
    pub target: TargetRef,
    /// Where it listens.
    pub address: SocketAddr,
    /// The register of its runs.
    pub births: PathBuf,
    /// Its data directory.
    pub data: PathBuf,
}

impl Service {
    /// All its runs, oldest first.
    #[must_use]
    pub fn runs(&self) -> Vec<Birth> {
        Birth::read_all(&self.births)
    }

    /// Its run, if it lives.
    #[must_use]
    pub fn run(&self) -> Option<Run> {
        self.runs().last().map(|it| it.run).filter(|it| it.lives())
    }
}

impl Lab {
    /// Starts one in the directory `at` and waits until every probe is up.
    ///
    /// # Errors
    /// When something does not start or does not become healthy.
    pub async fn start(at: &Path, plan: Plan) -> anyhow::Result<Self> {
        // Chosen once, so that a server that is killed comes back where its agents look for it.
        let ports: [u16; 2] =
            free_ports(2)?.try_into().map_err(|_| anyhow::anyhow!("not as many ports as asked for"))?;
        let [control, agents] = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let options = Options { profile: plan.profile, control, agents, ..Options::default() };
        let dir = fleet::directory(at, "lab", &options)?;
        let host = HostId::new("lab-1")?;
        let home = dir.agent_dir(&host);
        let mut fleet = Fleet::start_with(dir, plan.program.clone(), plan.door).await?;
        let (config, state_dir) = (home.join("agent.toml"), home.join("state"));
        let mut services = Vec::new();
        for (number, port) in (1..).zip(free_ports(plan.services)?) {
            let target = TargetRef::new(host.clone(), TargetName::new(&format!("service-{number}"))?);
            let own = at.join(target.target.as_str());
            std::fs::create_dir_all(&own)?;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            services.push(Service { target, address, births: own.join("births"), data: own.join("data") });
        }
        let meter = if plan.metered { Some(Meter::start(fleet.addresses().agents).await?) } else { None };
        let head = format!(
            "[agent]\nhost = \"{host}\"\nstate_dir = {}\ncontrol = [\"{}\"]\nagents = [\"{}\"]\n\n\
             [limits]\nrepairs_per_hour = 1000000\n",
            quote(&state_dir),
            fleet.addresses().control,
            meter.as_ref().map_or(fleet.addresses().agents, Meter::address)
        );
        let text = (0..).zip(&services).try_fold(head, |text, (at, it)| {
            let needs = services[..at].last().filter(|_| plan.in_line);
            anyhow::Ok(text + &agent_toml(it, needs, &plan)?)
        })?;
        std::fs::create_dir_all(&home)?;
        std::fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
        fleet.use_agent_program(plan.agent.as_deref());
        fleet.add_agent(&host, &config, &state_dir).await?;
        let records = Records::new(fleet.control());
        let mut lab = Self { fleet, records, host, services, meter, config, http: plan.http };
        lab.wait_until_healthy().await?;
        Ok(lab)
    }

    /// Kills the agent as a crash would, and starts it again.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn crash_agent(&mut self) -> anyhow::Result<()> {
        if let Some(mut agent) = self.fleet.take_agent() {
            agent.kill()?;
        }
        let state_dir = self.fleet.dir().agent_dir(&self.host).join("state");
        self.fleet.add_agent(&self.host, &self.config, &state_dir).await
    }

    /// Waits until the server says that every probe of every service is up.
    ///
    /// # Errors
    /// When that takes too long, with the end of the server's log.
    pub async fn wait_until_healthy(&mut self) -> anyhow::Result<()> {
        let deadline = monotonic() + HEALTHY_TIME;
        let probes = if self.http { 2 } else { 1 };
        loop {
            // A server that is being started again does not answer yet.
            let known = self.records.targets().await.unwrap_or_default();
            let up = |it: &Service| {
                let name = name_of(&it.target);
                known.iter().any(|it| {
                    it.name == name && it.probes.len() >= probes && it.probes.iter().all(|it| it.status == "up")
                })
            };
            if self.services.iter().all(up) {
                return Ok(());
            }
            self.fleet.must_run()?;
            let late = self.fleet.server().last_words();
            anyhow::ensure!(monotonic() < deadline, "the services are not healthy after {HEALTHY_TIME:?}; {late}");
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// One service, and what it needs.
fn agent_toml(it: &Service, needs: Option<&Service>, plan: &Plan) -> anyhow::Result<String> {
    let mut text = String::new();
    let needs = needs.map_or_else(String::new, |it| format!("depends_on = [\"{}\"]\n", it.target.target));
    write!(
        text,
        "\n[[target]]\nname = \"{name}\"\nmanager = \"command\"\nstop_with_agent = true\n{needs}\
         start = [{program}, \"chain\", \"db\", \"--port\", \"{port}\", \"--births\", {births}, \"--data\", {data}]\n\
         [target.permit]\nstart_service = {{ per_hour = 1000000 }}\nrestart_service = {{ per_hour = 1000000 }}\n\
         [[target.probe]]\nkind = \"process\"\ninterval = \"{interval}\"\n",
        name = it.target.target,
        port = it.address.port(),
        interval = plan.interval,
        program = quote(&plan.program),
        births = quote(&it.births),
        data = quote(&it.data),
    )?;
    if plan.http {
        let (address, interval) = (it.address, plan.interval);
        write!(
            text,
            "[[target.probe]]\nkind = \"http\"\nurl = \"http://{address}/healthz\"\ninterval = \"{interval}\"\n"
        )?;
    }
    Ok(text)
}

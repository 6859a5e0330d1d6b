//! systemd, and this program above systemd, on a private host.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use prunella_model::{HostId, TargetName, TargetRef};

use super::host::PrivateHost;
use super::rounds::Measured;
use super::subject::{Keeper, Subject};
use super::{Entry, Title};
use crate::bench::peers::{Shelf, Watched};
use crate::chain::monotonic;
use crate::demo::records::{Records, name_of};
use crate::demo::site::{free_ports, quote};
use crate::lab::{Lab, Service};

const NAMES: [&str; 3] = ["prunella, systemd unit", "systemd, default", "systemd, RestartSec=0"];

/// How long it may take until the host is a member of the fleet and its unit is seen up.
const MEMBER_TIME: Duration = Duration::from_secs(30);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What runs on the private host: or the reason why there is none.
pub(super) struct Private {
    running: Result<Running, String>,
}

struct Running {
    /// This program's own, or why it is not there.
    service: Result<Service, String>,
    peers: [Watched; 2],
    version: Option<String>,
    /// Held for its end.
    _host: PrivateHost,
}

impl Private {
    /// Boots the host and joins it to the lab's fleet.
    pub(super) async fn start(shelf: &Shelf, lab: &mut Lab, at: &Path) -> anyhow::Result<Self> {
        if let Some(why) = PrivateHost::lacking(shelf) {
            return Ok(Self { running: Err(why) });
        }
        fs::create_dir_all(at).with_context(|| format!("making {}", at.display()))?;
        let version = shelf.find("systemctl").and_then(|it| it.version("systemd"));
        let running = Running::start(lab, at, version).await.map_err(|why| format!("{why:#}"));
        Ok(Self { running })
    }

    /// Its rows.
    pub(super) fn entries<'a>(&self, records: &'a Records) -> Vec<Entry<'a>> {
        let subjects: [Result<Subject<'a>, String>; 3] = match &self.running {
            Err(why) => NAMES.map(|_| Err(why.clone())),
            Ok(it) => {
                let peer = |it: &Watched| Ok(Subject::new(it.births(), Keeper::PrivateHost));
                let [default, at_once] = it.peers.each_ref().map(peer);
                let own = it.service.as_ref().map(|it| Subject::own(it, records, true)).map_err(Clone::clone);
                [own, default, at_once]
            }
        };
        let version = self.running.as_ref().ok().and_then(|it| it.version.clone());
        let titles = NAMES.map(|name| Title { name, package: Some("systemd"), version: version.clone() });
        let entry = |(title, subject)| Entry { title, subject, measured: Measured::default() };
        titles.into_iter().zip(subjects).map(entry).collect()
    }
}

impl Running {
    async fn start(lab: &mut Lab, at: &Path, version: Option<String>) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        crate::bench::peers::must_be_plain(&program)?;
        crate::bench::peers::must_be_plain(at)?;
        let ports: [u16; 3] =
            free_ports(3)?.try_into().map_err(|_| anyhow::anyhow!("not as many ports as asked for"))?;
        let place = |name: &str, port: u16| -> anyhow::Result<Watched> {
            let at = at.join(name);
            fs::create_dir_all(&at)?;
            Ok(Watched { program: program.clone(), port, at })
        };
        let [own, default, at_once] = ports;
        let (own, default, at_once) = (place("own", own)?, place("default", default)?, place("at-once", at_once)?);
        let host = HostId::new("lab-private")?;
        let target = TargetRef::new(host.clone(), TargetName::new("unit")?);
        let config = at.join("agent.toml");
        fs::write(&config, agent_toml(lab, &host, &at.join("state")))?;
        let token = at.join("token");
        fs::write(&token, format!("PRUNELLA_JOIN_TOKEN={}\n", lab.fleet.join_token(&host).await?))?;
        let agent = format!(
            "[Service]\nEnvironmentFile={}\nExecStart={} agent --config {}\nStandardError=append:{}\n",
            token.display(),
            program.display(),
            config.display(),
            at.join("agent.log").display()
        );
        let units = [
            ("own.service", format!("[Service]\n{}", exec(&own))),
            ("default.service", format!("[Service]\nRestart=always\n{}", exec(&default))),
            ("at-once.service", format!("[Service]\nRestart=always\nRestartSec=0\n{}", exec(&at_once))),
            ("agent.service", agent),
        ];
        let alone = |(name, text): (&str, String)| {
            (name.to_owned(), format!("[Unit]\nDefaultDependencies=no\nAfter=dbus.service\n{text}"))
        };
        let host = PrivateHost::boot(at, &units.map(alone))?;
        let service = Service {
            target,
            address: (std::net::Ipv4Addr::LOCALHOST, own.port).into(),
            births: own.births(),
            data: own.at.join("data"),
        };
        let service = match wait_until_up(lab, &service, at, &host).await {
            Ok(()) => Ok(service),
            Err(why) => Err(format!("{why:#}")),
        };
        Ok(Self { service, peers: [default, at_once], version, _host: host })
    }
}

fn exec(watched: &Watched) -> String {
    format!("ExecStart={}\nStandardOutput=null\n", watched.line())
}

fn agent_toml(lab: &Lab, host: &HostId, state_dir: &Path) -> String {
    let at = lab.fleet.addresses();
    format!(
        "[agent]\nhost = \"{host}\"\nstate_dir = {}\ncontrol = [\"{}\"]\nagents = [\"{}\"]\n\n\
         [limits]\nrepairs_per_hour = 1000000\n\n\
         [[target]]\nname = \"unit\"\nmanager = \"systemd\"\nunit = \"own.service\"\n\
         [target.permit]\nstart_service = {{ per_hour = 1000000 }}\nrestart_service = {{ per_hour = 1000000 }}\n\
         [[target.probe]]\nkind = \"unit\"\n",
        quote(state_dir),
        at.control,
        at.agents
    )
}

async fn wait_until_up(lab: &mut Lab, service: &Service, at: &Path, host: &PrivateHost) -> anyhow::Result<()> {
    let deadline = monotonic() + MEMBER_TIME;
    let name = name_of(&service.target);
    loop {
        let known = lab.records.targets().await.unwrap_or_default();
        let up = |it: &prunella_proto::control::v1::Target| {
            it.name == name && !it.probes.is_empty() && it.probes.iter().all(|it| it.status == "up")
        };
        if known.iter().any(up) {
            return Ok(());
        }
        lab.fleet.must_run()?;
        let agent = fs::read_to_string(at.join("agent.log")).unwrap_or_default();
        let agent = agent.lines().last().unwrap_or("nothing").to_owned();
        anyhow::ensure!(
            monotonic() < deadline,
            "the unit on the private host is not seen up after {MEMBER_TIME:?}; {}; its agent said: {agent}",
            host.last_words()
        );
        tokio::time::sleep(LOOK).await;
    }
}

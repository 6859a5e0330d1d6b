//! What the demonstration supervises: three hosts, one service each, with ports, files and `agent.toml` of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use prunella_model::{HostId, TargetName, TargetRef};
use prunella_server::Addresses;

use crate::chain::{RECOVERY_MARKER, Role};

/// How many bytes the cache of a service may take: 90 % of it are reached quickly, and it is no burden for any disk.
pub const QUOTA_MIB: usize = 16;

/// One service of the chain: where it is and what belongs to it.
#[derive(Debug, Clone)]
pub struct Place {
    /// Which service.
    pub role: Role,
    /// Its target.
    pub target: TargetRef,
    /// Where it listens.
    pub address: SocketAddr,
    /// The register of its runs; see [`crate::chain::Birth`].
    pub births: PathBuf,
    /// Where it writes cached files.
    pub cache: PathBuf,
    /// Its `agent.toml`.
    pub config: PathBuf,
    /// Its agent's state.
    pub state_dir: PathBuf,
}

/// The whole chain on one machine.
#[derive(Debug, Clone)]
pub struct Site {
    /// Everything of the services lies in here.
    root: PathBuf,
    /// From the user's end: web, api, db.
    places: [Place; 3],
}

impl Site {
    /// Chooses free ports and writes all files. `fleet` is the fleet directory, `addresses` the server's.
    ///
    /// # Errors
    /// When a file cannot be written, or no port is free.
    pub fn prepare(fleet: &Path, addresses: &Addresses) -> anyhow::Result<Self> {
        let root = fleet.join("chain");
        for part in ["births", "data", "cache"] {
            let path = root.join(part);
            fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        }
        let ports: [u16; 3] =
            free_ports(3)?.try_into().map_err(|_| anyhow::anyhow!("not as many ports as asked for"))?;
        let place = |role: Role, port| -> anyhow::Result<Place> {
            let name = role.as_str();
            let host = HostId::new(&format!("demo-{name}"))?;
            let home = fleet.join("agents").join(host.as_str());
            fs::create_dir_all(&home).with_context(|| format!("making {}", home.display()))?;
            Ok(Place {
                role,
                target: TargetRef::new(host, TargetName::new(name)?),
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                births: root.join("births").join(name),
                cache: root.join("cache").join(name),
                config: home.join("agent.toml"),
                state_dir: home.join("state"),
            })
        };
        let [web, api, db] = ports;
        let places = [place(Role::Web, web)?, place(Role::Api, api)?, place(Role::Db, db)?];
        let site = Self { root, places };
        for place in &site.places {
            // Runs of an earlier demonstration in this directory are none of this one's.
            let _ = fs::remove_file(&place.births);
            fs::create_dir_all(&place.cache)?;
            site.write(&place.config, &site.agent_toml(place, addresses)?)?;
        }
        site.write(&site.api_config(), &site.good_api_config())?;
        Ok(site)
    }

    /// The places, from the user's end: web, api, db.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The place of a service.
    #[must_use]
    pub fn place(&self, role: Role) -> &Place {
        let [web, api, db] = &self.places;
        match role {
            Role::Web => web,
            Role::Api => api,
            Role::Db => db,
        }
    }

    /// The configuration file of `api`.
    #[must_use]
    pub fn api_config(&self) -> PathBuf {
        self.root.join("api.conf")
    }

    /// What that file should hold.
    #[must_use]
    pub fn good_api_config(&self) -> String {
        format!("# Where api finds its data.\nupstream = {}\n", self.place(Role::Db).address)
    }

    /// The file that makes the next start of `db` slow.
    #[must_use]
    pub fn recovery_marker(&self) -> PathBuf {
        self.root.join("data").join(RECOVERY_MARKER)
    }

    fn write(&self, path: &Path, text: &str) -> anyhow::Result<()> {
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }

    fn agent_toml(&self, place: &Place, addresses: &Addresses) -> anyhow::Result<String> {
        let (name, port) = (place.role.as_str(), place.address.port());
        let program = std::env::current_exe().context("finding this program's own file")?;
        let mut start = vec![program, "chain".into(), name.into(), "--port".into(), port.to_string().into()];
        start.extend(["--births".into(), place.births.clone(), "--cache".into(), place.cache.clone()]);
        let needs = match place.role {
            Role::Web => {
                start.extend(["--upstream".into(), self.place(Role::Api).address.to_string().into()]);
                Some(Role::Api)
            }
            Role::Api => {
                start.extend(["--config".into(), self.api_config()]);
                Some(Role::Db)
            }
            Role::Db => {
                start.extend(["--data".into(), self.root.join("data")]);
                None
            }
        };
        let start: Vec<String> = start.iter().map(|it| quote(it)).collect();
        let depends_on = needs.map_or_else(String::new, |it| format!("depends_on = [\"services/{}\"]\n", it.as_str()));
        let mut text = format!(
            "# What exists on this host, and what may be done to it. Written by `prunella demo`.\n\
             [agent]\n\
             host = \"{host}\"\n\
             state_dir = {state_dir}\n\
             control = [\"{control}\"]\n\
             agents = [\"{agents}\"]\n\
             \n\
             [limits]\n\
             repairs_per_hour = 1000\n\
             \n\
             [[target]]\n\
             name = \"{name}\"\n\
             service = \"{name}\"\n\
             critical = true\n\
             {depends_on}\
             manager = \"command\"\n\
             start = [{start}]\n\
             output = {output}\n\
             stop_with_agent = true\n\
             \n\
             [target.permit]\n\
             start_service = {{ per_hour = 1000 }}\n\
             restart_service = {{ per_hour = 1000 }}\n\
             clean_directory = {{ per_hour = 1000 }}\n\
             restore_file = {{ per_hour = 1000 }}\n\
             \n\
             [[target.probe]]\n\
             kind = \"process\"\n\
             interval = \"250ms\"\n\
             \n\
             [[target.probe]]\n\
             kind = \"http\"\n\
             url = \"http://{address}/healthz\"\n\
             interval = \"200ms\"\n\
             timeout = \"600ms\"\n\
             \n\
             [[target.directory]]\n\
             name = \"cache\"\n\
             path = {cache}\n\
             quota = \"{QUOTA_MIB}MiB\"\n\
             match = [\"*.tmp\"]\n\
             older_than = \"0s\"\n\
             interval = \"500ms\"\n",
            host = place.target.host,
            control = addresses.control,
            agents = addresses.agents,
            state_dir = quote(&place.state_dir),
            start = start.join(", "),
            output = quote(&self.root.join(format!("{name}.log"))),
            address = place.address,
            cache = quote(&place.cache),
        );
        if place.role == Role::Api {
            text.push_str(&format!(
                "\n[[target.file]]\nname = \"config\"\npath = {}\nknown_good_after = \"500ms\"\ninterval = \"1s\"\n",
                quote(&self.api_config())
            ));
        }
        Ok(text)
    }
}

/// A path as a TOML string.
pub(crate) fn quote(path: &Path) -> String {
    toml::Value::String(path.display().to_string()).to_string()
}

/// Ports that are free now. Nobody else on a loopback address asks for a certain one in the next moments.
pub(crate) fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port");
    // All are held until all are known, so that they differ.
    let held: Vec<TcpListener> = (0..count).map(bind).collect::<anyhow::Result<_>>()?;
    held.iter().map(|it| Ok(it.local_addr()?.port())).collect()
}

#[cfg(test)]
mod tests {
    use prunella_agent::config::AgentConfig;

    use super::*;

    #[test]
    fn what_is_written_is_what_an_agent_reads() {
        let dir = tempfile::tempdir().unwrap();
        // A quote in a path must not end a string.
        let odd = dir.path().join("a \"quoted\" place");
        let any = "127.0.0.1:1".parse().unwrap();
        let site = Site::prepare(&odd, &Addresses { control: any, agents: any, http: None }).unwrap();
        for place in site.places() {
            let config = AgentConfig::load(&place.config).unwrap();
            let target = config.target(&place.target.target).unwrap();
            assert_eq!((&config.host, target.directories.len()), (&place.target.host, 1));
            assert_eq!(target.files.len(), usize::from(place.role == Role::Api));
            assert_eq!(target.depends_on.len(), usize::from(place.role != Role::Db));
        }
    }
}

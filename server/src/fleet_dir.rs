//! A fleet directory: everything that one server needs, made in one go.
//!
//! All keys end up in one place, which is convenient and weakens what the keys promise: the server says so in its
//! caveats. Move `keys/root.key` away, and `keys/signer.key` to another machine, to have the promises back.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prunella_identity::{FleetCa, IssueError, OPERATOR_LIFE, Role, SERVER_LIFE};
use prunella_model::policy::Profile;
use prunella_model::step::Risk;
use prunella_model::{FleetName, HostId, OperatorName, Timestamp};
use prunella_seal::{DOCUMENT_SCHEMA, FleetFile, HostScope, Scope, SecretKey, Signer, envelope_to_json};
use zeroize::Zeroizing;

use crate::authority::delegate;
use crate::clock::wall_time;
use crate::config::{Config, ConfigError};
use crate::files::{self, FileError, PUBLIC, SECRET};

/// How long a fleet signer may sign before the root keys must name it again.
const SIGNER_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);

/// How many operators must approve a dangerous repair.
const DANGEROUS_APPROVALS: u32 = 2;

/// How many commands an hour the server may send to one host in a fleet with the standard profile.
const PER_HOUR: u32 = 60;

/// The same with the rapid profile, where a benchmark sends thousands.
const PER_HOUR_RAPID: u32 = 1_000_000;

/// How a new fleet shall be.
#[derive(Debug, Clone)]
pub struct Options {
    /// The profile of its first policy.
    pub profile: Profile,
    /// Where operators and joining hosts connect.
    pub control: SocketAddr,
    /// Where agents connect.
    pub agents: SocketAddr,
    /// DNS names and IP addresses by which the server is reached, beside those it listens on.
    pub names: Vec<String>,
}

impl Default for Options {
    /// The standard profile, on this machine only, on any free ports.
    fn default() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { profile: Profile::Standard, control: any, agents: any, names: Vec::new() }
    }
}

/// Why a fleet directory could not be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum FleetDirError {
    /// There is something already.
    #[error("{} holds a fleet already; use it as it is, or choose another directory", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// There is no fleet.
    #[error("{} holds no fleet: there is no server.toml; `prunella up --dir {}` makes one", path.display(), path.display())]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// A directory cannot be made.
    #[error("cannot make the directory {}", path.display())]
    Make {
        /// The directory.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    Certificate(#[from] IssueError),
    /// The system gave no randomness.
    #[error("the system gave no random bytes")]
    Random(#[from] getrandom::Error),
    /// A constant name is none. It never happens.
    #[error(transparent)]
    Name(#[from] prunella_model::id::BadName),
}

/// A directory with everything that one server needs.
#[derive(Debug, Clone)]
pub struct FleetDir {
    path: PathBuf,
    config: Config,
}

impl FleetDir {
    /// Makes a fleet: keys, authority, certificates, documents, configuration, policy. Never touches an existing one.
    ///
    /// # Errors
    /// [`FleetDirError`]. What was made until then stays, for a look; without `server.toml` it is no fleet.
    pub fn create(path: &Path, fleet: &FleetName, options: &Options) -> Result<Self, FleetDirError> {
        if path.join("server.toml").exists() || path.join("keys").exists() || path.join("tls").exists() {
            return Err(FleetDirError::Exists { path: path.to_owned() });
        }
        for part in ["", "keys", "trust", "tls", "operators", "state", "agents"] {
            let path = path.join(part);
            let mut builder = fs::DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(&path);
            made.map_err(|source| FleetDirError::Make { path, source })?;
        }
        let now = wall_time();
        write_trust(path, fleet, options, now)?;
        write_certificates(path, fleet, options, now)?;
        files::replace(&path.join("policy.toml"), policy_toml(options.profile).as_bytes(), PUBLIC)?;
        // Last: only now is it a fleet.
        files::replace(&path.join("server.toml"), server_toml(fleet, options).as_bytes(), PUBLIC)?;
        Self::open(path)
    }

    /// Opens a fleet that was made before.
    ///
    /// # Errors
    /// [`FleetDirError`].
    pub fn open(path: &Path) -> Result<Self, FleetDirError> {
        let file = path.join("server.toml");
        if !file.exists() {
            return Err(FleetDirError::Missing { path: path.to_owned() });
        }
        let config = Config::load(&file)?;
        Ok(Self { path: path.to_owned(), config })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The server's configuration, with its paths made whole.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The server's configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.path.join("server.toml")
    }

    /// Where the server writes its addresses once it listens.
    #[must_use]
    pub fn addresses_file(&self) -> &Path {
        &self.config.addresses
    }

    /// The directory of one host's agent.
    #[must_use]
    pub fn agent_dir(&self, host: &HostId) -> PathBuf {
        self.path.join("agents").join(host.as_str())
    }

    /// The admin's certificate chain.
    #[must_use]
    pub fn admin_certificate(&self) -> PathBuf {
        self.path.join("operators/admin.pem")
    }

    /// The admin's key.
    #[must_use]
    pub fn admin_key(&self) -> PathBuf {
        self.path.join("operators/admin.key")
    }
}

/// A new signing key in a file that only its owner may read.
pub(crate) fn write_key(path: &Path) -> Result<SecretKey, FleetDirError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut())?;
    let key = SecretKey::from_entropy(&seed);
    let text = Zeroizing::new(format!("{}\n", key.to_text().as_str()));
    files::replace(path, text.as_bytes(), SECRET)?;
    Ok(key)
}

fn write_trust(path: &Path, fleet: &FleetName, options: &Options, now: Timestamp) -> Result<(), FleetDirError> {
    let keys = path.join("keys");
    let root = write_key(&keys.join("root.key"))?;
    let signer = write_key(&keys.join("signer.key"))?;
    let server = write_key(&keys.join("server.key"))?;
    let file = FleetFile {
        schema: DOCUMENT_SCHEMA,
        fleet: fleet.clone(),
        version: 1,
        root_keys: vec![root.public()],
        root_threshold: 1,
        signers: vec![Signer { key: signer.public(), not_after: now.after(SIGNER_LIFE) }],
        approvers: Vec::new(),
        dangerous_approvals: DANGEROUS_APPROVALS,
    };
    let per_hour = match options.profile {
        Profile::Standard => PER_HOUR,
        Profile::Rapid => PER_HOUR_RAPID,
    };
    let scope = Scope { max_risk: Risk::High, hosts: HostScope::All, per_hour, steps: None };
    let delegation = delegate(fleet, 0, server.public(), scope, now);
    let trust = path.join("trust");
    files::replace(&trust.join("fleet.json"), envelope_to_json(&file.sign(&[&root])).as_bytes(), PUBLIC)?;
    files::replace(&trust.join("delegation.json"), envelope_to_json(&delegation.sign(&signer)).as_bytes(), PUBLIC)?;
    Ok(())
}

fn write_certificates(path: &Path, fleet: &FleetName, options: &Options, now: Timestamp) -> Result<(), FleetDirError> {
    let tls = path.join("tls");
    let ca = FleetCa::create(fleet, now)?;
    files::replace(&tls.join("ca.pem"), ca.certificate_pem().as_bytes(), PUBLIC)?;
    files::replace(&tls.join("ca.key"), ca.key_pem().as_bytes(), SECRET)?;
    let names = certificate_names(options);
    let server = ca.issue_server(&HostId::new("server")?, &names, now, SERVER_LIFE)?;
    files::replace(&tls.join("server.pem"), server.issued.chain_pem.as_bytes(), PUBLIC)?;
    files::replace(&tls.join("server.key"), server.key_pem.as_bytes(), SECRET)?;
    let admin = ca.issue_operator(&OperatorName::new("admin")?, Role::Admin, now, OPERATOR_LIFE)?;
    let operators = path.join("operators");
    files::replace(&operators.join("admin.pem"), admin.issued.chain_pem.as_bytes(), PUBLIC)?;
    files::replace(&operators.join("admin.key"), admin.key_pem.as_bytes(), SECRET)?;
    Ok(())
}

/// What the server's certificate must name: where it listens, and what else it is called.
fn certificate_names(options: &Options) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let listened = [options.control, options.agents].map(|it| it.ip());
    names.extend(listened.iter().filter(|it| !it.is_unspecified()).map(ToString::to_string));
    names.extend(options.names.iter().cloned());
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|it| seen.insert(it.clone()));
    names
}

fn server_toml(fleet: &FleetName, options: &Options) -> String {
    let Options { control, agents, .. } = options;
    let names: Vec<String> = certificate_names(options).iter().map(|it| format!("{it:?}")).collect();
    let names = names.join(", ");
    format!(
        "# The central server of the fleet {fleet}. Relative paths are relative to this file.\n\
         fleet = \"{fleet}\"\n\
         state_dir = \"state\"\n\
         \n\
         [listen]\n\
         # Operators and joining hosts. Port 0 takes any free one; addresses.json says which.\n\
         control = \"{control}\"\n\
         # Agents.\n\
         agents = \"{agents}\"\n\
         \n\
         [public]\n\
         # Addresses that join tokens and agents are told; unset means those listened on.\n\
         # control = \"prunella.example.org:7600\"\n\
         # agents = [\"prunella.example.org:7601\"]\n\
         # Names and addresses in the server's certificate.\n\
         names = [{names}]\n\
         \n\
         [keys]\n\
         server = \"keys/server.key\"\n\
         # Renews the server's delegation by itself. Best kept on another machine.\n\
         signer = \"keys/signer.key\"\n"
    )
}

fn policy_toml(profile: Profile) -> String {
    let profile = match profile {
        Profile::Standard => "standard",
        Profile::Rapid => "rapid",
    };
    format!(
        "# The policy that this fleet starts with. A file names only what differs from its profile.\n\
         # Later policies are kept by the server.\n\
         profile = \"{profile}\"\n"
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_new_fleet_is_whole_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fleet");
        let fleet = FleetName::new("demo").unwrap();
        let made = FleetDir::create(&path, &fleet, &Options::default()).unwrap();
        assert_eq!(made.config().fleet, fleet);
        for secret in [
            "keys/root.key",
            "keys/signer.key",
            "keys/server.key",
            "tls/ca.key",
            "tls/server.key",
            "operators/admin.key",
        ] {
            let mode = fs::metadata(path.join(secret)).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, SECRET, "{secret}");
        }
        assert!(crate::policy::parse("p", &fs::read_to_string(path.join("policy.toml")).unwrap()).is_ok());
        let before = fs::read(path.join("keys/root.key")).unwrap();
        let again = FleetDir::create(&path, &fleet, &Options::default());
        assert!(matches!(again, Err(FleetDirError::Exists { .. })));
        assert_eq!(fs::read(path.join("keys/root.key")).unwrap(), before);
        assert!(matches!(FleetDir::open(dir.path()), Err(FleetDirError::Missing { .. })));
    }
}

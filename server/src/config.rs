//! `server.toml`: typed, checked whole before a port opens.

pub mod keys;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prunella_model::FleetName;
use prunella_settings::{Located, Source, Spanned, environment};
use serde::Deserialize;

use crate::notify::config::Notify;
use crate::traces::Traces;

use crate::files::{self, FileError};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something in it is wrong.
    #[error(transparent)]
    Wrong(#[from] Located),
}

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The fleet's name.
    pub fleet: FleetName,
    /// Where everything is kept that must outlive the process.
    #[serde(default = "default_state_dir")]
    pub state_dir: PathBuf,
    /// The policy that a new fleet starts with. Later ones are the store's.
    #[serde(default = "default_policy")]
    pub policy: PathBuf,
    /// Where the two addresses are written once they are listened on.
    #[serde(default = "default_addresses")]
    pub addresses: PathBuf,
    /// Where to listen.
    pub listen: Listen,
    /// Under which addresses others reach this server.
    #[serde(default)]
    pub public: Public,
    /// Certificates.
    #[serde(default)]
    pub tls: Tls,
    /// Keys for signing.
    #[serde(default)]
    pub keys: Keys,
    /// Documents of authority.
    #[serde(default)]
    pub trust: TrustFiles,
    /// Exports of the store.
    #[serde(default)]
    pub export: Export,
    /// Who is told of incidents.
    #[serde(default)]
    pub notify: Notify,
    /// Where the traces of incidents go.
    #[serde(default)]
    pub traces: Traces,
}

/// Where to listen. Port 0 takes any free one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// For operators and joining hosts.
    pub control: SocketAddr,
    /// For agents.
    pub agents: SocketAddr,
    /// For browsers and programs that speak JSON.
    #[serde(default)]
    pub http: HttpListen,
}

/// Where browsers and programs that speak JSON connect: an address, or `off`. Beyond loopback it is served with the
/// server's certificate only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum HttpListen {
    /// [`HttpListen::USUAL`], or any free port when that one is taken.
    #[default]
    Usual,
    /// Here.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

impl HttpListen {
    /// Where it is unless somebody says otherwise.
    pub const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8009);
}

impl std::str::FromStr for HttpListen {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            _ => text.parse().map(Self::At).map_err(|_| {
                format!("{text:?} is neither an address with a port, such as 127.0.0.1:8009, nor \"off\"")
            }),
        }
    }
}

impl TryFrom<String> for HttpListen {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::fmt::Display for HttpListen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usual => Self::USUAL.fmt(f),
            Self::At(address) => address.fmt(f),
            Self::Off => f.write_str("off"),
        }
    }
}

/// Under which addresses others reach this server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Public {
    /// Host and port of the control listener, for join tokens; unset means the address listened on.
    pub control: Option<String>,
    /// Hosts and ports at which agents connect, in the order in which to try them; empty means the address listened on.
    pub agents: Vec<String>,
    /// DNS names and IP addresses in the server's certificate; empty means those in `control` and `agents`.
    pub names: Vec<String>,
}

/// Certificates.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The fleet's authority.
    pub authority: PathBuf,
    /// Its key.
    pub authority_key: PathBuf,
    /// The server's certificate chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Keys for signing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// The server's key, which signs deliveries.
    pub server: PathBuf,
    /// The fleet signer's key, if this machine shall renew the delegation by itself; best kept elsewhere.
    pub signer: Option<PathBuf>,
}

/// Documents of authority.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrustFiles {
    /// The fleet file, signed by the root keys.
    pub fleet: PathBuf,
    /// The delegation, signed by a fleet signer.
    pub delegation: PathBuf,
}

/// Exports of the store.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Export {
    /// How often the store is exported.
    #[serde(with = "prunella_model::time::span")]
    pub every: Duration,
}

fn default_state_dir() -> PathBuf {
    "state".into()
}

fn default_policy() -> PathBuf {
    "policy.toml".into()
}

fn default_addresses() -> PathBuf {
    "addresses.json".into()
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            authority: "tls/ca.pem".into(),
            authority_key: "tls/ca.key".into(),
            certificate: "tls/server.pem".into(),
            key: "tls/server.key".into(),
        }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self { server: "keys/server.key".into(), signer: None }
    }
}

impl Default for TrustFiles {
    fn default() -> Self {
        Self { fleet: "trust/fleet.json".into(), delegation: "trust/delegation.json".into() }
    }
}

impl Default for Export {
    fn default() -> Self {
        Self { every: Duration::from_secs(600) }
    }
}

impl Config {
    /// Reads a file, with what the environment says over it. Relative paths are relative to the file's directory.
    ///
    /// # Errors
    /// [`ConfigError`]: what is wrong, where, and what to write instead.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = files::read_text(path)?;
        let name = path.display().to_string();
        let base = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Self::read(&name, &text, files::environment())?.under(base))
    }

    /// Reads a text with nothing over it. Paths stay as they are.
    ///
    /// # Errors
    /// [`Located`].
    pub fn parse(file: &str, text: &str) -> Result<Self, Located> {
        Self::check(&Source::new(file, text))
    }

    /// Reads a text with the variables over it that begin with [`keys::PREFIX`]. Paths stay as they are.
    ///
    /// # Errors
    /// [`Located`]; its file is the variable when one is wrong.
    pub fn read(
        file: &str,
        text: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Located> {
        let merged = environment::merge(text, keys::KEYS, keys::PREFIX, variables)?;
        Self::check(&Source::merged(file, text, &merged))
    }

    fn check(source: &Source<'_>) -> Result<Self, Located> {
        #[derive(Deserialize)]
        struct Places {
            notify: Option<Spanned<toml::Value>>,
            traces: Option<Spanned<toml::Value>>,
            export: Option<ExportPlaces>,
            listen: Spanned<toml::Value>,
        }
        #[derive(Deserialize)]
        struct ExportPlaces {
            every: Option<Spanned<toml::Value>>,
        }
        let config: Self = source.read()?;
        let places: Places = source.read()?;
        if config.export.every < Duration::from_secs(1) {
            let span = places.export.and_then(|it| it.every).map_or(0..0, |it| it.span());
            return Err(source.at(span, "an export at most every second; write for example \"10m\""));
        }
        if let Err(wrong) = config.notify.check() {
            return Err(source.at(places.notify.map_or(0..0, |it| it.span()), &wrong));
        }
        if let Err(wrong) = config.traces.check() {
            return Err(source.at(places.traces.map_or(0..0, |it| it.span()), wrong));
        }
        let Listen { control, agents, http: _ } = config.listen;
        if control == agents && control.port() != 0 {
            return Err(source.at(places.listen.span(), "control and agents must be two different addresses"));
        }
        Ok(config)
    }

    /// The same with relative paths made to start from `base`.
    #[must_use]
    pub fn under(mut self, base: &Path) -> Self {
        let paths = [
            &mut self.state_dir,
            &mut self.policy,
            &mut self.addresses,
            &mut self.tls.authority,
            &mut self.tls.authority_key,
            &mut self.tls.certificate,
            &mut self.tls.key,
            &mut self.keys.server,
            &mut self.trust.fleet,
            &mut self.trust.delegation,
        ];
        let secrets = self.notify.receiver.iter_mut().filter_map(|it| it.secret_file.as_mut());
        for path in paths.into_iter().chain(self.keys.signer.as_mut()).chain(secrets) {
            // Joining an absolute path yields that path.
            *path = base.join(&*path);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "fleet = \"f\"\n[listen]\ncontrol = \"127.0.0.1:0\"\nagents = \"127.0.0.1:0\"\n";

    #[test]
    fn the_least_configuration_has_the_usual_places() {
        let config = Config::parse("server.toml", LEAST).unwrap().under(Path::new("/etc/f"));
        assert_eq!(config.state_dir, Path::new("/etc/f/state"));
        assert_eq!(config.keys.server, Path::new("/etc/f/keys/server.key"));
        assert_eq!(config.keys.signer, None);
    }

    #[test]
    fn the_door_for_browsers_can_be_moved_and_closed() {
        let http = |line: &str| Config::parse("server.toml", &format!("{LEAST}{line}\n")).map(|it| it.listen.http);
        assert_eq!(http("").unwrap(), HttpListen::Usual);
        assert_eq!(http("http = \"off\"").unwrap(), HttpListen::Off);
        assert_eq!(http("http = \"[::1]:80\"").unwrap(), HttpListen::At("[::1]:80".parse().unwrap()));
        let error = http("http = \"8009\"").unwrap_err().to_string();
        assert!(error.starts_with("server.toml:5:8: ") && error.contains("127.0.0.1:8009"), "{error}");
    }

    #[test]
    fn errors_point_at_their_place() {
        let error = |text: &str| Config::parse("server.toml", text).unwrap_err().to_string();
        let typo = format!("{LEAST}contrl = \"127.0.0.1:0\"\n");
        assert_eq!(error(&typo), "server.toml:5:1: unknown key \"contrl\" in [listen]; did you mean \"control\"?");
        assert!(error("fleet = \"F\"\n").starts_with("server.toml:1:9: "), "{}", error("fleet = \"F\"\n"));
        let same = "fleet = \"f\"\n[listen]\ncontrol = \"127.0.0.1:7\"\nagents = \"127.0.0.1:7\"\n";
        assert!(error(same).contains("two different addresses"));
        assert!(error(&format!("{LEAST}[export]\nevery = \"0s\"\n")).starts_with("server.toml:6:9: "));
        let traces = error(&format!("{LEAST}[traces]\nendpoint = \"collector:4318\"\n"));
        assert!(traces.contains("\"collector:4318\" is no address of a collector"), "{traces}");
    }
}

//! Contexts: fleets that an operator works with, by name, in `~/.config/prunella/contexts.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use prunella_model::FleetName;
use prunella_settings::Source;
use serde::{Deserialize, Serialize};

use crate::Common;
use crate::client::{Connection, Failure};
use crate::names::advice;

/// Who else may look at or write a file.
const OTHERS: u32 = 0o077;

/// All contexts of one person.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Contexts {
    /// The one that commands use when nothing else is said.
    pub current: Option<String>,
    /// Each by its name.
    pub context: BTreeMap<String, Context>,
}

/// One fleet, and as whom.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Context {
    /// Its fleet directory, when it is on this machine.
    pub dir: Option<PathBuf>,
    /// The server's control address.
    pub server: Option<String>,
    /// The certificate of the fleet's authority.
    pub ca: Option<PathBuf>,
    /// An operator's certificate.
    pub cert: Option<PathBuf>,
    /// The key of that certificate.
    pub key: Option<PathBuf>,
    /// An operator's bearer token.
    pub token: Option<String>,
    /// The fleet's name, when the authority's certificate does not tell.
    pub fleet: Option<FleetName>,
}

impl Context {
    /// What a command line says, with paths that hold from everywhere.
    ///
    /// # Errors
    /// When there is no current directory.
    pub fn of(common: &Common, args: &Connection) -> anyhow::Result<Self> {
        let whole = |path: &Option<PathBuf>| path.as_ref().map(std::path::absolute).transpose();
        Ok(Self {
            dir: whole(&common.dir)?,
            server: args.server.clone(),
            ca: whole(&args.ca)?,
            cert: whole(&args.cert)?,
            key: whole(&args.key)?,
            token: args.token.clone(),
            fleet: args.fleet.clone(),
        })
    }

    /// Puts what the command line leaves open into it; what it says stays.
    fn complete(&self, mut args: Connection) -> (Option<PathBuf>, Connection) {
        // Whoever says who asks means nobody else.
        let asker_said = args.token.is_some() || args.cert.is_some();
        if !asker_said {
            (args.token, args.cert, args.key) = (self.token.clone(), self.cert.clone(), self.key.clone());
        }
        let dir = self.dir.clone().filter(|_| args.server.is_none());
        (
            dir,
            Connection {
                server: args.server.or_else(|| self.server.clone()),
                ca: args.ca.or_else(|| self.ca.clone()),
                fleet: args.fleet.or_else(|| self.fleet.clone()),
                ..args
            },
        )
    }
}

impl Contexts {
    /// Reads the file at `path`; none yet is none at all.
    ///
    /// # Errors
    /// When it cannot be read, is wrong, or holds a token that others may read.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let name = path.display().to_string();
        let all: Self = Source::new(&name, &text).read()?;
        let mode = fs::metadata(path).with_context(|| format!("looking at {name}"))?.permissions().mode();
        let secret = all.context.values().any(|it| it.token.is_some());
        anyhow::ensure!(!secret || mode & OTHERS == 0, "{name} holds a token and others may read it: chmod 600 {name}");
        Ok(all)
    }

    /// Writes it whole, for its owner alone.
    ///
    /// # Errors
    /// When the directory or the file cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let writing = || format!("writing {}", path.display());
        let dir = path.parent().with_context(writing)?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(writing)?;
        let draft = dir.join(format!(".contexts-{}", std::process::id()));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .with_context(writing)?;
        file.write_all(toml::to_string(self)?.as_bytes()).with_context(writing)?;
        file.sync_all().with_context(writing)?;
        fs::rename(&draft, path).with_context(writing)
    }

    /// The context of a name.
    ///
    /// # Errors
    /// [`Failure::NotFound`] with the nearest one.
    pub fn named(&self, name: &str) -> Result<&Context, Failure> {
        let known: Vec<String> = self.context.keys().cloned().collect();
        let none = || Failure::NotFound(format!("there is no context {name}{}", advice(name, &known)));
        self.context.get(name).ok_or_else(none)
    }
}

/// Where contexts are kept: `prunella/contexts.toml` in `$XDG_CONFIG_HOME`, or in `~/.config`.
#[must_use]
pub fn file() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    // A relative one must be ignored, says the XDG Base Directory Specification.
    let base = set("XDG_CONFIG_HOME").filter(|it| it.is_absolute()).or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(base.join("prunella/contexts.toml"))
}

/// Which fleet and as whom: what the command line says goes before the context that it names, and that before the
/// current one. A fleet directory goes before all of them.
///
/// # Errors
/// When the context does not exist, or the file cannot be used.
pub fn resolve(common: &Common, args: &Connection) -> Result<(Option<PathBuf>, Connection), Failure> {
    resolve_in(file().as_deref(), common, args)
}

fn resolve_in(
    file: Option<&Path>,
    common: &Common,
    args: &Connection,
) -> Result<(Option<PathBuf>, Connection), Failure> {
    if common.dir.is_some() {
        return Ok((common.dir.clone(), args.clone()));
    }
    let all = |file: Option<&Path>| file.map(Contexts::read).transpose().map(Option::unwrap_or_default);
    match &common.context {
        Some(name) => Ok(all(file)?.named(name)?.complete(args.clone())),
        None if args.server.is_some() => Ok((None, args.clone())),
        None => {
            let all = all(file)?;
            match &all.current {
                Some(name) => Ok(all.named(name)?.complete(args.clone())),
                None => Ok((None, args.clone())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Contexts {
        let lab = Context { dir: Some("/srv/lab".into()), ..Context::default() };
        let prod = Context {
            server: Some("cp.example:7443".to_owned()),
            ca: Some("/etc/prunella/ca.pem".into()),
            token: Some("secret".to_owned()),
            ..Context::default()
        };
        Contexts {
            current: Some("lab".to_owned()),
            context: [("lab".to_owned(), lab), ("prod".to_owned(), prod)].into(),
        }
    }

    fn common(dir: Option<&str>, context: Option<&str>) -> Common {
        Common { dir: dir.map(Into::into), context: context.map(str::to_owned), output: crate::Output::Table }
    }

    #[test]
    fn what_is_said_goes_before_what_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("prunella/contexts.toml");
        all().write(&file).unwrap();
        let find = |common: &Common, args: &Connection| resolve_in(Some(&file), common, args).unwrap();
        let open = Connection::default();
        assert_eq!(find(&common(None, None), &open).0, Some("/srv/lab".into()));
        assert_eq!(find(&common(Some("/other"), Some("prod")), &open).0, Some("/other".into()));
        let (dir, args) = find(&common(None, Some("prod")), &open);
        assert_eq!(
            (dir, args.server.as_deref(), args.token.as_deref()),
            (None, Some("cp.example:7443"), Some("secret"))
        );
        let own = Connection { token: Some("mine".to_owned()), ..Connection::default() };
        assert_eq!(find(&common(None, Some("prod")), &own).1.token.as_deref(), Some("mine"));
        let own = Connection { cert: Some("c".into()), key: Some("k".into()), ..Connection::default() };
        assert_eq!(find(&common(None, Some("prod")), &own).1.token, None);
        // An address alone does not borrow the credentials of some other fleet.
        let server = Connection { server: Some("127.0.0.1:1".to_owned()), ..Connection::default() };
        let (dir, args) = find(&common(None, None), &server);
        assert_eq!((dir, args.token), (None, None));
    }

    #[test]
    fn a_context_that_does_not_exist_gets_the_nearest_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("contexts.toml");
        all().write(&file).unwrap();
        let failure = resolve_in(Some(&file), &common(None, Some("prdo")), &Connection::default()).unwrap_err();
        assert_eq!(failure.to_string(), "there is no context prdo; did you mean prod?");
    }

    #[test]
    fn the_file_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("prunella/contexts.toml");
        all().write(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Contexts::read(&file).unwrap(), all());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Contexts::read(&file).unwrap_err().to_string().contains("chmod 600"));
        assert_eq!(Contexts::read(&dir.path().join("none")).unwrap(), Contexts::default());
    }
}

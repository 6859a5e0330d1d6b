//! `prunella backup` and `prunella restore`: everything that one server is, as one file.

mod archive;
mod places;

use std::fs;
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Args;
use prunella_proto::control::v1 as pb;
use prunella_server::config::Config;
use prunella_server::fleet_dir::FleetDir;
use prunella_server::store::{SledStore, Store as _, export, sled};
use serde::Serialize;

use self::archive::{Content, Manifest};
use self::places::{Place, STORE};
use crate::client::{Client, Connection, Failure};
use crate::output::count;
use crate::{Common, EXIT_OK, block_on, output};

/// The largest `server.toml` that is read from a backup, in bytes.
const CONFIG_MAX: u64 = 4 * 1024 * 1024;

const BACKUP: &str = "\
Examples:
  prunella --dir ./fleet backup fleet.backup               the state, without private keys
  prunella --dir ./fleet backup fleet.backup --with-keys   everything that a new machine needs; keep it as safe as the keys

Run it on the server's machine. A running server writes an export of its store for it, as of now; one that is down must not be
started meanwhile. Nothing is replaced: an existing FILE is an error. It is read again and checked at the end.
Exit codes: 0 it went well, 1 it did not, 2 the command line is wrong.
JSON: {file, fleet, made, files, bytes, missing}.";

const RESTORE: &str = "\
Examples:
  prunella restore fleet.backup --verify           check every byte, write nothing
  prunella --dir ./fleet-2 restore fleet.backup    make a fleet directory of it

Nothing is replaced: whatever is there already is an error, before anything is written. Private keys that the backup does not
hold must be put to their places before the server is started. Never let the old server run beside the new one.
Exit codes: 0 it went well, 1 it did not, 2 the command line is wrong.
JSON: {file, fleet, made, files, bytes, missing}.";

/// Arguments of `prunella backup`.
#[derive(Debug, Args)]
#[command(after_help = BACKUP)]
pub struct BackupArgs {
    /// The file that is made.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Private keys, too.
    #[arg(long)]
    with_keys: bool,
}

/// Arguments of `prunella restore`.
#[derive(Debug, Args)]
#[command(after_help = RESTORE)]
pub struct RestoreArgs {
    /// The backup.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only check it.
    #[arg(long)]
    verify: bool,
}

#[derive(Debug, Serialize)]
struct View {
    file: PathBuf,
    fleet: String,
    made: String,
    files: usize,
    bytes: u64,
    missing: Vec<String>,
}

impl View {
    fn of(file: &Path, it: &Manifest) -> Self {
        Self {
            file: file.to_owned(),
            fleet: it.fleet.clone(),
            made: it.made.clone(),
            files: it.files.len(),
            bytes: it.files.values().map(|it| it.bytes).sum(),
            missing: it.missing.clone(),
        }
    }

    fn print(&self, common: &Common, done: &str) -> anyhow::Result<()> {
        let text = match common.format(false) {
            Some(format) => format.document(self)?,
            None => {
                let files = count(self.files as u64, "file", "files");
                let mut text =
                    format!("{done}: fleet {}, {files}, {} bytes, made {}\n", self.fleet, self.bytes, self.made);
                for it in &self.missing {
                    text += &format!("  not in it: {it}\n");
                }
                text
            }
        };
        output::print(&text)?;
        Ok(())
    }
}

impl BackupArgs {
    /// Makes a backup.
    ///
    /// # Errors
    /// When something of the fleet cannot be read, or the file cannot be made.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let dir = common.dir.as_ref().context("say which fleet: --dir DIR")?;
        ensure!(!self.file.exists(), "{} is there already; nothing is replaced", self.file.display());
        let fleet = FleetDir::open(dir)?;
        // First the store: the logs may only be longer than it remembers, never shorter.
        let store = block_on(export_of(common, &fleet))?;
        let (mut contents, mut missing) = (Vec::new(), Vec::new());
        let wanted = places::of(dir, fleet.config());
        for Place { name, path, secret, about } in wanted {
            match fs::metadata(&path) {
                Ok(found) if !secret || self.with_keys => {
                    contents.push(Content { name, path, secret, bytes: found.len() })
                }
                Ok(_) => missing.push(format!("{about} ({}); --with-keys adds it", path.display())),
                Err(_) => {}
            }
        }
        let bytes = fs::metadata(&store).with_context(|| format!("reading {}", store.display()))?.len();
        contents.push(Content { name: STORE.to_owned(), path: store, secret: false, bytes });
        contents.extend(places::state(&fleet.config().state_dir)?);
        missing.extend(places::never(fleet.config()));
        let manifest = Manifest {
            prunella_backup: archive::VERSION,
            fleet: fleet.config().fleet.to_string(),
            made: jiff::Timestamp::now().to_string(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            files: std::collections::BTreeMap::new(),
            missing,
        };
        archive::write(&self.file, manifest, &contents)?;
        let manifest = archive::read(&self.file, |_, _, _| Ok(())).context("reading the new backup again")?;
        View::of(&self.file, &manifest).print(common, &format!("{} is made", self.file.display()))?;
        Ok(ExitCode::from(EXIT_OK))
    }
}

/// An export of the store as it is now: made by the server, or, when none runs, from the store itself.
async fn export_of(common: &Common, fleet: &FleetDir) -> anyhow::Result<PathBuf> {
    let asked = match Client::connect(common, &Connection::default()).await {
        Ok(client) => Some(client.admin().export_store(pb::ExportStoreRequest {}).await),
        Err(Failure::Unreachable(_)) => None,
        Err(failure) => return Err(anyhow::anyhow!("asking the server for an export: {failure}")),
    };
    match asked {
        Some(answer) => {
            let answer = answer
                .map_err(|status| anyhow::anyhow!("asking the server for an export: {}", Failure::from(status)))?;
            let path = PathBuf::from(answer.into_inner().path);
            ensure!(path.exists(), "{} is not on this machine; run this on the server's", path.display());
            Ok(path)
        }
        None => {
            let state = fleet.config().state_dir.clone();
            ensure!(SledStore::is_in(&state), "there is no store in {}", state.display());
            let store = SledStore::open(&state)?;
            let exported = store.export().await?;
            Ok(export::write(&state.join("export"), &exported)?)
        }
    }
}

impl RestoreArgs {
    /// Checks a backup, or makes a fleet directory of it.
    ///
    /// # Errors
    /// When it is damaged, when something is there already, or when something cannot be written.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let mut config = String::new();
        let manifest = archive::read(&self.file, |_, name, content| {
            if name == places::CONFIG {
                content.take(CONFIG_MAX).read_to_string(&mut config)?;
            }
            Ok(())
        })?;
        if self.verify {
            View::of(&self.file, &manifest).print(common, &format!("{} is intact", self.file.display()))?;
            return Ok(ExitCode::from(EXIT_OK));
        }
        let dir = common.dir.as_ref().context("say where the fleet shall be: --dir DIR")?;
        let read = Config::read(places::CONFIG, &config, prunella_server::files::environment());
        let settings = read.context("reading server.toml of the backup")?.under(dir);
        refuse_what_is_there(dir, &settings, &manifest)?;
        self.unpack(dir, &settings)?;
        let store = settings.state_dir.join(STORE);
        sled::import(&settings.state_dir, &store).context("making the store")?;
        drop(fs::remove_file(&store));
        // Last: only now is it a fleet.
        put(&dir.join(places::CONFIG), false, &mut config.as_bytes())?;
        View::of(&self.file, &manifest).print(common, &format!("{} is restored", dir.display()))?;
        Ok(ExitCode::from(EXIT_OK))
    }

    fn unpack(&self, dir: &Path, settings: &Config) -> anyhow::Result<()> {
        let known = places::of(dir, settings);
        archive::read(&self.file, |manifest, name, content| {
            let secret = manifest.files.get(name).is_some_and(|it| it.secret);
            match place(&known, settings, name) {
                Some(path) if name != places::CONFIG => put(&path, secret, content),
                Some(_) => Ok(()),
                None => anyhow::bail!("the backup holds {name}, which has no place in its own server.toml"),
            }
        })
        .map(drop)
    }
}

/// Where a file of a backup belongs.
fn place(known: &[Place], settings: &Config, name: &str) -> Option<PathBuf> {
    if name == STORE {
        return Some(settings.state_dir.join(STORE));
    }
    if let Some(rest) = name.strip_prefix(places::STATE) {
        return Some(settings.state_dir.join(rest));
    }
    known.iter().find(|it| it.name == name).map(|it| it.path.clone())
}

fn refuse_what_is_there(dir: &Path, settings: &Config, manifest: &Manifest) -> anyhow::Result<()> {
    let known = places::of(dir, settings);
    let taken = manifest.files.keys().filter_map(|name| place(&known, settings, name)).find(|path| path.exists());
    let store = SledStore::is_in(&settings.state_dir).then(|| settings.state_dir.join("store"));
    match taken.or(store) {
        Some(path) => anyhow::bail!("{} is there already; nothing is replaced: choose another --dir", path.display()),
        None => Ok(()),
    }
}

fn put(path: &Path, secret: bool, content: &mut dyn Read) -> anyhow::Result<()> {
    let writing = || format!("writing {}", path.display());
    let parent = path.parent().with_context(writing)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).with_context(writing)?;
    let mode = if secret { 0o600 } else { 0o644 };
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).with_context(writing)?;
    std::io::copy(content, &mut file).with_context(writing)?;
    file.sync_all().with_context(writing)
}

#[cfg(test)]
mod tests;

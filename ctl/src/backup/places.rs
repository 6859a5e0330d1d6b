//! What of a fleet directory is in a backup, by what it is, not by where it happens to be.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use prunella_server::config::Config;

use super::archive::Content;

/// The export of the store.
pub(super) const STORE: &str = "store.jsonl";

/// The server's configuration.
pub(super) const CONFIG: &str = "server.toml";

/// What the names of files in the state directory begin with.
pub(super) const STATE: &str = "state/";

/// Parts of the state directory that are only ever added to.
const LOGS: &[&str] = &["audit", "history", "events"];

/// One file with a role.
#[derive(Debug)]
pub(super) struct Place {
    /// Its name in a backup.
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Whether it is a private key.
    pub(super) secret: bool,
    /// What it is, for a person.
    pub(super) about: &'static str,
}

/// Every file with a role, whether it is there or not.
pub(super) fn of(dir: &Path, it: &Config) -> Vec<Place> {
    let place = |name: &str, path: PathBuf, secret, about| Place { name: name.to_owned(), path, secret, about };
    let mut all = vec![
        place(CONFIG, dir.join(CONFIG), false, "the server's configuration"),
        place("policy.toml", it.policy.clone(), false, "the policy that a new fleet starts with"),
        place("tls/authority.pem", it.tls.authority.clone(), false, "the fleet's authority"),
        place("tls/authority.key", it.tls.authority_key.clone(), true, "the key of the fleet's authority"),
        place("tls/server.pem", it.tls.certificate.clone(), false, "the server's certificate"),
        place("tls/server.key", it.tls.key.clone(), true, "the key of the server's certificate"),
        place(
            "tls/fleet-begun",
            it.tls.certificate.with_file_name("fleet-begun"),
            false,
            "the note that there was a fleet",
        ),
        place("keys/server.key", it.keys.server.clone(), true, "the key that signs deliveries"),
        place("trust/fleet.json", it.trust.fleet.clone(), false, "the fleet file"),
        place("trust/delegation.json", it.trust.delegation.clone(), false, "the delegation"),
        place("operators/admin.pem", dir.join("operators/admin.pem"), false, "the admin's certificate"),
        place("operators/admin.key", dir.join("operators/admin.key"), true, "the admin's key"),
    ];
    let signer = it.keys.signer.clone();
    all.extend(signer.map(|path| place("keys/signer.key", path, true, "the fleet signer's key")));
    all
}

/// What no backup holds, for a person.
pub(super) fn never(it: &Config) -> Vec<String> {
    let secrets = it.notify.receiver.iter().filter_map(|it| it.secret_file.as_ref());
    let secrets = secrets.map(|path| format!("the secret of a receiver ({})", path.display()));
    let always = [
        "root keys, wherever you keep them",
        "the journal, which only `prunella replay` needs",
        "what agents keep on their own hosts",
    ];
    secrets.chain(always.map(str::to_owned)).collect()
}

/// The logs of a state directory, each as long as it is now.
pub(super) fn state(dir: &Path) -> anyhow::Result<Vec<Content>> {
    let mut found = Vec::new();
    for log in LOGS {
        let path = dir.join(log);
        if path.is_dir() {
            walk(&path, &format!("{STATE}{log}"), &mut found)?;
        }
    }
    Ok(found)
}

fn walk(dir: &Path, name: &str, found: &mut Vec<Content>) -> anyhow::Result<()> {
    let listing = || format!("listing {}", dir.display());
    let mut entries = fs::read_dir(dir).with_context(listing)?.collect::<Result<Vec<_>, _>>().with_context(listing)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().with_context(listing)?);
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if kind.is_dir() {
            walk(&path, &name, found)?;
        } else if kind.is_file() {
            let bytes = entry.metadata().with_context(listing)?.len();
            found.push(Content { name, path, secret: false, bytes });
        }
    }
    Ok(())
}

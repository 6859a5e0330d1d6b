//! One file with everything that a backup holds: a compressed tar whose first entry says what the others are.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The format that this program writes. It refuses newer ones.
pub(super) const VERSION: u32 = 1;

/// The entry that says what the others are.
const MANIFEST: &str = "manifest.json";

/// The largest manifest that is read, in bytes.
const MANIFEST_MAX: u64 = 16 * 1024 * 1024;

/// What a backup is, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// The format.
    pub(super) prunella_backup: u32,
    /// Whose it is.
    pub(super) fleet: String,
    /// When it was made, in RFC 3339, by the clock of the machine that made it.
    pub(super) made: String,
    /// The program that made it.
    pub(super) program: String,
    /// Each file by its name in the backup.
    pub(super) files: BTreeMap<String, Entry>,
    /// What a new server needs and this backup does not hold.
    pub(super) missing: Vec<String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// How long it is.
    pub(super) bytes: u64,
    /// SHA-256 of its content, in hexadecimal.
    pub(super) sha256: String,
    /// Whether only its owner may read it.
    pub(super) secret: bool,
}

/// A file for a backup: its name there, its content as it was read, and whether it is secret.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) secret: bool,
    /// So much of it; what is appended meanwhile is not in the backup.
    pub(super) bytes: u64,
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads `bytes` of a file, in pieces, and hands each on.
fn copy(from: &Path, bytes: u64, mut to: impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let reading = || format!("reading {}", from.display());
    let mut file = File::open(from).with_context(reading)?.take(bytes);
    let (mut piece, mut left) = (vec![0; 64 * 1024], bytes);
    while left > 0 {
        let read = file.read(&mut piece).with_context(reading)?;
        ensure!(read > 0, "{} became shorter while it was copied", from.display());
        to(piece.get(..read).unwrap_or_default())?;
        left = left.saturating_sub(read as u64);
    }
    Ok(())
}

/// Writes a backup. The file gets its name only once it is whole and on disk; one that is there is never replaced.
pub(super) fn write(file: &Path, mut manifest: Manifest, contents: &[Content]) -> anyhow::Result<Manifest> {
    for it in contents {
        let mut digest = Sha256::new();
        copy(&it.path, it.bytes, |piece| {
            digest.update(piece);
            Ok(())
        })?;
        let entry = Entry { bytes: it.bytes, sha256: hex(&digest.finalize()), secret: it.secret };
        manifest.files.insert(it.name.clone(), entry);
    }
    let draft = file.with_extension(format!("draft-{}", std::process::id()));
    let written = fill(&draft, &manifest, contents).and_then(|()| {
        // A link is made only where there is no file of that name.
        fs::hard_link(&draft, file).with_context(|| format!("{} cannot be made; nothing is replaced", file.display()))
    });
    drop(fs::remove_file(&draft));
    written.map(|()| manifest)
}

fn fill(draft: &Path, manifest: &Manifest, contents: &[Content]) -> anyhow::Result<()> {
    let writing = || format!("writing {}", draft.display());
    let out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft).with_context(writing)?;
    let mut tar = tar::Builder::new(GzEncoder::new(out, Compression::default()));
    let text = serde_json::to_vec_pretty(manifest)?;
    append(&mut tar, MANIFEST, text.len() as u64, &text[..]).with_context(writing)?;
    for it in contents {
        let content = File::open(&it.path).with_context(|| format!("reading {}", it.path.display()))?;
        append(&mut tar, &it.name, it.bytes, content.take(it.bytes)).with_context(writing)?;
    }
    let file = tar.into_inner().and_then(GzEncoder::finish).with_context(writing)?;
    file.sync_all().with_context(writing)
}

fn append(tar: &mut tar::Builder<impl Write>, name: &str, bytes: u64, content: impl Read) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(0);
    tar.append_data(&mut header, name, content)
}

/// Reads a backup to its end and checks every byte; each file is handed to `take`, which may keep it.
pub(super) fn read(
    file: &Path,
    mut take: impl FnMut(&Manifest, &str, &mut dyn Read) -> anyhow::Result<()>,
) -> anyhow::Result<Manifest> {
    let name = file.display();
    let damaged = || format!("{name} is no intact backup");
    let mut tar = tar::Archive::new(GzDecoder::new(File::open(file).with_context(|| format!("reading {name}"))?));
    let mut entries = tar.entries().with_context(damaged)?;
    let first = entries.next().with_context(damaged)?.with_context(damaged)?;
    ensure!(
        first.path().with_context(damaged)?.as_os_str() == MANIFEST,
        "{}: it begins with something else",
        damaged()
    );
    let mut text = String::new();
    first.take(MANIFEST_MAX).read_to_string(&mut text).with_context(damaged)?;
    let version: serde_json::Value = serde_json::from_str(&text).with_context(damaged)?;
    if let Some(found) = version.get("prunella_backup").and_then(serde_json::Value::as_u64)
        && found > u64::from(VERSION)
    {
        bail!("{name} was written in format {found}; this program knows up to {VERSION}: upgrade it");
    }
    let manifest: Manifest = serde_json::from_str(&text).with_context(damaged)?;
    let mut missing = manifest.files.clone();
    for entry in entries {
        let entry = entry.with_context(damaged)?;
        let path = entry.path().with_context(damaged)?.to_string_lossy().into_owned();
        let wanted =
            missing.remove(&path).with_context(|| format!("{}: {path} is not in its list, or twice", damaged()))?;
        ensure!(plain(&path), "{}: {path:?} is no name of a file in it", damaged());
        let mut checked = Checked { from: entry, digest: Sha256::new(), bytes: 0 };
        take(&manifest, &path, &mut checked)?;
        // Whatever was not wanted is checked all the same.
        std::io::copy(&mut checked, &mut std::io::sink()).with_context(damaged)?;
        let right = checked.bytes == wanted.bytes && hex(&checked.digest.finalize()) == wanted.sha256;
        ensure!(right, "{}: {path} is not what was written", damaged());
    }
    if let Some(path) = missing.keys().next() {
        bail!("{}: it ends before {path}", damaged());
    }
    // What follows the last file is nothing, and the sum of everything.
    std::io::copy(&mut tar.into_inner(), &mut std::io::sink()).with_context(damaged)?;
    Ok(manifest)
}

/// Whether a name stays below where it is put.
fn plain(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|it| matches!(it, Component::Normal(_)))
}

struct Checked<R> {
    from: R,
    digest: Sha256,
    bytes: u64,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.from.read(into)?;
        self.digest.update(into.get(..read).unwrap_or_default());
        self.bytes += read as u64;
        Ok(read)
    }
}

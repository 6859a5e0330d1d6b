//! The whole content of a store as a text file that any store can take in, with a checksum at its end.
//!
//! One JSON object a line: what it is, then the entries in the order of their keys, then the SHA-256 of everything
//! before. Values that are text stay readable; others are written in hexadecimal.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Revision, Term, Terms, VALUE_MAX};

/// The format that this program writes. It refuses newer ones.
pub const EXPORT_VERSION: u32 = 1;

/// How many exports are kept: at one in ten minutes, more than an hour to notice a mistake.
pub const EXPORTS_KEPT: usize = 8;

/// The largest export that is read, in bytes: ten times the largest live content that the store is meant for.
pub const EXPORT_MAX: u64 = 1024 * 1024 * 1024;

/// The content of a store at one revision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Export {
    /// The revision.
    pub revision: Revision,
    /// The terms of all leaderships.
    pub terms: Terms,
    /// All values by their keys.
    pub entries: BTreeMap<String, Vec<u8>>,
}

/// Why an export could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file system failed.
    #[error("cannot {what} {path}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file is not a whole, unchanged export.
    #[error("{path} is no intact export: {why}; take another one of the same directory")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Written by a newer program.
    #[error("{path} was written in format {found}; this program knows up to {EXPORT_VERSION}: upgrade it")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    prunella_export: u32,
    revision: u64,
    terms: BTreeMap<String, u64>,
    entries: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Footer {
    sha256: String,
}

/// Writes an export into `dir`, which is made if it is missing, and removes all but the newest [`EXPORTS_KEPT`].
///
/// The file gets its name only once it is whole and on disk. When that revision is there already, nothing happens.
///
/// # Errors
/// [`ExportError::Io`].
pub fn write(dir: &Path, export: &Export) -> Result<PathBuf, ExportError> {
    let path = dir.join(format!("store-{:020}.jsonl", export.revision.0));
    if path.exists() {
        return Ok(path);
    }
    fs::create_dir_all(dir).map_err(io_error("create", dir))?;
    let text = encode(export);
    let new = path.with_extension("new");
    let mut file = File::create(&new).map_err(io_error("create", &new))?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(io_error("write", &new))?;
    fs::rename(&new, &path).map_err(io_error("rename", &new))?;
    File::open(dir).and_then(|it| it.sync_all()).map_err(io_error("sync", dir))?;
    let all = list(dir)?;
    for old in all.iter().rev().skip(EXPORTS_KEPT) {
        fs::remove_file(old).map_err(io_error("remove", old))?;
    }
    Ok(path)
}

/// The exports in `dir`, oldest first; none when there is no such directory.
///
/// # Errors
/// [`ExportError::Io`].
pub fn list(dir: &Path) -> Result<Vec<PathBuf>, ExportError> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(io_error("list", dir)(error)),
    };
    for entry in entries {
        let path = entry.map_err(io_error("list", dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("store-") && name.ends_with(".jsonl") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The newest export in `dir` that is intact, if there is one.
#[must_use]
pub fn newest(dir: &Path) -> Option<PathBuf> {
    list(dir).ok()?.into_iter().rev().find(|path| read(path).is_ok())
}

/// Reads an export and checks every byte of it.
///
/// # Errors
/// [`ExportError`] says what is wrong with the file.
pub fn read(path: &Path) -> Result<Export, ExportError> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(io_error("open", path))?;
    file.take(EXPORT_MAX + 1).read_to_end(&mut text).map_err(io_error("read", path))?;
    if text.len() as u64 > EXPORT_MAX {
        return Err(ExportError::Damaged { path: path.into(), why: format!("it is larger than {EXPORT_MAX} bytes") });
    }
    if let Some(found) = version(&text).filter(|found| *found > EXPORT_VERSION) {
        return Err(ExportError::Newer { path: path.into(), found });
    }
    decode(&text).map_err(|why| ExportError::Damaged { path: path.into(), why })
}

/// The text of an export.
#[must_use]
pub fn encode(export: &Export) -> Vec<u8> {
    let terms = export.terms.iter().map(|(name, term)| (name.clone(), term.0)).collect();
    let header =
        Header { prunella_export: EXPORT_VERSION, revision: export.revision.0, terms, entries: export.entries.len() };
    let mut text = Vec::new();
    push(&mut text, &header);
    for (key, value) in &export.entries {
        let line = match std::str::from_utf8(value) {
            Ok(value) => Line { key: key.clone(), text: Some(value.to_owned()), hex: None },
            Err(_) => Line { key: key.clone(), text: None, hex: Some(to_hex(value)) },
        };
        push(&mut text, &line);
    }
    let sha256 = to_hex(&Sha256::digest(&text));
    push(&mut text, &Footer { sha256 });
    text
}

/// Reads the text of an export.
///
/// # Errors
/// What is wrong with it, in a line.
pub fn decode(text: &[u8]) -> Result<Export, String> {
    let body = text.strip_suffix(b"\n").ok_or("its last line is cut off")?;
    let cut = body.iter().rposition(|byte| *byte == b'\n').ok_or("it has no lines")? + 1;
    let footer: Footer = serde_json::from_slice(&body[cut..]).map_err(|_| "it does not end with its checksum")?;
    if footer.sha256 != to_hex(&Sha256::digest(&text[..cut])) {
        return Err("its content does not match its checksum".to_owned());
    }
    let mut lines = text[..cut - 1].split(|byte| *byte == b'\n');
    let header: Header = parse(lines.next().unwrap_or_default())?;
    let mut entries = BTreeMap::new();
    for line in lines {
        let line: Line = parse(line)?;
        let value = match (line.text, line.hex) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(hex)) => {
                from_hex(&hex).ok_or_else(|| format!("the value of {} is not hexadecimal", line.key))?
            }
            (Some(_), Some(_)) | (None, None) => return Err(format!("{} has no single value", line.key)),
        };
        if value.len() > VALUE_MAX {
            return Err(format!("the value of {} is larger than {VALUE_MAX} bytes", line.key));
        }
        super::check_key(&line.key).map_err(|error| error.to_string())?;
        if entries.insert(line.key.clone(), value).is_some() {
            return Err(format!("{} appears twice", line.key));
        }
    }
    if entries.len() != header.entries {
        return Err(format!("it holds {} entries and says {}", entries.len(), header.entries));
    }
    let terms = header.terms.into_iter().map(|(name, term)| (name, Term(term))).collect();
    Ok(Export { revision: Revision(header.revision), terms, entries })
}

fn version(text: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Version {
        prunella_export: u32,
    }
    let line = text.split(|byte| *byte == b'\n').next()?;
    serde_json::from_slice::<Version>(line).ok().map(|it| it.prunella_export)
}

fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|error| format!("a line cannot be read: {error}"))
}

fn push<T: Serialize>(text: &mut Vec<u8>, line: &T) {
    // Writing these plain structs into memory cannot fail; a missing line would not pass the checksum.
    if serde_json::to_writer(&mut *text, line).is_ok() {
        text.push(b'\n');
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    bytes.filter(|_| rest.is_empty())
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ExportError {
    let path = path.to_owned();
    move |source| ExportError::Io { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Export {
        let mut export = Export { revision: Revision(42), ..Export::default() };
        export.terms.insert("decider".to_owned(), Term(3));
        export.entries.insert("a".to_owned(), b"{\"x\":1}".to_vec());
        export.entries.insert("b".to_owned(), vec![0xff, 0x00, 0x7f]);
        export
    }

    #[test]
    fn an_export_reads_back_and_any_flipped_bit_is_found() {
        let text = encode(&sample());
        assert_eq!(decode(&text).unwrap(), sample());
        for at in 0..text.len() {
            let mut damaged = text.clone();
            damaged[at] ^= 1 << (at % 8);
            assert!(decode(&damaged).is_err(), "a flip in byte {at} went unseen");
            assert!(decode(&text[..at]).is_err(), "a cut at byte {at} went unseen");
        }
    }

    #[test]
    fn only_the_newest_exports_are_kept_and_a_damaged_one_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        for revision in 0..20 {
            write(dir.path(), &Export { revision: Revision(revision), ..sample() }).unwrap();
        }
        let all = list(dir.path()).unwrap();
        assert_eq!(all.len(), EXPORTS_KEPT);
        let last = all.last().unwrap();
        fs::write(last, b"{}\n").unwrap();
        assert_eq!(newest(dir.path()).as_ref(), all.get(EXPORTS_KEPT - 2));
        assert!(matches!(read(last), Err(ExportError::Damaged { .. })));
    }
}

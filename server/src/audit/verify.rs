//! Looks through a whole audit log for anything that was changed after it was written.

use std::fs;
use std::io;
use std::path::Path;

use prunella_model::Timestamp;
use prunella_seal::chain::{Break, Records};
use prunella_seal::{Head, PublicKey, envelope_from_json, verify_head};
use serde::Serialize;

use super::{AUDIT_LOG, AuditError, HEADS, Line, io_error, segments};

/// Something in the log that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// What was found, in a line.
    pub what: String,
}

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// True when nothing was found.
    pub ok: bool,
    /// How many entries stand in an unbroken chain from the first one.
    pub entries: u64,
    /// How many files the log has.
    pub files: usize,
    /// How many heads were signed, and verified.
    pub heads: usize,
    /// The last entry that a verified head covers. Whether entries after it are missing, nobody can tell.
    pub covered: u64,
    /// When the last entry was made; null without entries.
    pub last_at: Option<Timestamp>,
    /// Everything that was changed.
    pub findings: Vec<Finding>,
}

impl Report {
    fn find(&mut self, file: &Path, what: String) {
        let file = file.file_name().map_or_else(|| file.display().to_string(), |it| it.to_string_lossy().into_owned());
        self.findings.push(Finding { file, what });
    }
}

/// Reads the whole log in `dir` and compares it with its signed heads, and with `witnessed` ones kept elsewhere.
///
/// `keys` are those that may have signed heads. An incomplete last record is what a crash leaves, and no finding unless
/// a head covers it.
///
/// # Errors
/// [`AuditError::Io`] when the log cannot be read at all.
pub fn verify(dir: &Path, keys: &[PublicKey], witnessed: &[Head]) -> Result<Report, AuditError> {
    let mut report = Report::default();
    let mut heads = witnessed.to_vec();
    read_heads(dir, keys, &mut report, &mut heads)?;
    report.covered = heads.iter().map(|head| head.sequence).max().unwrap_or(0);
    let files = segments(dir)?;
    report.files = files.len();
    let mut head = Head::genesis(AUDIT_LOG);
    for (index, (first, path)) in files.iter().enumerate() {
        if *first != head.sequence + 1 {
            report.find(path, format!("begins with entry {first}, and {} is the next one", head.sequence + 1));
            break;
        }
        let bytes = fs::read(path).map_err(io_error("read", path))?;
        let mut records = Records::new(&bytes, head);
        let last_file = index + 1 == files.len();
        let whole = walk(&mut records, path, last_file, &heads, &mut report);
        head = records.head();
        if !whole {
            break;
        }
    }
    report.entries = head.sequence;
    if report.covered > head.sequence && report.findings.is_empty() {
        let what = format!("ends after entry {}, and there was an entry {}", head.sequence, report.covered);
        report.find(dir, what);
    }
    if report.heads == 0 && report.entries > 0 && witnessed.is_empty() {
        report.find(&dir.join(HEADS), "no head is signed, so nobody can tell whether the end is missing".to_owned());
    }
    report.ok = report.findings.is_empty();
    Ok(report)
}

/// Reads the records of one file. False when the chain cannot be followed further.
fn walk(records: &mut Records<'_>, path: &Path, last_file: bool, heads: &[Head], report: &mut Report) -> bool {
    while let Some(next) = records.next() {
        match next {
            Ok(record) => match serde_json::from_slice::<Line>(record.body) {
                Ok(line) => report.last_at = Some(line.entry.at),
                Err(error) => report.find(path, format!("entry {} cannot be read: {error}", record.sequence)),
            },
            Err(Break::Torn { .. }) if last_file => return true,
            Err(broken @ (Break::Torn { .. } | Break::Damaged { .. })) => {
                report.find(path, broken.to_string());
                return false;
            }
        }
        let now = records.head();
        if heads.iter().any(|head| head.sequence == now.sequence && head.hash != now.hash) {
            report.find(path, format!("entry {} is not the one that a head was signed for", now.sequence));
            return false;
        }
    }
    true
}

fn read_heads(dir: &Path, keys: &[PublicKey], report: &mut Report, heads: &mut Vec<Head>) -> Result<(), AuditError> {
    let path = dir.join(HEADS);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            report.find(&path, "it is not text".to_owned());
            return Ok(());
        }
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    let mut last = 0;
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        // The last line may have been cut by a crash while it was written.
        let Some(line) = line.strip_suffix('\n') else { break };
        let envelope = match envelope_from_json(line) {
            Ok(envelope) => envelope,
            Err(error) => {
                report.find(&path, format!("line {number} is no signed head: {error}"));
                continue;
            }
        };
        match verify_head(AUDIT_LOG, &envelope, keys) {
            Ok(head) if head.sequence < last => {
                report.find(&path, format!("line {number} is of entry {}, after one of entry {last}", head.sequence));
            }
            Ok(head) => {
                last = head.sequence;
                report.heads += 1;
                heads.push(head);
            }
            Err(error) => report.find(&path, format!("line {number} does not verify: {error}")),
        }
    }
    Ok(())
}

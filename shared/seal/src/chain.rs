//! A hash chain for append-only logs: any edit, deletion or reordering shows, and with a signed head truncation too.
//!
//! Bytes in, bytes out: what a record means, and where its bytes are kept, is the caller's. A log may lie in a
//! preallocated file: zeros after the last record are its clean end.
//!
//! ```text
//! magic 4 | body length u32 LE | sequence u64 LE | check 4 | previous hash 32 | hash 32 | body | end mark 1
//! ```
//! `hash = SHA-256("prunella-chain-1", previous hash, sequence, body length, body)`; `check` is the start of the
//! SHA-256 of the three fields before it, so that a damaged length is not taken for a record that is still being written.

use prunella_model::command::Envelope;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::document::DocumentError;
use crate::envelope::{sign, verify};
use crate::key::{PublicKey, SecretKey};
use crate::{HEAD_TYPE, text};

const MAGIC: [u8; 4] = *b"PrC1";
const END_MARK: u8 = b'\n';
const CHECKED: usize = 16;
const HEADER: usize = CHECKED + 4 + 32 + 32;

/// What a record adds to its body, in bytes.
pub const OVERHEAD: usize = HEADER + 1;

/// The longest body, in bytes: well above the largest payload, and a bound on what a reader must look through.
pub const BODY_MAX: usize = 1024 * 1024;

/// The unit in which disks write: a crash leaves each either old or new.
const SECTOR: usize = 512;

/// Where a chain stands: the last record's sequence number and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The number of the last record; 0 before the first.
    pub sequence: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

impl Head {
    /// The head of an empty log. The name makes the records of one log worthless in another.
    #[must_use]
    pub fn genesis(log: &str) -> Self {
        let mut digest = Sha256::new();
        digest.update(b"prunella-chain-1 genesis ");
        digest.update(log.as_bytes());
        Self { sequence: 0, hash: digest.finalize().into() }
    }
}

/// A body that is too long for a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record has {found} bytes; at most {BODY_MAX} are allowed")]
pub struct TooLong {
    /// Its length.
    pub found: usize,
}

/// Frames a body as the record after `head`, appends it to `out`, and moves the head.
///
/// # Errors
/// [`TooLong`]; nothing is then changed.
pub fn append(head: &mut Head, body: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
    let too_long = || TooLong { found: body.len() };
    let length = u32::try_from(body.len()).map_err(|_| too_long())?;
    if body.len() > BODY_MAX {
        return Err(too_long());
    }
    let sequence = head.sequence + 1;
    let hash = hash_of(&head.hash, sequence, length, body);
    let mut checked = [0; CHECKED];
    checked[..4].copy_from_slice(&MAGIC);
    checked[4..8].copy_from_slice(&length.to_le_bytes());
    checked[8..].copy_from_slice(&sequence.to_le_bytes());
    out.reserve(OVERHEAD + body.len());
    out.extend_from_slice(&checked);
    out.extend_from_slice(&check_of(&checked));
    out.extend_from_slice(&head.hash);
    out.extend_from_slice(&hash);
    out.extend_from_slice(body);
    out.push(END_MARK);
    *head = Head { sequence, hash };
    Ok(())
}

/// One record of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number, from 1.
    pub sequence: u64,
    /// Where it begins, in bytes from the start.
    pub at: usize,
    /// What it says.
    pub body: &'a [u8],
}

/// How a log was changed after it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The bytes of a record are not those that were written.
    #[error("edited")]
    Edited,
    /// Records are missing.
    #[error("records {expected} to {} are missing", found - 1)]
    Deleted {
        /// The first missing one.
        expected: u64,
        /// The record that stands there instead.
        found: u64,
    },
    /// An earlier record stands here again, or records have changed places.
    #[error("record {found} stands where {expected} belongs")]
    Reordered {
        /// The record that belongs here.
        expected: u64,
        /// The one that stands here.
        found: u64,
    },
    /// A record with the right number that belongs to another chain.
    #[error("record {sequence} belongs to another log, or what is before it was rewritten")]
    Relinked {
        /// Its number.
        sequence: u64,
    },
}

/// Why a log cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// The last record was still being written when the machine or the program stopped. It was never acknowledged:
    /// cut the log at `at` and go on.
    #[error("the record at byte {at} is incomplete: it was being written at a crash")]
    Torn {
        /// Where the incomplete record begins.
        at: usize,
    },
    /// Somebody, or a failing disk, has changed the log.
    #[error("the log is damaged at byte {at}, after record {after}: {damage}")]
    Damaged {
        /// Where.
        at: usize,
        /// The last good record.
        after: u64,
        /// How.
        damage: Damage,
    },
}

/// Reads the records of a log from its start, verifying each. Ends after the last record or the first [`Break`].
#[derive(Debug, Clone)]
pub struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    head: Head,
    over: bool,
}

impl<'a> Records<'a> {
    /// Reads `bytes`, which follow the record that `start` describes ([`Head::genesis`] for a whole log).
    #[must_use]
    pub fn new(bytes: &'a [u8], start: Head) -> Self {
        Self { bytes, at: 0, head: start, over: false }
    }

    /// The last record that was read.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Where the next record begins or would begin, in bytes.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Break>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..)?;
        if self.over || rest.iter().all(|byte| *byte == 0) {
            return None;
        }
        let at = self.at;
        let damaged = |damage| Err(Break::Damaged { at, after: self.head.sequence, damage });
        let expected = self.head.sequence + 1;
        let result = match Framed::parse(rest) {
            None if is_torn(rest) => Err(Break::Torn { at }),
            None => damaged(Damage::Edited),
            Some(it) if it.sequence > expected => damaged(Damage::Deleted { expected, found: it.sequence }),
            Some(it) if it.sequence < expected => damaged(Damage::Reordered { expected, found: it.sequence }),
            Some(it) if it.previous != self.head.hash => damaged(Damage::Relinked { sequence: it.sequence }),
            Some(it) => {
                self.head = Head { sequence: it.sequence, hash: it.hash };
                self.at += OVERHEAD + it.body.len();
                Ok(Record { sequence: it.sequence, at, body: it.body })
            }
        };
        self.over = result.is_err();
        Some(result)
    }
}

/// A record that is whole in itself, wherever it may belong.
struct Framed<'a> {
    sequence: u64,
    previous: [u8; 32],
    hash: [u8; 32],
    body: &'a [u8],
}

impl<'a> Framed<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (length, sequence) = header(bytes)?;
        let previous: [u8; 32] = bytes.get(20..52)?.try_into().ok()?;
        let hash: [u8; 32] = bytes.get(52..HEADER)?.try_into().ok()?;
        let body = bytes.get(HEADER..HEADER + length as usize)?;
        let whole = *bytes.get(HEADER + length as usize)? == END_MARK;
        (whole && hash == hash_of(&previous, sequence, length, body)).then_some(Self { sequence, previous, hash, body })
    }
}

/// Length and sequence of the record that begins here, when its first fields are whole.
fn header(bytes: &[u8]) -> Option<(u32, u64)> {
    let checked: &[u8; CHECKED] = bytes.first_chunk()?;
    let [m0, m1, m2, m3, l0, l1, l2, l3, sequence @ ..] = *checked;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    let right = [m0, m1, m2, m3] == MAGIC
        && bytes.get(CHECKED..CHECKED + 4)? == check_of(checked)
        && length as usize <= BODY_MAX;
    right.then_some((length, u64::from_le_bytes(sequence)))
}

/// Whether these bytes, which begin with no whole record, are what a crash during a write leaves behind.
///
/// Such a record is the last one, and part of it is missing: the file ends in it, or its end or a whole sector is
/// still zero. A record whose every byte was written but whose hash is wrong was changed later.
fn is_torn(rest: &[u8]) -> bool {
    let written = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let followed = (1..written.saturating_sub(OVERHEAD - 1))
        .any(|at| rest[at..].starts_with(&MAGIC) && Framed::parse(&rest[at..]).is_some());
    if followed {
        return false;
    }
    match header(rest) {
        Some((length, _)) => {
            let total = OVERHEAD + length as usize;
            // The end mark is never zero, so a whole record reaches exactly to it.
            written < total || (written == total && has_zero_sector(&rest[..total]))
        }
        // Not even the first fields are there. A full header with a wrong check was changed.
        None => {
            let start_missing = rest.len() >= SECTOR && rest[..SECTOR].iter().all(|byte| *byte == 0);
            let prefix = written < CHECKED + 4 && rest.iter().zip(&MAGIC).take(written).all(|(a, b)| a == b);
            (start_missing || prefix) && written <= OVERHEAD + BODY_MAX
        }
    }
}

/// Whether somewhere a stretch of a sector's length is all zero. Where sectors begin is not known here.
fn has_zero_sector(record: &[u8]) -> bool {
    let mut run = 0;
    record.iter().any(|byte| {
        run = if *byte == 0 { run + 1 } else { 0 };
        run >= SECTOR
    })
}

fn check_of(checked: &[u8; CHECKED]) -> [u8; 4] {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(checked));
    [a, b, c, d]
}

fn hash_of(previous: &[u8; 32], sequence: u64, length: u32, body: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(b"prunella-chain-1");
    digest.update(previous);
    digest.update(sequence.to_le_bytes());
    digest.update(length.to_le_bytes());
    digest.update(body);
    digest.finalize().into()
}

/// Why a log is not the one that a signed head was taken of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// It cannot be read to its end.
    #[error(transparent)]
    Broken(#[from] Break),
    /// It ends before the head.
    #[error("the log was truncated: it ends after record {last}, but record {witnessed} was signed for")]
    Truncated {
        /// Its last record.
        last: u64,
        /// The signed head's.
        witnessed: u64,
    },
    /// It has another record where the head is.
    #[error("the log was rewritten: its record {sequence} is not the one that was signed for")]
    Rewritten {
        /// The record.
        sequence: u64,
    },
}

/// Reads a whole log and compares it with heads that were taken of it earlier. Returns where it stands now.
///
/// A torn last record is not an error unless a head covers it.
///
/// # Errors
/// [`WitnessError`] says what was done to the log.
pub fn check_log(bytes: &[u8], start: Head, witnessed: &[Head]) -> Result<Head, WitnessError> {
    let mut records = Records::new(bytes, start);
    let agrees = |head: Head| match witnessed.iter().find(|it| it.sequence == head.sequence && it.hash != head.hash) {
        Some(it) => Err(WitnessError::Rewritten { sequence: it.sequence }),
        None => Ok(()),
    };
    agrees(start)?;
    while let Some(next) = records.next() {
        match next {
            Ok(_) => agrees(records.head())?,
            Err(Break::Torn { .. }) => break,
            Err(damaged @ Break::Damaged { .. }) => return Err(damaged.into()),
        }
    }
    let last = records.head().sequence;
    match witnessed.iter().map(|it| it.sequence).find(|sequence| *sequence > last) {
        Some(witnessed) => Err(WitnessError::Truncated { last, witnessed }),
        None => Ok(records.head()),
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadText {
    log: String,
    sequence: u64,
    #[serde(with = "text::base64_bytes")]
    hash: Vec<u8>,
}

/// Signs a head of the log with this name, for safe-keeping elsewhere.
#[must_use]
pub fn sign_head(log: &str, head: &Head, key: &SecretKey) -> Envelope {
    let text = HeadText { log: log.to_owned(), sequence: head.sequence, hash: head.hash.to_vec() };
    // Text and numbers always have a JSON form.
    sign(HEAD_TYPE, serde_json::to_vec(&text).unwrap_or_default(), &[key])
}

/// Reads a head of the log with this name that one of `keys` has signed.
///
/// # Errors
/// [`DocumentError`] says what is wrong.
pub fn verify_head(log: &str, envelope: &Envelope, keys: &[PublicKey]) -> Result<Head, DocumentError> {
    const DOCUMENT: &str = "head of the log";
    let payload = verify(envelope, HEAD_TYPE, keys, 1)
        .map_err(|source| DocumentError::Envelope { document: DOCUMENT, source })?;
    let text: HeadText = crate::document::from_json(DOCUMENT, payload)?;
    let senseless = |why: String| DocumentError::Senseless { document: DOCUMENT, why };
    if text.log != log {
        return Err(senseless(format!("it is of the log {:?}, not of {log:?}", text.log)));
    }
    let hash = text.hash.try_into().map_err(|_| senseless("its hash is not 32 bytes long".to_owned()))?;
    Ok(Head { sequence: text.sequence, hash })
}

#[cfg(test)]
mod tests;

//! How a value lies in sled: with its format, its type, its revision and a checksum over all of that and its key.
//!
//! sled has checksums of its own, but only finds damage in what it happens to read, and a value that lands under the
//! wrong key passes them. The sum over all entries in [`Head`] also finds entries that are missing.

use crate::store::{Revision, Term};

/// The format of envelopes that this program writes.
pub(super) const FORMAT: u8 = 1;

/// The layout of keys and of the head that this program writes.
pub(super) const SCHEMA: u32 = 1;

const HEADER: usize = 14;

/// What a key of the tree stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The one record about everything else.
    Head,
    /// The term of a leadership.
    Term,
    /// Somebody's value.
    Value,
}

impl Kind {
    const fn tag(self) -> u8 {
        match self {
            Self::Head => b'h',
            Self::Term => b't',
            Self::Value => b'v',
        }
    }

    /// The key in the tree.
    pub(super) fn key(self, name: &str) -> Vec<u8> {
        let mut key = Vec::with_capacity(1 + name.len());
        key.push(self.tag());
        key.extend_from_slice(name.as_bytes());
        key
    }

    /// What a key of the tree stands for, and its name.
    pub(super) fn of(key: &[u8]) -> Option<(Self, &str)> {
        let (tag, name) = key.split_first()?;
        let kind = match tag {
            b'h' => Self::Head,
            b't' => Self::Term,
            b'v' => Self::Value,
            _ => return None,
        };
        Some((kind, std::str::from_utf8(name).ok()?))
    }
}

fn checksum(key: &[u8], header: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(header);
    hasher.update(value);
    hasher.finalize()
}

/// Wraps a value for the tree.
pub(super) fn seal(key: &[u8], revision: Revision, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + value.len());
    bytes.push(FORMAT);
    bytes.push(key.first().copied().unwrap_or_default());
    bytes.extend_from_slice(&revision.0.to_le_bytes());
    bytes.extend_from_slice(&checksum(key, &bytes, value).to_le_bytes());
    bytes.extend_from_slice(value);
    bytes
}

/// A value out of its envelope.
pub(super) struct Opened<'a> {
    pub(super) revision: Revision,
    pub(super) value: &'a [u8],
    /// What this entry adds to [`Head::sum`].
    pub(super) share: u64,
}

/// Unwraps a value of the tree, and says what is wrong with it if anything is.
pub(super) fn open<'a>(key: &[u8], bytes: &'a [u8]) -> Result<Opened<'a>, String> {
    let (header, value) = bytes.split_at_checked(HEADER).ok_or("it is cut off")?;
    let (head, crc) = header.split_at(HEADER - 4);
    let format = head.first().copied().unwrap_or_default();
    if format != FORMAT {
        return Err(format!("its format is {format}; this program knows {FORMAT}"));
    }
    let crc = u32::from_le_bytes(crc.try_into().map_err(|_| "it is cut off")?);
    if crc != checksum(key, head, value) {
        return Err("its checksum does not match".to_owned());
    }
    let revision = head.get(2..10).and_then(|it| it.try_into().ok()).map(u64::from_le_bytes).ok_or("it is cut off")?;
    Ok(Opened { revision: Revision(revision), value, share: share(crc, revision) })
}

/// Spreads checksum and revision over 64 bits, so that a sum of many tells which set they came from.
fn share(crc: u32, revision: u64) -> u64 {
    // The finaliser of SplitMix64.
    let mut it = u64::from(crc).rotate_left(32) ^ revision;
    it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}

/// The record that is rewritten with every group of transactions: what all other entries must add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) schema: u32,
    pub(super) revision: Revision,
    pub(super) entries: u64,
    pub(super) sum: u64,
}

impl Head {
    pub(super) const NEW: Self = Self { schema: SCHEMA, revision: Revision(0), entries: 0, sum: 0 };

    pub(super) fn seal(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(28);
        value.extend_from_slice(&self.schema.to_le_bytes());
        value.extend_from_slice(&self.revision.0.to_le_bytes());
        value.extend_from_slice(&self.entries.to_le_bytes());
        value.extend_from_slice(&self.sum.to_le_bytes());
        seal(&Kind::Head.key(""), self.revision, &value)
    }

    pub(super) fn open(bytes: &[u8]) -> Result<Self, String> {
        let opened = open(&Kind::Head.key(""), bytes)?;
        let (schema, rest) = opened.value.split_first_chunk::<4>().ok_or("it is cut off")?;
        let schema = u32::from_le_bytes(*schema);
        let (numbers, rest) = rest.as_chunks::<8>();
        match (numbers, rest.is_empty()) {
            ([revision, entries, sum], true) => Ok(Self {
                schema,
                revision: Revision(u64::from_le_bytes(*revision)),
                entries: u64::from_le_bytes(*entries),
                sum: u64::from_le_bytes(*sum),
            }),
            (_, _) => Err("it has another length".to_owned()),
        }
    }

    pub(super) const fn add(&mut self, share: u64) {
        self.entries += 1;
        self.sum = self.sum.wrapping_add(share);
    }

    pub(super) const fn remove(&mut self, share: u64) {
        self.entries = self.entries.saturating_sub(1);
        self.sum = self.sum.wrapping_sub(share);
    }
}

pub(super) fn term_value(term: Term) -> [u8; 8] {
    term.0.to_le_bytes()
}

pub(super) fn read_term(value: &[u8]) -> Result<Term, String> {
    value.try_into().map(|bytes| Term(u64::from_le_bytes(bytes))).map_err(|_| "it is not a term".to_owned())
}

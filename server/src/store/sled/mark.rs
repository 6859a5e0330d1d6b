//! The mark beside the store: that there is one, and which revision was acknowledged last.
//!
//! A log that lost its tail looks, to sled, like a log that never had one. The mark is written after each flush and
//! before the answers, so a store that is behind its mark has lost something, and a missing store was not always
//! missing. It is not synced on its own: after a power failure it may be behind the store, which is no harm.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::store::Revision;

/// Two slots in different sectors are written in turn, so that a torn write leaves the other one.
const SLOTS: [u64; 2] = [0, 512];
const MAGIC: &[u8; 8] = b"prunella";
const SLOT: usize = 20;

#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    turn: usize,
}

/// What the mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marked {
    /// There never was a store here.
    Never,
    /// A store was here, and this revision was acknowledged.
    At(Revision),
    /// The mark itself cannot be read.
    Damaged,
}

impl Mark {
    /// Makes a new mark, or opens the one that is there.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Marked)> {
        let existed = path.exists();
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        if !existed {
            return Ok((Self { file, turn: 0 }, Marked::Never));
        }
        let slots = SLOTS.map(|at| read_slot(&file, at));
        let (turn, said) = match slots {
            [None, None] if file.metadata()?.len() == 0 => (0, Marked::Never),
            [None, None] => (0, Marked::Damaged),
            [Some(first), Some(second)] if second > first => (0, Marked::At(second)),
            [Some(first), _] => (1, Marked::At(first)),
            [None, Some(second)] => (0, Marked::At(second)),
        };
        Ok((Self { file, turn }, said))
    }

    pub(super) fn write(&mut self, revision: Revision) -> io::Result<()> {
        let mut slot = [0; SLOT];
        slot[..8].copy_from_slice(MAGIC);
        slot[8..16].copy_from_slice(&revision.0.to_le_bytes());
        let crc = crc32fast::hash(&slot[..16]);
        slot[16..].copy_from_slice(&crc.to_le_bytes());
        self.file.write_all_at(&slot, SLOTS[self.turn % 2])?;
        self.turn += 1;
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

fn read_slot(file: &File, at: u64) -> Option<Revision> {
    let mut slot = [0; SLOT];
    file.read_exact_at(&mut slot, at).ok()?;
    let (body, crc) = slot.split_at(16);
    let (magic, revision) = body.split_at(8);
    let whole = magic == MAGIC && crc == crc32fast::hash(body).to_le_bytes();
    whole.then(|| revision.try_into().ok().map(|it| Revision(u64::from_le_bytes(it)))).flatten()
}

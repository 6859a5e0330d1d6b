//! Where a host and a target stand in the engine's tables.

/// A target, as two indexes. Cheap to copy and to compare; never leaves the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The index of the host.
    pub(crate) host: u32,
    /// The index of the target on that host.
    pub(crate) target: u32,
}

/// An index as the tables take it. A `u32` always fits.
pub(crate) const fn at(index: u32) -> usize {
    index as usize
}

/// The index of the next entry of a table. Tables never reach four thousand million entries: each one costs more than
/// a hundred bytes.
pub(crate) fn next(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

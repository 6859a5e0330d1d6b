//! What is wrong with a message, and where in it.

use prunella_model::id::BadName;

/// A message that cannot be turned into our types.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{path}: {wrong}")]
pub struct WireError {
    /// The field, from the outermost message inwards: `report.targets[3].probes[0].name`.
    pub path: String,
    /// What is wrong with it.
    pub wrong: Wrong,
}

/// What can be wrong with a field.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Wrong {
    /// The bytes are not the message.
    #[error("not readable: {why}")]
    Unreadable {
        /// The decoder's words.
        why: String,
    },
    /// A field that must be set is not.
    #[error("must be set")]
    Missing,
    /// A name breaks the rules for names.
    #[error(transparent)]
    BadName(#[from] BadName),
    /// A text does not have the form that its field asks for.
    #[error("{why}")]
    BadText {
        /// What it should be.
        why: String,
    },
    /// An enum has a number that this program does not know.
    #[error("{what} has no number {number}; the sender may be newer than this program")]
    UnknownNumber {
        /// Which enum.
        what: &'static str,
        /// The number.
        number: i32,
    },
    /// A measurement or a share is not a number.
    #[error("must be a finite number")]
    NotFinite,
    /// A number is outside what its field can hold.
    #[error("{found} is outside {range}")]
    OutOfRange {
        /// The number.
        found: i128,
        /// What is allowed.
        range: &'static str,
    },
    /// Bytes of a fixed length have another one.
    #[error("has {found} bytes; {expected} are needed")]
    Length {
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// Two lists that belong together differ in length.
    #[error("has {found} entries, but {other} has {expected}")]
    Uneven {
        /// How many entries this list has.
        found: usize,
        /// The other list.
        other: &'static str,
        /// How many entries that one has.
        expected: usize,
    },
    /// A list is longer than allowed.
    #[error("has {found} entries; at most {limit} are allowed")]
    TooMany {
        /// How many entries there are.
        found: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A text or a payload is longer than allowed.
    #[error("is {found} bytes long; at most {limit} are allowed")]
    TooLong {
        /// Its length.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Written by a newer program, and not readable by this one.
    #[error("has schema {found}; this program knows up to {known}: upgrade it")]
    NewerSchema {
        /// The schema it names.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
}

impl Wrong {
    /// This, found in the field `field`.
    pub(super) fn in_field(self, field: &str) -> WireError {
        WireError { path: field.to_owned(), wrong: self }
    }
}

/// Says in which field of the outer message an error lies.
pub(super) trait Within {
    /// The same result; an error's path now begins with `field`.
    fn within(self, field: &str) -> Self;
}

impl<T> Within for Result<T, WireError> {
    fn within(self, field: &str) -> Self {
        self.map_err(|error| {
            // `steps` and `[2].target` make `steps[2].target`; everything else is joined by a dot.
            let joint = if error.path.is_empty() || error.path.starts_with('[') { "" } else { "." };
            WireError { path: format!("{field}{joint}{}", error.path), wrong: error.wrong }
        })
    }
}

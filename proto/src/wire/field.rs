//! Readers of single fields: each checks what the type on the other side promises.

use std::collections::BTreeMap;
use std::str::FromStr;

use prunella_model::id::BadName;
use prunella_model::observation::Sha256;
use prunella_model::{Generation, Id};

use super::error::{WireError, Within as _, Wrong};
use super::limits::{LABEL_LENGTH_MAX, LABELS_MAX, TEXT_MAX};
use crate::agent::v1 as pb;

/// Reads a name.
pub(super) fn name<T: FromStr<Err = BadName>>(field: &str, text: &str) -> Result<T, WireError> {
    text.parse().map_err(|bad: BadName| Wrong::from(bad).in_field(field))
}

/// Reads a name that may be absent.
pub(super) fn optional_name<T: FromStr<Err = BadName>>(
    field: &str,
    text: Option<&String>,
) -> Result<Option<T>, WireError> {
    text.map(|text| name(field, text)).transpose()
}

/// Reads a text of at most `limit` bytes.
pub(super) fn text(field: &str, limit: usize, text: String) -> Result<String, WireError> {
    if text.len() > limit {
        return Err(Wrong::TooLong { found: text.len(), limit }.in_field(field));
    }
    Ok(text)
}

/// Reads a text for a person.
pub(super) fn prose(field: &str, it: String) -> Result<String, WireError> {
    text(field, TEXT_MAX, it)
}

/// A text for a person, cut to what the reader accepts: a long error message must not cost the whole message.
pub(super) fn cut(text: &str) -> String {
    if text.len() <= TEXT_MAX {
        return text.to_owned();
    }
    let end = (0..=TEXT_MAX).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    text[..end].to_owned()
}

/// Reads bytes of at most `limit`.
pub(super) fn bytes(field: &str, limit: usize, bytes: Vec<u8>) -> Result<Vec<u8>, WireError> {
    if bytes.len() > limit {
        return Err(Wrong::TooLong { found: bytes.len(), limit }.in_field(field));
    }
    Ok(bytes)
}

/// Reads exactly 32 bytes.
pub(super) fn bytes32(field: &str, bytes: &[u8]) -> Result<[u8; 32], WireError> {
    bytes.try_into().map_err(|_| Wrong::Length { found: bytes.len(), expected: 32 }.in_field(field))
}

/// Reads a digest.
pub(super) fn digest(field: &str, bytes: &[u8]) -> Result<Sha256, WireError> {
    bytes32(field, bytes).map(Sha256)
}

/// Reads a digest that may be absent.
pub(super) fn optional_digest(field: &str, bytes: Option<&Vec<u8>>) -> Result<Option<Sha256>, WireError> {
    bytes.map(|bytes| digest(field, bytes)).transpose()
}

/// A message that must be there.
pub(super) fn required<T>(field: &str, it: Option<T>) -> Result<T, WireError> {
    it.ok_or_else(|| Wrong::Missing.in_field(field))
}

/// Reads a message that must be there.
pub(super) fn nested<A, B>(
    field: &str,
    it: Option<A>,
    read: impl FnOnce(A) -> Result<B, WireError>,
) -> Result<B, WireError> {
    read(required(field, it)?).within(field)
}

/// Reads a list of at most `limit` entries.
pub(super) fn list<A, B>(
    field: &str,
    limit: usize,
    items: Vec<A>,
    mut read: impl FnMut(A) -> Result<B, WireError>,
) -> Result<Vec<B>, WireError> {
    if items.len() > limit {
        return Err(Wrong::TooMany { found: items.len(), limit }.in_field(field));
    }
    let mut all = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        match read(item) {
            Ok(item) => all.push(item),
            wrong @ Err(_) => return wrong.within(&format!("{field}[{index}]")).map(|_| all),
        }
    }
    Ok(all)
}

/// Reads labels.
pub(super) fn labels(field: &str, labels: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, WireError> {
    if labels.len() > LABELS_MAX {
        return Err(Wrong::TooMany { found: labels.len(), limit: LABELS_MAX }.in_field(field));
    }
    for part in labels.iter().flat_map(|(key, value)| [key, value]) {
        if part.len() > LABEL_LENGTH_MAX {
            return Err(Wrong::TooLong { found: part.len(), limit: LABEL_LENGTH_MAX }.in_field(field));
        }
    }
    Ok(labels)
}

/// An id as it travels.
pub(super) const fn encode_id(id: Id) -> pb::Id {
    pb::Id { epoch: id.epoch, counter: id.counter }
}

/// Reads an id that must be there.
pub(super) fn id(field: &str, id: Option<pb::Id>) -> Result<Id, WireError> {
    required(field, id).map(|id| Id { epoch: id.epoch, counter: id.counter })
}

/// A generation as it travels.
pub(super) const fn encode_generation(it: Generation) -> pb::Generation {
    pb::Generation { epoch: it.0.epoch, counter: it.0.counter }
}

/// Reads a generation that must be there.
pub(super) fn generation(field: &str, it: Option<pb::Generation>) -> Result<Generation, WireError> {
    required(field, it).map(|it| Generation(Id { epoch: it.epoch, counter: it.counter }))
}

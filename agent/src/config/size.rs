//! Sizes in bytes: `64MiB`.

use serde::{Deserialize, Deserializer, de};

/// Units that a size may have, with their factors.
const UNITS: [(&str, u64); 5] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// A number of bytes, written as a whole number and a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text).ok_or_else(|| {
            de::Error::custom(format!("{text:?} is not a size; write a number and a unit: 512KiB, 64MiB or 10GiB"))
        })
    }
}

fn parse(text: &str) -> Option<Size> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = UNITS.into_iter().find(|(it, _)| *it == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(factor).map(Size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_unit_and_must_fit() {
        assert_eq!(parse("64MiB"), Some(Size(64 << 20)));
        assert_eq!(parse("10 GiB"), Some(Size(10 << 30)));
        assert_eq!(parse("7B"), Some(Size(7)));
        for text in ["", "64", "MiB", "64MB", "-1B", "1.5GiB", "99999999TiB", "64MiB "] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}

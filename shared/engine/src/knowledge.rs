//! The stable names of faults, by which experience is found again.

use prunella_model::incident::Fingerprint;
use sha2::{Digest, Sha256};

/// The stable name of "the same fault again": the same rule and symptom of the same kind of target, on any host.
pub(crate) fn fingerprint(rule: &str, kind: &str, symptom: Option<&str>) -> Fingerprint {
    let mut hash = Sha256::new();
    for part in ["prunella.fingerprint.v1", rule, kind, symptom.unwrap_or("")] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest = hash.finalize();
    let digits = digest.iter().take(8).flat_map(|byte| [byte >> 4, byte & 15]);
    Fingerprint(digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect())
}

//! DSSE 1.0: what is signed is the payload's type and its exact bytes, nothing that depends on how they are encoded.

use prunella_model::command::{Envelope, Signature};
use serde::{Deserialize, Serialize};

use crate::key::{PublicKey, SecretKey};
use crate::text::base64_bytes;
use crate::{KEY_ID_MAX, PAYLOAD_MAX, SIGNATURES_MAX, TYPE_MAX};

/// Why an envelope is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Some part is larger than it may be.
    #[error("its {part} has {found} {unit}; at most {limit} are allowed")]
    Oversized {
        /// Which part.
        part: &'static str,
        /// Its size.
        found: usize,
        /// What is counted.
        unit: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Too few of the keys that count have signed it.
    #[error("{found} of {needed} needed keys have signed it")]
    TooFew {
        /// How many different keys have.
        found: usize,
        /// How many must.
        needed: usize,
    },
    /// Signed, but something else.
    #[error("it holds {found:?} where {expected:?} is expected")]
    WrongType {
        /// The type it names.
        found: String,
        /// The type that is needed.
        expected: &'static str,
    },
    /// The text is no envelope.
    #[error("the text is not a signed envelope in JSON")]
    Json(#[source] std::sync::Arc<JsonError>),
}

/// A JSON error that can be compared by its text, so that errors above can be.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct JsonError(#[from] serde_json::Error);

impl PartialEq for JsonError {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl Eq for JsonError {}

/// The bytes that are signed: DSSE's pre-authentication encoding of a payload type and a body.
#[must_use]
pub fn pae(payload_type: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload_type.len() + body.len() + 48);
    out.extend_from_slice(format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), body.len()).as_bytes());
    out.extend_from_slice(body);
    out
}

/// Signs a payload with each of the keys.
#[must_use]
pub fn sign(payload_type: &str, payload: Vec<u8>, keys: &[&SecretKey]) -> Envelope {
    let message = pae(payload_type, &payload);
    let signatures = keys
        .iter()
        .map(|key| Signature { key_id: key.public().id().as_str().to_owned(), signature: key.sign(&message).to_vec() })
        .collect();
    Envelope { payload_type: payload_type.to_owned(), payload, signatures }
}

/// The payload, once at least `threshold` different keys of `keys` have signed it as `payload_type`.
///
/// The order is size, signatures, type. A key counts once however often it has signed, and a key id is only a hint at
/// which key to try first. A threshold of zero is never met.
///
/// # Errors
/// [`VerifyError`] says which check failed; nothing of the payload may then be used.
pub fn verify<'a>(
    envelope: &'a Envelope,
    payload_type: &'static str,
    keys: &[PublicKey],
    threshold: usize,
) -> Result<&'a [u8], VerifyError> {
    check_sizes(envelope)?;
    let found = signers(envelope, keys).len();
    if threshold == 0 || found < threshold {
        return Err(VerifyError::TooFew { found, needed: threshold.max(1) });
    }
    if envelope.payload_type != payload_type {
        return Err(VerifyError::WrongType { found: envelope.payload_type.clone(), expected: payload_type });
    }
    Ok(&envelope.payload)
}

/// Those of `keys` that have signed the envelope, each once. Sizes must have been checked.
pub(crate) fn signers(envelope: &Envelope, keys: &[PublicKey]) -> Vec<PublicKey> {
    let message = pae(&envelope.payload_type, &envelope.payload);
    let mut unique: Vec<(PublicKey, String)> = Vec::with_capacity(keys.len());
    for key in keys {
        if !unique.iter().any(|(known, _)| known == key) {
            unique.push((*key, key.id().as_str().to_owned()));
        }
    }
    let mut found: Vec<PublicKey> = Vec::new();
    for signature in &envelope.signatures {
        let Ok(bytes) = <[u8; 64]>::try_from(signature.signature.as_slice()) else { continue };
        let hinted = unique.iter().filter(|(_, id)| *id == signature.key_id);
        let others = unique.iter().filter(|(_, id)| *id != signature.key_id);
        let signer = hinted
            .chain(others)
            .map(|(key, _)| *key)
            .find(|key| !found.contains(key) && key.verifies(&message, &bytes));
        found.extend(signer);
    }
    found
}

/// Checks that no part is larger than it may be.
pub(crate) fn check_sizes(envelope: &Envelope) -> Result<(), VerifyError> {
    let longest_id = envelope.signatures.iter().map(|it| it.key_id.len()).max().unwrap_or(0);
    let parts = [
        ("payload", envelope.payload.len(), "bytes", PAYLOAD_MAX),
        ("payload type", envelope.payload_type.len(), "bytes", TYPE_MAX),
        ("list of signatures", envelope.signatures.len(), "entries", SIGNATURES_MAX),
        ("longest key id", longest_id, "bytes", KEY_ID_MAX),
    ];
    match parts.into_iter().find(|(_, found, _, limit)| found > limit) {
        Some((part, found, unit, limit)) => Err(VerifyError::Oversized { part, found, unit, limit }),
        None => Ok(()),
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeText {
    #[serde(rename = "payloadType")]
    payload_type: String,
    #[serde(with = "base64_bytes")]
    payload: Vec<u8>,
    signatures: Vec<SignatureText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureText {
    #[serde(default)]
    keyid: String,
    #[serde(with = "base64_bytes")]
    sig: Vec<u8>,
}

/// The envelope as DSSE's JSON, for files such as `trust/fleet.json`.
#[must_use]
pub fn envelope_to_json(envelope: &Envelope) -> String {
    let text = EnvelopeText {
        payload_type: envelope.payload_type.clone(),
        payload: envelope.payload.clone(),
        signatures: envelope
            .signatures
            .iter()
            .map(|it| SignatureText { keyid: it.key_id.clone(), sig: it.signature.clone() })
            .collect(),
    };
    // Strings, bytes and lists always have a JSON form.
    let mut json = serde_json::to_string_pretty(&text).unwrap_or_default();
    json.push('\n');
    json
}

/// Reads what [`envelope_to_json`] writes. The result is not verified yet.
///
/// # Errors
/// [`VerifyError::Json`] when it is anything else, [`VerifyError::Oversized`] when a part is too large.
pub fn envelope_from_json(text: &str) -> Result<Envelope, VerifyError> {
    let text: EnvelopeText =
        serde_json::from_str(text).map_err(|error| VerifyError::Json(std::sync::Arc::new(error.into())))?;
    let envelope = Envelope {
        payload_type: text.payload_type,
        payload: text.payload,
        signatures: text.signatures.into_iter().map(|it| Signature { key_id: it.keyid, signature: it.sig }).collect(),
    };
    check_sizes(&envelope)?;
    Ok(envelope)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "application/vnd.prunella.test.v1";

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_entropy(&[seed; 32])
    }

    #[test]
    fn pae_is_that_of_the_dsse_specification() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
        // Lengths count bytes, not characters.
        assert_eq!(pae("ä", b"\0\n"), b"DSSEv1 2 \xc3\xa4 2 \0\n");
    }

    #[test]
    fn a_signed_payload_verifies_and_reads_back() {
        let envelope = sign(TYPE, b"body".to_vec(), &[&key(1)]);
        assert_eq!(verify(&envelope, TYPE, &[key(2).public(), key(1).public()], 1).unwrap(), b"body");
        let again = envelope_from_json(&envelope_to_json(&envelope)).unwrap();
        assert_eq!(again, envelope);
    }

    #[test]
    fn any_flipped_bit_breaks_it() {
        let envelope = sign(TYPE, b"body".to_vec(), &[&key(1)]);
        let keys = [key(1).public()];
        for bit in 0..envelope.payload.len() * 8 {
            let mut bad = envelope.clone();
            bad.payload[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&bad, TYPE, &keys, 1).is_err());
        }
        for bit in 0..512 {
            let mut bad = envelope.clone();
            bad.signatures[0].signature[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&bad, TYPE, &keys, 1).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_signature_for_one_type_is_none_for_another() {
        let envelope = sign("application/vnd.prunella.other.v1", b"body".to_vec(), &[&key(1)]);
        let keys = [key(1).public()];
        assert!(matches!(verify(&envelope, TYPE, &keys, 1), Err(VerifyError::WrongType { .. })));
        let relabelled = Envelope { payload_type: TYPE.to_owned(), ..envelope };
        assert_eq!(verify(&relabelled, TYPE, &keys, 1), Err(VerifyError::TooFew { found: 0, needed: 1 }));
    }

    #[test]
    fn keys_are_counted_never_signatures() {
        let mut envelope = sign(TYPE, b"body".to_vec(), &[&key(1), &key(1)]);
        let twice = [key(1).public(), key(1).public(), key(2).public()];
        assert_eq!(verify(&envelope, TYPE, &twice, 2), Err(VerifyError::TooFew { found: 1, needed: 2 }));
        // Nor does another key id make another key of it.
        envelope.signatures[1].key_id = key(2).public().id().as_str().to_owned();
        assert_eq!(verify(&envelope, TYPE, &twice, 2), Err(VerifyError::TooFew { found: 1, needed: 2 }));
        let both = sign(TYPE, b"body".to_vec(), &[&key(1), &key(2)]);
        assert!(verify(&both, TYPE, &twice, 2).is_ok());
    }

    #[test]
    fn a_wrong_key_id_is_only_a_wrong_hint() {
        let mut envelope = sign(TYPE, b"body".to_vec(), &[&key(1)]);
        envelope.signatures[0].key_id = key(2).public().id().as_str().to_owned();
        assert!(verify(&envelope, TYPE, &[key(1).public(), key(2).public()], 1).is_ok());
        assert!(verify(&envelope, TYPE, &[key(2).public()], 1).is_err());
    }

    #[test]
    fn a_threshold_of_zero_is_never_met() {
        let envelope = sign(TYPE, b"body".to_vec(), &[]);
        assert!(verify(&envelope, TYPE, &[], 0).is_err());
    }

    #[test]
    fn sizes_come_first() {
        let keys = [key(1).public()];
        let huge = sign(TYPE, vec![0; PAYLOAD_MAX + 1], &[&key(1)]);
        assert!(matches!(verify(&huge, TYPE, &keys, 1), Err(VerifyError::Oversized { part: "payload", .. })));
        let mut many = sign(TYPE, b"body".to_vec(), &[&key(1)]);
        many.signatures = vec![many.signatures[0].clone(); SIGNATURES_MAX + 1];
        assert!(matches!(verify(&many, TYPE, &keys, 1), Err(VerifyError::Oversized { .. })));
    }
}

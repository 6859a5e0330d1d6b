//! Keys, their ids, and the one-line text form of their files.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::text;

const SECRET_PREFIX: &str = "prunella-ed25519-secret:";
const PUBLIC_PREFIX: &str = "prunella-ed25519-public:";

/// Why a text is not a key. It never repeats the text, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    /// It begins otherwise.
    #[error("this is not a {expected} key: its one line must begin with \"{prefix}\"")]
    Prefix {
        /// Secret or public.
        expected: &'static str,
        /// How it must begin.
        prefix: &'static str,
    },
    /// A public key stands where a secret one is needed, or the other way round.
    #[error("this is a {found} key, but a {expected} key is needed here")]
    Kind {
        /// What it is.
        found: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// What follows the prefix is damaged.
    #[error("the {expected} key is damaged: 32 bytes of base64 must follow its prefix")]
    Damaged {
        /// Secret or public.
        expected: &'static str,
    },
    /// The bytes are no key that may be trusted.
    #[error("the public key is weak or not a point of the curve; make a new one")]
    Weak,
}

/// A key that signs. Wiped from memory when dropped; `Debug` shows only the id of its public half.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key that these 32 bytes of entropy are the seed of. The caller wipes its copy.
    #[must_use]
    pub fn from_entropy(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The text form, one line without its end, for a file that only its owner may read.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let base64 = Zeroizing::new(text::encode(self.0.as_bytes()));
        Zeroizing::new(format!("{SECRET_PREFIX}{}", base64.as_str()))
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl FromStr for SecretKey {
    type Err = KeyTextError;
    fn from_str(line: &str) -> Result<Self, KeyTextError> {
        let mut seed = parse(line, "secret", SECRET_PREFIX, ("public", PUBLIC_PREFIX))?;
        let key = Self::from_entropy(&seed);
        seed.zeroize();
        Ok(key)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public().id())
    }
}

/// A key that verifies. Never weak (of small order): such a key would verify anything.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// A key of its 32 bytes.
    ///
    /// # Errors
    /// [`KeyTextError::Weak`] when they are no point of the curve, or one of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyTextError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyTextError::Weak)?;
        if key.is_weak() { Err(KeyTextError::Weak) } else { Ok(Self(key)) }
    }

    /// Its 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Its id: the first 8 bytes of its SHA-256, in hex.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let digest = Sha256::digest(self.0.as_bytes());
        KeyId(digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", text::encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

impl FromStr for PublicKey {
    type Err = KeyTextError;
    fn from_str(line: &str) -> Result<Self, KeyTextError> {
        Self::from_bytes(&parse(line, "public", PUBLIC_PREFIX, ("secret", SECRET_PREFIX))?)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyTextError;
    fn try_from(line: String) -> Result<Self, KeyTextError> {
        line.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

/// A short name of a public key, for people and as a hint in envelopes. It proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(String);

impl KeyId {
    /// The id as text: 16 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

fn parse(
    line: &str,
    expected: &'static str,
    prefix: &'static str,
    other: (&'static str, &'static str),
) -> Result<[u8; 32], KeyTextError> {
    let line = line.trim();
    let Some(base64) = line.strip_prefix(prefix) else {
        return Err(if line.starts_with(other.1) {
            KeyTextError::Kind { found: other.0, expected }
        } else {
            KeyTextError::Prefix { expected, prefix }
        });
    };
    let bytes = Zeroizing::new(text::decode(base64).ok_or(KeyTextError::Damaged { expected })?);
    <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| KeyTextError::Damaged { expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_as_written() {
        let key = SecretKey::from_entropy(&[7; 32]);
        let again: SecretKey = format!("{}\n", key.to_text().as_str()).parse().unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(key.public().to_string().parse::<PublicKey>().unwrap(), key.public());
        assert_eq!(key.public().id().as_str().len(), 16);
    }

    #[test]
    fn a_secret_is_never_shown() {
        let key = SecretKey::from_entropy(&[7; 32]);
        let shown = format!("{key:?}");
        assert!(!shown.contains("7, 7") && !shown.contains("BwcH"), "{shown}");
        let truncated = &key.to_text().as_str()[..40].to_owned();
        let error = truncated.parse::<SecretKey>().unwrap_err();
        assert!(!error.to_string().contains("BwcH"));
    }

    #[test]
    fn a_wrong_key_file_is_named_as_what_it_is() {
        let key = SecretKey::from_entropy(&[7; 32]);
        assert_eq!(
            key.public().to_string().parse::<SecretKey>().unwrap_err(),
            KeyTextError::Kind { found: "public", expected: "secret" }
        );
        assert!(matches!("-----BEGIN".parse::<SecretKey>(), Err(KeyTextError::Prefix { .. })));
        assert!(matches!("prunella-ed25519-public:AAA=".parse::<PublicKey>(), Err(KeyTextError::Damaged { .. })));
    }

    #[test]
    fn a_key_of_small_order_is_refused() {
        // The identity: with it, one signature would be good for every message.
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(PublicKey::from_bytes(&identity), Err(KeyTextError::Weak));
        assert_eq!(PublicKey::from_bytes(&[0; 32]), Err(KeyTextError::Weak));
    }
}

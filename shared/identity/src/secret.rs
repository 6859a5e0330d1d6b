//! Random secrets, of which a server keeps only hashes, and the text form of what carries them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// How many bytes of checksum end a token's text, so that a token cut off or mistyped is named as such.
const CHECKSUM: usize = 4;

/// 32 random bytes that prove a permission. Never shown by `Debug`, wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    /// A new secret from the system's random source.
    ///
    /// # Errors
    /// When the system has none, which practically never happens.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// A secret of its bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Its bytes, to be sent over an encrypted connection only.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its hash, which is all that a server keeps.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        let mut digest = Sha256::new();
        digest.update(b"prunella-secret-1");
        digest.update(self.0.as_slice());
        SecretHash(digest.finalize().into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The hash of a [`Secret`]. Secrets are random, so no salt and no slow hash is needed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// Whether this is the hash of `secret`, compared in constant time.
    #[must_use]
    pub fn is_of(&self, secret: &Secret) -> bool {
        self.0.ct_eq(&secret.hash().0).into()
    }
}

impl fmt::Display for SecretHash {
    /// The first bytes, in hex: enough to tell tokens apart in a list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why a text could not be unwrapped.
pub(crate) enum Unwrapped {
    /// It begins otherwise.
    Foreign,
    /// Its checksum does not fit, or it has letters that cannot be there.
    Damaged,
}

/// `prefix` and the payload with its checksum in base64url.
pub(crate) fn wrap(prefix: &str, payload: &[u8]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(payload.to_vec());
    bytes.extend_from_slice(&checksum(prefix, payload));
    let base64 = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
    Zeroizing::new(format!("{prefix}{}", base64.as_str()))
}

/// The payload that [`wrap`] was given.
pub(crate) fn unwrap(prefix: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, Unwrapped> {
    let base64 = text.trim().strip_prefix(prefix).ok_or(Unwrapped::Foreign)?;
    let mut bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(base64).map_err(|_| Unwrapped::Damaged)?);
    let length = bytes.len().checked_sub(CHECKSUM).ok_or(Unwrapped::Damaged)?;
    if bytes.get(length..) != Some(checksum(prefix, &bytes[..length]).as_slice()) {
        return Err(Unwrapped::Damaged);
    }
    bytes.truncate(length);
    Ok(bytes)
}

fn checksum(prefix: &str, payload: &[u8]) -> [u8; CHECKSUM] {
    let mut digest = Sha256::new();
    digest.update(prefix.as_bytes());
    digest.update(payload);
    let [a, b, c, d, ..] = <[u8; 32]>::from(digest.finalize());
    [a, b, c, d]
}

//! Bearer tokens of operators, and why a grant does not hold.

use std::str::FromStr;

use prunella_model::{HostId, OperatorName, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::peer::Role;
use crate::secret::{self, Secret, SecretHash};

const PREFIX: &str = "prunella-token-1.";

/// Why a secret permits nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefusal {
    /// Nobody gave it out, or it was revoked.
    #[error("the token is not known here; make a new one with `prunella token create`")]
    Unknown,
    /// Used before.
    #[error("the join token has been used already; make a new one with `prunella token create`")]
    Used,
    /// Too late.
    #[error("the token expired {ago} s ago; make a new one with `prunella token create`")]
    Expired {
        /// How long ago, in seconds.
        ago: u64,
    },
    /// For another host.
    #[error("the join token is for host {only} alone; make one for this host with `prunella token create`")]
    OtherHost {
        /// The host that it is for.
        only: HostId,
    },
}

/// Why a text is not an operator's token. It never repeats the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorTokenError {
    /// Something else altogether.
    #[error("this is not an operator's token: it must begin with {PREFIX:?}")]
    Foreign,
    /// Cut off or mistyped.
    #[error("the operator's token is damaged, perhaps cut off: copy the whole line again")]
    Damaged,
}

/// An operator's bearer token.
#[derive(Debug, Clone)]
pub struct OperatorToken(pub Secret);

impl OperatorToken {
    /// The token as one line of text. It is a secret.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        secret::wrap(PREFIX, self.0.as_bytes())
    }
}

impl FromStr for OperatorToken {
    type Err = OperatorTokenError;
    fn from_str(text: &str) -> Result<Self, OperatorTokenError> {
        let bytes = secret::unwrap(PREFIX, text).map_err(|wrong| match wrong {
            secret::Unwrapped::Foreign => OperatorTokenError::Foreign,
            secret::Unwrapped::Damaged => OperatorTokenError::Damaged,
        })?;
        let bytes = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| OperatorTokenError::Damaged)?;
        Ok(Self(Secret::from_bytes(bytes)))
    }
}

/// What a server remembers of an operator's token: never its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorGrant {
    /// The hash of its secret.
    pub hash: SecretHash,
    /// Whose it is.
    pub operator: OperatorName,
    /// What it permits.
    pub role: Role,
    /// Until when; null means until it is revoked.
    pub expires_at: Option<Timestamp>,
}

impl OperatorGrant {
    /// Whether the token is this grant's and good now.
    ///
    /// # Errors
    /// [`GrantRefusal`] says why not.
    pub fn check(&self, token: &OperatorToken, now: Timestamp) -> Result<(), GrantRefusal> {
        if !self.hash.is_of(&token.0) {
            return Err(GrantRefusal::Unknown);
        }
        match self.expires_at {
            Some(end) if now > end => Err(GrantRefusal::Expired { ago: now.since(end).as_secs() }),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_is_checked() {
        let token = OperatorToken(Secret::from_bytes([9; 32]));
        let again: OperatorToken = token.to_text().parse().unwrap();
        let now = Timestamp::from_secs(1_000);
        let grant = OperatorGrant {
            hash: token.0.hash(),
            operator: OperatorName::new("ada").unwrap(),
            role: Role::Viewer,
            expires_at: Some(now),
        };
        assert_eq!(grant.check(&again, now), Ok(()));
        assert_eq!(grant.check(&again, Timestamp::from_secs(1_005)), Err(GrantRefusal::Expired { ago: 5 }));
        let other = OperatorToken(Secret::from_bytes([1; 32]));
        assert_eq!(grant.check(&other, now), Err(GrantRefusal::Unknown));
        assert_eq!(token.to_text()[..30].parse::<OperatorToken>().unwrap_err(), OperatorTokenError::Damaged);
        assert_eq!("x".parse::<OperatorToken>().unwrap_err(), OperatorTokenError::Foreign);
    }
}

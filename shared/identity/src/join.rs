//! Join tokens: one line of text with everything that a new host needs in order to enrol.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use prunella_model::{FleetName, HostId, Timestamp};
use prunella_seal::PublicKey;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::peer::CaPin;
use crate::secret::{self, Secret, SecretHash};
use crate::token::GrantRefusal;

const PREFIX: &str = "prunella-join-1.";

/// How long a join token is good: long enough to paste it on the new host.
pub const JOIN_LIFE: Duration = Duration::from_secs(600);

/// The longest address, in bytes: a DNS name and a port.
const ADDRESS_MAX: usize = 255;

/// The most root keys that a token can pin.
const ROOTS_MAX: usize = 16;

/// Why a text is not a join token. It never repeats the text, which is a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinTokenError {
    /// Something else altogether.
    #[error(
        "this is not a join token: it must begin with {PREFIX:?}; make one with `prunella token create` on the server"
    )]
    Foreign,
    /// A later version's.
    #[error("this join token was made by a newer version; upgrade prunella on this host")]
    Newer,
    /// Cut off or mistyped.
    #[error("the join token is damaged, perhaps cut off: copy the whole line again")]
    Damaged,
    /// The pinned authority is another one.
    #[error(
        "the server's certificate authority is {found}, but the join token pins {pinned}; \
         check the server's address, or make a new token"
    )]
    WrongCa {
        /// The pin of the authority that was presented.
        found: CaPin,
        /// The pin in the token.
        pinned: CaPin,
    },
    /// A part does not fit into a token.
    #[error("a join token cannot hold this: {why}")]
    Unfit {
        /// Which part.
        why: &'static str,
    },
}

/// What a join token carries. `Debug` and errors never show its secret.
#[derive(Debug, Clone)]
pub struct JoinToken {
    /// The fleet.
    pub fleet: FleetName,
    /// The address of the server's control listener, `host:port`.
    pub control: String,
    /// Good for one enrolment.
    pub secret: Secret,
    /// The fleet's certificate authority.
    pub ca: CaPin,
    /// The fleet's root keys.
    pub roots: Vec<PublicKey>,
    /// How many of them must sign a fleet file.
    pub threshold: u32,
}

impl JoinToken {
    /// The token as one line of text. It is a secret until it is used or lapses.
    ///
    /// # Errors
    /// [`JoinTokenError::Unfit`] when the address is longer than 255 bytes, or there are no roots or more than 16.
    pub fn to_text(&self) -> Result<Zeroizing<String>, JoinTokenError> {
        let unfit = |why| JoinTokenError::Unfit { why };
        if self.control.is_empty() || self.control.len() > ADDRESS_MAX {
            return Err(unfit("the address must have 1 to 255 bytes"));
        }
        if self.roots.is_empty() || self.roots.len() > ROOTS_MAX {
            return Err(unfit("there must be 1 to 16 root keys"));
        }
        if self.threshold == 0 || self.threshold as usize > self.roots.len() {
            return Err(unfit("the threshold must be between 1 and the number of root keys"));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(512));
        for text in [self.fleet.as_str(), &self.control] {
            // Both lengths were checked to fit a byte.
            bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.extend_from_slice(self.secret.as_bytes());
        bytes.extend_from_slice(&self.ca.0);
        bytes.push(u8::try_from(self.threshold).unwrap_or(u8::MAX));
        for root in &self.roots {
            bytes.extend_from_slice(root.as_bytes());
        }
        Ok(secret::wrap(PREFIX, &bytes))
    }

    /// Checks the authority's certificate that the server sent with the enrolment.
    ///
    /// # Errors
    /// [`JoinTokenError::WrongCa`] when it is not the pinned one.
    pub fn check_ca(&self, ca: &CertificateDer<'_>) -> Result<(), JoinTokenError> {
        let found = CaPin::of(ca);
        if found == self.ca { Ok(()) } else { Err(JoinTokenError::WrongCa { found, pinned: self.ca }) }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let fleet = FleetName::new(take_text(&mut rest)?).ok()?;
        let control = take_text(&mut rest)?.to_owned();
        let (secret, after) = rest.split_first_chunk::<32>()?;
        let (ca, after) = after.split_first_chunk::<32>()?;
        let (threshold, mut rest) = after.split_first()?;
        let mut roots = Vec::new();
        while let Some((root, after)) = rest.split_first_chunk::<32>() {
            roots.push(PublicKey::from_bytes(root).ok()?);
            rest = after;
        }
        let threshold = u32::from(*threshold);
        let sound = rest.is_empty() && !control.is_empty() && threshold > 0 && threshold as usize <= roots.len();
        let token = Self { fleet, control, secret: Secret::from_bytes(*secret), ca: CaPin(*ca), roots, threshold };
        sound.then_some(token)
    }
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (length, after) = rest.split_first()?;
    let (text, after) = after.split_at_checked(usize::from(*length))?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

impl FromStr for JoinToken {
    type Err = JoinTokenError;
    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        let bytes = secret::unwrap(PREFIX, text).map_err(|wrong| match wrong {
            secret::Unwrapped::Damaged => JoinTokenError::Damaged,
            secret::Unwrapped::Foreign => match text.trim().strip_prefix("prunella-join-") {
                // A prefix cut short is damage, another number a later version.
                Some(rest) if rest.split('.').next().is_some_and(|it| it.parse::<u32>().is_ok_and(|n| n > 1)) => {
                    JoinTokenError::Newer
                }
                Some(_) => JoinTokenError::Damaged,
                None => JoinTokenError::Foreign,
            },
        })?;
        Self::read(&bytes).ok_or(JoinTokenError::Damaged)
    }
}

/// What a server remembers of a join token: never its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinGrant {
    /// The hash of its secret.
    pub hash: SecretHash,
    /// The only host that it is good for; null means any.
    pub host: Option<HostId>,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// When it was used; null while it can still be.
    pub used_at: Option<Timestamp>,
}

impl JoinGrant {
    /// A grant for a new token.
    #[must_use]
    pub fn new(secret: &Secret, host: Option<HostId>, now: Timestamp, life: Duration) -> Self {
        Self { hash: secret.hash(), host, expires_at: now.after(life), used_at: None }
    }

    /// Whether `secret` may enrol `host` now. The caller then sets `used_at` and stores it *before* it issues anything.
    ///
    /// # Errors
    /// [`GrantRefusal`] says why not. Only who knows the secret learns more than that it is unknown.
    pub fn check(&self, secret: &Secret, host: &HostId, now: Timestamp) -> Result<(), GrantRefusal> {
        if !self.hash.is_of(secret) {
            return Err(GrantRefusal::Unknown);
        }
        if self.used_at.is_some() {
            return Err(GrantRefusal::Used);
        }
        if now > self.expires_at {
            return Err(GrantRefusal::Expired { ago: now.since(self.expires_at).as_secs() });
        }
        match &self.host {
            Some(only) if only != host => Err(GrantRefusal::OtherHost { only: only.clone() }),
            Some(_) | None => Ok(()),
        }
    }
}

impl fmt::Display for JoinGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken {
            fleet: FleetName::new("demo").unwrap(),
            control: "127.0.0.1:7443".to_owned(),
            secret: Secret::from_bytes([7; 32]),
            ca: CaPin([8; 32]),
            roots: vec![prunella_seal::SecretKey::from_entropy(&[1; 32]).public()],
            threshold: 1,
        }
    }

    #[test]
    fn a_token_reads_back_as_written() {
        let text = token().to_text().unwrap();
        let again: JoinToken = format!("  {}\n", text.as_str()).parse().unwrap();
        assert_eq!((&again.fleet, &again.control, again.ca), (&token().fleet, &token().control, token().ca));
        assert_eq!((again.roots, again.threshold), (token().roots, 1));
        assert_eq!(again.secret.as_bytes(), &[7; 32]);
    }

    #[test]
    fn a_token_cut_anywhere_or_mistyped_is_named_as_such() {
        let text = token().to_text().unwrap();
        for cut in "prunella-join-".len()..text.len() {
            assert_eq!(text[..cut].parse::<JoinToken>().unwrap_err(), JoinTokenError::Damaged, "cut at {cut}");
        }
        for at in PREFIX.len()..text.len() {
            let mut typo = text.as_bytes().to_vec();
            typo[at] = if typo[at] == b'A' { b'B' } else { b'A' };
            let typo = String::from_utf8(typo).unwrap();
            assert_eq!(typo.parse::<JoinToken>().unwrap_err(), JoinTokenError::Damaged, "typo at {at}");
        }
        assert_eq!("".parse::<JoinToken>().unwrap_err(), JoinTokenError::Foreign);
        assert_eq!("eyJhbGciOi".parse::<JoinToken>().unwrap_err(), JoinTokenError::Foreign);
        assert_eq!("prunella-join-2.AAAA".parse::<JoinToken>().unwrap_err(), JoinTokenError::Newer);
    }

    #[test]
    fn a_token_never_shows_its_secret() {
        let shown = format!("{:?}", token());
        assert!(!shown.contains("7, 7") && shown.contains("Secret(…)"), "{shown}");
    }

    #[test]
    fn a_grant_is_good_once_in_time_for_its_host() {
        let now = Timestamp::from_secs(1_000);
        let (h1, h2) = (HostId::new("h1").unwrap(), HostId::new("h2").unwrap());
        let secret = Secret::from_bytes([7; 32]);
        let mut grant = JoinGrant::new(&secret, Some(h1.clone()), now, JOIN_LIFE);
        assert_eq!(grant.check(&secret, &h1, now), Ok(()));
        assert_eq!(grant.check(&secret, &h2, now), Err(GrantRefusal::OtherHost { only: h1.clone() }));
        assert_eq!(grant.check(&Secret::from_bytes([8; 32]), &h1, now), Err(GrantRefusal::Unknown));
        let late = now.after(JOIN_LIFE + Duration::from_secs(1));
        assert_eq!(grant.check(&secret, &h1, late), Err(GrantRefusal::Expired { ago: 1 }));
        grant.used_at = Some(now);
        assert_eq!(grant.check(&secret, &h1, now), Err(GrantRefusal::Used));
    }

    #[test]
    fn another_authority_than_the_pinned_one_is_refused() {
        let error = token().check_ca(&CertificateDer::from(vec![1, 2, 3])).unwrap_err();
        assert!(error.to_string().contains("pins sha256:0808"), "{error}");
    }
}

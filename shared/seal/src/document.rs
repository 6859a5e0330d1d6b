//! The two documents of authority: the fleet file and the delegation.

use std::sync::Arc;
use std::time::Duration;

use prunella_model::command::Envelope;
use prunella_model::step::{Risk, StepKind};
use prunella_model::{FleetName, HostId, OperatorName, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::envelope::{JsonError, VerifyError, sign, verify};
use crate::key::{PublicKey, SecretKey};
use crate::{DELEGATION_TYPE, FLEET_TYPE};

/// The schema of both documents that this program writes; it refuses a newer one.
pub const DOCUMENT_SCHEMA: u32 = 1;

/// The longest life of a delegation: a stolen server key is worthless after it.
pub const DELEGATION_MAX: Duration = Duration::from_secs(24 * 3600);

/// How far the clocks of signer and verifier may differ before a fresh delegation seems to lie in the future.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(300);

/// Why a document is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Its envelope does not verify.
    #[error("the {document} is not signed as it must be")]
    Envelope {
        /// Which document.
        document: &'static str,
        /// What is wrong with the envelope.
        #[source]
        source: VerifyError,
    },
    /// Signed, but not readable.
    #[error("the {document} is signed, but unreadable")]
    Unreadable {
        /// Which document.
        document: &'static str,
        /// What the reader says.
        #[source]
        source: Arc<JsonError>,
    },
    /// Readable, but without meaning.
    #[error("the {document} makes no sense: {why}")]
    Senseless {
        /// Which document.
        document: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// A key that may sign delegations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signer {
    /// The key.
    pub key: PublicKey,
    /// Until when, in microseconds since the Unix epoch.
    pub not_after: Timestamp,
}

/// An operator whose signature counts as an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approver {
    /// The operator. One operator counts once, however many keys are listed.
    pub operator: OperatorName,
    /// The operator's key.
    pub key: PublicKey,
}

/// Who has authority in a fleet. Signed by the root keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetFile {
    /// The schema it is written in.
    pub schema: u32,
    /// The fleet.
    pub fleet: FleetName,
    /// Rises with each change; an agent refuses a lower one than it has seen.
    pub version: u64,
    /// The root keys from this version on.
    pub root_keys: Vec<PublicKey>,
    /// How many of them must sign a fleet file.
    pub root_threshold: u32,
    /// Who may sign delegations.
    pub signers: Vec<Signer>,
    /// Whose signatures count as approvals.
    #[serde(default)]
    pub approvers: Vec<Approver>,
    /// How many operators must approve a dangerous repair.
    pub dangerous_approvals: u32,
}

impl FleetFile {
    /// Signs it with the root keys.
    #[must_use]
    pub fn sign(&self, roots: &[&SecretKey]) -> Envelope {
        sign(FLEET_TYPE, to_json(self), roots)
    }

    /// Reads it from an envelope that `threshold` of `roots` have signed, and that its own root keys have signed too:
    /// whoever hands over to new roots shows that those exist.
    ///
    /// # Errors
    /// [`DocumentError`] says what is wrong.
    pub fn verify(envelope: &Envelope, roots: &[PublicKey], threshold: u32) -> Result<Self, DocumentError> {
        const DOCUMENT: &str = "fleet file";
        let signed_by = |roots: &[PublicKey], threshold: u32| {
            verify(envelope, FLEET_TYPE, roots, threshold as usize)
                .map_err(|source| DocumentError::Envelope { document: DOCUMENT, source })
        };
        let file: Self = from_json(DOCUMENT, signed_by(roots, threshold)?)?;
        let senseless = |why: &str| Err(DocumentError::Senseless { document: DOCUMENT, why: why.to_owned() });
        if file.schema > DOCUMENT_SCHEMA {
            return senseless("it was written by a newer version; upgrade this program");
        }
        if file.root_threshold == 0 {
            return senseless("its root threshold is 0, so that anybody could change it");
        }
        signed_by(&file.root_keys, file.root_threshold)?;
        Ok(file)
    }
}

/// Which hosts a delegation covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostScope {
    /// Every host of the fleet.
    All,
    /// These hosts only.
    Only(Vec<HostId>),
}

/// What a delegated key may order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// The highest risk.
    pub max_risk: Risk,
    /// Which hosts.
    pub hosts: HostScope,
    /// The most commands for one host in any hour.
    pub per_hour: u32,
    /// The kinds of step; null means all.
    #[serde(default)]
    pub steps: Option<Vec<StepKind>>,
}

/// The authority of a server's key, for a time. Signed by a fleet signer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegation {
    /// The schema it is written in.
    pub schema: u32,
    /// The fleet.
    pub fleet: FleetName,
    /// Rises with each delegation; deliveries name it.
    pub version: u64,
    /// The server's key.
    pub key: PublicKey,
    /// Since when.
    pub not_before: Timestamp,
    /// Until when; at most [`DELEGATION_MAX`] after `not_before`.
    pub not_after: Timestamp,
    /// What it may order.
    pub scope: Scope,
}

impl Delegation {
    /// Signs it with a fleet signer's key.
    #[must_use]
    pub fn sign(&self, signer: &SecretKey) -> Envelope {
        sign(DELEGATION_TYPE, to_json(self), &[signer])
    }

    /// Reads it from an envelope that one of the fleet file's signers has signed who may still do so at `now`.
    ///
    /// Whether the delegation itself is in force is [`Delegation::check_time`]'s to say: it changes while it is held.
    ///
    /// # Errors
    /// [`DocumentError`] says what is wrong.
    pub fn verify(envelope: &Envelope, fleet: &FleetFile, now: Timestamp) -> Result<Self, DocumentError> {
        const DOCUMENT: &str = "delegation";
        let signers: Vec<PublicKey> = fleet.signers.iter().filter(|it| now <= it.not_after).map(|it| it.key).collect();
        let payload = verify(envelope, DELEGATION_TYPE, &signers, 1)
            .map_err(|source| DocumentError::Envelope { document: DOCUMENT, source })?;
        let it: Self = from_json(DOCUMENT, payload)?;
        let senseless = |why: String| Err(DocumentError::Senseless { document: DOCUMENT, why });
        if it.schema > DOCUMENT_SCHEMA {
            return senseless("it was written by a newer version; upgrade this program".to_owned());
        }
        if it.fleet != fleet.fleet {
            return senseless(format!("it is for fleet {}, not for {}", it.fleet, fleet.fleet));
        }
        if it.not_after <= it.not_before || it.not_after.since(it.not_before) > DELEGATION_MAX {
            return senseless("it must end after it begins, and within 24 hours".to_owned());
        }
        Ok(it)
    }

    /// Whether it is in force at `now`, with [`CLOCK_SKEW_MAX`] of tolerance at its beginning only.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check_time(&self, now: Timestamp) -> Result<(), String> {
        if now > self.not_after {
            let late = now.since(self.not_after).as_secs();
            return Err(format!("delegation {} expired {late} s ago", self.version));
        }
        if now.after(CLOCK_SKEW_MAX) < self.not_before {
            let early = self.not_before.since(now).as_secs();
            return Err(format!("delegation {} begins only in {early} s; check this host's clock", self.version));
        }
        Ok(())
    }
}

fn to_json<T: Serialize>(document: &T) -> Vec<u8> {
    // Names, numbers and lists always have a JSON form.
    serde_json::to_vec(document).unwrap_or_default()
}

pub(crate) fn from_json<T: DeserializeOwned>(document: &'static str, payload: &[u8]) -> Result<T, DocumentError> {
    serde_json::from_slice(payload)
        .map_err(|error| DocumentError::Unreadable { document, source: Arc::new(error.into()) })
}

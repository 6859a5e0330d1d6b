//! What an agent believes, and how it opens a command.

use std::collections::BTreeSet;
use std::fmt;

use prunella_model::command::{Delivery, Intent, SignedCommand, TrustBundle};
use prunella_model::outcome::Refusal;
use prunella_model::{FleetName, OperatorName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::document::{Delegation, DocumentError, FleetFile};
use crate::envelope::{VerifyError, check_sizes, signers, verify};
use crate::key::PublicKey;
use crate::{APPROVALS_MAX, COMMAND_TYPE, INTENT_TYPE, STANDING_TYPE};

/// Why documents of authority are not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// A document is not believed by itself.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// They are of another fleet.
    #[error("the fleet file is for fleet {found}, but this host belongs to {own}")]
    WrongFleet {
        /// The fleet it names.
        found: FleetName,
        /// The fleet of this host.
        own: FleetName,
    },
    /// Older than what was believed before.
    #[error("the {document} has version {found}, but {known} was seen before: somebody shows old documents")]
    Older {
        /// Which document.
        document: &'static str,
        /// Its version.
        found: u64,
        /// The highest seen.
        known: u64,
    },
    /// The delegation is not in force.
    #[error("the server has no authority now: {why}")]
    NotInForce {
        /// Why not.
        why: String,
    },
}

/// The root of an agent's trust, and how far it has come. The agent keeps it on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The fleet.
    pub fleet: FleetName,
    /// The root keys: pinned by the join token, later those of the newest fleet file.
    pub roots: Vec<PublicKey>,
    /// How many of them must sign a fleet file.
    pub threshold: u32,
    /// The highest version of the fleet file that was believed.
    pub fleet_version: u64,
    /// The highest version of the delegation that was believed.
    pub delegation_version: u64,
}

impl Anchor {
    /// The anchor at enrolment, from what the join token pins.
    #[must_use]
    pub fn new(fleet: FleetName, roots: Vec<PublicKey>, threshold: u32) -> Self {
        Self { fleet, roots, threshold, fleet_version: 0, delegation_version: 0 }
    }
}

/// A command whose signatures hold, decoded from exactly the bytes that were signed. The ward judges it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The delivery.
    pub delivery: Delivery,
    /// The intent that it carries.
    pub intent: Intent,
    /// How many operators have validly approved the intent's bytes.
    pub approvals: u32,
}

/// What an agent believes: a verified fleet file and a verified delegation.
#[derive(Debug, Clone)]
pub struct Trust {
    anchor: Anchor,
    fleet: FleetFile,
    delegation: Delegation,
}

impl Trust {
    /// Derives trust from the anchor and the two documents. The caller stores [`Trust::anchor`] before it acts on it.
    ///
    /// # Errors
    /// [`TrustError`] says which link of the chain does not hold.
    pub fn establish(anchor: &Anchor, bundle: &TrustBundle, now: Timestamp) -> Result<Self, TrustError> {
        let fleet = FleetFile::verify(&bundle.fleet, &anchor.roots, anchor.threshold)?;
        if fleet.fleet != anchor.fleet {
            return Err(TrustError::WrongFleet { found: fleet.fleet, own: anchor.fleet.clone() });
        }
        not_older("fleet file", fleet.version, anchor.fleet_version)?;
        let delegation = Delegation::verify(&bundle.delegation, &fleet, now)?;
        not_older("delegation", delegation.version, anchor.delegation_version)?;
        delegation.check_time(now).map_err(|why| TrustError::NotInForce { why })?;
        let anchor = Anchor {
            fleet: anchor.fleet.clone(),
            roots: fleet.root_keys.clone(),
            threshold: fleet.root_threshold,
            fleet_version: fleet.version,
            delegation_version: delegation.version,
        };
        Ok(Self { anchor, fleet, delegation })
    }

    /// Takes newer documents. On an error what was believed stays.
    ///
    /// # Errors
    /// Those of [`Trust::establish`].
    pub fn update(&mut self, bundle: &TrustBundle, now: Timestamp) -> Result<(), TrustError> {
        *self = Self::establish(&self.anchor, bundle, now)?;
        Ok(())
    }

    /// What to store, so that a restart cannot be shown older documents.
    #[must_use]
    pub fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// The fleet file in force.
    #[must_use]
    pub fn fleet(&self) -> &FleetFile {
        &self.fleet
    }

    /// The delegation, in force or expired since: the ward looks.
    #[must_use]
    pub fn delegation(&self) -> &Delegation {
        &self.delegation
    }

    /// Opens a command: size → signatures → type → decoding of those same bytes → count of approvals.
    ///
    /// The decoders come from outside (`prunella_proto::wire::{decode_delivery, decode_intent}`), because this crate
    /// knows nothing of the wire.
    ///
    /// # Errors
    /// A [`Refusal`] with its own code for each check. Nothing of the command may then be used.
    pub fn open_command<D: fmt::Display, I: fmt::Display>(
        &self,
        command: &SignedCommand,
        decode_delivery: impl FnOnce(&[u8]) -> Result<Delivery, D>,
        decode_intent: impl FnOnce(&[u8]) -> Result<Intent, I>,
    ) -> Result<Opened, Refusal> {
        let over = |found: usize, limit: usize| Refusal::Oversized { bytes: found as u64, limit: limit as u64 };
        if command.approvals.len() > APPROVALS_MAX {
            return Err(over(command.approvals.len(), APPROVALS_MAX));
        }
        for envelope in &command.approvals {
            check_sizes(envelope).map_err(refusal)?;
        }
        let bytes = verify(&command.delivery, COMMAND_TYPE, &[self.delegation.key], 1).map_err(refusal)?;
        let delivery = decode_delivery(bytes).map_err(|why| Refusal::Undecodable { why: why.to_string() })?;
        let intent = decode_intent(&delivery.intent).map_err(|why| Refusal::Undecodable { why: why.to_string() })?;
        let approvals = self.count_approvals(command, &delivery.intent);
        Ok(Opened { delivery, intent, approvals })
    }

    /// Opens a delivery of standing orders: signatures → type → decoding of the delivery. What it carries is decoded by
    /// the caller, from [`Delivery::intent`].
    ///
    /// # Errors
    /// A [`Refusal`] with its own code for each check.
    pub fn open_standing<D: fmt::Display>(
        &self,
        envelope: &prunella_model::command::Envelope,
        decode_delivery: impl FnOnce(&[u8]) -> Result<Delivery, D>,
    ) -> Result<Delivery, Refusal> {
        let bytes = verify(envelope, STANDING_TYPE, &[self.delegation.key], 1).map_err(refusal)?;
        decode_delivery(bytes).map_err(|why| Refusal::Undecodable { why: why.to_string() })
    }

    /// How many different operators have signed exactly these bytes of an intent.
    fn count_approvals(&self, command: &SignedCommand, intent: &[u8]) -> u32 {
        let keys: Vec<PublicKey> = self.fleet.approvers.iter().map(|it| it.key).collect();
        let mut found: Vec<PublicKey> = Vec::new();
        for envelope in &command.approvals {
            if envelope.payload_type == INTENT_TYPE && envelope.payload == intent {
                found.extend(signers(envelope, &keys));
            }
        }
        let approved = self.fleet.approvers.iter().filter(|it| found.contains(&it.key));
        // By key and by name: neither two keys of one person nor one key under two names count twice.
        let operators: BTreeSet<&OperatorName> = approved.clone().map(|it| &it.operator).collect();
        let keys: BTreeSet<&[u8; 32]> = approved.map(|it| it.key.as_bytes()).collect();
        u32::try_from(operators.len().min(keys.len())).unwrap_or(u32::MAX)
    }
}

fn not_older(document: &'static str, found: u64, known: u64) -> Result<(), TrustError> {
    if found < known { Err(TrustError::Older { document, found, known }) } else { Ok(()) }
}

fn refusal(error: VerifyError) -> Refusal {
    match error {
        VerifyError::Oversized { found, limit, .. } => Refusal::Oversized { bytes: found as u64, limit: limit as u64 },
        VerifyError::WrongType { found, .. } => Refusal::WrongType { found },
        VerifyError::TooFew { .. } | VerifyError::Json(_) => {
            Refusal::BadSignature { why: "the server's delegated key has not signed these bytes".to_owned() }
        }
    }
}

#[cfg(test)]
mod tests;

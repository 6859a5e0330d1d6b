//! The server's authority to command: the fleet file, and a delegation that is renewed before it ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prunella_model::command::{Envelope, TrustBundle};
use prunella_model::{FleetName, Timestamp};
use prunella_seal::{
    Anchor, DELEGATION_MAX, DOCUMENT_SCHEMA, Delegation, PublicKey, Scope, SecretKey, Trust, TrustError, VerifyError,
};

use crate::clock::Clock;
use crate::driver::{Inbox, Input};
use crate::files;

/// How often to look whether the delegation must be renewed, or was renewed by somebody else.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long before its end a delegation that nobody renews is worth a warning.
const WARN_BEFORE: Duration = Duration::from_secs(4 * 3600);

/// Why the server has no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] files::FileError),
    /// A file holds something else.
    #[error("{} is not a signed document", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: VerifyError,
    },
    /// The documents do not hold.
    #[error("the documents in {} and {} give this server no authority", fleet.display(), delegation.display())]
    Refused {
        /// The fleet file.
        fleet: PathBuf,
        /// The delegation.
        delegation: PathBuf,
        /// Which link of the chain is broken.
        source: TrustError,
    },
    /// The delegation is for another key.
    #[error(
        "the delegation in {} is for key {found}, but this server's key is {own}; \
         have a fleet signer delegate to that key", path.display()
    )]
    OtherKey {
        /// The delegation.
        path: PathBuf,
        /// The key that it names.
        found: String,
        /// The server's key.
        own: String,
    },
    /// The delegation has ended, and there is no signer's key here to renew it.
    #[error(
        "the delegation in {} {why}, and no signer key is configured to renew it; \
         put a new one there, or set [keys] signer", path.display()
    )]
    Ended {
        /// The delegation.
        path: PathBuf,
        /// Since when.
        why: String,
    },
}

/// Where the documents are, and the keys that go with them.
#[derive(Debug)]
pub struct Authority {
    fleet: FleetName,
    fleet_path: PathBuf,
    delegation_path: PathBuf,
    anchor: Anchor,
    server: PublicKey,
    /// Renews the delegation, when this machine may.
    signer: Option<SecretKey>,
}

/// An authority in force.
#[derive(Debug, Clone)]
pub struct Granted {
    /// What agents are shown.
    pub bundle: Arc<TrustBundle>,
    /// The delegation's version; deliveries name it.
    pub version: u64,
    /// Since when.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// What may be ordered.
    pub scope: Scope,
}

impl Granted {
    fn half_life(&self) -> Timestamp {
        self.not_before.after(self.not_after.since(self.not_before) / 2)
    }
}

impl Authority {
    /// The authority of the server with the key `server`, from two documents. `anchor` says which roots count.
    #[must_use]
    pub fn new(
        anchor: Anchor,
        fleet_path: &Path,
        delegation_path: &Path,
        server: PublicKey,
        signer: Option<SecretKey>,
    ) -> Self {
        let (fleet_path, delegation_path) = (fleet_path.to_owned(), delegation_path.to_owned());
        Self { fleet: anchor.fleet.clone(), fleet_path, delegation_path, anchor, server, signer }
    }

    /// Loads the documents, and renews the delegation if it is past its half-life and this machine may.
    ///
    /// # Errors
    /// [`AuthorityError`] when the server could not command anybody.
    pub fn load(&self, now: Timestamp) -> Result<Granted, AuthorityError> {
        let fleet = read_envelope(&self.fleet_path)?;
        let delegation = read_envelope(&self.delegation_path)?;
        let fleet_file = prunella_seal::FleetFile::verify(&fleet, &self.anchor.roots, self.anchor.threshold)
            .map_err(|source| self.refused(source.into()))?;
        // A delegation that ended while the server was down is verified like any other: its version and scope count.
        let it = Delegation::verify(&delegation, &fleet_file, now).map_err(|source| self.refused(source.into()))?;
        let granted = Granted {
            version: it.version,
            not_before: it.not_before,
            not_after: it.not_after,
            scope: it.scope,
            bundle: Arc::new(TrustBundle { fleet, delegation }),
        };
        if it.key != self.server && self.signer.is_none() {
            let (found, own) = (it.key.id().to_string(), self.server.id().to_string());
            return Err(AuthorityError::OtherKey { path: self.delegation_path.clone(), found, own });
        }
        let granted = if now >= granted.half_life() || it.key != self.server {
            self.renew(&granted, now)?.unwrap_or(granted)
        } else {
            granted
        };
        if now > granted.not_after {
            let why = format!("ended {} s ago", now.since(granted.not_after).as_secs());
            return Err(AuthorityError::Ended { path: self.delegation_path.clone(), why });
        }
        Trust::establish(&self.anchor, &granted.bundle, now).map_err(|source| self.refused(source))?;
        Ok(granted)
    }

    fn refused(&self, source: TrustError) -> AuthorityError {
        AuthorityError::Refused { fleet: self.fleet_path.clone(), delegation: self.delegation_path.clone(), source }
    }

    /// Signs the next delegation with the same scope and writes it down, when this machine holds the signer's key.
    fn renew(&self, old: &Granted, now: Timestamp) -> Result<Option<Granted>, AuthorityError> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let next = delegate(&self.fleet, old.version, self.server, old.scope.clone(), now);
        let envelope = next.sign(signer);
        // On disk before anybody sees it: agents refuse an older version than they have seen.
        files::replace(&self.delegation_path, prunella_seal::envelope_to_json(&envelope).as_bytes(), files::PUBLIC)?;
        tracing::info!(target: "prunella::server", version = next.version, "the delegation was renewed");
        let bundle = Arc::new(TrustBundle { fleet: old.bundle.fleet.clone(), delegation: envelope });
        Ok(Some(Granted {
            bundle,
            version: next.version,
            not_before: next.not_before,
            not_after: next.not_after,
            scope: next.scope,
        }))
    }

    /// Keeps the authority in force for as long as the server runs.
    pub async fn keep(self, mut granted: Granted, clock: Clock, inbox: Inbox) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = clock.now();
            match self.load(now) {
                Ok(newer) if newer.version > granted.version => {
                    granted = newer.clone();
                    if inbox.put(Input::Renewed(Box::new(newer))).await.is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(error) => tracing::error!(
                    target: "prunella::server",
                    error = &error as &dyn std::error::Error,
                    "cannot renew the server's authority"
                ),
            }
            let left = granted.not_after.since(now);
            if self.signer.is_none() && left < WARN_BEFORE {
                tracing::warn!(
                    target: "prunella::server",
                    minutes_left = left.as_secs() / 60,
                    file = %self.delegation_path.display(),
                    "the delegation ends soon; have a fleet signer renew it, or no repair will be possible"
                );
            }
        }
    }
}

/// The delegation after `version`, for the longest time that is allowed.
#[must_use]
pub fn delegate(fleet: &FleetName, version: u64, server: PublicKey, scope: Scope, now: Timestamp) -> Delegation {
    Delegation {
        schema: DOCUMENT_SCHEMA,
        fleet: fleet.clone(),
        // Above all earlier ones even when the file of the latest was restored from an old backup.
        version: (version + 1).max(now.as_secs()),
        key: server,
        not_before: now,
        not_after: now.after(DELEGATION_MAX),
        scope,
    }
}

fn read_envelope(path: &Path) -> Result<Envelope, AuthorityError> {
    let text = files::read_text(path)?;
    prunella_seal::envelope_from_json(&text)
        .map_err(|source| AuthorityError::Unreadable { path: path.to_owned(), source })
}

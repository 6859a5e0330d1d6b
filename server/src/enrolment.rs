//! Who is a member of the fleet: join tokens, enrolments, renewals, removals.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prunella_identity::{AGENT_LIFE, FleetCa, GrantRefusal, IssueError, Issued, JoinGrant, PeerCertificate, Secret};
use prunella_model::record::AuditEntry;
use prunella_model::{HostId, OperatorName, Timestamp};
use serde::{Deserialize, Serialize};
use tonic::{Code, Status};

use crate::rpc::error;
use crate::store::repository::{ENROLMENTS, JOINS, Repository, RepositoryError};
use crate::store::{Backend, Guard, StoreError};

/// What is known of a host's membership. It is kept when the host is removed, so that its number never comes again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// The host.
    pub host: HostId,
    /// Rises with each enrolment of that host, from 1.
    pub number: u64,
    /// When it was enrolled.
    pub enrolled_at: Timestamp,
    /// When it was removed; null while it is a member.
    pub removed_at: Option<Timestamp>,
}

/// Why a host did not become or stay a member.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The token permits nothing.
    #[error(transparent)]
    Token(#[from] GrantRefusal),
    /// The request for a certificate cannot be granted.
    #[error(transparent)]
    Certificate(#[from] IssueError),
    /// The store failed.
    #[error("the enrolment could not be stored")]
    Store(#[from] RepositoryError),
    /// The system gave no randomness.
    #[error("the system gave no random bytes")]
    Random(#[from] getrandom::Error),
}

impl From<EnrolError> for Status {
    fn from(error: EnrolError) -> Self {
        match &error {
            EnrolError::Token(refusal) => {
                let reason = match refusal {
                    GrantRefusal::Unknown => "TOKEN_UNKNOWN",
                    GrantRefusal::Used => "TOKEN_USED",
                    GrantRefusal::Expired { .. } => "TOKEN_EXPIRED",
                    GrantRefusal::OtherHost { .. } => "TOKEN_FOR_OTHER_HOST",
                };
                error::unauthenticated(reason, refusal.to_string())
            }
            EnrolError::Certificate(it) => match it {
                IssueError::Request { .. } => error::invalid("certificate_request", it),
                IssueError::TooLate => error::unauthenticated("RENEWAL_TOO_LATE", it.to_string()),
                IssueError::OtherKey => error::status(Code::PermissionDenied, "OTHER_KEY", it.to_string(), &[]),
                IssueError::NotAnAgent => error::status(Code::PermissionDenied, "NOT_AN_AGENT", it.to_string(), &[]),
                IssueError::Authority { .. }
                | IssueError::BadServerName { .. }
                | IssueError::Random(_)
                | IssueError::Make(_) => error::internal("making the certificate", &error),
            },
            EnrolError::Store(_) => error::internal("storing the enrolment", &error),
            EnrolError::Random(_) => error::internal("making a token", &error),
        }
    }
}

/// The members of the fleet, and how hosts become and stay members.
pub struct Enrolments {
    repository: Arc<Repository<Backend>>,
    ca: FleetCa,
    /// What is stored, for the gate: it looks at each request.
    known: Mutex<BTreeMap<HostId, Enrolment>>,
}

impl std::fmt::Debug for Enrolments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enrolments").field("known", &self.known().len()).finish_non_exhaustive()
    }
}

impl Enrolments {
    /// Loads the members from the store.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn load(repository: Arc<Repository<Backend>>, ca: FleetCa) -> Result<Self, RepositoryError> {
        let stored: Vec<(String, Enrolment)> = repository.read_all(ENROLMENTS).await?;
        let known = stored.into_iter().map(|(_, it)| (it.host.clone(), it)).collect();
        Ok(Self { repository, ca, known: Mutex::new(known) })
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<HostId, Enrolment>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fleet's certificate authority.
    #[must_use]
    pub fn ca(&self) -> &FleetCa {
        &self.ca
    }

    /// Whether this enrolment of a host is its current one, and the host a member.
    ///
    /// # Errors
    /// The status for the caller.
    pub fn check(&self, host: &HostId, number: u64) -> Result<(), Status> {
        let denied = |reason, why: String| Err(error::status(Code::PermissionDenied, reason, why, &[]));
        match self.known().get(host) {
            Some(it) if it.removed_at.is_some() => denied(
                "HOST_REMOVED",
                format!("host {host} was removed from the fleet; enrol it with a new join token"),
            ),
            Some(it) if it.number != number => denied(
                "OTHER_ENROLMENT",
                format!("this certificate is of enrolment {number}, but host {host} has enrolment {} now", it.number),
            ),
            Some(_) => Ok(()),
            None => denied("HOST_UNKNOWN", format!("host {host} is not known; enrol it with a new join token")),
        }
    }

    /// Makes a one-use secret with which a host can join.
    ///
    /// # Errors
    /// [`EnrolError`].
    pub async fn permit(
        &self,
        host: Option<HostId>,
        by: &OperatorName,
        now: Timestamp,
        life: Duration,
    ) -> Result<(Secret, JoinGrant), EnrolError> {
        let secret = Secret::random()?;
        let grant = JoinGrant::new(&secret, host.clone(), now, life);
        let key = grant_key(&secret);
        let audit = AuditEntry {
            at: now,
            actor: format!("operator/{by}"),
            action: "join_token_created".to_owned(),
            subject: host.map_or_else(|| "hosts/-".to_owned(), |host| format!("hosts/{host}")),
            incident: None,
            detail: format!("token {}, good for {} s", grant.hash, life.as_secs()),
        };
        self.repository.write(&key, &grant, vec![Guard::Absent(key.clone())], vec![audit]).await?;
        Ok((secret, grant))
    }

    /// Makes a host a member: consumes the token, counts the enrolment, and issues the certificate, all or nothing.
    ///
    /// # Errors
    /// [`EnrolError`]; the token is then still good, unless it was not before.
    pub async fn enrol(
        &self,
        secret: &Secret,
        host: &HostId,
        request: &[u8],
        now: Timestamp,
    ) -> Result<(Enrolment, Issued), EnrolError> {
        let grant_key = grant_key(secret);
        let found: Option<(JoinGrant, _)> = self.repository.read(&grant_key).await?;
        let (mut grant, grant_rev) = found.ok_or(GrantRefusal::Unknown)?;
        grant.check(secret, host, now)?;
        let key = format!("{ENROLMENTS}{host}");
        let before: Option<(Enrolment, _)> = self.repository.read(&key).await?;
        let guard = match &before {
            Some((_, revision)) => Guard::ModRev(key.clone(), *revision),
            None => Guard::Absent(key.clone()),
        };
        let number = before.map_or(1, |(it, _)| it.number + 1);
        let enrolment = Enrolment { host: host.clone(), number, enrolled_at: now, removed_at: None };
        // Made now, so that a bad request leaves the token good; shown to nobody before the token is spent on disk.
        let issued = self.ca.issue_agent(request, host, number, now, AGENT_LIFE)?;
        grant.used_at = Some(now);
        let audit = AuditEntry {
            at: now,
            actor: format!("agent/{host}"),
            action: "enrolled".to_owned(),
            subject: format!("hosts/{host}"),
            incident: None,
            detail: format!("enrolment {number}, token {}, certificate {}", grant.hash, issued.serial),
        };
        let ops = vec![Repository::<Backend>::put(&grant_key, &grant)?, Repository::<Backend>::put(&key, &enrolment)?];
        let guards = vec![Guard::ModRev(grant_key, grant_rev), guard];
        match self.repository.write_all(ops, guards, vec![audit]).await {
            Ok(_) => {}
            // Somebody else has used the token since it was read.
            Err(RepositoryError::Store(StoreError::Conflict(Guard::ModRev(..)))) => {
                return Err(GrantRefusal::Used.into());
            }
            Err(error) => return Err(error.into()),
        }
        self.known().insert(host.clone(), enrolment.clone());
        Ok((enrolment, issued))
    }

    /// Makes the next certificate of a member. The gate has checked that its enrolment is the current one.
    ///
    /// # Errors
    /// [`EnrolError`].
    pub fn renew(&self, peer: &PeerCertificate, request: &[u8], now: Timestamp) -> Result<Issued, EnrolError> {
        Ok(self.ca.renew_agent(peer, request, now, AGENT_LIFE)?)
    }

    /// Removes a host. Returns false when it was no member.
    ///
    /// # Errors
    /// When the store fails; the host is then still a member.
    pub async fn remove(&self, host: &HostId, by: &OperatorName, now: Timestamp) -> Result<bool, Status> {
        let Some(mut enrolment) = self.known().get(host).filter(|it| it.removed_at.is_none()).cloned() else {
            return Ok(false);
        };
        enrolment.removed_at = Some(now);
        let audit = AuditEntry {
            at: now,
            actor: format!("operator/{by}"),
            action: "host_removed".to_owned(),
            subject: format!("hosts/{host}"),
            incident: None,
            detail: format!("enrolment {}", enrolment.number),
        };
        let stored = self.repository.write(&format!("{ENROLMENTS}{host}"), &enrolment, Vec::new(), vec![audit]).await;
        stored.map_err(|error| error::internal("removing the host", &error))?;
        self.known().insert(host.clone(), enrolment);
        Ok(true)
    }
}

fn grant_key(secret: &Secret) -> String {
    let hash: String = secret.hash().0.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{JOINS}{hash}")
}

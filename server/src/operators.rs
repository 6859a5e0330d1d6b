//! Operators' bearer tokens: the server keeps their hashes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prunella_identity::{GrantRefusal, OperatorGrant, OperatorToken, Role, Secret, SecretHash};
use prunella_model::record::AuditEntry;
use prunella_model::{OperatorName, Timestamp};

use crate::store::Backend;
use crate::store::repository::{Repository, RepositoryError};

/// Prefix of the records of operators' tokens.
const GRANTS: &str = "operator/";

/// The most tokens at a time: more would be a program that makes one for each call.
const GRANTS_MAX: usize = 10_000;

/// Why a token was not made.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// The store failed.
    #[error("the token could not be stored")]
    Store(#[from] RepositoryError),
    /// The system gave no randomness.
    #[error("the system gave no random bytes")]
    Random(#[from] getrandom::Error),
    /// There are too many.
    #[error("there are {GRANTS_MAX} valid operator tokens already; let some expire")]
    TooMany,
}

/// Whose bearer tokens are valid.
#[derive(Debug)]
pub struct Operators {
    repository: Arc<Repository<Backend>>,
    grants: Mutex<BTreeMap<SecretHash, OperatorGrant>>,
}

impl Operators {
    /// Loads the tokens from the store, and drops those that have expired.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn load(repository: Arc<Repository<Backend>>, now: Timestamp) -> Result<Self, RepositoryError> {
        let mut grants = BTreeMap::new();
        for (key, grant) in repository.read_all::<OperatorGrant>(GRANTS).await? {
            if grant.expires_at.is_some_and(|end| now > end) {
                repository.remove(&key, Vec::new(), Vec::new()).await?;
            } else {
                grants.insert(grant.hash, grant);
            }
        }
        Ok(Self { repository, grants: Mutex::new(grants) })
    }

    fn grants(&self) -> MutexGuard<'_, BTreeMap<SecretHash, OperatorGrant>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose token this is, and what it permits.
    ///
    /// # Errors
    /// [`GrantRefusal`] says why it permits nothing.
    pub fn check(&self, token: &OperatorToken, now: Timestamp) -> Result<(OperatorName, Role), GrantRefusal> {
        let grants = self.grants();
        let grant = grants.get(&token.0.hash()).ok_or(GrantRefusal::Unknown)?;
        grant.check(token, now)?;
        Ok((grant.operator.clone(), grant.role))
    }

    /// Makes a token.
    ///
    /// # Errors
    /// [`GrantError`].
    pub async fn permit(
        &self,
        operator: OperatorName,
        role: Role,
        by: &OperatorName,
        now: Timestamp,
        life: Duration,
    ) -> Result<OperatorToken, GrantError> {
        self.grants().retain(|_, it| it.expires_at.is_none_or(|end| now <= end));
        if self.grants().len() >= GRANTS_MAX {
            return Err(GrantError::TooMany);
        }
        let token = OperatorToken(Secret::random()?);
        let hash = token.0.hash();
        let grant = OperatorGrant { hash, operator: operator.clone(), role, expires_at: Some(now.after(life)) };
        let audit = AuditEntry {
            at: now,
            actor: format!("operator/{by}"),
            action: "operator_token_created".to_owned(),
            subject: format!("operators/{operator}"),
            incident: None,
            detail: format!("token {hash}, role {role}, good for {} s", life.as_secs()),
        };
        let key: String = hash.0.iter().map(|byte| format!("{byte:02x}")).collect();
        self.repository.write(&format!("{GRANTS}{key}"), &grant, Vec::new(), vec![audit]).await?;
        self.grants().insert(hash, grant);
        Ok(token)
    }
}

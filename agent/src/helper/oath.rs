//! Whom the helper obeys: a fleet's root keys and one enrolment of this host.
//!
//! The root keys come from the join token, which the administrator gives to both halves. The number of the enrolment
//! comes from the network's half, which could say anything: it is taken once for each token, and may only rise.

use prunella_identity::{JoinToken, JoinTokenError};
use prunella_model::{FleetName, HostId};
use prunella_seal::Anchor;
use prunella_ward::Own;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::authority::ANCHOR_FILE;
use crate::driver::causes;
use crate::execute::Oath;
use crate::state_dir::{StateDir, StateError};

const OATH_FILE: &str = "oath.json";

/// Why the helper obeys nobody.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OathError {
    /// The token cannot be used.
    #[error("the join token cannot be used")]
    Token(#[from] JoinTokenError),
    /// The helper's directory cannot be used.
    #[error("the helper's state cannot be used")]
    State(#[from] StateError),
}

/// What the helper has sworn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sworn {
    fleet: FleetName,
    host: HostId,
    enrolment: u64,
    /// The digest of the token that it was sworn by, so that a restart with the same one changes nothing.
    token: String,
    ledger_begun: bool,
}

/// An oath that was sworn.
pub(crate) struct SwornOath {
    state: StateDir,
    it: Sworn,
}

/// A token that no enrolment was taken for.
struct Pending {
    fleet: FleetName,
    token: String,
}

/// The helper's oath, or what is missing for one.
pub(crate) struct HelperOath {
    state: StateDir,
    host: HostId,
    sworn: Option<SwornOath>,
    anchor: Option<Anchor>,
    pending: Option<Pending>,
}

impl HelperOath {
    /// Reads the oath, and takes over the root keys of a token that is new.
    ///
    /// # Errors
    /// [`OathError`].
    pub(crate) fn open(state: &StateDir, host: &HostId, token: Option<&str>) -> Result<Self, OathError> {
        let sworn = state.read_json::<Sworn>(OATH_FILE)?.map(|it| SwornOath { state: state.clone(), it });
        let mut anchor = state.read_json::<Anchor>(ANCHOR_FILE)?;
        let mut pending = None;
        if let Some(text) = token.map(str::trim).filter(|it| !it.is_empty()) {
            let token: JoinToken = text.parse()?;
            let digest: String = Sha256::digest(text.as_bytes()).iter().map(|it| format!("{it:02x}")).collect();
            if sworn.as_ref().is_none_or(|it| it.it.token != digest) {
                let pinned = Anchor::new(token.fleet.clone(), token.roots, token.threshold);
                // With the same roots what was believed stays, so that no older document can be shown.
                if anchor.as_ref().is_none_or(|it| it.fleet != pinned.fleet || it.roots != pinned.roots) {
                    state.write_json(ANCHOR_FILE, &pinned)?;
                    anchor = Some(pinned);
                }
                pending = Some(Pending { fleet: token.fleet, token: digest });
            }
        }
        Ok(Self { state: state.clone(), host: host.clone(), sworn, anchor, pending })
    }

    /// Hears from the network's half which enrolment the server has given this host. Returns whether a new oath was
    /// sworn.
    ///
    /// # Errors
    /// Why nothing may be done, for a person.
    pub(crate) fn hear(&mut self, enrolment: u64) -> Result<bool, String> {
        if let Some(pending) = &self.pending {
            let before = self.sworn.as_ref().filter(|it| it.it.fleet == pending.fleet).map_or(0, |it| it.it.enrolment);
            if enrolment > before {
                let (fleet, token) = (pending.fleet.clone(), pending.token.clone());
                let it = Sworn { fleet, host: self.host.clone(), enrolment, token, ledger_begun: false };
                self.state.write_json(OATH_FILE, &it).map_err(|error| causes(&error))?;
                self.sworn = Some(SwornOath { state: self.state.clone(), it });
                self.pending = None;
                return Ok(true);
            }
        }
        match self.sworn.as_ref().map(|it| &it.it) {
            None => Err("its helper has no fleet: give the helper the join token, too".to_owned()),
            Some(it) if it.host != self.host => {
                Err(format!("agent.toml says that this host is {}, but its helper obeys as {}", self.host, it.host))
            }
            Some(it) if it.enrolment != enrolment => Err(format!(
                "this host has enrolment {enrolment}, but its helper obeys enrolment {}: give both a new join token",
                it.enrolment
            )),
            Some(_) => Ok(false),
        }
    }

    /// The oath and what is pinned; none before both are there.
    pub(crate) fn sworn(&mut self) -> Option<(&mut SwornOath, Anchor)> {
        self.sworn.as_mut().zip(self.anchor.clone())
    }
}

impl Oath for SwornOath {
    fn own(&self) -> Own {
        Own { fleet: self.it.fleet.clone(), host: self.it.host.clone(), enrolment: self.it.enrolment }
    }

    fn ledger_begun(&self) -> bool {
        self.it.ledger_begun
    }

    fn begin_ledger(&mut self) -> Result<(), StateError> {
        self.it.ledger_begun = true;
        self.state.write_json(OATH_FILE, &self.it)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fixture::Fleet;
    use crate::fixture::server::MiniServer;

    #[tokio::test]
    async fn an_enrolment_is_taken_once_for_each_token_and_only_rises() {
        let fleet = Arc::new(Fleet::new());
        let server = MiniServer::start(&fleet).await;
        let mut token = server.token(&fleet);
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let host = HostId::new("h1").unwrap();
        let open = |token: Option<&str>| HelperOath::open(&state, &host, token).unwrap();
        assert!(open(None).hear(3).unwrap_err().contains("join token"));
        let text = token.to_text().unwrap();
        let mut oath = open(Some(&text));
        assert!(oath.hear(3).unwrap());
        assert_eq!(oath.sworn().unwrap().1.roots, token.roots);
        // Neither the same token nor none lets the network's half choose again.
        for again in [Some(text.as_str()), None] {
            let mut oath = open(again);
            assert!(!oath.hear(3).unwrap());
            assert!(oath.hear(4).unwrap_err().contains("obeys enrolment 3"));
        }
        token.secret = prunella_identity::Secret::from_bytes([6; 32]);
        let text = token.to_text().unwrap();
        let mut oath = open(Some(&text));
        assert!(oath.hear(2).is_err(), "an older enrolment stays void");
        assert!(oath.hear(4).unwrap());
        assert_eq!(open(None).sworn().unwrap().0.own().enrolment, 4);
    }
}

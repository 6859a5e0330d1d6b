//! Whose commands this host believes, kept on disk so that a restart cannot be shown older documents.

use prunella_model::Timestamp;
use prunella_model::command::TrustBundle;
use prunella_seal::{Anchor, Trust, TrustError};

use crate::state_dir::{StateDir, StateError};

/// The file that holds the [`Anchor`].
pub const ANCHOR_FILE: &str = "trust.json";

/// Why documents of authority were not taken over.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// They are not believed.
    #[error("the server's documents of authority are not believed")]
    Trust(#[from] TrustError),
    /// They are believed, but how far cannot be stored, so they are not acted on.
    #[error("how far the server is trusted cannot be stored")]
    State(#[from] StateError),
}

/// What this host believes about who may command it.
pub struct Authority {
    state: StateDir,
    anchor: Anchor,
    trust: Option<Trust>,
    bundle: Option<TrustBundle>,
}

impl Authority {
    /// Starts from the anchor on disk; nobody is believed yet.
    #[must_use]
    pub fn new(state: StateDir, anchor: Anchor) -> Self {
        Self { state, anchor, trust: None, bundle: None }
    }

    /// Takes documents over: verifies them, stores how far trust has come, and only then believes them.
    ///
    /// # Errors
    /// [`AuthorityError`]; what was believed before stays.
    pub fn take(&mut self, bundle: &TrustBundle, now: Timestamp) -> Result<(), AuthorityError> {
        let trust = Trust::establish(&self.anchor, bundle, now)?;
        if *trust.anchor() != self.anchor {
            self.state.write_json(ANCHOR_FILE, trust.anchor())?;
            self.anchor = trust.anchor().clone();
        }
        self.trust = Some(trust);
        self.bundle = Some(bundle.clone());
        Ok(())
    }

    /// The documents that are believed; none before the first.
    #[must_use]
    pub fn bundle(&self) -> Option<&TrustBundle> {
        self.bundle.as_ref()
    }

    /// What is believed; none before the first documents.
    #[must_use]
    pub fn trust(&self) -> Option<&Trust> {
        self.trust.as_ref()
    }
}

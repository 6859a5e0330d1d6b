//! Mutation tests of the brakes and the do-no-harm rules: one of them is switched off, and some test must fail.
//!
//! Not part of any program: `just mutants-brakes` builds the engine's tests with it.

use std::sync::OnceLock;

/// The environment variable that names what is switched off.
const VARIABLE: &str = "PRUNELLA_MUTANT";

/// Whether this one is switched off.
pub(crate) fn off(name: &str) -> bool {
    static OFF: OnceLock<Option<String>> = OnceLock::new();
    OFF.get_or_init(|| std::env::var(VARIABLE).ok()).as_deref() == Some(name)
}

//! `prunella up`.

use std::process::ExitCode;

use clap::Args;

use crate::Common;

/// Arguments of `prunella up`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  prunella up")]
pub struct UpArgs {}

impl UpArgs {
    /// Runs it.
    ///
    /// # Errors
    /// When it cannot go on.
    pub fn run(self, _common: &Common) -> anyhow::Result<ExitCode> {
        anyhow::bail!("not built yet")
    }
}

//! `prunella doctor`.

use std::process::ExitCode;

use clap::Args;

use crate::Common;

/// Arguments of `prunella doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  prunella doctor")]
pub struct DoctorArgs {}

impl DoctorArgs {
    /// Runs it.
    ///
    /// # Errors
    /// When it cannot go on.
    pub fn run(self, _common: &Common) -> anyhow::Result<ExitCode> {
        anyhow::bail!("not built yet")
    }
}

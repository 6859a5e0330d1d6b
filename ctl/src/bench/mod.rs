//! `prunella bench`.

use std::process::ExitCode;

use clap::Args;

use crate::Common;

/// Arguments of `prunella bench`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  prunella bench")]
pub struct BenchArgs {}

impl BenchArgs {
    /// Runs it.
    ///
    /// # Errors
    /// When it cannot go on.
    pub fn run(self, _common: &Common) -> anyhow::Result<ExitCode> {
        anyhow::bail!("not built yet")
    }
}

//! `prunella demo`.

use std::process::ExitCode;

use clap::Args;

use crate::Common;

/// Arguments of `prunella demo`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  prunella demo")]
pub struct DemoArgs {}

impl DemoArgs {
    /// Runs it.
    ///
    /// # Errors
    /// When it cannot go on.
    pub fn run(self, _common: &Common) -> anyhow::Result<ExitCode> {
        anyhow::bail!("not built yet")
    }
}

//! A small real service chain, `web → api → db`, that the demonstration breaks on purpose.

use std::process::ExitCode;

use clap::Args;

/// Arguments of `prunella chain`.
#[derive(Debug, Args)]
pub struct ChainArgs {}

impl ChainArgs {
    /// Runs it.
    ///
    /// # Errors
    /// When it cannot go on.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::bail!("not built yet")
    }
}

/// The whole program of one service.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}

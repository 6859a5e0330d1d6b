//! `prunella completion` and `prunella man`: made from the same definitions as the help.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use clap_complete::Shell;

use crate::output;

const COMPLETION: &str = "\
Examples:
  prunella completion bash > /etc/bash_completion.d/prunella
  prunella completion zsh > ~/.zfunc/_prunella
  prunella completion fish > ~/.config/fish/completions/prunella.fish";

const MAN: &str = "\
Example:
  prunella man --dir /usr/local/share/man/man1    one page for each command: prunella.1, prunella-status.1, …";

/// Arguments of `prunella completion`.
#[derive(Debug, Args)]
#[command(after_help = COMPLETION)]
pub struct CompletionArgs {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Arguments of `prunella man`.
#[derive(Debug, Args)]
#[command(after_help = MAN)]
pub struct ManArgs {
    // Takes the place of the fleet directory of other commands.
    /// Where the pages are written; it is made when it is missing.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

impl CompletionArgs {
    /// Prints the completions of `command`.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn run(self, mut command: clap::Command) -> anyhow::Result<ExitCode> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut command, "prunella", &mut text);
        output::print(&String::from_utf8_lossy(&text))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl ManArgs {
    /// Writes a page for each command.
    ///
    /// # Errors
    /// When the directory or a page cannot be written.
    pub fn run(self, command: clap::Command) -> anyhow::Result<ExitCode> {
        let writing = || format!("writing manual pages to {}", self.dir.display());
        std::fs::create_dir_all(&self.dir).with_context(writing)?;
        clap_mangen::generate_to(command, &self.dir).with_context(writing)?;
        Ok(ExitCode::SUCCESS)
    }
}

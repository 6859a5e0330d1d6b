//! `prunella config`: whether configuration files are right, and what holds in the end. Needs no server, changes nothing.

mod check;
#[cfg(test)]
mod reference;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use prunella_agent::config::reference as agent_keys;
use prunella_server::config::keys as server_keys;
use prunella_settings::reference::Key;
use serde::Serialize;

use crate::output::{Paint, print};
use crate::{Common, EXIT_FAILURE, EXIT_OK};

const HELP: &str = "\
Examples:
  prunella config check agent.toml server.toml policy.toml
  prunella config show server.toml

docs/reference.md lists every key with the variable that overrides it.

Exit codes: 0 every file is right, 1 something is wrong, 2 the command line is wrong.";

const CHECK_HELP: &str = "\
Examples:
  prunella config check /etc/prunella/agent.toml
  prunella config check *.toml -o json
  prunella config check draft.txt --as policy

Says what each file is, what is wrong in it as far as it can be told at once, each with its place, and warnings. Variables that override keys of it are
read, too, as its program would. JSON: {\"files\": [{file, kind, errors: [{place, line, column, what, text}], warnings}]}.

Exit codes: 0 every file is right, 1 something is wrong, 2 the command line is wrong.";

const SHOW_HELP: &str = "\
Examples:
  prunella config show /etc/prunella/server.toml           each key, its value, and where that comes from
  prunella config show policy.toml -o json
  PRUNELLA_AGENT__LIMITS__OBSERVE_ONLY=true prunella config show agent.toml

What is secret is not shown. JSON: {file, kind, keys: [{key, value, origin, from}]}; origin is default, file or env; value is
null where nothing holds.

Exit codes: 0 the file is right, 1 something is wrong, 2 the command line is wrong.";

/// Arguments of `prunella config`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct ConfigArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say everything that is wrong with files.
    #[command(after_help = CHECK_HELP)]
    Check {
        /// agent.toml, server.toml or a policy.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// What they are, where that does not show.
        #[arg(long = "as", value_name = "KIND")]
        kind: Option<FileKind>,
    },
    /// Say what holds in the end, and where it comes from.
    #[command(after_help = SHOW_HELP)]
    Show {
        /// agent.toml, server.toml or a policy.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// What it is, where that does not show.
        #[arg(long = "as", value_name = "KIND")]
        kind: Option<FileKind>,
    },
}

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
enum FileKind {
    /// `agent.toml`.
    Agent,
    /// `server.toml`.
    Server,
    /// A fleet policy.
    Policy,
}

impl FileKind {
    /// What a text is, by the tables that only one kind of file has; a policy is what is none of the others.
    fn of(text: &str) -> Self {
        let heads = |names: &[&str]| {
            text.lines().map(str::trim).any(|line| {
                let name = line.trim_start_matches('[').split(['.', ']', '=', ' ']).next().unwrap_or_default();
                names.contains(&name)
            })
        };
        if heads(&["target", "agent", "host"]) {
            Self::Agent
        } else if heads(&["listen", "fleet", "tls", "trust"]) {
            Self::Server
        } else {
            Self::Policy
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent.toml",
            Self::Server => "server.toml",
            Self::Policy => "fleet policy",
        }
    }

    /// Its keys, and what the variables begin with that override them; a policy has none, because it is the fleet's.
    fn keys(self) -> Option<(Vec<Key>, &'static str)> {
        match self {
            Self::Agent => Some((agent_keys::keys(), agent_keys::PREFIX)),
            Self::Server => Some((server_keys::KEYS.to_vec(), server_keys::PREFIX)),
            Self::Policy => None,
        }
    }
}

impl ConfigArgs {
    /// Checks files, or shows one.
    ///
    /// # Errors
    /// When a file cannot be read; what is wrong in it is a finding, not an error.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let variables: Vec<(String, String)> = prunella_server::files::environment().collect();
        match self.verb {
            Verb::Check { files, kind } => {
                let found = files.iter().map(|file| check::file(file, kind, &variables));
                let view = check::View { files: found.collect::<anyhow::Result<_>>()? };
                let text = match common.format(false) {
                    Some(format) => format.document(&view)?,
                    None => check::table(&view, Paint::for_stdout()),
                };
                print(&text)?;
                let wrong = view.files.iter().any(|it| !it.errors.is_empty());
                Ok(ExitCode::from(if wrong { EXIT_FAILURE } else { EXIT_OK }))
            }
            Verb::Show { file, kind } => {
                let view = show::file(&file, kind, &variables)?;
                let text = match common.format(false) {
                    Some(format) => format.document(&view)?,
                    None => show::table(&view, Paint::for_stdout()),
                };
                print(&text)?;
                Ok(ExitCode::from(EXIT_OK))
            }
        }
    }
}

/// A file's name, text and kind.
fn read(path: &Path, kind: Option<FileKind>) -> anyhow::Result<(String, String, FileKind)> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let kind = kind.unwrap_or_else(|| FileKind::of(&text));
    Ok((path.display().to_string(), text, kind))
}

//! `prunella doctor`: whether this host is fit for an agent. Needs no server, changes nothing.

mod host;
mod probes;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::Common;
use crate::output::{Paint, Rows, Tone, print};

const EXAMPLES: &str = "\
Examples:
  prunella doctor                        the host itself
  prunella doctor --config agent.toml    every probe of this file as well, each once
  prunella doctor -o json                for programs

Exit codes: 0 everything is well, 1 something will not work as well as it could, 2 an agent cannot work here.";

/// Arguments of `prunella doctor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DoctorArgs {
    /// An agent.toml to check; each of its probes looks once.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What came of one check. The worst one is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Grade {
    /// As it should be.
    Good,
    /// It works, with limits.
    Limited,
    /// It does not work.
    Unfit,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    /// What was looked at.
    what: String,
    /// What came of it.
    grade: Grade,
    /// What was found, and what to do about it.
    found: String,
}

impl Check {
    fn new(grade: Grade, what: &str, found: impl Into<String>) -> Self {
        Self { what: what.to_owned(), grade, found: found.into() }
    }
}

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Findings {
    grade: Grade,
    checks: Vec<Check>,
}

impl DoctorArgs {
    /// Checks this host and says what it found.
    ///
    /// # Errors
    /// When the findings cannot be printed; what is wrong with the host is a finding, not an error.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let mut checks = host::checks();
        if let Some(config) = &self.config {
            checks.extend(probes::checks(config)?);
        }
        let grade = checks.iter().map(|it| it.grade).max().unwrap_or(Grade::Good);
        let findings = Findings { grade, checks };
        match common.format(false) {
            Some(format) => print(&format.document(&findings)?)?,
            None => print(&table(&findings))?,
        };
        Ok(ExitCode::from(match grade {
            Grade::Good => 0,
            Grade::Limited => 1,
            Grade::Unfit => 2,
        }))
    }
}

fn table(findings: &Findings) -> String {
    let mut rows = Rows::new(&["CHECK", "RESULT", "FOUND"]);
    for it in &findings.checks {
        let (tone, grade) = match it.grade {
            Grade::Good => (Tone::Plain, "good"),
            Grade::Limited => (Tone::Warning, "limited"),
            Grade::Unfit => (Tone::Bad, "UNFIT"),
        };
        rows.push(tone, [it.what.clone(), grade.to_owned(), it.found.clone()]);
    }
    rows.print(Paint::for_stdout())
}

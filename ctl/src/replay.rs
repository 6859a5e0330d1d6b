//! `prunella replay`: what was decided, and what another policy would have decided.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use prunella_model::policy::FleetPolicy;
use prunella_replay::{Line, Replay, Story, replay};
use prunella_server::preview::record;

use crate::{Common, EXIT_FAILURE, EXIT_OK};

const EXAMPLES: &str = "\
Examples:
  prunella replay fleet/state/journal                        every decision that was recorded
  prunella replay fleet/state/journal --policy careful.toml  how another policy would have decided
  prunella replay fleet/state/journal/0000000003.journal --json

JOURNAL is a segment, or the journal's directory: then the newest segments are read that belong together. What follows
where an incident first goes another way is marked with a '?': it stands on answers to commands that were never sent.
Exit code 1 when the engine broke one of its own promises.";

/// Replays a recorded journal.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReplayArgs {
    /// A journal segment, or the directory of the journal.
    journal: PathBuf,
    /// A fleet policy to compare with.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Show only incidents that differ.
    #[arg(long, requires = "policy")]
    differences: bool,
    /// One JSON document on stdout; the same as --output json.
    #[arg(long)]
    json: bool,
}

impl ReplayArgs {
    /// Replays, and prints the decisions and how they differ.
    ///
    /// # Errors
    /// When the journal or the policy cannot be read.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let (recording, warnings) = record(&self.journal, usize::MAX)?;
        for warning in warnings {
            eprintln!("prunella: {warning}");
        }
        let policy = self.policy.as_deref().map(read_policy).transpose()?;
        let mut replayed = replay(&recording, policy.as_ref());
        if self.differences {
            replayed.stories.retain(|story| story.diverged_at.is_some());
        }
        if let Some(format) = common.format(self.json) {
            format.print(&replayed)?;
        } else {
            print(&replayed);
        }
        Ok(ExitCode::from(if replayed.broken.is_empty() { EXIT_OK } else { EXIT_FAILURE }))
    }
}

fn read_policy(path: &Path) -> anyhow::Result<FleetPolicy> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(prunella_server::policy::parse(&path.display().to_string(), &text)?)
}

fn print(replayed: &Replay) {
    for story in &replayed.stories {
        print_story(story, replayed.other_commands.is_some());
    }
    let commands = |count: usize| format!("{count} command{}", if count == 1 { "" } else { "s" });
    print!("{} events, {} incidents, {}", replayed.events, replayed.stories.len(), commands(replayed.commands));
    match replayed.other_commands {
        Some(other) => {
            println!("; under the other policy {}, {} incidents differ", commands(other), replayed.different)
        }
        None => println!(),
    }
    for broken in &replayed.broken {
        println!("BROKEN PROMISE {broken}");
    }
}

fn print_story(story: &Story, compared: bool) {
    let id = story.recorded_incident.as_ref().or(story.other_incident.as_ref());
    println!("incident {} of {}", id.map_or("—", String::as_str), story.target);
    story.recorded.iter().for_each(|line| print_line(" ", line));
    match story.diverged_at {
        Some(at) => {
            println!("  differs from {} on; the other policy:", when(at));
            story.other.iter().for_each(|line| print_line(if line.counterfactual { "?" } else { ">" }, line));
        }
        None if compared => println!("  the same under the other policy"),
        None => {}
    }
    println!();
}

fn print_line(mark: &str, line: &Line) {
    println!("{mark} {}  {:<16} {}", when(line.at), line.kind, line.text);
}

fn when(micros: u64) -> String {
    let at = i64::try_from(micros).ok().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    at.map_or_else(|| format!("{micros} µs"), |at| format!("{at:.3}"))
}

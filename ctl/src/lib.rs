//! The `prunella` command: the demonstration, a server and agent for one host, and everything an operator asks.
//!
//! A library, so that the tests can build the very same program. Exit codes are stable: 0 it went well, 1 it did not,
//! 2 the command line is wrong. Commands that ask a server add 3 no server answers, 4 not allowed, 5 not found; others
//! that say more in their exit code document it on their help page.

pub mod backup;
pub mod bench;
pub mod chain;
pub mod children;
pub mod client;
pub mod commands;
pub mod config;
pub mod context;
pub mod demo;
pub mod doctor;
pub mod fleet;
pub mod lab;
pub mod meter;
pub mod names;
pub mod output;
pub mod pages;
pub mod processes;
pub mod replay;
pub mod simulate;
pub mod store;
pub mod up;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::output::Format;

/// It went well.
pub const EXIT_OK: u8 = 0;
/// It did not; the reason is on stderr.
pub const EXIT_FAILURE: u8 = 1;
/// The command line is wrong; clap itself exits with this code.
pub const EXIT_USAGE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  prunella demo                                  see faults being healed on this machine
  prunella up --dir ./fleet --config agent.toml  watch and heal your own services
  prunella --dir ./fleet status                  ask a running server

Exit codes: 0 it went well, 1 it did not, 2 the command line is wrong.";

/// Keeps a fleet of hosts healthy by itself.
#[derive(Debug, Parser)]
#[command(name = "prunella", version, after_help = EXAMPLES, max_term_width = 120)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The fleet directory, where the server's addresses and the operator's credentials are.
    #[arg(long, global = true, value_name = "DIR", env = "PRUNELLA_DIR")]
    pub dir: Option<PathBuf>,
    /// A fleet that `prunella context set` keeps.
    #[arg(long, global = true, value_name = "NAME", env = "PRUNELLA_CONTEXT")]
    pub context: Option<String>,
    /// How results are printed.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For people with a wide terminal: more columns where there are more.
    Wide,
    /// For programs: one JSON document on stdout.
    Json,
    /// The same as YAML.
    Yaml,
}

impl Common {
    /// How a program wants the result; none means that a person reads it. `json` is a command's own flag for JSON.
    #[must_use]
    pub const fn format(&self, json: bool) -> Option<Format> {
        match self.output {
            _ if json => Some(Format::Json),
            Output::Table | Output::Wide => None,
            Output::Json => Some(Format::Json),
            Output::Yaml => Some(Format::Yaml),
        }
    }

    /// Whether tables shall have their additional columns.
    #[must_use]
    pub const fn wide(&self) -> bool {
        matches!(self.output, Output::Wide)
    }
}

/// One variant for each command; each brings its own arguments and its own `run(self, &Common)`.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Break a small service chain on purpose and watch it being healed.
    Demo(demo::DemoArgs),
    /// Run a server and an agent for this host and its own targets until Ctrl-C.
    Up(up::UpArgs),
    /// Run the central server.
    Server(processes::ServerArgs),
    /// Run the agent of a host.
    Agent(processes::AgentArgs),
    /// Check whether this host is fit for an agent; needs no server.
    Doctor(doctor::DoctorArgs),
    /// Measure this program on this machine.
    Bench(bench::BenchArgs),
    /// Simulate a fleet with faults, cut links, and a server that is killed.
    Simulate(simulate::SimulateArgs),
    /// Show what was decided, and what another policy would have decided.
    Replay(replay::ReplayArgs),
    /// Check the store of a server that is down, or put an export in its place.
    Store(store::StoreArgs),
    /// Put everything that the server is into one file.
    Backup(backup::BackupArgs),
    /// Make a fleet directory of such a file, or check it.
    Restore(backup::RestoreArgs),
    /// A link to the dashboard in a browser.
    Dashboard(commands::dashboard::DashboardArgs),
    /// The fleet in one look.
    Status(commands::status::StatusArgs),
    /// The fleet on one screen, as it changes.
    Top(commands::top::TopArgs),
    /// How well the fleet and everything in it is, and where that leads.
    Health(commands::health::HealthArgs),
    /// Have every probe of the fleet look at once, and see what was found.
    Diagnostics(commands::diagnostics::DiagnosticsArgs),
    /// Hosts, or one host in detail.
    Hosts(commands::hosts::HostsArgs),
    /// What agents may do while the server cannot be reached, and what they did.
    Orders(commands::orders::OrdersArgs),
    /// Targets, or one target in detail.
    Targets(commands::targets::TargetsArgs),
    /// Faults from opening to closing.
    Incidents(commands::incidents::IncidentsArgs),
    /// The whole story of one incident.
    Explain(commands::explain::ExplainArgs),
    /// What happens, as it happens.
    Events(commands::events::EventsArgs),
    /// Try a repair now, or give an incident up.
    Repair(commands::repair::RepairArgs),
    /// Contents that agents keep: list, take, verify, put back.
    Snapshots(commands::snapshots::SnapshotsArgs),
    /// What needs what and waits for what, and what is amiss in it.
    Topology(commands::topology::TopologyArgs),
    /// What is well and could be better: list it, or take one.
    Optimize(commands::optimize::OptimizeArgs),
    /// How much of what can run out is used, and how long it lasts.
    Capacity(commands::capacity::CapacityArgs),
    /// What was learned: recurring faults, what helps, what is expected, and exchange with other fleets.
    Learning(commands::learning::LearningArgs),
    /// Groups of targets, and what their brakes leave through.
    Groups(commands::groups::GroupsArgs),
    /// Whether a deploy may go ahead, and whether it went well.
    Gate(commands::gate::GateArgs),
    /// Set the mode of the fleet or a group at run time.
    Mode(commands::mode::ModeArgs),
    /// Times in which nothing is repaired: list, add, end.
    Maintenance(commands::maintenance::MaintenanceArgs),
    /// Stop repairs of the fleet, a group, a host or a target.
    Pause(commands::pause::PauseArgs),
    /// Lift a pause.
    Resume(commands::pause::ResumeArgs),
    /// Every limit on acting, and what it holds back.
    Brakes(commands::brakes::BrakesArgs),
    /// Who did what to whom and why, and whether that record is intact.
    Audit(commands::audit::AuditArgs),
    /// Who is told of incidents: list, test, silence.
    Notify(commands::notify::NotifyArgs),
    /// Make a token for a new host or for an operator.
    Token(commands::token::TokenArgs),
    /// What counts as a fault: the rules in force, and yours before they are.
    Rules(commands::rules::RulesArgs),
    /// Show more or fewer messages in the server's log for a while.
    LogLevel(commands::log_level::LogLevelArgs),
    /// Show or replace the fleet's policy.
    Policy(commands::policy::PolicyArgs),
    /// Fleets that you work with, by name: list, use, set, remove, show.
    Context(commands::context::ContextArgs),
    /// Whether configuration files are right, and what holds in the end.
    Config(config::ConfigArgs),
    /// Completions for a shell.
    Completion(pages::CompletionArgs),
    /// Manual pages.
    Man(pages::ManArgs),
    /// A small service chain that the demonstration breaks.
    #[command(hide = true)]
    Chain(chain::ChainArgs),
}

/// Every command with its arguments, for completion, manual pages, and the tests of the documents.
#[must_use]
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// The whole program: reads the command line, runs the command, says why when it fails.
#[must_use]
pub fn main() -> ExitCode {
    // Before anything is set up: how fast a service comes back is what the benchmarks measure.
    if std::env::args_os().nth(1).as_deref() == Some(OsStr::new("chain")) {
        return chain::main();
    }
    let matches = Cli::command().get_matches();
    let said = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
    let (dir_said, context_said) = (said("dir"), said("context"));
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    // A context on the command line is meant more than a directory in the environment.
    if context_said && !dir_said {
        cli.common.dir = None;
    }
    let result = match cli.verb {
        Verb::Demo(it) => it.run(&cli.common),
        Verb::Up(it) => it.run(&cli.common),
        Verb::Server(it) => it.run(),
        Verb::Agent(it) => it.run(),
        Verb::Doctor(it) => it.run(&cli.common),
        Verb::Bench(it) => it.run(&cli.common),
        Verb::Simulate(it) => it.run(&cli.common),
        Verb::Replay(it) => it.run(&cli.common),
        Verb::Store(it) => it.run(&cli.common),
        Verb::Backup(it) => it.run(&cli.common),
        Verb::Restore(it) => it.run(&cli.common),
        Verb::Dashboard(it) => it.run(&cli.common),
        Verb::Status(it) => it.run(&cli.common),
        Verb::Top(it) => it.run(&cli.common),
        Verb::Health(it) => it.run(&cli.common),
        Verb::Diagnostics(it) => it.run(&cli.common),
        Verb::Hosts(it) => it.run(&cli.common),
        Verb::Orders(it) => it.run(&cli.common),
        Verb::Targets(it) => it.run(&cli.common),
        Verb::Incidents(it) => it.run(&cli.common),
        Verb::Explain(it) => it.run(&cli.common),
        Verb::Events(it) => it.run(&cli.common),
        Verb::Repair(it) => it.run(&cli.common),
        Verb::Snapshots(it) => it.run(&cli.common),
        Verb::Topology(it) => it.run(&cli.common),
        Verb::Optimize(it) => it.run(&cli.common),
        Verb::Capacity(it) => it.run(&cli.common),
        Verb::Learning(it) => it.run(&cli.common),
        Verb::Groups(it) => it.run(&cli.common),
        Verb::Gate(it) => it.run(&cli.common),
        Verb::Mode(it) => it.run(&cli.common),
        Verb::Maintenance(it) => it.run(&cli.common),
        Verb::Pause(it) => it.run(&cli.common),
        Verb::Resume(it) => it.run(&cli.common),
        Verb::Brakes(it) => it.run(&cli.common),
        Verb::Audit(it) => it.run(&cli.common),
        Verb::Notify(it) => it.run(&cli.common),
        Verb::Token(it) => it.run(&cli.common),
        Verb::Rules(it) => it.run(&cli.common),
        Verb::LogLevel(it) => it.run(&cli.common),
        Verb::Policy(it) => it.run(&cli.common),
        Verb::Context(it) => it.run(&cli.common),
        Verb::Config(it) => it.run(&cli.common),
        Verb::Completion(it) => it.run(Cli::command()),
        Verb::Man(it) => it.run(Cli::command()),
        Verb::Chain(it) => it.run(),
    };
    result.unwrap_or_else(|error| {
        eprintln!("prunella: {error:#}");
        ExitCode::from(EXIT_FAILURE)
    })
}

/// A runtime for a command that talks over the network.
///
/// # Errors
/// When the system gives no more file descriptors.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(command: &clap::Command, path: &str, bare: &mut Vec<String>) {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        if !text.contains("prunella ") && !command.is_hide_set() && command.get_name() != "help" {
            bare.push(path.to_owned());
        }
        for sub in command.get_subcommands() {
            walk(sub, &format!("{path} {}", sub.get_name()), bare);
        }
    }

    #[test]
    fn the_document_has_every_command_and_every_exit_code() {
        let text = include_str!("../../docs/cli.md");
        let command = Cli::command();
        let verbs = command.get_subcommands().filter(|it| !it.is_hide_set()).map(|it| it.get_name().to_owned());
        let missing: Vec<String> = verbs.filter(|it| !text.contains(&format!("`{it}`"))).collect();
        assert!(missing.is_empty(), "docs/cli.md says nothing of: {missing:?}");
        let codes = [
            EXIT_OK,
            EXIT_FAILURE,
            EXIT_USAGE,
            client::EXIT_UNREACHABLE,
            client::EXIT_NOT_ALLOWED,
            client::EXIT_NOT_FOUND,
            commands::gate::EXIT_UNFIT,
            commands::gate::EXIT_BLAMED,
            commands::gate::EXIT_NOT_ROLLED_BACK,
        ];
        // Scripts stand on these numbers: they never change.
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert!(codes.iter().all(|code| text.contains(&format!("\n| {code} | "))), "docs/cli.md lacks an exit code");
    }

    #[test]
    fn completions_and_manuals_are_made_of_the_same_definitions() {
        for shell in clap_complete::Shell::value_variants() {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "prunella", &mut text);
            assert!(String::from_utf8_lossy(&text).contains("maintenance"), "{shell}");
        }
        let dir = tempfile::tempdir().unwrap();
        let args = ["prunella", "man", "--dir", &dir.path().join("man1").display().to_string()].map(str::to_owned);
        let Verb::Man(man) = Cli::try_parse_from(args).unwrap().verb else { panic!("it is not man") };
        man.run(Cli::command()).unwrap();
        let page = std::fs::read_to_string(dir.path().join("man1/prunella-gate-watch.1")).unwrap();
        assert!(page.contains("roll"), "{page}");
    }

    #[test]
    fn every_page_of_help_has_an_example() {
        command().debug_assert();
        let mut bare = Vec::new();
        walk(&command(), "prunella", &mut bare);
        assert!(bare.is_empty(), "no example in after_help of: {bare:?}");
    }
}

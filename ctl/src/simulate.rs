//! `prunella simulate`: a fleet that does not exist, around the engine that does.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use prunella_sim::scenario::Scenario;
use prunella_sim::{FAULTS_PER_HOST_DAY, Options, Report};
use serde::Serialize;

use crate::{Common, EXIT_FAILURE, EXIT_OK, Output};

const EXAMPLES: &str = "\
Examples:
  prunella simulate --hosts 1000 --hours 24 --seed 7   a day of a thousand hosts
  prunella simulate --hosts 100 --hours 2 --seeds 50   fifty fleets, each of which must keep every promise
  prunella simulate --seed 7 --json                    the same for programs
  prunella simulate --list                             the kinds of fault, and what each is for
  prunella simulate --kinds hung,killed --hours 6      only these
  prunella simulate --scenario mine.toml               your own kinds; docs/simulator.md says how to write them

The same options always lead to the same decisions; the trace is their hash. Exit code 1 when a promise was broken.";

/// Simulates a fleet with faults, cut links, and a server that is killed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SimulateArgs {
    /// How many hosts.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    hosts: u32,
    /// For how many hours.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=87_600))]
    hours: u32,
    /// What all chances are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Simulate so many seeds, one after the other, beginning with --seed.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// How many faults each host meets in a day, on average.
    #[arg(long, default_value_t = FAULTS_PER_HOST_DAY, value_name = "N")]
    faults: f64,
    /// Read what may go wrong from this file instead of the shipped catalogue, or beside it when it says
    /// `extends = true`.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Only these kinds, separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    kinds: Vec<String>,
    /// Print the kinds, and simulate nothing.
    #[arg(long)]
    list: bool,
    /// Only faults: no cut links, no ended agents, no killed server, no pauses.
    #[arg(long)]
    no_trouble: bool,
    /// Run each seed twice and compare the traces.
    #[arg(long)]
    twice: bool,
    /// One JSON document for each seed on stdout; the same as --output json.
    #[arg(long)]
    json: bool,
}

/// A report, and how fast it was made.
#[derive(Debug, Serialize)]
struct Timed<'a> {
    #[serde(flatten)]
    report: &'a Report,
    seconds: f64,
    steps_per_second: f64,
    host_hours_per_second: f64,
}

impl SimulateArgs {
    /// Simulates, prints what happened, and exits with 1 when a promise was broken.
    ///
    /// # Errors
    /// When a number makes no sense, or stdout cannot be written.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        anyhow::ensure!(
            self.faults.is_finite() && (0.0..=10_000.0).contains(&self.faults),
            "--faults {} makes no sense: give a number from 0 to 10000",
            self.faults
        );
        let json = self.json || common.output == Output::Json;
        let scenario = self.scenario()?;
        if self.list {
            return list(&scenario, json);
        }
        let mut well = true;
        for seed in self.seed..self.seed.saturating_add(self.seeds) {
            let mut options = Options::new(self.hosts, self.hours, seed);
            options.faults_per_host_day = self.faults;
            options.trouble = !self.no_trouble;
            options.scenario = Arc::clone(&scenario);
            options.scenario_file = self.scenario.as_ref().map(|path| path.display().to_string());
            options.kinds.clone_from(&self.kinds);
            let began = Instant::now();
            let report = prunella_sim::simulate(&options).context("such a fleet cannot be laid out: fewer hosts")?;
            let seconds = began.elapsed().as_secs_f64();
            well &= report.ok;
            print(&report, seconds, json)?;
            if self.twice {
                let again = prunella_sim::simulate(&options).context("such a fleet cannot be laid out: fewer hosts")?;
                anyhow::ensure!(
                    again == report,
                    "the same seed led to two runs ({} and {}): please report this, with: {}",
                    report.trace,
                    again.trace,
                    report.command
                );
            }
        }
        Ok(ExitCode::from(if well { EXIT_OK } else { EXIT_FAILURE }))
    }

    /// What may go wrong: the shipped catalogue or a file, and of that the kinds that were picked.
    fn scenario(&self) -> anyhow::Result<Arc<Scenario>> {
        let all = match &self.scenario {
            None => Scenario::shipped(),
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                Scenario::read(&path.display().to_string(), &text)?
            }
        };
        let picked = if self.kinds.is_empty() { all } else { all.only(&self.kinds).map_err(anyhow::Error::msg)? };
        let weight: f64 = picked.kinds.iter().map(|it| it.weight).sum();
        anyhow::ensure!(weight > 0.0, "there is no kind with a weight above 0: nothing would ever happen");
        Ok(Arc::new(picked))
    }
}

/// Prints the kinds.
fn list(scenario: &Scenario, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        println!("{}", serde_json::to_string(&scenario.kinds)?);
        return Ok(ExitCode::from(EXIT_OK));
    }
    for kind in &scenario.kinds {
        let cures: Vec<&str> = kind.cures.iter().map(|it| it.as_str()).collect();
        let cure = match (kind.control, cures.is_empty()) {
            (true, _) => "nothing to repair".to_owned(),
            (false, true) => "a person".to_owned(),
            (false, false) => cures.join(" or "),
        };
        println!("{:<20} {:<36} {}", kind.name, cure, kind.about);
    }
    Ok(ExitCode::from(EXIT_OK))
}

#[expect(clippy::cast_precision_loss, reason = "rates need no more than 52 bits")]
fn print(report: &Report, seconds: f64, json: bool) -> anyhow::Result<()> {
    let least = seconds.max(1e-9);
    let host_hours = f64::from(report.hosts) * f64::from(report.hours);
    let timed = Timed {
        report,
        seconds,
        steps_per_second: report.steps as f64 / least,
        host_hours_per_second: host_hours / least,
    };
    if json {
        println!("{}", serde_json::to_string(&timed)?);
        return Ok(());
    }
    let time = |seconds: Option<f64>| seconds.map_or_else(|| "—".to_owned(), |it| format!("{it:.2} s"));
    println!("{} hosts for {} h, seed {}", report.hosts, report.hours, report.seed);
    println!(
        "  faults        {} injected, {} detected, {} repaired, {} passed, {} mended by a person, {} missed",
        report.faults, report.detected, report.repaired, report.passed, report.by_person, report.missed
    );
    let percent = |share: Option<f64>| share.map_or_else(|| "—".to_owned(), |it| format!("{:.1} %", it * 100.0));
    let scores = &report.scores;
    println!(
        "  judged        recall {}, precision {}, cause right {}, first decision right {}, {} needless repairs",
        percent(scores.recall),
        percent(scores.precision),
        percent(scores.cause_at_1),
        percent(scores.first_repair_correct),
        scores.needless_repairs
    );
    for (kind, it) in &report.kinds {
        let control = if it.control { ", nothing to repair" } else { "" };
        println!(
            "    {kind:<20} {} injected, {} detected, {} repaired, {} mended by a person, cause right {} of {}{control}",
            it.faults, it.detected, it.repaired, it.by_person, it.cause_right, it.diagnosed
        );
    }
    println!(
        "  to repair     median {}, mean {}",
        time(report.median_seconds_to_repair),
        time(report.mean_seconds_to_repair)
    );
    println!(
        "  harm          {} repairs of the healthy, {} of victims, {} false incidents",
        report.false_repairs, report.collateral_repairs, report.false_incidents
    );
    println!(
        "  trouble       server killed {} times, agents {}, links cut {}",
        report.server_kills, report.agent_kills, report.cuts
    );
    println!(
        "  speed         {seconds:.2} s, {:.0} host-hours/s, {:.0} steps/s",
        timed.host_hours_per_second, timed.steps_per_second
    );
    println!("  trace         {}", report.trace);
    if report.ok {
        println!("  every promise was kept");
    } else {
        println!("  {} PROMISES BROKEN; repeat with: {}", report.violations, report.command);
        report.told.iter().for_each(|what| println!("    {what}"));
    }
    Ok(())
}

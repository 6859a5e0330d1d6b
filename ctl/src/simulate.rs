//! `prunella simulate`: a fleet that does not exist, around the engine that does.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use prunella_sim::baselines::Baseline;
use prunella_sim::scenario::Scenario;
use prunella_sim::summary::{Interval, Judged, Run, Summary};
use prunella_sim::{FAULTS_PER_HOST_DAY, Options, Report};
use serde::Serialize;

use crate::output::Format;
use crate::{Common, EXIT_FAILURE, EXIT_OK};

/// Why no fleet can be laid out.
const TOO_MANY: &str = "such a fleet cannot be laid out: fewer hosts";

const EXAMPLES: &str = "\
Examples:
  prunella simulate --hosts 1000 --hours 24 --seed 7   a day of a thousand hosts
  prunella simulate --hosts 100 --seeds 10             ten fleets, with confidence intervals
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
    /// Do not simulate the baselines that the engine is compared with.
    #[arg(long)]
    no_baselines: bool,
    /// One JSON document on stdout, with a report for each seed in `runs`; the same as --output json.
    #[arg(long)]
    json: bool,
}

/// What was simulated, and how fast.
#[derive(Debug, Serialize)]
struct Timed<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    /// The time that the engine's runs took, those of the baselines not counted.
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
        let format = common.format(self.json);
        let scenario = self.scenario()?;
        if self.list {
            return list(&scenario, format);
        }
        let (mut runs, mut seconds) = (Vec::new(), 0.0);
        for seed in self.seed..self.seed.saturating_add(self.seeds) {
            let options = self.options(seed, &scenario);
            let began = Instant::now();
            let report = prunella_sim::simulate(&options).context(TOO_MANY)?;
            seconds += began.elapsed().as_secs_f64();
            if format.is_none() {
                print(&report);
            }
            if self.twice {
                let again = prunella_sim::simulate(&options).context(TOO_MANY)?;
                anyhow::ensure!(
                    again == report,
                    "the same seed led to two runs ({} and {}): please report this, with: {}",
                    report.trace,
                    again.trace,
                    report.command
                );
            }
            let all: &[Baseline] = if self.no_baselines { &[] } else { &Baseline::ALL };
            let compared = all.iter().map(|it| prunella_sim::compare(&options, *it).map(|report| (*it, report)));
            let baselines = compared.collect::<Option<Vec<_>>>().context(TOO_MANY)?;
            runs.push(Run { report, baselines });
        }
        let summary = Summary::of(&runs).context("no seed was simulated")?;
        print_summary(&summary, seconds, format)?;
        Ok(ExitCode::from(if summary.ok { EXIT_OK } else { EXIT_FAILURE }))
    }

    fn options(&self, seed: u64, scenario: &Arc<Scenario>) -> Options {
        let mut options = Options::new(self.hosts, self.hours, seed);
        options.faults_per_host_day = self.faults;
        options.trouble = !self.no_trouble;
        options.scenario = Arc::clone(scenario);
        options.scenario_file = self.scenario.as_ref().map(|path| path.display().to_string());
        options.kinds.clone_from(&self.kinds);
        options
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
fn list(scenario: &Scenario, format: Option<Format>) -> anyhow::Result<ExitCode> {
    if let Some(format) = format {
        format.print(&scenario.kinds)?;
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

fn time(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "—".to_owned(), |it| format!("{it:.1} s"))
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "—".to_owned(), |it| format!("{:.1} %", it * 100.0))
}

/// Prints one seed's run.
fn print(report: &Report) {
    println!("{} hosts for {} h, seed {}", report.hosts, report.hours, report.seed);
    println!(
        "  faults        {} injected, {} detected, {} repaired, {} passed, {} mended by a person, {} missed",
        report.faults, report.detected, report.repaired, report.passed, report.by_person, report.missed
    );
    println!(
        "  harm          {} repairs of the healthy, {} of victims, {} false incidents",
        report.false_repairs, report.collateral_repairs, report.false_incidents
    );
    println!(
        "  trouble       server killed {} times, agents {}, links cut {}",
        report.server_kills, report.agent_kills, report.cuts
    );
    println!("  trace         {}", report.trace);
    if report.ok {
        println!("  every promise was kept");
    } else {
        println!("  {} PROMISES BROKEN; repeat with: {}", report.violations, report.command);
        report.told.iter().for_each(|what| println!("    {what}"));
    }
}

/// Prints what all seeds come to.
#[expect(clippy::cast_precision_loss, reason = "rates need no more than 52 bits")]
fn print_summary(summary: &Summary, seconds: f64, format: Option<Format>) -> anyhow::Result<()> {
    let least = seconds.max(1e-9);
    let host_hours = f64::from(summary.hosts) * f64::from(summary.hours) * summary.seeds as f64;
    let steps: u64 = summary.runs.iter().map(|it| it.steps).sum();
    let timed =
        Timed { summary, seconds, steps_per_second: steps as f64 / least, host_hours_per_second: host_hours / least };
    if let Some(format) = format {
        format.print(&timed)?;
        return Ok(());
    }
    println!();
    println!(
        "{:<24} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "KIND", "FAULTS", "DETECTED", "REPAIRED", "PERSON", "PASSED", "CAUSE", "FIRST", "DOWN", "BASELINE"
    );
    for (kind, it) in &summary.kinds {
        let of = |right: u64, all: u64| if all == 0 { "—".to_owned() } else { format!("{right}/{all}") };
        let name = if it.control { format!("{kind} (control)") } else { kind.clone() };
        let best = summary.best_baseline.and_then(|best| it.baselines_downtime_s.get(best));
        let best = best.map_or_else(|| "—".to_owned(), |it| format!("{:.1} h", it / 3600.0));
        println!(
            "{name:<24} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6.1} h {best:>8}",
            it.faults,
            it.detected,
            it.repaired,
            it.by_person,
            it.passed,
            of(it.cause_right, it.diagnosed),
            of(it.first_right, it.decided),
            it.downtime_s / 3600.0
        );
    }
    println!();
    println!("{:<24} {:>20} {:>20} {:>20}", "", "engine", "threshold_restart", "restart_backoff");
    let all: Vec<Option<&Judged>> = std::iter::once(Some(&summary.judged))
        .chain(Baseline::ALL.iter().map(|it| summary.baselines.get(it.as_str())))
        .collect();
    let row = |name: &str, cell: &dyn Fn(&Judged) -> String| {
        let cells: Vec<String> =
            all.iter().map(|it| format!("{:>20}", it.map_or_else(|| "—".to_owned(), cell))).collect();
        println!("{name:<24} {}", cells.join(" "));
    };
    row("recall", &|it| with(percent(it.scores.recall), it.confidence.recall, 100.0));
    row("precision", &|it| with(percent(it.scores.precision), it.confidence.precision, 100.0));
    row("cause right at once", &|it| with(percent(it.scores.cause_at_1), it.confidence.cause_at_1, 100.0));
    let first = |it: &Judged| with(percent(it.scores.first_repair_correct), it.confidence.first_repair_correct, 100.0);
    row("first decision right", &first);
    row("repairs of the healthy", &|it| it.scores.collateral.to_string());
    row("needless repairs", &|it| it.scores.needless_repairs.to_string());
    let attempts =
        |it: &Judged| it.scores.attempts_per_incident.map_or_else(|| "—".to_owned(), |it| format!("{it:.2}"));
    row("attempts per incident", &attempts);
    row("median time to repair", &|it| time(it.scores.mttr_median_s));
    row("mean time to repair", &|it| time(it.scores.mttr_s));
    row("downtime, target-hours", &|it| format!("{:.1}", it.scores.downtime_s / 3600.0));
    row("  in the second half", &|it| format!("{:.1}", it.scores.downtime_learned_s / 3600.0));
    row("  of curable kinds", &|it| format!("{:.1}", it.scores.downtime_curable_s / 3600.0));
    if let Some(best) = summary.best_baseline {
        println!(
            "{} less downtime than {best}, {} less in the second half, {} less of what can be cured",
            with(percent(summary.less_downtime), summary.confidence_less_downtime, 100.0),
            with(percent(summary.less_downtime_learned), summary.confidence_less_downtime_learned, 100.0),
            with(percent(summary.less_downtime_curable), summary.confidence_less_downtime_curable, 100.0)
        );
    }
    println!("{seconds:.2} s, {:.0} host-hours/s, {:.0} steps/s", timed.host_hours_per_second, timed.steps_per_second);
    Ok(())
}

/// A figure with half the width of its interval, where there is one.
fn with(figure: String, interval: Option<Interval>, scale: f64) -> String {
    interval.map_or(figure.clone(), |it| format!("{figure} ±{:.1}", (it.high - it.low) / 2.0 * scale))
}

//! Fleets that meet everything at once, each twice. A failing seed prints the command that repeats it.

use prunella_sim::{Options, Report, simulate};

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn run(options: &Options) -> Report {
    simulate(options).unwrap()
}

fn check(report: &Report) {
    assert!(report.ok, "{} violations; repeat with: {}\n{}", report.violations, report.command, report.told.join("\n"));
    assert_eq!(report.missed, 0, "faults went unnoticed; repeat with: {}", report.command);
}

/// One fleet, twice: once with every promise of the engine looked at after every step. Looking must change nothing.
fn twice(seed: u64) -> Report {
    let options = Options { faults_per_host_day: 24.0, ..Options::new(100, 2, seed) };
    let report = run(&options);
    check(&report);
    let again = run(&Options { check_every_step: true, ..options });
    check(&again);
    assert_eq!(report, again, "the same seed led to two runs; repeat with: {}", report.command);
    report
}

#[test]
fn fifty_fleets_keep_every_promise_and_repeat_themselves() {
    let first = number("PRUNELLA_SIM_FIRST", 1);
    let seeds = number("PRUNELLA_SIM_SEEDS", 50);
    let half = first + seeds / 2;
    let (faults, repaired) = std::thread::scope(|scope| {
        let sum = |range: std::ops::Range<u64>| {
            range.map(twice).fold((0, 0), |(faults, repaired), it| (faults + it.faults, repaired + it.repaired))
        };
        let other = scope.spawn(move || sum(first..half));
        let own = sum(half..first + seeds);
        let other = other.join().unwrap();
        (own.0 + other.0, own.1 + other.1)
    });
    assert!(faults > seeds * 100, "only {faults} faults in {seeds} runs");
    assert!(repaired * 5 > faults * 2, "only {repaired} of {faults} faults were repaired");
}

#[test]
fn a_fleet_without_faults_is_left_alone() {
    let options = Options { faults_per_host_day: 0.0, ..Options::new(50, 24, 3) };
    let report = run(&options);
    check(&report);
    assert_eq!((report.commands, report.false_repairs, report.false_incidents), (0, 0, 0), "{report:?}");
}

#[test]
fn other_seeds_lead_to_other_runs() {
    let (one, two) = (run(&Options::new(20, 4, 1)), run(&Options::new(20, 4, 2)));
    assert_ne!(one.trace, two.trace);
}

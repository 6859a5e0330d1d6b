//! How well repairs are chosen: the engine's own code against other ways and an oracle, in generated worlds.

mod informed;
mod policies;
mod world;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use prunella_engine::choose::{Book, Draw};
use prunella_model::Timestamp;
use serde::Serialize;

use crate::Common;
use crate::output::{Paint, Rows, Tone};
use informed::Informed;
use policies::{Act, Policy, Story};
use world::{ATTEMPTS, FUTILE, Incident, PERSON, REPAIRS, World};

const EXAMPLE: &str = "\
Examples:
  prunella bench learn
  prunella bench learn --misdiagnosed 0            what wrong diagnoses cost
  prunella bench learn --worlds 10 --seed 7 --json

Pure arithmetic: nothing is started, and the same seed gives the same figures on every machine.";

/// Arguments of `prunella bench learn`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct LearnArgs {
    /// How many worlds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(2..=10_000))]
    worlds: u64,
    /// How many incidents each world has.
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    incidents: u32,
    /// The share of diagnoses, in percent, that name any of the fault's causes.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    misdiagnosed: u8,
    /// What the worlds are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON document on stdout.
    #[arg(long)]
    json: bool,
}

/// A mean over worlds, with its 95 % confidence interval.
#[derive(Debug, Clone, Copy, Serialize)]
struct Mean {
    mean: f64,
    low: f64,
    high: f64,
}

/// What one way of choosing came to.
#[derive(Debug, Serialize)]
struct Row {
    policy: &'static str,
    /// Lost service for each incident, in seconds.
    cost: Mean,
    /// The cost against the oracle's, of the same world.
    against_oracle: Mean,
    /// Repairs for each incident.
    repairs: Mean,
    /// Repairs for each incident of what was about to go away by itself.
    needless: Mean,
    /// Incidents that were handed to a person.
    escalated: Mean,
}

#[derive(Debug, Serialize)]
struct Figures {
    worlds: u64,
    incidents: u32,
    misdiagnosed_percent: u8,
    seed: u64,
    rows: Vec<Row>,
}

impl Figures {
    fn table(&self) -> String {
        let heading = ["", "LOST SECONDS", "AGAINST ORACLE", "REPAIRS", "NEEDLESS", "PERSON"];
        let mut rows = Rows::new(&heading);
        for it in &self.rows {
            let wide =
                |it: &Mean, digits: usize| format!("{:.digits$} ({:.digits$}–{:.digits$})", it.mean, it.low, it.high);
            let cells = [
                it.policy.to_owned(),
                wide(&it.cost, 1),
                wide(&it.against_oracle, 2),
                wide(&it.repairs, 2),
                wide(&it.needless, 3),
                wide(&it.escalated, 3),
            ];
            rows.push(Tone::Plain, cells);
        }
        format!(
            "{} worlds of {} incidents, {} % misdiagnosed, seed {}. For each incident, with the 95 % interval over worlds:\n{}",
            self.worlds,
            self.incidents,
            self.misdiagnosed_percent,
            self.seed,
            rows.print(Paint::for_stdout())
        )
    }
}

/// What one way came to in one world, for each incident.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    cost: f64,
    repairs: f64,
    needless: f64,
    escalated: f64,
}

/// Makes a way of choosing, from a seed and the share of wrong diagnoses.
type Make = fn(u64, f64) -> Box<dyn Policy>;

/// Every way of choosing; the oracle last.
const WAYS: [(&str, Make); 9] = [
    ("restart loop", |_, _| Box::new(policies::RestartLoop)),
    ("fixed ladder", |_, _| Box::new(policies::Ladder)),
    ("success-rate greedy", |_, _| Box::new(policies::Greedy::default())),
    ("Thompson without cost", |seed, _| {
        Box::new(policies::Thompson(Draw::keyed(seed, &[b"thompson"]), BTreeMap::new()))
    }),
    ("engine, never waits", |seed, wrong| engine(seed, wrong, false, false)),
    ("engine", |seed, wrong| engine(seed, wrong, false, true)),
    ("engine, Thompson draws", |seed, wrong| engine(seed, wrong, true, true)),
    ("knows all but the cause", |_, wrong| Box::new(Informed { wrong })),
    ("oracle", |_, _| Box::new(policies::Oracle)),
];

fn engine(seed: u64, wrong: f64, draws: bool, waits: bool) -> Box<dyn Policy> {
    Box::new(policies::Engine { book: Book::default(), draws, seed, waits, confidence: 1.0 - wrong })
}

impl LearnArgs {
    pub(super) fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let figures = self.measure();
        if let Some(format) = common.format(self.json) {
            format.print(&figures)?;
            return Ok(ExitCode::SUCCESS);
        }
        print!("{}", figures.table());
        Ok(ExitCode::SUCCESS)
    }

    fn measure(&self) -> Figures {
        let mut sums: Vec<Vec<Sum>> = vec![Vec::new(); WAYS.len()];
        let wrong = f64::from(self.misdiagnosed) / 100.0;
        for number in 0..self.worlds {
            let world = World::new(self.seed, number);
            let mut draw = Draw::keyed(self.seed, &[b"incidents", &number.to_be_bytes()]);
            let incidents: Vec<Incident> = (0..self.incidents).map(|_| world.incident(&mut draw, wrong)).collect();
            for ((_, make), sums) in WAYS.iter().zip(&mut sums) {
                sums.push(play(&world, &incidents, make(self.seed ^ number, wrong).as_mut()));
            }
        }
        let oracle: Vec<f64> = sums.last().map(|it| it.iter().map(|it| it.cost).collect()).unwrap_or_default();
        let row = |((policy, _), sums): (&(&'static str, Make), &Vec<Sum>)| Row {
            policy,
            cost: mean(sums.iter().map(|it| it.cost)),
            against_oracle: mean(sums.iter().zip(&oracle).map(|(it, oracle)| it.cost / oracle)),
            repairs: mean(sums.iter().map(|it| it.repairs)),
            needless: mean(sums.iter().map(|it| it.needless)),
            escalated: mean(sums.iter().map(|it| it.escalated)),
        };
        let rows = WAYS.iter().zip(&sums).map(row).collect();
        let (worlds, incidents, misdiagnosed, seed) = (self.worlds, self.incidents, self.misdiagnosed, self.seed);
        Figures { worlds, incidents, misdiagnosed_percent: misdiagnosed, seed, rows }
    }
}

/// Plays the incidents of a world, one after the other.
fn play(world: &World, incidents: &[Incident], policy: &mut dyn Policy) -> Sum {
    let mut sum = Sum::default();
    let mut now = Timestamp::from_secs(1_700_000_000);
    for (number, incident) in incidents.iter().enumerate() {
        now = now.after(Duration::from_secs_f64(incident.pause));
        let faults = world.at(number, incidents.len());
        let mut story = Story::default();
        while !story.over && story.tries.len() < ATTEMPTS {
            let act = policy.next(incident, faults, now, &story);
            let helps = &faults[incident.fault].causes[incident.cause].helps;
            sum.cost += live(&mut story, incident, helps, act, &mut sum.needless);
        }
        sum.repairs += story.tries.len() as f64;
        if !story.over {
            sum.escalated += 1.0;
            sum.cost += PERSON.min(incident.gone - story.time);
        }
        policy.learn(incident, faults, now, &story);
    }
    let count = incidents.len() as f64;
    Sum {
        cost: sum.cost / count,
        repairs: sum.repairs / count,
        needless: sum.needless / count,
        escalated: sum.escalated / count,
    }
}

/// Lets one act happen. Returns what it cost.
fn live(story: &mut Story, it: &Incident, helps: &[f64; REPAIRS.len()], act: Act, needless: &mut f64) -> f64 {
    let began = story.time;
    let (spent, harm) = match act {
        Act::Wait(span) => {
            story.over = it.gone <= began + span;
            (span.min(it.gone - began), 0.0)
        }
        Act::Repair(repair) => {
            let (_, takes, harm) = REPAIRS[repair];
            let helped = it.coins[repair][story.failures(repair)] < helps[repair];
            let lasts = if helped { takes } else { takes + FUTILE };
            let alone = it.gone <= began + lasts;
            *needless += f64::from(u8::from(it.gone <= began + takes));
            let spent = if alone { it.gone - began } else { lasts };
            story.over = helped || alone;
            story.tries.push((repair, began, story.over.then_some(spent)));
            (spent, harm)
        }
    };
    story.time = began + spent;
    spent + harm
}

/// The mean over worlds and its 95 % interval, by the normal approximation.
fn mean(of: impl Iterator<Item = f64>) -> Mean {
    let all: Vec<f64> = of.collect();
    let count = all.len().max(1) as f64;
    let mean = all.iter().sum::<f64>() / count;
    let spread = all.iter().map(|it| (it - mean) * (it - mean)).sum::<f64>() / (count - 1.0).max(1.0);
    let reach = 1.96 * (spread / count).sqrt();
    Mean { mean, low: mean - reach, high: mean + reach }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(seed: u64) -> Figures {
        LearnArgs { worlds: 4, incidents: 150, misdiagnosed: 0, seed, json: false }.measure()
    }

    #[test]
    fn the_engine_loses_less_than_who_does_not_learn_and_nobody_beats_the_oracle() {
        let it = figures(3);
        let cost = |policy: &str| it.rows.iter().find(|row| row.policy == policy).map(|row| row.cost.mean).unwrap();
        let oracle = cost("oracle");
        for row in &it.rows {
            assert!(row.cost.mean > oracle * 0.95, "{}: {} against {oracle}", row.policy, row.cost.mean);
        }
        for other in ["restart loop", "fixed ladder", "success-rate greedy", "Thompson without cost"] {
            assert!(cost("engine") < cost(other), "{other}: {} against {}", cost(other), cost("engine"));
        }
    }

    #[test]
    fn a_seed_always_gives_the_same_figures() {
        let text = |seed| serde_json::to_string(&figures(seed)).unwrap();
        assert_eq!(text(5), text(5));
        assert_ne!(text(5), text(6));
    }
}

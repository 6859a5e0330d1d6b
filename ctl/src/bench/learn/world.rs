//! Worlds to learn in: what breaks, why, what helps, and how it goes on if nothing is done.
//!
//! A world has [`CAUSES`] causes. A third of them is transient and goes away within seconds, a quarter goes away within
//! half an hour, the rest never. Each has one repair that is right for it (70 to 98 % likely to help); the others help
//! rarely, some in a third of the cases; the drastic one helps most. What fails once in an incident rarely helps later.
//! Repairs differ in how long they take and in how much service they take away.
//!
//! A world has [`FINGERPRINTS`] faults, each with one to three of these causes, in a variety of its own: the chances are
//! moved by half a logit, the rate at which it goes away by 40 %. A diagnosis names the cause, and where a fault has
//! several, a given share of the diagnoses names any of them. The catalogue knows the causes' figures only roughly: chances by 20 points, rates by a factor
//! of two. In every second world, a third of the faults' causes change half-way: another repair is right.

use std::time::Duration;

use prunella_engine::choose::{Arm, Draw};
use prunella_model::RepairName;

/// Causes in a world.
pub(super) const CAUSES: usize = 8;

/// Faults in a world.
pub(super) const FINGERPRINTS: usize = 10;

/// How much longer a repair that did not help takes: its symptom must be seen to last.
pub(super) const FUTILE: f64 = 20.0;

/// After so many repairs a person is called.
pub(super) const ATTEMPTS: usize = 6;

/// How long the person needs, in seconds.
pub(super) const PERSON: f64 = 1800.0;

/// What having failed in an incident leaves of a repair's chance. The engine assumes the same figure.
pub(super) const CHANGES: f64 = 0.1;

/// The repairs: name, seconds that it takes, seconds of service that it takes away.
pub(super) const REPAIRS: [(&str, f64, f64); 5] = [
    ("reload", 5.0, 2.0),
    ("restart", 10.0, 10.0),
    ("repair_config", 15.0, 10.0),
    ("clean_up", 30.0, 1.0),
    ("reboot", 120.0, 120.0),
];

/// One cause.
#[derive(Debug, Clone)]
pub(super) struct Cause {
    /// Its number in the world.
    pub(super) number: usize,
    /// The rate at which it goes away by itself, per second.
    pub(super) alone: f64,
    /// How likely each repair is to help.
    pub(super) helps: [f64; REPAIRS.len()],
    /// What the catalogue believes of both.
    pub(super) prior_alone: f64,
    pub(super) prior_helps: [f64; REPAIRS.len()],
}

/// One fault.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) causes: Vec<Cause>,
    /// How common each cause is.
    pub(super) shares: Vec<f64>,
}

/// A world.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) faults: Vec<Fault>,
    /// The same after the change.
    pub(super) later: Vec<Fault>,
}

/// One incident, with everything that chance will decide.
#[derive(Debug, Clone)]
pub(super) struct Incident {
    pub(super) fault: usize,
    pub(super) cause: usize,
    /// The cause that the diagnosis names.
    pub(super) named: usize,
    /// When it would go away by itself, in seconds after the first decision.
    pub(super) gone: f64,
    /// Below its chance to help, a repair helps when it is tried for the first, second, … time.
    pub(super) coins: [[f64; ATTEMPTS]; REPAIRS.len()],
    /// Seconds since the incident before.
    pub(super) pause: f64,
}

fn between(draw: &mut Draw, low: f64, high: f64) -> f64 {
    low + (high - low) * draw.unit()
}

/// An index below `end`, which is not 0.
fn index(draw: &mut Draw, end: usize) -> usize {
    usize::try_from(draw.bits() % u64::try_from(end.max(1)).unwrap_or(1)).unwrap_or(0)
}

fn helps(draw: &mut Draw) -> [f64; REPAIRS.len()] {
    let right = index(draw, REPAIRS.len() - 1);
    let mut helps = [0.0; REPAIRS.len()];
    for (place, chance) in helps.iter_mut().enumerate() {
        let lucky = draw.unit() < 0.3;
        *chance = match (place == right, place + 1 == REPAIRS.len()) {
            (true, _) => between(draw, 0.7, 0.98),
            (false, true) => between(draw, 0.5, 0.95),
            (false, false) if lucky => between(draw, 0.2, 0.5),
            (false, false) => between(draw, 0.01, 0.1),
        };
    }
    helps
}

impl Cause {
    fn new(draw: &mut Draw, number: usize) -> Self {
        let mean = match draw.unit() {
            ..0.35 => between(draw, 1.5, 6.0),
            ..0.6 => between(draw, 200.0, 1800.0),
            _ => 1e7,
        };
        let helps = helps(draw);
        let prior_alone = (1.0 / mean) * (draw.normal() * 0.7).exp();
        let prior_helps = helps.map(|it| (it + draw.normal() * 0.2).clamp(0.05, 0.95));
        Self { number, alone: 1.0 / mean, helps, prior_alone: prior_alone.min(0.5), prior_helps }
    }

    /// As one fault has it.
    fn variety(&self, draw: &mut Draw) -> Self {
        let mut it = self.clone();
        it.alone *= (draw.normal() * 0.4).exp();
        for chance in &mut it.helps {
            let logit = (*chance / (1.0 - *chance)).ln() + draw.normal() * 0.5;
            *chance = 1.0 / (1.0 + (-logit).exp());
        }
        it
    }
}

impl World {
    /// The world of that number under a seed.
    pub(super) fn new(seed: u64, number: u64) -> Self {
        let mut draw = Draw::keyed(seed, &[b"world", &number.to_be_bytes()]);
        let causes: Vec<Cause> = (0..CAUSES).map(|number| Cause::new(&mut draw, number)).collect();
        let fault = |draw: &mut Draw| {
            let count = 1 + index(draw, 3);
            let first = index(draw, CAUSES);
            let mine = causes.iter().cycle().skip(first).step_by(3).take(count);
            let weights: Vec<f64> = (0..count).map(|_| between(draw, 0.2, 1.0)).collect();
            let sum: f64 = weights.iter().sum();
            let shares = weights.iter().map(|it| it / sum).collect();
            Fault { causes: mine.map(|it| it.variety(draw)).collect(), shares }
        };
        let faults: Vec<Fault> = (0..FINGERPRINTS).map(|_| fault(&mut draw)).collect();
        let mut later = faults.clone();
        if number % 2 == 1 {
            for cause in later.iter_mut().flat_map(|it| &mut it.causes) {
                if draw.unit() < 1.0 / 3.0 {
                    cause.helps = helps(&mut draw);
                }
            }
        }
        Self { faults, later }
    }

    /// The faults as they are at the incident of that number, of so many.
    pub(super) fn at(&self, number: usize, of: usize) -> &[Fault] {
        if number * 2 < of { &self.faults } else { &self.later }
    }

    /// The next incident.
    ///
    /// Where a fault has several causes, this share of the diagnoses names any of them.
    pub(super) fn incident(&self, draw: &mut Draw, misdiagnosed: f64) -> Incident {
        let fault = index(draw, FINGERPRINTS);
        let it = &self.faults[fault];
        let mut rest = draw.unit();
        let mut cause = 0;
        for (place, share) in it.shares.iter().enumerate() {
            cause = place;
            rest -= share;
            if rest <= 0.0 {
                break;
            }
        }
        let named = if draw.unit() < misdiagnosed { index(draw, it.causes.len()) } else { cause };
        Incident {
            fault,
            cause,
            named,
            gone: -draw.unit().ln() / it.causes[cause].alone,
            coins: std::array::from_fn(|_| coins(draw)),
            pause: -draw.unit().ln() * 7200.0,
        }
    }
}

/// One repair's coins in one incident: what did not help once rarely helps the next time.
fn coins(draw: &mut Draw) -> [f64; ATTEMPTS] {
    let mut coin = draw.unit();
    std::array::from_fn(|attempt| {
        if attempt > 0 && draw.unit() < CHANGES {
            coin = draw.unit();
        }
        coin
    })
}

/// The repairs as the catalogue knows them for a cause.
pub(super) fn arms(cause: &Cause) -> Vec<Arm> {
    let arm = |((name, takes, harm), prior): (&(&'static str, f64, f64), &f64)| Arm {
        repair: RepairName::of(name),
        prior: *prior,
        takes: Duration::from_secs_f64(*takes),
        futile: Duration::from_secs_f64(takes + FUTILE),
        harm: Duration::from_secs_f64(*harm),
    };
    REPAIRS.iter().zip(&cause.prior_helps).map(arm).collect()
}

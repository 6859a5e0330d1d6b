//! Chooses among repairs and doing nothing: by the service that is lost in the end.
//!
//! A bandit with priors, costs and few attempts. Each repair is judged by the time of lost service that is to be expected
//! until recovery, when it is made now and the best of what is left is done thereafter ([`ahead`]): its time, its harm,
//! its chance, the chance that the fault goes away meanwhile ([`alone`]), and the person who must come in the end. Doing
//! nothing for a while is judged the same way. The inverse is the index: recovery for each second. For one repair that may
//! be tried again and again, that is its chance by its cost, the classical index of search (Blackwell, 1962).
//!
//! What a repair's chance is, is learned ([`Book`]); where no harm can come of it, it is drawn from what is believed
//! (Thompson, 1933) instead of its mean, so that what looks worse by bad luck gets another chance.
//!
//! Public, so that `prunella bench learn` measures this very code.

mod ahead;
pub mod alone;
pub mod book;
pub mod draw;

use std::time::Duration;

use prunella_model::knowledge::Subject;
use prunella_model::{RepairName, Timestamp};

use ahead::{Ahead, Figures};
pub use alone::Rates;
pub use book::{Belief, Book, Ending, Lesson};
pub use draw::Draw;

/// No repair counts as faster than this. Below a second speed is no reason to prefer one that helps less.
const TAKES_LEAST: f64 = 1.0;

/// Waiting less than this is no waiting.
const WAIT_LEAST: f64 = 1.0;

/// How many draws tell how likely a choice was.
const DRAWS: u32 = 16;

/// A repair is drawn for only after so many trials of it against this very fault: before, its prior decides.
const HISTORY: f64 = 1.0;

/// So often a fault must have gone away by itself before it is waited for where the matter is urgent.
const WAIT_KNOWN: f64 = 10.0;

/// One repair that could be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// Its name.
    pub repair: RepairName,
    /// The catalogue's chance that it helps.
    pub prior: f64,
    /// How long it takes until it has helped, before anything is known.
    pub takes: Duration,
    /// How long it takes until it is known not to have helped, before anything is known.
    pub futile: Duration,
    /// How much service it takes away, as a time of full loss.
    pub harm: Duration,
}

/// When a choice is made, and under what conditions.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// Now.
    pub now: Timestamp,
    /// How long the fault has lasted.
    pub age: Duration,
    /// What was tried in vain in this incident; more than once when it was tried more than once.
    pub tried: &'a [RepairName],
    /// How likely the diagnosis is right, from 0 to 1.
    pub confidence: f64,
    /// How fast the fault goes away by itself before anything is known, per second, and how many recoveries that is worth.
    pub alone: (f64, f64),
    /// How many attempts the incident allows from here on.
    pub left: u32,
    /// How long it takes until a person has mended what no repair did.
    pub person: Duration,
    /// The longest that may be waited before the next choice.
    pub wait_most: Duration,
}

/// How one repair was judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Its place among the arms.
    pub arm: usize,
    /// The expected chance that it helps.
    pub chance: f64,
    /// The trials of it against this very fault.
    pub trials: f64,
    /// The service that is lost until recovery, in seconds, when it is made now.
    pub cost: f64,
}

/// How waiting was judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wait {
    /// The service that is lost until recovery, in seconds, when it is waited first.
    pub cost: f64,
    /// For how long it is best.
    pub span: Duration,
    /// The chance that the fault goes away within that time.
    pub chance: f64,
    /// How many recoveries of this very fault by itself that stands on.
    pub known: f64,
}

/// What a choice comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// The repairs, best first.
    pub arms: Vec<Scored>,
    /// Doing nothing for a while.
    pub wait: Wait,
    /// The service that is lost, in seconds, when a person is called now.
    pub give_up: f64,
    /// How likely the first was to be first; 1 when nothing was drawn.
    pub propensity: f64,
}

impl Ranking {
    /// Whether doing nothing promises most. Where the matter is urgent, only on evidence of this very fault.
    #[must_use]
    pub fn waits(&self, urgent: bool) -> bool {
        (!urgent || self.wait.known >= WAIT_KNOWN) && self.arms.first().is_some_and(|best| self.wait.cost < best.cost)
    }
}

/// Judges the repairs in `arms`, and waiting. With `draw`, chances are drawn; without, they are their means.
#[must_use]
pub fn rank(book: &Book, subject: &Subject, it: &Situation<'_>, arms: &[Arm], draw: Option<&mut Draw>) -> Ranking {
    let age = it.age.as_secs_f64();
    let steps = book::steps(subject, &[]);
    let (rates, known) = book.rates_in(&steps, it.alone, it.now);
    let doubt = |arm: &Arm| (arm.prior, it.confidence);
    let belief = |arm: &Arm| book.belief_in_doubt(&steps, subject, it.tried, &arm.repair, doubt(arm), it.now);
    let beliefs: Vec<(Belief, &Arm)> = arms.iter().map(|arm| (belief(arm), arm)).collect();
    let judge = |draw: Option<&mut Draw>| {
        let figures = figures(&beliefs, draw);
        let mut ahead = Ahead::new(&figures, &rates, it.person.as_secs_f64());
        let score = |(arm, (belief, _)): (usize, &(Belief, &Arm))| Scored {
            arm,
            chance: belief.mean(),
            trials: belief.trials,
            cost: ahead.repair(arm, age, it.left),
        };
        let mut all: Vec<Scored> = beliefs.iter().enumerate().map(score).collect();
        all.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        all
    };
    let means = figures(&beliefs, None);
    let mut ahead = Ahead::new(&means, &rates, it.person.as_secs_f64());
    let most = it.wait_most.as_secs_f64().max(WAIT_LEAST);
    let waits = alone::ends(age, most).into_iter().map(|span| (ahead.wait(span, age, it.left), span));
    let (cost, span) = waits.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((f64::INFINITY, most));
    let wait = Wait { cost, span: Duration::from_secs_f64(span), chance: rates.gone(age, span).0, known };
    let give_up = ahead.give_up(age);
    let Some(draw) = draw else { return Ranking { arms: judge(None), wait, give_up, propensity: 1.0 } };
    let arms = judge(Some(draw));
    if beliefs.len() < 2 || beliefs.iter().all(|(belief, _)| belief.trials < HISTORY) {
        // Where there is nothing to choose from, or nothing was drawn, it could not have come out otherwise.
        return Ranking { arms, wait, give_up, propensity: 1.0 };
    }
    let first = arms.first().map(|it| it.arm);
    let again = (0..DRAWS).filter(|_| judge(Some(draw)).first().map(|it| it.arm) == first).count();
    let propensity = f64::from(u32::try_from(again).unwrap_or(DRAWS) + 1) / f64::from(DRAWS + 1);
    Ranking { arms, wait, give_up, propensity }
}

/// What is believed of each repair, in figures.
fn figures(beliefs: &[(Belief, &Arm)], mut draw: Option<&mut Draw>) -> Vec<Figures> {
    let one = |(belief, arm): &(Belief, &Arm)| {
        let chance = match draw.as_deref_mut().filter(|_| belief.trials >= HISTORY) {
            Some(draw) => draw.beta(belief.heads, belief.tails),
            None => belief.mean(),
        };
        Figures {
            chance,
            helps_after: belief.helps_after.unwrap_or(arm.takes).as_secs_f64().max(TAKES_LEAST),
            fails_after: belief.fails_after.unwrap_or(arm.futile).as_secs_f64().max(TAKES_LEAST),
            harm: arm.harm.as_secs_f64(),
        }
    };
    beliefs.iter().map(one).collect()
}

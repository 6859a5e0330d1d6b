//! How faults begin, spread and end: what the primitives of a kind do to targets and hosts.

mod draw;
mod end;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use prunella_model::Timestamp;

use crate::agent::Up;
use crate::person::Says;
use crate::rng::Rng;
use crate::scenario::{Effect, Primitive, Where};
use crate::truth::{Active, Need, Place, Process};
use crate::world::{Item, World};

/// After this long without service its users call somebody, whatever any program has noticed.
const CALLED: Duration = Duration::from_secs(3_600);

/// Who ended a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Command,
    Itself,
    Person,
}

/// Where something works: a host, or a target of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spot {
    Host(usize),
    Target(Place),
}

/// One fault, from its beginning on.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The index of its kind.
    pub(crate) kind: usize,
    pub(crate) since: Timestamp,
    /// Where it has worked.
    pub(crate) spots: BTreeSet<Spot>,
    /// How many primitives are still to come that come whatever is done before.
    regardless: usize,
    pub(crate) rng: Rng,
    pub(crate) ended: Option<(Timestamp, By)>,
    /// What is known of how it was treated.
    pub(crate) judged: crate::judge::Judged,
}

impl World {
    fn begin_fault(&mut self, kind: usize, origins: &[Place], rng: Rng) {
        let now = self.now;
        let id = self.faults.all.len();
        let scenario = Arc::clone(&self.options.scenario);
        let it = &scenario.kinds[kind];
        let fault = Fault {
            kind,
            since: now,
            spots: BTreeSet::new(),
            regardless: 0,
            rng,
            ended: None,
            judged: Default::default(),
        };
        self.faults.all.push(fault);
        self.faults.open.insert(id);
        self.report.begun(it);
        if !it.control {
            self.queue.push(now.after(CALLED), Item::Called { fault: id });
        }
        for origin in origins {
            for effect in &it.does {
                let effect = Arc::new(effect.clone());
                for spot in self.spots(*origin, effect.place) {
                    self.faults.all[id].regardless += usize::from(effect.regardless);
                    let begins = Item::Begins { fault: id, effect: Arc::clone(&effect), spot };
                    self.queue.push(now.after(effect.after.0), begins);
                }
            }
        }
    }

    /// The places of a primitive, seen from where its fault begins.
    pub(crate) fn spots(&self, (host, target): Place, place: Where) -> Vec<Spot> {
        let it = &self.hosts[host].targets[target];
        match place {
            Where::Itself => vec![Spot::Target((host, target))],
            Where::Host => vec![Spot::Host(host)],
            Where::Neighbours => (0..self.hosts[host].targets.len()).map(|it| Spot::Target((host, it))).collect(),
            Where::Dependents => it.dependents.iter().copied().map(Spot::Target).collect(),
            Where::Dependent => it.dependents.first().copied().map(Spot::Target).into_iter().collect(),
            Where::Needs => self.needed((host, target)).into_iter().map(Spot::Target).collect(),
        }
    }

    /// What a target needs directly.
    pub(crate) fn needed(&self, (host, target): Place) -> Vec<Place> {
        let each = |need: &Need| match need {
            Need::One(place) => vec![*place],
            Need::Any(places) => places.clone(),
        };
        self.hosts[host].targets[target].needs.iter().flat_map(each).collect()
    }

    /// A primitive begins to work.
    pub(crate) fn begins(&mut self, fault: usize, effect: &Arc<Effect>, spot: Spot) {
        let now = self.now;
        let it = &mut self.faults.all[fault];
        it.regardless = it.regardless.saturating_sub(usize::from(effect.regardless));
        if it.ended.is_some() {
            return;
        }
        let kind = &self.options.scenario.kinds[it.kind];
        let harms = match &effect.primitive {
            Primitive::Label(_) | Primitive::Declare(_) | Primitive::Stop => false,
            other => !kind.control || other.breaks(),
        };
        it.spots.insert(spot);
        if let Some((least, most)) = effect.lasts.map(crate::scenario::Range::bounds) {
            let passes = Item::Passes { fault, effect: Arc::clone(effect), spot };
            self.queue.push(now.after(it.rng.between(least, most)), passes);
        }
        let active =
            Active { fault: u32::try_from(fault).unwrap_or(u32::MAX), effect: Arc::clone(effect), since: now, harms };
        match spot {
            Spot::Host(host) => {
                self.hosts[host].active.push(active);
            }
            Spot::Target(place) => self.works(place, active),
        }
    }

    fn works(&mut self, place: Place, active: Active) {
        let now = self.now;
        let it = &mut self.hosts[place.0].targets[place.1];
        let effect = Arc::clone(&active.effect);
        if active.harms {
            it.last_faulty = now;
        }
        it.active.push(active);
        match &effect.primitive {
            Primitive::End(end) => it.end(now, end.code, end.signal),
            Primitive::Stop => it.process = Process::Stopped,
            Primitive::Label(label) => {
                let labels = &mut self.hosts[place.0].reports[place.1].labels;
                labels.insert(label.key.clone(), label.value.clone());
                self.report_again(place.0);
            }
            Primitive::Declare(declare) => self.declares(place, declare.needs, true),
            Primitive::Hang
            | Primitive::Lock(_)
            | Primitive::Answer(_)
            | Primitive::Slow(_)
            | Primitive::Corrupt
            | Primitive::Fill(_)
            | Primitive::Metric(_)
            | Primitive::Jam(_)
            | Primitive::Cut
            | Primitive::Silence
            | Primitive::Clock(_) => {}
        }
        self.changed(place);
    }

    /// The agent says everything again: its administrator's declarations have changed.
    pub(crate) fn report_again(&mut self, host: usize) {
        if self.hosts[host].stream.is_some() {
            let report = self.full_report(host);
            self.say(host, Up::Report(Box::new(report)));
        }
    }

    /// Everything that a target stands on: its host, what it needs, and so on.
    pub(crate) fn behind(&self, place: Place) -> Vec<Spot> {
        let mut places = vec![place];
        let mut next = 0;
        while let Some(it) = places.get(next).copied() {
            next += 1;
            for needed in self.needed(it) {
                if !places.contains(&needed) {
                    places.push(needed);
                }
            }
        }
        let hosts: BTreeSet<usize> = places.iter().map(|(host, _)| *host).collect();
        let others = places.into_iter().skip(1).map(Spot::Target);
        others.chain(hosts.into_iter().map(Spot::Host)).collect()
    }

    /// Users of what a fault has broken lose their patience.
    pub(crate) fn called(&mut self, fault: usize) {
        let it = &self.faults.all[fault];
        if it.ended.is_some() {
            return;
        }
        let felt = it.spots.iter().find(|spot| match spot {
            Spot::Host(_) => false,
            Spot::Target(place) => !self.serves(*place),
        });
        match felt.copied() {
            // They know where they miss something, and not why.
            Some(spot) => self.call_person(spot, None, Says { place: Some(spot), cause: None }),
            None => self.queue.push(self.now.after(CALLED / 2), Item::Called { fault }),
        }
    }
}

/// All faults.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) all: Vec<Fault>,
    /// Those that are not over.
    pub(crate) open: BTreeSet<usize>,
}

pub(crate) fn to_index(fault: u32) -> usize {
    usize::try_from(fault).unwrap_or(usize::MAX)
}

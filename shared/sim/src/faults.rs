//! How faults begin, spread and end: what the primitives of a kind do to targets and hosts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use prunella_model::step::StepKind;
use prunella_model::{IncidentId, Timestamp};

use crate::agent::Up;
use crate::fleet::{RACK, STACK};
use crate::rng::Rng;
use crate::scenario::{Effect, Primitive, Spread, Where};
use crate::truth::{Active, Need, Place, Process};
use crate::world::{Item, World};

/// After this long without service its users call somebody, whatever any program has noticed.
const CALLED: Duration = Duration::from_secs(3_600);

/// How long a person takes to mend what they were told of.
const PERSON: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(1_800));

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
    rng: Rng,
    pub(crate) ended: Option<(Timestamp, By)>,
    /// What is known of how it was treated.
    pub(crate) judged: crate::judge::Judged,
}

impl World {
    pub(crate) fn plan_fault(&mut self) {
        let each_day = self.options.faults_per_host_day * f64::from(self.options.hosts);
        let mean = Duration::from_secs_f64(86_400.0 / each_day);
        let at = self.now.after(self.chance.exponential(mean));
        self.queue.push(at, Item::Fault);
    }

    /// Draws the next fault. Every draw is made whatever the state of the fleet, so that the same seed gives the same
    /// faults to whoever has to deal with them.
    pub(crate) fn next_fault(&mut self) {
        self.plan_fault();
        let scenario = Arc::clone(&self.options.scenario);
        let total: f64 = scenario.kinds.iter().map(|it| it.weight).sum();
        let mut left = self.chance.unit() * total;
        let (host, target, fork) =
            (self.chance.index(self.hosts.len()), self.chance.unit(), Rng::new(self.chance.next(), "fault"));
        let drawn = scenario.kinds.iter().position(|it| {
            left -= it.weight;
            left < 0.0
        });
        let Some(kind) = drawn.or_else(|| scenario.kinds.len().checked_sub(1)) else { return };
        let on = &scenario.kinds[kind].on;
        let fitting: Vec<Place> = (0..self.hosts.len())
            .cycle()
            .skip(host)
            .take(STACK.min(self.hosts.len()))
            .flat_map(|host| (0..self.hosts[host].targets.len()).map(move |target| (host, target)))
            .filter(|(host, target)| on.contains(&self.hosts[*host].targets[*target].role))
            .collect();
        // Those of the drawn host first; the others only where it has none that fits.
        let own = fitting.iter().filter(|(it, _)| *it == host).count();
        let choice = &fitting[..if own > 0 { own } else { fitting.len() }];
        let Some(place) = choice.get(scaled(target, choice.len())).copied() else { return };
        let begins = self.origins(kind, place);
        if begins.iter().any(|place| !self.is_quiet(*place)) {
            self.report.skipped += 1;
            return;
        }
        self.begin_fault(kind, &begins, fork);
    }

    /// Whether nothing is wrong at a target, at its host or with what it needs, and nothing was lately.
    fn is_quiet(&self, place: Place) -> bool {
        let it = &self.hosts[place.0].targets[place.1];
        let alone = it.active.is_empty() && matches!(it.process, Process::Running { .. });
        alone
            && self.hosts[place.0].active.is_empty()
            && !self.faults.open.iter().any(|fault| self.faults.all[*fault].spots.contains(&Spot::Target(place)))
    }

    /// The targets that a fault of that kind begins at.
    fn origins(&self, kind: usize, place: Place) -> Vec<Place> {
        let it = &self.options.scenario.kinds[kind];
        let hosts = match it.spread {
            Spread::One => return vec![place],
            Spread::Stack => {
                let first = place.0 / STACK * STACK;
                first..(first + STACK).min(self.hosts.len())
            }
            Spread::Rack => {
                let first = place.0 / RACK * RACK;
                first..(first + RACK).min(self.hosts.len())
            }
            Spread::Fleet => 0..self.hosts.len(),
        };
        let role = self.hosts[place.0].targets[place.1].role;
        let alike = hosts.flat_map(|host| (0..self.hosts[host].targets.len()).map(move |target| (host, target)));
        let mut alike: Vec<Place> =
            alike.filter(|(host, target)| self.hosts[*host].targets[*target].role == role).collect();
        let wanted = scaled(it.share, alike.len()).max(1);
        // Beginning at the drawn one, so that a share is not always that of the first hosts.
        let at = alike.iter().position(|it| *it == place).unwrap_or(0);
        alike.rotate_left(at);
        alike.truncate(wanted);
        alike
    }

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
    fn spots(&self, (host, target): Place, place: Where) -> Vec<Spot> {
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
            Primitive::Label(_) | Primitive::Stop => false,
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
            Primitive::Hang
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

    /// A primitive goes away by itself.
    pub(crate) fn passes(&mut self, fault: usize, effect: &Arc<Effect>, spot: Spot) {
        self.end_where(spot, By::Itself, |it| to_index(it.fault) == fault && Arc::ptr_eq(&it.effect, effect));
    }

    /// A step was done to a target, and ends what such a step ends.
    pub(crate) fn treated(&mut self, place: Place, step: StepKind) {
        self.end_where(Spot::Target(place), By::Command, |it| it.ends_with(step));
    }

    /// Ends what works at a spot and is meant, with what hangs on it.
    fn end_where(&mut self, spot: Spot, by: By, meant: impl Fn(&Active) -> bool) {
        let active = match spot {
            Spot::Host(host) => &mut self.hosts[host].active,
            Spot::Target((host, target)) => &mut self.hosts[host].targets[target].active,
        };
        let (over, left): (Vec<Active>, Vec<Active>) = std::mem::take(active).into_iter().partition(|it| meant(it));
        *active = left;
        let concerned: Vec<usize> = self.concerned(spot);
        for it in &over {
            self.undo(spot, it, by);
        }
        for it in over.iter().filter(|it| it.effect.ends_all) {
            self.end_fault(to_index(it.fault), by);
        }
        for fault in concerned {
            self.settle_fault(fault, by);
        }
        if let Spot::Target(place) = spot {
            self.changed(place);
        }
    }

    /// The open faults that have worked at a spot.
    pub(crate) fn concerned(&self, spot: Spot) -> Vec<usize> {
        self.faults.open.iter().copied().filter(|it| self.faults.all[*it].spots.contains(&spot)).collect()
    }

    /// What follows when a primitive stops to work.
    fn undo(&mut self, spot: Spot, it: &Active, by: By) {
        let now = self.now;
        let place = match spot {
            Spot::Target(place) => place,
            Spot::Host(host) => {
                if it.effect.primitive == Primitive::Silence {
                    // What it had under way is lost: a watchdog has ended it.
                    self.break_stream(host);
                }
                return;
            }
        };
        let target = &mut self.hosts[place.0].targets[place.1];
        if it.harms {
            target.last_faulty = now;
        }
        match &it.effect.primitive {
            // A step starts the process by itself; whoever else ends this starts it too.
            Primitive::End(_) if by != By::Command => self.run_again(place),
            Primitive::Stop => self.run_again(place),
            Primitive::Label(label) if it.harms => {
                self.hosts[place.0].reports[place.1].labels.remove(&label.key);
            }
            Primitive::Fill(_) if by != By::Command => target.clean(20.0, now),
            Primitive::End(_)
            | Primitive::Hang
            | Primitive::Answer(_)
            | Primitive::Slow(_)
            | Primitive::Corrupt
            | Primitive::Fill(_)
            | Primitive::Metric(_)
            | Primitive::Label(_)
            | Primitive::Jam(_)
            | Primitive::Cut
            | Primitive::Silence
            | Primitive::Clock(_) => {}
        }
    }

    /// Starts a process that does not run.
    fn run_again(&mut self, place: Place) {
        let now = self.now;
        let it = &mut self.hosts[place.0].targets[place.1];
        match it.process {
            Process::Running { .. } => {}
            Process::Ended { .. } | Process::Stopped => {
                it.start(now);
                self.doom(place);
            }
        }
    }

    /// A new run ends soon if something makes it.
    pub(crate) fn doom(&mut self, place: Place) {
        let it = &self.hosts[place.0].targets[place.1];
        if let Some((after, code, signal)) = it.doom() {
            let run = it.run;
            self.queue.push(self.now.after(after), Item::Exits { place, run, code, signal });
        }
    }

    /// A process ends by itself. What was wrong with that run alone goes with it.
    pub(crate) fn exits(&mut self, place: Place, run: u32, code: Option<i32>, signal: Option<i32>) {
        let now = self.now;
        let it = &mut self.hosts[place.0].targets[place.1];
        if it.run == run && matches!(it.process, Process::Running { .. }) {
            it.end(now, code, signal);
            it.last_faulty = now;
            self.changed(place);
        }
    }

    /// Notes what a change at a target means for the faults that concern it.
    pub(crate) fn settle(&mut self, place: Place, by: By) {
        for fault in self.concerned(Spot::Target(place)) {
            self.settle_fault(fault, by);
        }
    }

    /// Ends a fault if nothing of it is left and nothing will come whatever was done.
    fn settle_fault(&mut self, fault: usize, by: By) {
        let it = &self.faults.all[fault];
        let control = self.options.scenario.kinds[it.kind].control;
        let works = |active: &[Active]| {
            let own = active.iter().filter(|it| to_index(it.fault) == fault);
            own.filter(|it| it.harms || control && !matches!(it.effect.primitive, Primitive::Label(_))).count() > 0
        };
        let lasts = it.spots.iter().any(|spot| match spot {
            Spot::Host(host) => works(&self.hosts[*host].active),
            Spot::Target((host, target)) => {
                let target = &self.hosts[*host].targets[*target];
                works(&target.active) || matches!(target.process, Process::Ended { .. })
            }
        });
        if !lasts && it.regardless == 0 {
            self.end_fault(fault, by);
        }
    }

    /// A fault is over, with everything that belongs to it.
    pub(crate) fn end_fault(&mut self, fault: usize, by: By) {
        let now = self.now;
        if self.faults.all[fault].ended.is_some() {
            return;
        }
        self.known_already(fault);
        self.faults.all[fault].ended = Some((now, by));
        self.faults.open.remove(&fault);
        self.judge.over(now, fault);
        let spots: Vec<Spot> = self.faults.all[fault].spots.iter().copied().collect();
        for spot in spots {
            self.end_where(spot, by, |it| to_index(it.fault) == fault);
        }
        let it = &self.faults.all[fault];
        self.report.over(&self.options.scenario.kinds[it.kind], it, by, now);
    }

    /// Somebody was told of an incident, and mends it after a while.
    pub(crate) fn call_person(&mut self, spot: Spot, incident: Option<IncidentId>) {
        let now = self.now;
        // The same fault takes the same time to mend, whoever called.
        let fault = self.concerned(spot).first().copied();
        let after = match fault {
            Some(fault) => self.faults.all[fault].rng.clone().between(PERSON.0, PERSON.1),
            None => PERSON.0,
        };
        self.queue.push(now.after(after), Item::Person { spot, incident });
    }

    /// A person mends what is wrong at a spot, or else what it suffers from.
    pub(crate) fn mends(&mut self, spot: Spot) {
        let mut faults = self.concerned(spot);
        if let (true, Spot::Target(place)) = (faults.is_empty(), spot) {
            let behind = self.behind(place);
            faults = behind.into_iter().flat_map(|it| self.concerned(it)).collect();
        }
        for fault in faults {
            if !self.options.scenario.kinds[self.faults.all[fault].kind].control {
                self.end_fault(fault, By::Person);
            }
        }
        if let Spot::Target(place) = spot
            && matches!(self.hosts[place.0].targets[place.1].process, Process::Ended { .. })
        {
            self.run_again(place);
            self.changed(place);
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
            Some(spot) => self.call_person(spot, None),
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

/// The index that a share from 0 to 1 of `count` comes to.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a number of hosts is one"
)]
fn scaled(share: f64, count: usize) -> usize {
    (share.clamp(0.0, 1.0) * count as f64) as usize
}

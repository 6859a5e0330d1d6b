//! How well it was done, judged by what was really the case: which the engine cannot see, and no baseline either.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use prunella_model::incident::{Incident, IncidentState};
use prunella_model::{IncidentId, TargetRef, Timestamp};

use crate::faults::Spot;
use crate::person::{Says, Told};
use crate::scenario::{Expect, Kind, Spread};
use crate::world::World;

/// News of a fault that is over may be under way this long.
const NEWS: Duration = Duration::from_secs(60);

/// A host whose link or agent was in trouble may be told of this long after.
const TROUBLE: Duration = Duration::from_secs(300);

/// What is known of how one fault was treated.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Judged {
    /// When an incident told of it first.
    pub(crate) detected: Option<Timestamp>,
    /// Whether the first diagnosis that was acted on was right.
    pub(crate) cause_right: Option<bool>,
    /// Whether the first repair, or the first call for a person, was right.
    pub(crate) repair_right: Option<bool>,
}

/// What an incident is in truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Truth {
    /// It tells of this fault, on a place where it works.
    Of(usize),
    /// Its target suffers from this fault.
    Victim(usize),
    /// Nothing is wrong there, or nothing that calls for an incident.
    False,
    /// A control that may be told of, and that calls for no repair.
    Control,
    /// Neither right nor wrong: trouble of the control plane itself.
    Neither,
}

/// One incident, as it is judged.
#[derive(Debug)]
struct Story {
    truth: Truth,
    decided: bool,
    attempts: u32,
}

/// All incidents, and the faults that ended lately.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    stories: BTreeMap<IncidentId, Story>,
    /// The open incidents, by where they are.
    open: BTreeSet<(Spot, IncidentId)>,
    lately: VecDeque<(Timestamp, usize)>,
}

impl Judge {
    /// Attempts, and the incidents with at least one.
    pub(crate) fn attempts(&self) -> (u64, u64) {
        let tried = self.stories.values().map(|it| u64::from(it.attempts)).filter(|attempts| *attempts > 0);
        tried.fold((0, 0), |(attempts, incidents), it| (attempts + it, incidents + 1))
    }

    /// A fault is over; news of it may be under way.
    pub(crate) fn over(&mut self, now: Timestamp, fault: usize) {
        self.lately.push_back((now, fault));
        while self.lately.front().is_some_and(|(at, _)| now.since(*at) > NEWS) {
            self.lately.pop_front();
        }
    }
}

impl World {
    pub(crate) fn spot_of(&self, target: &TargetRef) -> Option<Spot> {
        let host = self.place_of(&target.host)?;
        if target.target.is_host() {
            return Some(Spot::Host(host));
        }
        let index = self.hosts[host].targets.iter().position(|it| it.name == target.target)?;
        Some(Spot::Target((host, index)))
    }

    /// The faults that work at a spot, or did a moment ago; the latest first.
    pub(crate) fn news_of(&self, spot: Spot) -> Vec<usize> {
        let now = self.now;
        let mut found = self.concerned(spot);
        let lately = self.judge.lately.iter().filter(|(at, _)| now.since(*at) <= NEWS).map(|(_, fault)| *fault);
        found.extend(lately.filter(|it| self.faults.all[*it].spots.contains(&spot)));
        found.sort_by_key(|it| std::cmp::Reverse(*it));
        found
    }

    pub(crate) fn kind_of(&self, fault: usize) -> &Kind {
        &self.options.scenario.kinds[self.faults.all[fault].kind]
    }

    /// Prefers what calls for an incident, and of that what no incident has told of yet.
    fn best(&self, faults: &[usize]) -> Option<usize> {
        let rank = |it: &&usize| {
            let expected = self.kind_of(**it).expect == Expect::Incident;
            (!expected, self.faults.all[**it].judged.detected.is_some())
        };
        faults.iter().min_by_key(rank).copied()
    }

    pub(crate) fn truth(&self, spot: Spot) -> Truth {
        let real = |it: &usize| self.kind_of(*it).expect == Expect::Incident;
        let own = self.best(&self.news_of(spot));
        if let Some(fault) = own.filter(real) {
            return Truth::Of(fault);
        }
        let behind = match spot {
            Spot::Target(place) => self.behind(place),
            // A host is told of for what happens on it, such as a kind that reaches all its targets.
            Spot::Host(host) => (0..self.hosts[host].targets.len()).map(|it| Spot::Target((host, it))).collect(),
        };
        let faults: Vec<usize> = behind.into_iter().flat_map(|it| self.news_of(it)).collect();
        match (self.best(&faults), own) {
            (Some(fault), _) if real(&fault) => return Truth::Victim(fault),
            // What suffers from a control, such as from a stop on purpose, really does.
            (Some(_), _) => return Truth::Control,
            (None, Some(fault)) if self.kind_of(fault).expect == Expect::Either => return Truth::Control,
            (None, Some(_)) => return Truth::False,
            (None, None) => {}
        }
        match spot {
            Spot::Host(host) if self.hosts[host].troubled.after(TROUBLE) >= self.now => Truth::Neither,
            Spot::Target((host, target)) if self.hosts[host].targets[target].last_faulty.after(NEWS) >= self.now => {
                Truth::Neither
            }
            Spot::Host(_) | Spot::Target(_) => Truth::False,
        }
    }

    /// An incident was committed: new, changed or closed.
    pub(crate) fn noticed(&mut self, incident: &Incident, closed: bool) {
        let Some(spot) = self.spot_of(&incident.fault.target).or_else(|| self.shared_spot(incident)) else { return };
        if !self.judge.stories.contains_key(&incident.id) {
            let truth = self.truth(spot);
            match truth {
                Truth::Of(_) | Truth::Victim(_) => self.report.tally.true_incidents += 1,
                Truth::False => {
                    self.report.tally.false_incidents += 1;
                    let why = incident.fault.summary.clone();
                    let during = self.best(&self.news_of(spot)).map(|it| self.kind_of(it).name.clone());
                    self.report.false_alarm(&incident.fault.rule, during, &why);
                }
                Truth::Control | Truth::Neither => {}
            }
            self.judge.stories.insert(incident.id, Story { truth, decided: false, attempts: 0 });
        }
        if closed {
            self.judge.open.remove(&(spot, incident.id));
        } else {
            self.judge.open.insert((spot, incident.id));
            self.detected(spot, incident);
        }
        let needs_person = matches!(incident.state, IncidentState::NeedsHuman { .. });
        if needs_person {
            self.call_about(spot, incident);
        }
        let tried = u32::try_from(incident.attempts.len()).unwrap_or(u32::MAX);
        let Some(story) = self.judge.stories.get_mut(&incident.id) else { return };
        story.attempts = tried;
        let was = story.decided;
        let decided = tried > 0 || needs_person || closed;
        if !std::mem::replace(&mut story.decided, was || decided) && decided {
            let truth = story.truth;
            self.decided(truth, incident, needs_person);
        }
    }

    /// An incident of no single host tells of what its victims share: it is judged at the first of them that a fault of
    /// many places reached, or else at the first of all.
    fn shared_spot(&self, incident: &Incident) -> Option<Spot> {
        let affected = incident.diagnosis.as_ref().map(|it| it.affected.as_slice()).unwrap_or_default();
        let spots: Vec<Spot> = affected.iter().filter_map(|it| self.spot_of(it)).collect();
        let shared = |spot: &&Spot| self.news_of(**spot).iter().any(|it| self.kind_of(*it).spread != Spread::One);
        spots.iter().find(shared).or_else(|| spots.first()).copied()
    }

    /// Marks the faults that an open incident tells of.
    fn detected(&mut self, spot: Spot, incident: &Incident) {
        let now = self.now;
        let mut told = self.concerned(spot);
        // One that names the place of the cause tells of it too, wherever it was opened.
        if let Some(cause) = incident.diagnosis.as_ref().and_then(|it| self.spot_of(&it.cause_target)) {
            told.extend(self.concerned(cause));
        }
        for fault in told {
            self.faults.all[fault].judged.detected.get_or_insert(now);
        }
    }

    /// A fault may hide behind another, or behind one upstream: then an incident of its target was open already.
    pub(crate) fn known_already(&mut self, fault: usize) {
        let it = &self.faults.all[fault];
        let open = |spot: &Spot| self.judge.open.iter().any(|(other, _)| other == spot);
        if it.judged.detected.is_none() && it.spots.iter().any(open) {
            self.faults.all[fault].judged.detected = Some(self.now);
        }
    }

    /// The first decision of an incident: a repair, a call for a person, or closing it without either.
    fn decided(&mut self, truth: Truth, incident: &Incident, needs_person: bool) {
        let (Truth::Of(fault), first) = (truth, incident.attempts.first()) else {
            if matches!(truth, Truth::False | Truth::Control) && !incident.attempts.is_empty() {
                self.report.tally.needless += 1;
            }
            return;
        };
        let place = incident.diagnosis.as_ref().and_then(|it| self.spot_of(&it.cause_target));
        let elsewhere = place.filter(|it| Some(*it) != self.spot_of(&incident.fault.target));
        let explains = |it: &usize| *it != fault && !self.kind_of(*it).control;
        if elsewhere.is_some_and(|it| self.news_of(it).iter().any(explains)) {
            // It tells of another fault, that its target suffers from as well.
            return;
        }
        let kind = self.kind_of(fault);
        let cause_right = incident
            .diagnosis
            .as_ref()
            .map(|it| self.told(fault, Says { place, cause: Some(&it.cause) }) == Told::Cause);
        let repair_right = match first {
            Some(attempt) => Some(kind.cures.contains(&attempt.repair)),
            None => needs_person.then_some(kind.cures.is_empty()),
        };
        let name = kind.name.clone();
        if cause_right == Some(false)
            && let Some(diagnosis) = &incident.diagnosis
        {
            let there = if diagnosis.cause_target == incident.fault.target { "here" } else { "elsewhere" };
            self.report.mistaken(&name, format!("{} {there}", diagnosis.cause));
        }
        let judged = &mut self.faults.all[fault].judged;
        judged.cause_right = judged.cause_right.or(cause_right);
        judged.repair_right = judged.repair_right.or(repair_right);
    }
}

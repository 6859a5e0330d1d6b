//! How faults end: by a step, by themselves, or by a person.

use std::sync::Arc;

use prunella_model::step::StepKind;

use super::{By, Spot, to_index};
use crate::scenario::{Effect, Primitive};
use crate::truth::{Active, Place, Process};
use crate::world::{Item, World};

impl World {
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
            Primitive::Declare(declare) => self.declares(place, declare.needs, false),
            Primitive::End(_)
            | Primitive::Hang
            | Primitive::Lock(_)
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
    pub(crate) fn run_again(&mut self, place: Place) {
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
}

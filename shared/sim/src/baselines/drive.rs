//! Lets a policy work on the simulated hosts, and judges it as the engine is judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use prunella_model::step::{Step, StepKind};

use super::{Act, Seen};
use crate::agent::duration;
use crate::faults::{By, Spot};
use crate::fleet::SERVICE_INTERVAL;
use crate::judge::Truth;
use crate::truth::{FULL, Place, Process, measure};
use crate::world::{Item, World};

/// How long a process that does not react to being asked is given.
const GRACE: Duration = Duration::from_secs(2);

/// The repair that is all they know.
const RESTART: &str = "restart_service";

/// What a policy has under way: for each target in trouble how often it was restarted, and restarts that run.
#[derive(Debug, Default)]
pub(crate) struct Spells {
    tried: BTreeMap<Spot, u64>,
    running: BTreeSet<Place>,
}

impl World {
    /// A policy looks at everything on a host.
    pub(crate) fn polls(&mut self, host: usize) {
        self.queue.push(self.now.after(SERVICE_INTERVAL), Item::Poll(host));
        for target in 0..self.hosts[host].targets.len() {
            self.poll((host, target));
        }
        let (now, scenario) = (self.now, Arc::clone(&self.options.scenario));
        let it = &self.hosts[host];
        let gauges = scenario.gauges.iter().filter(|gauge| gauge.host);
        let beyond =
            gauges.filter_map(|gauge| Some(measure(gauge, &it.active, now, 0.0) >= gauge.limit?)).any(|beyond| beyond);
        let Some(policy) = &mut self.baseline else { return };
        if policy.look_at_host(now, host, beyond) {
            self.acted(Spot::Host(host), Act::Call);
            self.call_seen(Spot::Host(host), None);
        }
        if !beyond {
            self.spells.tried.remove(&Spot::Host(host));
        }
    }

    /// A policy looks at a target.
    pub(crate) fn poll(&mut self, place: Place) {
        let (now, scenario) = (self.now, Arc::clone(&self.options.scenario));
        let served = self.needs_served(&self.hosts[place.0].targets[place.1].needs);
        let it = &self.hosts[place.0].targets[place.1];
        let gauges = scenario.gauges.iter().filter(|gauge| !gauge.host);
        let mut beyond = gauges.filter_map(|gauge| Some(it.measure(gauge, now, 0.0) >= gauge.limit?));
        let seen = Seen {
            ended: matches!(it.process, Process::Ended { .. }),
            stopped: it.process == Process::Stopped,
            answers: it.is_able() && served,
            beyond: !it.active.is_empty() && beyond.any(|beyond| beyond),
            full: it.directory_use(now) >= FULL,
        };
        drop(beyond);
        if seen.well() {
            self.spells.tried.remove(&Spot::Target(place));
        }
        if self.spells.running.contains(&place) {
            return;
        }
        let hangs = it.hangs();
        let Some(policy) = &mut self.baseline else { return };
        let act = policy.look(now, place, seen);
        match act {
            Act::Nothing => return,
            Act::Call => self.call_seen(Spot::Target(place), Some(seen)),
            Act::Restart => {
                self.spells.running.insert(place);
                let took = duration(&Step::RestartService { grace: GRACE }, hangs);
                self.queue.push(now.after(took), Item::Hands(place));
            }
        }
        self.acted(Spot::Target(place), act);
    }

    /// A restart is through.
    pub(crate) fn hands(&mut self, place: Place) {
        self.spells.running.remove(&place);
        let it = &self.hosts[place.0].targets[place.1];
        if it.jams(StepKind::RestartService) || it.process == Process::Stopped {
            return;
        }
        self.run_anew(place, StepKind::RestartService);
        self.settle(place, By::Command);
        self.changed(place);
    }

    /// Judges what a policy does.
    fn acted(&mut self, spot: Spot, act: Act) {
        let truth = self.truth(spot);
        let first = !self.spells.tried.contains_key(&spot);
        let tried = self.spells.tried.entry(spot).or_insert(0);
        let restarts = act == Act::Restart;
        *tried += u64::from(restarts);
        let once = restarts && *tried == 1;
        let tally = &mut self.report.tally;
        tally.attempts += u64::from(restarts);
        tally.attempted += u64::from(once);
        if let (Spot::Target((host, target)), true) = (spot, restarts) {
            self.report.commands += 1;
            let it = &self.hosts[host].targets[target];
            if !it.is_faulty() && it.last_faulty < self.now.before(Duration::from_secs(12)) {
                let suffers = !self.needs_served(&it.needs);
                self.report.collateral_repairs += u64::from(suffers);
                self.report.false_repairs += u64::from(!suffers);
            }
        }
        for fault in self.concerned(spot) {
            self.faults.all[fault].judged.detected.get_or_insert(self.now);
        }
        if !first {
            return;
        }
        let tally = &mut self.report.tally;
        match truth {
            Truth::Of(_) | Truth::Victim(_) => tally.true_incidents += 1,
            Truth::False => tally.false_incidents += 1,
            Truth::Control | Truth::Neither => {}
        }
        tally.needless += u64::from(restarts && matches!(truth, Truth::False | Truth::Control));
        if let Truth::Of(fault) = truth {
            let cures = &self.kind_of(fault).cures;
            let right = if restarts { cures.iter().any(|it| it.as_str() == RESTART) } else { cures.is_empty() };
            self.faults.all[fault].judged.repair_right.get_or_insert(right);
        }
    }
}

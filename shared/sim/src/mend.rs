//! What commands really do to targets, and how faults end.

use std::time::Duration;

use prunella_model::outcome::Outcome;
use prunella_model::step::{Step, TargetStep};
use prunella_model::{CommandId, IncidentId};

use crate::agent::{self, Up};
use crate::truth::{GOOD, Place, Process};
use crate::world::{Item, World};

/// How long a process with a corrupted configuration lives.
const SHORT_LIFE: Duration = Duration::from_millis(90);

/// Who ended a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Command,
    Itself,
    Person,
}

impl World {
    /// Plans the end of the step that a command is at.
    pub(crate) fn plan_step(&mut self, host: usize, command: CommandId) {
        let it = &self.hosts[host];
        let Some(execution) = it.executions.iter().find(|it| it.command == command) else { return };
        let step = it.ledger.get(&command).and_then(|entry| entry.intent.steps.get(execution.step));
        let Some(step) = step else { return };
        let hung = it.targets.iter().any(|target| target.name == step.target && target.hung);
        let jitter = self.hands.between(Duration::ZERO, Duration::from_millis(60));
        let at = self.now.after(agent::duration(&step.step, hung) + jitter);
        self.queue.push(at, Item::Step { host, life: it.life, command });
    }

    /// A step is through: its effect is there. Then comes the next, or the report.
    pub(crate) fn step_ends(&mut self, host: usize, life: u64, command: CommandId) {
        let it = &mut self.hosts[host];
        if it.life != life {
            return;
        }
        let Some(index) = it.executions.iter().position(|it| it.command == command) else { return };
        let execution = it.executions[index].clone();
        let Some(entry) = it.ledger.get(&command) else { return };
        let (intent, total) = (entry.intent.clone(), entry.intent.steps.len());
        let done = u32::try_from(execution.step).unwrap_or(u32::MAX);
        let outcome = if execution.cancelled {
            Some(Outcome::Cancelled { done })
        } else if let Some(step) = intent.steps.get(execution.step) {
            match self.take_effect(host, command, step, intent.dry_run) {
                Ok(()) if execution.step + 1 == total => Some(Outcome::Done),
                Ok(()) => None,
                Err(why) => Some(Outcome::Failed { step: done, why }),
            }
        } else {
            Some(Outcome::Done)
        };
        let now = self.now;
        let it = &mut self.hosts[host];
        match outcome {
            None => {
                it.executions[index].step += 1;
                self.plan_step(host, command);
            }
            Some(outcome) => {
                it.executions.remove(index);
                if let Some(report) = it.conclude(command, outcome, Some(execution.started), now) {
                    self.say(host, Up::Outcome(report));
                }
            }
        }
    }

    fn take_effect(&mut self, host: usize, command: CommandId, step: &TargetStep, dry_run: bool) -> Result<(), String> {
        let Some(target) = self.hosts[host].targets.iter().position(|it| it.name == step.target) else {
            return Err("there is no such target".to_owned());
        };
        if dry_run {
            return Ok(());
        }
        let place = (host, target);
        let now = self.now;
        let named = self.hosts[host].ledger.get(&command).and_then(|it| agent::named_run(&it.intent, &step.target));
        let it = &mut self.hosts[host].targets[target];
        let running = matches!(it.process, Process::Running { .. });
        match &step.step {
            Step::StartService if running => {}
            Step::RestartService { .. } if running && named.as_ref().is_some_and(|named| *named != it.instance) => {
                return Err("a newer run is there".to_owned());
            }
            Step::StartService | Step::RestartService { .. } => {
                it.start(now);
                if !it.config_good {
                    let run = it.run;
                    self.queue.push(now.after(SHORT_LIFE), Item::Exits { place, run });
                }
            }
            Step::StopService { .. } => it.process = Process::Stopped,
            Step::SignalProcess { .. } => {}
            Step::CleanDirectory { until_percent, .. } => {
                it.directory = it.directory.min(u64::from(*until_percent).saturating_sub(5));
            }
            Step::RestoreFile { snapshot, .. } => it.config_good = *snapshot == GOOD,
        }
        self.settle(place, By::Command);
        self.changed(place);
        Ok(())
    }

    /// Notes that a target was faulty until now, and ends its fault if nothing is wrong with it any more.
    pub(crate) fn settle(&mut self, (host, target): Place, by: By) {
        let now = self.now;
        let it = &mut self.hosts[host].targets[target];
        let Some(fault) = it.fault else { return };
        it.last_faulty = now;
        if it.is_faulty() {
            return;
        }
        it.fault = None;
        let of_kind = self.report.by_kind.entry(fault.kind.as_str()).or_default();
        match by {
            By::Command => {
                of_kind.repaired += 1;
                self.report.repaired += 1;
                self.repair_times.push(now.since(fault.since).as_secs_f64());
            }
            By::Itself => self.report.passed += 1,
            By::Person => {
                of_kind.by_person += 1;
                self.report.by_person += 1;
            }
        }
    }

    /// A process ends by itself.
    pub(crate) fn exits(&mut self, place: Place, run: u32, code: Option<i32>, signal: Option<i32>) {
        let now = self.now;
        let it = &mut self.hosts[place.0].targets[place.1];
        if it.run == run && matches!(it.process, Process::Running { .. }) {
            it.end(now, code, signal);
            self.changed(place);
        }
    }

    /// A short hang passes, if it is still the one.
    pub(crate) fn passes(&mut self, place: Place, run: u32) {
        let it = &mut self.hosts[place.0].targets[place.1];
        if it.run == run && it.hung {
            it.hung = false;
            self.settle(place, By::Itself);
            self.changed(place);
        }
    }

    /// A person mends a target by hand, if its incident is still theirs.
    pub(crate) fn person(&mut self, place: Place, incident: IncidentId) {
        let now = self.now;
        let open = self.server.committed.incidents.get(&incident);
        let theirs =
            open.is_some_and(|it| matches!(it.state, prunella_model::incident::IncidentState::NeedsHuman { .. }));
        let it = &mut self.hosts[place.0].targets[place.1];
        if !theirs || it.process == Process::Stopped || !it.is_faulty() {
            return;
        }
        it.config_good = true;
        it.directory = 20;
        it.start(now);
        self.settle(place, By::Person);
        self.changed(place);
    }

    /// A person starts what was stopped on purpose.
    pub(crate) fn restarts(&mut self, place: Place) {
        let now = self.now;
        let it = &mut self.hosts[place.0].targets[place.1];
        if it.process == Process::Stopped {
            it.start(now);
            self.changed(place);
        }
    }
}

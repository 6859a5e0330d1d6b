//! What commands really do to targets, and how faults end.

use std::time::Duration;

use prunella_model::CommandId;
use prunella_model::outcome::Outcome;
use prunella_model::step::{Step, StepKind, TargetStep};

use crate::agent::{self, Up};
use crate::faults::By;
use crate::truth::{GOOD, Place, Process};
use crate::world::{Item, World};

impl World {
    /// Plans the end of the step that a command is at.
    pub(crate) fn plan_step(&mut self, host: usize, command: CommandId) {
        let it = &self.hosts[host];
        let Some(execution) = it.executions.iter().find(|it| it.command == command) else { return };
        let step = it.ledger.get(&command).and_then(|entry| entry.intent.steps.get(execution.step));
        let Some(step) = step else { return };
        let hung = it.targets.iter().any(|target| target.name == step.target && target.hangs());
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
        let kind = step.step.kind();
        if it.jams(kind) {
            return Err(format!("{} does not work on this host", kind.as_str()));
        }
        match &step.step {
            Step::StartService if matches!(it.process, Process::Running { .. }) => {}
            Step::RestartService { .. }
                if matches!(it.process, Process::Running { .. })
                    && named.as_ref().is_some_and(|named| *named != it.instance) =>
            {
                return Err("a newer run is there".to_owned());
            }
            Step::StartService | Step::RestartService { .. } => self.run_anew(place, kind),
            Step::StopService { .. } => it.process = Process::Stopped,
            Step::SignalProcess { .. } => self.treated(place, kind),
            Step::CleanDirectory { until_percent, .. } => {
                it.clean(f64::from(until_percent.saturating_sub(5)), now);
                self.treated(place, kind);
            }
            Step::RestoreFile { snapshot, .. } if *snapshot == GOOD => self.treated(place, kind),
            Step::RestoreFile { .. } => {}
            Step::Use { .. } => self.treated(place, kind),
        }
        self.settle(place, By::Command);
        self.changed(place);
        Ok(())
    }

    /// A new run begins, and what was wrong with the one before is over.
    pub(crate) fn run_anew(&mut self, place: Place, step: StepKind) {
        let now = self.now;
        self.hosts[place.0].targets[place.1].start(now);
        self.treated(place, step);
        self.doom(place);
    }
}

//! Ranks the repairs for a diagnosis, doing nothing included.
//!
//! The index of a repair is the recovery it promises for each second it costs (healing.md): what would have gone away by
//! itself earns nothing, and what takes service away pays for it.

use std::time::Duration;

use prunella_model::command::Precondition;
use prunella_model::incident::{Alternative, Diagnosis, Verdict};
use prunella_model::observation::{ProbeKind, Status};
use prunella_model::outcome::Outcome;
use prunella_model::step::{Effect, Risk, Step, TargetStep};
use prunella_model::{ProbeName, RepairName, TargetName};

use crate::Engine;
use crate::cause::Cause;
use crate::incident::Case;
use crate::key::{Key, at};
use crate::knowledge::lesson_key;
use crate::repairs::{Patient, REPAIRS, Repair};

/// What having failed in the same incident leaves of a repair's chance.
const FAILED_HERE: f64 = 0.1;

/// The chance that the first repair that a custom rule names helps, and what each further one has of the one before.
const DECLARED_CHANCE: f64 = 0.7;
const DECLARED_NEXT: f64 = 0.8;

/// No repair counts as faster than this. Below a second speed is no reason to prefer one that helps less.
const TAKES_LEAST: Duration = Duration::from_secs(1);

/// A repair that was chosen, with everything that its command needs.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Its name.
    pub(crate) repair: RepairName,
    /// Its steps.
    pub(crate) steps: Vec<TargetStep>,
    /// What would put back what it changes, if anything can.
    pub(crate) undo: Option<Vec<Step>>,
    /// Why this one.
    pub(crate) because: String,
    /// What else was considered.
    pub(crate) alternatives: Vec<Alternative>,
    /// Which attempt it undoes, if it undoes one.
    pub(crate) undoes: Option<u32>,
}

/// No repair is left to try.
#[derive(Debug, Clone)]
pub(crate) struct NoPlan {
    /// Why, for a person.
    pub(crate) why: String,
}

struct Candidate {
    repair: &'static dyn Repair,
    steps: Vec<Step>,
    undo: Option<Vec<Step>>,
    chance: f64,
    score: f64,
}

impl Engine {
    /// Chooses a repair.
    ///
    /// # Errors
    /// [`NoPlan`] when there is none that could be done and promises more than doing nothing.
    pub(crate) fn plan(&self, case: &Case, cause: Cause, diagnosis: &Diagnosis) -> Result<Plan, NoPlan> {
        let asked = case.forced.as_ref().and_then(|forced| forced.repair.clone());
        let target = self.target_at(case.key);
        let patient = Patient { target, diagnosis };
        let mut ruled_out: Vec<Alternative> = Vec::new();
        let mut candidates: Vec<Candidate> = Vec::new();
        for repair in &REPAIRS {
            let prior = self.prior(case, cause, *repair);
            let prior = match &asked {
                Some(name) if name.as_str() == repair.name() => prior.or(Some(0.5)),
                Some(_) => None,
                None => prior,
            };
            let Some(prior) = prior else { continue };
            match self.candidate(case, cause, *repair, prior, &patient) {
                Ok(candidate) => candidates.push(candidate),
                Err(why) => ruled_out.push(Alternative {
                    repair: Some(RepairName::of(repair.name())),
                    score: None,
                    rejected: why,
                }),
            }
        }
        candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
        let nothing = do_nothing(cause, self.policy.verification.deadline);
        let mut ranked = candidates.into_iter();
        let Some(best) = ranked.next().filter(|best| asked.is_some() || best.score > nothing) else {
            return Err(no_plan(case, cause, &ruled_out));
        };
        let lost = |it: Candidate| Alternative {
            repair: Some(RepairName::of(it.repair.name())),
            score: Some(it.score),
            rejected: format!("promises less: {:.0} % likely to help", it.chance * 100.0),
        };
        let mut alternatives: Vec<Alternative> = ranked.map(lost).collect();
        alternatives.push(Alternative {
            repair: None,
            score: Some(nothing),
            rejected: format!("{} rarely goes away by itself", cause.as_str()),
        });
        alternatives.append(&mut ruled_out);
        let because = match &case.forced {
            Some(forced) => format!("asked for by {}: {}", forced.by, forced.why),
            None if cause == Cause::Declared => {
                format!("rule {} names it, {:.0} % likely to help", case.it.fault.rule, best.chance * 100.0)
            }
            None => format!("treats {}, {:.0} % likely to help", cause.as_str(), best.chance * 100.0),
        };
        Ok(Plan {
            repair: RepairName::of(best.repair.name()),
            steps: on(&target.report.name, best.steps),
            undo: best.undo,
            because,
            alternatives,
            undoes: None,
        })
    }

    /// The chance that a repair helps before anything is known from experience; null when it does not treat the cause.
    pub(crate) fn prior(&self, case: &Case, cause: Cause, repair: &'static dyn Repair) -> Option<f64> {
        if cause != Cause::Declared {
            return repair.treats().iter().find(|(it, _)| *it == cause).map(|(_, prior)| *prior);
        }
        let faults = std::iter::once(&case.it.fault).chain(&case.it.also).map(|fault| &fault.rule);
        let named = self.declared_repairs(faults);
        let place = named.iter().position(|name| name.as_str() == repair.name())?;
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        Some(DECLARED_CHANCE * libm::pow(DECLARED_NEXT, f64::from(place)))
    }

    fn candidate(
        &self,
        case: &Case,
        cause: Cause,
        repair: &'static dyn Repair,
        prior: f64,
        patient: &Patient<'_>,
    ) -> Result<Candidate, String> {
        let name = RepairName::of(repair.name());
        if self.policy.forbid_repairs.contains(&name) {
            return Err("the fleet policy forbids it (forbid_repairs)".to_owned());
        }
        if self.made_worse(case, &name) {
            return Err("it has made this target worse before".to_owned());
        }
        let steps = repair.steps(patient)?;
        not_permitted(patient, &steps).map_or(Ok(()), Err)?;
        let failed = case.it.attempts.iter().filter(|it| it.repair == name && did_not_help(it)).count();
        let key = lesson_key(&case.it.fault.fingerprint, cause.as_str());
        let mut chance = self.knowledge.chance(&key, &name, prior);
        for _ in 0..failed {
            chance *= FAILED_HERE;
        }
        let cost = repair.cost(patient);
        let known = self.knowledge.of(&key, &name).and_then(|it| it.mean_time);
        let takes = known.unwrap_or(cost.takes).max(TAKES_LEAST).as_secs_f64();
        let alone = libm::exp(-takes / cause.self_recovery().as_secs_f64());
        let score = (1.0 - (1.0 - chance) * alone) / (takes + cost.harm.as_secs_f64());
        let undo = repair.undo_steps(patient).filter(|steps| not_permitted(patient, steps).is_none());
        Ok(Candidate { repair, steps, undo, chance, score })
    }

    /// What must still be true on the host when the steps are carried out.
    pub(crate) fn preconditions(&self, case: &Case) -> Vec<Precondition> {
        let host = &self.hosts[at(case.key.host)];
        let target = &host.targets[at(case.key.target)];
        let mut all: Vec<Precondition> = host.boot().cloned().map(Precondition::Boot).into_iter().collect();
        if let Some(instance) = &target.process.instance {
            all.push(Precondition::Instance { target: target.report.name.clone(), instance: instance.clone() });
        } else {
            let kinds = [ProbeKind::Process, ProbeKind::Unit];
            let probe = target.probes.iter().find(|probe| kinds.contains(&probe.report.kind));
            if let Some((probe, Status::Down)) = probe.and_then(|probe| Some((probe, probe.last()?.status))) {
                all.push(Precondition::Observed {
                    target: target.report.name.clone(),
                    probe: probe.report.name.clone(),
                    status: Status::Down,
                });
            }
        }
        all
    }

    /// The probes that show whether the target is well again: those of its symptoms, its process and its service.
    pub(crate) fn verifying(&self, key: Key, case: &Case) -> Vec<(TargetName, ProbeName)> {
        let target = self.target_at(key);
        let symptoms = std::iter::once(&case.it.fault).chain(&case.it.also).filter_map(|fault| fault.symptom.as_ref());
        let symptoms: Vec<&ProbeName> = symptoms.collect();
        let wanted = target.probes.iter().filter(|probe| {
            let kind = probe.report.kind;
            kind.sees_through()
                || kind == ProbeKind::Process
                || kind == ProbeKind::Unit
                || symptoms.contains(&&probe.report.name)
        });
        wanted.map(|probe| (target.report.name.clone(), probe.report.name.clone())).collect()
    }
}

/// Whether an attempt is known not to have healed.
pub(crate) fn did_not_help(attempt: &prunella_model::incident::Attempt) -> bool {
    failed(attempt.verdict) || matches!(attempt.outcome, Some(Outcome::Failed { .. }))
}

/// Whether a verdict says that an attempt did not heal.
pub(crate) const fn failed(verdict: Option<Verdict>) -> bool {
    match verdict {
        Some(Verdict::Unchanged | Verdict::Worse) => true,
        Some(Verdict::Recovered | Verdict::Inconclusive) | None => false,
    }
}

/// Whether an attempt counts against the incident's limit: something was, or may have been, done.
pub(crate) fn counts(attempt: &prunella_model::incident::Attempt) -> bool {
    attempt.undoes.is_none()
        && match &attempt.outcome {
            Some(Outcome::Refused(_)) | Some(Outcome::Cancelled { done: 0 }) => false,
            Some(
                Outcome::Done
                | Outcome::Failed { .. }
                | Outcome::Unknown { .. }
                | Outcome::Cancelled { .. }
                | Outcome::Lost,
            )
            | None => true,
        }
}

/// The highest risk and the strictest effect of some steps.
pub(crate) fn weigh(steps: &[TargetStep]) -> (Risk, Effect) {
    let risk = steps.iter().map(|it| it.step.risk()).max().unwrap_or(Risk::Low);
    let once = steps.iter().any(|it| it.step.effect() == Effect::AtMostOnce);
    (risk, if once { Effect::AtMostOnce } else { Effect::Idempotent })
}

/// The steps, each done to `target`.
pub(crate) fn on(target: &TargetName, steps: Vec<Step>) -> Vec<TargetStep> {
    steps.into_iter().map(|step| TargetStep { target: target.clone(), step }).collect()
}

fn not_permitted(patient: &Patient<'_>, steps: &[Step]) -> Option<String> {
    let missing = steps.iter().find(|step| !patient.target.permits(step.kind()))?;
    let (step, target) = (missing.kind().as_str(), &patient.target.report.name);
    Some(format!("agent.toml of the host does not permit it: permit {step:?} for target {target:?} there"))
}

/// The index of doing nothing.
fn do_nothing(cause: Cause, wait: Duration) -> f64 {
    let wait = wait.max(Duration::from_secs(1));
    crate::knowledge::alone(cause.self_recovery(), wait) / wait.as_secs_f64()
}

fn no_plan(case: &Case, cause: Cause, ruled_out: &[Alternative]) -> NoPlan {
    if ruled_out.is_empty() && cause == Cause::Declared {
        return NoPlan { why: format!("rule {} names no repair (actions): please look at it", case.it.fault.rule) };
    }
    if ruled_out.is_empty() {
        return NoPlan { why: format!("no shipped repair treats {}: please look at it", cause.as_str()) };
    }
    let each = ruled_out.iter().map(|it| match &it.repair {
        Some(repair) => format!("{repair}: {}", it.rejected),
        None => it.rejected.clone(),
    });
    NoPlan { why: each.collect::<Vec<_>>().join("; ") }
}

//! Ranks the repairs for a diagnosis, doing nothing included.
//!
//! The index of a repair is the recovery it promises for each second of service that is lost in the end
//! ([`crate::choose`]): what would have gone away by itself earns nothing, and what takes service away pays for it.

use prunella_model::command::Precondition;
use prunella_model::incident::{Alternative, Diagnosis, Severity, Verdict};
use prunella_model::observation::{Status, Tells};
use prunella_model::outcome::Outcome;
use prunella_model::step::{Effect, Risk, Step, StepKind, TargetStep};
use prunella_model::{ProbeName, RepairName, TargetName};

use crate::Engine;
use crate::cause::Cause;
use crate::choose::{self, Arm, Draw, Ranking, Scored, Situation};
use crate::incident::Case;
use crate::incident::learn::{alone, in_vain};
use crate::key::{Key, at, next};
use crate::repairs::{Patient, REPAIRS, Repair};

/// The chance that the first repair that a custom rule names helps, and what each further one has of the one before.
pub(crate) const DECLARED_CHANCE: f64 = 0.7;
const DECLARED_NEXT: f64 = 0.8;

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
    /// How likely it was to be chosen; null when a person chose it, or when it undoes another.
    pub(crate) propensity: Option<f64>,
    /// What would have been chosen instead, had it been permitted.
    pub(crate) wish: Option<NotPermitted>,
}

/// No repair is left to try.
#[derive(Debug, Clone)]
pub(crate) struct NoPlan {
    /// Why, for a person.
    pub(crate) why: String,
    /// What would have been chosen, had it been permitted.
    pub(crate) wish: Option<NotPermitted>,
}

/// A repair that the host's administrator does not permit.
#[derive(Debug, Clone)]
pub(crate) struct NotPermitted {
    /// Its name.
    pub(crate) repair: RepairName,
    /// The first step that is not permitted.
    pub(crate) step: StepKind,
}

/// A repair that treats the cause.
struct Candidate {
    steps: Vec<Step>,
    undo: Option<Vec<Step>>,
    /// The step that the host's administrator does not permit, if there is one.
    missing: Option<StepKind>,
}

impl Engine {
    /// Chooses a repair.
    ///
    /// # Errors
    /// [`NoPlan`] when there is none that could be done and promises more than doing nothing.
    pub(crate) fn plan(&self, case: &Case, cause: Cause, diagnosis: &Diagnosis) -> Result<Plan, NoPlan> {
        let asked = case.forced.as_ref().and_then(|forced| forced.repair.clone());
        let target = self.target_at(case.key);
        let patient = Patient { target, diagnosis, fault: &case.it.fault, restore: wanted(case) };
        let (candidates, arms, mut ruled_out) = self.candidates(case, cause, &patient, asked.as_ref());
        let ranking = self.rank(case, cause, &candidates, &arms);
        let find = |it: &Scored| candidates.get(it.arm).zip(arms.get(it.arm));
        let mut ranked: Vec<(&Candidate, &Arm, &Scored)> =
            ranking.arms.iter().filter_map(|it| find(it).map(|(candidate, arm)| (candidate, arm, it))).collect();
        let wish = ranked.first().and_then(|(candidate, arm, _)| {
            candidate.missing.map(|step| NotPermitted { repair: arm.repair.clone(), step })
        });
        ruled_out.extend(ranked.iter().filter_map(|(candidate, arm, _)| {
            let why = not_permitted(&patient, candidate.missing?);
            Some(Alternative { repair: Some(arm.repair.clone()), score: None, rejected: why })
        }));
        ranked.retain(|(candidate, ..)| candidate.missing.is_none());
        let mut ranked = ranked.into_iter();
        let Some((best, arm, scored)) = ranked.next().filter(|best| asked.is_some() || best.2.cost < ranking.give_up)
        else {
            let futile =
                ranking.arms.first().filter(|it| candidates.get(it.arm).is_some_and(|it| it.missing.is_none()));
            let futile = futile.and_then(|it| arms.get(it.arm).map(|arm| format!("{}: {}", arm.repair, likely(it))));
            return Err(NoPlan { why: no_plan(case, cause, futile, &ruled_out), wish });
        };
        let lost = |(_, arm, it): (&Candidate, &Arm, &Scored)| Alternative {
            repair: Some(arm.repair.clone()),
            score: Some(index(it.cost)),
            rejected: format!("promises less: {}", likely(it)),
        };
        let mut alternatives: Vec<Alternative> = ranked.map(lost).collect();
        alternatives.push(doing_nothing(cause, &ranking));
        alternatives.append(&mut ruled_out);
        let because = match &case.forced {
            Some(forced) => format!("asked for by {}: {}", forced.by, forced.why),
            None if cause == Cause::Declared => format!("rule {} names it, {}", case.it.fault.rule, likely(scored)),
            None => format!("treats {}, {}", cause.as_str(), likely(scored)),
        };
        Ok(Plan {
            repair: arm.repair.clone(),
            steps: on(&target.report.name, best.steps.clone()),
            undo: best.undo.clone(),
            because,
            alternatives,
            undoes: None,
            propensity: case.forced.is_none().then_some(ranking.propensity),
            wish,
        })
    }

    /// The repairs that treat a cause and could be done, and why others could not be.
    fn candidates(
        &self,
        case: &Case,
        cause: Cause,
        patient: &Patient<'_>,
        asked: Option<&RepairName>,
    ) -> (Vec<Candidate>, Vec<Arm>, Vec<Alternative>) {
        let (mut candidates, mut arms, mut ruled_out) = (Vec::new(), Vec::new(), Vec::new());
        for repair in &REPAIRS {
            let name = RepairName::of(repair.name());
            let prior = self.prior(case, cause, *repair);
            let prior = match asked {
                Some(asked) if *asked == name => prior.or(Some(0.5)),
                Some(_) => None,
                None => prior,
            };
            let Some(prior) = prior else { continue };
            if asked.is_none() && cause != Cause::Declared && !repair.fits(patient) {
                continue;
            }
            match self.candidate(case, *repair, patient) {
                Ok(candidate) => {
                    let cost = repair.cost(patient);
                    candidates.push(candidate);
                    let futile = cost.takes + self.policy.verification.deadline;
                    arms.push(Arm { repair: name, prior, takes: cost.takes, futile, harm: cost.harm });
                }
                Err(why) => ruled_out.push(Alternative { repair: Some(name), score: None, rejected: why }),
            }
        }
        (candidates, arms, ruled_out)
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

    fn candidate(&self, case: &Case, repair: &'static dyn Repair, patient: &Patient<'_>) -> Result<Candidate, String> {
        if self.policy.forbid_repairs.contains(&RepairName::of(repair.name())) {
            return Err("the fleet policy forbids it (forbid_repairs)".to_owned());
        }
        if self.made_worse(case, &RepairName::of(repair.name())) {
            return Err("it has made this target worse before".to_owned());
        }
        let steps = repair.steps(patient)?;
        let missing = missing(patient, &steps);
        let undo = repair.undo_steps(patient).filter(|steps| self::missing(patient, steps).is_none());
        Ok(Candidate { steps, undo, missing })
    }

    /// Ranks what could be done about an incident; by a draw where that is tolerable.
    fn rank(&self, case: &Case, cause: Cause, candidates: &[Candidate], arms: &[Arm]) -> Ranking {
        let subject = self.subject_of(case.key, &case.it.fault, cause);
        let tried = in_vain(&case.it.attempts);
        let learning = &self.policy.learning;
        let made = next(case.it.attempts.iter().filter(|it| counts(it)).count());
        let situation = Situation {
            now: self.now,
            age: self.now.since(case.it.opened_at),
            tried: &tried,
            confidence: case.it.diagnosis.as_ref().map_or(1.0, |it| it.confidence),
            alone: alone(cause),
            left: self.policy.limits.attempts_per_incident.saturating_sub(made).max(1),
            person: learning.person,
            wait_most: learning.wait_most,
        };
        let attempt = case.it.attempts.len().to_string();
        let mut draw = Draw::keyed(
            learning.seed,
            &[case.it.fault.fingerprint.0.as_bytes(), &case.it.opened_at.as_micros().to_be_bytes(), attempt.as_bytes()],
        );
        let gentle = candidates.iter().flat_map(|it| &it.steps).all(|step| step.risk() == Risk::Low);
        let explores = learning.explore && gentle && !self.urgent(case) && case.forced.is_none();
        choose::rank(&self.book, &subject, &situation, arms, explores.then_some(&mut draw))
    }

    /// Whether an incident is no matter to try things out on.
    fn urgent(&self, case: &Case) -> bool {
        case.severity() >= Severity::Critical || self.target_at(case.key).report.critical
    }

    /// What waiting promises for an incident, and how likely this repair is to help, if it is to be waited.
    pub(crate) fn better_to_wait(&self, case: &Case, cause: Cause, repair: &RepairName) -> Option<(choose::Wait, f64)> {
        let diagnosis = case.it.diagnosis.as_ref()?;
        let patient =
            Patient { target: self.target_at(case.key), diagnosis, fault: &case.it.fault, restore: wanted(case) };
        let (candidates, arms, _) = self.candidates(case, cause, &patient, Some(repair));
        let ranking = self.rank(case, cause, &candidates, &arms);
        let urgent = self.urgent(case);
        ranking.waits(urgent).then_some((ranking.wait, ranking.arms.first()?.chance))
    }

    /// How likely a repair is to help an incident, by what is believed now; null when it treats nothing of it.
    pub(crate) fn chance(&self, case: &Case, cause: Cause, repair: &RepairName) -> Option<f64> {
        let known = crate::repairs::by_name(repair.as_str())?;
        let prior = self.prior(case, cause, known)?;
        let subject = self.subject_of(case.key, &case.it.fault, cause);
        let belief = self.book.belief(&subject, &in_vain(&case.it.attempts), repair, prior, self.now);
        Some(belief.mean())
    }

    /// What must still be true on the host when the steps are carried out.
    pub(crate) fn preconditions(&self, case: &Case) -> Vec<Precondition> {
        let host = &self.hosts[at(case.key.host)];
        let target = &host.targets[at(case.key.target)];
        let mut all: Vec<Precondition> = host.boot().cloned().map(Precondition::Boot).into_iter().collect();
        if let Some(instance) = &target.process.instance {
            all.push(Precondition::Instance { target: target.report.name.clone(), instance: instance.clone() });
        } else {
            let probe = target.probes.iter().find(|probe| probe.report.kind.tells() == Tells::Life);
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
            kind.speaks_for_users() || symptoms.contains(&&probe.report.name)
        });
        wanted.map(|probe| (target.report.name.clone(), probe.report.name.clone())).collect()
    }
}

/// The content that a person wants a file put back to.
pub(crate) fn wanted(case: &Case) -> Option<&(prunella_model::PartName, prunella_model::observation::Sha256)> {
    case.forced.as_ref()?.restore.as_ref()
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

/// The kinds of some steps, for a person.
pub(crate) fn names(steps: &[TargetStep]) -> String {
    let names: Vec<&str> = steps.iter().map(|it| it.step.kind().as_str()).collect();
    names.join(", ")
}

/// The steps without their target.
pub(crate) fn plain(steps: &[TargetStep]) -> Vec<Step> {
    steps.iter().map(|it| it.step.clone()).collect()
}

fn missing(patient: &Patient<'_>, steps: &[Step]) -> Option<StepKind> {
    steps.iter().map(Step::kind).find(|kind| !patient.target.permits(*kind))
}

fn not_permitted(patient: &Patient<'_>, missing: StepKind) -> String {
    let (step, target) = (missing.as_str(), &patient.target.report.name);
    format!("agent.toml of the host does not permit it: permit {step:?} for target {target:?} there")
}

/// What is promised for each second, by the service that is lost in the end.
fn index(cost: f64) -> f64 {
    1.0 / cost.max(0.001)
}

/// How likely a repair is to help, and what that stands on.
fn likely(it: &Scored) -> String {
    let percent = it.chance * 100.0;
    match it.trials {
        ..0.5 => format!("{percent:.0} % likely to help"),
        ..1.5 => format!("{percent:.0} % likely to help (1 trial)"),
        trials => format!("{percent:.0} % likely to help ({trials:.0} trials)"),
    }
}

/// Why something is done rather than nothing.
fn doing_nothing(cause: Cause, ranking: &Ranking) -> Alternative {
    let wait = &ranking.wait;
    let rejected = match wait.known {
        ..0.5 => format!("{} rarely goes away by itself", cause.as_str()),
        known => format!(
            "promises less: {:.0} % likely to go away by itself within {} ({known:.0} recoveries)",
            wait.chance * 100.0,
            crate::text::span(wait.span)
        ),
    };
    Alternative { repair: None, score: Some(index(wait.cost)), rejected }
}

fn no_plan(case: &Case, cause: Cause, futile: Option<String>, ruled_out: &[Alternative]) -> String {
    if ruled_out.is_empty() && futile.is_none() && cause == Cause::Declared {
        return format!("rule {} names no repair (actions): please look at it", case.it.fault.rule);
    }
    if ruled_out.is_empty() && futile.is_none() {
        let treats = REPAIRS.iter().filter(|it| it.treats().iter().any(|(it, _)| *it == cause)).map(|it| it.name());
        let treats: Vec<&str> = treats.collect();
        return match treats[..] {
            [] => format!("no shipped repair treats {}: please look at it", cause.as_str()),
            [one] => format!(
                "{one} treats {}, but agent.toml declares nothing that it could be done with: please look at it",
                cause.as_str()
            ),
            [..] => format!("no repair treats {} with what agent.toml declares: please look at it", cause.as_str()),
        };
    }
    let each = ruled_out.iter().map(|it| match &it.repair {
        Some(repair) => format!("{repair}: {}", it.rejected),
        None => it.rejected.clone(),
    });
    let futile = futile.map(|it| format!("{it}, which is not worth the time that it takes"));
    futile.into_iter().chain(each).collect::<Vec<_>>().join("; ")
}

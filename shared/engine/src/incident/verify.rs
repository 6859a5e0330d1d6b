//! Did it help? On fresh evidence, under the original symptom, and for long enough.

use std::time::Duration;

use prunella_model::command::Precondition;
use prunella_model::event::EventKind;
use prunella_model::incident::{Evidence, IncidentState, Stage, Verdict};
use prunella_model::observation::Status;
use prunella_model::outcome::Outcome;
use prunella_model::step::Step;
use prunella_model::{IncidentId, Timestamp};

use crate::Engine;
use crate::cause::Cause;
use crate::choose::Lesson;
use crate::diagnosis::Presence;
use crate::key::{Key, at};
use crate::rules::Symptom;
use crate::target::Life;

/// Probes are asked again at most this often.
pub(crate) const TICK_LEAST: Duration = Duration::from_millis(50);

/// Probes are asked again at least this often while something waits for them.
pub(crate) const TICK_MOST: Duration = Duration::from_secs(1);

/// What the target's other probes say after a repair.
enum Whole {
    /// All that must work works.
    Well,
    /// This one fails.
    Fails(String),
    /// This one has not been heard since.
    Unheard,
}

impl Engine {
    /// Looks whether the symptom is gone.
    pub(crate) fn verify(&mut self, id: IncidentId, until: Timestamp) {
        let Some(case) = self.cases.get(&id) else { return };
        if let Some(kind) = Self::kind_of(case) {
            self.verify_gain(id, kind, until);
            return;
        }
        let (key, over) = (case.key, self.now >= until);
        let since = case.since.unwrap_or(case.it.fault.since);
        let successes = self.policy.verification.successes;
        if self.ended_anew(id, key, since) {
            self.not_recovered(id, "the process ended again");
            return;
        }
        match self.presence(case, since) {
            Presence::Gone(row) if row >= successes && !over && self.must_outlive(id, key).is_some() => {
                let left = self.must_outlive(id, key).unwrap_or_default();
                self.look_again(id, left.min(until.since(self.now)));
            }
            Presence::Gone(row) if row >= successes => match self.whole(key, since) {
                Whole::Well => self.conclude(id, Verdict::Recovered, "the symptom is gone"),
                Whole::Fails(what) if over => {
                    self.not_recovered(id, &format!("the symptom is gone, but {what}"));
                }
                Whole::Unheard if over => {
                    self.conclude(id, Verdict::Inconclusive, "other probes gave no answer in time")
                }
                Whole::Fails(_) | Whole::Unheard => self.ask_again(id, key, until),
            },
            Presence::Gone(_) if over => {
                self.conclude(id, Verdict::Inconclusive, "too few good answers before the deadline");
            }
            Presence::Present(present) => {
                let seen = present.first().map_or_else(String::new, |(_, symptom)| symptom.summary.clone());
                if over || self.settled(id, &present) {
                    self.not_recovered(id, &format!("the symptom is still there: {seen}"));
                } else {
                    self.ask_again(id, key, until);
                }
            }
            Presence::Unknown if over => {
                self.conclude(id, Verdict::Inconclusive, "no fresh evidence before the deadline")
            }
            Presence::Gone(_) => {
                // It is getting well: the next good answer may come at once.
                self.probe_now(key);
                self.look_again(id, self.tick(key).min(until.since(self.now)));
            }
            Presence::Unknown => self.ask_again(id, key, until),
        }
    }

    fn ask_again(&mut self, id: IncidentId, key: Key, until: Timestamp) {
        self.probe(key);
        let next = self.now.after(self.tick(key)).min(until);
        self.look_again(id, next.since(self.now));
    }

    /// Whether waiting for the deadline cannot change that the repair did not help.
    fn settled(&self, id: IncidentId, present: &[(String, Symptom)]) -> bool {
        let outcome = self.cases.get(&id).and_then(|case| case.it.attempts.last()?.outcome.as_ref());
        let not_done = match outcome {
            Some(Outcome::Done) | None => false,
            Some(
                Outcome::Refused(_)
                | Outcome::Failed { .. }
                | Outcome::Unknown { .. }
                | Outcome::Cancelled { .. }
                | Outcome::Lost,
            ) => true,
        };
        not_done && !present.is_empty()
    }

    /// Whether a run that the repair left behind has ended: another one than the repair was to end.
    fn ended_anew(&self, id: IncidentId, key: Key, since: Timestamp) -> bool {
        let process = &self.target_at(key).process;
        let Some(exit) = process.exits.back().filter(|_| process.life == Life::Ended) else { return false };
        let command = self.cases.get(&id).and_then(|case| case.it.attempts.last()).map(|it| it.command);
        let Some(record) = command.and_then(|command| self.commands.get(&command)) else { return exit.host >= since };
        let restarts = record.intent.steps.iter().any(|it| matches!(it.step, Step::RestartService { .. }));
        let done = record.report.as_ref().is_some_and(|report| report.outcome == Outcome::Done);
        let named = record.intent.preconditions.iter().find_map(|it| match it {
            Precondition::Instance { instance, .. } => Some(instance),
            Precondition::Boot(_) | Precondition::Observed { .. } => None,
        });
        match named.filter(|_| restarts) {
            Some(named) => done && exit.instance != *named,
            None => done && exit.host >= since,
        }
    }

    /// How long the run that lives must still last to outlive those that ended by themselves since the incident was
    /// opened: one that is going to end like them looks well until then. Null when it has.
    fn must_outlive(&self, id: IncidentId, key: Key) -> Option<Duration> {
        let case = self.cases.get(&id)?;
        let process = &self.target_at(key).process;
        let opened = self.hosts[at(key.host)].clock.to_host(case.it.opened_at);
        let most = self.policy.verification.deadline / 4;
        let short = process.exits.iter().filter(|exit| !exit.came_from_outside() && exit.host >= opened);
        let longest = short.filter_map(|exit| exit.ran).filter(|ran| *ran <= most).max()?;
        let age = self.now.since(process.began.filter(|_| process.life == Life::Running)?);
        (longest * 2).checked_sub(age).filter(|left| !left.is_zero())
    }

    /// Looks at the target as a whole: its process and its service must work, unless something upstream is broken.
    fn whole(&self, key: Key, since: Timestamp) -> Whole {
        let target = self.target_at(key);
        let mut whole = Whole::Well;
        for probe in &target.probes {
            if !probe.report.kind.speaks_for_users() {
                continue;
            }
            match probe.last().filter(|seen| seen.host >= since).map(|seen| seen.status) {
                Some(Status::Up) => {}
                Some(Status::Down) => {
                    let excused = target.process.life == Life::Stopped
                        || (probe.report.kind.sees_through()
                            && !self.upstream(key, probe.since_at).culprits.is_empty());
                    if !excused {
                        return Whole::Fails(format!("{} fails", probe.report.name));
                    }
                }
                Some(Status::Unknown) | None => whole = Whole::Unheard,
            }
        }
        whole
    }

    /// Unchanged, or worse than before? Or is something upstream to blame by now?
    fn not_recovered(&mut self, id: IncidentId, why: &str) {
        let Some(case) = self.cases.get(&id) else { return };
        let key = case.key;
        let through = case.it.fault.symptom.as_ref().and_then(|name| self.target_at(key).probe(name));
        if through.is_some_and(|probe| probe.report.kind.sees_through()) {
            let onset = through.map_or(self.now, |probe| probe.since_at);
            if !self.upstream(key, onset).culprits.is_empty() {
                self.conclude(id, Verdict::Inconclusive, "something that it depends on broke meanwhile");
                return;
            }
        }
        let before =
            case.it.stages.iter().rev().find(|it| it.stage == Stage::ExecuteRepair).and_then(|it| it.health_before);
        let worse = match (before, self.health(key)) {
            (Some(before), Some(after)) => after + 1.0 < before,
            (None, _) | (_, None) => false,
        };
        self.conclude(id, if worse { Verdict::Worse } else { Verdict::Unchanged }, why);
    }

    /// Notes a verdict and goes on from it.
    pub(crate) fn conclude(&mut self, id: IncidentId, verdict: Verdict, why: &str) {
        let now = self.now;
        let Some(case) = self.cases.get(&id) else { return };
        let (key, cause) = (case.key, cause_of(case));
        let Some(attempt) = case.it.attempts.last().cloned() else { return };
        let (repair, number) = (attempt.repair.clone(), attempt.number);
        let snapshot = case.clone();
        let evidence = self.verdict_evidence(key, case.since.unwrap_or_default());
        let health = self.health(key);
        let line = format!("{}: {why}", word(verdict));
        self.tally.verdict(verdict);
        if let Some(case) = self.cases.get_mut(&id) {
            // What a person asked for has been tried; it is not tried again on the strength of that.
            case.forced = None;
            if let Some(attempt) = case.it.attempts.last_mut() {
                attempt.verdict = Some(verdict);
                attempt.verdict_at = Some(now);
                attempt.verdict_evidence = evidence;
            }
            case.leave(now, health, &line);
        }
        self.touched(id);
        self.audit("verdict", key, Some(id), format!("attempt {number}, {repair}: {line}"));
        self.announce(EventKind::RepairVerified, Some(key), Some(id), format!("{repair}: {line}"));
        match verdict {
            Verdict::Recovered => self.stabilize(id, key),
            Verdict::Unchanged | Verdict::Worse => {
                self.tally(key.host, |it| it.bad += 1);
                self.tell_canary(id, false);
                if !self.surely_not_done(id, key) {
                    self.target_mut(key).did_not_hold(&repair);
                }
                let took = now.since(attempt.decided_at);
                let lesson = if self.was_done(id) { Lesson::Failed(took) } else { Lesson::Censored };
                self.learn(key, &snapshot, &attempt, cause, lesson);
                if verdict == Verdict::Worse {
                    self.target_mut(key).made_worse(&repair);
                }
                self.next_attempt(id);
            }
            Verdict::Inconclusive => {
                self.learn(key, &snapshot, &attempt, cause, Lesson::Censored);
                self.afresh(id);
            }
        }
    }

    /// Whether the latest attempt is known to have been carried out, or to have failed at it. What may never have been done
    /// proves nothing about the repair.
    fn was_done(&self, id: IncidentId) -> bool {
        let outcome = self.cases.get(&id).and_then(|case| case.it.attempts.last()?.outcome.as_ref());
        match outcome {
            Some(Outcome::Done | Outcome::Failed { .. }) => true,
            Some(Outcome::Refused(_) | Outcome::Unknown { .. } | Outcome::Cancelled { .. } | Outcome::Lost) | None => {
                false
            }
        }
    }

    /// Whether a restart that nobody reported was never made: the very run that it was to end still lives. That calls for no
    /// patience before the next try.
    fn surely_not_done(&self, id: IncidentId, key: Key) -> bool {
        if self.was_done(id) {
            return false;
        }
        let command = self.cases.get(&id).and_then(|case| case.it.attempts.last()).map(|it| it.command);
        let Some(record) = command.and_then(|command| self.commands.get(&command)) else { return false };
        let restarts = record.intent.steps.iter().all(|it| matches!(it.step, Step::RestartService { .. }));
        let named = record.intent.preconditions.iter().find_map(|it| match it {
            Precondition::Instance { instance, .. } => Some(instance),
            Precondition::Boot(_) | Precondition::Observed { .. } => None,
        });
        let process = &self.target_at(key).process;
        restarts && process.life == Life::Running && named.is_some() && process.instance.as_ref() == named
    }

    /// What was seen since the repair is evidence enough to go on.
    fn next_attempt(&mut self, id: IncidentId) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        let since = case.since.take();
        let host = at(case.key.host);
        if let Some(since) = since {
            case.afresh = self.hosts[host].clock.to_server(since, self.now);
        }
        let key = case.key;
        self.enter_state(id, IncidentState::Diagnosing);
        // Faults that verification kept out may join now.
        self.review(key);
    }

    fn verdict_evidence(&self, key: Key, since: Timestamp) -> Vec<Evidence> {
        let target = self.target_at(key);
        let seen =
            target.probes.iter().filter_map(|probe| Some((probe, probe.last().filter(|seen| seen.host >= since)?)));
        seen.map(|(probe, seen)| Evidence {
            at: seen.host,
            target: self.reference(key),
            probe: Some(probe.report.name.clone()),
            status: Some(seen.status),
            text: match seen.status {
                Status::Up => format!("{} is well", probe.report.name),
                Status::Down => format!("{} fails", probe.report.name),
                Status::Unknown => format!("{} cannot tell", probe.report.name),
            },
        })
        .collect()
    }
}

/// The cause that an incident was diagnosed with.
pub(super) fn cause_of(case: &super::Case) -> Cause {
    case.it.diagnosis.as_ref().map_or(Cause::Unknown, |diagnosis| Cause::of(&diagnosis.cause))
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Recovered => "recovered",
        Verdict::Unchanged => "unchanged",
        Verdict::Worse => "worse",
        Verdict::Inconclusive => "inconclusive",
    }
}

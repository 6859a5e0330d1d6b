//! What `show` prints of the engine's state.

use prunella_engine::Engine;
use prunella_engine::view::Insight;
use prunella_model::command::{Intent, Precondition};
use prunella_model::incident::IncidentState;
use prunella_model::knowledge::KnowledgeRecord;
use prunella_model::step::Step;
use prunella_model::{HostId, TargetRef, Timestamp};

use crate::play::World;

impl World {
    pub(crate) fn show(&mut self, what: &str) {
        let mut lines = Vec::new();
        for it in self.engine.incidents() {
            match what {
                "incidents" => {
                    let cause = it
                        .diagnosis
                        .as_ref()
                        .map_or("-".to_owned(), |it| format!("{} in {}", it.cause, it.cause_target));
                    let also: Vec<&str> = it.also.iter().map(|fault| fault.rule.as_str()).collect();
                    let affected = it.diagnosis.iter().flat_map(|it| &it.affected).map(ToString::to_string);
                    lines.push(format!(
                        "{} fault {} of {} {:?}: {}; cause {cause}; also [{}]; affected [{}]",
                        it.id,
                        it.fault.rule,
                        it.fault.target,
                        it.severity(),
                        state(&it.state),
                        also.join(", "),
                        affected.collect::<Vec<_>>().join(", ")
                    ));
                }
                "chain" => {
                    if let Some(place) = it.link {
                        lines.push(format!(
                            "{} is link {} of {} of {}",
                            it.id, place.position, place.length, place.head
                        ));
                    }
                    if let Some(chain) = &it.chain {
                        lines.extend(chain.links.iter().map(|link| {
                            let id = link.incident.map_or("-".to_owned(), |id| id.to_string());
                            format!(
                                "  {} {id} {} {}",
                                link.target,
                                link.state.as_str(),
                                link.state.why().unwrap_or_default()
                            )
                        }));
                        lines.push(format!("  end: {:?}", chain.end));
                    }
                }
                "advice" => {
                    let advice = self.engine.advice(it);
                    let command = advice.command.map_or_else(String::new, |it| format!(" [prunella {it}]"));
                    lines.push(format!("{} {}: {}{command}", it.id, advice.action.as_str(), advice.text));
                }
                "stages" => lines.extend(it.stages.iter().map(|stage| {
                    let health = |it: Option<f64>| it.map_or("—".to_owned(), |it| format!("{it:.0}"));
                    let (before, after) = (health(stage.health_before), health(stage.health_after));
                    format!("{:?} {before} → {after}: {}", stage.stage, stage.result)
                })),
                "why" => {
                    if let Some(diagnosis) = &it.diagnosis {
                        lines.extend(diagnosis.evidence.iter().map(|it| format!("because {}: {}", it.target, it.text)));
                        lines.extend(diagnosis.rejected.iter().map(|(cause, why)| format!("not {cause}: {why}")));
                    }
                    for attempt in &it.attempts {
                        lines.push(format!("attempt {} {}: {}", attempt.number, attempt.repair, attempt.because));
                        for other in &attempt.alternatives {
                            let name = other.repair.as_ref().map_or("nothing".to_owned(), ToString::to_string);
                            lines.push(format!("  not {name}: {}", other.rejected));
                        }
                    }
                }
                _ => {}
            }
        }
        if what == "brakes" {
            for brake in self.engine.brakes(self.now) {
                let holding: Vec<String> = brake.holding.iter().map(|(id, _)| id.to_string()).collect();
                if !holding.is_empty() {
                    let figures = format!("{:?} of {:?}", brake.current, brake.limit);
                    lines.push(format!("{} {figures} holds {}", brake.brake, holding.join(", ")));
                }
            }
        }
        if what == "groups" {
            for it in self.engine.groups(self.now) {
                let exempt = if it.exempt { ", exempt: one host" } else { "" };
                lines.push(format!(
                    "{}: {} hosts, {} healthy, {} of {} under repair, {} must stay, mode {}, {:?}{}{exempt}",
                    it.group,
                    it.hosts.len(),
                    it.healthy,
                    it.under_repair,
                    it.concurrent,
                    it.minimum_healthy,
                    it.mode.map_or("of the fleet", prunella_model::policy::Mode::as_str),
                    it.throttle,
                    it.throttle_why.map_or_else(String::new, |why| format!(" ({why})")),
                ));
            }
            let fleet = self.engine.fleet(self.now);
            let why = fleet.throttle_why.map_or_else(String::new, |why| format!(" ({why})"));
            lines.push(format!("fleet: mode {}, {:?}{why}", fleet.mode.as_str(), fleet.throttle));
        }
        if what == "capacities" {
            lines.extend(self.engine.capacities(self.now).iter().map(|it| {
                let figure = |it: Option<f64>| it.map_or("—".to_owned(), |it| format!("{it:.1}"));
                let end = it
                    .exhausted_at
                    .map_or("—".to_owned(), |at| format!("{} h", at.since(self.now).as_secs() / 3_600));
                let (now, per_day) = (figure(it.used_percent), figure(it.per_day));
                let hours = |end: Timestamp| end.since(self.now).as_secs() / 3_600;
                let earliest = it.exhausted_earliest.map(|end| format!(", not before {} h", hours(end)));
                let latest = it.exhausted_latest.map(|end| format!(", not after {} h", hours(end)));
                let bytes = it.bytes_per_day.map(|it| format!(" ({it:.0} bytes)"));
                let [earliest, latest, bytes] = [earliest, latest, bytes].map(Option::unwrap_or_default);
                format!(
                    "{} {} is at {now} %, {per_day} a day{bytes}, exhausted in {end}{earliest}{latest}",
                    it.target, it.metric
                )
            }));
        }
        if what == "quiet" {
            lines.extend(self.engine.quiet_hours(self.now).iter().map(|it| {
                let share = it.share.map_or_else(String::new, |it| format!(" used by {:.0} %,", it * 100.0));
                let alike = it.alike.map_or_else(String::new, |it| format!(" alike {it:.2},"));
                let days = it.watched.as_secs() / 86_400;
                format!("{} {:?},{share}{alike} {days} d: {}", it.name, it.state, it.about)
            }));
        }
        if what == "opportunities" {
            lines.extend(self.engine.opportunities().iter().map(|it| {
                let safe = it.not_automatic.as_ref().map_or("safe".to_owned(), |why| format!("not unasked: {why}"));
                let figures = format!("score {:.2} = {:.2} × {:.2}", it.score, it.priority, it.confidence);
                let waits = it.waits.as_ref().map_or_else(String::new, |what| format!("; {what}"));
                format!(
                    "{} of {} by {}: {}; {}; {figures}; {safe}{waits}",
                    it.kind, it.target, it.repair, it.summary, it.effect
                )
            }));
        }
        if what == "queue" {
            let it = self.engine.repair_queue();
            let oldest = it.oldest.map_or("-".to_owned(), |id| id.to_string());
            lines.push(format!(
                "{} wait, oldest {oldest}, {:?}, held by {}",
                it.waiting,
                it.state,
                it.held_by.join(", ")
            ));
        }
        if what == "diagnostics" {
            for it in self.engine.diagnostics() {
                let prunella_model::diagnostics::Tally { ok, unknown, unreachable, broken } = it.targets;
                let by = it.by.as_ref().map_or("due", |by| by.as_str());
                let took = it.ended_at.since(it.started_at);
                lines.push(format!(
                    "{} of {} for {by} took {took:?}: {ok} ok, {broken} broken, {unknown} unknown, {unreachable} unreachable",
                    it.id, it.scope
                ));
                lines.extend(it.layers.iter().map(|it| format!("  {} {}: {}", it.layer, it.found.as_str(), it.text)));
                for target in &it.found {
                    let probe = |it: &prunella_model::diagnostics::ProbeDiagnostic| {
                        format!("{} {} {:?} {}", it.probe, it.found.as_str(), it.age, it.why)
                    };
                    let probes: Vec<String> = target.probes.iter().map(probe).collect();
                    lines.push(format!("  {} {}: {}", target.target, target.found.as_str(), probes.join("; ")));
                }
            }
        }
        if what == "topology" {
            lines.extend(topology(&self.engine, self.now));
        }
        if what == "rollout" {
            lines.push(match self.engine.rollout(self.now) {
                None => format!("none; last: {}", self.engine.last_rollout().unwrap_or("-")),
                Some(it) => {
                    let hosts: Vec<&str> = it.hosts.iter().map(HostId::as_str).collect();
                    let (stage, hosts) = (it.stage.as_str(), hosts.join(", "));
                    let examples = it.examples.join("; ");
                    format!("{stage} [{hosts}], {} of {} differ: {examples}", it.different, it.compared)
                }
            });
        }
        if what == "insights" {
            lines.extend(self.engine.insights(self.now, None, 100).iter().map(insight));
        }
        if what == "predictions" {
            lines.extend(self.engine.predictions(self.now).iter().map(|it| {
                let (at, sure) = (it.at.since(self.now).as_secs_f64() / 60.0, it.confidence * 100.0);
                format!(
                    "{} in {at:.0} min, {sure:.0} % sure: {}: {}",
                    it.kind.as_str(),
                    it.summary,
                    it.evidence.join("; ")
                )
            }));
        }
        if what == "recommendations" {
            lines.extend(self.engine.recommendations(self.now).iter().map(|it| {
                format!("{} ({} incidents): {}: {}", it.kind.as_str(), it.incidents, it.text, it.evidence.join("; "))
            }));
        }
        if what == "knowledge" {
            let known = self.engine.knowledge();
            let line = |it: &KnowledgeRecord| {
                format!("{}: healed {:.2}, failed {:.2}, censored {}", it.repair, it.healed, it.failed, it.censored)
            };
            lines.extend(known.iter().map(line));
        }
        lines.iter().for_each(|line| self.say(line));
    }
}

/// What is known of one fault.
fn insight(it: &Insight) -> String {
    let helps: Vec<String> = it
        .helps
        .iter()
        .map(|it| {
            let (chance, low, high) = (it.chance * 100.0, it.low * 100.0, it.high * 100.0);
            let shadow = if it.shadow { ", in shadow" } else { "" };
            format!("{} {chance:.0} % ({low:.0}–{high:.0}){shadow}", it.repair)
        })
        .collect();
    let (subject, alone) = (&it.subject, &it.self_recovery);
    format!(
        "{} of {} from {}: {} incidents, {} by themselves, {} to a person; {}",
        subject.rule,
        subject.kind,
        subject.cause,
        it.incidents,
        alone.incidents,
        it.escalated,
        helps.join(", ")
    )
}

/// What is amiss in what needs what.
fn topology(engine: &Engine, now: Timestamp) -> Vec<String> {
    let view = engine.topology(now);
    let names = |all: &[TargetRef]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut lines: Vec<String> = Vec::new();
    for it in view.edges.iter().filter(|it| it.softened || it.redundant || it.what.is_some()) {
        let what = it.what.as_ref().map_or(String::new(), |what| format!(" for {what}"));
        let (soft, spare) =
            (if it.softened { ", softened" } else { "" }, if it.redundant { ", redundant" } else { "" });
        lines.push(format!("{} {:?} {}{what}{soft}{spare}", it.from, it.kind, it.to));
    }
    lines.extend(view.missing.iter().map(|(from, name)| format!("{from} needs {name}, which is missing")));
    lines.extend(
        view.cycles.iter().map(|it| format!("cycle of {}; softened [{}]", names(&it.members), it.softened.join(", "))),
    );
    lines.extend(view.deadlocks.iter().map(|it| format!("deadlock of {}; victim {}", names(&it.members), it.victim)));
    lines.extend(
        view.saturated.iter().map(|it| format!("{} is saturated and explains {}", it.target, names(&it.explains))),
    );
    lines
}

fn state(state: &IncidentState) -> String {
    match state {
        IncidentState::Diagnosing => "diagnosing".to_owned(),
        IncidentState::Upstream { incident } => {
            format!("upstream of {}", incident.map_or("-".to_owned(), |it| it.to_string()))
        }
        IncidentState::Held => "held".to_owned(),
        IncidentState::Repairing { command } => format!("repairing by {command}"),
        IncidentState::Verifying { .. } => "verifying".to_owned(),
        IncidentState::Probation { .. } => "probation".to_owned(),
        IncidentState::NeedsHuman { why } => format!("needs a person: {why}"),
        IncidentState::Closed(_) => "closed".to_owned(),
    }
}

/// A command, in a line.
pub(crate) fn describe(intent: &Intent) -> String {
    let steps = intent.steps.iter().map(|it| match &it.step {
        Step::CleanDirectory { directory, until_percent } => format!("clean {directory} until {until_percent} %"),
        Step::RestoreFile { file, snapshot } => format!("restore {file} to {snapshot:?}"),
        Step::RestartService { grace } => format!("restart within {grace:?}"),
        Step::Use { part, act } => act.text(part),
        Step::StartService | Step::StopService { .. } | Step::SignalProcess { .. } => {
            it.step.kind().as_str().to_owned()
        }
    });
    let conditions = intent.preconditions.iter().filter_map(|it| match it {
        Precondition::Boot(_) => None,
        Precondition::Instance { instance, .. } => Some(format!("its run is {instance}")),
        Precondition::Observed { probe, status, .. } => Some(format!("{probe} is {status:?}")),
    });
    let steps: Vec<String> = steps.collect();
    let conditions: Vec<String> = conditions.collect();
    let target = &intent.steps[0].target;
    let condition = if conditions.is_empty() { String::new() } else { format!(" if {}", conditions.join(" and ")) };
    format!("send {} as {} to {}/{target}: {}{condition}", intent.repair, intent.id, intent.host, steps.join(", "))
}

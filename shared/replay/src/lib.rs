//! What the engine decided, from a recorded journal, and what it would have decided under another policy.
//!
//! The recorded events are the truth only for what was really done. Once the other engine decides something else for an
//! incident, what follows of that incident is counterfactual: its events answer commands that were never sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use prunella_engine::view::RuleView;
use prunella_engine::{Decision, Engine, Event};
use prunella_model::event::EventKind;
use prunella_model::policy::{CustomRule, FleetPolicy};
use prunella_model::record::Stored;
use prunella_model::{FleetName, IncidentId, Timestamp};
use serde::Serialize;

/// What was recorded.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The fleet.
    pub fleet: FleetName,
    /// The decider's epoch.
    pub epoch: u64,
    /// When it began.
    pub at: Timestamp,
    /// What was stored then.
    pub stored: Stored,
    /// What went in, and when.
    pub events: Vec<(Timestamp, Event)>,
}

/// One decision, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// When, in microseconds since the Unix epoch.
    pub at: u64,
    /// What kind.
    pub kind: &'static str,
    /// In a line.
    pub text: String,
    /// Whether it stands on answers to commands that the recorded engine never sent.
    pub counterfactual: bool,
}

/// One incident under both policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Story {
    /// The target, as `host/target`.
    pub target: String,
    /// The incident in the recorded run; null when only the other policy opened it.
    pub recorded_incident: Option<String>,
    /// The incident under the other policy; null when it opened none, or when there is no other policy.
    pub other_incident: Option<String>,
    /// What was decided.
    pub recorded: Vec<Line>,
    /// What the other policy decides; empty when there is none.
    pub other: Vec<Line>,
    /// When the two part, in microseconds since the Unix epoch; null when they do not.
    pub diverged_at: Option<u64>,
}

/// What a replay says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// Events that were replayed.
    pub events: usize,
    /// Commands that were decided in the recorded run.
    pub commands: usize,
    /// Commands that the other policy decides; null without one.
    pub other_commands: Option<usize>,
    /// Every incident, in the order of its opening.
    pub stories: Vec<Story>,
    /// How many of them differ.
    pub different: usize,
    /// Invariants of the engine that did not hold, with what was wrong.
    pub broken: Vec<String>,
}

#[derive(Debug)]
struct Told {
    incident: IncidentId,
    target: String,
    lines: Vec<Line>,
}

/// One run through the recording.
struct Run {
    engine: Engine,
    told: BTreeMap<IncidentId, Told>,
    order: Vec<IncidentId>,
    commands: usize,
    broken: Vec<String>,
}

impl Run {
    fn new(recording: &Recording, policy: Option<&FleetPolicy>) -> Self {
        let mut stored = recording.stored.clone();
        if let Some(policy) = policy {
            stored.policy = Some(policy.clone());
        }
        let engine = Engine::new(recording.fleet.clone(), recording.epoch, recording.at, stored)
            .with_compiler(prunella_expr::compiler());
        Self { engine, told: BTreeMap::new(), order: Vec::new(), commands: 0, broken: Vec::new() }
    }

    fn step(&mut self, now: Timestamp, event: Event) {
        let decisions = self.engine.step(now, event);
        if decisions.is_empty() {
            return;
        }
        self.broken
            .extend(self.engine.check_invariants().into_iter().map(|(name, what)| format!("{now:?} {name}: {what}")));
        for decision in decisions {
            self.tell(now, &decision);
        }
    }

    fn tell(&mut self, now: Timestamp, decision: &Decision) {
        match decision {
            Decision::Announce(event) => {
                let (Some(incident), Some(host)) = (event.incident, &event.host) else { return };
                let target = event.target.as_ref().map_or_else(|| host.to_string(), |it| format!("{host}/{it}"));
                self.push(incident, target, now, event.kind.as_str(), &event.message);
            }
            Decision::Dispatch { intent, .. } => {
                self.commands += 1;
                let names: Vec<&str> = intent.steps.iter().map(|step| step.step.kind().as_str()).collect();
                let target =
                    intent.steps.first().map_or_else(String::new, |step| format!("{}/{}", intent.host, step.target));
                self.push(
                    intent.incident,
                    target,
                    now,
                    "dispatch",
                    &format!("{}: {}", intent.repair, names.join(", ")),
                );
            }
            Decision::Store(_)
            | Decision::Audit(_)
            | Decision::Order { .. }
            | Decision::Cancel { .. }
            | Decision::Probe { .. }
            | Decision::ReportFully { .. }
            | Decision::Intervals { .. }
            | Decision::Reconnect { .. }
            | Decision::Reply { .. }
            | Decision::Acknowledge { .. } => {}
        }
    }

    fn push(&mut self, incident: IncidentId, target: String, now: Timestamp, kind: &'static str, text: &str) {
        let order = &mut self.order;
        let told = self.told.entry(incident).or_insert_with(|| {
            order.push(incident);
            Told { incident, target, lines: Vec::new() }
        });
        told.lines.push(Line { at: now.as_micros(), kind, text: text.to_owned(), counterfactual: false });
    }

    /// The incidents by target and by how many of that target came before.
    fn stories(mut self) -> Vec<((String, usize), Told)> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut all = Vec::new();
        for id in std::mem::take(&mut self.order) {
            let Some(told) = self.told.remove(&id) else { continue };
            let count = counts.entry(told.target.clone()).or_insert(0);
            all.push(((told.target.clone(), *count), told));
            *count += 1;
        }
        all
    }
}

/// Replays a recording, and compares it with what another policy would have decided, if one is given.
#[must_use]
pub fn replay(recording: &Recording, other: Option<&FleetPolicy>) -> Replay {
    let mut first = Run::new(recording, None);
    let mut second = other.map(|policy| Run::new(recording, Some(policy)));
    for (now, event) in &recording.events {
        if let Some(second) = &mut second {
            // Its deadlines are its own; the recorded ticks came at those of the other.
            while let Some(due) = second.engine.next_deadline().filter(|due| due < now) {
                second.step(due, Event::Tick);
            }
            let policy_change = matches!(event, Event::Policy(_) | Event::Proposed { .. });
            if !policy_change {
                second.step(*now, event.clone());
            }
        }
        first.step(*now, event.clone());
    }
    let (commands, other_commands) = (first.commands, second.as_ref().map(|run| run.commands));
    let mut broken = std::mem::take(&mut first.broken);
    broken.extend(second.iter_mut().flat_map(|run| std::mem::take(&mut run.broken)));
    let stories = pair(first.stories(), second.map(Run::stories));
    let different = stories.iter().filter(|story| story.diverged_at.is_some()).count();
    Replay { events: recording.events.len(), commands, other_commands, stories, different, broken }
}

/// One time that a custom rule would have spoken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spoken {
    /// When, in microseconds since the Unix epoch.
    pub at: u64,
    /// The rule.
    pub rule: String,
    /// The target, as `host/target`.
    pub target: String,
    /// What it would have said, with the values that it stood on.
    pub text: String,
}

/// What custom rules come to on a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Events that were replayed.
    pub events: usize,
    /// When the recording begins and ends.
    pub span: (Timestamp, Timestamp),
    /// Every time that one of the rules would have spoken, in order.
    pub spoken: Vec<Spoken>,
    /// The rules at the end, with what they counted.
    pub rules: Vec<RuleView>,
}

/// Plays a recording to custom rules that only look: the recorded policy stays in force beside them, so that what they
/// see is what was seen.
#[must_use]
pub fn try_rules(recording: &Recording, rules: &[CustomRule]) -> Trial {
    let in_shadow = |policy: &FleetPolicy| {
        let custom = rules.iter().map(|rule| CustomRule { shadow: true, ..rule.clone() }).collect();
        FleetPolicy { custom, ..policy.clone() }
    };
    let mut stored = recording.stored.clone();
    stored.policy = Some(in_shadow(&stored.policy.unwrap_or_default()));
    let mut engine = Engine::new(recording.fleet.clone(), recording.epoch, recording.at, stored)
        .with_compiler(prunella_expr::compiler());
    let mut spoken = Vec::new();
    let mut step = |engine: &mut Engine, now: Timestamp, event: Event| {
        for decision in engine.step(now, event) {
            spoken.extend(said(&decision));
        }
    };
    let mut last = recording.at;
    for (now, event) in &recording.events {
        // The rules' own deadlines are not among those that were recorded.
        while let Some(due) = engine.next_deadline().filter(|due| due < now) {
            step(&mut engine, due, Event::Tick);
        }
        let event = match event {
            Event::Policy(policy) => Event::Policy(Arc::new(in_shadow(policy))),
            other => other.clone(),
        };
        step(&mut engine, *now, event);
        last = last.max(*now);
    }
    let rules = engine.rules().into_iter().filter(|rule| rule.custom).collect();
    Trial { events: recording.events.len(), span: (recording.at, last), spoken, rules }
}

fn said(decision: &Decision) -> Option<Spoken> {
    let Decision::Announce(event) = decision else { return None };
    if event.kind != EventKind::ShadowFault {
        return None;
    }
    let (rule, text) = event.message.strip_prefix("in shadow, ")?.split_once(": ")?;
    let target = format!("{}/{}", event.host.as_ref()?, event.target.as_ref()?);
    Some(Spoken { at: event.at.as_micros(), rule: rule.to_owned(), target, text: text.to_owned() })
}

type Stories = Vec<((String, usize), Told)>;

fn pair(first: Stories, second: Option<Stories>) -> Vec<Story> {
    let compared = second.is_some();
    let mut others: BTreeMap<(String, usize), Told> = second.into_iter().flatten().collect();
    let mut stories = Vec::new();
    for (key, told) in first {
        let other = others.remove(&key);
        stories.push(story(key.0, Some(told), other, compared));
    }
    stories.extend(others.into_iter().map(|(key, other)| story(key.0, None, Some(other), compared)));
    stories.sort_by_key(|story| story.recorded.first().or(story.other.first()).map(|line| line.at));
    stories
}

fn story(target: String, first: Option<Told>, second: Option<Told>, compared: bool) -> Story {
    let id = |told: &Option<Told>| told.as_ref().map(|told| told.incident.to_string());
    let (recorded_incident, other_incident) = (id(&first), id(&second));
    let recorded = first.map(|told| told.lines).unwrap_or_default();
    let mut other = second.map(|told| told.lines).unwrap_or_default();
    let diverged_at = if compared { mark(&recorded, &mut other) } else { None };
    Story { target, recorded_incident, other_incident, recorded, other, diverged_at }
}

/// Finds where two stories part, and marks what comes after it. Ids in the texts differ by nature, so kinds and, for
/// what is done, texts are compared.
fn mark(recorded: &[Line], other: &mut [Line]) -> Option<u64> {
    let same = |a: &Line, b: &Line| a.kind == b.kind && (a.kind != "dispatch" || a.text == b.text);
    let quiet = |line: &&Line| line.kind != EventKind::RepairStarted.as_str();
    let count = recorded
        .iter()
        .filter(quiet)
        .zip(other.iter().filter(|line| quiet(line)))
        .take_while(|(a, b)| same(a, b))
        .count();
    let rest = recorded.iter().filter(quiet).nth(count).map(|line| line.at);
    let place =
        other.iter().enumerate().filter(|(_, line)| quiet(line)).nth(count).map(|(index, line)| (index, line.at));
    let at = match (rest, place) {
        (None, None) => return None,
        (Some(at), None) | (None, Some((_, at))) => at,
        (Some(first), Some((_, second))) => first.min(second),
    };
    if let Some((index, _)) = place {
        // The line at which they part is the other policy's own decision; what follows stands on it.
        other.iter_mut().skip(index + 1).for_each(|line| line.counterfactual = true);
    }
    Some(at)
}

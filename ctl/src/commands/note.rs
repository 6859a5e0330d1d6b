//! The note of an incident: first what a tired person must know, then what it stands on.

use super::incident_view::{AttemptView, EvidenceView, IncidentView};
use crate::output::{self, Paint, Rows, Time, Tone, clean};

/// The width of the first column of the summary.
const LABEL: usize = 15;

/// The whole note.
pub(super) fn note(it: &IncidentView, now: Time, paint: Paint) -> String {
    let mut text = headline(it, now, paint);
    text += "\n";
    text += &summary(it, now);
    for section in [
        evidence(it, now, paint),
        reports(it, now, paint),
        rejected(it, paint),
        alternatives(it, paint),
        stages(it, now, paint),
    ] {
        text += &section;
    }
    text + &holds(it, now, paint)
}

fn headline(it: &IncidentView, now: Time, paint: Paint) -> String {
    let state = match &it.closing {
        Some(closing) => format!("closed: {}", clean(&closing.replace('_', " "))),
        None => it.state.replace('_', " "),
    };
    let tone = if it.state == "closed" { Tone::Good } else { it.tone() };
    let first = format!("{}  {}  ", it.id, it.fault.target);
    let second = format!("{} {}, opened {}", clean(&it.severity), clean(&it.fault.rule), it.opened.relative(now));
    format!("{}{}\n{second}\n", paint.tone(Tone::Heading, &clean(&first)), paint.tone(tone, &state))
}

fn summary(it: &IncidentView, now: Time) -> String {
    let mut lines = Vec::new();
    let mut say = |label: &str, text: String| lines.push((label.to_owned(), text));
    say("What happened", format!("{}, since {} UTC", it.fault.summary, it.fault.since.clock(now)));
    for also in &it.also {
        say("Also", format!("{}: {}", also.rule, also.summary));
    }
    say("Cause", cause(it));
    for (place, text) in believed(it).into_iter().enumerate() {
        say(if place == 0 { "Because" } else { "" }, text);
    }
    for (place, text) in doubted(it).into_iter().enumerate() {
        say(if place == 0 { "And not" } else { "" }, text);
    }
    if it.attempts.is_empty() {
        say("What was done", nothing_done(it));
    }
    for attempt in &it.attempts {
        say("What was done", done(attempt));
        say("", format!("because {}", attempt.because));
        say("Verified", verified(it, attempt));
    }
    if let Some(left) = left_alone(it) {
        say("Left alone", left);
    }
    for (place, text) in chain(it).into_iter().enumerate() {
        say(if place == 0 { "Chain" } else { "" }, text);
    }
    if let Some(text) = response(it, now) {
        say("Response", text);
    }
    for hold in &it.holds {
        let until = match &hold.release_when {
            Some(what) => format!("until {what}"),
            None => format!("released {}", hold.release(now)),
        };
        say("Held", format!("by {}, {until}: {}", hold.brake, hold.why));
    }
    match (it.closed.0, it.state) {
        (Some(_), _) => say("Over", over(it, now)),
        // What holds it has just been said.
        (None, "held") if !it.holds.is_empty() => {}
        (None, _) => say("Now", format!("{}: {}", it.state.replace('_', " "), it.state_detail)),
    }
    if let Some(advice) = &it.advice {
        say("To do", format!("{}: {}", advice.action, advice.text));
        if let Some(command) = &advice.command {
            say("", format!("prunella {command}"));
        }
    }
    lines.iter().map(|(label, text)| format!("{label:LABEL$}{}\n", clean(text))).collect()
}

fn cause(it: &IncidentView) -> String {
    let Some(found) = &it.diagnosis else { return "not known yet".to_owned() };
    let what = match (found.cause_target == it.fault.target, found.cause.as_str()) {
        (true, cause) => format!("{cause}, here"),
        (false, "upstream") => format!("upstream: {}", found.cause_target),
        (false, cause) => format!("{cause}, upstream on {}", found.cause_target),
    };
    let sure = found.confidence * 100.0;
    format!("{what} ({sure:.0} % sure, {}, priority {})", found.category, found.priority)
}

/// How many reasons for a cause, and how many against others, stand in the summary. The rest is below.
const REASONS: usize = 3;

/// What the cause stands on, the latest first: that is what decided.
fn believed(it: &IncidentView) -> Vec<String> {
    let evidence = it.diagnosis.iter().flat_map(|it| &it.evidence);
    let mut reasons: Vec<String> = Vec::new();
    for proof in evidence.map(|proof| in_short(it, proof)) {
        if !reasons.contains(&proof) && reasons.len() < REASONS {
            reasons.push(proof);
        }
    }
    reasons
}

/// Which causes were thought of and are not it.
fn doubted(it: &IncidentView) -> Vec<String> {
    let rejected = it.diagnosis.iter().flat_map(|it| &it.rejected);
    rejected.take(REASONS).map(|it| format!("{}: {}", it.cause, it.why)).collect()
}

fn nothing_done(it: &IncidentView) -> String {
    match (&it.upstream, it.state) {
        (Some(upstream), _) => format!("nothing, on purpose: the cause lies upstream, in incident {upstream}"),
        (None, "upstream") => "nothing, on purpose: the cause lies upstream".to_owned(),
        (None, "held") => "nothing yet: brakes hold it back".to_owned(),
        (None, _) => "nothing".to_owned(),
    }
}

fn done(it: &AttemptView) -> String {
    let outcome = match (&it.outcome, &it.outcome_detail) {
        (None, _) => "under way".to_owned(),
        (Some(outcome), None) => outcome.clone(),
        (Some(outcome), Some(detail)) => format!("{outcome} ({detail})"),
    };
    let after = it.outcome_time.since(it.decided).map(|it| format!(" after {}", output::span(it))).unwrap_or_default();
    let undoes = it.undoes.map(|it| format!(", undoing attempt {it}")).unwrap_or_default();
    format!("{}. {}{undoes}: {} → {outcome}{after}", it.number, it.repair, it.steps.join(", then "))
}

fn verified(it: &IncidentView, attempt: &AttemptView) -> String {
    let Some(verdict) = &attempt.verdict else { return "not yet".to_owned() };
    let since = attempt.verdict_time.since(it.fault.since).map(|it| format!(" {} after the fault", output::span(it)));
    let proof: Vec<String> = attempt.verdict_evidence.iter().map(|proof| in_short(it, proof)).collect();
    let proof = if proof.is_empty() { String::new() } else { format!(": {}", proof.join("; ")) };
    format!("{verdict}{}{proof}", since.unwrap_or_default())
}

fn in_short(it: &IncidentView, proof: &EvidenceView) -> String {
    if proof.target == it.fault.target {
        return proof.text.clone();
    }
    format!("{} of {}", proof.text, proof.target)
}

fn left_alone(it: &IncidentView) -> Option<String> {
    let found = it.diagnosis.as_ref()?;
    let all = found.affected.iter().map(String::as_str);
    let victims: Vec<&str> = all.filter(|victim| *victim != found.cause_target).collect();
    if victims.is_empty() {
        return None;
    }
    let them = if victims.len() == 1 { "suffers from it; repairing it" } else { "suffer from it; repairing them" };
    Some(format!("{}: only {them} would not help while {} is broken", victims.join(", "), found.cause_target))
}

/// Its place in a chain of repairs, and the chain where this incident keeps it.
fn chain(it: &IncidentView) -> Vec<String> {
    let place =
        it.link.as_ref().filter(|place| place.head != it.id).map(|place| {
            format!("link {} of {} of the chain of incident {}", place.position, place.length, place.head)
        });
    let mut lines: Vec<String> = place.into_iter().collect();
    if let Some(chain) = &it.chain {
        let end = match (&chain.end, &chain.end_detail) {
            (None, _) => "goes on".to_owned(),
            (Some(end), None) => end.clone(),
            (Some(end), Some(detail)) => format!("{end}: {detail}"),
        };
        lines.push(format!("asked for by {} ({}), {end}", chain.by, chain.why));
        lines.extend(chain.links.iter().zip(1..).map(|(link, number)| {
            let incident = link.incident.as_ref().map(|id| format!(" (incident {id})")).unwrap_or_default();
            let why = link.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("{number}. {}{incident} {}{why}", link.target, link.state.replace('_', " "))
        }));
    }
    lines
}

/// How soon something was begun, or should be.
fn response(it: &IncidentView, now: Time) -> Option<String> {
    let within = it.response.due.since(it.opened).map(|span| format!(" of {} allowed", output::span(span)));
    let within = within.unwrap_or_default();
    if it.response.missed.0.is_some() {
        let late = it.response.begun.since(it.opened);
        let late = late.map_or("nothing yet".to_owned(), |span| format!("begun after {}", output::span(span)));
        return Some(format!("too late: missed at {} UTC{within}; {late}", it.response.missed.clock(now)));
    }
    if let Some(span) = it.response.begun.since(it.opened) {
        return Some(format!("begun after {}{within}", output::span(span)));
    }
    (it.state != "closed" && it.response.due.0.is_some()).then(|| format!("due {}", it.response.due.relative(now)))
}

fn over(it: &IncidentView, now: Time) -> String {
    let closed = format!("closed {} UTC", it.closed.clock(now));
    match it.recovered.since(it.fault.since) {
        Some(span) => format!("recovered {} after the fault; {closed}", output::span(span)),
        None => format!("{}; {closed}", it.closing.as_deref().unwrap_or("closed").replace('_', " ")),
    }
}

fn section(paint: Paint, title: &str, rows: &Rows) -> String {
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}\n{}", paint.tone(Tone::Heading, title), rows.print(paint))
}

fn evidence(it: &IncidentView, now: Time, paint: Paint) -> String {
    let mut rows = Rows::new(&[]).indented(2);
    for it in it.diagnosis.iter().flat_map(|it| &it.evidence) {
        let probe = output::optional(it.probe.as_deref());
        let status = output::optional(it.status.as_deref());
        rows.push(Tone::Plain, [it.time.clock(now), it.target.clone(), probe, status, it.text.clone()]);
    }
    section(paint, "Evidence (host's clock, UTC)", &rows)
}

fn reports(it: &IncidentView, now: Time, paint: Paint) -> String {
    let mut rows = Rows::new(&[]).indented(2);
    for it in &it.reports {
        let end = match it.withdrawn.0 {
            Some(_) => format!("gone, they say, since {}", it.withdrawn.clock(now)),
            None => "stands".to_owned(),
        };
        rows.push(Tone::Plain, [it.filed.clock(now), it.by.clone(), it.severity.clone(), it.summary.clone(), end]);
    }
    section(paint, "Reports", &rows)
}

fn rejected(it: &IncidentView, paint: Paint) -> String {
    let mut rows = Rows::new(&[]).indented(2);
    for it in it.diagnosis.iter().flat_map(|it| &it.rejected) {
        rows.push(Tone::Plain, [it.cause.clone(), it.why.clone()]);
    }
    section(paint, "Causes that were rejected", &rows)
}

fn alternatives(it: &IncidentView, paint: Paint) -> String {
    let mut rows = Rows::new(&[]).indented(2);
    for attempt in &it.attempts {
        for it in &attempt.alternatives {
            let repair = it.repair.clone().unwrap_or_else(|| "do nothing".to_owned());
            let score = it.score.map_or_else(|| output::ABSENT.to_owned(), |it| format!("{it:.2}"));
            rows.push(Tone::Plain, [format!("instead of {}", attempt.number), repair, score, it.rejected.clone()]);
        }
    }
    section(paint, "Repairs that were considered (score: larger is better)", &rows)
}

fn stages(it: &IncidentView, now: Time, paint: Paint) -> String {
    let mut rows = Rows::new(&[]).indented(2);
    for it in &it.stages {
        let took = match it.end.0 {
            Some(_) => output::optional_span(it.end.since(it.start)),
            None => "…".to_owned(),
        };
        let health = match (it.health_before, it.health_after) {
            (None, None) => String::new(),
            (before, after) => format!("health {} → {}", output::health(before), output::health(after)),
        };
        rows.push(Tone::Plain, [it.start.clock(now), it.stage.clone(), took, it.result.clone(), health]);
    }
    section(paint, "Stages", &rows)
}

fn holds(it: &IncidentView, now: Time, paint: Paint) -> String {
    let mut rows = Rows::new(&[]).indented(2);
    for hold in &it.holds {
        rows.push(Tone::Warning, [hold.brake.clone(), hold.why.clone(), format!("releases {}", hold.release(now))]);
    }
    for hold in &it.released {
        let released = format!("released {}", hold.release_time.clock(now));
        rows.push(Tone::Faint, [hold.brake.clone(), hold.why.clone(), released]);
    }
    section(paint, "Holds", &rows)
}

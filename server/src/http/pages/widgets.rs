//! Small parts of pages. What is not known is shown as a dash.

use std::time::Duration;

use maud::{Markup, html};
use prost_types::Timestamp as PbTime;
use prunella_model::Timestamp;
use prunella_model::time::format_span;
use prunella_proto::control::v1 as pb;

/// What stands for something that is not known.
pub(super) const NONE: &str = "—";

/// A time as how long ago it was, with the exact time as a tooltip.
pub(super) fn ago(now: Timestamp, time: Option<&PbTime>) -> Markup {
    let Some(time) = time else { return html! { span .none { "never" } } };
    let at = micros(time);
    let (span, later) = if at > now { (at.since(now), true) } else { (now.since(at), false) };
    html! {
        time datetime=(time) title=(time) {
            @if later { "in " (coarse(span)) } @else if span.as_secs() == 0 { "now" } @else { (coarse(span)) " ago" }
        }
    }
}

/// The clock time of an event, with the date as a tooltip.
pub(super) fn clock(time: Option<&PbTime>) -> Markup {
    let Some(time) = time else { return html! { span .none { (NONE) } } };
    let text = time.to_string();
    let shown = text.split_once('T').map_or(text.as_str(), |(_, it)| it.get(..8).unwrap_or(it));
    html! { time .clock datetime=(text) title=(text) { (shown) } }
}

/// A protocol time as ours.
pub(super) fn micros(time: &PbTime) -> Timestamp {
    let seconds = u64::try_from(time.seconds).unwrap_or(0);
    let nanos = u64::try_from(time.nanos).unwrap_or(0);
    Timestamp::from_micros(seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000))
}

/// A span in its largest unit, or in two where one would be too coarse.
pub(super) fn coarse(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A duration of the protocol.
pub(super) fn span(it: Option<&prost_types::Duration>) -> String {
    let span = it.and_then(|it| Duration::try_from(*it).ok());
    span.map_or_else(|| NONE.to_owned(), |it| if it.as_secs() >= 120 { coarse(it) } else { format_span(it) })
}

/// A word with the colour of what it means.
pub(super) fn pill(class: &str, word: &str) -> Markup {
    html! { span class={ "pill " (class) } { (word) } }
}

/// A severity.
pub(super) fn severity(word: &str) -> Markup {
    let class = match word {
        "critical" | "high" => "bad",
        "medium" => "warn",
        _ => "calm",
    };
    pill(class, word)
}

/// A score from 0 to 100 with a bar.
pub(super) fn score(it: Option<f64>) -> Markup {
    let Some(score) = it else { return html! { span .none { (NONE) } } };
    // The browser colours it by what is low, high and best.
    html! { span .score { meter min="0" max="100" low="40" high="75" optimum="100" value=(score) {} " " (format!("{score:.0}")) } }
}

/// A line through scores, oldest first, in a box of 120 × 28.
pub(super) fn sparkline(scores: &[f64]) -> Markup {
    if scores.len() < 2 {
        return html! {};
    }
    let width = 120.0;
    let step = width / (scores.len() - 1) as f64;
    let points: Vec<String> = scores
        .iter()
        .enumerate()
        .map(|(index, it)| format!("{:.1},{:.1}", step * index as f64, 27.0 - it.clamp(0.0, 100.0) * 0.26))
        .collect();
    html! {
        svg .spark viewBox="0 0 120 28" role="img" aria-label="Scores over time" { polyline points=(points.join(" ")) {} }
    }
}

/// What an incident's state is called.
pub(super) fn state(it: &pb::Incident) -> Markup {
    use pb::incident::State;
    let (class, word) = match it.state() {
        State::Unspecified => ("calm", "unknown"),
        State::Diagnosing => ("warn", "diagnosing"),
        State::Upstream => ("calm", "left alone"),
        State::Held => ("warn", "held back"),
        State::Repairing => ("warn", "repairing"),
        State::Verifying => ("warn", "verifying"),
        State::Probation => ("calm", "on probation"),
        State::NeedsHuman => ("bad", "needs a person"),
        State::Closed => ("good", "closed"),
    };
    pill(class, word)
}

/// The mode's name as operators know it.
pub(super) fn mode(it: pb::Mode) -> &'static str {
    match it {
        pb::Mode::Unspecified => "unknown",
        pb::Mode::Aggressive => "aggressive",
        pb::Mode::Balanced => "balanced",
        pb::Mode::Conservative => "conservative",
        pb::Mode::Disabled => "disabled",
    }
}

/// The page of a target or host, from its resource name.
pub(super) fn place(name: &str) -> Markup {
    html! { a href={ "/ui/" (name) } { (short(name)) } }
}

/// `hosts/H/targets/T` as `H/T`.
pub(super) fn short(name: &str) -> String {
    match name.strip_prefix("hosts/") {
        Some(rest) => rest.replacen("/targets/", "/", 1),
        None => name.to_owned(),
    }
}

/// The id in `incidents/ID`.
pub(super) fn id(name: &str) -> &str {
    name.strip_prefix("incidents/").unwrap_or(name)
}

/// A reading in the unit that its name ends with.
pub(super) fn reading(metric: &str, value: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let bytes = metric.ends_with("_bytes") || metric.ends_with("bytes_per_second");
    if bytes && value >= 1024.0 {
        let (mut value, mut unit) = (value, 0);
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            (value, unit) = (value / 1024.0, unit + 1);
        }
        return format!("{value:.1} {}", UNITS[unit]);
    }
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_never_a_number() {
        assert!(score(None).into_string().contains(NONE));
        assert!(ago(Timestamp::from_secs(5), None).into_string().contains("never"));
        assert_eq!(span(None), NONE);
        assert_eq!(sparkline(&[50.0]).into_string(), "");
    }

    #[test]
    fn names_are_short_and_lead_to_their_page() {
        assert_eq!(short("hosts/h1/targets/web"), "h1/web");
        assert_eq!(place("hosts/h1/targets/web").into_string(), "<a href=\"/ui/hosts/h1/targets/web\">h1/web</a>");
    }

    #[test]
    fn bytes_are_readable() {
        assert_eq!(reading("disk.free_bytes", 22_986_883_072.0), "21.4 GiB");
        assert_eq!(reading("cpu.used_percent", 4.25), "4.25");
        assert_eq!(reading("network.sent_bytes_per_second", 12.0), "12");
    }

    #[test]
    fn spans_are_coarse() {
        let texts = [5, 119, 120, 7_199, 7_200, 172_800].map(|it| coarse(Duration::from_secs(it)));
        assert_eq!(texts, ["5 s", "119 s", "2 min", "119 min", "2 h", "2 days"]);
    }
}

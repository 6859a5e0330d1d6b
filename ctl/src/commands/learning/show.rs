//! What `prunella learning` prints for people.

use std::time::Duration;

use super::view::{HealthOutlook, HelpView, InsightView, Insights, Predictions, Recommendations, SubjectView};
use crate::output::{self, ABSENT, Paint, Rows, Time, Tone, clean, optional};

/// So sure a prediction is worth a colour.
const SURE: f64 = 0.8;

fn span(millis: Option<f64>) -> String {
    output::optional_span(millis.map(|it| Duration::from_secs_f64((it / 1e3).clamp(0.0, 1e9))))
}

fn percent(it: f64) -> String {
    format!("{:.0} %", it * 100.0)
}

pub(super) fn insights(view: &Insights, now: Time, paint: Paint) -> String {
    if view.insights.is_empty() {
        return "Nothing was learned yet: no incident was repaired or went away by itself.\n".to_owned();
    }
    let mut rows = Rows::new(&["FAULT", "OF", "CAUSE", "INCIDENTS", "EVERY", "LAST", "BY ITSELF", "PERSON", "HELPS"]);
    for it in &view.insights {
        let helps: Vec<String> = it.helps.iter().map(help).collect();
        let helps = if helps.is_empty() { ABSENT.to_owned() } else { helps.join("; ") };
        let row = [
            it.subject.rule.clone(),
            kind(&it.subject),
            it.subject.cause.clone(),
            incidents(it),
            span(it.every_ms),
            it.last_time.relative(now),
            by_itself(it),
            it.escalated.to_string(),
            helps,
        ];
        rows.push(Tone::Plain, row);
    }
    rows.print(paint)
}

fn kind(it: &SubjectView) -> String {
    it.symptom.as_ref().map_or_else(|| it.kind.clone(), |symptom| format!("{} ({symptom})", it.kind))
}

fn incidents(it: &InsightView) -> String {
    match it.incidents_elsewhere {
        0 => it.incidents.to_string(),
        elsewhere => format!("{} (+{elsewhere} elsewhere)", it.incidents),
    }
}

/// How many went away by themselves, and how likely that is.
fn by_itself(it: &InsightView) -> String {
    let alone = &it.self_recovery;
    match alone.low.zip(alone.high) {
        Some((low, high)) => format!("{} ({:.0}–{})", alone.incidents, low * 100.0, percent(high)),
        None => ABSENT.to_owned(),
    }
}

fn help(it: &HelpView) -> String {
    let trials = it.healed + it.failed;
    let elsewhere =
        if it.trials_elsewhere >= 0.5 { format!(" (+{:.0} elsewhere)", it.trials_elsewhere) } else { String::new() };
    let after = if it.after.is_empty() { String::new() } else { format!(" after {}", it.after.join(", ")) };
    let shadow = if it.shadow { ", in shadow" } else { "" };
    let (chance, high) = (percent(it.chance), percent(it.high));
    format!("{}{after} {chance} ({:.0}–{high}, {trials:.0} trials{elsewhere}{shadow})", it.repair, it.low * 100.0)
}

pub(super) fn predictions(view: &Predictions, now: Time, paint: Paint) -> String {
    if view.predictions.is_empty() {
        return "Nothing is expected: no trend and no rhythm is sure enough.\n".to_owned();
    }
    let mut rows = Rows::new(&["EXPECTED", "WHAT", "SURE", "WHY"]);
    for it in &view.predictions {
        let tone = if it.confidence >= SURE { Tone::Warning } else { Tone::Plain };
        let row = [it.expect_time.relative(now), it.summary.clone(), percent(it.confidence), it.evidence.join("; ")];
        rows.push(tone, row);
    }
    rows.print(paint)
}

pub(super) fn recommendations(view: &Recommendations, paint: Paint) -> String {
    if view.recommendations.is_empty() {
        return "Nothing is recommended.\n".to_owned();
    }
    let mut rows = Rows::new(&["KIND", "INCIDENTS", "WHAT YOU MIGHT DO", "WHY"]);
    for it in &view.recommendations {
        rows.push(Tone::Plain, [it.kind.clone(), it.incidents.to_string(), it.text.clone(), it.evidence.join("; ")]);
    }
    rows.print(paint)
}

pub(super) fn outlook(view: &HealthOutlook, now: Time, paint: Paint) -> String {
    let (level, risk) = (optional(view.level.as_deref()), optional(view.risk.as_deref()));
    let reasons = if view.reasons.is_empty() { String::new() } else { format!(": {}", view.reasons.join("; ")) };
    let head = clean(&format!("{}  {}  {level}, risk {risk}{reasons}", view.name, output::health(view.score)));
    format!(
        "{}\n\n{}\n{}",
        paint.tone(Tone::Heading, &head),
        insights(&view.insights, now, paint),
        predictions(&view.predictions, now, paint)
    )
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use prunella_proto::control::v1 as pb;

    use super::*;
    use crate::commands::sample;

    fn insight() -> pb::Insight {
        let help = |repair: &str, chance, low, high| pb::Help {
            repair: repair.to_owned(),
            chance,
            low,
            high,
            ..pb::Help::default()
        };
        pb::Insight {
            subject: Some(pb::Subject {
                rule: "unresponsive".to_owned(),
                kind: "web".to_owned(),
                class: "http+process".to_owned(),
                symptom: Some("http".to_owned()),
                cause: "hung".to_owned(),
            }),
            incidents: 12,
            incidents_elsewhere: 40,
            escalated: 1,
            every: Some(prost_types::Duration { seconds: 21_600, nanos: 0 }),
            self_recovery: Some(pb::SelfRecovery {
                incidents: 3,
                low: Some(0.11),
                high: Some(0.47),
                ..pb::SelfRecovery::default()
            }),
            helps: vec![
                pb::Help {
                    healed: 7.0,
                    failed: 1.0,
                    trials_elsewhere: 20.0,
                    ..help("restart_service", 0.88, 0.7, 0.97)
                },
                pb::Help { failed: 6.0, shadow: true, ..help("reload", 0.03, 0.0, 0.1) },
            ],
            ..pb::Insight::default()
        }
    }

    #[test]
    fn an_insight_says_what_helps_and_how_sure_that_is() {
        let view = Insights::of(vec![insight()]);
        expect![[r#"
            FAULT         OF          CAUSE  INCIDENTS           EVERY  LAST  BY ITSELF    PERSON  HELPS
            unresponsive  web (http)  hung   12 (+40 elsewhere)  6 h    —     3 (11–47 %)  1       restart_service 88 % (70–97 %, 8 trials (+20 elsewhere)); reload 3 % (0–10 %, 6 trials, in shadow)
        "#]]
        .assert_eq(&insights(&view, sample::now(), Paint(false)));
    }

    #[test]
    fn where_nothing_is_known_nothing_is_shown() {
        let none = Insights::of(Vec::new());
        assert_eq!(
            insights(&none, sample::now(), Paint(false)),
            "Nothing was learned yet: no incident was repaired or went away by itself.\n"
        );
        let none = Predictions::of(Vec::new());
        assert!(predictions(&none, sample::now(), Paint(false)).starts_with("Nothing is expected"));
        let none = Recommendations::of(Vec::new());
        assert_eq!(recommendations(&none, Paint(false)), "Nothing is recommended.\n");
    }

    #[test]
    fn a_target_s_outlook_has_its_health_its_faults_and_what_is_expected() {
        let found = pb::GetTargetHealthResponse {
            health: Some(pb::Health {
                name: "hosts/h1/targets/web".to_owned(),
                score: Some(20.0),
                level: Some("critical".to_owned()),
                risk: Some("high".to_owned()),
                reasons: vec!["its health is 20".to_owned()],
                ..pb::Health::default()
            }),
            insights: Vec::new(),
            predictions: vec![pb::Prediction {
                kind: "recurrence".to_owned(),
                expect_time: Some(prost_types::Timestamp {
                    seconds: sample::later(7_200).0.expect("a time").as_second(),
                    nanos: 0,
                }),
                confidence: 0.86,
                summary: "unresponsive of web from hung will come back".to_owned(),
                evidence: vec!["5 of the last 5 times it came back within 25 % of 6 h".to_owned()],
                ..pb::Prediction::default()
            }],
        };
        expect![[r#"
            h1/web  20  critical, risk high: its health is 20

            Nothing was learned yet: no incident was repaired or went away by itself.

            EXPECTED  WHAT                                          SURE  WHY
            in 2 h    unresponsive of web from hung will come back  86 %  5 of the last 5 times it came back within 25 % of 6 h
        "#]]
        .assert_eq(&outlook(&HealthOutlook::of(found), sample::now(), Paint(false)));
    }
}

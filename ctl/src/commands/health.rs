//! `prunella health`.

use std::process::ExitCode;

use clap::Args;
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::{near, show};
use crate::Common;
use crate::client::{Client, Connection, run};
use crate::names::{self, short};
use crate::output::{self, ABSENT, Paint, Rows, Time, Tone};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet health                    the fleet, its six layers, and where they lead
  prunella --dir ./fleet health hosts              every host; also: targets, services, layers
  prunella --dir ./fleet health web-1              one host, with its resources and risks
  prunella --dir ./fleet health layers/agents -o json

Scores go from 0 to 100; what has no data has none, is left out of every mean, and says so.
JSON: {\"healths\": [{name, score, level, trend: {course, slope_per_hour, confidence, prediction, ahead_ms, scores}, weight,
parts: [{name, score, about}], risk, reasons, history: [{time, score}]}]}."
);

/// The most that one page asks for.
const PAGE: i32 = 1_000;

/// Arguments of `prunella health`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct HealthArgs {
    /// layers, hosts, services or targets for all of them; HOST, HOST/TARGET, layers/L or services/S for one.
    #[arg(value_name = "WHAT", value_parser = what)]
    what: Option<What>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    All(String),
    One(String),
}

fn what(text: &str) -> anyhow::Result<What> {
    Ok(match text {
        "layers" | "hosts" | "services" | "targets" => What::All(text.to_owned()),
        "fleet" => What::One(text.to_owned()),
        it if it.starts_with("layers/") || it.starts_with("services/") => What::One(it.to_owned()),
        it => What::One(names::host_or_target(it)?),
    })
}

#[derive(Debug, Serialize)]
struct View {
    healths: Vec<HealthView>,
}

#[derive(Debug, Serialize)]
struct HealthView {
    name: String,
    score: Option<f64>,
    level: Option<String>,
    trend: Option<TrendView>,
    weight: Option<f64>,
    parts: Vec<PartView>,
    risk: Option<String>,
    reasons: Vec<String>,
    history: Vec<ScoreView>,
}

#[derive(Debug, Serialize)]
struct TrendView {
    course: String,
    slope_per_hour: f64,
    confidence: f64,
    prediction: f64,
    ahead_ms: Option<f64>,
    scores: u32,
}

#[derive(Debug, Serialize)]
struct PartView {
    name: String,
    score: Option<f64>,
    about: String,
}

#[derive(Debug, Serialize)]
struct ScoreView {
    time: Time,
    score: f64,
}

impl HealthArgs {
    /// Shows the health of one thing or of all of a kind.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let client = Client::connect(common, &self.connection).await?;
            match self.what.unwrap_or_else(|| What::One("fleet".to_owned())) {
                What::One(name) => {
                    let found = client.health().get_health(pb::GetHealthRequest { name: name.clone() }).await;
                    let found = near::found(&client, &name, found).await?;
                    let view = View { healths: found.health.into_iter().map(HealthView::of).collect() };
                    show(common, &view, |paint| view.healths.iter().map(|it| one(it, paint)).collect())?;
                }
                What::All(kind) => {
                    let mut healths = Vec::new();
                    let mut page_token = String::new();
                    loop {
                        let request = pb::ListHealthRequest { kind: kind.clone(), page_size: PAGE, page_token };
                        let page = client.health().list_health(request).await?.into_inner();
                        healths.extend(page.healths.into_iter().map(HealthView::of));
                        page_token = page.next_page_token;
                        if page_token.is_empty() {
                            break;
                        }
                    }
                    let view = View { healths };
                    show(common, &view, |paint| table(&view, paint))?;
                }
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl HealthView {
    fn of(it: pb::Health) -> Self {
        let trend = |it: pb::HealthTrend| TrendView {
            course: it.course,
            slope_per_hour: it.slope_per_hour,
            confidence: it.confidence,
            prediction: it.prediction,
            ahead_ms: super::millis(it.ahead),
            scores: it.scores,
        };
        Self {
            name: it.name,
            score: it.score,
            level: it.level,
            trend: it.trend.map(trend),
            weight: it.weight,
            parts: it
                .parts
                .into_iter()
                .map(|it| PartView { name: it.name, score: it.score, about: it.about })
                .collect(),
            risk: it.risk,
            reasons: it.reasons,
            history: it.history.into_iter().map(|it| ScoreView { time: it.time.into(), score: it.score }).collect(),
        }
    }

    fn tone(&self) -> Tone {
        match self.level.as_deref() {
            Some("excellent" | "good") => Tone::Good,
            Some("fair" | "poor") => Tone::Warning,
            Some("critical") => Tone::Bad,
            Some(_) | None => Tone::Faint,
        }
    }

    fn trend(&self) -> String {
        self.trend.as_ref().map_or_else(
            || ABSENT.to_owned(),
            |it| format!("{}, {:+.0}/h, {:.0} foreseen", it.course, it.slope_per_hour, it.prediction),
        )
    }
}

fn table(view: &View, paint: Paint) -> String {
    if view.healths.is_empty() {
        return "There is nothing of that kind.\n".to_owned();
    }
    let mut rows = Rows::new(&["NAME", "HEALTH", "LEVEL", "RISK", "TREND", "WHY"]);
    for it in &view.healths {
        let without: Vec<&str> = it.parts.iter().filter(|it| it.score.is_none()).map(|it| it.name.as_str()).collect();
        let why = match (it.reasons.first(), without.is_empty()) {
            (Some(reason), _) => reason.clone(),
            (None, true) => String::new(),
            (None, false) => format!("no data on {}", without.join(", ")),
        };
        let level = output::optional(it.level.as_deref());
        let risk = output::optional(it.risk.as_deref());
        rows.push(it.tone(), [short(&it.name), output::health(it.score), level, risk, it.trend(), why]);
    }
    rows.print(paint)
}

fn one(it: &HealthView, paint: Paint) -> String {
    let level = it.level.as_deref().unwrap_or("no data");
    let weight = it.weight.map(|it| format!(", weighs {it:.0} of 100")).unwrap_or_default();
    let head = format!("{}  {}  {level}{weight}", short(&it.name), output::health(it.score));
    let mut text = format!("{}\n", paint.tone(it.tone(), &output::clean(&head)));
    match &it.trend {
        Some(trend) => {
            text += &format!(
                "Trend {}: {:+.1} points an hour over {} scores ({:.0} % explained by the line); {:.0} foreseen\n",
                output::clean(&trend.course),
                trend.slope_per_hour,
                trend.scores,
                trend.confidence * 100.0,
                trend.prediction
            );
        }
        None => text += "Trend not known: too few scores, or none are kept of it\n",
    }
    if let Some(risk) = &it.risk {
        let why = if it.reasons.is_empty() { "nothing speaks for more".to_owned() } else { it.reasons.join("; ") };
        text += &output::clean(&format!("Risk {risk}: {why}"));
        text += "\n";
    }
    let mut rows = Rows::new(&["PART", "SCORE", "WHAT"]);
    for part in &it.parts {
        let tone = if part.score.is_none() { Tone::Faint } else { Tone::Plain };
        rows.push(tone, [part.name.clone(), output::health(part.score), part.about.clone()]);
    }
    if rows.is_empty() { text } else { format!("{text}\n{}", rows.print(paint)) }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn what_has_no_data_says_so() {
        let part = |name: &str, score, about: &str| pb::HealthPart { name: name.into(), score, about: about.into() };
        let fleet = pb::Health {
            name: "fleet".to_owned(),
            score: Some(91.5),
            level: Some("excellent".to_owned()),
            trend: Some(pb::HealthTrend {
                course: "declining".to_owned(),
                slope_per_hour: -12.0,
                confidence: 0.9,
                prediction: 80.0,
                ahead: None,
                scores: 40,
            }),
            parts: vec![
                part("agents", Some(91.5), "every score has data"),
                part("self_healing", None, "no data, so it is left out"),
            ],
            ..pb::Health::default()
        };
        expect![[r#"
            fleet  92  excellent
            Trend declining: -12.0 points an hour over 40 scores (90 % explained by the line); 80 foreseen

            PART          SCORE  WHAT
            agents        92     every score has data
            self_healing  —      no data, so it is left out
        "#]]
        .assert_eq(&one(&HealthView::of(fleet), Paint(false)));
    }
}

//! `prunella capacity`.

use std::process::ExitCode;

use clap::Args;
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::{millis, now, show};
use crate::Common;
use crate::client::{Client, Connection, run};
use crate::names::short;
use crate::output::{ABSENT, Paint, Rows, Time, Tone};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet capacity                  how much is used, and how long it lasts
  prunella --dir ./fleet capacity -o json

A trend is shown when it is 95 % sure, over a day at most; nothing is shown that is not known.
JSON: {\"capacities\": [{target, metric, used_percent, last_percent, points_per_day, confidence, watched_ms,
  exhaustion_time, total_bytes}]}; what is not known is null."
);

/// Exhaustion that is nearer than this many days is worth a colour.
const NEAR_DAYS: f64 = 7.0;

/// Arguments of `prunella capacity`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct CapacityArgs {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct View {
    capacities: Vec<CapacityView>,
}

#[derive(Debug, Serialize)]
struct CapacityView {
    target: String,
    metric: String,
    used_percent: Option<f64>,
    last_percent: Option<f64>,
    points_per_day: Option<f64>,
    confidence: Option<f64>,
    watched_ms: Option<f64>,
    exhaustion_time: Time,
    total_bytes: Option<u64>,
}

impl CapacityArgs {
    /// Shows what can run out.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let client = Client::connect(common, &self.connection).await?;
            let found = client.optimiser().list_capacities(pb::ListCapacitiesRequest {}).await?;
            let view = View::of(found.into_inner());
            show(common, &view, |paint| table(&view, now(), paint))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl View {
    fn of(it: pb::ListCapacitiesResponse) -> Self {
        let one = |it: pb::Capacity| CapacityView {
            target: short(&it.target),
            metric: it.metric,
            used_percent: it.used_percent,
            last_percent: it.last_percent,
            points_per_day: it.points_per_day,
            confidence: it.confidence,
            watched_ms: millis(it.watched),
            exhaustion_time: it.exhaustion_time.into(),
            total_bytes: it.total_bytes,
        };
        Self { capacities: it.capacities.into_iter().map(one).collect() }
    }
}

fn table(view: &View, now: Time, paint: Paint) -> String {
    if view.capacities.is_empty() {
        return "Nothing that can run out has been measured yet.\n".to_owned();
    }
    let mut rows = Rows::new(&["TARGET", "RESOURCE", "USED", "A DAY", "SURE", "EXHAUSTED"]);
    for it in &view.capacities {
        let percent = |it: Option<f64>| it.map_or_else(|| ABSENT.to_owned(), |it| format!("{it:.1} %"));
        let points = it.points_per_day.map_or_else(|| ABSENT.to_owned(), |it| format!("{it:+.1}"));
        let sure = it.confidence.map_or_else(|| ABSENT.to_owned(), |it| format!("{:.0} %", it * 100.0));
        let left = it.exhaustion_time.since(now).map(|left| left.as_secs_f64() / 86_400.0);
        let tone = if left.is_some_and(|days| days < NEAR_DAYS) { Tone::Warning } else { Tone::Plain };
        let end = it.exhaustion_time.relative(now);
        rows.push(tone, [it.target.clone(), it.metric.clone(), percent(it.used_percent), points, sure, end]);
    }
    rows.print(paint)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::sample;
    use super::*;

    #[test]
    fn what_is_not_known_is_not_shown() {
        let later =
            prost_types::Timestamp { seconds: sample::later(5 * 86_400).0.expect("a time").as_second(), nanos: 0 };
        let found = pb::ListCapacitiesResponse {
            capacities: vec![
                pb::Capacity {
                    target: "hosts/h1/targets/host".to_owned(),
                    metric: "disk.used_percent".to_owned(),
                    used_percent: Some(50.0),
                    points_per_day: Some(10.0),
                    confidence: Some(0.999),
                    exhaustion_time: Some(later),
                    ..pb::Capacity::default()
                },
                pb::Capacity {
                    target: "hosts/h1/targets/host".to_owned(),
                    metric: "memory.used_percent".to_owned(),
                    ..pb::Capacity::default()
                },
            ],
        };
        expect![[r#"
            TARGET   RESOURCE             USED    A DAY  SURE   EXHAUSTED
            h1/host  disk.used_percent    50.0 %  +10.0  100 %  in 5 d
            h1/host  memory.used_percent  —       —      —      —
        "#]]
        .assert_eq(&table(&View::of(found), sample::now(), Paint(false)));
    }
}

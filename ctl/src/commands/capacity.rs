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

A DAY is in points of the whole, and in bytes where its size is known. A trend is shown when it is 95 % sure, over a day at most;
nothing is shown that is not known. EXHAUSTED says when, and between when and when with 95 %.
JSON: {\"capacities\": [{target, metric, used_percent, last_percent, points_per_day, confidence, watched_ms,
  exhaustion_time, earliest_exhaustion_time, latest_exhaustion_time, total_bytes, bytes_per_day}]}; what is not known is null."
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
    earliest_exhaustion_time: Time,
    latest_exhaustion_time: Time,
    total_bytes: Option<u64>,
    bytes_per_day: Option<f64>,
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
            earliest_exhaustion_time: it.earliest_exhaustion_time.into(),
            latest_exhaustion_time: it.latest_exhaustion_time.into(),
            total_bytes: it.total_bytes,
            bytes_per_day: it.bytes_per_day,
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
        let points = it.points_per_day.map_or_else(
            || ABSENT.to_owned(),
            |points| {
                let size = it.bytes_per_day.map_or_else(String::new, |it| format!(" ({})", size(it)));
                format!("{points:+.1} points{size}")
            },
        );
        let sure = it.confidence.map_or_else(|| ABSENT.to_owned(), |it| format!("{:.0} %", it * 100.0));
        let left = it.exhaustion_time.since(now).map(|left| left.as_secs_f64() / 86_400.0);
        let tone = if left.is_some_and(|days| days < NEAR_DAYS) { Tone::Warning } else { Tone::Plain };
        let range = it.earliest_exhaustion_time.0.map_or_else(String::new, |_| {
            let latest = it.latest_exhaustion_time;
            let latest = latest.0.map_or_else(|| "not in sight".to_owned(), |_| latest.relative(now));
            format!(" ({} to {latest})", it.earliest_exhaustion_time.relative(now))
        });
        let end = it.exhaustion_time.relative(now) + if it.exhaustion_time.0.is_some() { &range } else { "" };
        rows.push(tone, [it.target.clone(), it.metric.clone(), percent(it.used_percent), points, sure, end]);
    }
    rows.print(paint)
}

/// Bytes with their sign and unit: `+1.5 GiB`.
fn size(bytes: f64) -> String {
    let mut value = bytes;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if value.abs() < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    format!("{value:+.1} {unit}")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::sample;
    use super::*;

    #[test]
    fn what_is_not_known_is_not_shown() {
        let in_days = |days: i64| {
            let seconds = sample::later(days * 86_400).0.expect("a time").as_second();
            Some(prost_types::Timestamp { seconds, nanos: 0 })
        };
        let found = pb::ListCapacitiesResponse {
            capacities: vec![
                pb::Capacity {
                    target: "hosts/h1/targets/host".to_owned(),
                    metric: "disk.used_percent".to_owned(),
                    used_percent: Some(50.0),
                    points_per_day: Some(10.0),
                    confidence: Some(0.999),
                    bytes_per_day: Some(1.5 * 1024.0 * 1024.0 * 1024.0),
                    exhaustion_time: in_days(5),
                    earliest_exhaustion_time: in_days(4),
                    latest_exhaustion_time: in_days(7),
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
            TARGET   RESOURCE             USED    A DAY                    SURE   EXHAUSTED
            h1/host  disk.used_percent    50.0 %  +10.0 points (+1.5 GiB)  100 %  in 5 d (in 4 d to in 7 d)
            h1/host  memory.used_percent  —       —                        —      —
        "#]]
        .assert_eq(&table(&View::of(found), sample::now(), Paint(false)));
    }
}

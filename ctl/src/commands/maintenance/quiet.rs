//! `prunella maintenance quiet`.

use clap::Args;
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use crate::Common;
use crate::client::{Client, Connection, Failure};
use crate::commands::{millis, now, show};
use crate::names::short;
use crate::output::{ABSENT, Flow, Paint, Rows, Time, Tone, clean};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet maintenance quiet
  prunella --dir ./fleet maintenance quiet -o json

Learned from processors, load and network, by the hour of the week in UTC. What can wait (opportunities that are taken unasked,
faults of low severity that only a person can do something about) waits for these hours, where the policy names no window.
USE is the mean use in them, in percent of the mean of the whole week.
JSON: {\"quiet_hours\": [{name, state: off|unknown|none|known, about, windows: [{day, from_hour, hours}], open_time, close_time,
  watched_ms, use_percent, regularity}]}; what is not known is null."
);

/// Arguments of `prunella maintenance quiet`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct QuietArgs {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct View {
    quiet_hours: Vec<QuietView>,
}

#[derive(Debug, Serialize)]
struct QuietView {
    name: String,
    state: &'static str,
    about: String,
    windows: Vec<WindowView>,
    open_time: Time,
    close_time: Time,
    watched_ms: Option<f64>,
    use_percent: Option<f64>,
    regularity: Option<f64>,
}

#[derive(Debug, Serialize)]
struct WindowView {
    day: String,
    from_hour: u32,
    hours: u32,
}

impl QuietArgs {
    pub(super) async fn ask(self, common: &Common) -> Result<Flow, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let all = client.optimiser().list_quiet_hours(pb::ListQuietHoursRequest {}).await?.into_inner();
        let view = View::of(all);
        Ok(show(common, &view, |paint| table(&view, now(), paint))?)
    }
}

const fn word(state: pb::quiet_hours::State) -> &'static str {
    match state {
        pb::quiet_hours::State::Unspecified => "unspecified",
        pb::quiet_hours::State::Off => "off",
        pb::quiet_hours::State::Unknown => "unknown",
        pb::quiet_hours::State::None => "none",
        pb::quiet_hours::State::Known => "known",
    }
}

impl View {
    fn of(it: pb::ListQuietHoursResponse) -> Self {
        let window = |it: pb::WeekWindow| WindowView { day: it.day, from_hour: it.from_hour, hours: it.hours };
        let one = |it: pb::QuietHours| QuietView {
            name: short(&it.name),
            state: word(it.state()),
            about: it.about,
            windows: it.windows.into_iter().map(window).collect(),
            open_time: it.open_time.into(),
            close_time: it.close_time.into(),
            watched_ms: millis(it.watched),
            use_percent: it.use_percent,
            regularity: it.regularity,
        };
        Self { quiet_hours: it.quiet_hours.into_iter().map(one).collect() }
    }
}

fn table(view: &View, now: Time, paint: Paint) -> String {
    if view.quiet_hours.is_empty() {
        return "No host is known.\n".to_owned();
    }
    let mut rows = Rows::new(&["NAME", "STATE", "NEXT", "USE", "WATCHED", "HOURS"]);
    for it in &view.quiet_hours {
        let used = it.use_percent.map_or_else(|| ABSENT.to_owned(), |it| format!("{it:.0} %"));
        let days = it.watched_ms.map_or_else(|| ABSENT.to_owned(), |it| format!("{:.0} d", it / 86_400_000.0));
        let row = [it.name.clone(), it.state.to_owned(), it.open_time.relative(now), used, days, clean(&it.about)];
        rows.push(Tone::Plain, row);
    }
    rows.print(paint)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::commands::sample;

    #[test]
    fn quiet_hours_say_when_they_come_or_why_there_are_none() {
        let opens = sample::later(5 * 3_600).0.expect("a time").as_second();
        let found = pb::ListQuietHoursResponse {
            quiet_hours: vec![
                pb::QuietHours {
                    name: "hosts/web-1".to_owned(),
                    state: pb::quiet_hours::State::Known.into(),
                    about: "Sun 02:00–06:00 UTC; in 5 h".to_owned(),
                    open_time: Some(prost_types::Timestamp { seconds: opens, nanos: 0 }),
                    watched: Some(prost_types::Duration { seconds: 30 * 86_400, nanos: 0 }),
                    use_percent: Some(12.4),
                    regularity: Some(0.9),
                    ..pb::QuietHours::default()
                },
                pb::QuietHours {
                    name: "services/web".to_owned(),
                    state: pb::quiet_hours::State::Unknown.into(),
                    about: "3 d of the 14 d that are needed were seen".to_owned(),
                    ..pb::QuietHours::default()
                },
            ],
        };
        expect![[r#"
            NAME          STATE    NEXT    USE   WATCHED  HOURS
            web-1         known    in 5 h  12 %  30 d     Sun 02:00–06:00 UTC; in 5 h
            services/web  unknown  —       —     —        3 d of the 14 d that are needed were seen
        "#]]
        .assert_eq(&table(&View::of(found), sample::now(), Paint(false)));
    }
}

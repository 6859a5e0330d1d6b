//! `prunella brakes`.

use std::process::ExitCode;

use clap::Args;
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::{now, show};
use crate::Common;
use crate::client::{Client, Connection, run};
use crate::names::short;
use crate::output::{self, ABSENT, Paint, Rows, Time, Tone};

const HELP: &str = help!(
    "\
Example:
  prunella --dir ./fleet brakes                    every limit on acting, and what it holds back

Class: safety and do_no_harm hold whoever asks; pacing lets a person's request and the mode aggressive pass; consent lets
a person's request pass. HOLDS: incidents held now. HELD: how often since the server started.
JSON: {\"brakes\": [{name, class, counts, current, limit, held, holding: [{incident, why, since, release_time,
  release_when}]}]}."
);

/// Arguments of `prunella brakes`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct BrakesArgs {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct View {
    brakes: Vec<BrakeView>,
}

#[derive(Debug, Serialize)]
struct BrakeView {
    name: String,
    class: String,
    counts: String,
    current: Option<f64>,
    limit: Option<f64>,
    held: u64,
    holding: Vec<HoldingView>,
}

#[derive(Debug, Serialize)]
struct HoldingView {
    incident: String,
    why: String,
    since: Time,
    release_time: Time,
    release_when: Option<String>,
}

impl BrakesArgs {
    /// Lists brakes.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let client = Client::connect(common, &self.connection).await?;
            let view = View::of(client.fleet().list_brakes(pb::ListBrakesRequest {}).await?.into_inner());
            show(common, &view, |paint| table(&view, now(), paint))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl View {
    fn of(it: pb::ListBrakesResponse) -> Self {
        let holding = |it: pb::BrakeHold| HoldingView {
            incident: short(&it.incident),
            why: it.why,
            since: it.since.into(),
            release_time: it.release_time.into(),
            release_when: it.release_when,
        };
        let brake = |it: pb::Brake| BrakeView {
            name: it.name,
            class: it.class,
            counts: it.counts,
            current: it.current,
            limit: it.limit,
            held: it.held,
            holding: it.holding.into_iter().map(holding).collect(),
        };
        Self { brakes: it.brakes.into_iter().map(brake).collect() }
    }
}

fn table(view: &View, now: Time, paint: Paint) -> String {
    if view.brakes.is_empty() {
        return "No brake is reported.\n".to_owned();
    }
    let figure = |it: Option<f64>| it.map_or_else(|| ABSENT.to_owned(), |it| it.to_string());
    let mut rows = Rows::new(&["BRAKE", "CLASS", "NOW", "LIMIT", "HOLDS", "HELD", "COUNTS"]);
    for it in &view.brakes {
        let tone = if it.holding.is_empty() { Tone::Plain } else { Tone::Warning };
        let row = [
            it.name.clone(),
            it.class.clone(),
            figure(it.current),
            figure(it.limit),
            it.holding.len().to_string(),
            it.held.to_string(),
            output::optional(Some(first_sentence(&it.counts))),
        ];
        rows.push(tone, row);
    }
    let mut holds = Rows::new(&["BRAKE", "INCIDENT", "RELEASES", "WHY"]);
    for brake in &view.brakes {
        for it in &brake.holding {
            let release = it.release_when.clone().unwrap_or_else(|| it.release_time.relative(now));
            holds.push(Tone::Warning, [brake.name.clone(), it.incident.clone(), release, it.why.clone()]);
        }
    }
    let held =
        if holds.is_empty() { "\nNothing is held back.\n".to_owned() } else { format!("\n{}", holds.print(paint)) };
    rows.print(paint) + &held
}

/// The table has room for one; JSON has them all.
fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::sample;
    use super::*;

    #[test]
    fn brakes_say_what_they_hold_and_until_when() {
        expect![[r#"
            BRAKE     CLASS   NOW  LIMIT  HOLDS  HELD  COUNTS
            per_host  pacing  10   10     1      5     repairs of one host in the last hour
            pause     safety  —    —      0      2     pauses

            BRAKE     INCIDENT     RELEASES  WHY
            per_host  6740e3a0-20  in 5 min  10 of 10 repairs in the last hour
        "#]]
        .assert_eq(&table(&View::of(sample::brakes()), sample::now(), Paint(false)));
    }
}

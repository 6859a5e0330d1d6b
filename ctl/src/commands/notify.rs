//! `prunella notify`.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::{now, show, span_argument, time_after};
use crate::client::{Client, Connection, Failure, run};
use crate::output::{ABSENT, Flow, Paint, Rows, Time, Tone, clean};
use crate::{Common, names};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet notify list
  prunella --dir ./fleet notify test oncall
  prunella --dir ./fleet notify silence web-1 --why \"being moved\" --for 2h

Receivers and routes are in [notify] of server.toml."
);

const LIST_HELP: &str = help!(
    "\
Example:
  prunella --dir ./fleet notify list

JSON: {\"receivers\": [{name, kind, sent, silenced, failed, open, last, dead: [{at, title, why}]}]}."
);

const TEST_HELP: &str = help!(
    "\
Example:
  prunella --dir ./fleet notify test oncall      exit code 0 once it has been taken

JSON: {name, message}."
);

const SILENCE_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet notify silence web-1 --why \"being moved\" --for 2h
  prunella --dir ./fleet notify silence fleet --why \"drill\" --for 30m

Nobody is told for so long; repairs go on. The end of what somebody was told of before is told all the same.
JSON: {name, message}."
);

const SILENCES_HELP: &str = help!(
    "\
Example:
  prunella --dir ./fleet notify silences

JSON: {\"silences\": [{name, scope, why, by, since, until}]}."
);

const END_HELP: &str = help!(
    "\
Example:
  prunella --dir ./fleet notify end 1764090000

JSON: {name, message}."
);

/// Arguments of `prunella notify`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct NotifyArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Who can be told, and what did not arrive.
    List(ListArgs),
    /// Send a receiver a test.
    Test(TestArgs),
    /// Tell nobody about something for a while.
    Silence(SilenceArgs),
    /// Silences that have not ended.
    Silences(SilencesArgs),
    /// End a silence.
    End(EndArgs),
}

#[derive(Debug, Args)]
#[command(after_help = LIST_HELP)]
struct ListArgs {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = TEST_HELP)]
struct TestArgs {
    /// The receiver.
    #[arg(value_name = "RECEIVER")]
    name: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = SILENCE_HELP)]
struct SilenceArgs {
    /// What: fleet, HOST or HOST/TARGET.
    #[arg(value_name = "WHAT", value_parser = names::scope)]
    what: String,
    /// Why, for whoever wonders.
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// For how long: 30m, 2h, 1d.
    #[arg(long = "for", value_name = "SPAN", value_parser = span_argument)]
    lasting: Duration,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = SILENCES_HELP)]
struct SilencesArgs {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = END_HELP)]
struct EndArgs {
    /// Its number.
    #[arg(value_name = "NUMBER")]
    name: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct Ordered {
    name: String,
    message: String,
}

#[derive(Debug, Serialize)]
struct Receivers {
    receivers: Vec<ReceiverView>,
}

#[derive(Debug, Serialize)]
struct ReceiverView {
    name: String,
    kind: String,
    sent: u64,
    silenced: u64,
    failed: u64,
    open: u32,
    last: Time,
    dead: Vec<DeadView>,
}

#[derive(Debug, Serialize)]
struct DeadView {
    at: Time,
    title: String,
    why: String,
}

#[derive(Debug, Serialize)]
struct Silences {
    silences: Vec<SilenceView>,
}

#[derive(Debug, Serialize)]
struct SilenceView {
    name: String,
    scope: String,
    why: String,
    by: String,
    since: Time,
    until: Time,
}

impl NotifyArgs {
    /// Lists receivers, tests one, or keeps messages back for a while.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            match self.verb {
                Verb::List(args) => args.ask(common).await?,
                Verb::Test(args) => args.ask(common).await?,
                Verb::Silence(args) => args.ask(common).await?,
                Verb::Silences(args) => args.ask(common).await?,
                Verb::End(args) => args.ask(common).await?,
            };
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl ListArgs {
    async fn ask(self, common: &Common) -> Result<Flow, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let all = client.notifications().list_receivers(pb::ListReceiversRequest {}).await?.into_inner();
        let view = Receivers { receivers: all.receivers.into_iter().map(ReceiverView::of).collect() };
        Ok(show(common, &view, |paint| receivers(&view, now(), paint))?)
    }
}

impl TestArgs {
    async fn ask(self, common: &Common) -> Result<Flow, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let request = pb::TestReceiverRequest { name: self.name.clone() };
        let message = client.notifications().test_receiver(request).await?.into_inner().message;
        ordered(common, self.name, message)
    }
}

impl SilenceArgs {
    async fn ask(self, common: &Common) -> Result<Flow, Failure> {
        let expire_time = Some(time_after(jiff::Timestamp::now(), self.lasting)?);
        let client = Client::connect(common, &self.connection).await?;
        let request = pb::CreateSilenceRequest { scope: self.what, why: self.why, expire_time };
        let made = client.notifications().create_silence(request).await?.into_inner();
        let until = Time::from(made.expire_time).relative(now());
        let number = number(&made.name);
        let message = format!("silence {number} of {} ends {until}", names::short(&made.scope));
        ordered(common, number, message)
    }
}

impl SilencesArgs {
    async fn ask(self, common: &Common) -> Result<Flow, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let all = client.notifications().list_silences(pb::ListSilencesRequest {}).await?.into_inner();
        let view = Silences { silences: all.silences.into_iter().map(SilenceView::of).collect() };
        Ok(show(common, &view, |paint| silences(&view, now(), paint))?)
    }
}

impl EndArgs {
    async fn ask(self, common: &Common) -> Result<Flow, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let request = pb::DeleteSilenceRequest { name: self.name.clone() };
        let message = client.notifications().delete_silence(request).await?.into_inner().message;
        ordered(common, self.name, message)
    }
}

fn ordered(common: &Common, name: String, message: String) -> Result<Flow, Failure> {
    let view = Ordered { name, message };
    Ok(show(common, &view, |_| clean(&view.message) + "\n")?)
}

fn number(name: &str) -> String {
    name.strip_prefix("silences/").unwrap_or(name).to_owned()
}

impl ReceiverView {
    fn of(it: pb::Receiver) -> Self {
        let dead = |it: pb::DeadLetter| DeadView { at: it.time.into(), title: it.title, why: it.why };
        Self {
            name: it.name.strip_prefix("receivers/").unwrap_or(&it.name).to_owned(),
            kind: it.kind,
            sent: it.sent,
            silenced: it.silenced,
            failed: it.failed,
            open: it.open,
            last: it.last_time.into(),
            dead: it.dead_letters.into_iter().map(dead).collect(),
        }
    }
}

impl SilenceView {
    fn of(it: pb::Silence) -> Self {
        Self {
            name: number(&it.name),
            scope: names::short(&it.scope),
            why: it.why,
            by: it.by,
            since: it.create_time.into(),
            until: it.expire_time.into(),
        }
    }
}

fn receivers(view: &Receivers, now: Time, paint: Paint) -> String {
    if view.receivers.is_empty() {
        return "Nobody is told of anything: server.toml has no [[notify.receiver]].\n".to_owned();
    }
    let mut rows = Rows::new(&["RECEIVER", "KIND", "SENT", "LATEST", "OPEN", "SILENCED", "GIVEN UP"]);
    for it in &view.receivers {
        let tone = if it.failed == 0 { Tone::Plain } else { Tone::Bad };
        let last = if it.last.0.is_some() { it.last.relative(now) } else { ABSENT.to_owned() };
        let [sent, silenced, failed] = [it.sent, it.silenced, it.failed].map(|it| it.to_string());
        rows.push(tone, [it.name.clone(), it.kind.clone(), sent, last, it.open.to_string(), silenced, failed]);
    }
    let mut text = rows.print(paint);
    for it in &view.receivers {
        for dead in &it.dead {
            text += &format!(
                "{} was not told {}: {}: {}\n",
                it.name,
                dead.at.relative(now),
                clean(&dead.title),
                clean(&dead.why)
            );
        }
    }
    text
}

fn silences(view: &Silences, now: Time, paint: Paint) -> String {
    if view.silences.is_empty() {
        return "There is no silence.\n".to_owned();
    }
    let mut rows = Rows::new(&["SILENCE", "OF", "BY", "ENDS", "WHY"]);
    for it in &view.silences {
        let cells = [it.name.clone(), it.scope.clone(), it.by.clone(), it.until.relative(now), clean(&it.why)];
        rows.push(Tone::Plain, cells);
    }
    rows.print(paint)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::sample;
    use super::*;

    #[test]
    fn what_did_not_arrive_is_shown() {
        let receiver = |name: &str, dead: Vec<DeadView>| ReceiverView {
            name: name.to_owned(),
            kind: "slack".to_owned(),
            sent: 3,
            silenced: 0,
            failed: dead.len() as u64,
            open: 1,
            last: if dead.is_empty() { sample::later(0) } else { Time(None) },
            dead,
        };
        let why = "it answered 403 Forbidden: no_service".to_owned();
        let dead = DeadView { at: sample::later(0), title: "h1/web: down".to_owned(), why };
        let view = Receivers { receivers: vec![receiver("ops", Vec::new()), receiver("boss", vec![dead])] };
        expect![[r#"
            RECEIVER  KIND   SENT  LATEST  OPEN  SILENCED  GIVEN UP
            ops       slack  3     now     1     0         0
            boss      slack  3     —       1     0         1
            boss was not told now: h1/web: down: it answered 403 Forbidden: no_service
        "#]]
        .assert_eq(&receivers(&view, sample::now(), Paint(false)));
    }
}

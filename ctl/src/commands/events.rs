//! `prunella events`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use prunella_model::Id;
use prunella_model::event::{EventGroup, EventKind};
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::{now, show};
use crate::Common;
use crate::client::{Client, Connection, Failure, run};
use crate::names::{self, short};
use crate::output::{self, Flow, Format, Paint, Rows, Time, Tone, clean};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet events                              the latest 100, oldest first
  prunella --dir ./fleet events --follow                     and then as they happen, until Ctrl-C
  prunella --dir ./fleet events --group detection --group healing --last 20
  prunella --dir ./fleet events --follow --kind escalated --target web-1 -o json
  prunella --dir ./fleet events --follow --resume 6740e3a0-40 -o json    after the last one that you have seen

Kinds and groups: docs/events.md. A token is the id of an event; it stays good when the server is started again.

JSON: {\"events\": [{id, time, kind, group, host, target, incident, message}], \"resume\": token}; with --follow one such
event per line, and {\"gap\": true, \"reason\": …} where events were lost to a slow reader, a long absence or a crash."
);

/// The first pause before a lost connection is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// The longest one: a server restart is followed within seconds.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Arguments of `prunella events`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct EventsArgs {
    /// Go on with events as they happen.
    #[arg(long, short)]
    follow: bool,
    /// Only events of this kind; may be given more than once.
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(EventKind::ALL.map(EventKind::as_str)))]
    kind: Vec<String>,
    /// Only events of this group; may be given more than once, and beside kinds.
    #[arg(long, value_name = "GROUP", value_parser = PossibleValuesParser::new(EventGroup::ALL.map(EventGroup::as_str)))]
    group: Vec<String>,
    /// Only those of this host or target.
    #[arg(long, value_name = "HOST[/TARGET]", value_parser = names::host_or_target)]
    target: Option<String>,
    /// How many of the latest to begin with.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(0..=1000))]
    last: u16,
    /// Follow from right after the event with this id, instead of listing the latest.
    #[arg(long, value_name = "ID", requires = "follow", conflicts_with = "last", value_parser = clap::value_parser!(Id))]
    resume: Option<Id>,
    #[command(flatten)]
    connection: Connection,
}

/// An event as `-o json` says it.
#[derive(Debug, Serialize)]
pub(super) struct EventView {
    id: String,
    time: Time,
    kind: String,
    group: String,
    host: Option<String>,
    target: Option<String>,
    incident: Option<String>,
    message: String,
}

#[derive(Debug, Serialize)]
struct View {
    events: Vec<EventView>,
    /// Where following goes on; null before the first event.
    resume: Option<String>,
}

impl EventsArgs {
    /// Lists events, and follows them.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let client = Client::connect(common, &self.connection).await?;
            let view = match self.resume {
                Some(resume) => View { events: Vec::new(), resume: Some(resume.to_string()) },
                None => self.latest(&client).await?,
            };
            if !self.follow {
                show(common, &view, |paint| table(&view.events, common.wide(), paint))?;
                return Ok(ExitCode::SUCCESS);
            }
            let printer = Printer { format: common.format(false), paint: Paint::for_stdout() };
            for event in &view.events {
                if printer.event(event)? == Flow::Stop {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            self.follow(common, client, view.resume, printer).await
        })
    }

    async fn latest(&self, client: &Client) -> Result<View, Failure> {
        let request = pb::ListEventsRequest {
            // None at all cannot be asked for: 0 means the default.
            page_size: i32::from(self.last.max(1)),
            kinds: self.kind.clone(),
            groups: self.group.clone(),
            target: self.target.clone().unwrap_or_default(),
            ..pb::ListEventsRequest::default()
        };
        let answer = client.events().list_events(request).await?.into_inner();
        let wanted = answer.events.into_iter().take(usize::from(self.last));
        let mut events: Vec<EventView> = wanted.map(EventView::of).collect();
        events.reverse();
        Ok(View { events, resume: answer.resume_token })
    }

    /// Follows until nobody reads; a lost connection is taken up where it ended, even at a new address.
    async fn follow(
        &self,
        common: &Common,
        mut client: Client,
        mut resume: Option<String>,
        printer: Printer,
    ) -> Result<ExitCode, Failure> {
        let mut pause = RETRY_FIRST;
        loop {
            let request = pb::WatchEventsRequest {
                resume_token: resume.clone(),
                kinds: self.kind.clone(),
                groups: self.group.clone(),
                target: self.target.clone().unwrap_or_default(),
            };
            match client.events().watch_events(request).await {
                Ok(stream) => {
                    if pause > RETRY_FIRST {
                        eprintln!("prunella: connected again");
                    }
                    pause = RETRY_FIRST;
                    if read(stream.into_inner(), &mut resume, printer).await? == Flow::Stop {
                        return Ok(ExitCode::SUCCESS);
                    }
                }
                Err(status) => lasting(status.into())?,
            }
            if pause == RETRY_FIRST {
                eprintln!("prunella: the server is gone; following goes on when it is back");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
            match Client::connect(common, &self.connection).await {
                Ok(again) => client = again,
                Err(failure) => lasting(failure)?,
            }
        }
    }
}

/// A failure that waiting does not mend.
fn lasting(failure: Failure) -> Result<(), Failure> {
    match failure {
        Failure::Unreachable(_) => Ok(()),
        lasting @ (Failure::NotAllowed(_) | Failure::NotFound(_) | Failure::Usage(_) | Failure::Other(_)) => {
            Err(lasting)
        }
    }
}

/// Prints what a stream brings until it ends. `resume` is where the next one begins.
async fn read(
    mut stream: tonic::Streaming<pb::WatchEventsResponse>,
    resume: &mut Option<String>,
    printer: Printer,
) -> Result<Flow, Failure> {
    // An end with an error is taken up again like any other; the next attempt says what is wrong.
    while let Ok(Some(answer)) = stream.message().await {
        if answer.gap && printer.gap(answer.gap_reason.as_deref())? == Flow::Stop {
            return Ok(Flow::Stop);
        }
        if let Some(event) = answer.event {
            *resume = Some(event.id.clone());
            if printer.event(&EventView::of(event))? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
    }
    Ok(Flow::On)
}

impl EventView {
    pub(super) fn of(it: pb::Event) -> Self {
        Self {
            id: it.id,
            time: it.time.into(),
            kind: it.kind,
            group: it.group,
            host: it.host.as_deref().map(short),
            target: it.target.as_deref().map(short),
            incident: it.incident.as_deref().map(short),
            message: it.message,
        }
    }

    pub(super) fn tone(&self) -> Tone {
        match self.kind.as_str() {
            "fault_detected" | "relapsed" | "host_lost" | "escalated" | "invariant_broken" | "breaker_opened"
            | "health_critical" => Tone::Bad,
            "repair_verified" | "incident_closed" | "fault_cleared" | "host_connected" | "breaker_closed"
            | "snapshot_verified" => Tone::Good,
            "repair_held" | "paused" | "rolled_back" | "repair_cancelled" | "fault_predicted" | "fault_joined"
            | "throttled" | "health_degraded" => Tone::Warning,
            _ => Tone::Plain,
        }
    }

    fn place(&self) -> String {
        output::optional(self.target.as_deref().or(self.host.as_deref()))
    }
}

fn table(events: &[EventView], wide: bool, paint: Paint) -> String {
    if events.is_empty() {
        return "No event of that kind yet.\n".to_owned();
    }
    let mut rows = Rows::new(&["TIME (UTC)", "EVENT", "WHERE", "INCIDENT", "WHAT"]).wide(wide, &["ID", "GROUP"]);
    for it in events {
        let incident = output::optional(it.incident.as_deref());
        let row = [it.time.clock(now()), it.kind.clone(), it.place(), incident, it.message.clone()];
        rows.push_wide(it.tone(), row, [it.id.clone(), it.group.clone()]);
    }
    rows.print(paint)
}

/// Prints events one by one, as they come.
#[derive(Debug, Clone, Copy)]
struct Printer {
    format: Option<Format>,
    paint: Paint,
}

impl Printer {
    fn event(self, it: &EventView) -> anyhow::Result<Flow> {
        let text = match self.format {
            Some(format) => format.line(it)?,
            None => line(it, now(), self.paint),
        };
        Ok(output::print(&text)?)
    }

    fn gap(self, why: Option<&str>) -> anyhow::Result<Flow> {
        let text = match self.format {
            Some(format) => format.line(&serde_json::json!({"gap": true, "reason": why}))?,
            None => {
                format!("… some events are missing here: {}\n", clean(why.unwrap_or("the server does not say why")))
            }
        };
        Ok(output::print(&text)?)
    }
}

/// One event on a line of its own. Columns have fixed widths: nobody knows what comes next.
pub(super) fn line(it: &EventView, now: Time, paint: Paint) -> String {
    let text = format!("{}  {:16}  {:20}  {}", it.time.clock(now), clean(&it.kind), it.place(), clean(&it.message));
    paint.tone(it.tone(), &text) + "\n"
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::sample;
    use super::*;

    #[test]
    fn a_followed_event_is_one_line() {
        let event = EventView::of(sample::event());
        expect![[r#"
            11:59:57.250  fault_detected    h1/web                web does not answer
        "#]]
        .assert_eq(&line(&event, sample::now(), Paint(false)));
        expect![[r#"{"id":"6740e3a0-40","time":"2026-03-01T11:59:57.25Z","kind":"fault_detected","group":"detection","host":"h1","target":"h1/web","incident":"6740e3a0-20","message":"web does not answer"}"#]].assert_eq(&serde_json::to_string(&event).unwrap());
    }
}

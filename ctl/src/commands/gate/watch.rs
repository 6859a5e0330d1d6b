//! `prunella gate watch`: whether a deploy did harm, and the way back from it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use prunella_model::incident::Severity;
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::fitness::{self, Blame, Kind, Place, Reason};
use super::{EXIT_BLAMED, EXIT_NOT_ROLLED_BACK, EXIT_UNFIT, Least, SEARCHED, Where, gather, locate, reasons};
use crate::Common;
use crate::client::{Client, Connection, EXIT_UNREACHABLE, Failure};
use crate::commands::incident_view::IncidentView;
use crate::commands::{incidents, repair, show, span_argument};
use crate::names::short;
use crate::output::{Paint, Time, Tone, clean};

/// How often the server is asked.
const LOOK: Duration = Duration::from_secs(2);

/// How long a server that is gone is waited for beyond the watch: a restart must not fail a pipeline.
const GONE_MAX: Duration = Duration::from_secs(60);

/// The repair that takes a release back.
const ROLLBACK: &str = "rollback_generation";

const WATCH_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet gate watch --group web --for 10m
  prunella --dir ./fleet gate watch --service web --for 10m --since 2026-03-01T12:00:00Z    faults from when the deploy began
  prunella --dir ./fleet gate watch --host web-1 --for 10m --roll-back

Ends early when a fault is blamed on the deploy: it began afterwards, here, and its cause is neither upstream nor shared with
others. --roll-back asks for the repair rollback_generation, with every brake and the host's own permits; a release is known
good, and what must be declared, says docs/repairs.md. At the end everything must be there, with fresh evidence.
Exit code 0: quiet. 6: quiet, but not fit at the end. 7: a fault is blamed on it (and taken back, if that was asked).
8: as 7, but the rollback is refused, held or not verified.
JSON: {place, since, until, verdict, faults: [{incident, target, rule, blamed, why}], reasons: [{kind, place, what}],
  roll_backs: [{target, incident, message, verdict}]}; verdict is quiet, unfit or blamed."
);

/// Arguments of `prunella gate watch`.
#[derive(Debug, Args)]
#[command(after_help = WATCH_HELP)]
pub(super) struct WatchArgs {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    least: Least,
    /// How long to watch.
    #[arg(long = "for", value_name = "SPAN", default_value = "10m", value_parser = span_argument)]
    lasting: Duration,
    /// When the deploy began; without it, now.
    #[arg(long, value_name = "TIME")]
    since: Option<jiff::Timestamp>,
    /// Ask for the rollback of what a fault is blamed on.
    #[arg(long)]
    roll_back: bool,
    /// How long a rollback may take until it is verified.
    #[arg(long, value_name = "SPAN", default_value = "5m", value_parser = span_argument, requires = "roll_back")]
    roll_back_within: Duration,
    #[command(flatten)]
    connection: Connection,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// No fault is to be blamed on the deploy, and everything is well.
    Quiet,
    /// No fault is to be blamed on the deploy, but not everything is well.
    Unfit,
    /// A fault is blamed on the deploy.
    Blamed,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct FaultView {
    pub(super) incident: String,
    pub(super) target: String,
    pub(super) rule: String,
    /// Null while it is not known.
    pub(super) blamed: Option<bool>,
    pub(super) why: String,
    /// What a rollback would be asked for.
    #[serde(skip)]
    pub(super) cause_target: String,
}

#[derive(Debug, Serialize)]
pub(super) struct RollBack {
    target: String,
    incident: Option<String>,
    message: String,
    /// What the engine found out about it; null when it was not done.
    verdict: Option<String>,
}

#[derive(Debug, Serialize)]
struct View {
    place: String,
    since: Time,
    until: Time,
    verdict: Verdict,
    faults: Vec<FaultView>,
    reasons: Vec<Reason>,
    roll_backs: Vec<RollBack>,
}

impl WatchArgs {
    pub(super) async fn ask(self, common: &Common) -> Result<ExitCode, Failure> {
        let mut way = Way { common, args: &self.connection, client: Client::connect(common, &self.connection).await? };
        let facts = gather(&way.client).await?;
        let place = locate(&self.place.asked(), &facts)?;
        // The server's clock: that of incidents.
        let since = self.since.map_or_else(|| facts.fleet.time.into(), |at| Time(Some(at)));
        let mut faults = self.watch(&mut way, &place, since).await?;
        let blamed = faults.iter().any(|it| it.blamed == Some(true));
        let facts = way.ask(async |client| gather(&client).await).await?;
        let found = fitness::state(&facts, &place, self.least.bounds());
        let found: Vec<Reason> = found.into_iter().filter(|it| it.kind != Kind::ObserveOnly).collect();
        let mut roll_backs = Vec::new();
        if blamed && self.roll_back {
            for target in to_roll_back(&faults, &place) {
                roll_backs.push(self.roll_back(&mut way, target).await?);
            }
        }
        faults.sort_by_key(|it| it.blamed != Some(true));
        let verdict = match (blamed, found.is_empty()) {
            (true, _) => Verdict::Blamed,
            (false, false) => Verdict::Unfit,
            (false, true) => Verdict::Quiet,
        };
        let until = facts.fleet.time.into();
        let view = View { place: place.said, since, until, verdict, faults, reasons: found, roll_backs };
        show(common, &view, |paint| table(&view, paint))?;
        Ok(ExitCode::from(exit_code(&view, self.roll_back)))
    }

    /// Looks until the time is over or a fault is blamed on the deploy.
    async fn watch(&self, way: &mut Way<'_>, place: &Place, since: Time) -> Result<Vec<FaultView>, Failure> {
        let (begun, least) = (Instant::now(), self.least.severity());
        let mut told = 0;
        loop {
            let over = begun.elapsed() >= self.lasting;
            let found = way.ask(async |client| incidents::list(&client, false, "", SEARCHED).await).await?;
            let faults = judge(&found, place, since, least, over);
            if way.common.format(false).is_none() {
                for it in faults.iter().skip(told) {
                    eprintln!("{}  {}  {}: {}", it.incident, it.target, it.rule, clean(&it.why));
                }
                told = faults.len();
            }
            if over || faults.iter().any(|it| it.blamed == Some(true)) {
                return Ok(faults);
            }
            tokio::time::sleep(LOOK.min(self.lasting.saturating_sub(begun.elapsed()))).await;
        }
    }

    /// Asks for the rollback of a target and waits for the engine's verdict on it.
    async fn roll_back(&self, way: &mut Way<'_>, target: String) -> Result<RollBack, Failure> {
        let name = crate::names::target(&target).map_err(Failure::Other)?;
        let request = pb::RunRepairRequest {
            target: name,
            repair: Some(ROLLBACK.to_owned()),
            why: "gate watch: a fault after the deploy is blamed on it".to_owned(),
            validate_only: false,
            request_id: repair::request_id()?,
            ..pb::RunRepairRequest::default()
        };
        let asked = way.client.incidents().run_repair(request).await;
        let answer = match asked {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                let message = Failure::from(status).to_string();
                return Ok(RollBack { target, incident: None, message, verdict: None });
            }
        };
        let begun = Instant::now();
        let mut verdict = None;
        while !answer.incident.is_empty() && begun.elapsed() < self.roll_back_within {
            let name = answer.incident.clone();
            let found = way
                .ask(async |client| {
                    let request = pb::GetIncidentRequest { name: name.clone() };
                    Ok(IncidentView::of(client.incidents().get_incident(request).await?.into_inner()))
                })
                .await?;
            let attempt = found.attempts.iter().rev().find(|it| it.repair == ROLLBACK);
            verdict = attempt.and_then(|it| it.verdict.clone());
            let over = attempt.is_some_and(|it| it.outcome.as_deref().is_some_and(|it| it != "done"));
            if verdict.is_some() || over || found.state == "closed" || found.state == "needs_human" {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        let incident = Some(short(&answer.incident)).filter(|it| !it.is_empty());
        Ok(RollBack { target, incident, message: answer.message, verdict })
    }
}

/// A connection that is made again when the server was away for a moment.
struct Way<'w> {
    common: &'w Common,
    args: &'w Connection,
    client: Client,
}

impl Way<'_> {
    async fn ask<T>(&mut self, question: impl AsyncFn(Client) -> Result<T, Failure>) -> Result<T, Failure> {
        let begun = Instant::now();
        loop {
            let failure = match question(self.client.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if failure.exit_code() != EXIT_UNREACHABLE || begun.elapsed() > GONE_MAX {
                return Err(failure);
            }
            tokio::time::sleep(LOOK).await;
            if let Ok(again) = Client::connect(self.common, self.args).await {
                self.client = again;
            }
        }
    }
}

/// What became of everything that opened since then. At the end, what is still not told apart is the deploy's: it is the
/// only thing known to have changed.
pub(super) fn judge(found: &[IncidentView], place: &Place, since: Time, least: Severity, over: bool) -> Vec<FaultView> {
    let fault = |it: &IncidentView| {
        let (blamed, why) = match fitness::blame(it, place, since, least)? {
            Blame::Deploy(why) => (Some(true), why),
            Blame::Elsewhere(why) => (Some(false), why),
            Blame::Unclear if over => (Some(true), "it began after the deploy, and no cause is known".to_owned()),
            Blame::Unclear => (None, "its cause is not known yet".to_owned()),
        };
        let cause = it.diagnosis.as_ref().map(|it| it.cause_target.clone());
        Some(FaultView {
            incident: it.id.clone(),
            target: it.fault.target.clone(),
            rule: it.fault.rule.clone(),
            blamed,
            why,
            cause_target: cause.unwrap_or_else(|| it.fault.target.clone()),
        })
    };
    found.iter().filter_map(fault).collect()
}

/// The targets whose release is to be taken back, each once.
fn to_roll_back(faults: &[FaultView], place: &Place) -> Vec<String> {
    let mut targets: Vec<String> = Vec::new();
    for it in faults.iter().filter(|it| it.blamed == Some(true)) {
        let target = if place.holds(&it.cause_target) { &it.cause_target } else { &it.target };
        if !targets.contains(target) {
            targets.push(target.clone());
        }
    }
    targets
}

fn exit_code(view: &View, roll_back: bool) -> u8 {
    let taken_back = view.roll_backs.iter().all(|it| it.verdict.as_deref() == Some("recovered"));
    match view.verdict {
        Verdict::Quiet => crate::EXIT_OK,
        Verdict::Unfit => EXIT_UNFIT,
        Verdict::Blamed if roll_back && !taken_back => EXIT_NOT_ROLLED_BACK,
        Verdict::Blamed => EXIT_BLAMED,
    }
}

fn table(view: &View, paint: Paint) -> String {
    let (tone, said) = match view.verdict {
        Verdict::Quiet => (Tone::Good, "no fault is to be blamed on the deploy"),
        Verdict::Unfit => (Tone::Warning, "no fault is to be blamed on the deploy, but not everything is well"),
        Verdict::Blamed => (Tone::Bad, "a fault is blamed on the deploy"),
    };
    let mut text = paint.tone(tone, &format!("{}: {said}", view.place)) + "\n";
    for it in &view.faults {
        let word = if it.blamed == Some(true) { "blamed" } else { "not blamed" };
        text += &clean(&format!("  {word}: incident {}, {} on {}: {}", it.incident, it.rule, it.target, it.why));
        text += "\n";
    }
    text += &reasons(&view.reasons, Tone::Warning, paint);
    for it in &view.roll_backs {
        let verdict = it.verdict.as_deref().unwrap_or("not done");
        text += &clean(&format!("  rollback of {}: {verdict} ({})", it.target, it.message));
        text += "\n";
    }
    text
}

//! `prunella status`: the first screen.

use std::process::ExitCode;

use clap::Args;
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::incident_view::IncidentView;
use super::{incidents, millis, mode_text, show, throttle_text};
use crate::Common;
use crate::client::{Client, Connection, run};
use crate::names::short;
use crate::output::{self, ABSENT, Paint, Rows, Time, Tone, count};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet status
  PRUNELLA_TOKEN=… prunella status --server cp.example:7443 --ca ca.pem -o json

JSON: {fleet, time, mode, throttle, throttle_why, mode_overrides: [{name, mode, by, why, since}], policy_version,
  server_version, hosts: {online, left, silent}, targets, open_incidents, held, needs_human,
  repair_queue: {state, waiting, oldest, oldest_since, held_by}, repaired,
  mean_time_to_repair_ms, cold_until, pauses: [{name, by, why, since, until}], loosened, caveats,
  incidents: [as `prunella explain -o json` says each]}. What does not exist is null."
);

/// How many open incidents the first screen shows.
const SHOWN: usize = 20;

/// Arguments of `prunella status`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct StatusArgs {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct View {
    fleet: String,
    time: Time,
    mode: &'static str,
    throttle: &'static str,
    throttle_why: Option<String>,
    mode_overrides: Vec<ModeView>,
    policy_version: u64,
    server_version: String,
    hosts: Hosts,
    targets: u32,
    open_incidents: u32,
    held: u32,
    needs_human: u32,
    repair_queue: Option<QueueView>,
    repaired: u64,
    mean_time_to_repair_ms: Option<f64>,
    cold_until: Time,
    pauses: Vec<PauseView>,
    loosened: Vec<String>,
    caveats: Vec<String>,
    incidents: Vec<IncidentView>,
}

#[derive(Debug, Serialize)]
struct Hosts {
    online: u32,
    left: u32,
    silent: u32,
}

#[derive(Debug, Serialize)]
struct QueueView {
    state: &'static str,
    waiting: u32,
    oldest: Option<String>,
    oldest_since: Time,
    held_by: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PauseView {
    name: String,
    by: String,
    why: String,
    since: Time,
    until: Time,
}

#[derive(Debug, Serialize)]
struct ModeView {
    name: String,
    mode: &'static str,
    by: String,
    why: String,
    since: Time,
}

impl ModeView {
    fn of(it: &pb::ModeOverride) -> Self {
        Self {
            name: it.name.clone(),
            mode: mode_text(it.mode()),
            by: it.by.clone(),
            why: it.why.clone(),
            since: it.create_time.into(),
        }
    }
}

impl StatusArgs {
    /// Shows the fleet in one look.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let client = Client::connect(common, &self.connection).await?;
            let fleet = client.fleet().get_fleet(pb::GetFleetRequest {}).await?.into_inner();
            let view = View::of(fleet, incidents::list(&client, true, "", SHOWN).await?);
            show(common, &view, |paint| screen(&view, paint))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl View {
    fn of(it: pb::Fleet, incidents: Vec<IncidentView>) -> Self {
        let pause = |it: pb::Pause| PauseView {
            name: short(&it.name),
            by: it.by,
            why: it.why,
            since: it.create_time.into(),
            until: it.expire_time.into(),
        };
        Self {
            mode: mode_text(it.mode()),
            throttle: throttle_text(it.throttle()),
            throttle_why: it.throttle_why.clone(),
            mode_overrides: it.mode_overrides.iter().map(ModeView::of).collect(),
            fleet: it.name,
            time: it.time.into(),
            policy_version: it.policy_version,
            server_version: it.server_version,
            hosts: Hosts { online: it.hosts_online, left: it.hosts_left, silent: it.hosts_silent },
            targets: it.targets,
            open_incidents: it.open_incidents,
            held: it.held,
            needs_human: it.needs_human,
            repair_queue: it.repair_queue.map(queue),
            repaired: it.repaired,
            mean_time_to_repair_ms: millis(it.mean_time_to_repair),
            cold_until: it.cold_until.into(),
            pauses: it.pauses.into_iter().map(pause).collect(),
            loosened: it.loosened,
            caveats: it.caveats,
            incidents,
        }
    }
}

fn queue(it: pb::RepairQueue) -> QueueView {
    QueueView {
        state: match it.state() {
            pb::repair_queue::State::Unspecified => "unspecified",
            pb::repair_queue::State::Calm => "calm",
            pb::repair_queue::State::Backlog => "backlog",
            pb::repair_queue::State::Starving => "starving",
        },
        waiting: it.waiting,
        oldest: it.oldest.as_deref().map(short),
        oldest_since: it.oldest_time.into(),
        held_by: it.held_by,
    }
}

fn screen(it: &View, paint: Paint) -> String {
    let mut text = verdict(it, paint);
    text += &figures(it);
    text += &attention(it, paint);
    if !it.incidents.is_empty() {
        text += "\n";
        text += &incidents::rows(&it.incidents, false, it.time, paint);
        let shown = u32::try_from(it.incidents.len()).unwrap_or(u32::MAX);
        if shown < it.open_incidents {
            text += &format!("and {} more: prunella incidents\n", it.open_incidents - shown);
        }
    }
    text
}

/// The one line that a person in a hurry reads.
fn verdict(it: &View, paint: Paint) -> String {
    let hosts = u64::from(it.hosts.online) + u64::from(it.hosts.silent) + u64::from(it.hosts.left);
    let (tone, word) = if it.needs_human > 0 {
        (Tone::Bad, format!("{} a person", count(u64::from(it.needs_human), "incident needs", "incidents need")))
    } else if hosts == 0 {
        (Tone::Warning, "no host yet; `prunella token create` says how one joins".to_owned())
    } else if it.hosts.silent > 0 {
        (Tone::Bad, format!("{} silent", count(u64::from(it.hosts.silent), "host is", "hosts are")))
    } else if it.open_incidents > 0 {
        (Tone::Warning, count(u64::from(it.open_incidents), "open incident", "open incidents"))
    } else {
        (Tone::Good, "all is well".to_owned())
    };
    format!("{}  {}\n\n", paint.tone(Tone::Heading, &output::clean(&it.fleet)), paint.tone(tone, &word))
}

fn figures(it: &View) -> String {
    let mttr = it
        .mean_time_to_repair_ms
        .map_or_else(|| ABSENT.to_owned(), |ms| output::span(std::time::Duration::from_secs_f64(ms.max(0.0) / 1e3)));
    let hosts = format!("{} online, {} silent, {} left", it.hosts.online, it.hosts.silent, it.hosts.left);
    let open = format!("{} open, {} held, {} for a person", it.open_incidents, it.held, it.needs_human);
    let repaired = match it.repaired {
        0 => "none since the server started".to_owned(),
        n => format!("{n} since the server started, in {mttr} on average"),
    };
    let policy = format!("version {}, mode {}", it.policy_version, it.mode);
    let mut rows = Rows::default();
    for (label, value) in [
        ("Hosts", hosts),
        ("Targets", it.targets.to_string()),
        ("Incidents", open),
        ("Repaired", repaired),
        ("Policy", policy),
        ("Server", it.server_version.clone()),
    ] {
        rows.push(Tone::Plain, [label.to_owned(), value]);
    }
    rows.print(Paint(false))
}

/// What keeps repairs from happening, and what does not hold.
fn attention(it: &View, paint: Paint) -> String {
    let mut lines = Vec::new();
    if it.cold_until.0.is_some() {
        let until = it.cold_until.relative(it.time);
        lines.push(format!("Cold start: repairs wait for hosts to come back, at the latest {until}"));
    }
    if let Some(why) = &it.throttle_why {
        let state = if it.throttle == "blocked" { "Blocked" } else { "Throttled" };
        lines.push(format!("{state}: {why}"));
    }
    for set in &it.mode_overrides {
        lines.push(format!("Mode: {} is {}, set by {}: {}", set.name, set.mode, set.by, set.why));
    }
    if let Some(queue) = it.repair_queue.as_ref().filter(|it| it.waiting > 0) {
        let oldest = queue.oldest.as_deref().unwrap_or(ABSENT);
        let since = queue.oldest_since.relative(it.time);
        let waiting = count(u64::from(queue.waiting), "repair waits", "repairs wait");
        let brakes = queue.held_by.join(", ");
        lines.push(format!(
            "Repair queue ({}): {waiting} for {brakes}; the oldest, {oldest}, since {since}",
            queue.state
        ));
    }
    for pause in &it.pauses {
        let until = match pause.until.0 {
            Some(_) => format!("ends {}", pause.until.relative(it.time)),
            None => "until it is lifted".to_owned(),
        };
        lines.push(format!("Paused: {} by {}, {until}: {}", pause.name, pause.by, pause.why));
    }
    lines.extend(it.loosened.iter().map(|it| format!("Loosened: {it}")));
    lines.extend(it.caveats.iter().map(|it| format!("Caveat: {it}")));
    if lines.is_empty() {
        return String::new();
    }
    let lines: String = lines.iter().map(|it| paint.tone(Tone::Warning, &output::clean(it)) + "\n").collect();
    format!("\n{lines}")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::sample;
    use super::*;

    #[test]
    fn the_first_screen_says_what_matters() {
        let incidents = sample::incidents().into_iter().take(2).map(IncidentView::of).collect();
        expect![[r#"
            demo  1 host is silent

            Hosts      2 online, 1 silent, 0 left
            Targets    6
            Incidents  3 open, 1 held, 0 for a person
            Repaired   4 since the server started, in 18 ms on average
            Policy     version 3, mode balanced
            Server     0.1.0

            Repair queue (backlog): 2 repairs wait for fleet_per_hour; the oldest, 6740e3a0-20, since 11 min ago
            Paused: h1 by ada, ends in 50 min: kernel update
            Loosened: pacing is off (profile rapid)
            Caveat: all keys of this fleet are on one machine

            ID           TARGET  FAULT         STATE       OPENED     CAUSE                     REPAIR  DETAIL
            6740e3a0-20  h1/web  http_failing  diagnosing  1 s ago    —                         —       more evidence is needed before a cause can be named
            6740e3a0-19  h2/api  http_failing  upstream    119 s ago  dependency_down on h3/db  —       left alone: the cause lies upstream, in incident 6740e3a0-17
            and 1 more: prunella incidents
        "#]].assert_eq(&screen(&View::of(sample::fleet(), incidents), Paint(false)));
    }

    #[test]
    fn an_empty_fleet_says_what_to_do_next() {
        let empty = pb::Fleet { name: "new".to_owned(), ..pb::Fleet::default() };
        let view = View::of(empty, Vec::new());
        expect![[r#"
            new  no host yet; `prunella token create` says how one joins

            Hosts      0 online, 0 silent, 0 left
            Targets    0
            Incidents  0 open, 0 held, 0 for a person
            Repaired   none since the server started
            Policy     version 0, mode unspecified
            Server
        "#]]
        .assert_eq(&screen(&view, Paint(false)));
        expect![[r#"
            {
              "fleet": "new",
              "time": null,
              "mode": "unspecified",
              "throttle": "unspecified",
              "throttle_why": null,
              "mode_overrides": [],
              "policy_version": 0,
              "server_version": "",
              "hosts": {
                "online": 0,
                "left": 0,
                "silent": 0
              },
              "targets": 0,
              "open_incidents": 0,
              "held": 0,
              "needs_human": 0,
              "repair_queue": null,
              "repaired": 0,
              "mean_time_to_repair_ms": null,
              "cold_until": null,
              "pauses": [],
              "loosened": [],
              "caveats": [],
              "incidents": []
            }
        "#]]
        .assert_eq(&output::json(&view).unwrap());
    }
}

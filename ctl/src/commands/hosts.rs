//! `prunella hosts`.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::targets::{self, TargetView};
use super::{millis, near, now, pages, show};
use crate::Common;
use crate::client::{Client, Connection, Failure, run};
use crate::names::{self, short};
use crate::output::{self, Paint, Rows, Time, Tone, count};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet hosts                     every host
  prunella --dir ./fleet hosts web-1               one host with its targets and probes
  prunella --dir ./fleet hosts -o json
  prunella --dir ./fleet hosts delete web-2        it is retired

JSON: {\"hosts\": [{name, state, enrolment, agent_version, first_seen, last_seen, health, targets, incidents, paused,
  observe_only, intervals: {least, most}}]}; for one host {\"host\": {…}, \"targets\": [as `prunella targets -o json` says each]}."
);

const DELETE_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet hosts delete web-2

Its stream ends at once and its certificate is worth nothing from then on; to come back it needs a new join token.
Its incidents stay in the history. Needs an admin. JSON: {\"deleted\": \"web-2\"}."
);

/// Arguments of `prunella hosts`.
#[derive(Debug, Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true)]
pub struct HostsArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    show: ShowArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Remove a host from the fleet for good.
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
#[command(after_help = DELETE_HELP)]
struct DeleteArgs {
    /// The host.
    #[arg(value_name = "HOST", value_parser = names::host)]
    host: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// One host, in detail.
    #[arg(value_name = "HOST", value_parser = names::host)]
    host: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct HostView {
    name: String,
    state: &'static str,
    enrolment: u64,
    agent_version: Option<String>,
    first_seen: Time,
    last_seen: Time,
    health: Option<f64>,
    targets: u32,
    incidents: Vec<String>,
    paused: Option<String>,
    observe_only: Option<String>,
    intervals: Option<Intervals>,
}

/// Within which bounds the policy may say how often probes look, in milliseconds.
#[derive(Debug, Serialize)]
struct Intervals {
    least: Option<f64>,
    most: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Deleted {
    deleted: String,
}

#[derive(Debug, Serialize)]
struct All {
    hosts: Vec<HostView>,
}

#[derive(Debug, Serialize)]
struct One {
    host: HostView,
    targets: Vec<TargetView>,
}

impl HostsArgs {
    /// Lists hosts, shows one, or removes one.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        match self.verb {
            Some(Verb::Delete(delete)) => delete.run(common),
            None => self.show.run(common),
        }
    }
}

impl DeleteArgs {
    fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let client = Client::connect(common, &self.connection).await?;
            client.fleet().delete_host(pb::DeleteHostRequest { name: self.host.clone() }).await?;
            let view = Deleted { deleted: short(&self.host) };
            show(common, &view, |_| format!("{} is no member of the fleet any more.\n", view.deleted))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl ShowArgs {
    fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let client = Client::connect(common, &self.connection).await?;
            match self.host {
                None => {
                    let view = All { hosts: list(&client).await? };
                    show(common, &view, |paint| table(&view.hosts, common.wide(), now(), paint))?;
                }
                Some(name) => {
                    let host = client.fleet().get_host(pb::GetHostRequest { name: name.clone() }).await;
                    let host = near::found(&client, &name, host).await?;
                    let targets = targets::list(&client, &name).await?;
                    let view = One { host: HostView::of(host), targets };
                    show(common, &view, |paint| detail(&view, now(), paint))?;
                }
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

async fn list(client: &Client) -> Result<Vec<HostView>, Failure> {
    let found = pages::all(usize::MAX, |page_token| {
        let mut service = client.fleet();
        async move {
            let request = pb::ListHostsRequest { page_size: pages::PAGE, page_token };
            let page = service.list_hosts(request).await?.into_inner();
            Ok((page.hosts, page.next_page_token))
        }
    })
    .await?;
    Ok(found.into_iter().map(HostView::of).collect())
}

impl HostView {
    fn of(it: pb::Host) -> Self {
        use pb::host::State;
        Self {
            name: short(&it.name),
            state: match it.state() {
                State::Unspecified => "unspecified",
                State::Online => "online",
                State::Left => "left",
                State::Silent => "silent",
            },
            enrolment: it.enrolment,
            agent_version: it.agent_version,
            first_seen: it.first_seen_time.into(),
            last_seen: it.last_seen_time.into(),
            health: it.health,
            targets: it.targets,
            incidents: it.incidents.iter().map(|it| short(it)).collect(),
            paused: it.paused,
            observe_only: it.observe_only,
            intervals: it.interval_bounds.map(|it| Intervals { least: millis(it.least), most: millis(it.most) }),
        }
    }

    fn tone(&self) -> Tone {
        match self.state {
            "silent" => Tone::Bad,
            "left" => Tone::Faint,
            _ if !self.incidents.is_empty() || self.paused.is_some() || self.observe_only.is_some() => Tone::Warning,
            _ => Tone::Plain,
        }
    }

    /// Who says how often probes look there.
    fn intervals(&self) -> String {
        let span = |it: Option<f64>| output::optional_span(it.map(|it| Duration::from_secs_f64(it / 1e3)));
        match &self.intervals {
            None => "as its agent.toml says".to_owned(),
            Some(it) => format!("the policy may say so, from {} to {}", span(it.least), span(it.most)),
        }
    }

    fn remark(&self) -> String {
        let paused = self.paused.as_ref().map(|why| format!("paused: {why}"));
        let observes = self.observe_only.as_ref().map(|why| format!("only observes: {why}"));
        let all: Vec<String> = paused.into_iter().chain(observes).collect();
        output::optional(Some(&all.join("; ")))
    }
}

fn table(hosts: &[HostView], wide: bool, now: Time, paint: Paint) -> String {
    if hosts.is_empty() {
        return "No host has joined yet. `prunella token create` says how one joins.\n".to_owned();
    }
    let mut rows = Rows::new(&["HOST", "STATE", "HEALTH", "TARGETS", "INCIDENTS", "LAST SEEN", "AGENT", "REMARK"])
        .wide(wide, &["FIRST SEEN", "ENROLMENT", "PAUSED"]);
    for it in hosts {
        rows.push_wide(
            it.tone(),
            [
                it.name.clone(),
                it.state.to_owned(),
                output::health(it.health),
                it.targets.to_string(),
                output::optional(Some(&it.incidents.join(" "))),
                it.last_seen.relative(now),
                output::optional(it.agent_version.as_deref()),
                it.remark(),
            ],
            [it.first_seen.relative(now), it.enrolment.to_string(), output::optional(it.paused.as_deref())],
        );
    }
    format!("{}\n{}\n", rows.print(paint), count(hosts.len() as u64, "host", "hosts"))
}

fn detail(view: &One, now: Time, paint: Paint) -> String {
    let it = &view.host;
    let mut rows = Rows::default();
    for (label, value) in [
        ("State", it.state.to_owned()),
        ("Health", output::health(it.health)),
        ("Last seen", it.last_seen.relative(now)),
        ("First seen", it.first_seen.relative(now)),
        ("Agent", output::optional(it.agent_version.as_deref())),
        ("Enrolment", it.enrolment.to_string()),
        ("Intervals", it.intervals()),
        ("Incidents", output::optional(Some(&it.incidents.join(" ")))),
        ("Remark", it.remark()),
    ] {
        rows.push(Tone::Plain, [label.to_owned(), value]);
    }
    let heading = paint.tone(Tone::Heading, &it.name);
    let targets: String = view.targets.iter().map(|it| "\n".to_owned() + &targets::detail(it, now, paint)).collect();
    format!("{heading}\n{}{targets}", rows.print(paint))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::sample;
    use super::*;

    #[test]
    fn hosts_are_one_line_each() {
        let hosts: Vec<HostView> = sample::hosts().into_iter().map(HostView::of).collect();
        expect![[r#"
            HOST  STATE   HEALTH  TARGETS  INCIDENTS    LAST SEEN  AGENT  REMARK
            h1    online  98      2        6740e3a0-20  1 s ago    0.1.0  —
            h2    silent  —       0        —            —          —      only observes: its clock is 9 min off

            2 hosts
        "#]]
        .assert_eq(&table(&hosts, false, sample::now(), Paint(false)));
    }

    #[test]
    fn one_host_is_shown_with_its_targets_and_probes() {
        let host = sample::hosts().into_iter().next().map(HostView::of).unwrap();
        let view = One { host, targets: vec![TargetView::of(sample::target())] };
        expect![[r#"
            h1
            State       online
            Health      98
            Last seen   1 s ago
            First seen  25 h ago
            Agent       0.1.0
            Enrolment   1
            Intervals   as its agent.toml says
            Incidents   6740e3a0-20
            Remark      —

            h1/web  health 40, critical
              depends on  h2/api
              incidents   6740e3a0-20
              permitted   start_service, restart_service
              process  process  up    running as process 4711  2 s ago
              http     http     down  no answer within 1.0 s   2 s ago
              process.resident_bytes  1.5 MiB  1 s ago
              process.cpu_percent     3.0 %    70 s ago (stale)
        "#]]
        .assert_eq(&detail(&view, sample::now(), Paint(false)));
        expect![[r#"
            {
              "host": {
                "name": "h1",
                "state": "online",
                "enrolment": 1,
                "agent_version": "0.1.0",
                "first_seen": "2026-02-28T11:00:00Z",
                "last_seen": "2026-03-01T11:59:59Z",
                "health": 98.4,
                "targets": 2,
                "incidents": [
                  "6740e3a0-20"
                ],
                "paused": null,
                "observe_only": null,
                "intervals": null
              },
              "targets": [
                {
                  "name": "h1/web",
                  "service": "web",
                  "labels": {},
                  "critical": true,
                  "health": 40.0,
                  "probes": [
                    {
                      "probe": "process",
                      "kind": "process",
                      "status": "up",
                      "finding": "running as process 4711",
                      "time": "2026-03-01T11:59:58Z"
                    },
                    {
                      "probe": "http",
                      "kind": "http",
                      "status": "down",
                      "finding": "no answer within 1.0 s",
                      "time": "2026-03-01T11:59:58Z"
                    }
                  ],
                  "readings": [
                    {
                      "metric": "process.resident_bytes",
                      "value": 1572864.0,
                      "time": "2026-03-01T11:59:59Z",
                      "fresh": true
                    },
                    {
                      "metric": "process.cpu_percent",
                      "value": 3.0,
                      "time": "2026-03-01T11:58:50Z",
                      "fresh": false
                    }
                  ],
                  "incidents": [
                    "6740e3a0-20"
                  ],
                  "depends_on": [
                    "h2/api"
                  ],
                  "dependents": [],
                  "permits": [
                    "start_service",
                    "restart_service"
                  ]
                }
              ]
            }
        "#]]
        .assert_eq(&output::json(&view).unwrap());
    }
}

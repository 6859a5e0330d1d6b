//! `prunella orders`.

use std::process::ExitCode;

use clap::Args;
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::{near, now, pages, show};
use crate::Common;
use crate::client::{Client, Connection, Failure, run};
use crate::names::{self, short};
use crate::output::{self, Paint, Rows, Time, Tone, count};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet orders             what each agent may do while the server cannot be reached, and what it did
  prunella --dir ./fleet orders web-1       one host
  prunella --dir ./fleet orders -o json

Orders are made by the policy ([policy.standing_orders]); docs/standing-orders.md says which.
JSON: {\"hosts\": [{host, issued, expires, orders: [{target, held_ms}], runs: [{command, target, repair, outcome, ended}]}]}."
);

/// Arguments of `prunella orders`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct OrdersArgs {
    /// One host.
    #[arg(value_name = "HOST", value_parser = names::host)]
    host: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct All {
    hosts: Vec<HostOrders>,
}

#[derive(Debug, Serialize)]
struct HostOrders {
    host: String,
    issued: Time,
    expires: Time,
    orders: Vec<Order>,
    runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Order {
    target: String,
    held_ms: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Run {
    command: String,
    target: String,
    repair: String,
    outcome: String,
    ended: Time,
}

impl OrdersArgs {
    /// Shows standing orders.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let client = Client::connect(common, &self.connection).await?;
            let hosts = match self.host {
                None => list(&client).await?,
                Some(name) => {
                    let host = client.fleet().get_host(pb::GetHostRequest { name: name.clone() }).await;
                    vec![near::found(&client, &name, host).await?]
                }
            };
            let view = All { hosts: hosts.into_iter().map(HostOrders::of).collect() };
            show(common, &view, |paint| table(&view.hosts, now(), paint))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

async fn list(client: &Client) -> Result<Vec<pb::Host>, Failure> {
    pages::all(usize::MAX, |page_token| {
        let mut service = client.fleet();
        async move {
            let request = pb::ListHostsRequest { page_size: pages::PAGE, page_token };
            let page = service.list_hosts(request).await?.into_inner();
            Ok((page.hosts, page.next_page_token))
        }
    })
    .await
}

impl HostOrders {
    fn of(it: pb::Host) -> Self {
        let set = it.standing_orders.unwrap_or_default();
        let millis = |held: &prost_types::Duration| held.seconds * 1000 + i64::from(held.nanos) / 1_000_000;
        Self {
            host: short(&it.name),
            issued: set.issue_time.into(),
            expires: set.expire_time.into(),
            orders: set
                .orders
                .iter()
                .map(|it| Order { target: short(&it.target), held_ms: it.held.as_ref().map(millis) })
                .collect(),
            runs: it
                .standing_order_runs
                .into_iter()
                .map(|it| Run {
                    command: it.command,
                    target: short(&it.target),
                    repair: it.repair,
                    outcome: it.outcome,
                    ended: it.end_time.into(),
                })
                .collect(),
        }
    }
}

fn table(hosts: &[HostOrders], now: Time, paint: Paint) -> String {
    let mut rows = Rows::new(&["HOST", "ORDERED", "ISSUED", "EXPIRES"]);
    for it in hosts {
        let each: Vec<String> = it
            .orders
            .iter()
            .map(|it| {
                let held = it.held_ms.map_or_else(String::new, |ms| format!(" after {} s", ms / 1000));
                let name = it.target.split_once('/').map_or(it.target.as_str(), |(_, target)| target);
                format!("restart {name}{held}")
            })
            .collect();
        let ordered = output::optional(Some(&each.join(", ")));
        rows.push(Tone::Plain, [it.host.clone(), ordered, it.issued.relative(now), it.expires.relative(now)]);
    }
    let mut text = format!("{}\n{}\n", rows.print(paint), count(hosts.len() as u64, "host", "hosts"));
    let mut runs = Rows::new(&["DONE ALONE", "REPAIR", "OUTCOME", "ENDED", "COMMAND"]);
    let all: Vec<&Run> = hosts.iter().flat_map(|it| &it.runs).collect();
    for it in &all {
        let tone = if it.outcome == "done" { Tone::Plain } else { Tone::Warning };
        runs.push(
            tone,
            [it.target.clone(), it.repair.clone(), it.outcome.clone(), it.ended.relative(now), it.command.clone()],
        );
    }
    if !all.is_empty() {
        text.push('\n');
        text.push_str(&runs.print(paint));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn orders_and_what_was_done_by_them_are_shown() {
        let mut host = sample::hosts().remove(0);
        host.standing_orders = Some(pb::StandingOrderSet {
            issue_time: host.last_seen_time,
            expire_time: host.last_seen_time,
            orders: vec![pb::StandingOrder {
                target: "hosts/h1/targets/web".to_owned(),
                held: Some(prost_types::Duration { seconds: 30, nanos: 0 }),
            }],
        });
        host.standing_order_runs = vec![pb::StandingOrderRun {
            command: "1-7".to_owned(),
            target: "hosts/h1/targets/web".to_owned(),
            repair: "restart_service".to_owned(),
            outcome: "done".to_owned(),
            end_time: host.last_seen_time,
        }];
        let text = table(&[HostOrders::of(host)], sample::now(), Paint(false));
        assert!(text.contains("restart web after 30 s"), "{text}");
        assert!(text.contains("h1/web") && text.contains("done") && text.contains("1-7"), "{text}");
    }
}

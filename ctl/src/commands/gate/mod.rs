//! `prunella gate`: may something be deployed here now, and did it go well?

mod fitness;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use prunella_model::incident::Severity;
use prunella_model::{GroupName, ServiceName};
use prunella_proto::control::v1 as pb;
use prunella_server::policy;
use serde::Serialize;

use self::fitness::{Asked, Bounds, Facts, Kind, Place, Reason};
use super::{incidents, pages, show};
use crate::Common;
use crate::client::{Client, Connection, Failure, run};
use crate::names::{self, short};
use crate::output::{Paint, Rows, Time, Tone};

/// The place is not fit for a deploy.
pub const EXIT_UNFIT: u8 = 6;
/// After the deploy a fault began that is blamed on it.
pub const EXIT_BLAMED: u8 = 7;
/// The same, and the rollback that was asked for is not verified.
pub const EXIT_NOT_ROLLED_BACK: u8 = 8;

/// How many incidents are looked at.
const SEARCHED: usize = 1_000;

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet gate check --group web && ./deploy.sh && prunella --dir ./fleet gate watch --group web --for 10m
  prunella --dir ./fleet gate check --host web-1 -o json

For deploy pipelines: nothing is changed by asking. 6 means not fit; 7 that a fault is blamed on the deploy; 8 the same, and
it was not rolled back."
);

const CHECK_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet gate check                                    the whole fleet
  prunella --dir ./fleet gate check --host web-1                       a host and all that runs on it
  prunella --dir ./fleet gate check --service web --min-health 90
  prunella --dir ./fleet gate check --group web --allow maintenance    a deploy within its own maintenance

Reasons: cold_start, host_absent, observe_only, open_incident, maintenance, pause, blocker, group_lease, group_minimum,
low_health, no_evidence. Exit code 6: not fit.
JSON: {place, fit, time, reasons: [{kind, place, what}], allowed: [the same]}."
);

/// Arguments of `prunella gate`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct GateArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Is it fit for a deploy or an update now?
    Check(CheckArgs),
    /// Watch it after a deploy, and say whether a fault is to be blamed on that.
    Watch(watch::WatchArgs),
}

/// Where.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct Where {
    /// This host and all that runs on it.
    #[arg(long, value_name = "HOST", value_parser = names::host)]
    host: Option<String>,
    /// The hosts of this group and all that runs on them.
    #[arg(long, value_name = "GROUP")]
    group: Option<GroupName>,
    /// The members of this service, and their hosts.
    #[arg(long, value_name = "SERVICE")]
    service: Option<ServiceName>,
}

impl Where {
    fn asked(&self) -> Asked {
        match (&self.host, &self.group, &self.service) {
            (Some(host), _, _) => Asked::Host(short(host)),
            (_, Some(group), _) => Asked::Group(format!("groups/{group}")),
            (_, _, Some(service)) => Asked::Service(service.to_string()),
            (None, None, None) => Asked::Fleet,
        }
    }
}

/// What is too little.
#[derive(Debug, Args)]
struct Least {
    /// The health that each target must have, 0 to 100.
    #[arg(long, value_name = "HEALTH", default_value_t = 40, value_parser = clap::value_parser!(u8).range(0..=100))]
    min_health: u8,
    /// Incidents below this severity do not count.
    #[arg(long, value_name = "SEVERITY", default_value = "low", value_parser = ["info", "low", "medium", "high", "critical"])]
    severity: String,
}

impl Least {
    fn bounds(&self) -> Bounds {
        Bounds { severity: fitness::severity(&self.severity), health: f64::from(self.min_health) }
    }

    fn severity(&self) -> Severity {
        fitness::severity(&self.severity)
    }
}

#[derive(Debug, Args)]
#[command(after_help = CHECK_HELP)]
struct CheckArgs {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    least: Least,
    /// A reason that shall not count; may be given more than once.
    #[arg(long, value_name = "REASON")]
    allow: Vec<Kind>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct View {
    place: String,
    fit: bool,
    time: Time,
    reasons: Vec<Reason>,
    /// What was found and does not count.
    allowed: Vec<Reason>,
}

impl View {
    fn of(facts: &Facts, place: &Place, bounds: Bounds, allow: &[Kind]) -> Self {
        let found = fitness::judge(facts, place, bounds);
        let (allowed, reasons): (Vec<_>, Vec<_>) = found.into_iter().partition(|it| allow.contains(&it.kind));
        Self { place: place.said.clone(), fit: reasons.is_empty(), time: facts.fleet.time.into(), reasons, allowed }
    }
}

impl GateArgs {
    /// Checks, or watches.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            match self.verb {
                Verb::Check(args) => args.ask(common).await,
                Verb::Watch(args) => args.ask(common).await,
            }
        })
    }
}

impl CheckArgs {
    async fn ask(self, common: &Common) -> Result<ExitCode, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let facts = gather(&client).await?;
        let place = locate(&self.place.asked(), &facts)?;
        let view = View::of(&facts, &place, self.least.bounds(), &self.allow);
        show(common, &view, |paint| table(&view, paint))?;
        Ok(if view.fit { ExitCode::SUCCESS } else { ExitCode::from(EXIT_UNFIT) })
    }
}

/// Everything that a judgement stands on. The parts are asked for one after the other, so they may be a moment apart.
async fn gather(client: &Client) -> Result<Facts, Failure> {
    let fleet = client.fleet().get_fleet(pb::GetFleetRequest {}).await?.into_inner();
    let hosts = pages::all(usize::MAX, |page_token| {
        let mut service = client.fleet();
        async move {
            let request = pb::ListHostsRequest { page_size: pages::PAGE, page_token };
            let page = service.list_hosts(request).await?.into_inner();
            Ok((page.hosts, page.next_page_token))
        }
    })
    .await?;
    let targets = pages::all(usize::MAX, |page_token| {
        let mut service = client.fleet();
        async move {
            let request = pb::ListTargetsRequest { parent: String::new(), page_size: pages::PAGE, page_token };
            let page = service.list_targets(request).await?.into_inner();
            Ok((page.targets, page.next_page_token))
        }
    })
    .await?;
    let policy = client.admin().get_policy(pb::GetPolicyRequest {}).await?.into_inner();
    let policy = policy::parse("the fleet's policy", &policy.toml).map_err(|wrong| {
        Failure::Other(anyhow::anyhow!("the server's policy is not one that this program knows: {wrong}"))
    })?;
    Ok(Facts {
        fleet,
        hosts,
        targets,
        groups: client.fleet().list_groups(pb::ListGroupsRequest {}).await?.into_inner().groups,
        maintenances: client.fleet().list_maintenances(pb::ListMaintenancesRequest {}).await?.into_inner().maintenances,
        incidents: incidents::list(client, true, "", SEARCHED).await?,
        blockers: policy.blockers.into_iter().map(|(name, it)| (name.to_string(), it)).collect(),
    })
}

/// The place, or which names there are.
fn locate(asked: &Asked, facts: &Facts) -> Result<Place, Failure> {
    if let Some(place) = Place::find(asked, facts) {
        return Ok(place);
    }
    let (what, name, known): (&str, &String, Vec<String>) = match asked {
        Asked::Fleet => {
            let why = "the fleet has no host yet; `prunella token create` says how one joins";
            return Err(Failure::NotFound(why.to_owned()));
        }
        Asked::Host(host) => ("host ", host, facts.hosts.iter().map(|it| short(&it.name)).collect()),
        Asked::Group(group) => ("", group, facts.groups.iter().map(|it| it.name.clone()).collect()),
        Asked::Service(service) => {
            let services: BTreeSet<&String> = facts.targets.iter().filter_map(|it| it.service.as_ref()).collect();
            ("service ", service, services.into_iter().cloned().collect())
        }
    };
    Err(Failure::NotFound(format!("there is no {what}{name}{}", names::advice(name, &known))))
}

fn table(view: &View, paint: Paint) -> String {
    let mut text = if view.fit {
        paint.tone(Tone::Good, &format!("{} is fit for a deploy", view.place)) + "\n"
    } else {
        paint.tone(Tone::Bad, &format!("{} is not fit for a deploy", view.place)) + "\n"
    };
    text += &reasons(&view.reasons, Tone::Warning, paint);
    if !view.allowed.is_empty() {
        text += "\nAllowed:\n";
        text += &reasons(&view.allowed, Tone::Faint, paint);
    }
    text
}

/// One line for each reason.
fn reasons(all: &[Reason], tone: Tone, paint: Paint) -> String {
    let mut rows = Rows::default().indented(2);
    for it in all {
        rows.push(tone, [it.kind.as_str().to_owned(), it.place.clone(), it.what.clone()]);
    }
    rows.print(paint)
}

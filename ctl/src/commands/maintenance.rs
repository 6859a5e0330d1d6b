//! `prunella maintenance`.

mod quiet;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::{now, show, span_argument, time_after};
use crate::client::{Client, Connection, Failure, run};
use crate::output::{self, Flow, Paint, Rows, Time, Tone, clean};
use crate::{Common, names};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet maintenance add disks groups/db --why \"new disks\" --for 2h
  prunella --dir ./fleet maintenance list
  prunella --dir ./fleet maintenance end disks
  prunella --dir ./fleet maintenance quiet

Several people may each have a maintenance of the same thing; nothing is repaired while one lasts. Windows that come again
every week are in the policy's [maintenance.NAME], conditions that veto in its [blockers.NAME]."
);

const ADD_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet maintenance add disks groups/db --why \"new disks\" --for 2h            from now on
  prunella --dir ./fleet maintenance add move web-1 --why \"moves to rack 4\" --in 30m --for 1h  later
  prunella --dir ./fleet maintenance add deploy-42 fleet --why \"deploying\"                     until it is ended

Commands under way there are asked to stop before their next step when it begins.
JSON: {name, message}."
);

const LIST_HELP: &str = help!(
    "\
Example:
  prunella --dir ./fleet maintenance list

JSON: {\"maintenances\": [{name, scope, by, why, from, until, active}]}. A window of the policy has nobody in `by`."
);

const END_HELP: &str = help!(
    "\
Example:
  prunella --dir ./fleet maintenance end disks     begun or not

JSON: {name, message}."
);

/// Arguments of `prunella maintenance`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct MaintenanceArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Keep repairs away for a while.
    Add(AddArgs),
    /// Maintenances that people made, and windows of the policy.
    List(ListArgs),
    /// End a maintenance.
    End(EndArgs),
    /// When hosts, services and groups are used least, as it was learned.
    Quiet(quiet::QuietArgs),
}

#[derive(Debug, Args)]
#[command(after_help = ADD_HELP)]
struct AddArgs {
    /// Its name; unique in the fleet.
    #[arg(value_name = "NAME", value_parser = names::maintenance)]
    name: String,
    /// What: fleet, groups/GROUP, HOST or HOST/TARGET.
    #[arg(value_name = "WHAT", value_parser = names::scope)]
    what: String,
    /// Why, for whoever finds a repair held.
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// When it begins, from now: 30m, 2h, 1d. Without it at once.
    #[arg(long = "in", value_name = "SPAN", value_parser = span_argument)]
    begins_in: Option<Duration>,
    /// For how long: 30m, 2h, 1d. Without it until it is ended.
    #[arg(long = "for", value_name = "SPAN", value_parser = span_argument)]
    lasting: Option<Duration>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = LIST_HELP)]
struct ListArgs {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = END_HELP)]
struct EndArgs {
    /// Its name.
    #[arg(value_name = "NAME", value_parser = names::maintenance)]
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
struct View {
    maintenances: Vec<MaintenanceView>,
}

#[derive(Debug, Serialize)]
struct MaintenanceView {
    name: String,
    scope: String,
    by: Option<String>,
    why: String,
    from: Time,
    until: Time,
    active: bool,
}

impl MaintenanceArgs {
    /// Lists, makes or ends maintenances.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            match self.verb {
                Verb::Add(args) => args.ask(common).await?,
                Verb::List(args) => args.ask(common).await?,
                Verb::End(args) => args.ask(common).await?,
                Verb::Quiet(args) => args.ask(common).await?,
            };
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl AddArgs {
    async fn ask(self, common: &Common) -> Result<Flow, Failure> {
        let begins = self.begins_in.unwrap_or_default();
        let now = jiff::Timestamp::now();
        let start_time = self.begins_in.map(|it| time_after(now, it)).transpose()?;
        let expire_time = self.lasting.map(|it| time_after(now, begins.saturating_add(it))).transpose()?;
        let (name, why) = (self.name.clone(), self.why);
        let client = Client::connect(common, &self.connection).await?;
        let request = pb::CreateMaintenanceRequest { name, scope: self.what, why, start_time, expire_time };
        let message = client.fleet().create_maintenance(request).await?.into_inner().message;
        ordered(common, self.name, message)
    }
}

impl EndArgs {
    async fn ask(self, common: &Common) -> Result<Flow, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let request = pb::DeleteMaintenanceRequest { name: self.name.clone() };
        let message = client.fleet().delete_maintenance(request).await?.into_inner().message;
        ordered(common, self.name, message)
    }
}

fn ordered(common: &Common, name: String, message: String) -> Result<Flow, Failure> {
    let view = Ordered { name, message };
    Ok(show(common, &view, |_| clean(&view.message) + "\n")?)
}

impl ListArgs {
    async fn ask(self, common: &Common) -> Result<Flow, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let all = client.fleet().list_maintenances(pb::ListMaintenancesRequest {}).await?.into_inner();
        let view = View::of(all);
        Ok(show(common, &view, |paint| table(&view, now(), paint))?)
    }
}

impl View {
    fn of(it: pb::ListMaintenancesResponse) -> Self {
        let one = |it: pb::Maintenance| MaintenanceView {
            name: names::short(&it.name),
            scope: names::short(&it.scope),
            by: it.by,
            why: it.why,
            from: it.start_time.into(),
            until: it.expire_time.into(),
            active: it.active,
        };
        Self { maintenances: it.maintenances.into_iter().map(one).collect() }
    }
}

fn table(view: &View, now: Time, paint: Paint) -> String {
    if view.maintenances.is_empty() {
        return "There is no maintenance, and the policy has no window.\n".to_owned();
    }
    let mut rows = Rows::new(&["NAME", "SCOPE", "BY", "STATE", "UNTIL", "WHY"]);
    for it in &view.maintenances {
        let state = match (it.active, it.from.0) {
            (true, _) => "holds".to_owned(),
            (false, Some(_)) => format!("begins {}", it.from.relative(now)),
            (false, None) => "not open".to_owned(),
        };
        let until = match (it.until.0, &it.by) {
            (Some(_), _) => it.until.relative(now),
            (None, Some(_)) => "it is ended".to_owned(),
            (None, None) => output::ABSENT.to_owned(),
        };
        let by = it.by.clone().unwrap_or_else(|| "the policy".to_owned());
        let tone = if it.active { Tone::Warning } else { Tone::Plain };
        rows.push(tone, [it.name.clone(), it.scope.clone(), by, state, until, output::optional(Some(&it.why))]);
    }
    rows.print(paint)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::sample;
    use super::*;

    #[test]
    fn maintenances_say_whose_they_are_and_until_when() {
        expect![[r#"
            NAME   SCOPE      BY          STATE             UNTIL        WHY
            disks  h1         ada         holds             in 50 min    new disks
            move   groups/db  bob         begins in 10 min  it is ended  rack 4
            night  fleet      the policy  not open          —            —
        "#]]
        .assert_eq(&table(&View::of(sample::maintenances()), sample::now(), Paint(false)));
    }
}

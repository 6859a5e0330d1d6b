//! `prunella groups`.

use std::process::ExitCode;

use clap::Args;
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::{mode_text, show, throttle_text};
use crate::Common;
use crate::client::{Client, Connection, run};
use crate::names::short;
use crate::output::{self, Paint, Rows, Tone};

const HELP: &str = help!(
    "\
Example:
  prunella --dir ./fleet groups                    who is repaired with regard to whom

A group is counted in hosts. Label hosts or targets with `group`, or name them in the policy's [groups.NAME].
JSON: {\"groups\": [{name, hosts, healthy, under_repair, concurrent, minimum_healthy, exempt, mode, throttle,
  throttle_why}]}. A mode of null is the fleet's."
);

/// Arguments of `prunella groups`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct GroupsArgs {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct View {
    groups: Vec<GroupView>,
}

#[derive(Debug, Serialize)]
struct GroupView {
    name: String,
    hosts: Vec<String>,
    healthy: u32,
    under_repair: u32,
    concurrent: u32,
    minimum_healthy: u32,
    exempt: bool,
    mode: Option<&'static str>,
    throttle: &'static str,
    throttle_why: Option<String>,
}

impl GroupsArgs {
    /// Lists groups.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let client = Client::connect(common, &self.connection).await?;
            let view = View::of(client.fleet().list_groups(pb::ListGroupsRequest {}).await?.into_inner());
            show(common, &view, |paint| table(&view, paint))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl View {
    fn of(it: pb::ListGroupsResponse) -> Self {
        let group = |it: pb::Group| GroupView {
            mode: match it.mode() {
                pb::Mode::Unspecified => None,
                mode @ (pb::Mode::Aggressive | pb::Mode::Balanced | pb::Mode::Conservative | pb::Mode::Disabled) => {
                    Some(mode_text(mode))
                }
            },
            throttle: throttle_text(it.throttle()),
            name: it.name,
            hosts: it.hosts.iter().map(|name| short(name)).collect(),
            healthy: it.healthy,
            under_repair: it.under_repair,
            concurrent: it.concurrent,
            minimum_healthy: it.minimum_healthy,
            exempt: it.exempt,
            throttle_why: it.throttle_why,
        };
        Self { groups: it.groups.into_iter().map(group).collect() }
    }
}

fn table(view: &View, paint: Paint) -> String {
    if view.groups.is_empty() {
        return "There is no group. Label hosts or targets with `group`, or name them in the policy.\n".to_owned();
    }
    let mut rows = Rows::new(&["GROUP", "HOSTS", "HEALTHY", "MUST STAY", "UNDER REPAIR", "MODE", "THROTTLE", "WHY"]);
    for it in &view.groups {
        let stay = if it.exempt { "exempt: one host".to_owned() } else { it.minimum_healthy.to_string() };
        let row = [
            short(&it.name),
            it.hosts.len().to_string(),
            it.healthy.to_string(),
            stay,
            format!("{} of {}", it.under_repair, it.concurrent),
            it.mode.unwrap_or("as the fleet").to_owned(),
            it.throttle.to_owned(),
            output::optional(it.throttle_why.as_deref()),
        ];
        rows.push(if it.throttle == "normal" { Tone::Plain } else { Tone::Warning }, row);
    }
    rows.print(paint)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::sample;
    use super::*;

    #[test]
    fn groups_say_what_they_leave_through() {
        expect![[r#"
            GROUP        HOSTS  HEALTHY  MUST STAY         UNDER REPAIR  MODE          THROTTLE   WHY
            groups/db    3      2        2                 1 of 1        conservative  throttled  groups/db is in mode conservative
            groups/lone  1      1        exempt: one host  0 of 1        as the fleet  normal     —
        "#]].assert_eq(&table(&View::of(sample::groups()), Paint(false)));
    }
}

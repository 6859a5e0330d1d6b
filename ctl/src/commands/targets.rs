//! `prunella targets`.

use std::collections::BTreeMap;
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
  prunella --dir ./fleet targets                   every target of the fleet
  prunella --dir ./fleet targets web-1             those of one host
  prunella --dir ./fleet targets web-1/web         one target with its probes and readings

JSON: {\"targets\": [{name, service, labels, critical, health, probes: [{probe, kind, status, finding, time}],
  readings: [{metric, value, time, fresh}], incidents, depends_on, dependents, permits}]}."
);

/// Arguments of `prunella targets`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct TargetsArgs {
    /// Only those of this host, or this one in detail.
    #[arg(value_name = "HOST[/TARGET]", value_parser = names::host_or_target)]
    of: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// A target as `-o json` says it.
#[derive(Debug, Serialize)]
pub(super) struct TargetView {
    name: String,
    service: Option<String>,
    labels: BTreeMap<String, String>,
    critical: bool,
    health: Option<f64>,
    probes: Vec<ProbeView>,
    readings: Vec<ReadingView>,
    incidents: Vec<String>,
    depends_on: Vec<String>,
    dependents: Vec<String>,
    permits: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ProbeView {
    probe: String,
    kind: String,
    status: String,
    finding: String,
    time: Time,
}

#[derive(Debug, Serialize)]
struct ReadingView {
    metric: String,
    value: f64,
    time: Time,
    fresh: bool,
}

#[derive(Debug, Serialize)]
struct View {
    targets: Vec<TargetView>,
}

impl TargetsArgs {
    /// Lists targets, or shows one.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let name = self.of;
            let client = Client::connect(common, &self.connection).await?;
            let one = name.as_ref().is_some_and(|it| it.contains("/targets/"));
            let targets = match name {
                Some(name) if one => {
                    let target = client.fleet().get_target(pb::GetTargetRequest { name: name.clone() }).await;
                    let target = near::found(&client, &name, target).await?;
                    vec![TargetView::of(target)]
                }
                parent => list(&client, &parent.unwrap_or_else(|| "hosts/-".to_owned())).await?,
            };
            let view = View { targets };
            show(common, &view, |paint| match &view.targets[..] {
                [target] if one => detail(target, now(), paint),
                targets => table(targets, common.wide(), paint),
            })?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// The targets of a host, or of `hosts/-`.
pub(super) async fn list(client: &Client, parent: &str) -> Result<Vec<TargetView>, Failure> {
    let found = pages::all(usize::MAX, |page_token| {
        let mut service = client.fleet();
        let parent = parent.to_owned();
        async move {
            let request = pb::ListTargetsRequest { parent, page_size: pages::PAGE, page_token };
            let page = service.list_targets(request).await?.into_inner();
            Ok((page.targets, page.next_page_token))
        }
    })
    .await?;
    Ok(found.into_iter().map(TargetView::of).collect())
}

impl TargetView {
    pub(super) fn of(it: pb::Target) -> Self {
        let probe = |it: pb::ProbeState| ProbeView {
            probe: it.probe,
            kind: it.kind,
            status: it.status,
            finding: it.finding,
            time: it.time.into(),
        };
        let reading =
            |it: pb::Reading| ReadingView { metric: it.metric, value: it.value, time: it.time.into(), fresh: it.fresh };
        let shorts = |names: &[String]| names.iter().map(|it| short(it)).collect();
        Self {
            name: short(&it.name),
            service: it.service,
            labels: it.labels,
            critical: it.critical,
            health: it.health,
            probes: it.probes.into_iter().map(probe).collect(),
            readings: it.readings.into_iter().map(reading).collect(),
            incidents: shorts(&it.incidents),
            depends_on: shorts(&it.depends_on),
            dependents: shorts(&it.dependents),
            permits: it.permits,
        }
    }

    fn tone(&self) -> Tone {
        if self.probes.iter().any(|it| it.status == "down") {
            Tone::Bad
        } else if self.incidents.is_empty() {
            Tone::Plain
        } else {
            Tone::Warning
        }
    }
}

fn table(targets: &[TargetView], wide: bool, paint: Paint) -> String {
    if targets.is_empty() {
        return "No target is known. Targets are named in each host's agent.toml.\n".to_owned();
    }
    let mut rows = Rows::new(&["TARGET", "HEALTH", "PROBES", "SERVICE", "DEPENDS ON", "INCIDENTS"])
        .wide(wide, &["LABELS", "NEEDED BY", "PERMITS"]);
    for it in targets {
        let probes: Vec<String> = it.probes.iter().map(|it| format!("{} {}", it.probe, it.status)).collect();
        let labels: Vec<String> = it.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        rows.push_wide(
            it.tone(),
            [
                it.name.clone(),
                output::health(it.health),
                output::optional(Some(&probes.join(", "))),
                output::optional(it.service.as_deref()),
                output::optional(Some(&it.depends_on.join(" "))),
                output::optional(Some(&it.incidents.join(" "))),
            ],
            [
                output::optional(Some(&labels.join(" "))),
                output::optional(Some(&it.dependents.join(" "))),
                output::optional(Some(&it.permits.join(" "))),
            ],
        );
    }
    format!("{}\n{}\n", rows.print(paint), count(targets.len() as u64, "target", "targets"))
}

/// One target with its probes and readings.
pub(super) fn detail(it: &TargetView, now: Time, paint: Paint) -> String {
    let critical = if it.critical { ", critical" } else { "" };
    let mut text = format!("{}  health {}{critical}\n", paint.tone(Tone::Heading, &it.name), output::health(it.health));
    for (label, names) in [
        ("depends on", &it.depends_on),
        ("needed by", &it.dependents),
        ("incidents", &it.incidents),
        ("permitted", &it.permits),
    ] {
        if !names.is_empty() {
            text += &output::clean(&format!("  {label:12}{}", names.join(", ")));
            text += "\n";
        }
    }
    let mut rows = Rows::default().indented(2);
    for it in &it.probes {
        let tone = if it.status == "down" { Tone::Bad } else { Tone::Plain };
        let row = [it.probe.clone(), it.kind.clone(), it.status.clone(), it.finding.clone(), it.time.relative(now)];
        rows.push(tone, row);
    }
    text += &rows.print(paint);
    let mut rows = Rows::default().indented(2);
    for it in &it.readings {
        let age = if it.fresh { it.time.relative(now) } else { format!("{} (stale)", it.time.relative(now)) };
        let tone = if it.fresh { Tone::Plain } else { Tone::Faint };
        rows.push(tone, [it.metric.clone(), quantity(&it.metric, it.value), age]);
    }
    text + &rows.print(paint)
}

/// A measurement in the unit that the end of its name says.
fn quantity(metric: &str, value: f64) -> String {
    if metric.ends_with("_percent") {
        return format!("{value:.1} %");
    }
    if metric.ends_with("_bytes") {
        return bytes(value);
    }
    if metric.ends_with("_seconds") {
        return format!("{value:.3} s");
    }
    format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn bytes(mut value: f64) -> String {
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return format!("{value:.1} {unit}").replace(".0 B", " B");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::sample;
    use super::*;

    #[test]
    fn targets_are_one_line_each() {
        let targets = vec![TargetView::of(sample::target())];
        expect![[r#"
            TARGET  HEALTH  PROBES                 SERVICE  DEPENDS ON  INCIDENTS
            h1/web  40      process up, http down  web      h2/api      6740e3a0-20

            1 target
        "#]]
        .assert_eq(&table(&targets, false, Paint(false)));
    }

    #[test]
    fn readings_have_units() {
        let cases = [
            ("cpu.used_percent", 12.345),
            ("memory.used_bytes", 1536.0),
            ("x_bytes", 12.0),
            ("load_1", 0.5),
            ("n", 3.0),
        ];
        let said: Vec<String> = cases.iter().map(|(metric, value)| quantity(metric, *value)).collect();
        assert_eq!(said, ["12.3 %", "1.5 KiB", "12 B", "0.5", "3"]);
    }
}

//! `prunella rules`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use prunella_model::policy::FleetPolicy;
use prunella_proto::control::v1 as pb;
use prunella_replay::{Spoken, Trial, try_rules};
use prunella_server::policy::rules::{Remark, remarks};
use serde::Serialize;

use super::{now, show};
use crate::client::{Client, Connection, Failure, run};
use crate::names::short;
use crate::output::{self, ABSENT, Paint, Rows, Time, Tone};
use crate::{Common, EXIT_FAILURE};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet rules list                              every rule in force, and how it does
  prunella rules check policy.toml                               are my rules right? Needs no server
  prunella rules test policy.toml --journal fleet/state/journal  when would they have spoken?
  prunella --dir ./fleet policy set policy.toml                  put them in force

Rules of your own are [[rule]] tables of the fleet policy; docs/rules.md says what they may look at."
);

const LIST_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet rules list
  prunella --dir ./fleet rules list --custom -o json

JSON: {\"rules\": [{name, about, custom, enabled, shadow, severity, hold_ms, actions, targets, incidents, evaluations, spoke,
last_time, last_target, broken}]}."
);

const CHECK_HELP: &str = help!(
    "\
Example:
  prunella rules check policy.toml

Says every flaw with its place, and exits with 1 when there is one that matters. Notes do not matter by themselves.
JSON: {rules, remarks: [{file, line, column, what, fatal}]}."
);

const TEST_HELP: &str = help!(
    "\
Examples:
  prunella rules test policy.toml --journal fleet/state/journal
  prunella rules test policy.toml --journal fleet/state/journal --rule big_cache -o json

Plays what a server recorded to the rules of the file, in shadow beside the policy that was in force, and says when each
would have spoken and on which target.
JSON: {events, from, to, spoken: [{at, rule, target, text}], rules: [{name, targets, evaluations, spoke, broken}]}."
);

/// Arguments of `prunella rules`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct RulesArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Every rule in force.
    List(ListArgs),
    /// Check the custom rules of a policy file.
    Check(CheckArgs),
    /// Say when the custom rules of a policy file would have spoken.
    Test(TestArgs),
}

#[derive(Debug, Args)]
#[command(after_help = LIST_HELP)]
struct ListArgs {
    /// Only rules of the policy's own.
    #[arg(long)]
    custom: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = CHECK_HELP)]
struct CheckArgs {
    /// A fleet policy, TOML.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = TEST_HELP)]
struct TestArgs {
    /// A fleet policy, TOML.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A journal segment, or the directory of a journal.
    #[arg(long, value_name = "J")]
    journal: PathBuf,
    /// Only this rule.
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
}

#[derive(Debug, Serialize)]
struct ListView {
    rules: Vec<RuleView>,
}

#[derive(Debug, Serialize)]
struct RuleView {
    name: String,
    about: String,
    custom: bool,
    enabled: bool,
    shadow: bool,
    severity: String,
    hold_ms: Option<f64>,
    actions: Vec<String>,
    targets: Option<u32>,
    incidents: Vec<String>,
    evaluations: Option<u64>,
    spoke: Option<u64>,
    last_time: Time,
    last_target: Option<String>,
    broken: Option<String>,
}

#[derive(Debug, Serialize)]
struct CheckView {
    rules: usize,
    remarks: Vec<RemarkView>,
}

#[derive(Debug, Serialize)]
struct RemarkView {
    file: String,
    line: usize,
    column: usize,
    what: String,
    fatal: bool,
}

#[derive(Debug, Serialize)]
struct TestView {
    events: usize,
    from: Time,
    to: Time,
    spoken: Vec<SpokenView>,
    rules: Vec<TriedView>,
}

#[derive(Debug, Serialize)]
struct SpokenView {
    at: Time,
    rule: String,
    target: String,
    text: String,
}

#[derive(Debug, Serialize)]
struct TriedView {
    name: String,
    targets: Option<usize>,
    evaluations: Option<u64>,
    spoke: Option<u64>,
    broken: Option<String>,
}

impl RulesArgs {
    /// Lists, checks or tries rules.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        match self.verb {
            Verb::List(args) => run(args.list(common)),
            Verb::Check(args) => args.check(common),
            Verb::Test(args) => args.test(common),
        }
    }
}

impl ListArgs {
    async fn list(self, common: &Common) -> Result<ExitCode, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let mut view = ListView::of(client.fleet().list_rules(pb::ListRulesRequest {}).await?.into_inner());
        view.rules.retain(|rule| rule.custom || !self.custom);
        show(common, &view, |paint| list_table(&view, now(), paint))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl CheckArgs {
    fn check(self, common: &Common) -> anyhow::Result<ExitCode> {
        let text = read(&self.file)?;
        let name = self.file.display().to_string();
        let remarks = remarks(&name, &text)?;
        let fatal = remarks.iter().any(|remark| remark.fatal);
        // What else is wrong with the policy is wrong with its rules too: it could not be put in force.
        let policy = if fatal { toml::from_str(&text)? } else { prunella_server::policy::parse(&name, &text)? };
        let view = CheckView::of(&policy, remarks);
        show(common, &view, |_| check_text(&view, fatal))?;
        Ok(if fatal { ExitCode::from(EXIT_FAILURE) } else { ExitCode::SUCCESS })
    }
}

impl TestArgs {
    fn test(self, common: &Common) -> anyhow::Result<ExitCode> {
        let mut policy = prunella_server::policy::parse(&self.file.display().to_string(), &read(&self.file)?)?;
        if let Some(name) = &self.rule {
            policy.custom.retain(|rule| rule.name.as_str() == name);
        }
        let wanted = self.rule.as_deref().unwrap_or("rule");
        anyhow::ensure!(!policy.custom.is_empty(), "{} has no [[rule]] named so: {wanted}", self.file.display());
        let (recording, warnings) = prunella_server::preview::record(&self.journal, usize::MAX)?;
        for warning in warnings {
            eprintln!("prunella: {warning}");
        }
        let view = TestView::of(try_rules(&recording, &policy.custom));
        show(common, &view, |paint| test_text(&view, paint))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

impl ListView {
    fn of(it: pb::ListRulesResponse) -> Self {
        let rule = |it: pb::Rule| RuleView {
            name: it.name,
            about: it.about,
            custom: it.custom,
            enabled: it.enabled,
            shadow: it.shadow,
            severity: it.severity,
            hold_ms: super::millis(it.hold),
            actions: it.actions,
            targets: it.targets,
            incidents: it.incidents.iter().map(|it| short(it)).collect(),
            evaluations: it.evaluations,
            spoke: it.spoke,
            last_time: it.last_time.into(),
            last_target: it.last_target.as_deref().map(short),
            broken: it.broken,
        };
        Self { rules: it.rules.into_iter().map(rule).collect() }
    }
}

fn list_table(view: &ListView, now: Time, paint: Paint) -> String {
    if view.rules.is_empty() {
        return "The policy has no rule of its own; see docs/rules.md.\n".to_owned();
    }
    let count = |it: Option<u64>| it.map_or_else(|| ABSENT.to_owned(), |it| it.to_string());
    let mut rows = Rows::new(&["RULE", "STATE", "SEVERITY", "TARGETS", "OPEN", "SPOKE", "LAST", "ABOUT"]);
    for it in &view.rules {
        let (state, tone) = match (&it.broken, it.enabled, it.shadow) {
            (Some(_), _, _) => ("broken", Tone::Bad),
            (None, false, _) => ("off", Tone::Faint),
            (None, true, true) => ("shadow", Tone::Plain),
            (None, true, false) if it.incidents.is_empty() => ("on", Tone::Plain),
            (None, true, false) => ("on", Tone::Warning),
        };
        let last = match &it.last_target {
            Some(target) => format!("{} {target}", it.last_time.relative(now)),
            None => ABSENT.to_owned(),
        };
        rows.push(
            tone,
            [
                it.name.clone(),
                state.to_owned(),
                it.severity.clone(),
                count(it.targets.map(u64::from)),
                it.incidents.len().to_string(),
                count(it.spoke),
                last,
                output::optional(Some(first_sentence(&it.about))),
            ],
        );
    }
    let mut text = rows.print(paint);
    for it in view.rules.iter() {
        if let Some(why) = &it.broken {
            text += &format!("\n{} cannot be evaluated, so it says nothing: {}\n", it.name, output::clean(why));
        }
    }
    text
}

/// The table has room for one; JSON has them all.
fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first)
}

impl CheckView {
    fn of(policy: &FleetPolicy, remarks: Vec<Remark>) -> Self {
        let remark = |it: Remark| {
            let place = it.located;
            RemarkView { file: place.file, line: place.line, column: place.column, what: place.what, fatal: it.fatal }
        };
        Self { rules: policy.custom.len(), remarks: remarks.into_iter().map(remark).collect() }
    }
}

fn check_text(view: &CheckView, fatal: bool) -> String {
    let mut text = String::new();
    for it in &view.remarks {
        let kind = if it.fatal { "" } else { "note: " };
        text += &format!("{}:{}:{}: {kind}{}\n\n", it.file, it.line, it.column, it.what);
    }
    let verdict = match (view.rules, fatal) {
        (_, true) => "These rules cannot be put in force.\n".to_owned(),
        (0, false) => "There is no [[rule]] in it; the rest of the policy is valid.\n".to_owned(),
        (1, false) => "1 rule, ready to be put in force.\n".to_owned(),
        (count, false) => format!("{count} rules, ready to be put in force.\n"),
    };
    text + &verdict
}

impl TestView {
    fn of(it: Trial) -> Self {
        let rules = it.rules.into_iter().map(|rule| TriedView {
            name: rule.name,
            targets: rule.targets,
            evaluations: rule.evaluations,
            spoke: rule.spoke,
            broken: rule.broken,
        });
        let spoken =
            |it: Spoken| SpokenView { at: Time::of_micros(it.at), rule: it.rule, target: it.target, text: it.text };
        let time = |at: prunella_model::Timestamp| Time::of_micros(at.as_micros());
        Self {
            events: it.events,
            from: time(it.span.0),
            to: time(it.span.1),
            spoken: it.spoken.into_iter().map(spoken).collect(),
            rules: rules.collect(),
        }
    }
}

fn test_text(view: &TestView, paint: Paint) -> String {
    let mut text = String::new();
    if !view.spoken.is_empty() {
        let mut rows = Rows::new(&["WHEN", "RULE", "TARGET", "WHAT"]);
        for it in &view.spoken {
            rows.push(Tone::Plain, [it.at.clock(view.to), it.rule.clone(), it.target.clone(), it.text.clone()]);
        }
        text += &rows.print(paint);
        text += "\n";
    }
    for it in &view.rules {
        let targets = it.targets.unwrap_or(0);
        text += &match (&it.broken, it.spoke.unwrap_or(0)) {
            (Some(why), _) => format!("{} cannot be evaluated: {}\n", it.name, output::clean(why)),
            (None, _) if targets == 0 => format!("{} looks at no target of this fleet: see its match\n", it.name),
            (None, 0) => format!("{} would never have spoken, on {targets} targets\n", it.name),
            (None, spoke) => format!("{} would have spoken {spoke} times, on {targets} targets\n", it.name),
        };
    }
    let (from, to) = (view.from.clock(Time(None)), view.to.clock(view.from));
    text + &format!("{} events from {from} to {to}\n", view.events)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_flaw_is_shown_with_its_place() {
        let text = "[[rule]]\nname = \"big\"\nwhen = \"metrics['process.rss_byte'] > 5e8 && target.kid == 'a'\"\n";
        let view = CheckView::of(&toml::from_str(text).unwrap(), remarks("policy.toml", text).unwrap());
        expect![[r#"
            policy.toml:3:53: there is no "kid" here; did you mean "kind"? There are: critical, kind, labels, name, service
              | metrics['process.rss_byte'] > 5e8 && target.kid == 'a'
              |                                             ^^^

            These rules cannot be put in force.
        "#]]
        .assert_eq(&check_text(&view, true));
    }

    #[test]
    fn rules_say_how_they_do() {
        let shipped = pb::Rule {
            name: "process_down".to_owned(),
            about: "The process of a target ended. More.".to_owned(),
            enabled: true,
            severity: "high".to_owned(),
            ..pb::Rule::default()
        };
        let custom = pb::Rule {
            name: "big".to_owned(),
            about: "metrics['process.rss_bytes'] > 5e8".to_owned(),
            custom: true,
            enabled: true,
            shadow: true,
            severity: "low".to_owned(),
            targets: Some(3),
            spoke: Some(2),
            evaluations: Some(40),
            last_target: Some("hosts/h1/targets/web".to_owned()),
            ..pb::Rule::default()
        };
        let broken = pb::Rule {
            broken: Some("\"api\" is no whole number".to_owned()),
            name: "odd".to_owned(),
            ..custom.clone()
        };
        let view = ListView::of(pb::ListRulesResponse { rules: vec![shipped, custom, broken] });
        expect![[r#"
            RULE          STATE   SEVERITY  TARGETS  OPEN  SPOKE  LAST      ABOUT
            process_down  on      high      —        0     —      —         The process of a target ended
            big           shadow  low       3        0     2      — h1/web  metrics['process.rss_bytes'] > 5e8
            odd           broken  low       3        0     2      — h1/web  metrics['process.rss_bytes'] > 5e8

            odd cannot be evaluated, so it says nothing: "api" is no whole number
        "#]]
        .assert_eq(&list_table(&view, super::super::sample::now(), Paint(false)));
    }
}

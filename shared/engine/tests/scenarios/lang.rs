//! The words of the scenario texts.
//!
//! ```text
//! policy rapid                                   standard or rapid, then key=value
//! rule big for=30s actions=restart_service when EXPRESSION     in force with the next `policy`; `unrule big`
//! host web-1                                     a host with no targets
//! target web-1/web probes=process,http needs=db service=web critical permits=restart_service labels=version:1.4
//! connect web-1 version=1.2.3 paused=WHY observe_only=WHY drift=WHAT intervals=1s..5m labels=rack:r1 (each may be left out)
//! waits web-1 a>web-1/b b>web-1/a                everything that targets of a host wait for
//! report web-1 labels=rack:r1                    says everything again, host labels included
//! connect web-1 · cut web-1 · bye web-1 · mute web-1 · unmute web-1 · deaf web-1 (answers no probe) · undeaf web-1
//! web-1/web process exited run-1 signal=9 ran=10s
//! web-1/web http down · up · 500 · unknown
//! web-1/web conf changed · known               a file probe; `changed otherwise` knows another content as good
//! web-1/web data 95                             a directory probe, in percent
//! web-1/host sample cpu.used_percent 97
//! web-1/host ramp cpu.used_percent 40 60 2h 1m   samples from one value to another, one each minute
//! rhythm 21d h1/host=15:60:10 …                weeks of cpu.used_percent, 60 at 15:00 UTC and 10 at 03:00, for each host
//! web-1/web log 12                             a log probe that found so many lines
//! web-1/web certificate warning ends in 9 d · critical WHY · good        a check that judges by itself
//! outcome done · failed WHY · unknown WHY · refused CODE · cancelled N      of the last command; `outcome 2 done` of the second
//! alone web-1/web 7 done                        its agent reports a run of a standing order by its number
//! ask pause fleet WHY · resume … · mode SCOPE MODE · maintain NAME SCOPE [in=1h] [for=2h] · end NAME · repair T [NAME] [dry] [chain] · restore T FILE BYTE [dry] · cancel N · report T [SEVERITY] TEXT ·
//! optimise KIND [dry] (the best of that kind)
//! +30s · restart · forget web-1 · show incidents | chain | stages | why | topology | brakes | queue | opportunities | capacities | quiet | commands | knowledge | insights | predictions | recommendations | groups | rollout
//! (any request may end with by=NAME)
//! propose standard key=value                     a policy that is rolled out; `ask stop WHY` gives it up
//! each h1..h12 LINE with {}
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use prunella_model::command::BootId;
use prunella_model::host::{DirectoryReport, FileReport, HostReport, IntervalRange, Permit, ProbeReport, TargetReport};
use prunella_model::incident::Severity;
use prunella_model::observation::{Finding, Instance, Level, ProbeKind, Sha256, Status};
use prunella_model::outcome::{Outcome, Refusal};
use prunella_model::part::{PartKind, PartReport, Setting};
use prunella_model::policy::{
    Blocker, CustomRule, DiagnosticsPolicy, FleetPolicy, Mode, ProbeSetting, Profile, RuleScope, RuleSetting,
};
use prunella_model::step::{Risk, StepKind};
use prunella_model::time::parse_span;
use prunella_model::window::Window;
use prunella_model::{Generation, HostId, PartName, ProbeName, RuleName, ServiceName, TargetName};

/// The digest of a file's known-good content in every scenario.
pub(crate) const KNOWN_GOOD: Sha256 = Sha256([0xaa; 32]);

/// `key=value` words and lone ones.
pub(crate) struct Words<'a>(pub(crate) Vec<&'a str>);

impl<'a> Words<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self(text.split_whitespace().collect())
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find_map(|word| word.split_once('=').filter(|(it, _)| *it == key).map(|(_, value)| value))
    }

    pub(crate) fn has(&self, word: &str) -> bool {
        self.0.contains(&word)
    }

    pub(crate) fn list(&self, key: &str) -> Vec<&'a str> {
        self.get(key).map(|value| value.split(',').collect()).unwrap_or_default()
    }
}

pub(crate) fn policy(words: &Words<'_>, version: u64) -> FleetPolicy {
    let mut policy = FleetPolicy::of(if words.has("rapid") { Profile::Rapid } else { Profile::Standard });
    policy.version = version;
    // Scores are taken where a text asks for them; elsewhere they would only be in the way.
    policy.health.interval = Duration::from_secs(86_400);
    // What is asked for afresh every five minutes would hide what the engine asks for by itself.
    policy.diagnostics.enabled = false;
    for word in &words.0 {
        let Some((key, value)) = word.split_once('=') else { continue };
        let span = || parse_span(value).expect("a span");
        let number = || value.parse().expect("a number");
        match key {
            "mode" => policy.mode = mode(value),
            "heartbeat" => policy.heartbeat = span(),
            "health" => policy.health.interval = span(),
            "diagnostics" => policy.diagnostics = DiagnosticsPolicy { enabled: true, interval: span() },
            "deadline" => policy.verification.deadline = span(),
            "probation" => policy.verification.probation = span(),
            "successes" => policy.verification.successes = number(),
            "attempts" => policy.limits.attempts_per_incident = number(),
            "cool_down" => policy.limits.cool_down = span(),
            "relapses" => policy.limits.relapses = number(),
            "host_per_hour" => policy.limits.host_per_hour = number(),
            "target_reserve" => policy.limits.target_reserve = number(),
            "rollbacks" => policy.limits.rollbacks_per_day = number(),
            "per_minute" => policy.limits.fleet_per_minute = number(),
            "per_hour" => policy.limits.fleet_per_hour = number(),
            "concurrent" => policy.limits.fleet_concurrent = number(),
            "critical_per_day" => policy.limits.critical_per_day = number(),
            "canary" => policy.canary.enabled = value != "off",
            "soak" => (policy.canary.shadow, policy.canary.soak) = (span(), span()),
            "overrides" => policy.governance.overrides_per_hour = number(),
            "capacity" => policy.limits.capacity_percent_per_hour = number(),
            "cold_start" => policy.limits.cold_start = span(),
            "soften" => policy.topology.soften = value != "off",
            "keep" => policy.topology.keep = vec![value.replace('>', " -> ")],
            "shared" => policy.shared_cause.enabled = value != "off",
            "hold" => policy.shared_cause.hold = span(),
            "wait_most" => policy.learning.wait_most = span(),
            "person" => policy.learning.person = span(),
            "explore" => policy.learning.explore = value == "true",
            "optimise" => {
                policy.optimise.automatic = true;
                policy.optimise.hours = (value != "learned").then(|| value.to_owned().try_into().expect("hours"));
            }
            "quiet" => policy.quiet.enabled = value != "off",
            "settle" => policy.optimise.settle = span(),
            "anomaly_shadow" => {
                let promoted = RuleSetting { shadow: Some(value == "true"), ..RuleSetting::default() };
                policy.rules.insert(RuleName::of("anomaly"), promoted);
            }
            "forbid" => policy.forbid_repairs = vec![value.parse().expect("a repair name")],
            "unresponsive" => {
                let off = RuleSetting { enabled: Some(value != "off"), ..RuleSetting::default() };
                policy.rules.insert(RuleName::of("unresponsive"), off);
            }
            other => match other.split('.').collect::<Vec<_>>()[..] {
                ["probes", name] => {
                    policy.probes.insert(kind(name), ProbeSetting { interval: span() });
                }
                ["group", name, key] => group(&mut policy, name, key, value),
                ["window", name] => {
                    let parts: Vec<&str> = value.split(',').collect();
                    let window = Window {
                        scope: parts[0].parse().expect("a scope"),
                        days: Vec::new(),
                        from: parts[1].to_owned().try_into().expect("a time"),
                        until: parts[2].to_owned().try_into().expect("a time"),
                        utc_offset: parts[3].to_owned().try_into().expect("an offset"),
                        why: String::new(),
                    };
                    policy.maintenance.insert(name.parse().expect("a name"), window);
                }
                ["blocker", name] => {
                    let parts: Vec<&str> = value.split(',').collect();
                    let (scope, rule) = (parts[0].parse().expect("a scope"), parts[1].parse().expect("a rule"));
                    let blocker = Blocker { scope, rule, on: parts[2].parse().expect("a scope") };
                    policy.blockers.insert(name.parse().expect("a name"), blocker);
                }
                _ => panic!("no policy key {other:?}"),
            },
        }
    }
    policy
}

fn group(policy: &mut FleetPolicy, name: &str, key: &str, value: &str) {
    let group = policy.groups.entry(name.parse().expect("a group name")).or_default();
    let number = || Some(value.parse().expect("a number"));
    match key {
        "hosts" => group.hosts = value.split(',').map(|it| it.parse().expect("a host name")).collect(),
        "services" => group.services = value.split(',').map(|it| it.parse().expect("a service name")).collect(),
        "labels" => {
            let (label, value) = value.split_once(':').expect("a label");
            group.labels.insert(label.to_owned(), value.to_owned());
        }
        "mode" => group.mode = Some(mode(value)),
        "concurrent" => group.concurrent = number(),
        "minimum" => group.minimum_healthy = number(),
        "quorum" => group.quorum = value == "true",
        other => panic!("no key {other:?} of a group"),
    }
}

pub(crate) fn mode(text: &str) -> Mode {
    *Mode::ALL.iter().find(|it| it.as_str() == text).expect("a mode")
}

pub(crate) fn rule(text: &str) -> CustomRule {
    let (head, when) = text.split_once(" when ").expect("rule NAME … when EXPRESSION");
    let words = Words::of(head);
    let span = |key: &str| words.get(key).map(|it| parse_span(it).expect("a span"));
    CustomRule {
        name: RuleName::new(words.0[0]).expect("a rule name"),
        when: when.to_owned(),
        hold: span("for").unwrap_or_default(),
        severity: Severity::High,
        summary: words.get("summary").unwrap_or_default().replace('_', " "),
        actions: words.list("actions").iter().map(|it| it.parse().expect("a repair")).collect(),
        scope: RuleScope {
            service: words.get("service").map(|it| ServiceName::new(it).expect("a service")),
            target: words.get("target").map(|it| TargetName::new(it).expect("a target")),
            ..RuleScope::default()
        },
        interval: span("interval"),
        shadow: words.has("shadow"),
    }
}

pub(crate) fn kind(probe: &str) -> ProbeKind {
    match probe {
        "conf" => ProbeKind::File,
        "data" => ProbeKind::Directory,
        // Others are named after their kind; any other name is that of an HTTP probe.
        name => ProbeKind::ALL.into_iter().find(|it| it.as_str() == name).unwrap_or(ProbeKind::Http),
    }
}

/// `labels=rack:r1,zone:a`
pub(crate) fn labels(words: &Words<'_>) -> BTreeMap<String, String> {
    let pairs = words.list("labels").into_iter().filter_map(|it| it.split_once(':'));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

pub(crate) fn target(name: &TargetName, words: &Words<'_>) -> TargetReport {
    let probe = |name: &&str| ProbeReport {
        name: ProbeName::new(name).expect("a probe name"),
        kind: kind(name),
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
    };
    let permit = |name: &&str| Permit {
        step: *StepKind::ALL.iter().find(|step| step.as_str() == *name).expect("a step"),
        per_hour: 100,
        approvals: 0,
    };
    let all = vec!["restart_service", "start_service", "clean_directory", "restore_file"];
    let permits = if words.get("permits").is_some() { words.list("permits") } else { all };
    TargetReport {
        name: name.clone(),
        service: words.get("service").map(|it| ServiceName::new(it).expect("a service name")),
        labels: labels(words)
            .into_iter()
            .chain(words.get("group").map(|it| ("group".to_owned(), it.to_owned())))
            .collect(),
        depends_on: words.list("needs").iter().map(|it| it.parse().expect("a dependency")).collect(),
        critical: words.has("critical"),
        probes: words.list("probes").iter().map(probe).collect(),
        permits: permits.iter().filter(|it| **it != "none").map(permit).collect(),
        directories: words
            .list("probes")
            .iter()
            .filter(|it| kind(it) == ProbeKind::Directory)
            .map(|it| DirectoryReport {
                name: PartName::new(it).expect("a part name"),
                path: format!("/{it}"),
                quota_bytes: 1_000,
            })
            .collect(),
        files: words
            .list("probes")
            .iter()
            .filter(|it| kind(it) == ProbeKind::File)
            .map(|it| FileReport {
                name: PartName::new(it).expect("a part name"),
                path: format!("/{it}"),
                known_good: (!words.has("unsaved")).then_some(KNOWN_GOOD),
            })
            .collect(),
        parts: words.list("parts").iter().map(|it| part(it)).collect(),
    }
}

/// `KIND:NAME`, and for some kinds what there is to know: `releases:app:v2:v1:3`, `weight:nice:0:10`, `stray:thief:1`.
fn part(text: &str) -> PartReport {
    let words: Vec<&str> = text.split(':').collect();
    let word = |at: usize| words.get(at).copied().filter(|it| !it.is_empty());
    let name = |at| word(at).map(|it| PartName::new(it).expect("a part name"));
    let kind = *PartKind::ALL.iter().find(|kind| Some(kind.as_str()) == word(0)).expect("a kind of part");
    let number = |at| word(at).map(|it| it.parse::<i64>().expect("a number"));
    let sets = matches!(
        kind,
        PartKind::Cache | PartKind::Weight | PartKind::Sysctl | PartKind::Balancer | PartKind::Instances
    );
    let releases = kind == PartKind::Releases;
    PartReport {
        name: name(1).expect("a part name"),
        kind,
        about: if words[1] == "nice" { "nice value".to_owned() } else { format!("/{}", words[1]) },
        acts: StepKind::ALL.iter().copied().filter(|it| it.spec().part == Some(kind)).collect(),
        risk: Risk::Medium,
        limit: Duration::from_secs(30),
        setting: sets.then(|| Setting { now: number(2), least: -1000, most: 1000, goal: number(3) }),
        current: name(2).filter(|_| releases),
        known_good: name(3).filter(|_| releases),
        spare: match kind {
            PartKind::Releases => number(4),
            PartKind::Stray => number(2),
            _ => None,
        }
        .and_then(|it| u32::try_from(it).ok()),
        undo: name(2).filter(|_| kind == PartKind::Program),
    }
}

pub(crate) fn report(targets: Vec<TargetReport>, series: Vec<prunella_model::observation::SeriesName>) -> HostReport {
    HostReport {
        agent_version: "1".to_owned(),
        boot: BootId("boot-1".to_owned()),
        labels: BTreeMap::new(),
        targets,
        series,
        observations: Vec::new(),
        mark: Generation::default(),
        outcomes: Vec::new(),
        paused: None,
        observe_only: None,
        config: None,
        program: None,
        drift: None,
        intervals: None,
    }
}

/// `1s..5m`.
pub(crate) fn intervals(text: &str) -> IntervalRange {
    let (least, most) = text.split_once("..").expect("least..most");
    IntervalRange { least: parse_span(least).expect("a span"), most: parse_span(most).expect("a span") }
}

pub(crate) fn asked_intervals(host: &HostId, intervals: &[(ProbeKind, Duration)]) -> String {
    let each: Vec<String> = intervals.iter().map(|(kind, it)| format!("{} every {it:?}", kind.as_str())).collect();
    format!("ask {host} to look: {}", if each.is_empty() { "as it will".to_owned() } else { each.join(", ") })
}

/// What a probe found, from the words after its name.
pub(crate) fn finding(kind: ProbeKind, words: &Words<'_>) -> (Status, Finding) {
    let word = words.0.first().copied().unwrap_or("up");
    let instance = || Instance(words.0.get(1).copied().unwrap_or("run-1").into());
    match (kind, word) {
        (_, "unknown") => (Status::Unknown, Finding::ProbeBroken { why: "cannot look".to_owned() }),
        (ProbeKind::Process | ProbeKind::Unit, "running") => {
            (Status::Up, Finding::Running { instance: instance(), pid: 1 })
        }
        (ProbeKind::Process | ProbeKind::Unit, "exited") => (
            Status::Down,
            Finding::Exited {
                instance: instance(),
                code: words.get("code").map(|it| it.parse().expect("a code")),
                signal: words.get("signal").map(|it| it.parse().expect("a signal")),
                ran: words.get("ran").map(|it| parse_span(it).expect("a span")),
            },
        ),
        (ProbeKind::Process | ProbeKind::Unit, "stopped") => (Status::Down, Finding::StoppedOnPurpose),
        (ProbeKind::Process | ProbeKind::Unit, _) => (Status::Down, Finding::NotRunning),
        (ProbeKind::File, "known") => (Status::Up, Finding::FileAsKnown { sha256: KNOWN_GOOD }),
        (ProbeKind::File, "unsaved") => {
            (Status::Unknown, Finding::FileChanged { sha256: Some(KNOWN_GOOD), known_good: None })
        }
        (ProbeKind::File, _) => {
            let good = if words.has("otherwise") { Sha256([0xcc; 32]) } else { KNOWN_GOOD };
            let changed = Finding::FileChanged { sha256: Some(Sha256([0xbb; 32])), known_good: Some(good) };
            (Status::Down, changed)
        }
        (ProbeKind::Directory, percent) => {
            let percent: u64 = percent.parse().expect("a percentage");
            let found = Finding::DirectoryUse { used_bytes: percent * 10, quota_bytes: 1_000 };
            (if percent >= 90 { Status::Down } else { Status::Up }, found)
        }
        (ProbeKind::Log, count) => {
            let count = count.parse().expect("a count");
            let last = if count > 0 { "ERROR: it broke".to_owned() } else { String::new() };
            (if count > 0 { Status::Down } else { Status::Up }, Finding::LinesMatched { count, last })
        }
        (_, "good" | "warning" | "critical") => {
            let level = match word {
                "good" => Level::Good,
                "warning" => Level::Warning,
                _ => Level::Critical,
            };
            let text = words.0.get(1..).unwrap_or_default().join(" ");
            (if level == Level::Critical { Status::Down } else { Status::Up }, Finding::Checked { level, text })
        }
        (_, "up") => (Status::Up, Finding::Answered { latency: Duration::from_millis(1) }),
        (_, "500") => (Status::Down, Finding::BadAnswer { code: Some(500), why: "not 200".to_owned() }),
        (_, _) => (Status::Down, Finding::NoAnswer { waited: Duration::from_secs(1) }),
    }
}

pub(crate) fn outcome(words: &Words<'_>) -> Outcome {
    let rest = || words.0.get(1..).unwrap_or_default().join(" ");
    match words.0.first().copied() {
        Some("failed") => Outcome::Failed { step: 0, why: rest() },
        Some("unknown") => Outcome::Unknown { why: rest() },
        Some("cancelled") => Outcome::Cancelled { done: rest().parse().unwrap_or(0) },
        Some("refused") => Outcome::Refused(match rest().as_str() {
            "PRECONDITION" => Refusal::Precondition { why: "another run".to_owned() },
            "NOT_PERMITTED" => Refusal::NotPermitted {
                step: StepKind::RestartService,
                target: TargetName::new("web").expect("a name"),
            },
            "ALREADY_KNOWN" => Refusal::AlreadyKnown,
            "NO_DELEGATION" => Refusal::NoDelegation { why: "it has expired".to_owned() },
            "EXPIRED" => Refusal::Expired { why: "by 1 s".to_owned() },
            "PAUSED" => Refusal::Paused { why: "maintenance".to_owned() },
            other => panic!("no refusal {other:?}"),
        }),
        _ => Outcome::Done,
    }
}

//! Plays a scenario: a small world around the engine that answers probes as agents do and keeps what is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use prunella_engine::{Decision, Engine, Event, Reply, Request};
use prunella_model::command::Intent;
use prunella_model::host::BY_CHOICE;
use prunella_model::incident::Severity;
use prunella_model::observation::{Frame, Observation, Sample, SeriesName, Sha256, Wait};
use prunella_model::outcome::OutcomeReport;
use prunella_model::policy::{CustomRule, Scope};
use prunella_model::record::{Change, Stored};
use prunella_model::standing::{OrderRun, StandingOrders};
use prunella_model::time::parse_span;
use prunella_model::{
    CommandId, FleetName, HostId, Id, IncidentId, MetricName, OperatorName, ProbeName, RepairName, TargetName,
    TargetRef, Timestamp,
};

use crate::agent::{Agent, full_report, observations};
use crate::lang::{self, Words};
use crate::show::describe;

/// What the lines begin with that say what the engine decided.
pub(crate) const OUTPUT: &str = "    ";

/// How long an agent takes to answer a probe.
const ANSWER: Duration = Duration::from_millis(5);

pub(crate) struct World {
    name: String,
    strict: bool,
    pub(crate) engine: Engine,
    pub(crate) now: Timestamp,
    begun: Timestamp,
    epoch: u64,
    agents: BTreeMap<HostId, Agent>,
    stored: Stored,
    commands: Vec<Intent>,
    answers: BTreeSet<(Timestamp, HostId, Option<TargetName>)>,
    beat: Timestamp,
    out: String,
    policies: u64,
    rules: Vec<CustomRule>,
}

/// Plays a text and returns it with what the engine decided.
pub(crate) fn play(name: &str, text: &str) -> String {
    run(name, text, true)
}

/// Plays a text that was changed, so that it may speak of commands and incidents that do not exist.
pub(crate) fn play_loosely(name: &str, text: &str) {
    run(name, text, false);
}

fn run(name: &str, text: &str, strict: bool) -> String {
    let begun = Timestamp::from_secs(1_000_000);
    let fleet = FleetName::new("test").expect("a name");
    let stored = Stored { policy: Some(lang::policy(&Words::of("standard"), 1)), ..Stored::default() };
    let mut world = World {
        name: name.to_owned(),
        strict,
        engine: Engine::new(fleet, 1, begun, stored.clone()).with_compiler(prunella_expr::compiler()),
        rules: Vec::new(),
        now: begun,
        begun,
        epoch: 1,
        agents: BTreeMap::new(),
        stored,
        commands: Vec::new(),
        answers: BTreeSet::new(),
        beat: begun,
        out: String::new(),
        policies: 1,
    };
    for line in text.lines() {
        if line.starts_with(OUTPUT) {
            continue;
        }
        let _ = writeln!(world.out, "{line}");
        let code = line.split('#').next().unwrap_or_default().trim();
        if !code.is_empty() {
            world.line(code);
        }
    }
    world.out
}

fn host(text: &str) -> HostId {
    HostId::new(text).unwrap_or_else(|why| panic!("{why}"))
}

fn target(text: &str) -> TargetRef {
    let (host_name, target) = text.split_once('/').expect("host/target");
    TargetRef::new(host(host_name), TargetName::new(target).expect("a target name"))
}

impl World {
    fn line(&mut self, code: &str) {
        let (first, rest) = code.split_once(char::is_whitespace).unwrap_or((code, ""));
        let rest = rest.trim();
        let words = Words::of(rest);
        match first {
            _ if first.starts_with('+') => self.pass(parse_span(&first[1..]).expect("a span")),
            "each" => self.each(rest),
            "rhythm" => self.rhythm(&words),
            "policy" => {
                self.policies += 1;
                let mut policy = lang::policy(&words, self.policies);
                policy.custom.clone_from(&self.rules);
                self.step(Event::Policy(Arc::new(policy)));
            }
            "rule" => {
                let rule = lang::rule(rest);
                self.rules.retain(|it| it.name != rule.name);
                self.rules.push(rule);
            }
            "unrule" => self.rules.retain(|it| it.name.as_str() != rest),
            "propose" => {
                self.policies += 1;
                let mut policy = lang::policy(&words, self.policies);
                policy.custom.clone_from(&self.rules);
                self.step(Event::Proposed { policy: Arc::new(policy), by: OperatorName::of("ann") });
            }
            "host" => {
                self.agents.entry(host(rest)).or_default();
            }
            "target" => {
                let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                let it = target(name);
                let report = lang::target(&it.target, &Words::of(rest));
                self.agents.entry(it.host).or_default().targets.insert(it.target, report);
            }
            "connect" => self.connect(&host(words.0[0]), &words),
            "waits" => self.waits(&host(words.0[0]), &words.0[1..]),
            "report" => self.report(&host(words.0[0]), &words),
            "cut" | "bye" => {
                if let Some(agent) = self.agents.get_mut(&host(rest)) {
                    agent.connected = false;
                }
                self.step(Event::Disconnected { host: host(rest), orderly: first == "bye" });
            }
            "deaf" | "undeaf" => {
                if let Some(agent) = self.agents.get_mut(&host(rest)) {
                    agent.deaf = first == "deaf";
                }
            }
            "mute" | "unmute" => {
                if let Some(agent) = self.agents.get_mut(&host(rest)) {
                    agent.mute = first == "mute";
                }
            }
            "outcome" => self.outcome(&words),
            "alone" => self.alone(&words),
            "accepted" => {
                if let Some(intent) = self.commands.last() {
                    let (host, command) = (intent.host.clone(), intent.id);
                    self.step(Event::Accepted { host, command });
                }
            }
            "undelivered" => {
                if let Some(intent) = self.commands.last() {
                    let command = intent.id;
                    self.step(Event::Undelivered { command, why: "the stream is gone".to_owned() });
                }
            }
            "ask" => self.ask(&words),
            "forget" => self.step(Event::Forget { host: host(rest), by: OperatorName::of("ann") }),
            "restart" => self.restart(),
            "show" => self.show(rest),
            _ if words.has("ramp") => self.ramp(first, &words),
            _ => self.seen(first, &words),
        }
    }

    fn each(&mut self, rest: &str) {
        let (range, line) = rest.split_once(' ').expect("each A..B LINE");
        let (from, to) = range.split_once("..").expect("a range");
        let prefix = from.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = |text: &str| text[prefix.len()..].parse::<u32>().expect("a number");
        for i in number(from)..=number(to) {
            self.line(&line.replace("{}", &format!("{prefix}{i}")));
        }
    }

    fn connect(&mut self, id: &HostId, words: &Words<'_>) {
        let now = self.now;
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.connected = true;
        let mut report = full_report(agent, words, now);
        report.paused = words.get("paused").map(str::to_owned);
        let observe_only = words.get("observe_only").map(|why| if why == "choice" { BY_CHOICE } else { why });
        report.observe_only = observe_only.map(str::to_owned);
        report.drift = words.get("drift").map(str::to_owned);
        report.intervals = words.get("intervals").map(lang::intervals);
        if let Some(version) = words.get("version") {
            version.clone_into(&mut report.agent_version);
        }
        self.step(Event::Connected { host: id.clone(), enrolment: 1, report: Box::new(report) });
    }

    /// Says everything that a host's targets wait for: `a>h1/b`.
    fn waits(&mut self, id: &HostId, waits: &[&str]) {
        let wait = |text: &&str| {
            let (waiter, on) = text.split_once('>').expect("waiter>host/target");
            let waiter = TargetName::new(waiter).expect("a target name");
            Wait { waiter, on: target(on), what: "row lock".to_owned() }
        };
        let waits = Some(waits.iter().map(wait).collect());
        let frame = Frame { at: self.now, waits, ..Frame::default() };
        self.step(Event::Frame { host: id.clone(), frame });
    }

    fn report(&mut self, id: &HostId, words: &Words<'_>) {
        let now = self.now;
        let Some(agent) = self.agents.get_mut(id).filter(|it| it.connected) else { return };
        let report = full_report(agent, words, now);
        self.step(Event::Reported { host: id.clone(), report: Box::new(report) });
    }

    pub(crate) fn seen(&mut self, first: &str, words: &Words<'_>) {
        let it = target(first);
        let probe = words.0[0];
        let now = self.now;
        let agent = self.agents.entry(it.host.clone()).or_default();
        let mut frame = Frame { at: now, ..Frame::default() };
        if probe == "sample" {
            let metric = MetricName::new(words.0[1]).expect("a metric");
            let known = agent.series.iter().find(|name| name.target == it.target && name.metric == metric);
            let number = match known {
                Some(name) => name.number,
                None => {
                    let number = u32::try_from(agent.series.len()).expect("few series");
                    let name = SeriesName { number, target: it.target.clone(), metric };
                    agent.series.push(name.clone());
                    frame.series.push(name);
                    number
                }
            };
            frame.samples.push(Sample { series: number, value: words.0[2].parse().expect("a value") });
        } else {
            let name = ProbeName::new(probe).unwrap_or_else(|why| panic!("{why}"));
            let kind = lang::kind(probe);
            let found = lang::finding(kind, &Words(words.0[1..].to_vec()));
            agent.seen.insert((it.target.clone(), name.clone()), found.clone());
            frame.observations.push(Observation {
                target: it.target,
                probe: name,
                kind,
                at: now,
                status: found.0,
                finding: found.1,
            });
        }
        if agent.connected && !agent.mute && !words.has("unsaid") {
            self.step(Event::Frame { host: it.host, frame });
        }
    }

    /// `ramp METRIC FROM TO SPAN EVERY`: samples from one value to another, with some noise that is always the same.
    fn ramp(&mut self, first: &str, words: &Words<'_>) {
        let number = |place: usize| words.0[place].parse::<f64>().expect("a value");
        let span = |place: usize| parse_span(words.0[place]).expect("a span");
        let (from, to, whole, every) = (number(2), number(3), span(4), span(5));
        let count = u32::try_from(whole.as_millis() / every.as_millis()).expect("few samples");
        for i in 1..=count {
            self.pass(every);
            let noise = 0.2 * (f64::from(i) * 37.7).sin();
            let value = from + (to - from) * f64::from(i) / f64::from(count) + noise;
            self.seen(first, &Words::of(&format!("sample {} {value}", words.0[1])));
        }
    }

    fn outcome(&mut self, words: &Words<'_>) {
        let (number, words) = match words.0.first().and_then(|word| word.parse::<usize>().ok()) {
            Some(number) => (number, Words(words.0[1..].to_vec())),
            None => (self.commands.len(), Words(words.0.clone())),
        };
        let Some(intent) = number.checked_sub(1).and_then(|it| self.commands.get(it)) else {
            self.say(&format!("(there is no command {number})"));
            return;
        };
        let outcome = lang::outcome(&words);
        let report = OutcomeReport {
            command: intent.id,
            outcome,
            started_at: Some(self.now),
            ended_at: self.now,
            notes: Vec::new(),
            confirmed_by: None,
            by_order: None,
        };
        self.step(Event::Outcome { host: intent.host.clone(), report });
    }

    /// `alone TARGET NUMBER OUTCOME`: what an agent did by a standing order.
    fn alone(&mut self, words: &Words<'_>) {
        let it = target(words.0[0]);
        let number: u64 = words.0[1].parse().expect("a number");
        let report = OutcomeReport {
            command: CommandId(Id { epoch: 1, counter: (1 << 40) + number }),
            outcome: lang::outcome(&Words(words.0[2..].to_vec())),
            started_at: Some(self.now),
            ended_at: self.now,
            notes: Vec::new(),
            confirmed_by: None,
            by_order: Some(OrderRun { target: it.target, repair: RepairName::of("restart_service") }),
        };
        self.step(Event::Outcome { host: it.host, report });
    }

    fn ask(&mut self, words: &Words<'_>) {
        let by = words.get("by").map_or_else(|| OperatorName::of("ann"), |it| it.parse().expect("a name"));
        let words = &Words(words.0.iter().copied().filter(|word| !word.starts_with("by=")).collect());
        let rest = |from: usize| words.0.get(from..).unwrap_or_default().join(" ");
        let scope = || match words.0.get(1).copied() {
            Some("fleet") | None => Scope::Fleet,
            Some(text) if text.contains("s/") => text.parse().expect("a scope"),
            Some(text) if text.contains('/') => Scope::Target(target(text).host, target(text).target),
            Some(text) => Scope::Host(host(text)),
        };
        let incidents: Vec<IncidentId> = self.engine.incidents().iter().map(|it| it.id).collect();
        let request = match words.0[0] {
            "pause" => {
                let until = words.get("for").map(|it| self.now.after(parse_span(it).expect("a span")));
                Request::Pause { scope: scope(), why: rest(2), until }
            }
            "resume" => Request::Resume { scope: scope() },
            "mode" => {
                let mode = words.0.get(2).filter(|it| **it != "policy").map(|it| lang::mode(it));
                Request::SetMode { scope: scope(), mode, why: "as asked".to_owned() }
            }
            "maintain" => {
                let span = |key| words.get(key).map(|it| parse_span(it).expect("a span"));
                let from = self.now.after(span("in").unwrap_or_default());
                Request::Maintain {
                    name: words.0[1].parse().expect("a name"),
                    scope: words.0[2].parse().expect("a scope"),
                    why: "new disks".to_owned(),
                    from,
                    until: span("for").map(|it| from.after(it)),
                }
            }
            "stop" => Request::StopRollout { why: rest(1) },
            "end" => Request::EndMaintenance { name: words.0[1].parse().expect("a name") },
            "repair" => Request::Repair {
                target: target(words.0[1]),
                repair: words
                    .0
                    .get(2)
                    .filter(|it| !["dry", "chain"].contains(it))
                    .map(|it| it.parse().expect("a repair")),
                why: "as asked".to_owned(),
                dry_run: words.has("dry"),
                chain: words.has("chain"),
            },
            "restore" => Request::Restore {
                target: target(words.0[1]),
                file: words.0[2].parse().expect("a file"),
                snapshot: Sha256([u8::from_str_radix(words.0[3], 16).expect("a byte"); 32]),
                why: "as asked".to_owned(),
                dry_run: words.has("dry"),
            },
            "optimise" => {
                let known = self.engine.opportunities();
                let mut fits = known.iter().filter(|it| words.0.get(1).is_some_and(|kind| *kind == it.kind));
                Request::Optimise {
                    opportunity: fits.next().map_or_else(|| "none".to_owned(), |it| it.id.clone()),
                    why: "as asked".to_owned(),
                    dry_run: words.has("dry"),
                }
            }
            "cancel" => {
                // `cancel 3 WHY` is the third of those that are open.
                let number = words.0.get(1).and_then(|it| it.parse::<usize>().ok());
                let place = number.unwrap_or(1).saturating_sub(1);
                let why = rest(if number.is_some() { 2 } else { 1 });
                Request::Cancel { incident: incidents.get(place).copied().unwrap_or_default(), why }
            }
            "diagnose" => Request::Diagnose { scope: scope() },
            // `report as=ID h1/web WHAT` has a name by which it is known again; a severity may stand before WHAT.
            "report" => {
                let id = words.0[1].strip_prefix("as=");
                let (place, id) = id.map_or((1, ""), |id| (2, id));
                let named = Severity::ALL.into_iter().find(|it| words.0.get(place + 1) == Some(&it.as_str()));
                Request::Report {
                    target: target(words.0[place]),
                    id: id.to_owned(),
                    severity: named.unwrap_or(Severity::High),
                    summary: rest(place + if named.is_some() { 2 } else { 1 }),
                    dry_run: words.has("dry"),
                }
            }
            "withdraw" => Request::Withdraw {
                target: target(words.0[1]),
                id: words.0.get(2).map_or("", |it| *it).to_owned(),
                why: "resolved".to_owned(),
                dry_run: words.has("dry"),
            },
            other => panic!("cannot ask for {other:?}"),
        };
        self.step(Event::Request { token: 1, by, request });
    }

    /// Lets time pass: agents answer and say that they live, timers ring.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now.after(span);
        for _ in 0..200_000 {
            let answer = self.answers.first().map(|it| it.0);
            let next = [answer, self.engine.next_deadline(), Some(self.beat)].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            if answer == Some(next) {
                self.answer();
            } else if self.beat == next {
                self.heartbeats();
            } else {
                self.step(Event::Tick);
            }
        }
        panic!("{}: time does not pass; next deadline {:?}", self.name, self.engine.next_deadline());
    }

    fn heartbeats(&mut self) {
        self.beat = self.now.after(self.engine.policy().heartbeat / 2);
        let alive: Vec<HostId> =
            self.agents.iter().filter(|(_, it)| it.connected && !it.mute).map(|(id, _)| id.clone()).collect();
        for host in alive {
            self.step(Event::Heartbeat { host });
        }
    }

    fn answer(&mut self) {
        let Some((_, host, target)) = self.answers.pop_first() else { return };
        let Some(agent) = self.agents.get(&host).filter(|it| it.connected && !it.mute && !it.deaf) else { return };
        let observations = observations(agent, target.as_ref(), self.now);
        if !observations.is_empty() {
            let frame = Frame { at: self.now, observations, ..Frame::default() };
            self.step(Event::Frame { host, frame });
        }
    }

    fn restart(&mut self) {
        self.epoch += 1;
        let fleet = FleetName::new("test").expect("a name");
        self.engine =
            Engine::new(fleet, self.epoch, self.now, self.stored.clone()).with_compiler(prunella_expr::compiler());
        self.answers.clear();
        for agent in self.agents.values_mut() {
            agent.connected = false;
        }
        let unfinished: Vec<String> = self.engine.commands().iter().map(|it| it.intent.id.to_string()).collect();
        if !unfinished.is_empty() {
            self.say(&format!("unfinished commands: {}", unfinished.join(", ")));
        }
        if !self.strict {
            // Agents come back by themselves.
            let hosts: Vec<HostId> = self.agents.keys().cloned().collect();
            hosts.iter().for_each(|id| self.connect(id, &Words(Vec::new())));
        }
    }

    fn step(&mut self, event: Event) {
        let decisions = self.engine.step(self.now, event);
        for decision in decisions {
            self.take(decision);
        }
        let broken = self.engine.check_invariants();
        assert!(broken.is_empty(), "{} at {:?}: {broken:?}\n{}", self.name, self.now, self.out);
    }

    pub(crate) fn say(&mut self, text: &str) {
        let since = self.now.since(self.begun);
        let _ = writeln!(self.out, "{OUTPUT}{:>9.3} {text}", since.as_secs_f64());
    }

    fn take(&mut self, decision: Decision) {
        match decision {
            Decision::Store(change) => self.store(change),
            Decision::Audit(_) => {}
            Decision::Dispatch { intent, .. } => {
                self.say(&describe(&intent));
                self.commands.push(*intent);
            }
            Decision::Order { orders, .. } => self.ordered(&orders),
            Decision::Cancel { command, .. } => self.say(&format!("cancel {command}")),
            Decision::Probe { host, target } => {
                self.answers.insert((self.now.after(ANSWER), host, target));
            }
            Decision::Intervals { host, intervals } => self.say(&lang::asked_intervals(&host, &intervals)),
            Decision::ReportFully { host } => self.say(&format!("ask {host} to report fully")),
            Decision::Reconnect { host, reason, .. } => self.say(&format!("tell {host} to reconnect: {reason}")),
            Decision::Announce(it) => {
                assert!(it.kind.fields().hold_of(&it), "{}: {it:?} does not set what its kind promises", self.name);
                let subject = match (&it.host, &it.target) {
                    (Some(host), Some(target)) => format!(" {host}/{target}"),
                    (Some(host), None) => format!(" {host}"),
                    (None, _) => String::new(),
                };
                self.say(&format!("{}{subject}: {}", it.kind.as_str(), it.message));
            }
            Decision::Reply { reply, .. } => match reply {
                Reply::Done { message, .. } => self.say(&format!("reply: {message}")),
                Reply::Learned { new, restored, known } => {
                    self.say(&format!("reply: {new} new, {restored} restored, {known} known"));
                }
                Reply::Begun { message, .. } | Reply::Rehearsed { message, .. } => {
                    self.say(&format!("reply: {message}"))
                }
                Reply::NotFound { what } => self.say(&format!("reply: not found: {what}")),
                Reply::Refused { reason, message } => self.say(&format!("reply: {reason}: {message}")),
            },
            Decision::Acknowledge { command, .. } => {
                assert!(command != CommandId::default(), "{}: acknowledged nothing", self.name);
            }
        }
    }

    /// Standing orders are made for nearly every host, so only a scenario about them says so.
    fn ordered(&mut self, orders: &StandingOrders) {
        if self.name.starts_with("standing_orders") {
            let each = orders.orders.iter().map(|it| {
                let steps: Vec<&str> = it.steps.iter().map(|it| it.step.kind().as_str()).collect();
                format!(
                    "{} after {} s: {} at most {} times",
                    it.target,
                    it.held.as_secs(),
                    steps.join(", "),
                    it.runs.len()
                )
            });
            let each: Vec<String> = each.collect();
            let what = if each.is_empty() { "nothing".to_owned() } else { each.join("; ") };
            self.say(&format!("order {}: {what}, for {} s", orders.host, orders.lifetime.as_secs()));
        }
    }

    fn store(&mut self, change: Change) {
        self.stored.apply(change);
    }
}

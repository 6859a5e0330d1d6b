//! A simulated agent: the real ward before simulated hands, a ledger that survives it, and a stream that does not.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use prunella_model::command::{BootId, Challenge, Delivery, Intent, Precondition};
use prunella_model::host::{HostReport, TargetReport};
use prunella_model::observation::{Frame, Instance, Observation, Sample, SeriesName, Status};
use prunella_model::outcome::{Outcome, OutcomeReport, Refusal};
use prunella_model::standing::{OrderRun, StandingOrders};
use prunella_model::step::{Effect, Step};
use prunella_model::{CommandId, HostId, ProbeName, TargetName, Timestamp};
use prunella_ward::seal::{Delegation, Opened};
use prunella_ward::{Facts, Moment, OpenedOrders, Standing, Ward, Watch};

use crate::rng::Rng;
use crate::scenario::{Primitive, Scenario};
use crate::truth::{Active, Names, Probe, Process, Target, measure};

/// How many frames are kept while there is no stream.
const SPOOL_MAX: usize = 64;

/// What an agent says.
#[derive(Debug, Clone)]
pub(crate) enum Up {
    Hello(Box<HostReport>),
    /// The same again within a stream.
    Report(Box<HostReport>),
    Frame(Frame),
    Accepted(CommandId),
    Outcome(OutcomeReport),
}

/// What a server says.
#[derive(Debug, Clone)]
pub(crate) enum Down {
    Command(Box<Opened>),
    Orders(Box<OpenedOrders>),
    Cancel(CommandId),
    Probe(Option<TargetName>),
    Acknowledge(CommandId),
    Report,
    Reconnect,
}

/// What the ledger holds of a command.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) intent: Intent,
    /// Whether the first step may have begun.
    pub(crate) executing: bool,
    pub(crate) report: Option<OutcomeReport>,
    pub(crate) acknowledged: bool,
}

/// A command that is being carried out.
#[derive(Debug, Clone)]
pub(crate) struct Execution {
    pub(crate) command: CommandId,
    pub(crate) step: usize,
    pub(crate) cancelled: bool,
    pub(crate) started: Timestamp,
}

/// One direction of time in a stream: nothing overtakes in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream {
    pub(crate) number: u64,
    pub(crate) up: Timestamp,
    pub(crate) down: Timestamp,
    /// Broken, and nobody has noticed yet.
    pub(crate) dead: bool,
}

/// One host: its agent and what is really the case there.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) id: HostId,
    pub(crate) boot: BootId,
    pub(crate) targets: Vec<Target>,
    pub(crate) reports: Vec<TargetReport>,
    pub(crate) names: Names,
    pub(crate) labels: BTreeMap<String, String>,
    /// What works on the host itself.
    pub(crate) active: Vec<Active>,
    /// When its link or its agent was last in trouble; [`Timestamp::ZERO`] when never.
    pub(crate) troubled: Timestamp,
    /// What was last said of each series in this stream.
    pub(crate) sent: Vec<Option<f64>>,
    /// The host's clock minus the true time, in microseconds.
    pub(crate) skew: i64,
    pub(crate) agent_runs: bool,
    /// Counts starts of the agent, so that what an earlier one meant to do is known as such.
    pub(crate) life: u64,
    pub(crate) cut_until: Timestamp,
    pub(crate) stream: Option<Stream>,
    pub(crate) ward: Ward,
    pub(crate) standing: Standing,
    /// Since when each process that has ended is seen to have, by its index.
    pub(crate) down: BTreeMap<usize, Timestamp>,
    pub(crate) ledger: BTreeMap<CommandId, Entry>,
    pub(crate) executions: Vec<Execution>,
    pub(crate) spool: VecDeque<Frame>,
    /// Whether anything here was ever seen to wait for something else.
    pub(crate) waited: bool,
}

/// What the ward asks of the host.
struct Seen<'a> {
    boot: &'a BootId,
    targets: &'a [Target],
    names: &'a Names,
    ledger: &'a BTreeMap<CommandId, Entry>,
}

/// What standing orders ask of the host.
struct Alone<'a> {
    host: &'a Host,
    now: Timestamp,
}

impl Watch for Alone<'_> {
    fn held(&self, target: &TargetName, _: &ProbeName, status: Status) -> Option<Duration> {
        let index = self.host.targets.iter().position(|it| it.name == *target)?;
        let since = self.host.down.get(&index).filter(|_| status == Status::Down)?;
        Some(self.now.since(*since))
    }

    fn knows(&self, command: CommandId) -> bool {
        self.host.ledger.contains_key(&command)
    }

    fn boot(&self) -> &BootId {
        &self.host.boot
    }
}

impl Facts for Seen<'_> {
    fn boot(&self) -> &BootId {
        self.boot
    }

    fn instance(&self, target: &TargetName) -> Option<Instance> {
        self.targets.iter().find(|it| it.name == *target).map(|it| it.instance.clone())
    }

    fn observed(&self, target: &TargetName, probe: &ProbeName) -> Option<Status> {
        let index = self.names.0.iter().position(|it| it == probe)?;
        let target = self.targets.iter().find(|it| it.name == *target)?;
        target.said.get(index).copied().flatten().map(|(status, _)| status)
    }

    fn knows(&self, command: CommandId) -> bool {
        self.ledger.contains_key(&command)
    }

    fn paused(&self) -> Option<String> {
        None
    }

    fn observe_only(&self) -> Option<String> {
        None
    }
}

impl Host {
    /// The time by this host's clock.
    pub(crate) fn clock(&self, now: Timestamp) -> Timestamp {
        let ahead: i64 = self.active.iter().map(|it| ahead(&it.effect.primitive)).sum();
        let skew = self.skew.saturating_add(ahead);
        let micros = i64::try_from(now.as_micros()).unwrap_or(i64::MAX).saturating_add(skew);
        Timestamp::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    /// Whether nothing gets through to it.
    pub(crate) fn is_cut(&self, now: Timestamp) -> bool {
        now < self.cut_until || self.active.iter().any(|it| it.effect.primitive == Primitive::Cut)
    }

    /// Whether its agent neither says nor does anything.
    pub(crate) fn is_silent(&self) -> bool {
        self.active.iter().any(|it| it.effect.primitive == Primitive::Silence)
    }

    /// Everything there is to say. `serves` tells for each target whether what it needs serves.
    pub(crate) fn report(&mut self, now: Timestamp, served: &[bool], scenario: &Scenario) -> HostReport {
        HostReport {
            agent_version: "simulated".to_owned(),
            boot: self.boot.clone(),
            labels: self.labels.clone(),
            targets: self.reports.clone(),
            series: self.series(scenario),
            observations: self.observations(now, served),
            mark: self.ward.mark(),
            outcomes: self.outcomes(),
            paused: None,
            observe_only: None,
            config: None,
            program: None,
            drift: None,
            intervals: None,
        }
    }

    /// The series: those of each target, then those of the host.
    fn series(&self, scenario: &Scenario) -> Vec<SeriesName> {
        let of = |host: bool, target: &TargetName| {
            let gauges = scenario.gauges.iter().filter(move |it| it.host == host);
            gauges.map(|it| (target.clone(), it.name.clone())).collect::<Vec<_>>()
        };
        let targets = self.targets.iter().flat_map(|it| of(false, &it.name));
        let named = targets.chain(of(true, &TargetName::host())).zip(0..);
        named.map(|((target, metric), number)| SeriesName { number, target, metric }).collect()
    }

    fn observations(&mut self, now: Timestamp, served: &[bool]) -> Vec<Observation> {
        let at = self.clock(now);
        let mut all = Vec::with_capacity(self.targets.len() * Probe::ALL.len());
        for (index, target) in self.targets.iter_mut().enumerate() {
            let served = served.get(index).copied().unwrap_or(true);
            all.extend(Probe::ALL.map(|probe| target.observe(probe, served, now, at, &self.names)));
        }
        all
    }

    /// The measurements that differ from what was said last.
    fn samples(&mut self, now: Timestamp, scenario: &Scenario, noise: u64) -> Vec<Sample> {
        let mut changed = Vec::new();
        let mut chance = Rng::new(noise ^ now.as_micros(), "noise");
        let (targets, sent, active) = (&self.targets, &mut self.sent, &self.active);
        let mut number = 0;
        let mut say = |value: f64| {
            if sent.len() <= number {
                sent.resize(number + 1, None);
            }
            if sent[number].replace(value).is_none_or(|before| before.to_bits() != value.to_bits()) {
                changed.push(Sample { series: u32::try_from(number).unwrap_or(u32::MAX), value });
            }
            number += 1;
        };
        let mut draw = |noisy: bool| if noisy { chance.unit() * 2.0 - 1.0 } else { 0.0 };
        for target in targets {
            for gauge in scenario.gauges.iter().filter(|it| !it.host) {
                let noisy = gauge.noise > 0.0 || !target.active.is_empty();
                say(target.measure(gauge, now, draw(noisy)));
            }
        }
        for gauge in scenario.gauges.iter().filter(|it| it.host) {
            say(measure(gauge, active, now, draw(gauge.noise > 0.0 || !active.is_empty())));
        }
        changed
    }

    /// What every probe says now, and what has changed of what is measured.
    pub(crate) fn frame(&mut self, now: Timestamp, served: &[bool], scenario: &Scenario, noise: u64) -> Frame {
        let at = self.clock(now);
        let observations = self.observations(now, served);
        Frame { at, observations, samples: self.samples(now, scenario, noise), ..Frame::default() }
    }

    /// Outcomes that no server has acknowledged.
    pub(crate) fn outcomes(&self) -> Vec<OutcomeReport> {
        let open = self.ledger.values().filter(|entry| !entry.acknowledged);
        open.filter_map(|entry| entry.report.clone()).collect()
    }

    /// Keeps a frame for later; the oldest makes room.
    pub(crate) fn keep(&mut self, mut frame: Frame) {
        if self.spool.len() == SPOOL_MAX {
            self.spool.pop_front();
        }
        frame.late = true;
        self.spool.push_back(frame);
    }

    /// Lets the ward judge a command, and puts it into the ledger when it accepts.
    ///
    /// # Errors
    /// The ward's refusal.
    pub(crate) fn judge(
        &mut self,
        opened: &Opened,
        delegation: &Delegation,
        now: Timestamp,
        boot: Duration,
    ) -> Result<(), Refusal> {
        let moment = Moment { wall: self.clock(now), boot };
        let seen = Seen { boot: &self.boot, targets: &self.targets, names: &self.names, ledger: &self.ledger };
        // Accepted with a warning about the intent's own expiry is accepted.
        self.ward.judge(opened, delegation, moment, &seen).map(drop)?;
        let intent = opened.intent.clone();
        self.ledger.insert(intent.id, Entry { intent, executing: false, report: None, acknowledged: false });
        Ok(())
    }

    /// Lets the ward judge standing orders, and takes them when it accepts.
    pub(crate) fn take_orders(
        &mut self,
        opened: OpenedOrders,
        delegation: &Delegation,
        now: Timestamp,
        boot: Duration,
    ) {
        let moment = Moment { wall: self.clock(now), boot };
        let seen = Seen { boot: &self.boot, targets: &self.targets, names: &self.names, ledger: &self.ledger };
        if self.ward.judge_orders(&opened, delegation, moment, &seen).is_ok() {
            self.standing.take(opened.orders, boot);
        }
    }

    /// The run of a standing order that is due, judged and in the ledger.
    pub(crate) fn run_due(&mut self, delegation: &Delegation, now: Timestamp, boot: Duration) -> Option<CommandId> {
        for (index, target) in self.targets.iter().enumerate() {
            match target.process {
                Process::Ended { .. } => drop(self.down.entry(index).or_insert(now)),
                Process::Running { .. } | Process::Stopped => drop(self.down.remove(&index)),
            }
        }
        let alone = Alone { host: self, now };
        let (index, intent) = self.standing.due(boot, &alone)?;
        let moment = Moment { wall: self.clock(now), boot };
        let busy = self.executions.iter().any(|it| {
            let under_way = self.ledger.get(&it.command);
            under_way.is_some_and(|it| {
                it.intent.steps.iter().any(|it| intent.steps.iter().any(|own| own.target == it.target))
            })
        });
        let seen = Seen { boot: &self.boot, targets: &self.targets, names: &self.names, ledger: &self.ledger };
        let judged =
            if busy { Err(Refusal::AlreadyKnown) } else { self.ward.judge_run(&intent, delegation, moment, &seen) };
        let id = intent.id;
        if judged.is_ok() {
            self.ledger.insert(id, Entry { intent, executing: false, report: None, acknowledged: false });
        }
        let mut standing = self.standing.clone();
        standing.began(index, boot, &Alone { host: self, now });
        self.standing = standing;
        judged.ok().map(|()| id)
    }

    /// Opens a stream to the server.
    pub(crate) fn open_stream(&mut self, number: u64, now: Timestamp, boot: Duration) {
        self.stream = Some(Stream { number, up: now, down: now, dead: false });
        self.sent.clear();
        self.ward.open_stream(challenge(number), boot);
        self.standing.accompanied();
    }

    /// The stream ended.
    pub(crate) fn close_stream(&mut self, boot: Duration) {
        self.stream = None;
        self.standing.alone(boot);
        self.ward.close_stream();
    }

    /// Notes what became of a command.
    pub(crate) fn conclude(
        &mut self,
        command: CommandId,
        outcome: Outcome,
        started: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<OutcomeReport> {
        let ended_at = self.clock(now);
        let started_at = started.map(|at| self.clock(at));
        let entry = self.ledger.get_mut(&command)?;
        let report = OutcomeReport {
            command,
            outcome,
            started_at,
            ended_at,
            notes: Vec::new(),
            confirmed_by: None,
            by_order: OrderRun::of(&entry.intent),
        };
        entry.report = Some(report.clone());
        Some(report)
    }

    /// The agent starts again and goes through its ledger: what can be repeated is, what cannot is Unknown.
    ///
    /// Returns what it begins again.
    pub(crate) fn recover(&mut self, now: Timestamp) -> Vec<CommandId> {
        let open: Vec<(CommandId, Effect, bool)> = self
            .ledger
            .iter()
            .filter(|(_, entry)| entry.report.is_none())
            .map(|(id, entry)| (*id, entry.intent.effect, entry.executing))
            .collect();
        let mut again = Vec::new();
        for (id, effect, executing) in open {
            let outcome = match (effect, executing) {
                (Effect::Idempotent, _) => {
                    again.push(id);
                    continue;
                }
                (Effect::AtMostOnce, false) => Outcome::Cancelled { done: 0 },
                (Effect::AtMostOnce, true) => Outcome::Unknown { why: "the agent ended while it acted".to_owned() },
            };
            self.conclude(id, outcome, None, now);
        }
        again
    }
}

/// How far ahead a primitive sets a clock, in microseconds.
fn ahead(it: &Primitive) -> i64 {
    match it {
        Primitive::Clock(clock) => i64::try_from(clock.ahead.0.as_micros()).unwrap_or(i64::MAX),
        Primitive::End(_)
        | Primitive::Stop
        | Primitive::Hang
        | Primitive::Lock(_)
        | Primitive::Declare(_)
        | Primitive::Answer(_)
        | Primitive::Slow(_)
        | Primitive::Corrupt
        | Primitive::Fill(_)
        | Primitive::Metric(_)
        | Primitive::Label(_)
        | Primitive::Jam(_)
        | Primitive::Cut
        | Primitive::Silence => 0,
    }
}

/// The challenge of a stream.
pub(crate) fn challenge(stream: u64) -> Challenge {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&stream.to_le_bytes());
    Challenge(bytes)
}

/// A delivery as the server makes it. The intent's bytes are not carried: nothing here is signed.
pub(crate) fn delivery(
    stream: u64,
    sequence: u64,
    issued_after: Duration,
    intent: Intent,
    generation: prunella_model::Generation,
    delegation_version: u64,
) -> Opened {
    let delivery = plain_delivery(stream, sequence, issued_after, generation, delegation_version);
    Opened { delivery, intent, approvals: 0 }
}

/// The same for standing orders.
pub(crate) fn orders_delivery(
    stream: u64,
    sequence: u64,
    issued_after: Duration,
    orders: StandingOrders,
    generation: prunella_model::Generation,
    delegation_version: u64,
) -> OpenedOrders {
    OpenedOrders { delivery: plain_delivery(stream, sequence, issued_after, generation, delegation_version), orders }
}

fn plain_delivery(
    stream: u64,
    sequence: u64,
    issued_after: Duration,
    generation: prunella_model::Generation,
    delegation_version: u64,
) -> Delivery {
    Delivery {
        schema: prunella_model::command::SCHEMA,
        intent: Vec::new(),
        challenge: challenge(stream),
        generation,
        sequence,
        issued_after,
        lifetime: Duration::from_secs(60),
        delegation_version,
    }
}

/// The run that a command means to end.
pub(crate) fn named_run(intent: &Intent, target: &TargetName) -> Option<Instance> {
    intent.preconditions.iter().find_map(|it| match it {
        Precondition::Instance { target: named, instance } if named == target => Some(instance.clone()),
        Precondition::Instance { .. } | Precondition::Boot(_) | Precondition::Observed { .. } => None,
    })
}

/// How long a step takes when nothing goes wrong, the grace for a run that does not react included.
pub(crate) fn duration(step: &Step, hung: bool) -> Duration {
    match step {
        Step::RestartService { grace } | Step::StopService { grace } => {
            Duration::from_millis(120) + if hung { *grace } else { Duration::ZERO }
        }
        Step::StartService => Duration::from_millis(60),
        Step::SignalProcess { .. } => Duration::from_millis(1),
        Step::CleanDirectory { .. } => Duration::from_millis(200),
        Step::RestoreFile { .. } => Duration::from_millis(15),
        Step::Use { .. } => Duration::from_millis(500),
    }
}

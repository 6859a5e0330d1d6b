//! The simulated world: hosts, network, server and the agenda that moves them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prunella_engine::Event;
use prunella_model::command::BootId;
use prunella_model::policy::Scope;
use prunella_model::step::Risk;
use prunella_model::{CommandId, FleetName, Generation, IncidentId, OperatorName, Timestamp};
use prunella_ward::seal::{DOCUMENT_SCHEMA, Delegation, HostScope, Scope as DelegatedScope, SecretKey};
use prunella_ward::{LocalPolicy, Own, Standing, Ward};

use crate::agent::{Down, Host, Up};
use crate::baselines::{Policy, Spells};
use crate::checks::{Checks, Trace};
use crate::faults::{Faults, Spot};
use crate::felt::Felt;
use crate::fleet::{Layout, RACK, RACK_LABEL, SERVICE_INTERVAL};
use crate::judge::Judge;
use crate::options::{Options, Sabotage};
use crate::queue::Queue;
use crate::report::Report;
use crate::rng::Rng;
use crate::scenario::{Effect, Expect};
use crate::server::Server;
use crate::truth::{Place, Probe};
use prunella_replay::Recording;

/// The time at which every simulation begins, in seconds since the Unix epoch.
pub(crate) const BEGIN: Timestamp = Timestamp::from_secs(1_800_000_000);

/// How often a new delegation is made; each is good for twice as long.
const DELEGATION_EVERY: u64 = 6 * 3600;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Item {
    /// An agent says everything that its probes say.
    Beat(usize),
    /// An agent looks through one probe and says what is new.
    Look(Place, Probe),
    /// A message reaches the server.
    ToServer { host: usize, stream: u64, up: Box<Up> },
    /// A message reaches an agent.
    ToAgent { host: usize, stream: u64, down: Down },
    /// A server notices that a stream has ended.
    ServerNotices { host: usize, stream: u64 },
    /// An agent notices that its stream has ended.
    AgentNotices { host: usize, stream: u64 },
    /// An agent tries to reach the server.
    Connect { host: usize, life: u64 },
    /// A step of a command is through.
    Step { host: usize, life: u64, command: CommandId },
    /// An agent starts again.
    AgentStarts(usize),
    /// A process ends by itself.
    Exits { place: Place, run: u32, code: Option<i32>, signal: Option<i32> },
    /// A primitive of a fault begins to work.
    Begins { fault: usize, effect: Arc<Effect>, spot: Spot },
    /// It goes away by itself.
    Passes { fault: usize, effect: Arc<Effect>, spot: Spot },
    /// Users call somebody about a fault.
    Called { fault: usize },
    /// A baseline looks at a host.
    Poll(usize),
    /// A baseline's restart is through.
    Hands(Place),
    /// A person mends what was handed over, or what users called about.
    Person { spot: Spot, incident: Option<IncidentId> },
    /// The next fault.
    Fault,
    /// The next trouble of the control plane itself.
    Trouble,
    /// The next pause.
    Pause,
    /// The server is back.
    ServerStarts,
    /// A commit is on disk.
    Committed { life: u64 },
    /// A deadline of the engine.
    Tick { life: u64, at: Timestamp },
    /// The engine learns something of the server itself.
    Tell { life: u64, event: Box<Event> },
}

/// Everything.
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) queue: Queue<Item>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) server: Server,
    pub(crate) options: Options,
    pub(crate) checks: Checks,
    pub(crate) trace: Trace,
    pub(crate) report: Report,
    pub(crate) net: Rng,
    /// What faults are drawn from, and nothing else.
    pub(crate) chance: Rng,
    pub(crate) havoc: Rng,
    pub(crate) hands: Rng,
    pub(crate) streams: u64,
    pub(crate) operator: OperatorName,
    key: SecretKey,
    /// Pauses that were confirmed, with their ends.
    pub(crate) pauses: Vec<(Scope, Timestamp, Timestamp)>,
    pub(crate) asked: Vec<(u64, Scope, Timestamp)>,
    pub(crate) faults: Faults,
    pub(crate) judge: Judge,
    pub(crate) felt: Felt,
    pub(crate) recording: Option<Recording>,
    /// What repairs in the engine's place.
    pub(crate) baseline: Option<Box<dyn Policy>>,
    pub(crate) spells: Spells,
}

impl World {
    /// A fleet at rest, before anything has started. Null when names are none, which no number of hosts leads to.
    pub(crate) fn new(options: &Options) -> Option<Self> {
        Self::with(options, None)
    }

    /// The same, repaired by a baseline instead of the engine if one is given.
    pub(crate) fn with(options: &Options, baseline: Option<Box<dyn Policy>>) -> Option<Self> {
        let now = BEGIN;
        let fleet = FleetName::new("sim").ok()?;
        let hosts = usize::try_from(options.hosts).ok()?;
        let layout = Layout::new(hosts, now)?;
        let mut hands = Rng::new(options.seed, "hands");
        let mut all = Vec::new();
        let each = layout.hosts.iter().zip(layout.targets.into_iter().zip(layout.reports));
        for (number, (id, (targets, reports))) in each.enumerate() {
            let own = Own { fleet: fleet.clone(), host: id.clone(), enrolment: 1 };
            let policy = LocalPolicy::of_targets(&reports, false, 60);
            // Most clocks are good, some are off by up to two minutes.
            let reach = if hands.chance(0.1) { 120_000_000 } else { 20_000 };
            let skew = i64::try_from(hands.below(2 * reach)).unwrap_or(0) - i64::try_from(reach).unwrap_or(0);
            all.push(Host {
                id: id.clone(),
                boot: BootId("boot-1".to_owned()),
                targets,
                reports,
                names: layout.probes.clone(),
                labels: BTreeMap::from([(RACK_LABEL.to_owned(), format!("r{:04}", number / RACK))]),
                active: Vec::new(),
                troubled: Timestamp::ZERO,
                sent: Vec::new(),
                skew,
                agent_runs: true,
                life: 1,
                cut_until: Timestamp::ZERO,
                stream: None,
                ward: Ward::new(own, policy, Generation::default()),
                standing: Standing::new(Duration::ZERO),
                down: BTreeMap::new(),
                ledger: BTreeMap::new(),
                executions: Vec::new(),
                spool: std::collections::VecDeque::new(),
                waited: false,
            });
        }
        let felt = Felt::new(all.iter().map(|it: &Host| it.targets.len()), now.after(options.span() / 2));
        let server = Server::new(fleet, hosts, options.policy.clone());
        let mut world = Self {
            now,
            queue: Queue::new(),
            hosts: all,
            server,
            options: options.clone(),
            checks: Checks::default(),
            trace: Trace::new(),
            report: Report::new(options),
            net: Rng::new(options.seed, "net"),
            chance: Rng::new(options.seed, "faults"),
            havoc: Rng::new(options.seed, "havoc"),
            hands,
            streams: 0,
            operator: OperatorName::new("simulated").ok()?,
            key: SecretKey::from_entropy(&[7; 32]),
            pauses: Vec::new(),
            asked: Vec::new(),
            faults: Faults::default(),
            judge: Judge::default(),
            felt,
            recording: None,
            baseline,
            spells: Spells::default(),
        };
        world.set_off();
        Some(world)
    }

    fn set_off(&mut self) {
        if self.options.faults_per_host_day > 0.0 {
            self.plan_fault();
        }
        if self.baseline.is_some() {
            for host in 0..self.hosts.len() {
                let at = self.now.after(self.hands.between(Duration::ZERO, SERVICE_INTERVAL));
                self.queue.push(at, Item::Poll(host));
            }
            return;
        }
        self.start_server();
        for host in 0..self.hosts.len() {
            let life = self.hosts[host].life;
            let at = self.now.after(self.net.between(Duration::from_millis(10), Duration::from_secs(5)));
            self.queue.push(at, Item::Connect { host, life });
            let beat = self.now.after(self.hands.between(Duration::ZERO, self.beat()));
            self.queue.push(beat, Item::Beat(host));
        }
        if self.options.trouble {
            self.plan_trouble();
            self.plan_pause();
        }
    }

    /// From now on, until the server ends, everything that goes into the engine is kept.
    pub(crate) fn record(&mut self) {
        let (fleet, epoch) = (self.server.fleet.clone(), self.server.committed.epoch);
        let stored = self.server.committed.stored();
        self.recording = Some(Recording { fleet, epoch, at: self.now, stored, events: Vec::new() });
    }

    /// Whether this defect is built in.
    pub(crate) fn has(&self, sabotage: Sabotage) -> bool {
        self.options.sabotage == Some(sabotage)
    }

    /// How often an agent says everything: well within what counts as silence, and within a minute.
    pub(crate) fn beat(&self) -> Duration {
        (self.options.policy.heartbeat * 2 / 5).min(Duration::from_secs(60))
    }

    /// The time since everything began: the boot clock of every host.
    pub(crate) fn boot_clock(&self) -> Duration {
        self.now.since(BEGIN)
    }

    /// The delegation in force.
    pub(crate) fn delegation(&self) -> Delegation {
        let version = self.boot_clock().as_secs() / DELEGATION_EVERY + 1;
        let from = BEGIN.after(Duration::from_secs((version - 1) * DELEGATION_EVERY));
        Delegation {
            schema: DOCUMENT_SCHEMA,
            fleet: self.server.fleet.clone(),
            version,
            key: self.key.public(),
            not_before: from,
            not_after: from.after(Duration::from_secs(2 * DELEGATION_EVERY)),
            scope: DelegatedScope { max_risk: Risk::High, hosts: HostScope::All, per_hour: 60, steps: None },
        }
    }

    /// Runs until the end, and says how it went.
    pub(crate) fn run(mut self) -> (Report, Option<Recording>) {
        let end = BEGIN.after(self.options.span());
        while let Some((at, item)) = self.queue.pop() {
            if at > end {
                break;
            }
            self.now = self.now.max(at);
            self.report.events += 1;
            self.happen(item);
        }
        self.now = end;
        self.finish()
    }

    fn happen(&mut self, item: Item) {
        match item {
            Item::Beat(host) => self.beats(host),
            Item::Look(place, probe) => self.looks(place, probe),
            Item::ToServer { host, stream, up } => self.server_hears(host, stream, *up),
            Item::ToAgent { host, stream, down } => self.agent_hears(host, stream, down),
            Item::ServerNotices { host, stream } => self.server_notices(host, stream),
            Item::AgentNotices { host, stream } => self.agent_notices(host, stream),
            Item::Connect { host, life } => self.connect(host, life),
            Item::Step { host, life, command } => self.step_ends(host, life, command),
            Item::AgentStarts(host) => self.agent_starts(host),
            Item::Exits { place, run, code, signal } => self.exits(place, run, code, signal),
            Item::Begins { fault, effect, spot } => self.begins(fault, &effect, spot),
            Item::Passes { fault, effect, spot } => self.passes(fault, &effect, spot),
            Item::Poll(host) => self.polls(host),
            Item::Hands(place) => self.hands(place),
            Item::Called { fault } => self.called(fault),
            Item::Person { spot, incident } => self.person(spot, incident),
            Item::Fault => self.next_fault(),
            Item::Trouble => self.next_trouble(),
            Item::Pause => self.next_pause(),
            Item::ServerStarts => self.start_server(),
            Item::Committed { life } => self.commit_done(life),
            Item::Tick { life, at } => self.tick(life, at),
            Item::Tell { life, event } => {
                if life == self.server.life {
                    self.step(*event);
                }
            }
        }
    }

    fn finish(mut self) -> (Report, Option<Recording>) {
        self.last_checks();
        self.report.commands = self.checks.commands();
        self.feel_all();
        (self.report.tally.downtime, self.report.tally.learned_downtime) =
            (self.felt.before + self.felt.after, self.felt.after);
        let scenario = Arc::clone(&self.options.scenario);
        for (kind, seconds) in &self.felt.by_kind {
            self.report.felt(&scenario.kinds[*kind], *seconds);
        }
        self.report.close(&self.checks, &self.trace, &self.judge);
        (self.report, self.recording)
    }

    fn last_checks(&mut self) {
        let now = self.now;
        for (id, record) in &self.server.committed.commands {
            let slack = Duration::from_secs(300);
            if record.report.is_none() && record.deadline.after(slack) < now && self.server.engine.is_some() {
                let what = format!("command {id} has no outcome {:?} after its deadline", now.since(record.deadline));
                self.checks.violated(now, "every_command_ends", what);
            }
        }
        for fault in self.faults.open.clone() {
            self.known_already(fault);
        }
        let scenario = Arc::clone(&self.options.scenario);
        for fault in &self.faults.all {
            let kind = &scenario.kinds[fault.kind];
            self.report.judged(kind, fault, now);
            let unnoticed = fault.judged.detected.is_none() && fault.ended.is_none();
            // Nobody can be told of what happens where nobody can look.
            let reached = fault.spots.iter().all(|spot| {
                let (Spot::Host(host) | Spot::Target((host, _))) = spot;
                now.since(self.hosts[*host].troubled) > kind.patience
            });
            if unnoticed && kind.expect == Expect::Incident && now.since(fault.since) > kind.patience && reached {
                self.report.missed += 1;
            }
        }
    }
}

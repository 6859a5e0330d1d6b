//! A simulated server: the real engine, a store that keeps what was committed, and sessions.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use prunella_engine::{Decision, Engine};
use prunella_model::diagnostics::DiagnosticsReport;
use prunella_model::incident::Incident;
use prunella_model::knowledge::{KnowledgeRecord, PatternRecord, WishRecord};
use prunella_model::policy::{FleetPolicy, Scope};
use prunella_model::record::{
    Change, CommandRecord, HostRecord, MaintenanceRecord, ModeRecord, PauseRecord, RolloutRecord, Stored,
};
use prunella_model::{CommandId, FleetName, HostId, IncidentId, MaintenanceName, RepairName, TargetRef, Timestamp};

/// The records that survive the server.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    pub(crate) epoch: u64,
    pub(crate) incidents: BTreeMap<IncidentId, Incident>,
    pub(crate) commands: BTreeMap<CommandId, CommandRecord>,
    pub(crate) knowledge: BTreeMap<(Option<FleetName>, String, RepairName), KnowledgeRecord>,
    pub(crate) patterns: BTreeMap<(Option<FleetName>, String), PatternRecord>,
    pub(crate) wishes: BTreeMap<(TargetRef, RepairName), WishRecord>,
    pub(crate) hosts: BTreeMap<HostId, HostRecord>,
    pub(crate) pauses: BTreeMap<Scope, PauseRecord>,
    pub(crate) modes: BTreeMap<Scope, ModeRecord>,
    pub(crate) maintenances: BTreeMap<MaintenanceName, MaintenanceRecord>,
    pub(crate) rollout: Option<RolloutRecord>,
    pub(crate) policy: Option<FleetPolicy>,
    pub(crate) diagnostics: BTreeMap<prunella_model::Id, DiagnosticsReport>,
    /// Commands that were committed and have no outcome.
    pub(crate) under_way: usize,
}

impl Committed {
    pub(crate) fn stored(&self) -> Stored {
        Stored {
            incidents: self.incidents.values().cloned().collect(),
            commands: self.commands.values().cloned().collect(),
            knowledge: self.knowledge.values().cloned().collect(),
            patterns: self.patterns.values().cloned().collect(),
            wishes: self.wishes.values().cloned().collect(),
            hosts: self.hosts.values().cloned().collect(),
            pauses: self.pauses.values().cloned().collect(),
            modes: self.modes.values().cloned().collect(),
            maintenances: self.maintenances.values().cloned().collect(),
            rollout: self.rollout.clone(),
            policy: self.policy.clone(),
            diagnostics: self.diagnostics.values().cloned().collect(),
        }
    }

    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::PutIncident(it) => drop(self.incidents.insert(it.id, Incident::clone(it))),
            Change::CloseIncident(it) => drop(self.incidents.remove(&it.id)),
            Change::PutCommand(it) => {
                let before = self.commands.insert(it.intent.id, CommandRecord::clone(it));
                self.under_way -= usize::from(before.is_some_and(|it| it.report.is_none()));
                self.under_way += usize::from(it.report.is_none());
            }
            Change::DropCommand(id) => {
                let before = self.commands.remove(id);
                self.under_way -= usize::from(before.is_some_and(|it| it.report.is_none()));
            }
            Change::PutKnowledge(it) => {
                let key = (it.source.clone(), it.fingerprint.0.clone(), it.repair.clone());
                drop(self.knowledge.insert(key, KnowledgeRecord::clone(it)));
            }
            Change::PutPattern(it) => {
                let key = (it.source.clone(), it.fingerprint.0.clone());
                drop(self.patterns.insert(key, PatternRecord::clone(it)));
            }
            Change::PutWish(it) => {
                drop(self.wishes.insert((it.target.clone(), it.repair.clone()), WishRecord::clone(it)));
            }
            Change::PutHost(it) => drop(self.hosts.insert(it.host.clone(), HostRecord::clone(it))),
            Change::DropHost(host) => drop(self.hosts.remove(host)),
            Change::PutPause(it) => drop(self.pauses.insert(it.scope.clone(), it.clone())),
            Change::DropPause(scope) => drop(self.pauses.remove(scope)),
            Change::PutMode(it) => drop(self.modes.insert(it.scope.clone(), it.clone())),
            Change::DropMode(scope) => drop(self.modes.remove(scope)),
            Change::PutMaintenance(it) => drop(self.maintenances.insert(it.name.clone(), it.clone())),
            Change::DropMaintenance(name) => drop(self.maintenances.remove(name)),
            Change::PutRollout(it) => self.rollout = Some(RolloutRecord::clone(it)),
            Change::DropRollout => self.rollout = None,
            Change::PutDiagnostics(it) => drop(self.diagnostics.insert(it.id, DiagnosticsReport::clone(it))),
            Change::DropDiagnostics(id) => drop(self.diagnostics.remove(id)),
            Change::PutPolicy(it) => self.policy = Some(FleetPolicy::clone(it)),
        }
    }
}

/// One step's decisions on their way to the disk.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) changes: Vec<Change>,
    pub(crate) effects: Vec<Decision>,
}

/// A stream as the server sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    pub(crate) stream: u64,
    pub(crate) since: Timestamp,
    pub(crate) sequence: u64,
}

/// When the server ends without warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doom {
    /// Not now.
    None,
    /// Right after a commit is on disk, with only so many of its effects released.
    AfterCommit(usize),
}

/// The server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) fleet: FleetName,
    pub(crate) engine: Option<Engine>,
    pub(crate) committed: Committed,
    pub(crate) pending: VecDeque<Commit>,
    pub(crate) last_commit: Timestamp,
    pub(crate) sessions: Vec<Option<Session>>,
    pub(crate) tick: Option<Timestamp>,
    pub(crate) doom: Doom,
    /// Counts starts, so that what belongs to an earlier one is known as such.
    pub(crate) life: u64,
}

impl Server {
    pub(crate) fn new(fleet: FleetName, hosts: usize, policy: FleetPolicy) -> Self {
        let committed = Committed { policy: Some(policy), ..Committed::default() };
        Self {
            fleet,
            engine: None,
            committed,
            pending: VecDeque::new(),
            last_commit: Timestamp::ZERO,
            sessions: vec![None; hosts],
            tick: None,
            doom: Doom::None,
            life: 0,
        }
    }

    /// Starts an engine from what was committed, in an epoch that was never used.
    pub(crate) fn start(&mut self, now: Timestamp, same_epoch: bool) -> &Engine {
        self.life += 1;
        if !same_epoch || self.committed.epoch == 0 {
            self.committed.epoch = (self.committed.epoch + 1).max(now.as_secs());
        }
        self.doom = Doom::None;
        self.tick = None;
        let engine = Engine::new(self.fleet.clone(), self.committed.epoch, now, self.committed.stored())
            .with_compiler(prunella_expr::compiler());
        self.engine.insert(engine)
    }

    /// Ends without warning: of what is on its way to the disk, the first `persisted` commits got there.
    pub(crate) fn kill(&mut self, persisted: usize) -> Vec<Commit> {
        self.engine = None;
        self.sessions.iter_mut().for_each(|session| *session = None);
        self.tick = None;
        self.pending.drain(..).take(persisted).collect()
    }

    /// Commands of a host that were committed and are not known to have reached it.
    pub(crate) fn unsent(&self, host: &HostId) -> Vec<CommandRecord> {
        let Some(engine) = &self.engine else { return Vec::new() };
        let waiting = engine.commands().into_iter().filter(|it| it.intent.host == *host);
        waiting.filter(|it| it.report.is_none() && !it.accepted && !it.cancelled).cloned().collect()
    }
}

/// How long a commit takes: usually some hundred microseconds, sometimes a disk stalls.
pub(crate) fn commit_time(rng: &mut crate::rng::Rng) -> Duration {
    if rng.chance(0.002) {
        rng.between(Duration::from_millis(50), Duration::from_millis(1_500))
    } else {
        rng.between(Duration::from_micros(150), Duration::from_millis(1))
    }
}

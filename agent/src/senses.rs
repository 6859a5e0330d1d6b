//! Everything that the agent sees of its host: probes and services, running as tasks of the current runtime.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prunella_model::host::TargetReport;
use prunella_model::observation::{Instance, Observation, ProbeKind, SeriesName, Status};
use prunella_model::snapshot::SnapshotKind;
use prunella_model::{PartName, ProbeName, TargetName};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::board::Board;
use crate::config::{AgentConfig, Subject};
use crate::parts::Parts;
use crate::probes::{self, Orders};
use crate::services::Services;
use crate::snapshot::{SnapshotError, Snapshots};

pub use crate::board::Sensed;

/// Everything that is known at one moment, for a full report.
#[derive(Debug, Clone, PartialEq)]
pub struct Full {
    /// Every series, numbered from 0. The numbers stay the same for as long as the agent runs.
    pub series: Vec<SeriesName>,
    /// The latest verdict of every probe that has one.
    pub observations: Vec<Observation>,
    /// Every target, the host itself first, with the known-good digests of its files.
    pub targets: Vec<TargetReport>,
}

/// The running senses. Cheap to clone; they end with [`Senses::close`] or with the runtime.
#[derive(Clone)]
pub struct Senses {
    config: Arc<AgentConfig>,
    board: Arc<Board>,
    services: Arc<Services>,
    snapshots: Arc<Snapshots>,
    parts: Arc<Parts>,
    orders: Arc<[ProbeOrders]>,
    part: Part,
    /// How often the fleet has probes of these kinds look, within this host's bounds.
    intervals: Arc<Mutex<BTreeMap<ProbeKind, Duration>>>,
    tasks: Arc<[JoinHandle<()>]>,
}

struct ProbeOrders {
    target: TargetName,
    probe: ProbeName,
    orders: Arc<Orders>,
    /// What it looks at, and how often it does by agent.toml; none when it looks in the other half of the agent.
    own: Option<(ProbeKind, Duration)>,
}

impl ProbeOrders {
    const fn foreign(&self) -> bool {
        self.own.is_none()
    }
}

/// Which half of the agent these senses belong to.
#[derive(Debug, Clone)]
pub enum Part {
    /// Both: one process is the whole agent.
    Whole,
    /// The one with the network and without privilege: see
    /// [`Subject::needs_helper`](crate::config::Subject::needs_helper).
    Network,
    /// The one with the privilege and without a network. Bursts of the other half's probes are asked for by the sender.
    Helper(mpsc::Sender<BurstWanted>),
}

impl Part {
    /// Whether this half looks at such a thing itself.
    #[must_use]
    pub(crate) fn looks(&self, subject: &Subject) -> bool {
        match self {
            Self::Whole => true,
            Self::Network => !subject.needs_helper(),
            Self::Helper(_) => subject.needs_helper(),
        }
    }
}

/// A burst that the other half shall make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BurstWanted {
    /// The probes.
    pub named: Vec<(TargetName, ProbeName)>,
    /// For at most so long.
    pub lasting: Duration,
}

/// What a target's precondition may ask.
#[derive(Clone)]
pub struct Facts {
    board: Arc<Board>,
    services: Arc<Services>,
}

impl Facts {
    /// The target's latest run, alive or ended; none when no run of it is known.
    #[must_use]
    pub fn instance(&self, target: &TargetName) -> Option<Instance> {
        self.services.instance(target)
    }

    /// For how long a probe has said this at every look; none when it does not, or its target was stopped on purpose.
    #[must_use]
    pub fn held(&self, target: &TargetName, probe: &ProbeName, status: Status) -> Option<Duration> {
        self.board.held(target, probe, status)
    }

    /// The latest verdict of a probe; none when it has not looked, or does not exist.
    #[must_use]
    pub fn status(&self, target: &TargetName, probe: &ProbeName) -> Option<Status> {
        self.board.status(target, probe)
    }
}

/// A burst of looks that is under way. Dropping it does not end the burst.
#[must_use = "a burst goes on by itself, but its first good answer is lost"]
pub struct Burst(mpsc::Receiver<(TargetName, ProbeName)>);

impl Burst {
    /// The first probe that found its target Up; none when the burst ended without.
    pub async fn first_up(mut self) -> Option<(TargetName, ProbeName)> {
        self.0.recv().await
    }
}

impl Senses {
    /// Adopts services that run already, starts those that shall start with the agent, and begins to look.
    /// What is seen goes to `to`.
    ///
    /// Must be called in a tokio runtime.
    ///
    /// # Errors
    /// [`SnapshotError`] when the state directory cannot be used.
    pub async fn start(config: Arc<AgentConfig>, to: mpsc::Sender<Sensed>) -> Result<Self, SnapshotError> {
        Self::start_part(config, to, Part::Whole).await
    }

    /// The same for one half of the agent.
    ///
    /// # Errors
    /// Those of [`Senses::start`].
    pub async fn start_part(
        config: Arc<AgentConfig>,
        to: mpsc::Sender<Sensed>,
        part: Part,
    ) -> Result<Self, SnapshotError> {
        let board = Board::new(to);
        let snapshots = Arc::new(Snapshots::open(&config.state_dir.join("snapshots"))?);
        let mut set = probes::Set::new(&config, &board, &snapshots, &part);
        let services = Arc::new(match &part {
            Part::Whole | Part::Helper(_) => Services::new(&config, &board, &set.process_slots),
            Part::Network => Services::none(),
        });
        services.begin().await;
        let mut tasks = vec![tokio::spawn(Arc::clone(&board).send_measurements())];
        let mut orders = Vec::new();
        for probe in set.take() {
            let (target, name) = (probe.target.clone(), probe.name.clone());
            let own = Some((probe.looks_at, probe.interval));
            let it = ProbeOrders { target, probe: name, orders: Arc::default(), own };
            tasks.push(tokio::spawn(probes::watch(
                probe,
                Arc::clone(&board),
                Arc::clone(&services),
                Arc::clone(&it.orders),
            )));
            orders.push(it);
        }
        orders.extend(std::mem::take(&mut set.foreign).into_iter().map(|(target, probe)| ProbeOrders {
            target,
            probe,
            orders: Arc::default(),
            own: None,
        }));
        let orders_of = |target: &TargetName, name: &ProbeName| {
            orders.iter().find(|it| it.target == *target && it.probe == *name).map(|it| Arc::clone(&it.orders))
        };
        tasks.extend(probes::events::begin(std::mem::take(&mut set.events), orders_of));
        let parts = Parts::new(&config, &services, &snapshots, &board);
        match &part {
            Part::Whole | Part::Helper(_) => {
                tasks.extend(probes::file::begin(&config, &board, &snapshots, orders_of));
                // Before the first report, which must not say less than is known.
                parts.look_at_all().await;
                tasks.push(tokio::spawn(Arc::clone(&parts).watch()));
                if let Some(every) = config.snapshot_every {
                    tasks.push(tokio::spawn(take_snapshots(Arc::clone(&config), Arc::clone(&snapshots), every)));
                }
                let outputs = crate::services::outputs(&config);
                if !outputs.is_empty() {
                    tasks.push(tokio::spawn(crate::bounded::watch(outputs)));
                }
            }
            Part::Network => {}
        }
        let (orders, tasks) = (orders.into(), tasks.into());
        let intervals = Arc::default();
        Ok(Self { config, board, services, snapshots, parts, orders, part, intervals, tasks })
    }

    /// How many numbers of series are taken, or kept for what probes have yet to find out. Asked once, at the start.
    #[must_use]
    pub(crate) fn series_room(&self) -> usize {
        self.board.series_room()
    }

    /// Everything that is known now. The value of every series is sent again after it.
    #[must_use]
    pub fn full(&self) -> Full {
        let (series, observations) = self.board.everything();
        let known_good = |target: &TargetName, file: &PartName| self.snapshots.known_good(target, file);
        let mut targets = self.config.reports(known_good, |target, kind, part| self.parts.state(target, kind, part));
        let intervals = self.intervals.lock().unwrap_or_else(PoisonError::into_inner);
        for probe in targets.iter_mut().flat_map(|it| &mut it.probes) {
            probe.interval = intervals.get(&probe.kind).copied().unwrap_or(probe.interval);
        }
        drop(intervals);
        Full { series, observations, targets }
    }

    /// What preconditions may ask.
    #[must_use]
    pub fn facts(&self) -> Facts {
        Facts { board: Arc::clone(&self.board), services: Arc::clone(&self.services) }
    }

    /// Makes all probes of `target` look now and say what they see; all probes when it is none.
    pub fn probe_now(&self, target: Option<&TargetName>) {
        for it in self.orders.iter().filter(|it| target.is_none_or(|target| it.target == *target)) {
            it.orders.look_now();
        }
    }

    /// Has probes look as often as the fleet wants, within the bounds of agent.toml; without bounds nothing changes. A kind
    /// that is not named looks as agent.toml says. Says whether [`Senses::full`] would say something else than before.
    pub fn set_intervals(&self, wanted: &[(ProbeKind, Duration)]) -> bool {
        let Some(bounds) = self.config.limits.intervals else { return false };
        let wanted: BTreeMap<ProbeKind, Duration> =
            wanted.iter().map(|(kind, it)| (*kind, bounds.bring(*it))).collect();
        let mut intervals = self.intervals.lock().unwrap_or_else(PoisonError::into_inner);
        if *intervals == wanted {
            return false;
        }
        for it in self.orders.iter() {
            if let Some((kind, interval)) = it.own {
                it.orders.interval(wanted.get(&kind).copied().unwrap_or(interval));
            }
        }
        tracing::info!(target: "prunella::probes", intervals = ?wanted, "the fleet says how often probes look");
        *intervals = wanted;
        true
    }

    /// Makes the named probes look every few milliseconds until they have found their target Up, for at most `lasting`.
    pub fn burst(&self, named: &[(TargetName, ProbeName)], lasting: Duration) -> Burst {
        let (up, first_up) = mpsc::channel(1);
        let wanted = |it: &&ProbeOrders| named.iter().any(|(target, probe)| it.target == *target && it.probe == *probe);
        for it in self.orders.iter().filter(wanted) {
            it.orders.burst(lasting, up.clone());
        }
        if let Part::Helper(ask) = &self.part
            && self.orders.iter().filter(wanted).any(ProbeOrders::foreign)
        {
            // Without the other half there is no answer, and the burst ends by its time.
            let _ = ask.try_send(BurstWanted { named: named.to_vec(), lasting });
        }
        Burst(first_up)
    }

    /// Takes what a probe of the other half saw. It is believed no further than that half is.
    pub fn see_foreign(&self, seen: Observation) {
        let its = |it: &&ProbeOrders| it.foreign() && it.target == seen.target && it.probe == seen.probe;
        let up = seen.status == Status::Up;
        if let (true, Some(it)) = (up, self.orders.iter().find(its)) {
            it.orders.foreign_up(&it.target, &it.probe);
        }
        self.board.see_foreign(seen);
    }

    /// The services, for carrying steps out.
    pub(crate) fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// The declared parts, for carrying steps out.
    pub(crate) fn parts(&self) -> &Arc<Parts> {
        &self.parts
    }

    /// Rises whenever [`Senses::full`] would say something else of a declared part than before.
    #[must_use]
    pub fn parts_version(&self) -> u64 {
        self.parts.version()
    }

    /// The snapshots, for carrying steps out.
    pub(crate) fn snapshots(&self) -> &Arc<Snapshots> {
        &self.snapshots
    }

    /// The configuration that the senses were started with.
    #[must_use]
    pub fn config(&self) -> &Arc<AgentConfig> {
        &self.config
    }

    /// Stops looking, and stops the services that shall stop with the agent. The others go on.
    pub async fn close(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.services.end().await;
    }
}

/// Takes a snapshot of each declared file every so often.
async fn take_snapshots(config: Arc<AgentConfig>, snapshots: Arc<Snapshots>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let (config, snapshots) = (Arc::clone(&config), Arc::clone(&snapshots));
        let taking = move || snapshots.take(&config, None, SnapshotKind::Scheduled);
        if let Ok(Err(why)) = tokio::task::spawn_blocking(taking).await {
            tracing::warn!(target: "prunella::snapshot", %why, "no scheduled snapshot");
        }
    }
}

#[cfg(test)]
mod tests;

//! The probes, one file each, and the loop that makes each of them look.

mod directory;
pub(crate) mod file;
mod host;
mod http;
mod log;
pub(crate) mod process;
mod tcp;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prunella_model::observation::Status;
use prunella_model::{MetricName, ProbeName, TargetName};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

use crate::board::{Board, Look, Say, Series, Slot};
use crate::config::{AgentConfig, ProbeConfig, Subject, TargetConfig};
use crate::senses::Part;
use crate::services::Services;
use crate::snapshot::Snapshots;

/// Time between two looks in a burst: short beside any service's start, long beside one look.
const BURST_INTERVAL: Duration = Duration::from_millis(12);
/// A burst ends after so many good looks in a row: more than any policy asks of a verification by default.
const BURST_UPS: u32 = 3;

/// The table: every kind of probe and its state between looks.
enum Kind {
    Host(host::Host),
    Process(process::Process),
    /// A unit is seen by its bus signals; there is nothing to look at between them.
    Unit,
    Http(http::Http),
    Tcp(tcp::Tcp),
    Log(log::Log),
    Directory(directory::Directory),
    File(file::File),
}

/// One probe that is ready to look.
pub(crate) struct Probe {
    pub(crate) target: TargetName,
    pub(crate) name: ProbeName,
    slot: Slot,
    interval: Duration,
    kind: Kind,
}

/// All probes of the host, before they begin.
pub(crate) struct Set {
    probes: Vec<Probe>,
    /// Where the service manager of each target says what it sees.
    pub(crate) process_slots: BTreeMap<TargetName, Slot>,
    /// Probes that look in the other half of the agent.
    pub(crate) foreign: Vec<(TargetName, ProbeName)>,
}

impl Set {
    pub(crate) fn new(config: &AgentConfig, board: &Board, snapshots: &Arc<Snapshots>, part: &Part) -> Self {
        let mut set = Self { probes: Vec::new(), process_slots: BTreeMap::new(), foreign: Vec::new() };
        let host = TargetName::host();
        let probe = &config.host_probe;
        if part.looks(&probe.subject) {
            let slot = board.add_probe(&host, &probe.name, probe.subject.kind());
            let kind = Kind::Host(host::Host::new(board));
            set.probes.push(Probe { target: host, name: probe.name.clone(), slot, interval: probe.interval, kind });
        } else {
            set.foreign(&host, probe, board, part);
        }
        for target in &config.targets {
            for probe in &target.probes {
                if part.looks(&probe.subject) {
                    set.add(target, probe, board, snapshots);
                } else {
                    set.foreign(&target.name, probe, board, part);
                }
            }
        }
        set
    }

    /// Only the helper judges, so only there it matters what the other half's probes see.
    fn foreign(&mut self, target: &TargetName, probe: &ProbeConfig, board: &Board, part: &Part) {
        match part {
            Part::Whole | Part::Network => {}
            Part::Helper(_) => {
                board.add_foreign(target, &probe.name, probe.subject.kind());
                self.foreign.push((target.clone(), probe.name.clone()));
            }
        }
    }

    fn add(&mut self, target: &TargetConfig, probe: &ProbeConfig, board: &Board, snapshots: &Arc<Snapshots>) {
        let slot = board.add_probe(&target.name, &probe.name, probe.subject.kind());
        let kind = match &probe.subject {
            Subject::Host => Kind::Host(host::Host::new(board)),
            Subject::Process => {
                self.process_slots.insert(target.name.clone(), slot);
                Kind::Process(process::Process::new(board, &target.name))
            }
            Subject::Unit => {
                self.process_slots.insert(target.name.clone(), slot);
                Kind::Unit
            }
            Subject::Http(subject) => {
                let latency = series(board, &target.name, &format!("{}.latency_seconds", probe.name));
                Kind::Http(http::Http::new(subject, probe.timeout, latency))
            }
            Subject::Tcp { address } => Kind::Tcp(tcp::Tcp::new(address, probe.timeout)),
            Subject::Log { path, pattern } => Kind::Log(log::Log::new(path, pattern)),
            Subject::Directory(part) => {
                let Some(part) = target.directory(part) else { return };
                let metric = match target.directories.len() {
                    1 => "directory.used_percent".to_owned(),
                    _ => format!("directory.{}.used_percent", part.name),
                };
                Kind::Directory(directory::Directory::new(part, series(board, &target.name, &metric)))
            }
            Subject::File(part) => {
                let Some(part) = target.file(part) else { return };
                Kind::File(file::File::new(&target.name, part, snapshots))
            }
        };
        let (target, name) = (target.name.clone(), probe.name.clone());
        self.probes.push(Probe { target, name, slot, interval: probe.interval, kind });
    }

    pub(crate) fn take(&mut self) -> Vec<Probe> {
        std::mem::take(&mut self.probes)
    }
}

/// A series of a target; none when its name would be too long to be one.
fn series(board: &Board, target: &TargetName, metric: &str) -> Option<Series> {
    MetricName::new(metric).ok().map(|metric| board.add_series(target, metric))
}

/// What is asked of one probe beyond its interval.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    asked: Mutex<Asked>,
    news: Notify,
    /// A look that is under way began before a repair, and its answer is of no use.
    anew: Notify,
}

#[derive(Debug, Default)]
struct Asked {
    say: bool,
    burst: Option<BurstOrder>,
}

#[derive(Debug, Clone)]
struct BurstOrder {
    until: Instant,
    ups: u32,
    up: mpsc::Sender<(TargetName, ProbeName)>,
}

impl Orders {
    fn change(&self, change: impl FnOnce(&mut Asked)) {
        change(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        self.news.notify_one();
    }

    /// Look now, and say what is seen even when it is nothing new.
    pub(crate) fn look_now(&self) {
        self.change(|it| it.say = true);
    }

    /// Look now: something has changed there.
    pub(crate) fn changed(&self) {
        self.news.notify_one();
    }

    /// A foreign probe found its target Up; only the first good answer of a burst matters.
    pub(crate) fn foreign_up(&self, target: &TargetName, probe: &ProbeName) {
        let burst = self.take().burst.filter(|it| Instant::now() < it.until);
        if let Some(burst) = burst {
            let _ = burst.up.try_send((target.clone(), probe.clone()));
        }
    }

    /// Look again and again, for at most `lasting`.
    pub(crate) fn burst(&self, lasting: Duration, up: mpsc::Sender<(TargetName, ProbeName)>) {
        let until = Instant::now() + lasting;
        self.change(|it| it.burst = Some(BurstOrder { until, ups: 0, up }));
        self.anew.notify_one();
    }

    fn take(&self) -> Asked {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *asked)
    }
}

/// Makes one probe look: at its interval, when asked, and in bursts.
pub(crate) async fn watch(mut probe: Probe, board: Arc<Board>, services: Arc<Services>, orders: Arc<Orders>) {
    // All probes of one interval look at the same beat, so that a host at rest wakes as seldom as possible.
    let begun = Instant::now();
    let mut burst: Option<BurstOrder> = None;
    let mut say = Say::Changes;
    loop {
        // Only a burst gives up a look that is under way: whoever merely asks again and again must not keep a slow look
        // from ever ending.
        let look = tokio::select! {
            biased;
            () = orders.anew.notified() => None,
            look = probe.kind.look(&probe.target, &board, &services) => Some(look),
        };
        if let Some(look) = look {
            let up = look.as_ref().is_some_and(|it| it.status == Status::Up);
            if let Some(look) = look {
                let say = if up && burst.is_some() { Say::Always } else { say };
                board.see(probe.slot, look, say);
            }
            say = Say::Changes;
            burst = burst.take().and_then(|it| it.after(up, &probe));
            let next = if burst.is_some() { Instant::now() + BURST_INTERVAL } else { next_beat(begun, probe.interval) };
            tokio::select! {
                biased;
                () = orders.news.notified() => {}
                () = sleep_until(next) => continue,
            }
        }
        let asked = orders.take();
        if asked.say {
            say = Say::Always;
        }
        burst = asked.burst.or(burst);
    }
}

/// The first beat that lies ahead: one that was missed is not made up for.
fn next_beat(begun: Instant, interval: Duration) -> Instant {
    let passed = begun.elapsed().as_nanos().checked_div(interval.as_nanos()).unwrap_or(0);
    begun + interval.saturating_mul(u32::try_from(passed + 1).unwrap_or(u32::MAX))
}

impl BurstOrder {
    /// What is left of the burst after one look.
    fn after(mut self, up: bool, probe: &Probe) -> Option<Self> {
        if up {
            // The channel holds one: only the first good answer of all matters.
            let _ = self.up.try_send((probe.target.clone(), probe.name.clone()));
        }
        self.ups = if up { self.ups + 1 } else { 0 };
        (self.ups < BURST_UPS && Instant::now() < self.until).then_some(self)
    }
}

impl Kind {
    /// One look; none when there is nothing to say. Dropping it half way does no harm.
    async fn look(&mut self, target: &TargetName, board: &Board, services: &Services) -> Option<Look> {
        match self {
            Self::Host(it) => Some(it.look(board)),
            Self::Process(it) => it.look(target, board, services),
            Self::Unit => services.seen(target),
            Self::Http(it) => Some(it.look(board).await),
            Self::Tcp(it) => Some(it.look().await),
            Self::Log(it) => Some(it.look().await),
            Self::Directory(it) => Some(it.look(board).await),
            Self::File(it) => Some(it.look().await),
        }
    }
}

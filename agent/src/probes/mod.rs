//! The probes, one file each with the table of them, and the loop that makes each of them look.

mod certificate;
mod cgroup;
mod clock;
mod container;
mod directory;
mod dns;
mod domain;
mod drift;
pub(crate) mod events;
pub(crate) mod file;
mod grpc;
mod haproxy;
mod host;
mod http;
mod kernel;
mod kit;
mod locks;
mod log;
mod metrics;
mod mount;
mod plugin;
mod postgres;
pub(crate) mod process;
mod queue;
mod redis;
mod table;
mod tcp;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prunella_model::observation::{ProbeKind, Status};
use prunella_model::{MetricName, ProbeName, TargetName};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

use crate::board::{Board, Say, Series, Slot};
use crate::services::Services;

use table::Kind;
pub(crate) use table::Set;

/// Time between two looks in a burst: short beside any service's start, long beside one look.
const BURST_INTERVAL: Duration = Duration::from_millis(12);
/// A burst ends after so many good looks in a row: more than any policy asks of a verification by default.
const BURST_UPS: u32 = 3;

/// One probe that is ready to look.
pub(crate) struct Probe {
    pub(crate) target: TargetName,
    pub(crate) name: ProbeName,
    pub(crate) looks_at: ProbeKind,
    pub(crate) interval: Duration,
    slot: Slot,
    /// By how much its beat is shifted.
    shift: Duration,
    kind: Kind,
}

impl Probe {
    /// By how much its beat is shifted, also when the fleet has it look more often than its shift is long.
    fn shift(&self) -> Duration {
        let within = self.shift.as_nanos().checked_rem(self.interval.as_nanos()).unwrap_or(0);
        Duration::from_nanos(u64::try_from(within).unwrap_or(0))
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
    interval: Option<Duration>,
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

    /// Look so often from now on.
    pub(crate) fn interval(&self, interval: Duration) {
        self.change(|it| it.interval = Some(interval));
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

    /// Waits until something is asked.
    #[cfg(test)]
    async fn heard(&self) {
        self.news.notified().await;
    }

    fn take(&self) -> Asked {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *asked)
    }
}

/// Makes one probe look: at its interval, when asked, and in bursts.
pub(crate) async fn watch(mut probe: Probe, board: Arc<Board>, services: Arc<Services>, orders: Arc<Orders>) {
    // All probes of one short interval look at the same beat, so that a host at rest wakes as seldom as possible. The first
    // look comes at once: what is not known yet is worse than a beat that is shared.
    let start = Instant::now();
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
            let next = if burst.is_some() {
                Instant::now() + BURST_INTERVAL
            } else {
                next_beat(start + probe.shift(), probe.interval)
            };
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
        probe.interval = asked.interval.unwrap_or(probe.interval);
        burst = asked.burst.or(burst);
    }
}

/// The first beat that lies ahead: one that was missed is not made up for.
fn next_beat(begun: Instant, interval: Duration) -> Instant {
    if Instant::now() < begun {
        return begun;
    }
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

//! The latest verdict of every probe and the latest value of every series, and what of it goes to the server.
//!
//! Its size changes only when a probe measures something for the first time, so looks that find nothing new allocate nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prunella_model::observation::{Finding, Level, Observation, ProbeKind, Sample, SeriesName, Status, Wait};
use prunella_model::{MetricName, ProbeName, TargetName, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::clock::wall_now;

/// What has not changed is said again this often, so that a loss on the way does not last.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// Measurements that are taken within this time of each other travel in one frame.
const GATHER: Duration = Duration::from_millis(5);

/// What the senses send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Sensed {
    /// A verdict that changed or was asked for. It should leave at once.
    Seen(Observation),
    /// Measurements that changed; their series are in [`Full::series`](crate::senses::Full::series).
    Measured {
        /// When, by the host's clock.
        at: Timestamp,
        /// Series that are named from here on: those that were not in a full report yet.
        series: Vec<SeriesName>,
        /// The values; never empty.
        samples: Vec<Sample>,
    },
    /// Everything that the host's targets wait for at this time.
    Waits(Vec<Wait>),
}

/// What one look of a probe came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Look {
    pub(crate) status: Status,
    pub(crate) finding: Finding,
}

impl Look {
    pub(crate) fn up(finding: Finding) -> Self {
        Self { status: Status::Up, finding }
    }

    pub(crate) fn down(finding: Finding) -> Self {
        Self { status: Status::Down, finding }
    }

    /// What a check that judges by itself says.
    pub(crate) fn checked(level: Level, text: impl Into<String>) -> Self {
        let finding = Finding::Checked { level, text: text.into() };
        match level {
            Level::Good | Level::Warning => Self::up(finding),
            Level::Critical => Self::down(finding),
        }
    }

    /// The probe could not look, which says nothing of the target.
    pub(crate) fn broken(why: impl Into<String>) -> Self {
        Self { status: Status::Unknown, finding: Finding::ProbeBroken { why: why.into() } }
    }
}

/// Whether a verdict goes out although it is the same as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Say {
    /// Only when it differs, is a fault, or was not said for [`SAY_AGAIN`].
    Changes,
    /// In any case.
    Always,
}

/// The place of one probe on the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(usize);

/// The place of one series on the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Series(usize);

#[derive(Debug)]
struct ProbeState {
    target: TargetName,
    probe: ProbeName,
    kind: ProbeKind,
    last: Option<Observation>,
    /// When the last verdict went out; none when it has not.
    said: Option<Instant>,
    /// Since when every look found the target Up.
    up_since: Option<Instant>,
    /// What every look has said since when; none when somebody stopped the target on purpose.
    held: Option<(Status, Instant)>,
    /// It looks in the other half of the agent, which sends what it saw to the server itself.
    foreign: bool,
}

impl ProbeState {
    fn found(&mut self, status: Status, finding: &Finding) {
        self.held = match self.held {
            _ if *finding == Finding::StoppedOnPurpose => None,
            Some((held, since)) if held == status => Some((held, since)),
            Some(_) | None => Some((status, Instant::now())),
        };
        match (status, self.up_since) {
            (Status::Up, None) => self.up_since = Some(Instant::now()),
            (Status::Up, Some(_)) => {}
            (Status::Down | Status::Unknown, _) => self.up_since = None,
        }
    }
}

#[derive(Debug)]
struct SeriesState {
    name: SeriesName,
    value: Option<f64>,
    /// The last value that went out, and when.
    said: Option<(f64, Instant)>,
}

#[derive(Debug, Default)]
struct State {
    probes: Vec<ProbeState>,
    series: Vec<SeriesState>,
    /// Series that no full report and no frame has named yet.
    unnamed: Vec<SeriesName>,
    /// How many more series there may come to be.
    room: usize,
    /// What targets waited for when that was last said, and when it was.
    waits: Option<(Vec<Wait>, Instant)>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Board {
    state: Mutex<State>,
    to: mpsc::Sender<Sensed>,
    measured: Notify,
}

impl Board {
    pub(crate) fn new(to: mpsc::Sender<Sensed>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), to, measured: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change below is a plain assignment: a panic elsewhere cannot have left it half made.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add_probe(&self, target: &TargetName, probe: &ProbeName, kind: ProbeKind) -> Slot {
        self.add(target, probe, kind, false)
    }

    /// A probe that looks in the other half of the agent.
    pub(crate) fn add_foreign(&self, target: &TargetName, probe: &ProbeName, kind: ProbeKind) {
        self.add(target, probe, kind, true);
    }

    fn add(&self, target: &TargetName, probe: &ProbeName, kind: ProbeKind, foreign: bool) -> Slot {
        let mut state = self.state();
        let (target, probe) = (target.clone(), probe.clone());
        state.probes.push(ProbeState {
            target,
            probe,
            kind,
            last: None,
            said: None,
            up_since: None,
            held: None,
            foreign,
        });
        Slot(state.probes.len() - 1)
    }

    /// Takes what a foreign probe saw. Anything else that it names is ignored.
    pub(crate) fn see_foreign(&self, seen: Observation) {
        let mut state = self.state();
        let known = |it: &&mut ProbeState| it.foreign && it.target == seen.target && it.probe == seen.probe;
        let Some(probe) = state.probes.iter_mut().find(known) else { return };
        probe.found(seen.status, &seen.finding);
        probe.last = Some(Observation { kind: probe.kind, ..seen });
    }

    pub(crate) fn add_series(&self, target: &TargetName, metric: MetricName) -> Series {
        let mut state = self.state();
        let place = state.series.len();
        let number = u32::try_from(place).unwrap_or(u32::MAX);
        let name = SeriesName { number, target: target.clone(), metric };
        state.unnamed.push(name.clone());
        state.series.push(SeriesState { name, value: None, said: None });
        Series(place)
    }

    /// Keeps numbers for so many series whose names are not known yet.
    pub(crate) fn reserve(&self, series: usize) {
        self.state().room += series;
    }

    /// How many numbers of series are taken or kept.
    pub(crate) fn series_room(&self) -> usize {
        let state = self.state();
        state.series.len() + state.room
    }

    /// Whether a target has a series of that name.
    pub(crate) fn has_series(&self, target: &TargetName, metric: &MetricName) -> bool {
        self.state().series.iter().any(|it| it.name.target == *target && it.name.metric == *metric)
    }

    /// Takes one look's verdict. It goes out at once when it is new.
    pub(crate) fn see(&self, slot: Slot, look: Look, say: Say) {
        let mut state = self.state();
        let Some(probe) = state.probes.get_mut(slot.0) else { return };
        let now = Instant::now();
        probe.found(look.status, &look.finding);
        let same =
            probe.last.as_ref().is_some_and(|last| last.status == look.status && alike(&last.finding, &look.finding));
        let lately = probe.said.is_some_and(|said| now.duration_since(said) < SAY_AGAIN);
        // A fault is said at each look, as long as it lasts: rules count looks in a row.
        if say == Say::Changes && same && lately && look.status != Status::Down {
            return;
        }
        let seen = Observation {
            target: probe.target.clone(),
            probe: probe.probe.clone(),
            kind: probe.kind,
            at: wall_now(),
            status: look.status,
            finding: look.finding,
        };
        probe.last = Some(seen.clone());
        // A full queue loses nothing for good: without `said` the next look sends it, and every full report has it.
        probe.said = self.to.try_send(Sensed::Seen(seen)).is_ok().then_some(now);
    }

    /// Takes one value. It goes out with others of the same moment.
    pub(crate) fn measure(&self, series: Series, value: f64) {
        if !value.is_finite() {
            return;
        }
        if let Some(it) = self.state().series.get_mut(series.0) {
            it.value = Some(value);
            self.measured.notify_one();
        }
    }

    /// Takes everything that targets wait for. It goes out when it is new, or while anybody waits: rules ask for how long.
    pub(crate) fn waits(&self, waits: Vec<Wait>) {
        let mut state = self.state();
        let lately = |at: &Instant| at.elapsed() < SAY_AGAIN;
        if waits.is_empty() && state.waits.as_ref().is_some_and(|(said, at)| said.is_empty() && lately(at)) {
            return;
        }
        let said = self.to.try_send(Sensed::Waits(waits.clone())).is_ok();
        state.waits = said.then(|| (waits, Instant::now()));
    }

    /// Sends measurements, for as long as somebody receives them.
    pub(crate) async fn send_measurements(self: Arc<Self>) {
        loop {
            self.measured.notified().await;
            tokio::time::sleep(GATHER).await;
            let Ok(place) = self.to.reserve().await else { return };
            let (series, samples) = self.news();
            if !samples.is_empty() {
                place.send(Sensed::Measured { at: wall_now(), series, samples });
            }
        }
    }

    fn news(&self) -> (Vec<SeriesName>, Vec<Sample>) {
        let now = Instant::now();
        let mut samples = Vec::new();
        let mut state = self.state();
        for it in &mut state.series {
            let Some(value) = it.value else { continue };
            #[expect(clippy::float_cmp, reason = "the very same value need not be sent again")]
            let known = it.said.is_some_and(|(said, at)| said == value && now.duration_since(at) < SAY_AGAIN);
            if !known {
                it.said = Some((value, now));
                samples.push(Sample { series: it.name.number, value });
            }
        }
        let named = if samples.is_empty() { Vec::new() } else { std::mem::take(&mut state.unnamed) };
        (named, samples)
    }

    /// All series and verdicts. Every value goes out again after it: the series' names are good for a new stream.
    pub(crate) fn everything(&self) -> (Vec<SeriesName>, Vec<Observation>) {
        let mut state = self.state();
        state.series.iter_mut().for_each(|it| it.said = None);
        state.unnamed.clear();
        self.measured.notify_one();
        let series = state.series.iter().map(|it| it.name.clone()).collect();
        (series, state.probes.iter().filter(|it| !it.foreign).filter_map(|it| it.last.clone()).collect())
    }

    /// The latest verdict of a probe, if it has looked.
    pub(crate) fn status(&self, target: &TargetName, probe: &ProbeName) -> Option<Status> {
        let state = self.state();
        let found = state.probes.iter().find(|it| it.target == *target && it.probe == *probe)?;
        found.last.as_ref().map(|it| it.status)
    }

    /// For how long a probe has said this at every look; none when it does not, or somebody stopped the target.
    pub(crate) fn held(&self, target: &TargetName, probe: &ProbeName, status: Status) -> Option<Duration> {
        let state = self.state();
        let found = state.probes.iter().find(|it| it.target == *target && it.probe == *probe)?;
        found.held.filter(|(held, _)| *held == status).map(|(_, since)| since.elapsed())
    }

    /// Since when every probe of the target has been Up at every look, its files' probes aside; none when one is not.
    pub(crate) fn well_since(&self, target: &TargetName) -> Option<Instant> {
        let state = self.state();
        let mut others = state.probes.iter().filter(|it| it.target == *target && it.kind != ProbeKind::File).peekable();
        // Without any other probe nothing vouches for the target.
        others.peek()?;
        others.map(|it| it.up_since).try_fold(None, |latest, since| since.map(|it| latest.max(Some(it)))).flatten()
    }
}

/// Whether two findings say the same, so that the second one is no news.
fn alike(before: &Finding, after: &Finding) -> bool {
    match (before, after) {
        (Finding::Answered { .. }, Finding::Answered { .. }) | (Finding::NoAnswer { .. }, Finding::NoAnswer { .. }) => {
            true
        }
        (
            Finding::DirectoryUse { used_bytes: before, quota_bytes: quota },
            Finding::DirectoryUse { used_bytes: after, .. },
        ) => percent(*before, *quota) == percent(*after, *quota),
        (Finding::LinesMatched { count: before, .. }, Finding::LinesMatched { count: after, .. }) => {
            *before == 0 && *after == 0
        }
        // Its text may have a figure that changes all the time.
        (Finding::Checked { level: before, .. }, Finding::Checked { level: after, .. }) => before == after,
        (before, after) => before == after,
    }
}

fn percent(used: u64, quota: u64) -> u64 {
    used.saturating_mul(100).checked_div(quota).unwrap_or(0)
}

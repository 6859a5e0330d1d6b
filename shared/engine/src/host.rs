//! What the engine believes of one host.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use prunella_model::command::BootId;
use prunella_model::host::{HostReport, TargetReport};
use prunella_model::observation::{ProbeKind, SeriesName};
use prunella_model::record::OrderRunRecord;
use prunella_model::{HostId, IncidentId, MetricName, TargetName, Timestamp};

use crate::agent_watch::AgentWatch;
use crate::alone::Issued;
use crate::clock::HostClock;
use crate::detect::Watch;
use crate::detect::trend::Trend;
use crate::key::{at, next};
use crate::peers::Peer;
use crate::quiet::Use;
use crate::target::Target;
use crate::unusual::{Habit, Unusual};
use crate::view::HostState;

/// The most series that one stream may name: a hostile agent must not fill the server's memory.
const SERIES_MAX: usize = 4_096;

/// How a host's agent stands with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// It talks.
    Online,
    /// It said goodbye.
    Left,
    /// Its stream ended, or it is not back since the server's start; it may come back any moment.
    Away,
    /// It has been silent for too long.
    Silent,
}

impl Link {
    /// The same for people.
    pub(crate) const fn state(self) -> HostState {
        match self {
            Self::Online => HostState::Online,
            Self::Left => HostState::Left,
            Self::Away | Self::Silent => HostState::Silent,
        }
    }
}

/// One series of measurements.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// The index of its target.
    pub(crate) target: u32,
    /// The quantity.
    pub(crate) metric: MetricName,
    /// The latest value; null before the first.
    pub(crate) value: Option<f64>,
    /// The detectors that watch it, each for one rule.
    pub(crate) watches: Vec<Watch>,
    /// Custom rules on its own target that use it.
    pub(crate) feeds: Vec<u32>,
    /// Custom rules on any target of the host that use it as a measurement of the host.
    pub(crate) feeds_all: Vec<u32>,
    /// Where it is heading, for what can run out.
    pub(crate) trend: Option<Box<Trend>>,
    /// What is normal for it.
    pub(crate) habit: Habit,
    /// Of which of its host's resources it is the used share: 0 processors, 1 memory, 2 disks; null for others.
    pub(crate) part: Option<usize>,
    /// Of which measure of its host's use it is, if it is of one.
    pub(crate) measure: Option<usize>,
}

/// One host.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    /// Its name.
    pub(crate) id: HostId,
    /// Its enrolment.
    pub(crate) enrolment: u64,
    /// How it stands.
    pub(crate) link: Link,
    /// Whether it has a stream to the server, however silent.
    pub(crate) stream: bool,
    /// Whether it has reported fully to this engine.
    pub(crate) reported: bool,
    /// Its latest report, without observations, series and outcomes; null before the first.
    pub(crate) report: Option<HostReport>,
    /// When it was first seen.
    pub(crate) first_seen: Timestamp,
    /// When it was last heard of, by the server's clock.
    pub(crate) last_seen: Timestamp,
    /// When its latest frame that is not late was made, by its own clock; null before the first of this stream.
    pub(crate) last_frame: Option<Timestamp>,
    /// When it was last said what its targets wait for, by its own clock; null when nobody looked in this stream.
    pub(crate) waits_at: Option<Timestamp>,
    /// Its clock.
    pub(crate) clock: HostClock,
    /// Its targets. Indexes are never given out twice.
    pub(crate) targets: Vec<Target>,
    /// Their indexes.
    pub(crate) names: BTreeMap<TargetName, u32>,
    /// Its series, by the number that the agent chose.
    pub(crate) series: Vec<Option<Series>>,
    /// Whether it is unlike the others of its group.
    pub(crate) peer: Peer,
    /// Whether it is unlike itself.
    pub(crate) unusual: Unusual,
    /// How much it is used, by the hour of the week.
    pub(crate) usage: Use,
    /// Its open incidents.
    pub(crate) incidents: BTreeSet<IncidentId>,
    /// How many of those count for the fleet's breaker.
    pub(crate) troubles: u32,
    /// Its repairs of the last hour and some more, newest last.
    pub(crate) repairs: VecDeque<(Timestamp, TargetName)>,
    /// Its rollbacks of the last day, newest last.
    pub(crate) rollbacks: VecDeque<Timestamp>,
    /// How its agent does its own work.
    pub(crate) agent: AgentWatch,
    /// When its repairs of the last hour took something out that still served, newest last.
    pub(crate) outages: VecDeque<Timestamp>,
    /// Its high-risk repairs of the last day, newest last.
    pub(crate) critical: VecDeque<Timestamp>,
    /// What its agent was ordered to do alone, since the start; null when nothing was.
    pub(crate) orders: Option<Issued>,
    /// How often its probes were asked to look in its stream; null when it was not asked.
    pub(crate) intervals: Option<Vec<(ProbeKind, Duration)>>,
    /// What its agent did alone lately, newest last.
    pub(crate) order_runs: VecDeque<OrderRunRecord>,
}

impl Host {
    /// A host of which only the name is known.
    pub(crate) fn new(id: HostId, enrolment: u64, now: Timestamp) -> Self {
        let mut host = Self {
            id,
            enrolment,
            link: Link::Away,
            stream: false,
            reported: false,
            report: None,
            first_seen: now,
            last_seen: now,
            last_frame: None,
            waits_at: None,
            clock: HostClock::default(),
            targets: Vec::new(),
            names: BTreeMap::new(),
            series: Vec::new(),
            peer: Peer::default(),
            unusual: Unusual::default(),
            usage: Use::default(),
            incidents: BTreeSet::new(),
            troubles: 0,
            repairs: VecDeque::new(),
            rollbacks: VecDeque::new(),
            agent: AgentWatch::default(),
            outages: VecDeque::new(),
            critical: VecDeque::new(),
            orders: None,
            intervals: None,
            order_runs: VecDeque::new(),
        };
        host.ensure(&TargetName::host());
        host
    }

    /// Whether its agent talks to the server.
    pub(crate) fn online(&self) -> bool {
        match self.link {
            Link::Online => true,
            Link::Left | Link::Away | Link::Silent => false,
        }
    }

    /// Its current boot, as last reported.
    pub(crate) fn boot(&self) -> Option<&BootId> {
        self.report.as_ref().map(|report| &report.boot)
    }

    /// When its agent was last heard, unless the stream has ended: an ended stream vouches for nothing.
    pub(crate) fn contact(&self) -> Option<Timestamp> {
        self.online().then_some(self.last_seen)
    }

    /// The index of a target; makes an empty one when it is not known.
    pub(crate) fn ensure(&mut self, name: &TargetName) -> u32 {
        if let Some(index) = self.names.get(name) {
            return *index;
        }
        let index = next(self.targets.len());
        let mut target = Target::new(TargetReport {
            name: name.clone(),
            service: None,
            labels: BTreeMap::new(),
            depends_on: Vec::new(),
            critical: false,
            probes: Vec::new(),
            permits: Vec::new(),
            directories: Vec::new(),
            files: Vec::new(),
            parts: Vec::new(),
        });
        target.gone = true;
        self.targets.push(target);
        self.names.insert(name.clone(), index);
        index
    }

    /// Takes over what the host's administrator declares. Returns the indexes of targets that are gone.
    pub(crate) fn declare(&mut self, targets: &[TargetReport]) -> Vec<u32> {
        let mut left: BTreeSet<u32> = (0..next(self.targets.len())).filter(|i| !self.targets[at(*i)].gone).collect();
        for report in targets {
            let index = self.ensure(&report.name);
            self.targets[at(index)].redeclare(report.clone());
            left.remove(&index);
        }
        for index in &left {
            self.targets[at(*index)].gone = true;
        }
        left.into_iter().collect()
    }

    /// Forgets the numbers of the last stream. What detectors have learned stays, by target and metric.
    pub(crate) fn renumber(&mut self) -> BTreeMap<(u32, MetricName), Series> {
        for target in &mut self.targets {
            target.series.clear();
        }
        std::mem::take(&mut self.series)
            .into_iter()
            .flatten()
            .map(|series| ((series.target, series.metric.clone()), series))
            .collect()
    }

    /// Names a series. False when the number is out of bounds.
    pub(crate) fn name_series(&mut self, name: &SeriesName, series: impl FnOnce(u32) -> Series) -> bool {
        let number = at(name.number);
        let Some(target) = self.names.get(&name.target).copied() else { return false };
        if number >= SERIES_MAX {
            return false;
        }
        if self.series.len() <= number {
            self.series.resize_with(number + 1, || None);
        }
        if let Some(Some(known)) = self.series.get(number) {
            if known.target == target && known.metric == name.metric {
                return true;
            }
            let was = known.target;
            self.targets[at(was)].series.retain(|it| *it != name.number);
        }
        self.series[number] = Some(series(target));
        self.targets[at(target)].series.push(name.number);
        true
    }
}

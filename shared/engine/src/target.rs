//! What the engine believes of one target, and how fresh that belief is.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use prunella_model::host::{ProbeReport, TargetReport};
use prunella_model::observation::{Finding, Instance, Level, Observation, ProbeKind, Status, Tells};
use prunella_model::step::{Step, StepKind};
use prunella_model::{GroupName, IncidentId, ProbeName, RepairName, RuleName, Timestamp};

use crate::cause::Cause;
use crate::changes::Change;
use crate::incident::verify::{TICK_LEAST, TICK_MOST};

/// How many verdicts of one probe are remembered: enough for every rule that counts.
const SIGHTINGS: usize = 8;

/// How many looks of a log probe that found something are remembered.
const LOOKS: usize = 64;

/// How many ends of the process are remembered.
const EXITS: usize = 8;

/// How many repairs of one target are remembered for its cool-down and its relapses.
const PAST: usize = 16;

/// Agents repeat an unchanged verdict at least once a minute. One that was not repeated for this long is not vouched for
/// any more, however alive its agent is: the probe itself may be stuck.
pub(crate) const REPEAT: Duration = Duration::from_secs(90);

/// One verdict of one probe.
#[derive(Debug, Clone)]
pub(crate) struct Sighting {
    /// When the probe looked, by the host's clock.
    pub(crate) host: Timestamp,
    /// When the probe looked, by the server's clock; never too fresh.
    pub(crate) at: Timestamp,
    /// The verdict.
    pub(crate) status: Status,
}

/// One probe and what it said.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    /// As the host's administrator declares it.
    pub(crate) report: ProbeReport,
    /// The latest verdicts, newest last.
    pub(crate) recent: VecDeque<Sighting>,
    /// The evidence under the newest verdict.
    pub(crate) finding: Option<Finding>,
    /// When the current run of equal verdicts began, by the host's clock.
    pub(crate) since: Timestamp,
    /// The same by the server's clock.
    pub(crate) since_at: Timestamp,
    /// How many equal verdicts there are in a row, at least half a beat apart: who asks for a look in between learns more
    /// of the same moment, not that it lasts.
    pub(crate) row: u32,
    /// When the newest of those was made, by the host's clock.
    counted: Timestamp,
    /// How many matching lines each of the latest looks of a log probe found, by the host's clock, newest last.
    pub(crate) lines: VecDeque<(Timestamp, u64)>,
    /// How a check that judges by itself judges now.
    level: Option<Level>,
    /// Since when it does, by the host's clock.
    pub(crate) level_since: Timestamp,
}

impl Probe {
    fn new(report: ProbeReport) -> Self {
        let zero = Timestamp::ZERO;
        Self {
            report,
            recent: VecDeque::new(),
            finding: None,
            since: zero,
            since_at: zero,
            row: 0,
            counted: zero,
            lines: VecDeque::new(),
            level: None,
            level_since: zero,
        }
    }

    /// The newest verdict, fresh or not.
    pub(crate) fn last(&self) -> Option<&Sighting> {
        self.recent.back()
    }

    /// When the newest look began, by the server's clock: one that waited in vain began that much before its verdict.
    pub(crate) fn began(&self) -> Option<Timestamp> {
        let last = self.last()?;
        match self.finding {
            Some(Finding::NoAnswer { waited }) => Some(last.at.before(waited)),
            Some(_) | None => Some(last.at),
        }
    }

    /// How long after one look the next one tells something new: the interval, within what a repair can wait for.
    pub(crate) fn beat(&self) -> Duration {
        self.report.interval.clamp(TICK_LEAST, TICK_MOST)
    }

    /// How long one verdict counts by itself.
    pub(crate) fn window(&self, otherwise: Duration) -> Duration {
        if self.report.interval.is_zero() { otherwise } else { self.report.interval * 3 }
    }

    /// The newest verdict if it is still vouched for.
    ///
    /// An agent sends what changed; so hearing from it vouches for what it said before. `contact` is when it was last
    /// heard, `otherwise` how long a verdict counts when the probe has no interval.
    pub(crate) fn fresh(&self, now: Timestamp, contact: Option<Timestamp>, otherwise: Duration) -> Option<&Sighting> {
        let last = self.last()?;
        let window = self.window(otherwise);
        if now.since(last.at) <= window {
            return Some(last);
        }
        let heard = contact.is_some_and(|contact| now.since(contact) <= window.max(otherwise));
        (heard && now.since(last.at) <= REPEAT.max(window)).then_some(last)
    }

    /// How many of the newest verdicts in a row say `status` and were made at or after `since`, by the host's clock.
    pub(crate) fn row_since(&self, status: Status, since: Timestamp) -> u32 {
        let row = self.recent.iter().rev().take_while(|it| it.status == status && it.host >= since).count();
        u32::try_from(row).unwrap_or(u32::MAX)
    }

    /// Takes a verdict in. False when it is older than what is known.
    fn see(&mut self, seen: &Observation, at: Timestamp) -> bool {
        if let Some(last) = self.recent.back() {
            if seen.at < last.host {
                return false;
            }
            if seen.at == last.host && seen.status == last.status {
                self.keep(seen);
                return true;
            }
        }
        if let Finding::LinesMatched { count, .. } = &seen.finding
            && *count > 0
        {
            if self.lines.len() == LOOKS {
                self.lines.pop_front();
            }
            self.lines.push_back((seen.at, *count));
        }
        let same = self.recent.back().is_some_and(|last| last.status == seen.status);
        if same {
            if seen.at.since(self.counted) >= self.beat() / 2 {
                (self.row, self.counted) = (self.row.saturating_add(1), seen.at);
            }
        } else {
            (self.row, self.counted) = (1, seen.at);
            self.since = seen.at;
            self.since_at = at;
        }
        if self.recent.len() == SIGHTINGS {
            self.recent.pop_front();
        }
        self.recent.push_back(Sighting { host: seen.at, at, status: seen.status });
        self.keep(seen);
        true
    }

    fn keep(&mut self, seen: &Observation) {
        let level = match (&seen.finding, seen.status) {
            (Finding::Checked { level, .. }, _) => Some(*level),
            (_, Status::Up) => Some(Level::Good),
            (_, Status::Down) => Some(Level::Critical),
            (_, Status::Unknown) => None,
        };
        if level != self.level || self.finding.is_none() {
            (self.level, self.level_since) = (level, seen.at);
        }
        self.finding = Some(seen.finding.clone());
    }
}

/// How a process ended.
#[derive(Debug, Clone)]
pub(crate) struct Exit {
    /// When that was seen, by the host's clock.
    pub(crate) host: Timestamp,
    /// Which run it was.
    pub(crate) instance: Instance,
    /// Its exit code, if known.
    pub(crate) code: Option<i32>,
    /// The signal that ended it, if known.
    pub(crate) signal: Option<i32>,
    /// How long it had run, if known.
    pub(crate) ran: Option<Duration>,
}

/// Signals that come from outside the program: hang-up, interrupt, kill, terminate. The others it brings on itself.
const OUTSIDE: [i32; 4] = [1, 2, 9, 15];

impl Exit {
    /// Whether something outside the program ended it.
    pub(crate) fn came_from_outside(&self) -> bool {
        self.signal.is_some_and(|signal| OUTSIDE.contains(&signal))
    }

    /// How it ended, in a few words.
    pub(crate) fn text(&self) -> String {
        let how = match (self.signal, self.code) {
            (Some(signal), _) => format!("signal {signal}"),
            (None, Some(code)) => format!("exit code {code}"),
            (None, None) => "not known how".to_owned(),
        };
        match self.ran {
            Some(ran) => format!("{how}, after {}", crate::text::span(ran)),
            None => how,
        }
    }
}

/// Whether the target's process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Nothing is known.
    Unknown,
    /// It runs.
    Running,
    /// It ended, or there is none.
    Ended,
    /// It was stopped on purpose.
    Stopped,
}

/// The target's process.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    /// Whether it lives.
    pub(crate) life: Life,
    /// The latest run that was seen, alive or ended.
    pub(crate) instance: Option<Instance>,
    /// When this run was first seen, by the server's clock; null when it ran before the engine looked.
    pub(crate) began: Option<Timestamp>,
    /// The latest ends, newest last.
    pub(crate) exits: VecDeque<Exit>,
}

/// A repair of the past, for cool-down and relapses.
#[derive(Debug, Clone)]
pub(crate) struct Past {
    /// When it was decided.
    pub(crate) at: Timestamp,
    /// Which one.
    pub(crate) repair: RepairName,
    /// What it treated.
    pub(crate) cause: Cause,
    /// What it did.
    pub(crate) steps: Vec<Step>,
    /// False once it is known not to have held.
    pub(crate) held: bool,
    /// Whether it is known to have made things worse.
    pub(crate) worse: bool,
    /// The credit that it got for a recovery, and what had been tried in vain before it.
    pub(crate) credit: Option<(f64, Vec<RepairName>)>,
}

/// One target.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// As the host's administrator declares it.
    pub(crate) report: TargetReport,
    /// Whether it left the report; kept because indexes are never given out twice.
    pub(crate) gone: bool,
    /// Its probes.
    pub(crate) probes: Vec<Probe>,
    /// Its process.
    pub(crate) process: Process,
    /// The numbers of its series on its host.
    pub(crate) series: Vec<u32>,
    /// Its open incident.
    pub(crate) incident: Option<IncidentId>,
    /// Its health when no fault was open last; null before that was known.
    pub(crate) baseline: Option<f64>,
    /// Its recent repairs, newest last.
    pub(crate) past: VecDeque<Past>,
    /// When it relapsed within the last day.
    pub(crate) relapses: VecDeque<Timestamp>,
    /// Rules that a person silenced by cancelling an incident; lifted when their symptom is gone.
    pub(crate) muted: BTreeSet<RuleName>,
    /// Rules in shadow that speak now.
    pub(crate) shadowed: BTreeSet<RuleName>,
    /// Incidents whose diagnosis stands on this target.
    pub(crate) watchers: BTreeSet<IncidentId>,
    /// The groups that it belongs to.
    pub(crate) groups: Vec<GroupName>,
    /// What its host's last review found, to see when dependents must be judged again.
    pub(crate) ailing: bool,
    /// When its agent was last asked to probe it.
    pub(crate) asked: Option<Timestamp>,
    /// What custom rules said of it, by the number of each that looks at it.
    pub(crate) custom: std::collections::BTreeMap<u32, crate::custom::Said>,
    /// When it was last seen to be well again after ailing, by the server's clock.
    pub(crate) well_since: Option<Timestamp>,
    /// The deadlock whose victim it is.
    pub(crate) stuck: Option<crate::structure::Stuck>,
    /// What changed lately, newest last.
    pub(crate) changes: VecDeque<Change>,
    /// Contents of files that were put back and not seen in their place yet, oldest first. Not stored.
    pub(crate) restored: Vec<prunella_model::observation::Sha256>,
}

impl Target {
    /// A target of which nothing is known yet.
    pub(crate) fn new(report: TargetReport) -> Self {
        let probes = report.probes.iter().cloned().map(Probe::new).collect();
        Self {
            report,
            gone: false,
            probes,
            process: Process { life: Life::Unknown, instance: None, began: None, exits: VecDeque::new() },
            series: Vec::new(),
            incident: None,
            baseline: None,
            past: VecDeque::new(),
            relapses: VecDeque::new(),
            muted: BTreeSet::new(),
            shadowed: BTreeSet::new(),
            watchers: BTreeSet::new(),
            groups: Vec::new(),
            ailing: false,
            asked: None,
            custom: std::collections::BTreeMap::new(),
            well_since: None,
            stuck: None,
            changes: VecDeque::new(),
            restored: Vec::new(),
        }
    }

    /// Takes a new declaration over, keeping what is known of probes that stay.
    pub(crate) fn redeclare(&mut self, report: TargetReport) {
        let mut old = std::mem::take(&mut self.probes);
        self.probes = report
            .probes
            .iter()
            .map(|it| match old.iter().position(|was| was.report.name == it.name && was.report.kind == it.kind) {
                Some(found) => Probe { report: it.clone(), ..old.swap_remove(found) },
                None => Probe::new(it.clone()),
            })
            .collect();
        self.report = report;
        self.gone = false;
    }

    /// The probe of that name.
    pub(crate) fn probe(&self, name: &ProbeName) -> Option<&Probe> {
        self.probes.iter().find(|probe| probe.report.name == *name)
    }

    /// Probes of one kind.
    pub(crate) fn of_kind(&self, kind: ProbeKind) -> impl Iterator<Item = &Probe> {
        self.probes.iter().filter(move |probe| probe.report.kind == kind)
    }

    /// How often an hour the host's administrator permits a kind of step; null when not at all.
    pub(crate) fn permits(&self, step: StepKind) -> bool {
        self.report.permits.iter().any(|permit| permit.step == step && permit.per_hour > 0)
    }

    /// Forgets when things were seen, because the host's clock was set.
    pub(crate) fn clock_was_set(&mut self) {
        for probe in &mut self.probes {
            probe.recent.clear();
            probe.lines.clear();
            (probe.row, probe.counted) = (0, Timestamp::ZERO);
        }
    }

    /// Takes a verdict in. `live` is false for what a report repeats from before.
    ///
    /// Null when the target has no such probe or the verdict is an old one; otherwise whether a new run of the process
    /// began.
    pub(crate) fn see(&mut self, seen: &Observation, at: Timestamp, live: bool) -> Option<bool> {
        let probe = self.probes.iter_mut().find(|it| it.report.name == seen.probe && it.report.kind == seen.kind)?;
        if !probe.see(seen, at) {
            return None;
        }
        Some(match seen.kind.tells() {
            Tells::Life => self.process.see(seen, at, live),
            Tells::Service | Tells::Part => false,
        })
    }

    /// Remembers that a repair was decided.
    pub(crate) fn remember(&mut self, at: Timestamp, repair: RepairName, cause: Cause, steps: Vec<Step>) {
        if self.past.len() == PAST {
            self.past.pop_front();
        }
        self.past.push_back(Past { at, repair, cause, steps, held: true, worse: false, credit: None });
    }

    /// Remembers that the latest repair of that name did not hold.
    pub(crate) fn did_not_hold(&mut self, repair: &RepairName) {
        if let Some(past) = self.past.iter_mut().rev().find(|past| past.repair == *repair) {
            past.held = false;
        }
    }

    /// Remembers that the latest repair of that name made things worse.
    pub(crate) fn made_worse(&mut self, repair: &RepairName) {
        if let Some(past) = self.past.iter_mut().rev().find(|past| past.repair == *repair) {
            past.worse = true;
        }
    }

    /// Remembers that the latest repair of that name got credit for a recovery.
    pub(crate) fn credited(&mut self, repair: &RepairName, credit: f64, after: Vec<RepairName>) {
        if let Some(past) = self.past.iter_mut().rev().find(|past| past.repair == *repair) {
            past.credit = Some((credit, after));
        }
    }

    /// Remembers a relapse.
    pub(crate) fn relapsed(&mut self, now: Timestamp) {
        if self.relapses.len() == PAST {
            self.relapses.pop_front();
        }
        self.relapses.push_back(now);
    }
}

impl Process {
    /// True when a new run began.
    fn see(&mut self, seen: &Observation, at: Timestamp, live: bool) -> bool {
        match &seen.finding {
            Finding::Running { instance, .. } => {
                let new = self.instance.as_ref() != Some(instance);
                if new {
                    self.began = live.then_some(at);
                    self.instance = Some(instance.clone());
                }
                self.life = Life::Running;
                new
            }
            Finding::Exited { instance, code, signal, ran } => {
                self.life = Life::Ended;
                self.instance = Some(instance.clone());
                if self.exits.back().is_none_or(|last| last.instance != *instance) {
                    if self.exits.len() == EXITS {
                        self.exits.pop_front();
                    }
                    let exit =
                        Exit { host: seen.at, instance: instance.clone(), code: *code, signal: *signal, ran: *ran };
                    self.exits.push_back(exit);
                }
                false
            }
            Finding::NotRunning => {
                self.life = Life::Ended;
                false
            }
            Finding::StoppedOnPurpose => {
                self.life = Life::Stopped;
                false
            }
            Finding::Answered { .. }
            | Finding::BadAnswer { .. }
            | Finding::NoAnswer { .. }
            | Finding::Unreachable { .. }
            | Finding::FileAsKnown { .. }
            | Finding::FileChanged { .. }
            | Finding::DirectoryUse { .. }
            | Finding::LinesMatched { .. }
            | Finding::HostRead
            | Finding::Checked { .. }
            | Finding::ProbeBroken { .. } => false,
        }
    }
}

//! What an agent of a scenario knows and has to say.

use std::collections::BTreeMap;

use prunella_model::host::{HostReport, TargetReport};
use prunella_model::observation::{Finding, Observation, SeriesName, Status};
use prunella_model::{ProbeName, TargetName, Timestamp};

use crate::lang::{self, Words};

/// One host's agent, as a text has set it up.
#[derive(Default)]
pub(crate) struct Agent {
    pub(crate) targets: BTreeMap<TargetName, TargetReport>,
    pub(crate) seen: BTreeMap<(TargetName, ProbeName), (Status, Finding)>,
    pub(crate) series: Vec<SeriesName>,
    pub(crate) connected: bool,
    pub(crate) mute: bool,
    pub(crate) labels: BTreeMap<String, String>,
    /// Lives, but its probes have not come to a verdict.
    pub(crate) deaf: bool,
}

/// Everything that an agent has to say. Labels of the host that are given once stay.
pub(crate) fn full_report(agent: &mut Agent, words: &Words<'_>, now: Timestamp) -> HostReport {
    agent.labels.extend(lang::labels(words));
    let mut report = lang::report(agent.targets.values().cloned().collect(), agent.series.clone());
    report.labels = agent.labels.clone();
    report.observations = observations(agent, None, now);
    report
}

/// What its probes have seen, of all targets or only one.
pub(crate) fn observations(agent: &Agent, only: Option<&TargetName>, at: Timestamp) -> Vec<Observation> {
    let wanted = agent.seen.iter().filter(|((target, _), _)| only.is_none_or(|only| only == target));
    wanted
        .map(|((target, probe), (status, finding))| Observation {
            target: target.clone(),
            probe: probe.clone(),
            kind: lang::kind(probe.as_str()),
            at,
            status: *status,
            finding: finding.clone(),
        })
        .collect()
}

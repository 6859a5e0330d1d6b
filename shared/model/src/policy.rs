//! The fleet policy: how everything is judged and repaired. Owned by the operators, versioned, kept by the server.
//!
//! What exists on a host, and what may ever be done there, is not here: that is the host's administrator's to say.
//! Every key has a default; a file names only what differs.

mod optimise;
mod range;
mod response;
mod rollout;
mod rules;
mod standing;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host::Dependency;
use crate::observation::ProbeKind;
use crate::step::Risk;
use crate::time::span;
use crate::window::Window;
use crate::{GroupName, HostId, MaintenanceName, RepairName, RuleName, ServiceName};

pub use crate::scope::Scope;
pub use optimise::{OptimisePolicy, QuietPolicy};
pub use range::OutOfRange;
pub use response::ResponsePolicy;
pub use rollout::{CanaryPolicy, GovernancePolicy, RolloutStage};
pub use rules::{CustomRule, RuleScope, RuleSetting, TargetKind};
pub use standing::StandingOrdersPolicy;

/// How eagerly repairs are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Skip pacing, never safety.
    Aggressive,
    /// Everything, paced.
    #[default]
    Balanced,
    /// Repair only critical faults.
    Conservative,
    /// Decide and show, repair nothing.
    Disabled,
}

impl Mode {
    /// All modes, from the boldest to the most careful.
    pub const ALL: [Self; 4] = [Self::Aggressive, Self::Balanced, Self::Conservative, Self::Disabled];

    /// The mode's name in configuration and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aggressive => "aggressive",
            Self::Balanced => "balanced",
            Self::Conservative => "conservative",
            Self::Disabled => "disabled",
        }
    }
}

/// A named set of defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// For fleets that people depend on.
    #[default]
    Standard,
    /// For demonstrations and benchmarks: pacing and cool-downs are lifted, and windows are short. No safety rule is.
    Rapid,
}

/// How probes of one kind look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeSetting {
    /// How often, within what each host's own `agent.toml` permits.
    #[serde(with = "span")]
    pub interval: Duration,
}

/// How a repair's effect is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Verification {
    /// How long after a command is done its symptom may last before the verdict is Unchanged.
    #[serde(with = "span")]
    pub deadline: Duration,
    /// How many good answers in a row make the symptom gone.
    pub successes: u32,
    /// How long a healed target is watched for a relapse before its incident is closed.
    #[serde(with = "span")]
    pub probation: Duration,
    /// How long evidence stays fresh when a probe's own interval does not say (three intervals otherwise).
    #[serde(with = "span")]
    pub fresh: Duration,
}

impl Default for Verification {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(60),
            successes: 2,
            probation: Duration::from_secs(300),
            fresh: Duration::from_secs(90),
        }
    }
}

/// How repairs are chosen by experience.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Learning {
    /// Whether a repair's chance may be drawn from what is believed instead of being its mean, so that what looks worse by
    /// bad luck is tried again. Never for critical faults or targets, nor for repairs of more than low risk, nor before a
    /// repair was tried against the very fault.
    pub explore: bool,
    /// The longest that a fault which mostly goes away by itself is waited for, in one incident.
    #[serde(with = "span")]
    pub wait_most: Duration,
    /// How long it takes until a person has mended what no repair did: what is to be gained by trying.
    #[serde(with = "span")]
    pub person: Duration,
    /// What draws start from. The same seed and history lead to the same choices.
    pub seed: u64,
}

impl Default for Learning {
    fn default() -> Self {
        Self { explore: false, wait_most: Duration::from_secs(60), person: Duration::from_secs(1_800), seed: 1 }
    }
}

/// The limits on acting. See the brakes' own documentation for what each one counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Attempts at one incident before a person is asked.
    pub attempts_per_incident: u32,
    /// Wait before a similar repair of the same target after one that did not hold; doubles each time.
    #[serde(with = "span")]
    pub cool_down: Duration,
    /// Relapses of one target within a day before a person is asked.
    pub relapses: u32,
    /// Repairs of one host in any hour.
    pub host_per_hour: u32,
    /// Of those, how many each target may use before it only gets what others leave.
    pub target_reserve: u32,
    /// Rollbacks of one host in any day.
    pub rollbacks_per_day: u32,
    /// Repairs of the fleet in any minute, for each 100 hosts begun.
    pub fleet_per_minute: u32,
    /// Repairs of the fleet in any hour, for each 100 hosts begun.
    pub fleet_per_hour: u32,
    /// Repairs under way at the same time, for each 100 hosts begun; at least 3.
    pub fleet_concurrent: u32,
    /// The share of hosts, in percent, that may be unhealthy before the fleet's breaker opens.
    pub breaker_percent: u32,
    /// The fewest known hosts at which the breaker works.
    pub breaker_hosts: u32,
    /// The longest wait for hosts to come back after a start of the server.
    #[serde(with = "span")]
    pub cold_start: Duration,
    /// The health, 0 to 100, that a target must have had before its fault to be repaired without a person.
    pub health_floor: u32,
    /// The share of the fleet's hosts, in percent, on which repairs may take out what still serves in any hour; at least 3.
    pub capacity_percent_per_hour: u32,
    /// High-risk repairs of one host in any day before a person must ask for them.
    pub critical_per_day: u32,
    /// The least risk of a repair that a person must always ask for.
    pub confirm_risk: Risk,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attempts_per_incident: 3,
            cool_down: Duration::from_secs(300),
            relapses: 3,
            host_per_hour: 10,
            target_reserve: 2,
            rollbacks_per_day: 3,
            fleet_per_minute: 10,
            fleet_per_hour: 50,
            fleet_concurrent: 3,
            breaker_percent: 20,
            breaker_hosts: 10,
            cold_start: Duration::from_secs(120),
            health_floor: 30,
            capacity_percent_per_hour: 10,
            critical_per_day: 10,
            confirm_risk: Risk::Dangerous,
        }
    }
}

/// When faults on several hosts are taken for one, and how long its victims are left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SharedCausePolicy {
    /// False repairs each fault by itself, however many look alike.
    pub enabled: bool,
    /// The fewest known hosts at which it works: in a smaller fleet nothing stands out.
    pub known_hosts: u32,
    /// The fewest hosts with the same fault that share something.
    pub hosts: u32,
    /// Within which time they must have failed.
    #[serde(with = "span")]
    pub window: Duration,
    /// How many times as often those that share it must have failed as the others.
    pub times: u32,
    /// How long victims are left alone before one of them is repaired on trial, and then another.
    #[serde(with = "span")]
    pub hold: Duration,
    /// The labels of hosts that name groups with a common fate.
    pub labels: Vec<String>,
}

impl Default for SharedCausePolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            known_hosts: 10,
            hosts: 3,
            window: Duration::from_secs(300),
            times: 3,
            hold: Duration::from_secs(300),
            labels: ["rack", "group", "zone"].map(str::to_owned).to_vec(),
        }
    }
}

/// What is done about the shape of what needs what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopologyPolicy {
    /// Whether the weakest edge of a cycle is softened.
    pub soften: bool,
    /// Edges that are never softened, as text: `"hosts/h1/targets/a -> hosts/h2/targets/b"`.
    pub keep: Vec<String>,
}

impl Default for TopologyPolicy {
    fn default() -> Self {
        Self { soften: true, keep: Vec::new() }
    }
}

/// How the health of the fleet is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    /// How often the scores are taken; the latest 100 of each are kept.
    #[serde(with = "span")]
    pub interval: Duration,
}

impl Health {
    /// The interval, never shorter than a second: scores go through the whole fleet.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval.max(Duration::from_secs(1))
    }
}

impl Default for Health {
    fn default() -> Self {
        Self { interval: Duration::from_secs(300) }
    }
}

/// How often the whole fleet is looked through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiagnosticsPolicy {
    /// False makes sweeps only on demand.
    pub enabled: bool,
    /// How often every probe of every host looks at once.
    #[serde(with = "span")]
    pub interval: Duration,
}

impl Default for DiagnosticsPolicy {
    fn default() -> Self {
        Self { enabled: true, interval: Duration::from_secs(300) }
    }
}

/// How a service that may span hosts is seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServicePolicy {
    /// What each member needs, beside what its host declares.
    pub depends_on: Vec<Dependency>,
    /// The fewest healthy members that must remain while one is repaired.
    pub minimum_healthy: Option<u32>,
}

/// A group of targets that are repaired with regard to each other.
///
/// A target belongs when its host or its service is named, when it or its host carries all of `labels`, or when it or
/// its host carries the label `group` with the group's name. A group that only labels name needs no entry here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupPolicy {
    /// Hosts whose targets belong.
    pub hosts: Vec<HostId>,
    /// Services whose members belong.
    pub services: Vec<ServiceName>,
    /// Labels that make a target belong when it or its host carries all of them; none means that labels do not matter.
    pub labels: BTreeMap<String, String>,
    /// How eagerly its members are repaired; null means as the fleet.
    pub mode: Option<Mode>,
    /// How many of its hosts may be under repair at the same time; null means one, or 5 % of them.
    pub concurrent: Option<u32>,
    /// The fewest of its hosts that must remain healthy while one that serves is repaired; null means one.
    pub minimum_healthy: Option<u32>,
    /// Whether more than half of its hosts must remain healthy, as databases need that vote.
    pub quorum: bool,
}

/// A condition under which nothing is repaired: while an open incident has a fault of that rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blocker {
    /// What it holds back.
    #[serde(with = "crate::scope::text")]
    pub scope: Scope,
    /// The rule whose faults hold it back.
    pub rule: RuleName,
    /// Where that fault must be.
    #[serde(with = "crate::scope::text", default = "everywhere")]
    pub on: Scope,
}

const fn everywhere() -> Scope {
    Scope::Fleet
}

/// The whole policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FleetPolicy {
    /// Rises with each change. The server sets it; a file may leave it out.
    pub version: u64,
    /// How eagerly repairs are made.
    pub mode: Mode,
    /// The set of defaults that the rest differs from.
    pub profile: Profile,
    /// How long an agent may be silent before its host counts as lost.
    #[serde(with = "span")]
    pub heartbeat: Duration,
    /// How a repair's effect is judged.
    pub verification: Verification,
    /// The limits on acting.
    pub limits: Limits,
    /// When faults on several hosts are taken for one.
    pub shared_cause: SharedCausePolicy,
    /// What is done about cycles of needs.
    pub topology: TopologyPolicy,
    /// Changes to shipped rules, by name.
    pub rules: BTreeMap<RuleName, RuleSetting>,
    /// How the health of the fleet is watched.
    pub health: Health,
    /// How often the whole fleet is looked through.
    pub diagnostics: DiagnosticsPolicy,
    /// Rules of the operators' own.
    #[serde(rename = "rule")]
    pub custom: Vec<CustomRule>,
    /// How repairs are chosen by experience.
    pub learning: Learning,
    /// How soon a fault must be responded to.
    pub response: ResponsePolicy,
    /// How often probes look, by kind, on hosts that let the fleet say so.
    pub probes: BTreeMap<ProbeKind, ProbeSetting>,
    /// Repairs that are never chosen.
    pub forbid_repairs: Vec<RepairName>,
    /// Services, by name.
    pub services: BTreeMap<ServiceName, ServicePolicy>,
    /// Groups, by name.
    pub groups: BTreeMap<GroupName, GroupPolicy>,
    /// Times of the week in which nothing is repaired, by name.
    pub maintenance: BTreeMap<MaintenanceName, Window>,
    /// Conditions under which nothing is repaired, by name.
    pub blockers: BTreeMap<MaintenanceName, Blocker>,
    /// What is done about things that are well and could be better.
    pub optimise: OptimisePolicy,
    /// What the quiet hours of a host are.
    pub quiet: QuietPolicy,
    /// What agents may do by themselves while the server cannot be reached.
    pub standing_orders: StandingOrdersPolicy,
    /// How a changed policy is rolled out. The policy in force decides, not the changed one.
    pub canary: CanaryPolicy,
    /// What is thought sound of the people who govern the fleet.
    pub governance: GovernancePolicy,
}

impl Default for FleetPolicy {
    fn default() -> Self {
        Self {
            version: 1,
            mode: Mode::Balanced,
            profile: Profile::Standard,
            heartbeat: Duration::from_secs(10),
            verification: Verification::default(),
            limits: Limits::default(),
            shared_cause: SharedCausePolicy::default(),
            learning: Learning::default(),
            response: ResponsePolicy::default(),
            topology: TopologyPolicy::default(),
            rules: BTreeMap::new(),
            custom: Vec::new(),
            health: Health::default(),
            diagnostics: DiagnosticsPolicy::default(),
            probes: BTreeMap::new(),
            forbid_repairs: Vec::new(),
            services: BTreeMap::new(),
            groups: BTreeMap::new(),
            maintenance: BTreeMap::new(),
            blockers: BTreeMap::new(),
            optimise: OptimisePolicy::default(),
            quiet: QuietPolicy::default(),
            standing_orders: StandingOrdersPolicy::default(),
            canary: CanaryPolicy::default(),
            governance: GovernancePolicy::default(),
        }
    }
}

impl FleetPolicy {
    /// The defaults of a profile.
    ///
    /// `Rapid` lifts pacing and cool-downs and shortens windows, for demonstrations and benchmarks. Attempts per
    /// incident, the breaker, blame, freshness and verification stay.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        let standard = Self::default();
        match profile {
            Profile::Standard => standard,
            Profile::Rapid => Self {
                profile: Profile::Rapid,
                heartbeat: Duration::from_secs(1),
                verification: Verification {
                    deadline: Duration::from_secs(8),
                    successes: 2,
                    probation: Duration::from_secs(1),
                    fresh: Duration::from_secs(2),
                },
                canary: CanaryPolicy { enabled: true, shadow: Duration::from_secs(1), soak: Duration::from_secs(1) },
                limits: Limits {
                    cool_down: Duration::from_millis(250),
                    relapses: 1_000_000,
                    host_per_hour: 1_000_000,
                    target_reserve: 1_000_000,
                    fleet_per_minute: 1_000_000,
                    fleet_per_hour: 1_000_000,
                    cold_start: Duration::from_secs(5),
                    capacity_percent_per_hour: 1_000_000,
                    critical_per_day: 1_000_000,
                    ..standard.limits
                },
                shared_cause: SharedCausePolicy { hold: Duration::from_secs(20), ..standard.shared_cause },
                ..standard
            },
        }
    }

    /// What this policy loosens against the standard one, in a line each, for a person to read at the start.
    #[must_use]
    pub fn loosened(&self) -> Vec<String> {
        match self.profile {
            Profile::Standard => Vec::new(),
            Profile::Rapid => vec![
                "no pacing: repairs per host, per day, per hour and per minute, and capacity per hour, are not limited"
                    .to_owned(),
                "no cool-down between similar repairs beyond 250 ms, and relapses are not counted".to_owned(),
                "short windows: probation 1 s, verification 8 s, leak detection and policy roll-outs in seconds"
                    .to_owned(),
            ],
        }
    }
}

mod optional_span {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    #[expect(clippy::ref_option, reason = "serde calls it with a reference to the field")]
    pub(super) fn serialize<S: Serializer>(span: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        span.map(crate::time::format_span).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| crate::time::parse_span(&text).map_err(de::Error::custom)).transpose()
    }
}

//! The causes that a diagnosis may name.

use std::time::Duration;

use prunella_model::CauseName;
use prunella_model::incident::Category;

/// A cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// The process ended, and nothing says why but how it ended.
    Killed,
    /// The process lives but gives no answer.
    Hung,
    /// The process lives and answers, but wrongly.
    BadAnswers,
    /// A configuration file differs from its known-good content, and failures followed.
    ConfigCorrupted,
    /// It fails since its version changed, and restarts do not mend that; or so do those who run the same version.
    BadVersion,
    /// A directory nears its quota.
    DirectoryFull,
    /// The process never gives memory back.
    MemoryLeak,
    /// The process never closes what it opens.
    DescriptorLeak,
    /// The process never ends its threads.
    ThreadLeak,
    /// Something that the target depends on is broken.
    Upstream,
    /// Targets wait for each other in a circle.
    Deadlock,
    /// Those who share a dependency fail together.
    SharedDependency,
    /// Those who share a change fail together.
    SharedChange,
    /// Those of one group of hosts fail together.
    SharedGroup,
    /// The host is out of reach.
    OutOfReach,
    /// The host has too much to do.
    Overload,
    /// Another process holds the target's port.
    PortStolen,
    /// A cache nears its bound.
    CacheLarge,
    /// A target of no urgency takes what others need.
    Contention,
    /// A target gets too small a share of a busy host.
    Starved,
    /// A kernel parameter has another value than the one declared as better.
    Untuned,
    /// There are more releases than are to be kept.
    OldGenerations,
    /// A store takes much of a filling disk.
    StoreLarge,
    /// A directory grows towards its quota.
    DirectoryGrowth,
    /// A process keeps more memory than it began with.
    MemoryGrowth,
    /// Jobs fail or run into their time limit.
    JobTimeout,
    /// A queue has no room, or its workers no time.
    QueueExhausted,
    /// A queue grows and does not drain.
    QueueBacklog,
    /// Jobs take longer than they used to.
    JobSlow,
    /// A share that rises will reach its end.
    Exhaustion,
    /// Something is unusual, and nothing says why. That is no licence to do anything.
    Unusual,
    /// A check of a part of the target failed, or warns.
    CheckFailed,
    /// A certificate has ended, will end, or is not trusted.
    Certificate,
    /// The registration of a domain ends.
    Domain,
    /// A name does not resolve as it should.
    NameWrong,
    /// The kernel killed something for want of memory.
    OutOfMemory,
    /// The kernel tells of failing hardware or of want of memory.
    Kernel,
    /// Files differ from their baseline.
    Drift,
    /// An agent is heard, but its probes do not look.
    AgentStalled,
    /// A probe cannot look.
    ProbeBroken,
    /// An agent's stream breaks again and again.
    AgentUnstable,
    /// A host's clock differs from the server's.
    ClockSkew,
    /// An agent does not act, for a reason of its own.
    AgentObserves,
    /// An agent does not trust what it is sent, or no longer permits it.
    NoAuthority,
    /// An agent was left out of an upgrade, or runs with files that have changed since.
    AgentOutdated,
    /// What the fleet policy's own rule is about; that rule names the repairs.
    Declared,
    /// Not known.
    Unknown,
}

impl Cause {
    /// All causes.
    pub(crate) const ALL: [Self; 47] = [
        Self::Killed,
        Self::Hung,
        Self::BadAnswers,
        Self::ConfigCorrupted,
        Self::BadVersion,
        Self::DirectoryFull,
        Self::MemoryLeak,
        Self::DescriptorLeak,
        Self::ThreadLeak,
        Self::Upstream,
        Self::Deadlock,
        Self::SharedDependency,
        Self::SharedChange,
        Self::SharedGroup,
        Self::OutOfReach,
        Self::Overload,
        Self::PortStolen,
        Self::CacheLarge,
        Self::Contention,
        Self::Starved,
        Self::Untuned,
        Self::OldGenerations,
        Self::StoreLarge,
        Self::DirectoryGrowth,
        Self::MemoryGrowth,
        Self::JobTimeout,
        Self::QueueExhausted,
        Self::QueueBacklog,
        Self::JobSlow,
        Self::Exhaustion,
        Self::Unusual,
        Self::CheckFailed,
        Self::Certificate,
        Self::Domain,
        Self::NameWrong,
        Self::OutOfMemory,
        Self::Kernel,
        Self::Drift,
        Self::AgentStalled,
        Self::ProbeBroken,
        Self::AgentUnstable,
        Self::ClockSkew,
        Self::AgentObserves,
        Self::NoAuthority,
        Self::AgentOutdated,
        Self::Declared,
        Self::Unknown,
    ];

    /// Its name in a diagnosis.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Hung => "hung",
            Self::BadAnswers => "bad_answers",
            Self::ConfigCorrupted => "config_corrupted",
            Self::BadVersion => "bad_version",
            Self::DirectoryFull => "directory_full",
            Self::MemoryLeak => "memory_leak",
            Self::DescriptorLeak => "descriptor_leak",
            Self::ThreadLeak => "thread_leak",
            Self::Upstream => "upstream",
            Self::Deadlock => "deadlock",
            Self::SharedDependency => "shared_dependency",
            Self::SharedChange => "shared_change",
            Self::SharedGroup => "shared_group",
            Self::OutOfReach => "out_of_reach",
            Self::Overload => "overload",
            Self::PortStolen => "port_stolen",
            Self::CacheLarge => "cache_large",
            Self::Contention => "contention",
            Self::Starved => "starved",
            Self::Untuned => "untuned",
            Self::OldGenerations => "old_generations",
            Self::StoreLarge => "store_large",
            Self::DirectoryGrowth => "directory_growth",
            Self::MemoryGrowth => "memory_growth",
            Self::JobTimeout => "job_timeout",
            Self::QueueExhausted => "queue_exhausted",
            Self::QueueBacklog => "queue_backlog",
            Self::JobSlow => "job_slow",
            Self::Exhaustion => "exhaustion",
            Self::Unusual => "unusual",
            Self::CheckFailed => "check_failed",
            Self::Certificate => "certificate",
            Self::Domain => "domain",
            Self::NameWrong => "name_wrong",
            Self::OutOfMemory => "out_of_memory",
            Self::Kernel => "kernel",
            Self::Drift => "drift",
            Self::AgentStalled => "agent_stalled",
            Self::ProbeBroken => "probe_broken",
            Self::AgentUnstable => "agent_unstable",
            Self::ClockSkew => "clock_skew",
            Self::AgentObserves => "agent_observes",
            Self::NoAuthority => "no_authority",
            Self::AgentOutdated => "agent_outdated",
            Self::Declared => "custom_rule",
            Self::Unknown => "unknown",
        }
    }

    /// The same as a name.
    pub(crate) fn name(self) -> CauseName {
        CauseName::of(self.as_str())
    }

    /// The cause of that name; Unknown for one that this version does not have.
    pub(crate) fn of(name: &CauseName) -> Self {
        Self::ALL.into_iter().find(|cause| cause.as_str() == name.as_str()).unwrap_or(Self::Unknown)
    }

    /// What kind of trouble it is.
    pub(crate) const fn category(self) -> Category {
        match self {
            Self::Killed
            | Self::PortStolen
            | Self::Hung
            | Self::BadAnswers
            | Self::BadVersion
            | Self::Declared
            | Self::JobTimeout
            | Self::Unusual
            | Self::CheckFailed
            | Self::NameWrong
            | Self::Unknown => Category::Operational,
            Self::ConfigCorrupted | Self::SharedChange | Self::Drift => Category::GovernanceDrift,
            Self::DirectoryFull
            | Self::MemoryLeak
            | Self::DescriptorLeak
            | Self::ThreadLeak
            | Self::Overload
            | Self::CacheLarge
            | Self::Contention
            | Self::Starved
            | Self::Untuned
            | Self::OldGenerations
            | Self::StoreLarge
            | Self::DirectoryGrowth
            | Self::MemoryGrowth
            | Self::Exhaustion
            | Self::QueueExhausted
            | Self::QueueBacklog
            | Self::JobSlow
            | Self::Certificate
            | Self::Domain
            | Self::OutOfMemory
            | Self::Kernel => Category::StabilityThreat,
            Self::Upstream | Self::Deadlock | Self::SharedDependency | Self::SharedGroup => Category::Structural,
            Self::OutOfReach
            | Self::AgentStalled
            | Self::ProbeBroken
            | Self::AgentUnstable
            | Self::ClockSkew
            | Self::AgentObserves
            | Self::NoAuthority
            | Self::AgentOutdated => Category::AgentFault,
        }
    }

    /// How long it takes such a fault to go away by itself, where that is known to happen at all.
    ///
    /// Nothing restarts an ended process or empties a directory by itself; what hangs sometimes comes back.
    pub(crate) const fn self_recovery(self) -> Duration {
        match self {
            Self::Hung | Self::Deadlock | Self::BadAnswers | Self::Declared | Self::Unusual | Self::Unknown => {
                Duration::from_secs(600)
            }
            Self::Upstream
            | Self::SharedDependency
            | Self::SharedChange
            | Self::SharedGroup
            | Self::OutOfReach
            | Self::Overload => Duration::from_secs(300),
            // Load that made a queue long often passes within a quarter of an hour.
            Self::JobTimeout | Self::QueueExhausted | Self::QueueBacklog | Self::JobSlow => Duration::from_secs(900),
            Self::AgentStalled | Self::AgentUnstable | Self::CheckFailed | Self::NameWrong => Duration::from_secs(600),
            Self::Killed
            | Self::ConfigCorrupted
            | Self::BadVersion
            | Self::DirectoryFull
            | Self::MemoryLeak
            | Self::PortStolen
            | Self::CacheLarge
            | Self::Contention
            | Self::Starved
            | Self::Untuned
            | Self::OldGenerations
            | Self::StoreLarge
            | Self::DescriptorLeak
            | Self::ThreadLeak
            | Self::DirectoryGrowth
            | Self::MemoryGrowth
            | Self::Exhaustion
            | Self::Certificate
            | Self::Domain
            | Self::OutOfMemory
            | Self::Kernel
            | Self::Drift
            | Self::ProbeBroken
            | Self::ClockSkew
            | Self::AgentObserves
            | Self::NoAuthority
            | Self::AgentOutdated => Duration::from_secs(86_400),
        }
    }
}

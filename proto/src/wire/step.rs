//! Steps, and the closed sets of words.

use prunella_model::observation::{Level, ProbeKind, Status};
use prunella_model::part::PartKind;
use prunella_model::snapshot::SnapshotKind;
use prunella_model::step::{Effect, Risk, Signal, Step, StepKind, TargetStep};

use super::error::{WireError, Within as _, Wrong};
use super::field::{digest, name, required};
use super::part::{encode_use, use_part};
use super::time::{encode_span, span};
use crate::agent::v1 as pb;

/// Writes both directions of a closed set; a new member does not compile until it is in both.
macro_rules! words {
    ($ours:ident, $what:literal, $encode:ident, $decode:ident, [$($word:ident),*]) => {
        #[doc = concat!("The number of a ", $what, ".")]
        pub(super) const fn $encode(it: $ours) -> i32 {
            match it {
                $($ours::$word => pb::$ours::$word as i32,)*
            }
        }

        /// Reads it; an unset or unknown number is an error, never a default.
        pub(super) fn $decode(field: &str, number: i32) -> Result<$ours, WireError> {
            match pb::$ours::try_from(number) {
                $(Ok(pb::$ours::$word) => Ok($ours::$word),)*
                Ok(pb::$ours::Unspecified) => Err(Wrong::Missing.in_field(field)),
                Err(_) => Err(Wrong::UnknownNumber { what: $what, number }.in_field(field)),
            }
        }
    };
}

words!(
    ProbeKind,
    "probe kind",
    encode_probe_kind,
    probe_kind,
    [
        Host,
        Process,
        Http,
        Tcp,
        Log,
        Directory,
        File,
        Unit,
        Plugin,
        ServicePlugin,
        Grpc,
        Postgres,
        Redis,
        Container,
        Certificate,
        Dns,
        Clock,
        Domain,
        Mount,
        Cgroup,
        Kernel,
        Drift,
        Queue,
        Metrics,
        Locks,
        Haproxy
    ]
);
words!(Level, "level", encode_level, level, [Good, Warning, Critical]);
words!(Status, "status", encode_status, status, [Up, Down, Unknown]);
words!(Signal, "signal", encode_signal, signal, [Hangup, Terminate, Kill, Continue, User1, User2]);
words!(
    StepKind,
    "step kind",
    encode_step_kind,
    step_kind,
    [
        StartService,
        StopService,
        RestartService,
        SignalProcess,
        CleanDirectory,
        RestoreFile,
        ReloadService,
        ReinitConnections,
        RunDeclared,
        ClearCache,
        OptimizeCache,
        RebuildCache,
        WarmCache,
        UpdateConfig,
        ValidateConfig,
        KillProcess,
        FreeMemory,
        CollectGarbage,
        OptimizeStore,
        SwitchGeneration,
        PruneGenerations,
        SetWeight,
        SetSysctl,
        DrainServer,
        ReadyServer,
        SetServerWeight,
        ScaleInstances,
        RenewCertificate,
        PromoteStandby,
        MakeBackup,
        Lockdown,
        EndLockdown,
        ShutDownHost,
        RebootHost
    ]
);
words!(
    PartKind,
    "part kind",
    encode_part_kind,
    part_kind,
    [
        Reload,
        Connections,
        Program,
        Cache,
        Config,
        Stray,
        Memory,
        Store,
        Releases,
        Weight,
        Sysctl,
        Balancer,
        Instances,
        Certificate,
        Standby,
        Backup,
        Machine
    ]
);
words!(Risk, "risk", encode_risk, risk, [Low, Medium, High, Dangerous]);
words!(
    SnapshotKind,
    "snapshot kind",
    encode_snapshot_kind,
    snapshot_kind,
    [KnownGood, PreRepair, Manual, Emergency, Scheduled, Listing]
);
words!(Effect, "effect", encode_effect, effect, [Idempotent, AtMostOnce]);

/// A step as it travels.
pub(super) fn encode_step(it: &TargetStep) -> pb::TargetStep {
    use pb::target_step::Step as Wire;
    let step = match &it.step {
        Step::StartService => Wire::StartService(pb::StartService {}),
        Step::StopService { grace } => Wire::StopService(pb::StopService { grace: Some(encode_span(*grace)) }),
        Step::RestartService { grace } => Wire::RestartService(pb::RestartService { grace: Some(encode_span(*grace)) }),
        Step::SignalProcess { signal } => Wire::SignalProcess(pb::SignalProcess { signal: encode_signal(*signal) }),
        Step::CleanDirectory { directory, until_percent } => Wire::CleanDirectory(pb::CleanDirectory {
            directory: directory.as_str().to_owned(),
            until_percent: u32::from(*until_percent),
        }),
        Step::RestoreFile { file, snapshot } => {
            Wire::RestoreFile(pb::RestoreFile { file: file.as_str().to_owned(), snapshot: snapshot.0.to_vec() })
        }
        Step::Use { part, act } => Wire::UsePart(encode_use(part, act)),
    };
    pb::TargetStep { target: it.target.as_str().to_owned(), step: Some(step) }
}

/// Reads a step.
pub(super) fn step(it: pb::TargetStep) -> Result<TargetStep, WireError> {
    use pb::target_step::Step as Wire;
    let step = match required("step", it.step)? {
        Wire::StartService(pb::StartService {}) => Step::StartService,
        Wire::StopService(it) => Step::StopService { grace: span("stop_service.grace", it.grace)? },
        Wire::RestartService(it) => Step::RestartService { grace: span("restart_service.grace", it.grace)? },
        Wire::SignalProcess(it) => Step::SignalProcess { signal: signal("signal_process.signal", it.signal)? },
        Wire::CleanDirectory(it) => Step::CleanDirectory {
            directory: name("clean_directory.directory", &it.directory)?,
            until_percent: percent("clean_directory.until_percent", it.until_percent)?,
        },
        Wire::RestoreFile(it) => Step::RestoreFile {
            file: name("restore_file.file", &it.file)?,
            snapshot: digest("restore_file.snapshot", &it.snapshot)?,
        },
        Wire::UsePart(it) => use_part(it).within("use_part")?,
    };
    Ok(TargetStep { target: name("target", &it.target)?, step })
}

pub(super) fn percent(field: &str, found: u32) -> Result<u8, WireError> {
    u8::try_from(found)
        .ok()
        .filter(|percent| *percent <= 100)
        .ok_or_else(|| Wrong::OutOfRange { found: i128::from(found), range: "0 to 100" }.in_field(field))
}

//! The table of steps: everything about a kind of step that holds wherever it is done.

use serde::{Deserialize, Serialize};

use super::{Effect, Risk};
use crate::part::PartKind;

/// What holds for every step of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepSpec {
    /// Its name in configuration and output.
    pub name: &'static str,
    /// The least risk that a command with it must declare.
    pub risk: Risk,
    /// What may be done when it is not known whether it happened.
    pub effect: Effect,
    /// The kind of declared part that it acts on; none for the steps that act on a process, directory or file.
    pub part: Option<PartKind>,
    /// What it does, in a line.
    pub does: &'static str,
    /// What puts back what was there before, or why nothing does.
    pub undo: &'static str,
}

/// Writes the enum and its table from one list, so that no kind can be in one of them alone.
macro_rules! kinds {
    ($($kind:ident, $name:literal, $risk:ident, $effect:ident, $part:expr, $does:literal, $undo:literal;)*) => {
        /// The kinds of step, for policies that permit by kind.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum StepKind {
            $(#[doc = $does] $kind,)*
        }

        impl StepKind {
            /// All kinds, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// What holds for every step of this kind.
            #[must_use]
            pub const fn spec(self) -> StepSpec {
                match self {
                    $(Self::$kind => StepSpec {
                        name: $name,
                        risk: Risk::$risk,
                        effect: Effect::$effect,
                        part: $part,
                        does: $does,
                        undo: $undo,
                    },)*
                }
            }
        }
    };
}

use PartKind as Part;

kinds! {
    StartService, "start_service", Low, Idempotent, None,
        "Starts the service; nothing happens when it runs already.",
        "stop it";
    StopService, "stop_service", High, Idempotent, None,
        "Stops the service; nothing happens when it does not run.",
        "start it";
    RestartService, "restart_service", Medium, AtMostOnce, None,
        "Ends the run that was seen, if it still lives, and starts a new one.",
        "irreversible: a run that ended cannot be taken up again";
    SignalProcess, "signal_process", High, AtMostOnce, None,
        "Sends a signal to the service's main process.",
        "irreversible: what a signal did is the program's own affair";
    CleanDirectory, "clean_directory", High, Idempotent, None,
        "Removes files of a declared directory that its age rule covers, oldest first, until it is small enough.",
        "irreversible: the agent keeps the list of what it removed, not the contents";
    RestoreFile, "restore_file", Medium, Idempotent, None,
        "Puts a declared file back to the content of a snapshot; a declared validator must accept it.",
        "put back the content from before, which is saved first";
    ReloadService, "reload_service", Medium, AtMostOnce, Some(Part::Reload),
        "Makes the service read its configuration anew, by its declared program or signal.",
        "irreversible: put the configuration back, and reload again";
    ReinitConnections, "reinit_connections", Medium, AtMostOnce, Some(Part::Connections),
        "Makes the service open its declared pool of connections anew, by the declared program or signal.",
        "irreversible: closed connections are gone; the service opens new ones";
    RunDeclared, "run_declared", Low, AtMostOnce, Some(Part::Program),
        "Runs a declared program with its declared arguments, as its declared user, within its declared time.",
        "run the program that its declaration names as its undo; irreversible without one";
    ClearCache, "clear_cache", Medium, Idempotent, Some(Part::Cache),
        "Empties a declared cache: a directory, or one database of a Redis server.",
        "irreversible: a cache holds nothing that cannot be made again";
    OptimizeCache, "optimize_cache", Low, Idempotent, Some(Part::Cache),
        "Removes what of a declared cache was not used for longest, until it is within a share of its size bound.",
        "irreversible: a cache holds nothing that cannot be made again";
    RebuildCache, "rebuild_cache", Medium, AtMostOnce, Some(Part::Cache),
        "Empties a declared cache and runs its declared rebuilding program.",
        "irreversible: a cache holds nothing that cannot be made again";
    WarmCache, "warm_cache", Low, Idempotent, Some(Part::Cache),
        "Sends the declared warm-up requests of a cache.",
        "nothing to put back: it only reads";
    UpdateConfig, "update_config", Medium, Idempotent, Some(Part::Config),
        "Puts the declared source's content into a declared file; a declared validator must accept it before and after.",
        "put back the content from before, which is saved first";
    ValidateConfig, "validate_config", Low, Idempotent, Some(Part::Config),
        "Runs the declared validator of a file.",
        "nothing to put back: it only reads";
    KillProcess, "kill_process", High, Idempotent, Some(Part::Stray),
        "Ends the stray processes that a declared rule matches, never the target's own, the agent's or the first.",
        "irreversible: a process that ended cannot be taken up again";
    FreeMemory, "free_memory", Low, Idempotent, Some(Part::Memory),
        "Makes the kernel give back memory that it can: of a declared control group, or the host's clean caches.",
        "nothing to put back: what is needed again is read again";
    CollectGarbage, "collect_garbage", High, Idempotent, Some(Part::Store),
        "Removes what nothing refers to from a declared store: nix-collect-garbage, or the declared program.",
        "irreversible: only what nothing refers to is removed, and the store can fetch or build it again";
    OptimizeStore, "optimize_store", Low, Idempotent, Some(Part::Store),
        "Makes equal files of a declared store one: nix-store --optimise, or the declared program.",
        "nothing to put back: no content changes";
    SwitchGeneration, "switch_generation", Medium, Idempotent, Some(Part::Releases),
        "Points the link of a declared set of releases to another of them, in one atomic step.",
        "point it back to the release from before";
    PruneGenerations, "prune_generations", High, Idempotent, Some(Part::Releases),
        "Removes the oldest releases beyond the declared number, never the current nor the known-good one.",
        "irreversible: only releases beyond those that the administrator wants to keep are removed";
    SetWeight, "set_weight", Low, Idempotent, Some(Part::Weight),
        "Sets the nice value, I/O priority or control group weight of the service, within declared bounds.",
        "set the value from before";
    SetSysctl, "set_sysctl", Medium, Idempotent, Some(Part::Sysctl),
        "Sets a declared kernel parameter, within declared bounds.",
        "set the value from before";
    DrainServer, "drain_server", Medium, Idempotent, Some(Part::Balancer),
        "Makes a declared load balancer send no new work to a server, by HAProxy's runtime socket.",
        "make the server ready again";
    ReadyServer, "ready_server", Low, Idempotent, Some(Part::Balancer),
        "Makes a declared load balancer send work to a server again, by HAProxy's runtime socket.",
        "drain the server";
    SetServerWeight, "set_server_weight", Medium, Idempotent, Some(Part::Balancer),
        "Sets the share of work that a declared load balancer sends to a server, by HAProxy's runtime socket.",
        "set the weight from before";
    ScaleInstances, "scale_instances", Medium, Idempotent, Some(Part::Instances),
        "Starts or stops instances of a declared systemd template until so many run, within declared bounds.",
        "start or stop instances until as many run as before";
    RenewCertificate, "renew_certificate", Medium, AtMostOnce, Some(Part::Certificate),
        "Runs the declared tool that renews a certificate, and looks whether the certificate is newer.",
        "irreversible: the earlier certificate is saved first, but would expire all the same";
    PromoteStandby, "promote_standby", Dangerous, AtMostOnce, Some(Part::Standby),
        "Makes a declared PostgreSQL standby the primary.",
        "irreversible: the former primary must be built anew as a standby";
    MakeBackup, "make_backup", Low, Idempotent, Some(Part::Backup),
        "Copies the declared paths into a content-addressed store, and reads every copy again.",
        "nothing to put back: it only adds";
    Lockdown, "lockdown", Dangerous, Idempotent, Some(Part::Machine),
        "Lets nothing in or out of the host but the control plane and the declared ports, by nftables.",
        "end the lockdown";
    EndLockdown, "end_lockdown", Dangerous, Idempotent, Some(Part::Machine),
        "Takes the lockdown's own table out of nftables.",
        "lock down again";
    ShutDownHost, "shut_down_host", Dangerous, AtMostOnce, Some(Part::Machine),
        "Shuts the host down.",
        "irreversible from here: somebody must switch it on";
    RebootHost, "reboot_host", Dangerous, AtMostOnce, Some(Part::Machine),
        "Restarts the host.",
        "irreversible: what ran has ended";
}

impl StepKind {
    /// The kind's name in configuration and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.spec().name
    }
}

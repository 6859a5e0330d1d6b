//! What guards the host keeps guarding it.

use prunella_model::host::TargetReport;
use prunella_model::step::{Signal, Step};

use crate::brakes::{Ask, Brake, Class, Stop};

/// Names of services that guard a host, as distributions ship them.
const GUARDS: [&str; 12] = [
    "apparmor",
    "auditd",
    "clamav-daemon",
    "crowdsec",
    "fail2ban",
    "falco",
    "firewalld",
    "nftables",
    "osqueryd",
    "sshguard",
    "ufw",
    "wazuh-agent",
];

/// The label that makes any target a guard.
const LABEL: &str = "security";

/// Whether a target is a security control.
fn guards(report: &TargetReport) -> bool {
    let known = |name: &str| GUARDS.contains(&name);
    known(report.name.as_str())
        || report.service.as_ref().is_some_and(|service| known(service.as_str()))
        || report.labels.get(LABEL).is_some_and(|value| value != "false")
}

/// Never disable security controls.
pub(super) struct NeverDisableSecurity;

impl Brake for NeverDisableSecurity {
    fn name(&self) -> &'static str {
        "never_disable_security"
    }

    fn about(&self) -> &'static str {
        "Never leave a security control stopped: a target with the label security, or one of the known services that guard \
         a host, may be restarted and started, but no command may end with it down."
    }

    fn class(&self) -> Class {
        Class::DoNoHarm
    }

    fn check(&self, ask: &Ask<'_>) -> Option<Stop> {
        let report = &ask.engine.target_at(ask.key).report;
        if !guards(report) {
            return None;
        }
        let mut down = false;
        for it in &ask.plan?.steps {
            match &it.step {
                Step::StopService { .. } | Step::SignalProcess { signal: Signal::Terminate | Signal::Kill } => {
                    down = true
                }
                Step::StartService | Step::RestartService { .. } => down = false,
                Step::SignalProcess { signal: Signal::Hangup | Signal::Continue | Signal::User1 | Signal::User2 }
                | Step::CleanDirectory { .. }
                | Step::RestoreFile { .. }
                | Step::Use { .. } => {}
            }
        }
        let why = format!("{} is a security control, and {} would leave it stopped", report.name, ask.repair);
        down.then_some(Stop::Person { why })
    }
}

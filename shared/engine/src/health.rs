//! How well things are, 0 to 100: a target by its probes, and what is made of that for hosts, services and the fleet.

mod history;
mod layers;
mod sample;

pub(crate) use layers::Tally;
pub(crate) use sample::{Records, first_sample, part_used};

use prunella_model::observation::{Finding, Level, ProbeKind, Status};

use crate::Engine;
use crate::host::Host;
use crate::key::{Key, at};
use crate::target::Target;

/// What a failed probe of each kind leaves of a target's health.
const fn left(kind: ProbeKind) -> f64 {
    match kind {
        // Without its process there is nothing left of it.
        ProbeKind::Process | ProbeKind::Unit => 0.0,
        ProbeKind::Http
        | ProbeKind::Tcp
        | ProbeKind::ServicePlugin
        | ProbeKind::Grpc
        | ProbeKind::Postgres
        | ProbeKind::Redis
        | ProbeKind::Container => 20.0,
        ProbeKind::Certificate | ProbeKind::Dns | ProbeKind::Domain | ProbeKind::Haproxy => 40.0,
        ProbeKind::Host | ProbeKind::Directory | ProbeKind::Mount | ProbeKind::Cgroup | ProbeKind::Kernel => 50.0,
        ProbeKind::File | ProbeKind::Drift | ProbeKind::Plugin | ProbeKind::Clock => 60.0,
        ProbeKind::Log | ProbeKind::Queue | ProbeKind::Metrics | ProbeKind::Locks => 70.0,
    }
}

impl Engine {
    /// The health of a target by its fresh probes, the worst one counting; null without fresh evidence.
    ///
    /// The target that stands for a host has the host's resources: the mean of what is free of processor, memory and disk.
    pub(crate) fn health(&self, key: Key) -> Option<f64> {
        let host = &self.hosts[at(key.host)];
        let target = &host.targets[at(key.target)];
        if target.report.name.is_host() {
            return self.resource_health(key);
        }
        let mut worst: Option<f64> = None;
        for probe in &target.probes {
            let Some(seen) = probe.fresh(self.now, host.contact(), self.policy.verification.fresh) else { continue };
            let score = match (&probe.finding, seen.status) {
                (Some(Finding::DirectoryUse { used_bytes, quota_bytes }), Status::Up | Status::Down) => {
                    // Full costs half the health; up to four fifths costs nothing.
                    let used = crate::rules::percent(*used_bytes, *quota_bytes).clamp(80.0, 100.0);
                    100.0 - (used - 80.0) * 2.5
                }
                (Some(Finding::Checked { level: Level::Warning, .. }), Status::Up) => 80.0,
                (_, Status::Up) => 100.0,
                (_, Status::Down) => left(probe.report.kind),
                (_, Status::Unknown) => continue,
            };
            worst = Some(worst.map_or(score, |worst| worst.min(score)));
        }
        worst
    }

    fn resource_health(&self, key: Key) -> Option<f64> {
        let host = &self.hosts[at(key.host)];
        let contact = host.contact()?;
        if self.now.since(contact) > self.policy.verification.fresh {
            return None;
        }
        layers::mean(free(host, &host.targets[at(key.target)]).into_iter().flatten())
    }
}

/// What is free of a host's processors, memory and disks by the series of its own target, in percent, the fullest of each
/// counting; null where it is not measured.
fn free(host: &Host, own: &Target) -> [Option<f64>; 3] {
    let mut used: [Option<f64>; 3] = [None; 3];
    for number in &own.series {
        let Some(Some(series)) = host.series.get(at(*number)) else { continue };
        let Some((part, value)) = series.part.zip(series.value) else { continue };
        if let Some(used) = used.get_mut(part) {
            *used = Some(used.map_or(value, |most| most.max(value)));
        }
    }
    used.map(|used| used.map(|used| (100.0 - used).clamp(0.0, 100.0)))
}

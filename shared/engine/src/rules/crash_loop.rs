//! The target's process ends again and again soon after its start.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::observation::ProbeKind;
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Symptom, Tuning};
use crate::target::{Exit, Life};

/// A run that lasted longer than the window divided by this was not short.
const SHORT: u32 = 3;

/// See the module.
pub(super) struct CrashLoop;

impl Rule for CrashLoop {
    fn name(&self) -> &'static str {
        super::CRASH_LOOP
    }

    fn about(&self) -> &'static str {
        "The process ended by itself three times within five minutes (rapid: ten seconds), each time after a short run. \
         Ends that came from outside, such as a kill, are not counted."
    }

    fn shipped(&self, profile: Profile) -> Tuning {
        Tuning {
            enabled: true,
            severity: Severity::High,
            threshold: 0.0,
            clear: 0.0,
            hold: match profile {
                Profile::Standard => Duration::from_secs(300),
                Profile::Rapid => Duration::from_secs(10),
            },
            count: 3,
        }
    }

    fn judge(&self, it: &Subject<'_>) -> Judgement {
        let contact = it.host.contact();
        let mut probes = it.target.of_kind(ProbeKind::Process).chain(it.target.of_kind(ProbeKind::Unit));
        let Some((probe, seen)) = probes.find_map(|probe| Some((probe, probe.fresh(it.now, contact, it.fresh)?)))
        else {
            return Judgement::Unknown;
        };
        if seen.host < it.since {
            return Judgement::Unknown;
        }
        let own: Vec<&Exit> = crashes(it).collect();
        let need = usize::try_from(it.tuning.count).unwrap_or(usize::MAX);
        let Some(first) = own.iter().rev().nth(need - 1) else {
            return alive(it, probe.row_since(seen.status, it.since));
        };
        match it.target.process.life {
            Life::Ended => Judgement::Present(Symptom {
                since: first.host,
                probe: Some(probe.report.name.clone()),
                summary: format!(
                    "{} ended {} times within {}, last with {}",
                    it.target.report.name,
                    own.len(),
                    crate::text::span(it.tuning.hold),
                    own.last().map_or_else(String::new, |exit| exit.text()),
                ),
            }),
            Life::Running | Life::Stopped | Life::Unknown => alive(it, probe.row_since(seen.status, it.since)),
        }
    }
}

/// It is over only when the process has outlived the runs of the loop.
fn alive(it: &Subject<'_>, row: u32) -> Judgement {
    match it.target.process.life {
        Life::Running => {
            let longest = crashes(it).filter_map(|exit| exit.ran).max().unwrap_or_default();
            let age = it.target.process.began.map_or(Duration::MAX, |began| it.now.since(began));
            if age > longest.saturating_mul(2) { Judgement::Absent(row) } else { Judgement::Unknown }
        }
        Life::Stopped => Judgement::Absent(row),
        Life::Ended => Judgement::Absent(0),
        Life::Unknown => Judgement::Unknown,
    }
}

/// Recent ends of short runs that did not come from outside, oldest first.
fn crashes<'a>(it: &'a Subject<'_>) -> impl DoubleEndedIterator<Item = &'a Exit> {
    let now = it.host.clock.to_host(it.now);
    let short = it.tuning.hold / SHORT;
    it.target.process.exits.iter().filter(move |exit| {
        !exit.came_from_outside() && now.since(exit.host) <= it.tuning.hold && exit.ran.is_none_or(|ran| ran <= short)
    })
}

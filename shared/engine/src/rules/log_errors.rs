//! Lines that a log probe looks for come too often.

use std::time::Duration;

use prunella_model::incident::Severity;
use prunella_model::observation::{Finding, ProbeKind};
use prunella_model::policy::Profile;

use super::{Judgement, Rule, Subject, Symptom, Tuning};

/// See the module.
pub(super) struct LogErrors;

impl Rule for LogErrors {
    fn name(&self) -> &'static str {
        super::LOG_ERRORS
    }

    fn about(&self) -> &'static str {
        "A log probe of a target found ten matching lines or more (`count`) within five minutes (`for`). One bad line is not \
         a fault; it is well again when less than that came in the last five minutes."
    }

    fn shipped(&self, _profile: Profile) -> Tuning {
        Tuning {
            enabled: true,
            severity: Severity::Low,
            threshold: 0.0,
            clear: 0.0,
            hold: Duration::from_secs(300),
            count: 10,
        }
    }

    fn judge(&self, it: &Subject<'_>) -> Judgement {
        let contact = it.host.contact();
        let mut judgement = Judgement::Unknown;
        for probe in it.target.of_kind(ProbeKind::Log) {
            if probe.fresh(it.now, contact, it.fresh).is_none_or(|seen| seen.host < it.since) {
                continue;
            }
            let from = it.host.clock.to_host(it.now).before(it.tuning.hold).max(it.since);
            let recent = probe.lines.iter().filter(|(at, _)| *at > from);
            let (first, count) = recent.fold((None, 0_u64), |(first, sum), (at, count)| {
                (Some(first.unwrap_or(*at)), sum.saturating_add(*count))
            });
            if let Some(since) = first.filter(|_| count >= u64::from(it.tuning.count)) {
                let last = match &probe.finding {
                    Some(Finding::LinesMatched { last, .. }) if !last.is_empty() => format!(", the last: {last}"),
                    Some(_) | None => String::new(),
                };
                let held = crate::text::span(it.tuning.hold);
                return Judgement::Present(Symptom {
                    since,
                    probe: Some(probe.report.name.clone()),
                    summary: format!("{}: {count} matching lines within {held}{last}", probe.report.name),
                });
            }
            // The window is patience enough.
            judgement = Judgement::Absent(u32::MAX);
        }
        judgement
    }
}

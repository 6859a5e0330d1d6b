//! What people and other monitoring say about a target: filed, said again, and taken back.
//!
//! A report is believed as far as it goes. It opens an incident and proves no cause; that it was taken back is evidence by
//! whoever filed it, and proves no recovery: what closes the incident are the target's own probes, as fresh as ever.

use prunella_model::incident::{Fault, Report, Severity};
use prunella_model::{IncidentId, OperatorName, RuleName, TargetRef, Timestamp};

use crate::Engine;
use crate::event::Reply;
use crate::incident::{Case, REPORTED};
use crate::key::{Key, at};
use crate::knowledge::fingerprint;
use crate::requests::refused;

/// The most reports that one incident keeps: more add nothing that a person could read.
const REPORTS_MAX: usize = 64;

/// What somebody says is wrong.
pub(crate) struct Said {
    /// How they know it again; empty for no name.
    pub(crate) id: String,
    /// How bad.
    pub(crate) severity: Severity,
    /// What, in a line.
    pub(crate) summary: String,
}

impl Engine {
    pub(crate) fn filed(&self, key: Key, rule: &'static str, severity: Severity, summary: String) -> Fault {
        let target = self.target_at(key);
        let kind = target.report.service.as_ref().map_or(target.report.name.as_str(), |it| it.as_str());
        Fault {
            rule: RuleName::of(rule),
            target: self.reference(key),
            symptom: None,
            severity,
            fingerprint: fingerprint(rule, kind, None),
            since: self.hosts[at(key.host)].clock.to_host(self.now),
            summary,
        }
    }

    /// Files a fault that no rule sees.
    pub(crate) fn report(&mut self, by: &OperatorName, target: &TargetRef, said: Said, dry_run: bool) -> Reply {
        let Some(key) = self.find(target) else { return Reply::NotFound { what: format!("target {target}") } };
        let open = self.target_at(key).incident;
        if let Some(case) = open.and_then(|id| self.cases.get(&id)) {
            let known = |it: &&Report| it.by == *by && !said.id.is_empty() && it.id == said.id;
            match case.it.reports.iter().find(known) {
                Some(it) if it.withdrawn_at.is_none() && it.severity >= said.severity => {
                    let message = format!("known: it was reported before, see incident {}", case.it.id);
                    return Reply::Done { incident: Some(case.it.id), message };
                }
                Some(_) => {}
                None if case.it.reports.len() >= REPORTS_MAX => {
                    let why = format!("incident {} has {REPORTS_MAX} reports already; it keeps no more", case.it.id);
                    return refused("TOO_MANY_REPORTS", why);
                }
                None => {}
            }
        }
        if dry_run {
            let message = match open {
                Some(id) => format!("would be added to incident {id}; nothing was done"),
                None => "would open an incident; nothing was done".to_owned(),
            };
            return Reply::Done { incident: open, message };
        }
        let summary = said.summary.clone();
        let fault = self.filed(key, REPORTED, said.severity, summary.clone());
        let (id, message) = match open {
            Some(id) => {
                self.join_reported(id, fault);
                (id, format!("added to incident {id}, which is open already"))
            }
            None => {
                let id = self.open(key, fault, Vec::new());
                (id, format!("incident {id} is open"))
            }
        };
        self.keep_report(id, by, said);
        let subject = self.subject(key);
        self.audit_as(format!("operator/{by}"), "reported", subject, Some(id), summary);
        Reply::Done { incident: Some(id), message }
    }

    fn keep_report(&mut self, id: IncidentId, by: &OperatorName, said: Said) {
        let now = self.now;
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.it.reports.retain(|it| said.id.is_empty() || it.by != *by || it.id != said.id);
        case.it.reports.push(Report {
            id: said.id,
            by: by.clone(),
            severity: said.severity,
            summary: said.summary,
            filed_at: now,
            withdrawn_at: None,
        });
        self.touched(id);
    }

    /// Whoever reported it says that it is gone.
    pub(crate) fn withdraw_report(
        &mut self,
        by: &OperatorName,
        target: &TargetRef,
        report: &str,
        why: &str,
        dry_run: bool,
    ) -> Reply {
        let Some(key) = self.find(target) else { return Reply::NotFound { what: format!("target {target}") } };
        let now = self.now;
        let standing =
            |it: &Report| it.by == *by && (report.is_empty() || it.id == report) && it.withdrawn_at.is_none();
        let open = self.target_at(key).incident;
        let Some(case) = open.and_then(|id| self.cases.get_mut(&id)).filter(|it| it.it.reports.iter().any(standing))
        else {
            return Reply::NotFound { what: format!("report of {by} about {target} that still stands") };
        };
        let id = case.it.id;
        if dry_run {
            let message = format!("would be noted in incident {id}; nothing was done");
            return Reply::Done { incident: Some(id), message };
        }
        for it in case.it.reports.iter_mut().filter(|it| standing(it)) {
            it.withdrawn_at = Some(now);
        }
        self.touched(id);
        self.probe(key);
        self.woken.insert(id);
        let subject = self.subject(key);
        self.audit_as(format!("operator/{by}"), "report_withdrawn", subject, Some(id), why.to_owned());
        let message = format!("noted in incident {id}; whether it is over, the target's own probes say");
        Reply::Done { incident: Some(id), message }
    }

    /// From when on the target's own probes may say that what was reported is over, by the host's clock; null while a
    /// report stands.
    pub(crate) fn reports_over(&self, case: &Case) -> Option<Timestamp> {
        let ends = case.it.reports.iter().map(|it| it.withdrawn_at).collect::<Option<Vec<Timestamp>>>()?;
        ends.into_iter().max().map(|it| self.hosts[at(case.key.host)].clock.to_host(it))
    }
}

//! The rules in force, for people to read.

use std::collections::BTreeMap;

use prunella_model::IncidentId;

use crate::Engine;
use crate::catalogue;
use crate::key::next;
use crate::view::RuleView;

impl Engine {
    /// Every rule: the shipped ones in the order in which they are asked, then the custom ones as the policy has them.
    #[must_use]
    pub fn rules(&self) -> Vec<RuleView> {
        let mut incidents: BTreeMap<&str, Vec<IncidentId>> = BTreeMap::new();
        for (id, case) in &self.cases {
            for fault in std::iter::once(&case.it.fault).chain(&case.it.also) {
                incidents.entry(fault.rule.as_str()).or_default().push(*id);
            }
        }
        let open = |name: &str| incidents.get(name).cloned().unwrap_or_default();
        let shipped = catalogue::rules(&self.policy).into_iter().map(|it| RuleView {
            name: it.name.to_owned(),
            about: it.about.to_owned(),
            custom: false,
            enabled: it.enabled,
            shadow: it.shadow,
            severity: it.severity,
            hold: it.hold,
            actions: Vec::new(),
            targets: None,
            incidents: open(it.name),
            evaluations: None,
            spoke: None,
            last: None,
            broken: None,
        });
        let custom = self.custom.iter().enumerate().map(|(number, it)| RuleView {
            name: it.rule.name.to_string(),
            about: it.rule.when.clone(),
            custom: true,
            enabled: it.judge.is_some(),
            shadow: it.rule.shadow,
            severity: it.rule.severity,
            hold: it.rule.hold,
            actions: it.rule.actions.clone(),
            targets: Some(self.looked_at_by(next(number))),
            incidents: open(it.rule.name.as_str()),
            evaluations: Some(it.evaluations),
            spoke: Some(it.spoke),
            last: it.last.clone(),
            broken: it.broken.clone(),
        });
        shipped.chain(custom).collect()
    }

    fn looked_at_by(&self, rule: u32) -> usize {
        let targets = self.hosts.iter().flat_map(|host| &host.targets);
        targets.filter(|target| !target.gone && target.custom.contains_key(&rule)).count()
    }
}

//! What would make a healthy fleet better before it is a fault: one file for each kind of opportunity, and the table.
//!
//! Opportunities are found from what is believed anyway, whenever somebody asks. Taking one opens an incident of low
//! severity and sends a signed command, through every brake; what it promised is measured before and after.

mod apply;
mod cache_optimization;
pub(crate) mod capacity;
mod disk_cleanup;
mod gain;
mod generation_cleanup;
mod measures;
mod memory_management;
mod network_tuning;
mod process_optimization;
mod service_tuning;
mod store_optimization;

use prunella_model::incident::{Evidence, Fingerprint};
use prunella_model::{ProbeName, RepairName, RuleName, TargetRef, Timestamp};

use crate::Engine;
use crate::cause::Cause;
use crate::incident::Case;
use crate::key::{Key, at, next};
use crate::knowledge::fingerprint;
use crate::repairs::REPAIRS;
use crate::view::Opportunity;

/// What helps less often than this is not offered.
const CHANCE_LEAST: f64 = 0.5;

/// One opportunity, as its kind finds it.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// The probe that shows it, if one does.
    pub(crate) part: Option<ProbeName>,
    /// One line for a person.
    pub(crate) summary: String,
    /// How much it matters, 0 to 1.
    pub(crate) priority: f64,
    /// How sure the evidence is, 0 to 1.
    pub(crate) confidence: f64,
    /// The measurement that it promises to improve, and what that is now.
    pub(crate) now: f64,
    /// What it is expected to be afterwards.
    pub(crate) expected: f64,
    /// What it stands on.
    pub(crate) evidence: Vec<Evidence>,
    /// Why it should not be taken unasked.
    pub(crate) not_automatic: Option<String>,
}

/// One kind of opportunity.
pub(crate) trait Kind: Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// What it finds and does, for people.
    fn about(&self) -> &'static str;
    /// What is measured before and after.
    fn metric(&self) -> &'static str;
    /// What its repair treats.
    fn cause(&self) -> Cause;
    /// The opportunities of one target.
    fn find(&self, engine: &Engine, key: Key) -> Vec<Found>;
    /// What is measured, on evidence from `since` on by the host's clock; null without it.
    fn measure(&self, engine: &Engine, key: Key, part: Option<&ProbeName>, since: Timestamp) -> Option<f64>;
    /// Whether a change from `before` to `after` is worth having.
    fn helped(&self, before: f64, after: f64) -> bool;
    /// A value for a person.
    fn text(&self, value: f64) -> String;
}

/// All kinds.
pub(crate) static KINDS: [&dyn Kind; 8] = [
    &disk_cleanup::DiskCleanup,
    &memory_management::MemoryManagement,
    &cache_optimization::CacheOptimization,
    &service_tuning::ServiceTuning,
    &process_optimization::ProcessOptimization,
    &network_tuning::NetworkTuning,
    &generation_cleanup::GenerationCleanup,
    &store_optimization::StoreOptimization,
];

/// The kind of that name.
pub(crate) fn kind(name: &RuleName) -> Option<&'static dyn Kind> {
    KINDS.iter().find(|kind| kind.name() == name.as_str()).copied()
}

/// A found opportunity with its place.
struct Place {
    kind: &'static dyn Kind,
    key: Key,
    found: Found,
}

/// The stable name of an opportunity: of its kind, its target and its part.
fn id_of(kind: &str, target: &TargetRef, part: Option<&ProbeName>) -> String {
    fingerprint(kind, &target.to_string(), part.map(ProbeName::as_str)).0
}

impl Engine {
    /// What would improve the fleet now, best first.
    #[must_use]
    pub fn opportunities(&self) -> Vec<Opportunity> {
        let mut all: Vec<Opportunity> =
            self.places().into_iter().filter_map(|place| self.opportunity(&place)).collect();
        all.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id)));
        all
    }

    fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for host in self.names.values().copied().filter(|host| self.hosts[at(*host)].online()) {
            for target in 0..next(self.hosts[at(host)].targets.len()) {
                let key = Key { host, target };
                // What is broken is for its own incident.
                if self.target_at(key).gone || self.target_at(key).incident.is_some() || self.ailing(key) {
                    continue;
                }
                for kind in KINDS {
                    places.extend(kind.find(self, key).into_iter().map(|found| Place { kind, key, found }));
                }
            }
        }
        places
    }

    /// The fingerprint of an opportunity for learning: the same on every host of a service.
    fn opportunity_print(&self, kind: &str, key: Key, part: Option<&ProbeName>) -> Fingerprint {
        let target = self.target_at(key);
        let of = target.report.service.as_ref().map_or(target.report.name.as_str(), |service| service.as_str());
        fingerprint(kind, of, part.map(ProbeName::as_str))
    }

    /// The repair that takes an opportunity of that kind, with the chance that it helps and in how many trials it did.
    fn opportunity_repair(&self, place: &Place) -> Option<(RepairName, f64, f64)> {
        let cause = place.kind.cause();
        let treats = |repair: &&dyn crate::repairs::Repair| {
            let prior = repair.treats().iter().find(|(it, _)| *it == cause).map(|(_, prior)| *prior)?;
            Some((RepairName::of(repair.name()), prior))
        };
        let (repair, prior) = REPAIRS.iter().find_map(treats)?;
        let case = self.opportunity_case(place);
        let subject = self.subject_of(place.key, &case.it.fault, cause);
        let belief = self.book.belief(&subject, &[], &repair, prior, self.now);
        Some((repair, belief.mean(), belief.mean() * belief.trials))
    }

    /// The same for people; null for what experience says does not help.
    fn opportunity(&self, place: &Place) -> Option<Opportunity> {
        let (repair, chance, helped) = self.opportunity_repair(place)?;
        if chance < CHANCE_LEAST {
            return None;
        }
        let (kind, key, found) = (place.kind, place.key, &place.found);
        let target = self.reference(key);
        let obstacle = self.obstacle(place);
        let critical = self.target_at(key).report.critical && helped <= 0.0;
        let history = critical.then(|| "the target is critical, and nobody has seen this help there yet".to_owned());
        let not_automatic = obstacle.clone().or_else(|| found.not_automatic.clone()).or(history);
        let confidence = found.confidence * chance;
        let safe = not_automatic.is_none();
        let (opens, waits) = if safe { self.unasked(key) } else { (None, None) };
        Some(Opportunity {
            id: id_of(kind.name(), &target, found.part.as_ref()),
            kind: kind.name(),
            summary: found.summary.clone(),
            priority: found.priority,
            confidence,
            score: found.priority * confidence,
            repair,
            metric: kind.metric(),
            now: found.now,
            expected: found.expected,
            effect: format!("{} from {} to about {}", kind.metric(), kind.text(found.now), kind.text(found.expected)),
            evidence: found.evidence.clone(),
            safe,
            opens,
            waits,
            not_automatic,
            obstacle,
            target,
        })
    }

    /// Why the repair cannot be done here, if it cannot.
    fn obstacle(&self, place: &Place) -> Option<String> {
        let case = self.opportunity_case(place);
        let (cause, diagnosis) = self.opportunity_diagnosis(&case)?;
        self.plan(&case, cause, &diagnosis).err().map(|none| none.why)
    }

    /// Whether an incident takes an opportunity rather than heals a fault.
    pub(crate) fn kind_of(case: &Case) -> Option<&'static dyn Kind> {
        case.it.optimisation.as_ref().and_then(|_| kind(&case.it.fault.rule))
    }
}

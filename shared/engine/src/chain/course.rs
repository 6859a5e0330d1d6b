//! The course of a chain: one link after the other, to its end.

use prunella_model::event::EventKind;
use prunella_model::incident::{Chain, ChainEnd, ChainLink, ChainPlace, Closing, IncidentState, LinkState, Verdict};
use prunella_model::{IncidentId, TargetRef, Timestamp};

use crate::Engine;
use crate::incident::Forced;
use crate::key::{Key, next};
use crate::requests::REQUESTED;
use crate::topology::Need;

impl Engine {
    /// The chain under way that a target is a link of, and which link.
    pub(crate) fn chain_of(&self, key: Key) -> Option<(IncidentId, usize)> {
        if self.chains.is_empty() {
            return None;
        }
        let target = self.reference(key);
        self.chains.iter().find_map(|head| {
            let chain = self.running(*head)?;
            Some((*head, chain.links.iter().position(|link| link.target == target)?))
        })
    }

    /// The chain that an incident keeps, while it goes on.
    pub(crate) fn running(&self, head: IncidentId) -> Option<&Chain> {
        self.cases.get(&head)?.it.chain.as_ref().filter(|chain| chain.end.is_none())
    }

    /// An incident was opened on a target that may be a link.
    pub(crate) fn joins_chain(&mut self, id: IncidentId, key: Key) {
        let Some((head, at)) = self.chain_of(key) else { return };
        let length = self.running(head).map_or(0, |chain| chain.links.len());
        if let Some(case) = self.cases.get_mut(&id) {
            case.it.link = Some(ChainPlace { head, position: next(at).saturating_add(1), length: next(length) });
        }
        if let Some(link) = self.link_mut(head, at) {
            link.incident = Some(id);
        }
        self.chained.insert(head);
        self.touched(head);
    }

    /// An incident that is a link has moved.
    pub(crate) fn link_moved(&mut self, id: IncidentId) {
        if let Some(place) = self.cases.get(&id).and_then(|case| case.it.link)
            && self.chains.contains(&place.head)
        {
            self.chained.insert(place.head);
        }
    }

    fn link_mut(&mut self, head: IncidentId, at: usize) -> Option<&mut ChainLink> {
        let chain = self.cases.get_mut(&head)?.it.chain.as_mut()?;
        chain.links.get_mut(at)
    }

    /// Looks how far a chain has come, and begins its next link.
    pub(crate) fn step_chain(&mut self, head: IncidentId) {
        loop {
            let Some(chain) = self.running(head) else {
                self.chains.remove(&head);
                return;
            };
            let failed = chain.links.iter().find(|link| matches!(link.state, LinkState::Failed { .. }));
            if let Some(link) = failed {
                let why = format!("{}: {}", link.target, link.state.why().unwrap_or_default());
                self.end_chain(head, ChainEnd::Stopped { why });
                return;
            }
            let Some(at) = chain.current() else {
                self.end_chain(head, ChainEnd::Done);
                return;
            };
            let Some(link) = chain.links.get(at).cloned() else { return };
            let state = match link.state {
                LinkState::Waiting => self.begin_link(head, at, &link.target),
                LinkState::UnderWay { since } => self.judge_link(link.incident, since),
                LinkState::Healed
                | LinkState::Skipped { .. }
                | LinkState::Failed { .. }
                | LinkState::Dropped { .. } => None,
            };
            let Some(state) = state else { return };
            self.set_link(head, at, state);
        }
    }

    fn set_link(&mut self, head: IncidentId, at: usize, state: LinkState) {
        let Some(link) = self.link_mut(head, at) else { return };
        if link.state.is_over() {
            return;
        }
        link.state = state;
        let (target, incident) = (link.target.clone(), link.incident);
        let why = link.state.why().map(|why| format!(": {why}")).unwrap_or_default();
        let detail = format!("link {} of the chain of incident {head} is {}{why}", at + 1, link.state.as_str());
        self.touched(head);
        let subject = format!("hosts/{}/targets/{}", target.host, target.target);
        self.audit_as("engine".to_owned(), "chain_link", subject, incident, detail);
    }

    /// It is a link's turn: its repair is asked for, unless it needs none any more. Null while another repair of it goes on.
    fn begin_link(&mut self, head: IncidentId, at: usize, target: &TargetRef) -> Option<LinkState> {
        let Some(key) = self.find(target) else {
            return Some(LinkState::Failed { why: "it is no longer part of the fleet".to_owned() });
        };
        if !self.is_being_healed(key) && self.is_well(key, Timestamp::ZERO) {
            return Some(LinkState::Skipped { why: "it is well by its own probes".to_owned() });
        }
        let open = self.target_at(key).incident;
        if self.in_flight.contains_key(&key) || self.is_verified(open) {
            return None;
        }
        if !self.in_the_way(head, at, key) {
            return Some(LinkState::Skipped { why: "another one that works stands in for it".to_owned() });
        }
        let Some(forced) = self.link_request(head, at) else {
            return Some(LinkState::Failed { why: "nobody asks for it any more".to_owned() });
        };
        let id = match open {
            Some(id) => id,
            None => self.open_requested(key, &forced, REQUESTED),
        };
        self.force(id, forced);
        self.responded(id);
        Some(LinkState::UnderWay { since: self.now })
    }

    /// Whether a repair of an incident is being verified.
    fn is_verified(&self, id: Option<IncidentId>) -> bool {
        let case = id.and_then(|id| self.cases.get(&id));
        case.is_some_and(|case| matches!(case.it.state, IncidentState::Verifying { .. }))
    }

    /// Whether a link is the last one, or another link needs it and nothing that works stands in for it.
    fn in_the_way(&self, head: IncidentId, at: usize, key: Key) -> bool {
        let Some(chain) = self.running(head) else { return false };
        let needs_it = |link: &ChainLink| {
            let needs = self.find(&link.target).map(|it| self.needs(it)).unwrap_or_default();
            needs.iter().any(|need| match need {
                Need::One(one) => *one == key,
                Need::Any(members) => members.contains(&key) && members.iter().all(|it| self.ailing(*it)),
                Need::Missing(_) => false,
            })
        };
        at + 1 == chain.links.len() || chain.links.iter().any(needs_it)
    }

    /// What a person wants of a link.
    fn link_request(&self, head: IncidentId, at: usize) -> Option<Forced> {
        let chain = self.running(head)?;
        let (last, length) = (at + 1 == chain.links.len(), chain.links.len());
        let named = chain.links.last().map(|link| link.target.to_string()).unwrap_or_default();
        Some(Forced {
            by: chain.by.clone(),
            why: format!("{} (link {} of {length} of the repair of {named})", chain.why, at + 1),
            repair: chain.repair.clone().filter(|_| last),
            restore: None,
        })
    }

    /// Makes an incident do what a person asked for, on what is seen from now on.
    fn force(&mut self, id: IncidentId, forced: Forced) {
        let now = self.now;
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.forced = Some(forced);
        case.person.get_or_insert(now);
        match case.it.state {
            IncidentState::Diagnosing
            | IncidentState::Held
            | IncidentState::NeedsHuman { .. }
            | IncidentState::Probation { .. } => {
                self.unqueue(id);
                self.hold(id, Vec::new());
                self.afresh(id);
            }
            // A victim of what was just healed gets some time to recover, and what is being judged is judged first.
            IncidentState::Upstream { .. }
            | IncidentState::Repairing { .. }
            | IncidentState::Verifying { .. }
            | IncidentState::Closed(_) => {
                self.woken.insert(id);
            }
        }
    }

    /// How far a link is whose repair was asked for; null while that goes on.
    fn judge_link(&self, incident: Option<IncidentId>, since: Timestamp) -> Option<LinkState> {
        let Some(case) = incident.and_then(|id| self.cases.get(&id)) else {
            return Some(LinkState::Failed { why: "its incident is no longer open".to_owned() });
        };
        match &case.it.state {
            IncidentState::Probation { .. } => Some(LinkState::Healed),
            IncidentState::NeedsHuman { why } => Some(LinkState::Failed { why: format!("it needs a person: {why}") }),
            IncidentState::Upstream { .. } => {
                let broken = case.blames.filter(|it| self.faults.is_fleet(it.host) || self.ailing(*it))?;
                let why = format!("its cause turned out to lie in {}", self.reference(broken));
                Some(LinkState::Failed { why })
            }
            IncidentState::Diagnosing
            | IncidentState::Held
            | IncidentState::Repairing { .. }
            | IncidentState::Verifying { .. } => {
                let attempts = case.it.attempts.iter().filter(|it| it.decided_at >= since && it.undoes.is_none());
                let vain = attempts.rev().find(|it| matches!(it.verdict, Some(Verdict::Unchanged | Verdict::Worse)))?;
                Some(LinkState::Failed { why: format!("{} did not help", vain.repair) })
            }
            IncidentState::Closed(_) => None,
        }
    }

    /// An incident is about to be closed, which may be that of a link, or the one that keeps a chain.
    pub(crate) fn chain_closing(&mut self, id: IncidentId, closing: &Closing) {
        let Some(case) = self.cases.get(&id) else { return };
        if let Some(place) = case.it.link
            && self.running(place.head).is_some()
            && let Some(at) = crate::key::at(place.position).checked_sub(1)
            // To give up what keeps the chain is to end the chain.
            && !(place.head == id && matches!(closing, Closing::Cancelled { .. }))
        {
            self.set_link(place.head, at, after(closing));
            self.chained.insert(place.head);
        }
        if self.running(id).is_some() {
            self.chained.remove(&id);
            let failed = self.running(id).and_then(|chain| chain.links.last()).and_then(|link| match &link.state {
                LinkState::Failed { why } => Some(format!("{}: {why}", link.target)),
                LinkState::Waiting
                | LinkState::UnderWay { .. }
                | LinkState::Healed
                | LinkState::Skipped { .. }
                | LinkState::Dropped { .. } => None,
            });
            let end = match (closing, failed) {
                (Closing::Cancelled { by }, _) => ChainEnd::Cancelled { by: by.clone() },
                (_, Some(why)) => ChainEnd::Stopped { why },
                (_, None) => ChainEnd::Done,
            };
            self.end_chain(id, end);
        }
    }

    /// Ends a chain: what has not begun is not begun by it.
    fn end_chain(&mut self, head: IncidentId, end: ChainEnd) {
        self.chains.remove(&head);
        let Some(chain) = self.running(head).cloned() else { return };
        for (at, link) in chain.links.iter().enumerate() {
            let state = match (&link.state, &end) {
                (LinkState::Waiting, ChainEnd::Done) => {
                    LinkState::Skipped { why: "the target that was named is well".to_owned() }
                }
                (LinkState::Waiting, ChainEnd::Stopped { .. } | ChainEnd::Cancelled { .. }) => {
                    LinkState::Dropped { why: "the chain ended before it".to_owned() }
                }
                (LinkState::UnderWay { .. }, _) => {
                    LinkState::Dropped { why: "the chain ended while it was under way".to_owned() }
                }
                (
                    LinkState::Healed
                    | LinkState::Skipped { .. }
                    | LinkState::Failed { .. }
                    | LinkState::Dropped { .. },
                    _,
                ) => continue,
            };
            self.set_link(head, at, state);
            if let Some(id) = link.incident.filter(|id| *id != head) {
                self.withdraw_request(id);
            }
        }
        let Some(case) = self.cases.get_mut(&head) else { return };
        let key = case.key;
        let Some(chain) = &mut case.it.chain else { return };
        chain.end = Some(end);
        // What waited for its turn goes its own way.
        self.woken.extend(chain.links.iter().filter_map(|link| link.incident));
        let (kind, line) = told(chain);
        self.touched(head);
        self.audit("chain_ended", key, Some(head), line.clone());
        self.announce(kind, Some(key), Some(head), line);
    }

    /// What a person asked for is not done any more, unless it is being done.
    fn withdraw_request(&mut self, id: IncidentId) {
        let Some(case) = self.cases.get_mut(&id) else { return };
        match case.it.state {
            IncidentState::Repairing { .. } | IncidentState::Verifying { .. } => {}
            IncidentState::Diagnosing
            | IncidentState::Upstream { .. }
            | IncidentState::Held
            | IncidentState::Probation { .. }
            | IncidentState::NeedsHuman { .. }
            | IncidentState::Closed(_) => case.forced = None,
        }
    }

    /// Goes on with the chains that were stored. Who asked for a link is in the chain, not in its incident.
    pub(crate) fn restore_chains(&mut self) {
        let running = self.cases.keys().copied().filter(|id| self.running(*id).is_some());
        self.chains = running.collect();
        self.chained.clone_from(&self.chains);
        let now = self.now;
        for head in self.chains.clone() {
            let Some(at) = self.running(head).and_then(Chain::current) else { continue };
            let under_way =
                self.running(head).and_then(|chain| chain.links.get(at)).and_then(|link| match link.state {
                    LinkState::UnderWay { since } => Some((link.incident?, since)),
                    LinkState::Waiting
                    | LinkState::Healed
                    | LinkState::Skipped { .. }
                    | LinkState::Failed { .. }
                    | LinkState::Dropped { .. } => None,
                });
            let Some((id, since)) = under_way else { continue };
            let forced = self.link_request(head, at);
            let Some(case) = self.cases.get_mut(&id) else { continue };
            let tried = case.it.attempts.iter().any(|it| it.decided_at >= since && crate::plan::counts(it));
            if !tried {
                (case.forced, case.afresh) = (forced, now);
            }
        }
    }
}

/// What becomes of a link whose incident is closed.
fn after(closing: &Closing) -> LinkState {
    match closing {
        Closing::Repaired { .. } => LinkState::Healed,
        Closing::SelfRecovered => LinkState::Skipped { why: "it recovered by itself".to_owned() },
        Closing::UpstreamRecovered { .. } => {
            LinkState::Skipped { why: "it recovered when its cause was healed".to_owned() }
        }
        Closing::Cancelled { by } => LinkState::Failed { why: format!("{by} cancelled its incident") },
        Closing::TargetGone => LinkState::Failed { why: "it is no longer part of the fleet".to_owned() },
        Closing::Disproved { .. } | Closing::Optimised { .. } => {
            LinkState::Failed { why: "its incident ended without a repair".to_owned() }
        }
    }
}

/// What is said of a chain that has ended.
fn told(chain: &Chain) -> (EventKind, String) {
    let stopped = |link: &&ChainLink| !matches!(link.state, LinkState::Failed { .. });
    let each = chain.links.iter().filter(stopped).map(|link| {
        let why = link.state.why().map(|why| format!(" ({why})")).unwrap_or_default();
        format!("{} {}{why}", link.target, link.state.as_str())
    });
    let each = each.collect::<Vec<_>>().join(", ");
    let by = &chain.by;
    match &chain.end {
        Some(ChainEnd::Done) | None => {
            (EventKind::RepairVerified, format!("the chain that {by} asked for is done: {each}"))
        }
        Some(ChainEnd::Stopped { why }) => {
            (EventKind::RepairCancelled, format!("the chain that {by} asked for stops at {why}; {each}"))
        }
        Some(ChainEnd::Cancelled { by: other }) => {
            (EventKind::RepairCancelled, format!("the chain that {by} asked for was cancelled by {other}: {each}"))
        }
    }
}

//! Asking for a chain: its order, and where it is kept.

use std::collections::{BTreeMap, BTreeSet};

use prunella_model::IncidentId;
use prunella_model::incident::{Chain, ChainLink, ChainPlace, LinkState};

use crate::Engine;
use crate::event::Reply;
use crate::incident::Forced;
use crate::key::{Key, next};
use crate::requests::{REQUESTED, refused};

impl Engine {
    /// A target and everything broken that it needs, what is needed first. Only the target itself when nothing is.
    fn chain_order(&self, key: Key) -> Vec<Key> {
        if self.upstream(key, self.now).culprits.is_empty() {
            return vec![key];
        }
        let mut left = self.reach(key);
        left.insert(key);
        let reaches: BTreeMap<Key, BTreeSet<Key>> = left.iter().map(|it| (*it, self.reach(*it))).collect();
        let leads = |from: &Key, to: &Key| reaches.get(from).is_some_and(|all| all.contains(to));
        let mut order = Vec::new();
        while left.len() > 1 {
            // What needs nothing that is left but what needs it in turn.
            let ready = |it: &&Key| left.iter().all(|other| !leads(it, other) || leads(other, it));
            let first = left.iter().filter(|it| **it != key).filter(ready).min_by_key(|it| self.blame_order(**it));
            let Some(first) = first.copied() else { break };
            left.remove(&first);
            order.push(first);
        }
        order.push(key);
        order
    }

    /// A person wants a target repaired, and first what it needs.
    pub(crate) fn ask_chain(&mut self, key: Key, forced: Forced, dry_run: bool) -> Reply {
        let order = self.chain_order(key);
        let target = self.reference(key);
        let [first, _, ..] = order[..] else {
            let reply =
                if dry_run { self.rehearse(key, forced, REQUESTED) } else { self.take_request(key, forced, REQUESTED) };
            return said_before(&format!("nothing broken lies upstream of {target}"), reply);
        };
        let busy = order.iter().find_map(|it| self.chain_of(*it).map(|(head, _)| (*it, head)));
        if let Some((link, head)) = busy {
            let link = self.reference(link);
            let message =
                format!("{link} is in the chain of incident {head} already: wait for it, or cancel that incident");
            return refused("CHAINED", message);
        }
        let names: Vec<String> = order.iter().map(|it| self.reference(*it).to_string()).collect();
        if dry_run {
            let first_alone = Forced { repair: None, ..forced };
            let plan = format!("would repair {}, in this order, each if it is still broken then", names.join(", "));
            let reply = self.rehearse(first, first_alone, REQUESTED);
            return said_before(&format!("{plan}; {}", names.first().map_or("", String::as_str)), reply);
        }
        let head = self.chain_head(key, &forced);
        let links = order.iter().map(|it| ChainLink {
            target: self.reference(*it),
            incident: self.target_at(*it).incident,
            state: LinkState::Waiting,
        });
        let links: Vec<ChainLink> = links.collect();
        let Forced { by, why, repair, restore: _ } = forced;
        for link in &links {
            self.take_place(head, links.len(), link, &links);
        }
        let subject = self.subject(key);
        if let Some(case) = self.cases.get_mut(&head) {
            case.it.chain = Some(Chain { by: by.clone(), why: why.clone(), repair, links, end: None });
        }
        self.chains.insert(head);
        self.chained.insert(head);
        self.touched(head);
        let detail = format!("{}: {why}", names.join(", then "));
        self.audit_as(format!("operator/{by}"), "chain_asked", subject, Some(head), detail);
        let message = format!("asked for, in this order: {}; see incident {head}", names.join(", "));
        Reply::Done { incident: Some(head), message }
    }

    /// The incident that keeps the chain.
    fn chain_head(&mut self, key: Key, forced: &Forced) -> IncidentId {
        let head = match self.target_at(key).incident {
            Some(id) => id,
            None => self.open_requested(key, forced, REQUESTED),
        };
        self.note_override(&forced.by);
        self.responded(head);
        let now = self.now;
        if let Some(case) = self.cases.get_mut(&head) {
            case.person.get_or_insert(now);
        }
        head
    }

    fn take_place(&mut self, head: IncidentId, length: usize, link: &ChainLink, links: &[ChainLink]) {
        let position = links.iter().position(|it| it.target == link.target).map_or(0, |at| next(at).saturating_add(1));
        if let Some(id) = link.incident
            && let Some(case) = self.cases.get_mut(&id)
        {
            case.it.link = Some(ChainPlace { head, position, length: next(length) });
            self.touched(id);
        }
    }
}

/// Puts a sentence before what is answered.
fn said_before(text: &str, reply: Reply) -> Reply {
    match reply {
        Reply::Done { incident, message } => Reply::Done { incident, message: format!("{text}: {message}") },
        Reply::Refused { reason, message } => Reply::Refused { reason, message: format!("{text}: {message}") },
        Reply::Rehearsed { incident, message, host, steps } => {
            Reply::Rehearsed { incident, message: format!("{text}: {message}"), host, steps }
        }
        other @ (Reply::Learned { .. } | Reply::Begun { .. } | Reply::NotFound { .. }) => other,
    }
}

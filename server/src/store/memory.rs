//! A store in memory, for tests: the meaning of [`Store`] in its plainest form.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    Entry, Export, Guard, Leadership, Listing, Op, Page, Pending, Revision, Store, StoreError, Term, Terms, Txn,
};

#[derive(Debug, Default)]
struct State {
    revision: Revision,
    terms: Terms,
    entries: BTreeMap<String, (Vec<u8>, Revision)>,
}

impl State {
    fn holds(&self, guard: &Guard) -> bool {
        match guard {
            Guard::Absent(key) => !self.entries.contains_key(key),
            Guard::ModRev(key, revision) => self.entries.get(key).is_some_and(|(_, found)| found == revision),
            Guard::Fence(led) => self.terms.get(&led.name) == Some(&led.term),
        }
    }

    fn commit(&mut self, txn: Txn) -> Result<Revision, StoreError> {
        txn.check()?;
        if let Some(broken) = txn.guards.iter().find(|guard| !self.holds(guard)) {
            return Err(StoreError::Conflict(broken.clone()));
        }
        if txn.ops.is_empty() {
            return Ok(self.revision);
        }
        self.revision.0 += 1;
        for op in txn.ops {
            match op {
                Op::Put { key, value } => self.entries.insert(key, (value, self.revision)),
                Op::Delete { key } => self.entries.remove(&key),
            };
        }
        Ok(self.revision)
    }
}

/// A store that is gone with the process. Clones share their content.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let state = self.state();
        let found = state.entries.get(key);
        Ok(found.map(|(value, mod_rev)| Entry { key: key.to_owned(), value: value.clone(), mod_rev: *mod_rev }))
    }

    async fn list(&self, prefix: &str, page: Page) -> Result<Listing, StoreError> {
        let from = match &page.after {
            Some(after) if after.as_str() >= prefix => Bound::Excluded(after.as_str()),
            Some(_) | None => Bound::Included(prefix),
        };
        let state = self.state();
        let found = state.entries.range::<str, _>((from, Bound::Unbounded));
        let mut found = found.take_while(|(key, _)| key.starts_with(prefix));
        let mut listing = Listing::default();
        for (key, (value, mod_rev)) in found.by_ref().take(page.size()) {
            listing.entries.push(Entry { key: key.clone(), value: value.clone(), mod_rev: *mod_rev });
        }
        if found.next().is_some() {
            listing.next = listing.entries.last().map(|last| last.key.clone());
        }
        Ok(listing)
    }

    fn commit(&self, txn: Txn) -> Pending {
        Pending::ready(self.state().commit(txn))
    }

    async fn campaign(&self, name: &str) -> Result<Leadership, StoreError> {
        super::check_key(name)?;
        let mut state = self.state();
        state.revision.0 += 1;
        let term = state.terms.entry(name.to_owned()).or_insert(Term(0));
        term.0 += 1;
        Ok(Leadership { name: name.to_owned(), term: *term })
    }

    async fn export(&self) -> Result<Export, StoreError> {
        let state = self.state();
        let entries = state.entries.iter().map(|(key, (value, _))| (key.clone(), value.clone())).collect();
        Ok(Export { revision: state.revision, terms: state.terms.clone(), entries })
    }

    async fn import(&self, export: Export) -> Result<Revision, StoreError> {
        let mut state = self.state();
        if !state.entries.is_empty() {
            return Err(StoreError::NotEmpty);
        }
        let revision = Revision(state.revision.max(export.revision).0 + 1);
        for (name, term) in export.terms {
            let own = state.terms.entry(name).or_insert(term);
            *own = term.max(*own);
        }
        state.entries = export.entries.into_iter().map(|(key, value)| (key, (value, revision))).collect();
        state.revision = revision;
        Ok(revision)
    }
}

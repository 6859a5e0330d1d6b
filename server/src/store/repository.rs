//! What the engine wants stored, as transactions: each step's changes and their audit entries in one commit.
//!
//! Values are JSON. It is a little larger than a packed format, but it names its fields, so that a field which a newer
//! program adds is filled by its default, an export can be read by a person, and any tool can take it in.
//!
//! Audit entries and closed incidents belong into files of their own, but must not be lost or invented when the
//! server dies between two files. So they are committed *with* the changes, as a [`Parcel`], and moved to those files
//! later. The hot path then has exactly one wait for the disk.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use prunella_model::incident::Incident;
use prunella_model::record::{AuditEntry, Change, Stored};
use prunella_model::{CommandId, FleetName, HostId, Id, IncidentId, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{
    Guard, Leadership, Op, Page, Pending, Revision, Store, StoreError, TXN_BYTES_MAX, TXN_OPS_MAX, Txn, VALUE_MAX,
};

/// What the one decider of a fleet campaigns for.
pub const DECIDER: &str = "decider";

const EPOCH: &str = "meta/epoch";
const POLICY: &str = "policy";
const INCIDENTS: &str = "incident/";
const COMMANDS: &str = "command/";
const KNOWLEDGE: &str = "knowledge/";
const PATTERNS: &str = "pattern/";
const WISHES: &str = "wish/";
const HOSTS: &str = "host/";
const PAUSES: &str = "pause/";
const MODES: &str = "mode/";
const MAINTENANCES: &str = "maintenance/";
const ROLLOUT: &str = "rollout";
const DIAGNOSTICS: &str = "diagnostics/";
const PARCELS: &str = "outbox/";

/// The head of the audit log, so that a log which is removed is missed.
pub const AUDIT_HEAD: &str = "audit/head";

/// Prefix of the records of enrolled hosts, kept by the enrolment service.
pub const ENROLMENTS: &str = "enrolment/";

/// Prefix of the records of join tokens, kept by the enrolment service.
pub const JOINS: &str = "join/";

/// The most parcels that are taken at once.
const PARCELS_AT_ONCE: usize = 64;

/// Why a record could not be stored or loaded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RepositoryError {
    /// The store refused or failed.
    #[error("the store did not do it")]
    Store(#[from] StoreError),
    /// A stored record cannot be understood.
    #[error("the record {key} cannot be read: {why}; was it written by a newer program?")]
    Unreadable {
        /// Its key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// A record cannot be written.
    #[error("the record {key} cannot be written: {why}")]
    Unwritable {
        /// Its key.
        key: String,
        /// Why.
        why: String,
    },
}

impl RepositoryError {
    /// Whether another decider has taken over.
    #[must_use]
    pub const fn is_fenced(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_fenced())
    }
}

/// Things on their way to the audit log and the history: committed with the changes that they speak of.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Parcel {
    /// Lines for the audit log, in order.
    #[serde(default)]
    pub audit: Vec<AuditEntry>,
    /// Incidents for the history, in order.
    #[serde(default)]
    pub closed: Vec<Incident>,
}

/// A commit of one or more transactions. Resolves once all of them are on disk.
#[derive(Debug)]
#[must_use = "effects must wait for the commit"]
pub struct Commit(VecDeque<Pending>);

impl Future for Commit {
    type Output = Result<(), RepositoryError>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        while let Some(first) = self.0.front_mut() {
            ready!(Pin::new(first).poll(context))?;
            self.0.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

/// The records of one fleet, as their one decider writes them. Every write is fenced by its term.
#[derive(Debug)]
pub struct Repository<S> {
    store: S,
    led: Leadership,
    epoch: u64,
    parcels: AtomicU64,
}

impl<S: Store> Repository<S> {
    /// Takes the lead and advances the epoch, on disk, before anybody can use it.
    ///
    /// The epoch becomes the highest of the stored one plus one, the seconds of `now`, and `at_least`: one more than
    /// the highest mark that an agent has reported, so that a restored backup cannot repeat an id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn lead(store: S, now: Timestamp, at_least: u64) -> Result<Self, RepositoryError> {
        let led = store.campaign(DECIDER).await?;
        let stored: u64 = match store.get(EPOCH).await? {
            Some(entry) => decode(&entry.key, &entry.value)?,
            None => 0,
        };
        let epoch = stored.saturating_add(1).max(now.as_secs()).max(at_least);
        let put = Op::Put { key: EPOCH.to_owned(), value: encode(EPOCH, &epoch)? };
        store.commit(Txn { guards: vec![Guard::Fence(led.clone())], ops: vec![put] }).await?;
        Ok(Self { store, led, epoch, parcels: AtomicU64::new(0) })
    }

    /// The epoch of this decider; no other one ever has it.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The store underneath.
    #[must_use]
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Everything that a decider starts from.
    ///
    /// # Errors
    /// When the store fails, or holds a record that cannot be read.
    pub async fn load(&self) -> Result<Stored, RepositoryError> {
        Ok(Stored {
            incidents: self.values(INCIDENTS).await?,
            commands: self.values(COMMANDS).await?,
            knowledge: self.values(KNOWLEDGE).await?,
            patterns: self.values(PATTERNS).await?,
            wishes: self.values(WISHES).await?,
            hosts: self.values(HOSTS).await?,
            pauses: self.values(PAUSES).await?,
            modes: self.values(MODES).await?,
            maintenances: self.values(MAINTENANCES).await?,
            rollout: self.read(ROLLOUT).await?.map(|(rollout, _)| rollout),
            policy: self.read(POLICY).await?.map(|(policy, _)| policy),
            diagnostics: self.values(DIAGNOSTICS).await?,
        })
    }

    /// Hands over the changes of one step and its audit entries, in the order of the calls.
    ///
    /// They are one transaction unless they exceed its limits; then what belongs to one incident stays together.
    ///
    /// # Errors
    /// When a record cannot be written. Whether the store took it, the commit says.
    pub fn commit(&self, changes: &[Change], audit: &[AuditEntry]) -> Result<Commit, RepositoryError> {
        let mut sorting = Sorting::default();
        for change in changes {
            sorting.take(change)?;
        }
        for entry in audit {
            sorting.audit(entry);
        }
        let mut pending = VecDeque::new();
        for group in sorting.pack()? {
            pending.push_back(self.store.commit(self.txn(group)?));
        }
        Ok(Commit(pending))
    }

    fn txn(&self, group: Group) -> Result<Txn, RepositoryError> {
        let mut ops: Vec<Op> = group.ops.into_values().collect();
        if group.parcel != Parcel::default() {
            let number = self.parcels.fetch_add(1, Ordering::Relaxed) + 1;
            let key = format!("{PARCELS}{}", sortable(Id { epoch: self.epoch, counter: number }));
            let value = encode(&key, &group.parcel)?;
            ops.push(Op::Put { key, value });
        }
        Ok(Txn { guards: vec![Guard::Fence(self.led.clone())], ops })
    }

    /// One record of any kind, and the revision that wrote it; null when there is none.
    ///
    /// # Errors
    /// When the store fails, or the record cannot be read.
    pub async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<(T, Revision)>, RepositoryError> {
        let entry = self.store.get(key).await?;
        entry.map(|entry| Ok((decode(&entry.key, &entry.value)?, entry.mod_rev))).transpose()
    }

    /// All records whose keys begin with `prefix`, by key.
    ///
    /// # Errors
    /// When the store fails, or a record cannot be read.
    pub async fn read_all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(String, T)>, RepositoryError> {
        let mut all = Vec::new();
        let mut page = Page::default();
        loop {
            let listing = self.store.list(prefix, page).await?;
            for entry in listing.entries {
                let value = decode(&entry.key, &entry.value)?;
                all.push((entry.key, value));
            }
            let Some(after) = listing.next else { return Ok(all) };
            page = Page { after: Some(after), limit: 0 };
        }
    }

    async fn values<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>, RepositoryError> {
        Ok(self.read_all(prefix).await?.into_iter().map(|(_, value)| value).collect())
    }

    /// Writes one record, with its audit entries, if `guards` hold.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a guard does not hold; otherwise when the store fails.
    pub async fn write<T: Serialize>(
        &self,
        key: &str,
        value: &T,
        guards: Vec<Guard>,
        audit: Vec<AuditEntry>,
    ) -> Result<Revision, RepositoryError> {
        self.write_all(vec![Self::put(key, value)?], guards, audit).await
    }

    /// The operation that writes one record, for [`Repository::write_all`].
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn put<T: Serialize>(key: &str, value: &T) -> Result<Op, RepositoryError> {
        Ok(Op::Put { key: key.to_owned(), value: encode(key, value)? })
    }

    /// Removes one record, with its audit entries, if `guards` hold.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a guard does not hold; otherwise when the store fails.
    pub async fn remove(
        &self,
        key: &str,
        guards: Vec<Guard>,
        audit: Vec<AuditEntry>,
    ) -> Result<Revision, RepositoryError> {
        self.write_all(vec![Op::Delete { key: key.to_owned() }], guards, audit).await
    }

    /// Changes several records at once, with their audit entries, if `guards` hold.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a guard does not hold; otherwise when the store fails.
    pub async fn write_all(
        &self,
        ops: Vec<Op>,
        guards: Vec<Guard>,
        audit: Vec<AuditEntry>,
    ) -> Result<Revision, RepositoryError> {
        let mut group = Group { parcel: Parcel { audit, closed: Vec::new() }, ..Group::default() };
        group.ops.extend(ops.into_iter().map(|op| (op.key().to_owned(), op)));
        let mut txn = self.txn(group)?;
        txn.guards.extend(guards);
        Ok(self.store.commit(txn).await?)
    }

    /// The oldest parcels that have not been removed, each with its number. Empty when all have been.
    ///
    /// # Errors
    /// When the store fails, or a parcel cannot be read.
    pub async fn parcels(&self) -> Result<Vec<(Id, Parcel)>, RepositoryError> {
        let listing = self.store.list(PARCELS, Page { after: None, limit: PARCELS_AT_ONCE }).await?;
        let mut parcels = Vec::new();
        for entry in listing.entries {
            let unreadable =
                || RepositoryError::Unreadable { key: entry.key.clone(), why: "its key is no number".into() };
            let id = entry.key.strip_prefix(PARCELS).and_then(parse_sortable).ok_or_else(unreadable)?;
            parcels.push((id, decode(&entry.key, &entry.value)?));
        }
        Ok(parcels)
    }

    /// Removes parcels that have arrived where they belong.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove_parcels(&self, ids: &[Id]) -> Result<(), RepositoryError> {
        for ids in ids.chunks(TXN_OPS_MAX) {
            let ops = ids.iter().map(|id| Op::Delete { key: format!("{PARCELS}{}", sortable(*id)) }).collect();
            self.store.commit(Txn { guards: vec![Guard::Fence(self.led.clone())], ops }).await?;
        }
        Ok(())
    }
}

/// What is written in one transaction.
#[derive(Debug, Default)]
struct Group {
    ops: BTreeMap<String, Op>,
    parcel: Parcel,
}

impl Group {
    fn bytes(&self) -> Result<usize, RepositoryError> {
        Ok(self.ops.values().map(Op::bytes).sum::<usize>() + self.parcel_bytes()?)
    }

    fn parcel_bytes(&self) -> Result<usize, RepositoryError> {
        if self.parcel == Parcel::default() { Ok(0) } else { Ok(encode(PARCELS, &self.parcel)?.len()) }
    }
}

/// Sorts the changes of one step by what must stay together.
#[derive(Debug, Default)]
struct Sorting {
    groups: Vec<Group>,
    of_incident: BTreeMap<IncidentId, usize>,
    of_key: BTreeMap<String, usize>,
}

impl Sorting {
    fn group(&mut self, incident: Option<IncidentId>, key: Option<&str>) -> &mut Group {
        let known = key.and_then(|key| self.of_key.get(key)).or_else(|| self.of_incident.get(&incident?));
        let index = known.copied().unwrap_or(self.groups.len());
        if index == self.groups.len() {
            self.groups.push(Group::default());
        }
        if let Some(incident) = incident {
            self.of_incident.insert(incident, index);
        }
        if let Some(key) = key {
            self.of_key.insert(key.to_owned(), index);
        }
        &mut self.groups[index]
    }

    fn put<T: Serialize>(
        &mut self,
        incident: Option<IncidentId>,
        key: String,
        value: &T,
    ) -> Result<(), RepositoryError> {
        let value = encode(&key, value)?;
        if value.len() > VALUE_MAX {
            return Err(StoreError::ValueTooLarge { key, bytes: value.len() }.into());
        }
        // The last change of a record in a step counts.
        self.group(incident, Some(&key)).ops.insert(key.clone(), Op::Put { key, value });
        Ok(())
    }

    fn delete(&mut self, incident: Option<IncidentId>, key: String) {
        self.group(incident, Some(&key)).ops.insert(key.clone(), Op::Delete { key });
    }

    fn take(&mut self, change: &Change) -> Result<(), RepositoryError> {
        match change {
            Change::PutIncident(it) => self.put(Some(it.id), incident_key(it.id), it)?,
            Change::CloseIncident(it) => {
                self.delete(Some(it.id), incident_key(it.id));
                self.group(Some(it.id), None).parcel.closed.push(Incident::clone(it));
            }
            Change::PutCommand(it) => self.put(Some(it.intent.incident), command_key(it.intent.id), it)?,
            Change::DropCommand(id) => self.delete(None, command_key(*id)),
            Change::PutKnowledge(it) => {
                self.put(
                    None,
                    format!("{KNOWLEDGE}{}/{}/{}", source(it.source.as_ref()), it.fingerprint.0, it.repair),
                    it,
                )?;
            }
            Change::PutPattern(it) => {
                self.put(None, format!("{PATTERNS}{}/{}", source(it.source.as_ref()), it.fingerprint.0), it)?;
            }
            Change::PutWish(it) => {
                self.put(None, format!("{WISHES}{}/{}/{}", it.target.host, it.target.target, it.repair), it)?;
            }
            Change::PutHost(it) => self.put(None, host_key(&it.host), it)?,
            Change::DropHost(host) => self.delete(None, host_key(host)),
            Change::PutPause(it) => self.put(None, format!("{PAUSES}{}", it.scope), it)?,
            Change::DropPause(scope) => self.delete(None, format!("{PAUSES}{scope}")),
            Change::PutMode(it) => self.put(None, format!("{MODES}{}", it.scope), it)?,
            Change::DropMode(scope) => self.delete(None, format!("{MODES}{scope}")),
            Change::PutMaintenance(it) => self.put(None, format!("{MAINTENANCES}{}", it.name), it)?,
            Change::DropMaintenance(name) => self.delete(None, format!("{MAINTENANCES}{name}")),
            Change::PutRollout(it) => self.put(None, ROLLOUT.to_owned(), it)?,
            Change::DropRollout => self.delete(None, ROLLOUT.to_owned()),
            Change::PutDiagnostics(it) => self.put(None, format!("{DIAGNOSTICS}{}", sortable(it.id)), it)?,
            Change::DropDiagnostics(id) => self.delete(None, format!("{DIAGNOSTICS}{}", sortable(*id))),
            Change::PutPolicy(it) => self.put(None, POLICY.to_owned(), it)?,
        }
        Ok(())
    }

    fn audit(&mut self, entry: &AuditEntry) {
        let known = entry.incident.and_then(|incident| self.of_incident.get(&incident)).copied();
        if self.groups.is_empty() {
            self.groups.push(Group::default());
        }
        self.groups[known.unwrap_or_default()].parcel.audit.push(entry.clone());
    }

    /// As few groups as the limits of a transaction allow; usually one.
    fn pack(self) -> Result<Vec<Group>, RepositoryError> {
        let mut packed: Vec<(Group, usize)> = Vec::new();
        for group in self.groups {
            let bytes = group.bytes()?;
            match packed.last_mut() {
                // One operation is left for the parcel.
                Some((last, size))
                    if last.ops.len() + group.ops.len() < TXN_OPS_MAX
                        && *size + bytes <= TXN_BYTES_MAX - KEY_ROOM
                        && last.parcel_bytes()? + group.parcel_bytes()? <= VALUE_MAX =>
                {
                    last.ops.extend(group.ops);
                    last.parcel.audit.extend(group.parcel.audit);
                    last.parcel.closed.extend(group.parcel.closed);
                    *size += bytes;
                }
                Some(_) | None => packed.push((group, bytes)),
            }
        }
        Ok(packed.into_iter().map(|(group, _)| group).collect())
    }
}

/// Room for the key of a parcel.
const KEY_ROOM: usize = 64;

fn encode<T: Serialize>(key: &str, value: &T) -> Result<Vec<u8>, RepositoryError> {
    serde_json::to_vec(value)
        .map_err(|error| RepositoryError::Unwritable { key: key.to_owned(), why: error.to_string() })
}

fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, RepositoryError> {
    serde_json::from_slice(value)
        .map_err(|error| RepositoryError::Unreadable { key: key.to_owned(), why: error.to_string() })
}

/// An id whose text sorts as it does.
fn sortable(id: Id) -> String {
    format!("{:016x}-{:016x}", id.epoch, id.counter)
}

fn parse_sortable(text: &str) -> Option<Id> {
    let (epoch, counter) = text.split_once('-')?;
    Some(Id { epoch: u64::from_str_radix(epoch, 16).ok()?, counter: u64::from_str_radix(counter, 16).ok()? })
}

fn incident_key(id: IncidentId) -> String {
    format!("{INCIDENTS}{}", sortable(id.0))
}

fn command_key(id: CommandId) -> String {
    format!("{COMMANDS}{}", sortable(id.0))
}

fn host_key(host: &HostId) -> String {
    format!("{HOSTS}{host}")
}

/// Where the experience of this fleet and of others is kept.
fn source(fleet: Option<&FleetName>) -> String {
    fleet.map_or_else(|| "own".to_owned(), |fleet| format!("of/{fleet}"))
}

#[cfg(test)]
pub(crate) mod tests;

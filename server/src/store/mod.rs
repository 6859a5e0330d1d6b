//! The store behind one trait: keys, values and revisions with etcd's meaning, so that one server can keep them in
//! sled and several can share etcd, and nothing above can tell the difference.
//!
//! Only transitions are stored: open incidents, commands, knowledge, hosts, policy. Samples and heartbeats never are.

pub mod export;
pub mod memory;
pub mod repository;
pub mod sled;

#[cfg(test)]
mod conformance;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

pub use export::Export;
pub use memory::MemoryStore;
pub use sled::SledStore;

/// The most operations in one transaction, and the most guards: etcd's own default limit.
pub const TXN_OPS_MAX: usize = 128;

/// The largest value, in bytes. Larger ones belong in a file; this keeps any single commit short.
pub const VALUE_MAX: usize = 1024 * 1024;

/// The most bytes of keys and values in one transaction: etcd takes requests of 1.5 MiB, framing included.
pub const TXN_BYTES_MAX: usize = 1_400_000;

/// The longest key, in bytes: four names of the longest kind and their separators fit.
pub const KEY_MAX: usize = 320;

/// The most entries that one page of a listing holds.
pub const PAGE_MAX: usize = 1_000;

/// Counts transactions. Every transaction that changes something gets the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

/// What makes one leader's writes differ from those of the leaders before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

/// The right to write as leader of `name`, until somebody else campaigns for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    /// What is led.
    pub name: String,
    /// Above the term of every leader before.
    pub term: Term,
}

/// A value as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// The transaction that wrote it.
    pub mod_rev: Revision,
}

/// Which part of a listing is wanted.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Only keys after this one; null begins at the first.
    pub after: Option<String>,
    /// At most so many entries; 0 and everything above [`PAGE_MAX`] mean [`PAGE_MAX`].
    pub limit: usize,
}

impl Page {
    fn size(&self) -> usize {
        if self.limit == 0 { PAGE_MAX } else { self.limit.min(PAGE_MAX) }
    }
}

/// A part of a listing, in the order of the keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// The entries.
    pub entries: Vec<Entry>,
    /// What to ask for next; null when nothing follows.
    pub next: Option<String>,
}

/// What must be true for a transaction to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// There is no such key.
    Absent(String),
    /// The key was last written by this transaction.
    ModRev(String, Revision),
    /// Nobody has campaigned since.
    Fence(Leadership),
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(key) => write!(f, "{key} must not exist"),
            Self::ModRev(key, revision) => write!(f, "{key} must still be of revision {}", revision.0),
            Self::Fence(led) => write!(f, "term {} of {} must be the latest", led.term.0, led.name),
        }
    }
}

/// One change of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Write a value.
    Put {
        /// Its key.
        key: String,
        /// The value; at most [`VALUE_MAX`] bytes.
        value: Vec<u8>,
    },
    /// Remove a value. Nothing happens when there is none.
    Delete {
        /// Its key.
        key: String,
    },
}

impl Op {
    /// The key that it changes.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Put { key, value } => key.len() + value.len(),
            Self::Delete { key } => key.len(),
        }
    }
}

/// Changes that happen together or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Txn {
    /// What must be true.
    pub guards: Vec<Guard>,
    /// What to change; each key at most once.
    pub ops: Vec<Op>,
}

impl Txn {
    /// Checks the limits that hold for every store.
    ///
    /// # Errors
    /// The first limit that is broken.
    pub fn check(&self) -> Result<(), StoreError> {
        let most = self.ops.len().max(self.guards.len());
        if most > TXN_OPS_MAX {
            return Err(StoreError::TooManyOps { ops: most });
        }
        let mut seen = BTreeSet::new();
        for op in &self.ops {
            check_key(op.key())?;
            if !seen.insert(op.key()) {
                return Err(StoreError::BadKey {
                    key: op.key().to_owned(),
                    why: "it appears twice in one transaction",
                });
            }
            if let Op::Put { key, value } = op
                && value.len() > VALUE_MAX
            {
                return Err(StoreError::ValueTooLarge { key: key.clone(), bytes: value.len() });
            }
        }
        let bytes = self.ops.iter().map(Op::bytes).sum();
        if bytes > TXN_BYTES_MAX {
            return Err(StoreError::TxnTooLarge { bytes });
        }
        Ok(())
    }
}

fn check_key(key: &str) -> Result<(), StoreError> {
    let why = if key.is_empty() {
        "it is empty"
    } else if key.len() > KEY_MAX {
        "it is too long"
    } else if key.bytes().any(|byte| byte.is_ascii_control()) {
        "it holds a control character"
    } else {
        return Ok(());
    };
    Err(StoreError::BadKey { key: key.chars().take(KEY_MAX).collect(), why })
}

/// Why the store did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A guard did not hold, so nothing was changed.
    #[error("nothing was changed, because a guard did not hold: {0}")]
    Conflict(Guard),
    /// Too many operations.
    #[error("the transaction has {ops} operations; at most {TXN_OPS_MAX} are allowed")]
    TooManyOps {
        /// How many.
        ops: usize,
    },
    /// Too large in all.
    #[error("the transaction has {bytes} bytes; at most {TXN_BYTES_MAX} are allowed")]
    TxnTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// One value is too large.
    #[error("the value of {key} has {bytes} bytes; at most {VALUE_MAX} are allowed")]
    ValueTooLarge {
        /// Its key.
        key: String,
        /// Its size.
        bytes: usize,
    },
    /// A key that cannot be used.
    #[error("the key {key:?} cannot be used: {why}")]
    BadKey {
        /// The key, cut to its longest length.
        key: String,
        /// Why.
        why: &'static str,
    },
    /// Somebody commits without ever waiting for the answers.
    #[error("too many commits wait for their answers; wait for some of them first")]
    Overloaded,
    /// A stored value is not what was stored.
    #[error("the stored value of {key} is damaged: {why}")]
    Damaged {
        /// Its key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// Another export began before this one ended.
    #[error("another export began meanwhile; this one was given up")]
    Overtaken,
    /// An import into a store that holds something.
    #[error("the store is not empty; import only into an empty one")]
    NotEmpty,
    /// The disk failed, so nobody knows what is on it. Nothing more is written until a restart has looked.
    #[error("the store failed at {what}, and writes nothing more: restart the server")]
    Broken {
        /// What was being done.
        what: &'static str,
        /// The error underneath.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether another leader has taken over: memory is ahead of the truth and must be loaded again.
    #[must_use]
    pub const fn is_fenced(&self) -> bool {
        matches!(self, Self::Conflict(Guard::Fence(_)))
    }
}

/// A commit that was handed over. Resolves once it is on disk, or was refused.
///
/// Dropping it does not take the commit back.
#[derive(Debug)]
#[must_use = "nobody knows what became of a commit that is not waited for"]
pub struct Pending(Inner);

#[derive(Debug)]
enum Inner {
    Ready(Result<Revision, StoreError>),
    Waiting(oneshot::Receiver<Result<Revision, StoreError>>),
}

impl Pending {
    /// One that is decided already.
    pub const fn ready(result: Result<Revision, StoreError>) -> Self {
        Self(Inner::Ready(result))
    }

    /// One that somebody else will decide. When they end without doing so, it resolves to [`StoreError::Closed`].
    pub const fn waiting(receiver: oneshot::Receiver<Result<Revision, StoreError>>) -> Self {
        Self(Inner::Waiting(receiver))
    }
}

impl Future for Pending {
    type Output = Result<Revision, StoreError>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Inner::Ready(result) => Poll::Ready(result.clone()),
            Inner::Waiting(receiver) => {
                Pin::new(receiver).poll(context).map(|answer| answer.unwrap_or(Err(StoreError::Closed)))
            }
        }
    }
}

/// Where the server keeps what must survive it.
///
/// A read may see a commit whose answer is still on its way.
pub trait Store: Clone + Send + Sync + 'static {
    /// The value of a key; null when there is none.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or when the store cannot be reached.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Entry>, StoreError>> + Send;

    /// The entries whose keys begin with `prefix`, in the order of their keys, a page at a time.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or when the store cannot be reached.
    fn list(&self, prefix: &str, page: Page) -> impl Future<Output = Result<Listing, StoreError>> + Send;

    /// Makes all changes of `txn`, durably, if all its guards hold.
    ///
    /// The transaction is handed over before this returns: transactions happen in the order of the calls, however
    /// their answers are waited for, so commits can be pipelined.
    fn commit(&self, txn: Txn) -> Pending;

    /// Takes the leadership of `name` from whoever had it.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn campaign(&self, name: &str) -> impl Future<Output = Result<Leadership, StoreError>> + Send;

    /// Everything, as it was at one revision.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or when the store cannot be reached.
    fn export(&self) -> impl Future<Output = Result<Export, StoreError>> + Send;

    /// Puts everything that was exported into this store, which must be empty.
    ///
    /// Terms come back as they were, so that leaders of the time before stay fenced.
    ///
    /// # Errors
    /// [`StoreError::NotEmpty`], or when the store cannot be written.
    fn import(&self, export: Export) -> impl Future<Output = Result<Revision, StoreError>> + Send;
}

/// The stores that a server can be configured to use.
#[derive(Debug, Clone)]
pub enum Backend {
    /// Nothing survives. For tests.
    Memory(MemoryStore),
    /// Files of this server.
    Sled(SledStore),
}

impl Store for Backend {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        match self {
            Self::Memory(store) => store.get(key).await,
            Self::Sled(store) => store.get(key).await,
        }
    }

    async fn list(&self, prefix: &str, page: Page) -> Result<Listing, StoreError> {
        match self {
            Self::Memory(store) => store.list(prefix, page).await,
            Self::Sled(store) => store.list(prefix, page).await,
        }
    }

    fn commit(&self, txn: Txn) -> Pending {
        match self {
            Self::Memory(store) => store.commit(txn),
            Self::Sled(store) => store.commit(txn),
        }
    }

    async fn campaign(&self, name: &str) -> Result<Leadership, StoreError> {
        match self {
            Self::Memory(store) => store.campaign(name).await,
            Self::Sled(store) => store.campaign(name).await,
        }
    }

    async fn export(&self) -> Result<Export, StoreError> {
        match self {
            Self::Memory(store) => store.export().await,
            Self::Sled(store) => store.export().await,
        }
    }

    async fn import(&self, export: Export) -> Result<Revision, StoreError> {
        match self {
            Self::Memory(store) => store.import(export).await,
            Self::Sled(store) => store.import(export).await,
        }
    }
}

/// The terms of all leaderships, by name.
pub type Terms = BTreeMap<String, Term>;

//! The signed envelope, the documents that say who may sign what, and the hash chain of append-only logs.
//!
//! Pure: no I/O and no clock. Times are arguments; secret keys are made of entropy that the caller brings.
//!
//! Authority flows one way: **root keys** sign the [`FleetFile`], which names the **fleet signers**; one of those signs
//! the [`Delegation`], which names the server's key and what it may order; that key signs each delivery. An agent holds
//! only the root public keys ([`Anchor`]) and derives the rest ([`Trust`]).

pub mod chain;
mod document;
mod envelope;
mod key;
mod text;
mod trust;

pub use chain::{Head, sign_head, verify_head};
pub use document::{Approver, Delegation, DocumentError, FleetFile, HostScope, Scope, Signer};
pub use document::{CLOCK_SKEW_MAX, DELEGATION_MAX, DOCUMENT_SCHEMA};
pub use envelope::{JsonError, VerifyError, envelope_from_json, envelope_to_json, pae, sign, verify};
pub use key::{KeyId, KeyTextError, PublicKey, SecretKey};
pub use trust::{Anchor, Opened, Trust, TrustError};

/// The payload type of a signed delivery (protobuf).
pub const COMMAND_TYPE: &str = "application/vnd.prunella.command.v1";
/// The payload type of a signed delivery of standing orders (protobuf).
pub const STANDING_TYPE: &str = "application/vnd.prunella.standing.v1";
/// The payload type of an approval: the bytes of an intent.
pub const INTENT_TYPE: &str = "application/vnd.prunella.intent.v1";
/// The payload type of a [`FleetFile`].
pub const FLEET_TYPE: &str = "application/vnd.prunella.fleet.v1+json";
/// The payload type of a [`Delegation`].
pub const DELEGATION_TYPE: &str = "application/vnd.prunella.delegation.v1+json";
/// The payload type of a chain's [`Head`].
pub const HEAD_TYPE: &str = "application/vnd.prunella.head.v1+json";

/// The largest payload, in bytes. A command with the most steps and longest names stays below a tenth of it.
pub const PAYLOAD_MAX: usize = 256 * 1024;
/// The most signatures in an envelope: more than any sensible threshold, few enough to check them all.
pub const SIGNATURES_MAX: usize = 16;
/// The most approvals with a command; each is a whole envelope.
pub const APPROVALS_MAX: usize = 16;
/// The longest payload type, in bytes.
pub const TYPE_MAX: usize = 128;
/// The longest key id, in bytes.
pub const KEY_ID_MAX: usize = 64;

//! A plan on its way to an agent: intent, delivery, envelope.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::observation::{Instance, Sha256, Status};
use crate::step::{Effect, Risk, TargetStep};
use crate::{CommandId, FleetName, Generation, HostId, IncidentId, ProbeName, RepairName, TargetName, Timestamp};

/// The schema of [`Intent`] and [`Delivery`] that this program writes. An agent refuses a newer one.
pub const SCHEMA: u32 = 1;

/// The most steps that one command may have: the longest shipped repair has three.
pub const STEPS_MAX: usize = 16;

/// The longest life of a delivery. Long enough for a slow link, short enough that a stolen one is worthless.
pub const LIFETIME_MAX: Duration = Duration::from_secs(120);

/// Names one boot of one host, as the kernel gives it in `/proc/sys/kernel/random/boot_id`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BootId(pub String);

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What must still be true on the host when a command is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precondition {
    /// The host has not rebooted since.
    Boot(BootId),
    /// The target's latest run is still this one, alive or ended.
    Instance {
        /// The target.
        target: TargetName,
        /// The run that was seen.
        instance: Instance,
    },
    /// A probe still says this of the target.
    Observed {
        /// The target.
        target: TargetName,
        /// The probe.
        probe: ProbeName,
        /// Its verdict.
        status: Status,
    },
}

/// The stable part of a command: what shall be done to whom and why. Approvers sign its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The schema it is written in; see [`SCHEMA`].
    pub schema: u32,
    /// The fleet.
    pub fleet: FleetName,
    /// The one host that shall act.
    pub host: HostId,
    /// The enrolment of that host which the command is meant for.
    pub enrolment: u64,
    /// The command; an agent carries each one out at most once.
    pub id: CommandId,
    /// The incident it belongs to.
    pub incident: IncidentId,
    /// Which attempt at that incident it is, from 1; 0 when it is a run of a standing order.
    pub attempt: u32,
    /// The repair that the steps make up.
    pub repair: RepairName,
    /// The steps, in order; never empty, at most [`STEPS_MAX`].
    pub steps: Vec<TargetStep>,
    /// At least the highest risk of its steps.
    pub risk: Risk,
    /// At-most-once when any of its steps is.
    pub effect: Effect,
    /// What must still be true when it is carried out.
    pub preconditions: Vec<Precondition>,
    /// The probes that the agent runs again and again after the last step, until the first good answer.
    pub verify: Vec<(TargetName, ProbeName)>,
    /// The version of the fleet policy that led to it.
    pub policy_version: u64,
    /// The digest of that policy.
    pub policy_hash: Sha256,
    /// How many operators must have signed these bytes. The host's own policy can only raise it.
    pub approvals_required: u32,
    /// Decide, check and report everything, but do nothing.
    pub dry_run: bool,
    /// The longest time that the steps may take together.
    pub max_run: Duration,
    /// When the intent itself lapses, by the server's wall clock. It merely warns: clocks are not trusted.
    pub expires_at: Timestamp,
}

/// A random value that an agent makes for each stream, so that no delivery is good for another one.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge(pub [u8; 32]);

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The part of a command that is made at sending: which stream, in which order, for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The schema it is written in; see [`SCHEMA`].
    pub schema: u32,
    /// The bytes of the [`Intent`], exactly as approvers signed them.
    pub intent: Vec<u8>,
    /// The challenge of the agent's stream.
    pub challenge: Challenge,
    /// The decider's generation; an agent refuses a lower one than it has accepted.
    pub generation: Generation,
    /// Rises with each delivery in a stream, from 1.
    pub sequence: u64,
    /// How long after receiving the challenge the server signed this, by its monotonic clock.
    ///
    /// The agent made the challenge before the server received it, so measured from its making on the
    /// agent's boot clock, `issued_after + lifetime` can only come too early, never too late.
    pub issued_after: Duration,
    /// How long it is good from then on; at most [`LIFETIME_MAX`].
    pub lifetime: Duration,
    /// The version of the delegation that gives the server's key its authority.
    pub delegation_version: u64,
}

/// One signature over an [`Envelope`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// A hint at which key made it. It proves nothing.
    pub key_id: String,
    /// The signature: 64 bytes of Ed25519.
    pub signature: Vec<u8>,
}

/// A signed text: DSSE 1.0. Its payload means nothing before its signatures are verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// What the payload is; part of what is signed.
    pub payload_type: String,
    /// The payload, exactly as signed.
    pub payload: Vec<u8>,
    /// The signatures.
    pub signatures: Vec<Signature>,
}

/// A command as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedCommand {
    /// A [`Delivery`], signed by the server's delegated key.
    pub delivery: Envelope,
    /// Approvals: envelopes whose payload is the intent's bytes, signed by operators.
    pub approvals: Vec<Envelope>,
}

/// Where the server's authority comes from: two signed documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustBundle {
    /// The fleet file, signed by the root keys: who may delegate.
    pub fleet: Envelope,
    /// The delegation, signed by the fleet signer: what the server's key may sign, and until when.
    pub delegation: Envelope,
}

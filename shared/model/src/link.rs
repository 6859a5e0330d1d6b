//! What travels between an agent and its server, after decoding and before encoding.
//!
//! `prunella-proto` turns these into protobuf and back; nothing else knows the wire format.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::command::{Challenge, Envelope, SignedCommand, TrustBundle};
use crate::host::HostReport;
use crate::observation::{Frame, ProbeKind};
use crate::outcome::OutcomeReport;
use crate::question::{Answer, Question};
use crate::{CommandId, TargetName, Timestamp};

/// The version of the agent's protocol that this program speaks.
pub const PROTOCOL: u32 = 1;

/// Something an agent says. Each carries a sequence number, from 1 in every stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum AgentMessage {
    /// The first message of a stream.
    Hello {
        /// See [`PROTOCOL`].
        protocol: u32,
        /// Made anew for this stream; commands must carry it.
        challenge: Challenge,
        /// The host's clock, so that the server can see its skew.
        at: Timestamp,
        /// Everything there is to say.
        report: Box<HostReport>,
    },
    /// Everything again: because the server asked, or because targets changed.
    Report(Box<HostReport>),
    /// What was seen.
    Frame(Frame),
    /// The agent lives; nothing changed.
    Heartbeat {
        /// The host's clock.
        at: Timestamp,
    },
    /// A command reached the agent and its intent is on disk.
    Accepted {
        /// The command.
        command: CommandId,
    },
    /// What became of a command. Said again in each stream until acknowledged.
    Outcome(OutcomeReport),
    /// The answer to [`ServerMessage::Ask`].
    Answer {
        /// The number of the question.
        number: u64,
        /// The answer.
        answer: Answer,
    },
    /// The agent ends this stream on purpose.
    Goodbye {
        /// Why, for a person.
        reason: String,
    },
}

/// Something a server says. Each carries a sequence number, from 1 in every stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ServerMessage {
    /// The answer to Hello.
    Welcome {
        /// The server's clock.
        at: Timestamp,
        /// How often the agent must say something.
        heartbeat: Duration,
        /// Where the server's authority comes from.
        trust: Box<TrustBundle>,
    },
    /// New documents of authority.
    Trust(Box<TrustBundle>),
    /// Carry this out.
    Command(Box<SignedCommand>),
    /// What the host may do by itself while no server can be reached: a [`crate::command::Delivery`] of
    /// [`crate::standing::StandingOrders`], signed by the server's delegated key.
    Standing(Box<Envelope>),
    /// Stop this command before its next step.
    Cancel {
        /// The command.
        command: CommandId,
    },
    /// Everything up to this sequence number arrived, and these outcomes are stored.
    Acknowledge {
        /// The agent's sequence number.
        sequence: u64,
        /// Outcomes that need not be said again.
        outcomes: Vec<CommandId>,
    },
    /// Something is missing: say everything again.
    ReportFully,
    /// Run probes now.
    ProbeNow {
        /// All probes of this target; null means of every target.
        target: Option<TargetName>,
    },
    /// How often probes of these kinds shall look, within the host's own bounds. A kind that is not named looks as its
    /// administrator says.
    Intervals(Vec<(ProbeKind, Duration)>),
    /// Answer a question.
    Ask {
        /// Comes back with the answer.
        number: u64,
        /// The question.
        question: Question,
    },
    /// Come back later.
    Reconnect {
        /// Wait at least this long; the agent adds jitter.
        after: Duration,
        /// Why, for a person.
        reason: String,
    },
}

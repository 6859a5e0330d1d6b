//! What the two halves of an agent say to each other, and how it is framed.
//!
//! A frame is its length in four bytes, most significant first, then one message in postcard. Both halves are the same
//! program, so the first message of each side names the version and nothing else is negotiated. Decoding is total:
//! whatever arrives is a message, or an error that ends the connection.

use std::time::Duration;

use prunella_model::command::{Challenge, Envelope, SignedCommand, TrustBundle};
use prunella_model::host::TargetReport;
use prunella_model::observation::{Observation, ProbeKind, SeriesName};
use prunella_model::outcome::OutcomeReport;
use prunella_model::question::{Answer, Question};
use prunella_model::{CommandId, ProbeName, TargetName, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::board::Sensed;
use crate::execute::Receipt;
use crate::keeper::Standing;

/// The version of these messages.
pub(crate) const PROTOCOL: u32 = 1;

/// The longest message that the helper reads: the largest signed command with the most approvals is below it.
pub(crate) const ASK_MAX: usize = 2 * 1024 * 1024;

/// The longest message that the network's half reads: everything about a host with the most targets.
pub(crate) const TELL_MAX: usize = 8 * 1024 * 1024;

/// What the network's half says. Nothing of it is believed that is not signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// The first message.
    Hello {
        /// See [`PROTOCOL`].
        protocol: u32,
        /// The enrolment that the server has given this host. The helper takes it once for each join token.
        enrolment: u64,
    },
    /// A challenge for the next stream, please.
    Challenge,
    /// A stream with the latest challenge is open.
    Welcomed {
        /// The server's clock.
        at: Timestamp,
        /// Where its authority comes from.
        trust: Box<TrustBundle>,
    },
    /// New documents of authority.
    Trust(Box<TrustBundle>),
    /// Standing orders have arrived.
    Orders(Box<Envelope>),
    /// The stream has ended.
    StreamEnded,
    /// A command has arrived.
    Command(Box<SignedCommand>),
    /// The server wants this command to end before its next step.
    Cancel(CommandId),
    /// A server has stored these outcomes.
    Acknowledged(Vec<CommandId>),
    /// Look now: all probes of a target, or all of them.
    ProbeNow(Option<TargetName>),
    /// How often probes of these kinds shall look, within the bounds of agent.toml.
    Intervals(Vec<(ProbeKind, Duration)>),
    /// What a probe of the network's half saw.
    Seen(Observation),
    /// A question.
    Question {
        /// Comes back with the answer.
        number: u64,
        /// The question.
        question: Question,
    },
    /// Everything again, please.
    SayAll,
}

/// What the helper says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Tell {
    /// The first message.
    Hello {
        /// See [`PROTOCOL`].
        protocol: u32,
    },
    /// Everything that it knows.
    Everything(Box<Everything>),
    /// How it stands, because that has changed.
    Standing(Box<Standing>),
    /// Something was seen or measured.
    Sensed(Sensed),
    /// The challenge that was asked for.
    Challenge(Challenge),
    /// What a command came to.
    Receipt(Box<Receipt>),
    /// The answer to a question.
    Answer {
        /// The number of the question.
        number: u64,
        /// The answer.
        answer: Answer,
    },
    /// A command has ended.
    Ended(Box<OutcomeReport>),
    /// Look again and again with these probes of yours.
    Burst {
        /// Which.
        named: Vec<(TargetName, ProbeName)>,
        /// For at most so long.
        lasting: Duration,
    },
}

/// Everything that the helper knows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Everything {
    pub(crate) standing: Standing,
    pub(crate) targets: Vec<TargetReport>,
    pub(crate) series: Vec<SeriesName>,
    pub(crate) observations: Vec<Observation>,
}

/// Why a connection between the two halves is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// The connection broke, or ended in the middle of a message.
    #[error("the connection broke")]
    Io(#[from] std::io::Error),
    /// A message that is longer than any may be.
    #[error("a message of {found} bytes was announced; at most {limit} are allowed")]
    TooLong {
        /// What was announced.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Not a message.
    #[error("a message cannot be read: {0}")]
    Unreadable(String),
}

/// One message as a frame.
pub(crate) fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let body = postcard::to_stdvec(message).map_err(|error| FrameError::Unreadable(error.to_string()))?;
    let length = u32::try_from(body.len()).map_err(|_| FrameError::TooLong { found: body.len(), limit: TELL_MAX })?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend(body);
    Ok(frame)
}

/// The message that a frame's body is: all of it, and nothing after it.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    let (message, rest) = postcard::take_from_bytes(body).map_err(|error| FrameError::Unreadable(error.to_string()))?;
    if rest.is_empty() { Ok(message) } else { Err(FrameError::Unreadable("it is longer than what it says".into())) }
}

/// Reads one message; none at the end of the connection. Must not be dropped half way.
pub(crate) async fn read<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<Option<T>, FrameError> {
    let mut length = [0; 4];
    match from.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let found = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if found > limit {
        return Err(FrameError::TooLong { found, limit });
    }
    // Memory is taken as bytes arrive, not as they are announced.
    let mut body = Vec::new();
    from.take(found as u64).read_to_end(&mut body).await?;
    if body.len() < found {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    decode(&body).map(Some)
}

/// Writes one message.
pub(crate) async fn write<T: Serialize>(to: &mut (impl AsyncWrite + Unpin), message: &T) -> Result<(), FrameError> {
    Ok(to.write_all(&encode(message)?).await?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn whatever_arrives_is_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode::<Ask>(&bytes);
            let _ = decode::<Tell>(&bytes);
        }

        #[test]
        fn a_message_with_a_changed_byte_is_another_message_or_an_error(at in 0_usize..40, with in any::<u8>()) {
            let ask = Ask::Hello { protocol: PROTOCOL, enrolment: 77 };
            let mut frame = encode(&ask).unwrap();
            let body = &mut frame[4..];
            let at = at % body.len();
            body[at] ^= with;
            if let Ok(read) = decode::<Ask>(body) {
                prop_assert!(with == 0 || read != ask);
            }
        }
    }

    #[tokio::test]
    async fn what_is_too_long_is_refused_before_it_is_read_and_what_is_cut_short_is_an_error() {
        let huge = u32::MAX.to_be_bytes();
        assert!(matches!(read::<Ask>(&mut &huge[..], ASK_MAX).await, Err(FrameError::TooLong { .. })));
        let frame = encode(&Ask::SayAll).unwrap();
        assert_eq!(read::<Ask>(&mut &frame[..], ASK_MAX).await.unwrap(), Some(Ask::SayAll));
        assert!(matches!(read::<Ask>(&mut &frame[..frame.len() - 1], ASK_MAX).await, Err(FrameError::Io(_))));
        assert_eq!(read::<Ask>(&mut &[][..], ASK_MAX).await.unwrap(), None);
        let mut longer = frame.clone();
        longer.push(0);
        longer[3] += 1;
        assert!(matches!(read::<Ask>(&mut &longer[..], ASK_MAX).await, Err(FrameError::Unreadable(_))));
    }
}

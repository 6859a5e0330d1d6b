//! The one stream between this agent and its server.
//!
//! [`Uplink`] is waiting, opening or open, and says what happened next. Nothing here sends by a timer: what is said goes
//! to the socket at once.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use prunella_model::Timestamp;
use prunella_model::command::{Challenge, TrustBundle};
use prunella_model::host::HostReport;
use prunella_model::link::{AgentMessage, PROTOCOL, ServerMessage};
use prunella_proto::agent::v1::agent_service_client::AgentServiceClient;
use prunella_proto::agent::v1::{StreamRequest, StreamResponse};
use prunella_proto::dial::{DialError, DialOptions, dial};
use prunella_proto::wire;
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::clock;

/// How many messages may wait for a slow connection. At one frame a second this is two minutes; a connection that is
/// stuck for so long is given up, and the full report of the next one makes good what was lost.
const QUEUE: usize = 128;

/// How long connecting, the handshake and the server's welcome may take together.
const OPEN_MAX: Duration = Duration::from_secs(15);

/// The longest wait before the first attempt to reconnect.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);

/// The longest wait before any attempt: after a long outage of the server, hosts are back within half a minute.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// The heartbeat intervals that a server may ask for; anything else would flood it or hide this host's death.
const HEARTBEAT_BOUNDS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(60));

/// The largest message from a server that is decoded: a command with its approvals is far below.
const MESSAGE_MAX: usize = 1024 * 1024;

/// Why a stream could not be opened, or ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection to any of the server's addresses; this is what the last one came to.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// There is nowhere to connect to.
    #[error("no address of a server is known; write `agents = [\"host:port\"]` into agent.toml")]
    NoAddress,
    /// The server, or the connection, ended the stream.
    #[error("the stream ended: {}", status.message())]
    Status {
        /// What it said.
        status: Box<tonic::Status>,
    },
    /// The server ended the stream without an error.
    #[error("the server ended the stream")]
    Ended,
    /// The server did not answer in time.
    #[error("no welcome within {} s", OPEN_MAX.as_secs())]
    Silent,
    /// The server said something else than a welcome first.
    #[error("the server's first message was not a welcome")]
    NoWelcome,
    /// Messages are missing.
    #[error("message {expected} was expected from the server, but {found} came")]
    Gap {
        /// The next sequence number.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// A message could not be read.
    #[error("a message of the server could not be read")]
    Unreadable(#[source] wire::WireError),
    /// The connection takes nothing any more.
    #[error("the connection has been stuck for {QUEUE} messages")]
    Stuck,
    /// The system gives no random bytes.
    #[error("no random bytes for a challenge: {why}")]
    NoRandom {
        /// What the system says.
        why: String,
    },
}

/// The server's first words.
#[derive(Debug)]
pub struct Welcome {
    /// The server's clock.
    pub at: Timestamp,
    /// Where its authority comes from.
    pub trust: Box<TrustBundle>,
}

/// The challenge of a stream and when it was made.
#[derive(Debug, Clone, Copy)]
pub struct Fresh {
    /// Commands of this stream must carry it.
    pub challenge: Challenge,
    /// When it was made, on the boot clock.
    pub made_at: Duration,
}

impl Fresh {
    /// Makes one.
    ///
    /// # Errors
    /// [`LinkError::NoRandom`].
    pub fn make() -> Result<Self, LinkError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| LinkError::NoRandom { why: error.to_string() })?;
        Ok(Self { challenge: Challenge(bytes), made_at: clock::boot_now() })
    }
}

/// A stream that the server has welcomed.
pub struct Link {
    to: mpsc::Sender<StreamRequest>,
    from: Streaming<StreamResponse>,
    said: u64,
    heard: u64,
    heartbeat: Duration,
    quiet_until: Instant,
}

impl Link {
    /// Connects to the first of `addresses` that lets this agent in, and opens a stream there.
    ///
    /// # Errors
    /// The [`LinkError`] of the last address.
    pub async fn connect(
        addresses: Vec<String>,
        tls: Arc<ClientConfig>,
        report: HostReport,
        fresh: Fresh,
    ) -> Result<(Self, Welcome), LinkError> {
        let options =
            DialOptions { small_windows: true, explain: prunella_identity::explain_tls, ..DialOptions::default() };
        let mut last = LinkError::NoAddress;
        for address in addresses {
            match dial(&address, Arc::clone(&tls), &options).await {
                Ok(channel) => match Self::open(channel, report.clone(), fresh).await {
                    Ok(opened) => return Ok(opened),
                    Err(error) => last = error,
                },
                Err(error) => last = error.into(),
            }
        }
        Err(last)
    }

    /// Opens a stream on `channel`: says Hello with `report` and waits for the welcome.
    ///
    /// # Errors
    /// [`LinkError`] when the server does not welcome this agent.
    pub async fn open(channel: Channel, report: HostReport, fresh: Fresh) -> Result<(Self, Welcome), LinkError> {
        let (to, queue) = mpsc::channel(QUEUE);
        let hello = AgentMessage::Hello {
            protocol: PROTOCOL,
            challenge: fresh.challenge,
            at: clock::wall_now(),
            report: Box::new(report),
        };
        // The server may answer only once it has heard Hello, so that is queued before the call.
        to.try_send(wire::encode_agent(1, &hello)).map_err(|_| LinkError::Stuck)?;
        let mut client = AgentServiceClient::new(channel).max_decoding_message_size(MESSAGE_MAX);
        let welcomed = async {
            let mut from = client.stream(ReceiverStream::new(queue)).await.map_err(ended)?.into_inner();
            let first = from.message().await.map_err(ended)?.ok_or(LinkError::Ended)?;
            Ok::<_, LinkError>((from, first))
        };
        let (from, first) = timeout(OPEN_MAX, welcomed).await.map_err(|_| LinkError::Silent)??;
        let (sequence, message) = wire::decode_server(first).map_err(LinkError::Unreadable)?;
        let ServerMessage::Welcome { at, heartbeat, trust } = message else { return Err(LinkError::NoWelcome) };
        in_order(1, sequence)?;
        let heartbeat = heartbeat.clamp(HEARTBEAT_BOUNDS.0, HEARTBEAT_BOUNDS.1);
        let quiet_until = Instant::now() + heartbeat;
        let link = Self { to, from, said: 1, heard: 1, heartbeat, quiet_until };
        Ok((link, Welcome { at, trust }))
    }

    /// When something must be said, so that the server does not take this host for dead.
    #[must_use]
    pub fn quiet_until(&self) -> Instant {
        self.quiet_until
    }

    /// Says something. It never waits.
    ///
    /// # Errors
    /// [`LinkError::Stuck`] or [`LinkError::Ended`] when the connection takes nothing any more.
    pub fn say(&mut self, message: &AgentMessage) -> Result<(), LinkError> {
        self.to.try_send(wire::encode_agent(self.said + 1, message)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => LinkError::Stuck,
            mpsc::error::TrySendError::Closed(_) => LinkError::Ended,
        })?;
        self.said += 1;
        self.quiet_until = Instant::now() + self.heartbeat;
        Ok(())
    }

    /// The next message of the server. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`LinkError`] when the stream has ended or cannot be trusted to be whole.
    pub async fn hear(&mut self) -> Result<ServerMessage, LinkError> {
        let message = self.from.message().await.map_err(ended)?.ok_or(LinkError::Ended)?;
        let (sequence, message) = wire::decode_server(message).map_err(LinkError::Unreadable)?;
        in_order(self.heard + 1, sequence)?;
        self.heard = sequence;
        Ok(message)
    }

    /// Says goodbye and waits until the server has ended the stream too, at most for `patience`.
    pub async fn part(mut self, reason: &str, patience: Duration) {
        if self.say(&AgentMessage::Goodbye { reason: reason.to_owned() }).is_err() {
            return;
        }
        let Self { to, mut from, .. } = self;
        drop(to);
        // Whether the server answers or not, the agent goes.
        let _ = timeout(patience, async { while let Ok(Some(_)) = from.message().await {} }).await;
    }
}

fn ended(status: tonic::Status) -> LinkError {
    LinkError::Status { status: Box::new(status) }
}

fn in_order(expected: u64, found: u64) -> Result<(), LinkError> {
    if expected == found { Ok(()) } else { Err(LinkError::Gap { expected, found }) }
}

/// How long to wait before the attempt after `failures` failed ones: anything from nothing up to a bound that doubles.
///
/// Full jitter, so that a fleet whose server was restarted does not come back in one wave.
#[must_use]
pub fn backoff(failures: u32, random: u64) -> Duration {
    let bound = BACKOFF_FIRST.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(BACKOFF_MAX);
    let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX).max(1);
    Duration::from_micros(random % micros)
}

/// What a server asked for, with jitter of as much again (at most [`BACKOFF_MAX`]) on top.
#[must_use]
pub fn asked_wait(after: Duration, random: u64) -> Duration {
    // A server that asks for a day must not be able to blind a host; it will be asked again instead.
    let after = after.min(BACKOFF_MAX.saturating_mul(10));
    let spread = u64::try_from(after.clamp(BACKOFF_FIRST, BACKOFF_MAX).as_micros()).unwrap_or(u64::MAX).max(1);
    after + Duration::from_micros(random % spread)
}

fn random() -> u64 {
    // Jitter needs no secrecy; without randomness the waits are merely not spread.
    getrandom::u64().unwrap_or(u64::MAX / 2)
}

/// What happened next to the uplink.
pub enum News {
    /// The wait is over: it is time to open a stream.
    Due,
    /// A stream is open.
    Opened(Welcome),
    /// The server said something.
    Heard(ServerMessage),
    /// There is no stream any more, or opening one failed; the uplink waits.
    Down(LinkError),
}

type Opening = Pin<Box<dyn Future<Output = Result<(Link, Welcome), LinkError>>>>;

enum State {
    Waiting { until: Instant },
    Opening(Opening),
    Open(Box<Link>),
}

/// The uplink: waiting, opening or open.
pub struct Uplink {
    state: State,
    failures: u32,
}

impl Uplink {
    /// An uplink that is due at once.
    #[must_use]
    pub fn new() -> Self {
        Self { state: State::Waiting { until: Instant::now() }, failures: 0 }
    }

    /// The open stream, if there is one.
    pub fn link(&mut self) -> Option<&mut Link> {
        match &mut self.state {
            State::Open(link) => Some(link),
            State::Waiting { .. } | State::Opening(_) => None,
        }
    }

    /// Whether a stream is being opened: what is seen now is newer than the report in its Hello.
    #[must_use]
    pub fn is_opening(&self) -> bool {
        matches!(self.state, State::Opening(_))
    }

    /// Starts to open a stream.
    pub fn open(&mut self, opening: impl Future<Output = Result<(Link, Welcome), LinkError>> + 'static) {
        self.state = State::Opening(Box::pin(opening));
    }

    /// Gives the stream up, and waits before the next attempt.
    pub fn give_up(&mut self) {
        let wait = backoff(self.failures, random());
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting { until: Instant::now() + wait };
    }

    /// Looks again in a moment.
    pub fn postpone(&mut self, wait: Duration) {
        self.state = State::Waiting { until: Instant::now() + wait };
    }

    /// Ends the stream, or the attempt to open one, and begins a new one at once.
    pub fn begin_anew(&mut self) {
        match self.state {
            State::Waiting { .. } => {}
            State::Opening(_) | State::Open(_) => self.postpone(Duration::ZERO),
        }
    }

    /// Gives the stream up as the server asked, for about as long as it asked.
    pub fn give_up_for(&mut self, after: Duration) {
        self.state = State::Waiting { until: Instant::now() + asked_wait(after, random()) };
    }

    /// Ends the uplink, and hands out the stream if one is open.
    #[must_use]
    pub fn close(self) -> Option<Link> {
        match self.state {
            State::Open(link) => Some(*link),
            State::Waiting { .. } | State::Opening(_) => None,
        }
    }

    /// What happens next. Dropping the future loses nothing.
    pub async fn next(&mut self) -> News {
        match &mut self.state {
            State::Waiting { until } => {
                sleep_until(*until).await;
                News::Due
            }
            State::Opening(opening) => match opening.await {
                Ok((link, welcome)) => {
                    self.state = State::Open(Box::new(link));
                    News::Opened(welcome)
                }
                Err(error) => {
                    self.give_up();
                    News::Down(error)
                }
            },
            State::Open(link) => match link.hear().await {
                Ok(message) => {
                    // Only now: a server that welcomes and then hangs up must not be asked ever faster.
                    self.failures = 0;
                    News::Heard(message)
                }
                Err(error) => {
                    self.give_up();
                    News::Down(error)
                }
            },
        }
    }
}

impl Default for Uplink {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_bound_and_are_spread_over_all_of_it() {
        assert!(backoff(0, u64::MAX) < BACKOFF_FIRST);
        assert_eq!(backoff(0, 0), Duration::ZERO);
        let bound = |failures| (0..1_000).map(|i| backoff(failures, i * 7_919_777)).max().unwrap();
        assert!(bound(3) > BACKOFF_FIRST * 7 && bound(3) < BACKOFF_FIRST * 8);
        for failures in [7, 31, 32, 200, u32::MAX] {
            assert!(bound(failures) > BACKOFF_MAX / 2 && bound(failures) < BACKOFF_MAX);
        }
    }

    #[test]
    fn a_server_is_given_the_time_it_asks_for_but_cannot_send_a_host_away_for_long() {
        for random in [0, 1, u64::MAX / 3, u64::MAX] {
            let wait = asked_wait(Duration::from_secs(5), random);
            assert!(wait >= Duration::from_secs(5) && wait < Duration::from_secs(10));
            assert!(asked_wait(Duration::MAX, random) <= BACKOFF_MAX * 11);
        }
    }

    #[test]
    fn a_gap_is_an_error() {
        assert!(in_order(4, 4).is_ok());
        assert!(matches!(in_order(4, 6), Err(LinkError::Gap { expected: 4, found: 6 })));
        assert!(in_order(4, 3).is_err());
    }
}

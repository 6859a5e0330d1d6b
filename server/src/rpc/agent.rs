//! The one stream between an agent and its server.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use prunella_engine::Event;
use prunella_model::host::HostReport;
use prunella_model::link::{AgentMessage, PROTOCOL, ServerMessage};
use prunella_model::policy::FleetPolicy;
use prunella_model::{HostId, Timestamp};
use prunella_proto::agent::v1::agent_service_server::AgentService;
use prunella_proto::agent::v1::{StreamRequest, StreamResponse};
use prunella_proto::wire;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status, Streaming};

use super::accept::Peer;
use super::error;
use super::gate::Caller;
use crate::clock::Clock;
use crate::driver::{Inbox, Input, Stopped};
use crate::questions::Questions;
use crate::sessions::{Greeting, Lifeline, Outgoing, SessionKey, Sessions, queue};

/// How long an agent may take to say Hello: it has it ready when it opens the stream.
const HELLO_MAX: Duration = Duration::from_secs(10);

/// How many messages are acknowledged at once when nothing else is: an agent may forget them then.
const ACKNOWLEDGE_EVERY: u64 = 32;

/// The part of the silence that makes a host count as lost within which its agent must say something.
const HEARTBEATS_IN_SILENCE: u32 = 3;

/// A difference of the clocks that a person should hear of; agents observe only beyond it.
const SKEW_WORTH_A_WARNING: Duration = Duration::from_secs(300);

/// Serves agents' streams.
#[derive(Debug, Clone)]
pub struct AgentLink {
    /// Connected agents.
    pub sessions: Arc<Sessions>,
    /// The way to the driver.
    pub inbox: Inbox,
    /// Questions to agents.
    pub questions: Arc<Questions>,
    /// The time.
    pub clock: Clock,
    /// The policy in force.
    pub policy: watch::Receiver<Arc<FleetPolicy>>,
}

/// What the server says in a stream.
#[derive(Debug)]
pub struct Said(Outgoing);

impl Stream for Said {
    type Item = Result<StreamResponse, Status>;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0
            .poll_next(context)
            .map(|next| next.map(|said| said.map(|(sequence, message)| wire::encode_server(sequence, &message))))
    }
}

#[tonic::async_trait]
impl AgentService for AgentLink {
    type StreamStream = Said;

    async fn stream(&self, request: Request<Streaming<StreamRequest>>) -> Result<Response<Said>, Status> {
        let (caller, peer) =
            (request.extensions().get::<Caller>().cloned(), request.extensions().get::<Peer>().cloned());
        let (Some(Caller::Agent { host, enrolment }), Some(peer)) = (caller, peer) else {
            return Err(error::unauthenticated("NOT_AN_AGENT", "this needs the certificate of an agent of this fleet"));
        };
        // The gate has let nobody pass without one.
        let expires = peer.certificate.as_ref().map_or(Timestamp::ZERO, |it| it.not_after);
        let (sender, lifeline, outgoing) = queue();
        let listener = Listener { link: self.clone(), host, enrolment, peer, expires, heard: request.into_inner() };
        tokio::spawn(listener.run(sender, lifeline));
        Ok(Response::new(Said(outgoing)))
    }
}

/// The incoming half of one stream.
struct Listener {
    link: AgentLink,
    host: HostId,
    enrolment: u64,
    peer: Peer,
    /// When the agent's certificate ends, and the stream with it.
    expires: Timestamp,
    heard: Streaming<StreamRequest>,
}

/// How a stream ended.
struct Ending {
    orderly: bool,
    status: Status,
}

impl From<Status> for Ending {
    fn from(status: Status) -> Self {
        Self { orderly: false, status }
    }
}

impl From<Stopped> for Ending {
    fn from(stopped: Stopped) -> Self {
        Status::from(stopped).into()
    }
}

impl Listener {
    async fn run(mut self, sender: mpsc::Sender<ServerMessage>, lifeline: Lifeline) {
        let (sequence, opened) = match self.greet(sender, lifeline).await {
            Some(it) => it,
            None => return,
        };
        let ending = self.listen(&opened, sequence).await;
        let (code, why) = (ending.status.code(), ending.status.message());
        tracing::info!(
            target: "prunella::sessions", host = %self.host, orderly = ending.orderly, ?code, why, "a session ended"
        );
        let input = Input::Event(Event::Disconnected { host: self.host.clone(), orderly: ending.orderly });
        // Without room the driver is gone, and so is who would want to know.
        if let Ok(permit) = self.link.inbox.room().await {
            self.link.sessions.close(&opened, ending.status, permit, input);
        }
    }

    /// Waits for Hello and opens the session. Returns null when the stream was refused instead.
    async fn greet(&mut self, sender: mpsc::Sender<ServerMessage>, lifeline: Lifeline) -> Option<(u64, SessionKey)> {
        let hello = tokio::time::timeout(HELLO_MAX, self.hello()).await;
        let slow = || error::status(Code::DeadlineExceeded, "NO_HELLO", "no Hello within 10 s", &[]);
        let greeted = match hello.unwrap_or_else(|_| Err(slow())) {
            Ok(it) => self.link.inbox.room().await.map(|permit| (it, permit)).map_err(Status::from),
            Err(status) => Err(status),
        };
        let ((sequence, greeting, report), permit) = match greeted {
            Ok(it) => it,
            Err(status) => {
                tracing::info!(target: "prunella::sessions", host = %self.host, address = %self.peer.address, why = status.message(), "a stream was refused");
                lifeline.refuse(status);
                return None;
            }
        };
        tracing::info!(
            target: "prunella::sessions",
            host = %self.host, enrolment = self.enrolment, address = %self.peer.address,
            agent_version = report.agent_version, targets = report.targets.len(), "a session began"
        );
        let connected = Input::Event(Event::Connected { host: self.host.clone(), enrolment: self.enrolment, report });
        let now = self.link.clock.now();
        // When the server is stopping the stream simply ends; the agent comes back.
        let opened = self.link.sessions.open(greeting, now, permit, connected, sender, lifeline).ok()?;
        Some((sequence, opened))
    }

    async fn hello(&mut self) -> Result<(u64, Greeting, Box<HostReport>), Status> {
        let ended = || error::status(Code::Cancelled, "NO_HELLO", "the stream ended before Hello", &[]);
        let first = self.heard.message().await?.ok_or_else(ended)?;
        let received = Instant::now();
        let (sequence, message) = wire::decode_agent(first).map_err(malformed)?;
        let AgentMessage::Hello { protocol, challenge, at, report } = message else {
            return Err(protocol_error("the first message must be Hello"));
        };
        if protocol != PROTOCOL {
            let why =
                format!("this server speaks protocol {PROTOCOL}, the agent {protocol}; upgrade the older of the two");
            return Err(error::refused("OTHER_PROTOCOL", why));
        }
        let now = self.link.clock.now();
        let skew = now.since(at).max(at.since(now));
        if skew > SKEW_WORTH_A_WARNING {
            tracing::warn!(target: "prunella::sessions", host = %self.host, seconds = skew.as_secs(), "the host's clock differs from the server's");
        }
        let heartbeat = self.link.policy.borrow().heartbeat / HEARTBEATS_IN_SILENCE;
        let connection = Arc::clone(&self.peer.connection);
        let (host, enrolment) = (self.host.clone(), self.enrolment);
        Ok((sequence, Greeting { host, enrolment, challenge, received, heartbeat, connection }, report))
    }

    /// Passes on what the agent says until the stream ends.
    async fn listen(&mut self, session: &SessionKey, mut last: u64) -> Ending {
        let expiry = tokio::time::sleep_until(self.link.clock.instant_of(self.expires).into());
        tokio::pin!(expiry);
        loop {
            let heard = tokio::select! {
                biased;
                // First, so that an agent that never stops talking does not outlive its certificate.
                () = &mut expiry => {
                    let why = "the agent's certificate has expired; renew it and connect again";
                    return error::unauthenticated("CERTIFICATE_EXPIRED", why).into();
                }
                heard = self.heard.message() => heard,
            };
            let message = match heard {
                Ok(Some(message)) => message,
                Ok(None) => return Status::ok("the agent ended the stream").into(),
                Err(status) => return status.into(),
            };
            let (sequence, message) = match wire::decode_agent(message) {
                Ok(it) => it,
                Err(error) => return malformed(error).into(),
            };
            if sequence != last + 1 {
                tracing::info!(target: "prunella::sessions", host = %self.host, expected = last + 1, sequence, "messages are missing");
                self.link.sessions.send_to(session, ServerMessage::ReportFully);
            }
            last = sequence;
            let message = match message {
                AgentMessage::Answer { number, answer } => {
                    self.link.questions.answered(&self.host, number, answer);
                    continue;
                }
                message => message,
            };
            let event = match self.event_of(message) {
                Ok(event) => event,
                Err(ending) => return ending,
            };
            let Ok(permit) = self.link.inbox.room().await else { return Stopped.into() };
            if !self.link.sessions.pass(session, sequence, permit, Input::Event(event)) {
                return Status::aborted("a newer session of this host took over").into();
            }
            if sequence.is_multiple_of(ACKNOWLEDGE_EVERY) {
                let outcomes = Vec::new();
                self.link.sessions.send_to(session, ServerMessage::Acknowledge { sequence, outcomes });
            }
        }
    }

    fn event_of(&self, message: AgentMessage) -> Result<Event, Ending> {
        let host = self.host.clone();
        match message {
            AgentMessage::Hello { .. } => Err(protocol_error("Hello may be said only once in a stream").into()),
            AgentMessage::Answer { .. } => Err(protocol_error("an answer is no event").into()),
            AgentMessage::Report(report) => Ok(Event::Reported { host, report }),
            AgentMessage::Frame(frame) => Ok(Event::Frame { host, frame }),
            AgentMessage::Heartbeat { .. } => Ok(Event::Heartbeat { host }),
            AgentMessage::Accepted { command } => Ok(Event::Accepted { host, command }),
            AgentMessage::Outcome(report) => Ok(Event::Outcome { host, report }),
            AgentMessage::Goodbye { reason } => {
                Err(Ending { orderly: true, status: Status::ok(format!("the agent said goodbye: {reason}")) })
            }
        }
    }
}

fn malformed(error: wire::WireError) -> Status {
    let field = error.path.clone();
    error::status(
        Code::InvalidArgument,
        "MALFORMED",
        format!("a message cannot be read: {error}"),
        &[("field", &field)],
    )
}

fn protocol_error(why: &str) -> Status {
    error::status(Code::InvalidArgument, "PROTOCOL", why, &[])
}

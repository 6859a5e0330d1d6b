//! Connected agents: one session for each host, each with a bounded queue outwards.
//!
//! What a session says to the driver goes through here too, under the same lock that decides which session is the
//! current one: so the driver never hears from a session after it has heard of the next.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use prunella_model::command::{Challenge, TrustBundle};
use prunella_model::link::ServerMessage;
use prunella_model::{HostId, Timestamp};
use tokio::sync::mpsc::{self, OwnedPermit, error::TrySendError};
use tokio::sync::oneshot;
use tonic::Status;

use crate::driver::Input;
use crate::rpc::accept::Connection;

/// How many messages may wait for one agent. A healthy one has none or two; one that leaves this many is not reading.
pub const QUEUE_MAX: usize = 64;

/// How long the peer of an ended session may take to read its ending before its connection is closed.
const CLOSE_GRACE: Duration = Duration::from_secs(3);

/// What the server knows of a stream that has said Hello.
#[derive(Debug)]
pub struct Greeting {
    /// The host, from the peer's certificate.
    pub host: HostId,
    /// Its enrolment, from the peer's certificate.
    pub enrolment: u64,
    /// The stream's challenge.
    pub challenge: Challenge,
    /// When the challenge was received.
    pub received: Instant,
    /// How often the agent must say something.
    pub heartbeat: Duration,
    /// The connection that carries the stream.
    pub connection: Arc<Connection>,
}

/// Names one session among all since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionKey {
    host: HostId,
    number: u64,
}

/// What a delivery in a session needs.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// The number of the session among all since the start.
    pub session: u64,
    /// The stream's challenge.
    pub challenge: Challenge,
    /// The next delivery's number in the stream.
    pub sequence: u64,
    /// How long ago the challenge was received.
    pub issued_after: Duration,
}

/// Why a message was not queued. Nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotQueued {
    /// There is no session.
    #[error("the agent is not connected")]
    NotConnected,
    /// The agent does not read. Its session was ended.
    #[error("the agent does not read what it is sent, and was disconnected")]
    TooSlow,
}

/// Every connected agent.
#[derive(Debug)]
pub struct Sessions(Mutex<Table>);

#[derive(Debug)]
struct Table {
    current: BTreeMap<HostId, Session>,
    trust: Arc<TrustBundle>,
    opened: u64,
    /// Set once the server is stopping: new streams are sent away.
    closing: bool,
}

#[derive(Debug)]
struct Session {
    number: u64,
    challenge: Challenge,
    received: Instant,
    deliveries: u64,
    heard: u64,
    queue: mpsc::Sender<ServerMessage>,
    ending: oneshot::Sender<Status>,
    connection: Arc<Connection>,
    /// Resolves when the peer has read the end of the stream, or is gone.
    gone: oneshot::Receiver<()>,
}

impl Session {
    /// Ends the stream with a status, and the connection too if the peer does not read that.
    fn end(self, status: Status) {
        let Self { ending, connection, gone, queue, .. } = self;
        drop(queue);
        // An error means that the stream has ended already.
        let _ = ending.send(status);
        tokio::spawn(async move {
            if tokio::time::timeout(CLOSE_GRACE, gone).await.is_err() {
                connection.kill();
            }
        });
    }
}

impl Sessions {
    /// No sessions yet. `trust` is what agents are told in their Welcome.
    #[must_use]
    pub fn new(trust: Arc<TrustBundle>) -> Self {
        Self(Mutex::new(Table { current: BTreeMap::new(), trust, opened: 0, closing: false }))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a stream the current session of its host, queues its Welcome, and tells the driver.
    ///
    /// # Errors
    /// The status for the stream when the server is stopping.
    pub fn open(
        &self,
        greeting: Greeting,
        now: Timestamp,
        permit: OwnedPermit<Input>,
        connected: Input,
        outgoing: mpsc::Sender<ServerMessage>,
        lifeline: Lifeline,
    ) -> Result<SessionKey, Status> {
        let mut table = self.table();
        if table.closing {
            return Err(Status::unavailable("the server is stopping; connect again in a few seconds"));
        }
        table.opened += 1;
        let number = table.opened;
        let trust = Box::new((*table.trust).clone());
        let Greeting { host, enrolment, challenge, received, heartbeat, connection } = greeting;
        // The queue is new and empty, so this cannot fail.
        let _ = outgoing.try_send(ServerMessage::Welcome { at: now, heartbeat, trust });
        let Lifeline { ending, gone } = lifeline;
        let session =
            Session { number, challenge, received, deliveries: 0, heard: 1, queue: outgoing, ending, connection, gone };
        if let Some(older) = table.current.insert(host.clone(), session) {
            tracing::info!(target: "prunella::sessions", %host, enrolment, "a newer session took over");
            older.end(Status::aborted("a newer session of this host took over"));
        }
        permit.send(connected);
        Ok(SessionKey { host, number })
    }

    /// Passes something that a session said to the driver. Returns false, and passes nothing, when the session is no
    /// longer the current one of its host.
    pub fn pass(&self, key: &SessionKey, sequence: u64, permit: OwnedPermit<Input>, input: Input) -> bool {
        let mut table = self.table();
        match table.current.get_mut(&key.host).filter(|it| it.number == key.number) {
            Some(session) => {
                session.heard = sequence;
                permit.send(input);
                true
            }
            None => false,
        }
    }

    /// Ends a session from its own side and tells the driver, unless a newer one has taken over.
    pub fn close(&self, key: &SessionKey, status: Status, permit: OwnedPermit<Input>, disconnected: Input) {
        let mut table = self.table();
        if table.current.get(&key.host).is_some_and(|it| it.number == key.number)
            && let Some(session) = table.current.remove(&key.host)
        {
            session.end(status);
            permit.send(disconnected);
        }
    }

    /// Queues a message for a host.
    ///
    /// # Errors
    /// [`NotQueued`]; an agent that does not read is disconnected.
    pub fn send(&self, host: &HostId, message: ServerMessage) -> Result<(), NotQueued> {
        self.table().send(host, message)
    }

    /// Queues a message for a session, unless it is no longer the current one.
    pub fn send_to(&self, key: &SessionKey, message: ServerMessage) {
        let mut table = self.table();
        if table.current.get(&key.host).is_some_and(|it| it.number == key.number) {
            let _ = table.send(&key.host, message);
        }
    }

    /// The session that `host` has now, without taking a delivery number.
    #[must_use]
    pub fn current(&self, host: &HostId) -> Option<u64> {
        self.table().current.get(host).map(|it| it.number)
    }

    /// The place of the next delivery to `host`.
    ///
    /// # Errors
    /// [`NotQueued::NotConnected`].
    pub fn next_delivery(&self, host: &HostId) -> Result<Slot, NotQueued> {
        let mut table = self.table();
        let session = table.current.get_mut(host).ok_or(NotQueued::NotConnected)?;
        session.deliveries += 1;
        Ok(Slot {
            session: session.number,
            challenge: session.challenge,
            sequence: session.deliveries,
            issued_after: session.received.elapsed(),
        })
    }

    /// Queues a message for a host if it still has this session.
    ///
    /// # Errors
    /// [`NotQueued`].
    pub fn deliver(&self, host: &HostId, session: u64, message: ServerMessage) -> Result<(), NotQueued> {
        let mut table = self.table();
        match table.current.get(host).is_some_and(|it| it.number == session) {
            true => table.send(host, message),
            false => Err(NotQueued::NotConnected),
        }
    }

    /// Acknowledges stored outcomes, and with them everything that was heard of the session so far.
    pub fn acknowledge(&self, host: &HostId, outcomes: Vec<prunella_model::CommandId>) {
        let mut table = self.table();
        if let Some(sequence) = table.current.get(host).map(|it| it.heard) {
            let _ = table.send(host, ServerMessage::Acknowledge { sequence, outcomes });
        }
    }

    /// Tells every agent of new documents of authority, and those that come later in their Welcome.
    pub fn renew_trust(&self, trust: &Arc<TrustBundle>) {
        let mut table = self.table();
        table.trust = Arc::clone(trust);
        table.broadcast(|| ServerMessage::Trust(Box::new((**trust).clone())));
    }

    /// Ends the session of a host at once, connection and all: it is no longer a member.
    pub fn kill(&self, host: &HostId) {
        if let Some(session) = self.table().current.remove(host) {
            session.connection.kill();
            session.end(Status::permission_denied("this host was removed from the fleet"));
        }
    }

    /// Sends every agent away, and every one that still comes.
    pub fn close_all(&self, after: Duration, reason: &str) {
        let mut table = self.table();
        table.closing = true;
        table.broadcast(|| ServerMessage::Reconnect { after, reason: reason.to_owned() });
        for (_, session) in std::mem::take(&mut table.current) {
            session.end(Status::unavailable(reason.to_owned()));
        }
    }

    /// What agents are told now about where authority comes from.
    #[must_use]
    pub fn trust(&self) -> Arc<TrustBundle> {
        Arc::clone(&self.table().trust)
    }

    /// How many agents are connected.
    #[must_use]
    pub fn count(&self) -> usize {
        self.table().current.len()
    }
}

impl Table {
    fn send(&mut self, host: &HostId, message: ServerMessage) -> Result<(), NotQueued> {
        let session = self.current.get(host).ok_or(NotQueued::NotConnected)?;
        match session.queue.try_send(message) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(NotQueued::NotConnected),
            Err(TrySendError::Full(_)) => {
                // The session stays in the table until its reader closes it, so that the driver hears of it; here only
                // its connection ends.
                tracing::warn!(target: "prunella::sessions", %host, waiting = QUEUE_MAX, "disconnecting an agent that does not read");
                session.connection.kill();
                Err(NotQueued::TooSlow)
            }
        }
    }

    fn broadcast(&mut self, message: impl Fn() -> ServerMessage) {
        let hosts: Vec<HostId> = self.current.keys().cloned().collect();
        for host in hosts {
            let _ = self.send(&host, message());
        }
    }
}

/// The table's hold on a stream's outgoing half.
#[derive(Debug)]
pub struct Lifeline {
    ending: oneshot::Sender<Status>,
    gone: oneshot::Receiver<()>,
}

/// The outgoing half of a session: what is queued, numbered from 1, then the status it was ended with.
#[derive(Debug)]
pub struct Outgoing {
    queue: mpsc::Receiver<ServerMessage>,
    ending: Option<oneshot::Receiver<Status>>,
    sequence: u64,
    /// Dropped with this: tells whoever ended the session that its stream is gone.
    _gone: oneshot::Sender<()>,
}

/// A queue, its reading end, and the hold on it.
#[must_use]
pub fn queue() -> (mpsc::Sender<ServerMessage>, Lifeline, Outgoing) {
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    let (ending, ended) = oneshot::channel();
    let (alive, gone) = oneshot::channel();
    (sender, Lifeline { ending, gone }, Outgoing { queue, ending: Some(ended), sequence: 0, _gone: alive })
}

impl Lifeline {
    /// Ends a stream that never became a session.
    pub fn refuse(self, status: Status) {
        let _ = self.ending.send(status);
    }
}

impl Outgoing {
    /// The next message with its number; after the last one the status that ended the stream, once.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<(u64, ServerMessage), Status>>> {
        if let Some(message) = ready!(self.queue.poll_recv(context)) {
            self.sequence += 1;
            return Poll::Ready(Some(Ok((self.sequence, message))));
        }
        let Some(ending) = &mut self.ending else { return Poll::Ready(None) };
        let status = ready!(Pin::new(ending).poll(context));
        self.ending = None;
        match status {
            Ok(status) if status.code() == tonic::Code::Ok => Poll::Ready(None),
            Ok(status) => Poll::Ready(Some(Err(status))),
            Err(_) => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use prunella_model::command::Envelope;

    use super::*;
    use crate::driver::Inbox;

    fn sessions() -> Sessions {
        let empty = || Envelope { payload_type: String::new(), payload: Vec::new(), signatures: Vec::new() };
        Sessions::new(Arc::new(TrustBundle { fleet: empty(), delegation: empty() }))
    }

    fn h1() -> HostId {
        HostId::new("h1").unwrap()
    }

    async fn open(sessions: &Sessions, inbox: &Inbox) -> (SessionKey, Outgoing, oneshot::Receiver<()>) {
        let (connection, killed) = Connection::new();
        let (sender, lifeline, outgoing) = queue();
        let greeting = Greeting {
            host: h1(),
            enrolment: 1,
            challenge: Challenge([1; 32]),
            received: Instant::now(),
            heartbeat: Duration::from_secs(1),
            connection,
        };
        let permit = inbox.room().await.unwrap();
        let key = sessions.open(greeting, Timestamp::ZERO, permit, Input::Stop, sender, lifeline).unwrap();
        (key, outgoing, killed)
    }

    async fn next(outgoing: &mut Outgoing) -> Option<Result<(u64, ServerMessage), Status>> {
        std::future::poll_fn(|context| outgoing.poll_next(context)).await
    }

    #[tokio::test]
    async fn an_agent_that_does_not_read_is_disconnected() {
        let (sessions, (inbox, mut events)) = (sessions(), Inbox::new());
        let (_, mut outgoing, mut killed) = open(&sessions, &inbox).await;
        assert!(events.recv().await.is_some());
        // The Welcome takes the first place.
        for _ in 1..QUEUE_MAX {
            sessions.send(&h1(), ServerMessage::ReportFully).unwrap();
        }
        assert!(killed.try_recv().is_err());
        assert_eq!(sessions.send(&h1(), ServerMessage::ReportFully), Err(NotQueued::TooSlow));
        assert_eq!(killed.try_recv(), Ok(()));
        assert!(matches!(next(&mut outgoing).await, Some(Ok((1, ServerMessage::Welcome { .. })))));
        assert!(matches!(next(&mut outgoing).await, Some(Ok((2, ServerMessage::ReportFully)))));
    }

    #[tokio::test]
    async fn an_older_session_is_silent_once_a_newer_one_is_there() {
        let (sessions, (inbox, mut events)) = (sessions(), Inbox::new());
        let (older, mut outgoing, _killed) = open(&sessions, &inbox).await;
        let slot = sessions.next_delivery(&h1()).unwrap();
        assert_eq!(slot.sequence, 1);
        let (newer, _outgoing, _killed) = open(&sessions, &inbox).await;
        for _ in 0..2 {
            events.recv().await.unwrap();
        }
        assert!(!sessions.pass(&older, 2, inbox.room().await.unwrap(), Input::Stop));
        sessions.close(&older, Status::ok(""), inbox.room().await.unwrap(), Input::Stop);
        assert!(events.try_recv().is_err(), "the driver must not hear of the older one again");
        assert_eq!(sessions.deliver(&h1(), slot.session, ServerMessage::ReportFully), Err(NotQueued::NotConnected));
        assert!(sessions.pass(&newer, 2, inbox.room().await.unwrap(), Input::Stop));
        assert!(matches!(next(&mut outgoing).await, Some(Ok((1, ServerMessage::Welcome { .. })))));
        let Some(Err(ended)) = next(&mut outgoing).await else { panic!("no status") };
        assert_eq!(ended.code(), tonic::Code::Aborted);
        assert!(next(&mut outgoing).await.is_none());
        // Deliveries are counted anew in each stream.
        assert_eq!(sessions.next_delivery(&h1()).unwrap().sequence, 1);
    }

    #[tokio::test]
    async fn whoever_comes_while_the_server_stops_is_sent_away() {
        let (sessions, (inbox, _events)) = (sessions(), Inbox::new());
        let (_, mut outgoing, _killed) = open(&sessions, &inbox).await;
        sessions.close_all(Duration::from_secs(1), "stopping");
        assert!(matches!(next(&mut outgoing).await, Some(Ok((1, ServerMessage::Welcome { .. })))));
        assert!(matches!(next(&mut outgoing).await, Some(Ok((2, ServerMessage::Reconnect { .. })))));
        let Some(Err(ended)) = next(&mut outgoing).await else { panic!("no status") };
        assert_eq!(ended.code(), tonic::Code::Unavailable);
        assert_eq!(sessions.count(), 0);
    }
}

//! The only loop: `inbox or deadline → journal → engine.step → commit → effects`.
//!
//! One task owns the engine. **Persist, then act**: what a step decided takes effect when its own commit is on disk, and
//! in the order of the steps; commits are pipelined, so that samples never wait for the disk. A commit that fails means
//! that the engine is ahead of the truth: the loop ends with an error, the process with it, and the next start loads
//! what is stored. (Reloading in place would have to tell every session and reader to forget what it was told.)

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use prunella_engine::{Decision, Engine, Event, Reply, Request};
use prunella_model::policy::FleetPolicy;
use prunella_model::record::{AuditEntry, Change, CommandRecord};
use prunella_model::{CommandId, HostId, OperatorName, Timestamp};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::effects::Effects;

/// How many events may wait. Agents' streams are held back beyond it, so this bounds memory, not what is lost.
pub const INBOX_MAX: usize = 1_024;

/// How many commits may be on their way to the disk. Beyond it nothing new is taken in until one has arrived.
const IN_FLIGHT_MAX: usize = 1_024;

/// A commit on its way: resolves when it is on disk.
pub type Commit = Pin<Box<dyn Future<Output = Result<(), CommitFailed>> + Send>>;

/// What must outlive the process.
pub trait Durable: Send {
    /// Hands changes and audit entries over, to be stored together and in the order of the calls.
    fn commit(&mut self, changes: Vec<Change>, audit: Vec<AuditEntry>) -> Commit;

    /// Notes an event for replay. Never waits.
    fn journal(&mut self, now: Timestamp, event: &Event);
}

/// A commit did not happen, so the engine believes what is not stored.
#[derive(Debug, thiserror::Error)]
#[error("a commit failed; the server stops so that its next start loads what is stored")]
pub struct CommitFailed(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// A question to the engine: runs between two events and changes nothing.
pub type Query = Box<dyn FnOnce(&Engine, Timestamp) + Send>;

/// What the driver takes in.
pub enum Input {
    /// Something happened.
    Event(Event),
    /// An operator asks for something.
    Request {
        /// Who.
        by: OperatorName,
        /// What.
        request: Request,
        /// Where the answer goes.
        reply: oneshot::Sender<Reply>,
    },
    /// Somebody wants to know something.
    Query(Query),
    /// Somebody waits until everything decided so far is on disk.
    Stored(oneshot::Sender<()>),
    /// The authority that commands are signed with was renewed.
    Renewed(Box<crate::authority::Granted>),
    /// Commit what is under way, and end.
    Stop,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Event(event) => event.fmt(f),
            Self::Request { by, request, .. } => write!(f, "{request:?} by {by}"),
            Self::Query(_) => f.write_str("Query"),
            Self::Stored(_) => f.write_str("Stored"),
            Self::Renewed(_) => f.write_str("Renewed"),
            Self::Stop => f.write_str("Stop"),
        }
    }
}

/// The driver is gone, because the server is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server is stopping")]
pub struct Stopped;

/// The way to the driver. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Inbox(mpsc::Sender<Input>);

impl Inbox {
    /// An inbox and the end that a [`Driver`] reads.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Input>) {
        let (sender, receiver) = mpsc::channel(INBOX_MAX);
        (Self(sender), receiver)
    }

    /// Waits for room and takes it, so that whoever holds it can put something in without waiting.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn room(&self) -> Result<mpsc::OwnedPermit<Input>, Stopped> {
        self.0.clone().reserve_owned().await.map_err(|_| Stopped)
    }

    /// Puts something in.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn put(&self, input: Input) -> Result<(), Stopped> {
        self.0.send(input).await.map_err(|_| Stopped)
    }

    /// Asks the engine for something, as `by`.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn ask(&self, by: OperatorName, request: Request) -> Result<Reply, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.put(Input::Request { by, request, reply }).await?;
        answer.await.map_err(|_| Stopped)
    }

    /// Runs `question` on the engine between two events.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn query<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Engine, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        let query = move |engine: &Engine, now: Timestamp| drop(reply.send(question(engine, now)));
        self.put(Input::Query(Box::new(query))).await?;
        answer.await.map_err(|_| Stopped)
    }

    /// Waits until everything that was decided so far is on disk.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn stored(&self) -> Result<(), Stopped> {
        let (done, stored) = oneshot::channel();
        self.put(Input::Stored(done)).await?;
        stored.await.map_err(|_| Stopped)
    }
}

/// What takes effect once its commit is on disk.
enum Act {
    Decision(Decision),
    /// Send what was committed for this host before it connected, and was not accepted yet.
    SendAgain(HostId, Vec<CommandId>),
    /// Tell who waits that everything before this is on disk.
    Stored(oneshot::Sender<()>),
    /// Tell who wants to know that this policy is in force.
    Policy(Arc<FleetPolicy>),
}

/// One step on its way to the disk.
struct InFlight {
    commit: Option<Commit>,
    acts: Vec<Act>,
}

/// The loop and what it owns.
pub struct Driver<D> {
    engine: Engine,
    durable: D,
    effects: Effects,
    clock: Clock,
    inbox: mpsc::Receiver<Input>,
    in_flight: VecDeque<InFlight>,
    /// What carrying decisions out has led to, to be told to the engine next.
    follow: VecDeque<Event>,
}

impl<D: Durable> Driver<D> {
    /// A driver of `engine`, which has been loaded from what `durable` holds.
    #[must_use]
    pub fn new(engine: Engine, durable: D, effects: Effects, clock: Clock, inbox: mpsc::Receiver<Input>) -> Self {
        Self { engine, durable, effects, clock, inbox, in_flight: VecDeque::new(), follow: VecDeque::new() }
    }

    /// Runs until [`Input::Stop`], or until nobody holds the inbox.
    ///
    /// # Errors
    /// [`CommitFailed`]: see the module's text.
    pub async fn run(mut self) -> Result<(), CommitFailed> {
        loop {
            let deadline = self.engine.next_deadline().map(|at| self.clock.instant_of(at));
            let room = self.in_flight.len() < IN_FLIGHT_MAX;
            tokio::select! {
                biased;
                result = first(&mut self.in_flight), if !self.in_flight.is_empty() => {
                    result?;
                    self.release();
                }
                input = self.inbox.recv(), if room => match input {
                    None | Some(Input::Stop) => break,
                    Some(input) => self.take(input),
                },
                () = sleep_until(deadline), if room => self.step(Event::Tick),
            }
            self.settle();
        }
        while !self.in_flight.is_empty() {
            first(&mut self.in_flight).await?;
            self.release();
            self.settle();
        }
        Ok(())
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Event(event) => self.step(event),
            Input::Request { by, request, reply } => {
                let token = self.effects.expect_reply(reply);
                self.step(Event::Request { token, by, request });
            }
            Input::Query(query) => query(&self.engine, self.clock.now()),
            Input::Stored(done) => self.in_flight.push_back(InFlight { commit: None, acts: vec![Act::Stored(done)] }),
            Input::Renewed(granted) => {
                let (version, not_after) = (granted.version, granted.not_after);
                self.effects.renew(*granted);
                self.step(Event::Authorised { version, not_after });
            }
            Input::Stop => {}
        }
    }

    fn step(&mut self, event: Event) {
        let now = self.clock.now();
        self.durable.journal(now, &event);
        let again = self.waiting_for(&event);
        let (given, version) = (matches!(event, Event::Policy(_)), self.engine.policy().version);
        let (mut changes, mut audit, mut acts) = (Vec::new(), Vec::new(), Vec::from_iter(again));
        for decision in self.engine.step(now, event) {
            match decision {
                Decision::Store(change) => changes.push(change),
                Decision::Audit(entry) => audit.push(entry),
                other => acts.push(Act::Decision(other)),
            }
        }
        if given || self.engine.policy().version != version {
            acts.push(Act::Policy(Arc::clone(self.engine.policy())));
        }
        let commit = (!changes.is_empty() || !audit.is_empty()).then(|| self.durable.commit(changes, audit));
        if commit.is_some() || !acts.is_empty() {
            self.in_flight.push_back(InFlight { commit, acts });
        }
    }

    /// Does what need not wait for the disk: steps without a commit that have come to the front, and what follows.
    fn settle(&mut self) {
        loop {
            if self.in_flight.front().is_some_and(|it| it.commit.is_none()) {
                self.release();
            } else if let Some(event) = self.follow.pop_front() {
                self.step(event);
            } else {
                return;
            }
        }
    }

    /// What was committed for a host that connects, and may not have reached it.
    fn waiting_for(&self, event: &Event) -> Option<Act> {
        let Event::Connected { host, .. } = event else { return None };
        let waits =
            |it: &&&CommandRecord| it.intent.host == *host && !it.accepted && !it.cancelled && it.report.is_none();
        let ids: Vec<_> = self.engine.commands().iter().filter(waits).map(|it| it.intent.id).collect();
        (!ids.is_empty()).then(|| Act::SendAgain(host.clone(), ids))
    }

    /// Lets the first step in flight take effect: its commit is on disk.
    fn release(&mut self) {
        let Some(step) = self.in_flight.pop_front() else { return };
        for act in step.acts {
            match act {
                Act::Decision(decision) => self.follow.extend(self.effects.carry_out(decision)),
                // An error only means that nobody waits any more.
                Act::Stored(done) => drop(done.send(())),
                Act::Policy(policy) => self.effects.publish_policy(&policy),
                Act::SendAgain(host, commands) => {
                    // What was accepted, cancelled or reported in the meantime is not to be sent.
                    let waits = |it: &&CommandRecord| !it.accepted && !it.cancelled && it.report.is_none();
                    for record in commands.iter().filter_map(|id| self.engine.command(*id)).filter(waits) {
                        self.effects.send_again(&host, record);
                    }
                }
            }
        }
    }
}

/// Resolves when the first step in flight is on disk; at once when it needs no commit.
async fn first(in_flight: &mut VecDeque<InFlight>) -> Result<(), CommitFailed> {
    match in_flight.front_mut().and_then(|it| it.commit.as_mut()) {
        Some(commit) => commit.await,
        None => Ok(()),
    }
}

async fn sleep_until(deadline: Option<std::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prunella_model::command::{Envelope, TrustBundle};
    use prunella_model::policy::Scope;
    use prunella_model::record::Stored;
    use prunella_model::step::Risk;
    use prunella_model::{FleetName, HostId};
    use prunella_seal::{HostScope, SecretKey};
    use tokio::sync::watch;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::feed::Feed;
    use crate::sessions::Sessions;

    /// A disk that acknowledges when the test says so.
    struct Disk(mpsc::UnboundedSender<oneshot::Sender<bool>>);

    impl Durable for Disk {
        fn commit(&mut self, _: Vec<Change>, _: Vec<AuditEntry>) -> Commit {
            let (ok, answer) = oneshot::channel();
            self.0.send(ok).unwrap();
            Box::pin(async move {
                if answer.await == Ok(true) { Ok(()) } else { Err(CommitFailed("no space left".into())) }
            })
        }
        fn journal(&mut self, _: Timestamp, _: &Event) {}
    }

    struct Rig {
        inbox: Inbox,
        commits: mpsc::UnboundedReceiver<oneshot::Sender<bool>>,
        running: JoinHandle<Result<(), CommitFailed>>,
    }

    fn rig() -> Rig {
        let clock = Clock::start();
        let empty = || Envelope { payload_type: String::new(), payload: Vec::new(), signatures: Vec::new() };
        let bundle = Arc::new(TrustBundle { fleet: empty(), delegation: empty() });
        let granted = crate::authority::Granted {
            bundle: Arc::clone(&bundle),
            version: 1,
            not_before: Timestamp::ZERO,
            not_after: Timestamp::from_secs(u64::from(u32::MAX)),
            scope: prunella_seal::Scope { max_risk: Risk::High, hosts: HostScope::All, per_hour: 1, steps: None },
        };
        let engine = Engine::new(FleetName::new("test").unwrap(), 1, clock.now(), Stored::default());
        let (policy, _) = watch::channel(Arc::clone(engine.policy()));
        let (sessions, feed) = (Arc::new(Sessions::new(bundle)), Arc::new(Feed::default()));
        let key = SecretKey::from_entropy(&[1; 32]);
        let effects = Effects::new(sessions, feed, clock.clone(), key, granted, policy);
        let (to, commits) = mpsc::unbounded_channel();
        let (inbox, events) = Inbox::new();
        let running = tokio::spawn(Driver::new(engine, Disk(to), effects, clock, events).run());
        Rig { inbox, commits, running }
    }

    fn pause(inbox: &Inbox, host: &str) -> JoinHandle<Result<Reply, Stopped>> {
        let scope = Scope::Host(HostId::new(host).unwrap());
        let request = Request::Pause { scope, why: "a test".to_owned(), until: None };
        let (inbox, by) = (inbox.clone(), OperatorName::new("op").unwrap());
        tokio::spawn(async move { inbox.ask(by, request).await })
    }

    async fn connect(inbox: &Inbox, host: &str) {
        let report = prunella_model::host::HostReport {
            agent_version: "1".into(),
            boot: prunella_model::command::BootId("b".into()),
            labels: Default::default(),
            targets: Vec::new(),
            series: Vec::new(),
            observations: Vec::new(),
            mark: prunella_model::Generation::default(),
            outcomes: Vec::new(),
            paused: None,
            observe_only: None,
            config: None,
            program: None,
            drift: None,
            intervals: None,
        };
        let host = HostId::new(host).unwrap();
        let event = Event::Connected { host, enrolment: 1, report: Box::new(report) };
        inbox.put(Input::Event(event)).await.unwrap();
    }

    /// Has a host connected, and everything about it stored.
    async fn known(rig: &mut Rig, host: &str) {
        connect(&rig.inbox, host).await;
        settle(&rig.inbox).await;
        while let Ok(commit) = rig.commits.try_recv() {
            commit.send(true).unwrap();
        }
        settle(&rig.inbox).await;
    }

    /// Nothing more can happen without the disk once the loop has answered a question.
    async fn settle(inbox: &Inbox) {
        inbox.query(|_, _| ()).await.unwrap();
    }

    #[tokio::test]
    async fn nothing_takes_effect_before_its_own_commit_and_all_in_order() {
        let mut rig = rig();
        known(&mut rig, "a").await;
        known(&mut rig, "b").await;
        let first = pause(&rig.inbox, "a");
        let first_commit = rig.commits.recv().await.unwrap();
        let second = pause(&rig.inbox, "b");
        let second_commit = rig.commits.recv().await.unwrap();
        // The disk does not answer; the loop does, and knows what it decided.
        assert_eq!(rig.inbox.query(|engine, now| engine.fleet(now).pauses.len()).await, Ok(2));
        second_commit.send(true).unwrap();
        settle(&rig.inbox).await;
        assert!(!first.is_finished() && !second.is_finished(), "an effect overtook its commit");
        first_commit.send(true).unwrap();
        assert!(matches!(first.await.unwrap(), Ok(Reply::Done { .. })));
        assert!(matches!(second.await.unwrap(), Ok(Reply::Done { .. })));
        rig.inbox.put(Input::Stop).await.unwrap();
        rig.running.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_failed_commit_ends_the_loop_and_nothing_takes_effect() {
        let mut rig = rig();
        known(&mut rig, "a").await;
        let asked = pause(&rig.inbox, "a");
        rig.commits.recv().await.unwrap().send(false).unwrap();
        assert_eq!(asked.await.unwrap(), Err(Stopped));
        let error = tokio::time::timeout(Duration::from_secs(60), rig.running).await.unwrap().unwrap().unwrap_err();
        assert!(error.to_string().contains("next start loads what is stored"));
    }
}

//! Telling people and other systems: who is told of what, at which moment of an incident.
//!
//! Each receiver has a task of its own, which reads the feed of events from where it was before. So one that does not
//! answer holds up nobody else, and a restart goes on where it ended: a message is sent at least once, and carries an
//! id by which a receiver knows a repetition.

pub mod config;
pub mod format;
pub mod message;
mod progress;
pub mod route;
pub(crate) mod send;
mod silence;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prunella_identity::Role;
use prunella_model::event::{EventKind, FleetEvent};
use prunella_model::incident::Severity;
use prunella_model::{FleetName, OperatorName, Timestamp};
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::fleet_service_client::FleetServiceClient;
use prunella_proto::control::v1::incident_service_client::IncidentServiceClient;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tonic::{Request, Status};
use zeroize::Zeroizing;

pub(crate) use progress::{Dead, Progress};
pub use silence::Silence;

use crate::clock::Clock;
use crate::feed::Feed;
use crate::files;
use crate::http::Services;
use crate::rpc::convert;
use crate::rpc::gate::Vouched;
use crate::store::Backend;
use crate::store::repository::{Repository, RepositoryError};
use config::{Notify, Receiver};
use message::{Message, Moment};
use send::{Failed, Sender};

/// Prefix of the records of receivers.
const PROGRESS: &str = "notify/";

/// Prefix of the records of silences.
const SILENCES: &str = "silence/";

/// Pauses between the tries of one message, in seconds: together 37 minutes, longer than most restarts of a receiver.
const PAUSES: [u64; 9] = [1, 2, 5, 15, 30, 60, 300, 600, 1_200];

/// How often a receiver's task looks whether a silence has ended.
const SILENCE_LOOK: Duration = Duration::from_secs(1);

/// Everything about notifications that others ask for.
#[derive(Debug)]
pub struct Desk {
    /// Receivers and routes.
    pub config: Notify,
    repository: Arc<Repository<Backend>>,
    progress: Mutex<BTreeMap<String, Progress>>,
    silences: Mutex<BTreeMap<u64, Silence>>,
    /// One change of the silences at a time.
    changing: tokio::sync::Mutex<()>,
}

impl Desk {
    /// Loads what was told before.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn load(config: Notify, repository: Arc<Repository<Backend>>) -> Result<Self, RepositoryError> {
        let kept = repository.read_all::<Progress>(PROGRESS).await?;
        let named = kept.into_iter().filter_map(|(key, it)| Some((key.strip_prefix(PROGRESS)?.to_owned(), it)));
        let progress = Mutex::new(named.collect());
        let silences = repository.read_all::<Silence>(SILENCES).await?;
        let silences = Mutex::new(silences.into_iter().map(|(_, it)| (it.id, it)).collect());
        Ok(Self { config, repository, progress, silences, changing: tokio::sync::Mutex::default() })
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Progress>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far a receiver has come.
    pub(crate) fn progress(&self, name: &str) -> Progress {
        self.all().get(name).cloned().unwrap_or_default()
    }

    async fn save(&self, name: &str, progress: Progress) -> Result<(), RepositoryError> {
        self.repository.write(&format!("{PROGRESS}{name}"), &progress, Vec::new(), Vec::new()).await?;
        self.all().insert(name.to_owned(), progress);
        Ok(())
    }

    /// Silences that have not ended.
    pub fn silences(&self, now: Timestamp) -> Vec<Silence> {
        let all = self.silences.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().filter(|it| now < it.until).cloned().collect()
    }

    /// Adds a silence, with a number of its own, and forgets those that have ended.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn silence(
        &self,
        silence: Silence,
        audit: Vec<prunella_model::record::AuditEntry>,
    ) -> Result<Silence, RepositoryError> {
        let _turn = self.changing.lock().await;
        let (id, ended) = {
            let all = self.silences.lock().unwrap_or_else(PoisonError::into_inner);
            let ended: Vec<u64> = all.values().filter(|it| it.until <= silence.since).map(|it| it.id).collect();
            (all.last_key_value().map_or(0, |(id, _)| *id).max(silence.since.as_secs()) + 1, ended)
        };
        let silence = Silence { id, ..silence };
        // Stored before it holds: what a restart would forget keeps nobody from being told.
        self.repository.write(&format!("{SILENCES}{id}"), &silence, Vec::new(), audit).await?;
        for id in &ended {
            self.repository.remove(&format!("{SILENCES}{id}"), Vec::new(), Vec::new()).await?;
        }
        let mut all = self.silences.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|id, _| !ended.contains(id));
        all.insert(id, silence.clone());
        Ok(silence)
    }

    /// Ends a silence. Whether there was one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_silence(
        &self,
        id: u64,
        audit: Vec<prunella_model::record::AuditEntry>,
    ) -> Result<bool, RepositoryError> {
        let _turn = self.changing.lock().await;
        if !self.silences.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&id) {
            return Ok(false);
        }
        self.repository.remove(&format!("{SILENCES}{id}"), Vec::new(), audit).await?;
        self.silences.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        Ok(true)
    }

    /// Sends one receiver a message that says that it is a test.
    ///
    /// # Errors
    /// Why it did not arrive.
    pub async fn test(
        &self,
        receiver: &Receiver,
        fleet: &FleetName,
        now: Timestamp,
        by: &OperatorName,
    ) -> Result<(), String> {
        let time = convert::time(now);
        let event = pb::Event {
            id: format!("test-{}", now.as_micros()),
            time,
            message: format!("a test of the notifications, sent by {by}; nothing is wrong"),
            ..Default::default()
        };
        let dashboard = self.config.dashboard.as_deref();
        let message = Message::new(fleet.as_str(), dashboard, &event, Moment::Fleet, None, Severity::Info, None);
        let sender = Sender::new().map_err(|error| error.to_string())?;
        let secret = secret(receiver)?;
        let post = format::post(receiver, secret.as_ref().map(|it| it.as_str()), &message, None, None);
        let post = post.ok_or("this receiver takes no tests")?;
        sender.send(&post).await.map(drop).map_err(|failed| failed.why().to_owned())
    }
}

/// The secret of a receiver, read anew each time, so that it can be changed without a restart.
fn secret(receiver: &Receiver) -> Result<Option<Zeroizing<String>>, String> {
    let Some(path) = &receiver.secret_file else { return Ok(None) };
    let text = files::read_secret(path).map_err(|error| error.to_string())?;
    Ok(Some(Zeroizing::new(text.trim().to_owned())))
}

/// What the tasks share.
pub(crate) struct Notifier {
    pub(crate) fleet: FleetName,
    pub(crate) desk: Arc<Desk>,
    pub(crate) services: Services,
    pub(crate) feed: Arc<Feed>,
    pub(crate) clock: Clock,
}

/// Starts a task for each receiver.
///
/// # Errors
/// When the system's certificates cannot be read.
pub(crate) fn start(notifier: Notifier) -> std::io::Result<Vec<JoinHandle<()>>> {
    if notifier.desk.config.receiver.is_empty() {
        return Ok(Vec::new());
    }
    let sender = Sender::new()?;
    let notifier = Arc::new(notifier);
    let receivers = notifier.desk.config.receiver.clone();
    let serve = |it: Receiver| tokio::spawn(serve(Arc::clone(&notifier), sender.clone(), it));
    Ok(receivers.into_iter().map(serve).collect())
}

async fn serve(notifier: Arc<Notifier>, sender: Sender, receiver: Receiver) {
    let mut cursor = notifier.desk.progress(&receiver.name).cursor;
    if cursor.is_none() {
        // Whoever is new is told of what happens from now on.
        cursor = notifier.feed.newest();
    }
    let mut known = notifier.silences();
    let mut look = tokio::time::interval(SILENCE_LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut subscription = notifier.feed.subscribe(cursor);
        if let Some(gap) = &subscription.gap {
            tracing::warn!(target: "prunella::notify", receiver = receiver.name, gap, "events were missed");
        }
        for told in std::mem::take(&mut subscription.backlog) {
            cursor = Some(told.event.id);
            notifier.take(&sender, &receiver, &told.event).await;
        }
        loop {
            let next = tokio::select! {
                next = subscription.live.recv() => next,
                _ = look.tick() => {
                    let silences = notifier.silences();
                    if silences.is_empty() || silences != known {
                        notifier.after_silence(&sender, &receiver).await;
                    }
                    known = silences;
                    continue;
                }
            };
            match next {
                Ok(event) => {
                    cursor = Some(event.id);
                    notifier.take(&sender, &receiver, &event).await;
                }
                // The feed has kept what went by while a message was being sent.
                Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return,
            }
        }
    }
}

impl Notifier {
    /// Deals with one event for one receiver.
    async fn take(&self, sender: &Sender, receiver: &Receiver, event: &FleetEvent) {
        let Some(moment) = Moment::of(event.kind) else { return };
        if moment == Moment::Resolved
            && let Some(incident) = event.incident
        {
            self.forget(receiver, &incident.to_string()).await;
        }
        let (message, passed, target) = match self.message(event, moment).await {
            Ok(it) => it,
            Err(status) => {
                tracing::warn!(target: "prunella::notify", receiver = receiver.name, event = %event.id, why = status.message(), "an event could not be told");
                return;
            }
        };
        let mut progress = self.desk.progress(&receiver.name);
        let (routes, target) = (&self.desk.config.route, target.as_ref());
        let Some(message) = route::addressed(routes, &receiver.name, &message, &passed, target, &progress) else {
            return;
        };
        let now = self.clock.now();
        let awaited = message.is_over() && progress.told.contains_key(&message.key);
        if !awaited && self.desk.silences(now).iter().any(|it| it.covers(&message, now)) {
            progress.kept_back(&message, event);
        } else {
            self.tell(sender, receiver, &message, &mut progress).await;
            progress.withheld.remove(&message.key);
        }
        progress.cursor = Some(event.id);
        self.save(receiver, progress).await;
    }

    /// Tells one message, and notes what became of that.
    async fn tell(&self, sender: &Sender, receiver: &Receiver, message: &Message, progress: &mut Progress) {
        match self.deliver(sender, receiver, message, progress).await {
            Ok(name) => progress.arrived(message, name, self.clock.now()),
            Err(why) => {
                tracing::error!(target: "prunella::notify", receiver = receiver.name, title = message.title, why, "a notification was given up");
                progress.given_up(message, &why, self.clock.now());
            }
        }
    }

    async fn save(&self, receiver: &Receiver, progress: Progress) {
        if let Err(error) = self.desk.save(&receiver.name, progress).await {
            tracing::error!(target: "prunella::notify", receiver = receiver.name, error = &error as &dyn std::error::Error, "what was told could not be stored; it may be told again");
        }
    }

    /// What was kept back of an incident that is over is never told.
    async fn forget(&self, receiver: &Receiver, key: &str) {
        let mut progress = self.desk.progress(&receiver.name);
        if progress.withheld.remove(key).is_some() {
            self.save(receiver, progress).await;
        }
    }

    /// The silences that hold now.
    fn silences(&self) -> Vec<u64> {
        self.desk.silences(self.clock.now()).iter().map(|it| it.id).collect()
    }

    /// Tells of incidents that are not over what a silence has kept back, once no silence covers them any more.
    async fn after_silence(&self, sender: &Sender, receiver: &Receiver) {
        let withheld: Vec<FleetEvent> = {
            let all = self.desk.all();
            all.get(&receiver.name).map(|it| it.withheld.values().cloned().collect()).unwrap_or_default()
        };
        for event in withheld {
            let Some(moment) = Moment::of(event.kind) else { continue };
            // It is tried again as long as the incident cannot be asked for.
            let Ok((message, passed, target)) = self.message(&event, moment).await else { continue };
            let now = self.clock.now();
            if self.desk.silences(now).iter().any(|it| it.covers(&message, now)) {
                continue;
            }
            let mut progress = self.desk.progress(&receiver.name);
            progress.withheld.remove(&message.key);
            let (routes, target) = (&self.desk.config.route, target.as_ref());
            if let Some(message) = route::addressed(routes, &receiver.name, &message, &passed, target, &progress) {
                self.tell(sender, receiver, &message, &mut progress).await;
            }
            self.save(receiver, progress).await;
        }
    }

    /// Sends one message, again and again while that may help.
    async fn deliver(
        &self,
        sender: &Sender,
        receiver: &Receiver,
        message: &Message,
        progress: &Progress,
    ) -> Result<Option<String>, String> {
        let told = progress.told.get(&message.key);
        let before = told.map(|it| it.severity);
        let told = told.and_then(|it| it.name.clone());
        let mut pauses = PAUSES.iter();
        loop {
            let tried = match secret(receiver) {
                Err(why) => Err(Failed::Later(why)),
                Ok(secret) => {
                    let secret = secret.as_ref().map(|it| it.as_str());
                    let Some(post) = format::post(receiver, secret, message, before, told.as_deref()) else {
                        return Ok(told);
                    };
                    sender.send(&post).await
                }
            };
            match (tried, pauses.next()) {
                (Ok(answer), _) => return Ok(format::name_of(receiver.kind, &answer).or(told)),
                (Err(Failed::Later(why)), Some(pause)) => {
                    tracing::warn!(target: "prunella::notify", receiver = receiver.name, why, again_after_s = pause, "a notification did not arrive");
                    tokio::time::sleep(Duration::from_secs(*pause)).await;
                }
                (Err(failed), _) => return Err(failed.why().to_owned()),
            }
        }
    }

    /// What an event is told as, the moments that its incident has passed if it became graver, and its target.
    async fn message(
        &self,
        event: &FleetEvent,
        moment: Moment,
    ) -> Result<(Message, Vec<Moment>, Option<pb::Target>), Status> {
        let (gravity, raised) = (message::gravity(event.kind), event.kind == EventKind::SeverityRaised);
        let matter = message::matter(event.kind);
        let event = convert::event(event);
        let incident = match &event.incident {
            Some(name) if moment != Moment::Fleet => {
                let wanted = pb::GetIncidentRequest { name: name.clone() };
                let mut client = IncidentServiceClient::new(self.services.clone());
                Some(client.get_incident(self.ask(wanted)).await?.into_inner())
            }
            _ => None,
        };
        let target = match &event.target {
            // A target that is gone by now has no labels that a route could ask for.
            Some(name) => {
                let wanted = pb::GetTargetRequest { name: name.clone() };
                let mut client = FleetServiceClient::new(self.services.clone());
                client.get_target(self.ask(wanted)).await.ok().map(tonic::Response::into_inner)
            }
            None => None,
        };
        let passed = incident.as_ref().filter(|_| raised).map(Moment::passed).unwrap_or_default();
        let dashboard = self.desk.config.dashboard.as_deref();
        let message = Message::new(self.fleet.as_str(), dashboard, &event, moment, incident.as_ref(), gravity, matter);
        Ok((message, passed, target))
    }

    /// A request of this server itself, which may look.
    fn ask<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.extensions_mut().insert(Vouched { name: OperatorName::of("notifier"), role: Role::Viewer });
        request
    }
}

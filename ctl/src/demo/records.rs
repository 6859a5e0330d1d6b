//! What the server says happened. It is read only here, and the judge believes none of it without comparing.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use prunella_model::TargetRef;
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::event_service_client::EventServiceClient;
use prunella_proto::control::v1::fleet_service_client::FleetServiceClient;
use prunella_proto::control::v1::incident_service_client::IncidentServiceClient;
use tonic::transport::Channel;

use crate::chain::monotonic;

/// The most incidents that are asked for at once: the API's own limit.
const PAGE: i32 = 1_000;

/// The most events that are kept for the judge. A scenario has some dozens.
const EVENTS_MAX: usize = 100_000;

/// An event, and when it reached this process by the monotonic clock.
pub type Heard = (Duration, pb::Event);

/// Reads the server's records.
#[derive(Debug, Clone)]
pub struct Records {
    channel: Channel,
    heard: Rc<RefCell<Vec<Heard>>>,
}

/// A target's resource name.
#[must_use]
pub fn name_of(target: &TargetRef) -> String {
    format!("hosts/{}/targets/{}", target.host, target.target)
}

impl Records {
    /// Reads over `channel`.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        Self { channel, heard: Rc::default() }
    }

    /// Follows events until the server ends; calls `each` for every one. Returns when the stream is established;
    /// what follows runs on the current `LocalSet`.
    ///
    /// # Errors
    /// When the server does not let us follow.
    pub async fn follow(&self, each: impl Fn(&pb::Event) + 'static) -> anyhow::Result<()> {
        let request = pb::WatchEventsRequest::default();
        let mut events = EventServiceClient::new(self.channel.clone())
            .watch_events(request)
            .await
            .context("following the server's events")?
            .into_inner();
        let heard = Rc::clone(&self.heard);
        tokio::task::spawn_local(async move {
            while let Ok(Some(message)) = events.message().await {
                let at = monotonic();
                let Some(event) = message.event else { continue };
                each(&event);
                let mut heard = heard.borrow_mut();
                if heard.len() < EVENTS_MAX {
                    heard.push((at, event));
                }
            }
        });
        Ok(())
    }

    /// When the first event of this kind about an incident was heard.
    #[must_use]
    pub fn heard(&self, kind: &str, incident: &str) -> Option<Duration> {
        let id = incident.rsplit('/').next().unwrap_or(incident);
        let heard = self.heard.borrow();
        let first = heard.iter().find(|(_, event)| {
            event.kind == kind && event.incident.as_deref().is_some_and(|it| it.rsplit('/').next() == Some(id))
        });
        first.map(|(at, _)| *at)
    }

    /// When the first event of this kind was heard, whatever it was about.
    #[must_use]
    pub fn first(&self, kind: &str) -> Option<Duration> {
        self.heard.borrow().iter().find(|(_, event)| event.kind == kind).map(|(at, _)| *at)
    }

    /// When the first event of this kind about a target (its resource name) was heard, since that moment.
    #[must_use]
    pub fn first_since(&self, kind: &str, target: &str, since: Duration) -> Option<Duration> {
        let heard = self.heard.borrow();
        let its = |it: &&Heard| it.0 >= since && it.1.kind == kind && it.1.target.as_deref() == Some(target);
        heard.iter().find(its).map(|(at, _)| *at)
    }

    /// Forgets what was heard before that moment.
    pub fn forget_before(&self, moment: Duration) {
        self.heard.borrow_mut().retain(|(at, _)| *at >= moment);
    }

    /// All incidents, open ones first.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn incidents(&self) -> anyhow::Result<Vec<pb::Incident>> {
        let mut client = IncidentServiceClient::new(self.channel.clone());
        let request = pb::ListIncidentsRequest { page_size: PAGE, ..Default::default() };
        let listed = client.list_incidents(request).await.context("asking for incidents")?.into_inner().incidents;
        let mut full = Vec::with_capacity(listed.len());
        for it in listed {
            let request = pb::GetIncidentRequest { name: it.name };
            full.push(client.get_incident(request).await.context("asking for an incident")?.into_inner());
        }
        Ok(full)
    }

    /// All targets.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn targets(&self) -> anyhow::Result<Vec<pb::Target>> {
        let request =
            pb::ListTargetsRequest { parent: "hosts/-".to_owned(), page_size: PAGE, page_token: String::new() };
        let answer = FleetServiceClient::new(self.channel.clone()).list_targets(request).await;
        Ok(answer.context("asking for targets")?.into_inner().targets)
    }
}

//! What happens, as it happens.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use prunella_model::Id;
use prunella_model::event::{EventGroup, EventKind, FleetEvent};
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::event_service_server::EventService;
use tokio_stream::Stream;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tonic::{Request, Response, Status};

use super::name::Within;
use super::{convert, error, name, page};
use crate::feed::{Feed, Told};

/// Serves `EventService`.
#[derive(Debug, Clone)]
pub struct Events {
    /// The latest events.
    pub feed: Arc<Feed>,
}

#[tonic::async_trait]
impl EventService for Events {
    type WatchEventsStream = Watch;

    async fn list_events(
        &self,
        request: Request<pb::ListEventsRequest>,
    ) -> Result<Response<pb::ListEventsResponse>, Status> {
        let request = request.into_inner();
        let size = page::size(request.page_size)?;
        let wanted = Wanted::of(&request.kinds, &request.groups, &request.target)?;
        let before = page::after("events", &request.page_token)?.map(|it| id("page_token", &it)).transpose()?;
        let resume_token = self.feed.newest().map(|it| it.to_string());
        let events = self.feed.latest(before, size, |it| wanted.holds(it));
        let last = events.last().filter(|_| events.len() == size);
        let next_page_token = last.map_or_else(String::new, |it| page::token("events", &it.id.to_string()));
        let events = events.iter().map(|it| convert::event(it)).collect();
        Ok(Response::new(pb::ListEventsResponse { events, next_page_token, resume_token }))
    }

    async fn watch_events(&self, request: Request<pb::WatchEventsRequest>) -> Result<Response<Watch>, Status> {
        let request = request.into_inner();
        let resume = request.resume_token.filter(|it| !it.is_empty());
        let resume = resume.map(|token| id("resume_token", &token)).transpose()?;
        let wanted = Wanted::of(&request.kinds, &request.groups, &request.target)?;
        let subscription = self.feed.subscribe(resume);
        Ok(Response::new(Watch {
            backlog: subscription.backlog.into(),
            live: BroadcastStream::new(subscription.live),
            gap: subscription.gap,
            wanted,
        }))
    }
}

fn id(field: &str, text: &str) -> Result<Id, Status> {
    text.parse().map_err(|_| error::invalid(field, "is not the id of an event, which is like 6740e3a0-17"))
}

/// Which events a reader wants.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    kinds: Vec<EventKind>,
    groups: Vec<EventGroup>,
    within: Within,
}

impl Wanted {
    fn of(kinds: &[String], groups: &[String], target: &str) -> Result<Self, Status> {
        let kind = |word: &String| named("kinds", word, EventKind::ALL, EventKind::as_str);
        let group = |word: &String| named("groups", word, EventGroup::ALL, EventGroup::as_str);
        Ok(Self {
            kinds: kinds.iter().map(kind).collect::<Result<_, _>>()?,
            groups: groups.iter().map(group).collect::<Result<_, _>>()?,
            within: name::within("target", target)?,
        })
    }

    fn holds(&self, it: &FleetEvent) -> bool {
        let any = self.kinds.is_empty() && self.groups.is_empty();
        let sort = any || self.kinds.contains(&it.kind) || self.groups.contains(&it.kind.group());
        sort && self.within.holds(it.host.as_ref(), it.target.as_ref())
    }
}

fn named<T: Copy, const N: usize>(
    field: &str,
    word: &str,
    all: [T; N],
    name: impl Fn(T) -> &'static str,
) -> Result<T, Status> {
    all.into_iter()
        .find(|it| name(*it) == word)
        .ok_or_else(|| error::invalid(field, format!("{word:?} is none; there are {}", all.map(&name).join(", "))))
}

/// Events for one reader. A reader that is too slow loses events, and is told so.
pub struct Watch {
    backlog: VecDeque<Told>,
    live: BroadcastStream<Arc<FleetEvent>>,
    /// Why events are missing, until that is told.
    gap: Option<String>,
    wanted: Wanted,
}

impl Watch {
    /// Takes what is missing along, at the latest when nothing is left that it could be told with.
    fn answer(&mut self, event: Option<&FleetEvent>) -> pb::WatchEventsResponse {
        let gap_reason = self.gap.take();
        pb::WatchEventsResponse { event: event.map(convert::event), gap: gap_reason.is_some(), gap_reason }
    }
}

impl Stream for Watch {
    type Item = Result<pb::WatchEventsResponse, Status>;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let event = match self.backlog.pop_front() {
                Some(Told { event, gap }) => {
                    if gap {
                        self.gap =
                            Some("events before this one were lost when a server did not end in order".to_owned());
                    }
                    event
                }
                None if self.gap.is_some() => return Poll::Ready(Some(Ok(self.answer(None)))),
                None => match ready!(Pin::new(&mut self.live).poll_next(context)) {
                    None => return Poll::Ready(None),
                    Some(Ok(event)) => event,
                    Some(Err(BroadcastStreamRecvError::Lagged(lost))) => {
                        self.gap = Some(format!("the reader was too slow for {lost} events"));
                        continue;
                    }
                },
            };
            if self.wanted.holds(&event) {
                return Poll::Ready(Some(Ok(self.answer(Some(&event)))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prunella_model::{HostId, Timestamp};
    use tokio_stream::StreamExt as _;

    use super::*;

    fn feed() -> Events {
        let feed = Feed::default();
        let kinds = [EventKind::ServerStarted, EventKind::FaultDetected, EventKind::Relapsed, EventKind::Paused];
        for (counter, kind) in (1..).zip(kinds) {
            let (at, id) = (Timestamp::from_secs(counter), Id { epoch: 7, counter });
            let host = (kind != EventKind::ServerStarted).then(|| HostId::of("h1"));
            feed.announce(FleetEvent { id, at, kind, host, target: None, incident: None, message: String::new() });
        }
        Events { feed: Arc::new(feed) }
    }

    async fn listed(request: pb::ListEventsRequest) -> (Vec<String>, String) {
        let answer = feed().list_events(Request::new(request)).await.unwrap().into_inner();
        assert_eq!(answer.resume_token.as_deref(), Some("7-4"));
        (answer.events.into_iter().map(|it| it.kind).collect(), answer.next_page_token)
    }

    #[tokio::test]
    async fn a_listing_is_narrowed_by_kind_group_and_host_and_comes_in_pages() {
        let words = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let request = pb::ListEventsRequest { groups: words(&["detection"]), ..Default::default() };
        assert_eq!(listed(request.clone()).await.0, ["relapsed", "fault_detected"]);
        let both = pb::ListEventsRequest { kinds: words(&["paused"]), ..request };
        assert_eq!(listed(both).await.0, ["paused", "relapsed", "fault_detected"]);
        let host = pb::ListEventsRequest { target: "hosts/h1".to_owned(), page_size: 2, ..Default::default() };
        let (first, next) = listed(host.clone()).await;
        assert_eq!(first, ["paused", "relapsed"]);
        assert_eq!(listed(pb::ListEventsRequest { page_token: next, ..host }).await.0, ["fault_detected"]);
        let bad = pb::ListEventsRequest { groups: words(&["detections"]), ..Default::default() };
        let said = feed().list_events(Request::new(bad)).await.unwrap_err();
        assert!(said.message().contains("detection, classification"), "{said}");
    }

    #[tokio::test]
    async fn what_is_missing_is_told_at_once_even_when_no_event_follows() {
        let resume_token = Some("6-1".to_owned());
        let kinds = vec!["escalated".to_owned()];
        let request = pb::WatchEventsRequest { resume_token, kinds, ..Default::default() };
        let mut watch = feed().watch_events(Request::new(request)).await.unwrap().into_inner();
        let first = watch.next().await.unwrap().unwrap();
        assert!(first.gap && first.event.is_none() && first.gap_reason.unwrap().contains("no longer kept"));
    }
}

//! What happens, as it happens.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use prunella_model::event::{EventKind, FleetEvent};
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::event_service_server::EventService;
use tokio_stream::Stream;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tonic::{Request, Response, Status};

use super::name::Within;
use super::{convert, error, name, page};
use crate::feed::Feed;

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
        let latest = self.feed.latest(page::size(request.get_ref().page_size)?);
        Ok(Response::new(pb::ListEventsResponse { events: latest.iter().map(|it| convert::event(it)).collect() }))
    }

    async fn watch_events(&self, request: Request<pb::WatchEventsRequest>) -> Result<Response<Watch>, Status> {
        let request = request.into_inner();
        let resume = request.resume_token.filter(|it| !it.is_empty());
        let resume = resume
            .map(|token| token.parse().map_err(|_| error::invalid("resume_token", "is not the id of an event")))
            .transpose()?;
        let within = name::within("target", &request.target)?;
        let kinds = request.kinds.iter().map(|it| kind(it)).collect::<Result<_, _>>()?;
        let subscription = self.feed.subscribe(resume);
        Ok(Response::new(Watch {
            backlog: subscription.backlog.into(),
            live: BroadcastStream::new(subscription.live),
            gap: subscription.gap,
            kinds,
            within,
        }))
    }
}

fn kind(word: &str) -> Result<EventKind, Status> {
    EventKind::ALL.into_iter().find(|it| it.as_str() == word).ok_or_else(|| {
        let words: Vec<&str> = EventKind::ALL.iter().map(|it| it.as_str()).collect();
        error::invalid("kinds", format!("{word:?} is none; the kinds are {}", words.join(", ")))
    })
}

/// Events for one reader. A reader that is too slow loses events, and is told so.
pub struct Watch {
    backlog: VecDeque<Arc<FleetEvent>>,
    live: BroadcastStream<Arc<FleetEvent>>,
    gap: bool,
    kinds: Vec<EventKind>,
    within: Within,
}

impl Stream for Watch {
    type Item = Result<pb::WatchEventsResponse, Status>;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let next = match self.backlog.pop_front() {
                Some(event) => Some(Ok(event)),
                None => ready!(Pin::new(&mut self.live).poll_next(context)),
            };
            let event = match next {
                None => return Poll::Ready(None),
                Some(Ok(event)) => event,
                Some(Err(BroadcastStreamRecvError::Lagged(_))) => {
                    self.gap = true;
                    continue;
                }
            };
            let kind_is_wanted = self.kinds.is_empty() || self.kinds.contains(&event.kind);
            if kind_is_wanted && self.within.holds(event.host.as_ref(), event.target.as_ref()) {
                let gap = std::mem::take(&mut self.gap);
                let event = Some(convert::event(&event));
                return Poll::Ready(Some(Ok(pb::WatchEventsResponse { event, gap })));
            }
        }
    }
}

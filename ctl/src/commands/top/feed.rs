//! Where the screen of `prunella top` gets its news: the stream of events says when to ask again.

use std::time::Duration;

use prunella_proto::control::v1 as pb;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::state::{Hosts, Snapshot};
use crate::Common;
use crate::client::{Client, Connection, Failure};
use crate::commands::events::EventView;
use crate::commands::{incidents, mode_text, pages};
use crate::names::short;

/// The first pause before a lost connection is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// The longest one.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// However much happens, the whole is asked for no more often.
const ASK_MIN: Duration = Duration::from_secs(1);
/// However little happens, it is asked for so often: ages and budgets change by themselves.
const ASK_MAX: Duration = Duration::from_secs(5);
/// How many open incidents are shown.
const INCIDENTS_MAX: usize = 500;
/// How many events there are to begin with.
const EVENTS_FIRST: i32 = 50;

/// What changes the screen.
#[derive(Debug)]
pub(super) enum News {
    /// The whole.
    Snapshot(Box<Snapshot>),
    /// One event.
    Event(Box<EventView>),
    /// No news for a while, and why.
    Lost(String),
}

/// Brings news until nobody wants them, or until something is wrong that waiting does not mend.
pub(super) async fn follow(common: &Common, args: &Connection, news: Sender<News>) -> Failure {
    let mut pause = RETRY_FIRST;
    let mut resume = None;
    loop {
        let began = Instant::now();
        let failure = match Client::connect(common, args).await {
            Ok(client) => match stream(&client, &mut resume, &news).await {
                Ok(()) => Failure::Unreachable("the server has ended the stream".to_owned()),
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        match failure {
            Failure::Unreachable(_) | Failure::Other(_) => {}
            Failure::NotAllowed(_) | Failure::NotFound(_) | Failure::Usage(_) => return failure,
        }
        // A connection that held for a while was good: the next one is tried at once.
        if began.elapsed() > RETRY_MAX {
            pause = RETRY_FIRST;
        }
        let why = failure.to_string().lines().next().unwrap_or_default().to_owned();
        if news.send(News::Lost(why)).await.is_err() {
            return failure;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// Follows one connection. `resume` is where the next one goes on.
async fn stream(client: &Client, resume: &mut Option<String>, news: &Sender<News>) -> Result<(), Failure> {
    if resume.is_none() {
        let request = pb::ListEventsRequest { page_size: EVENTS_FIRST, ..pb::ListEventsRequest::default() };
        let answer = client.events().list_events(request).await?.into_inner();
        *resume = answer.resume_token;
        for event in answer.events.into_iter().rev() {
            tell(news, News::Event(Box::new(EventView::of(event)))).await?;
        }
    }
    let request = pb::WatchEventsRequest { resume_token: resume.clone(), ..pb::WatchEventsRequest::default() };
    let mut events = client.events().watch_events(request).await?.into_inner();
    tell(news, News::Snapshot(Box::new(snapshot(client).await?))).await?;
    let (mut asked, mut stale) = (Instant::now(), false);
    loop {
        let next = asked + if stale { ASK_MIN } else { ASK_MAX };
        tokio::select! {
            answer = events.message() => {
                // An end with an error is taken up again like any other; the next attempt says what is wrong.
                let Ok(Some(answer)) = answer else { return Ok(()) };
                stale = true;
                if let Some(event) = answer.event {
                    *resume = Some(event.id.clone());
                    tell(news, News::Event(Box::new(EventView::of(event)))).await?;
                }
            }
            () = tokio::time::sleep_until(next) => {
                tell(news, News::Snapshot(Box::new(snapshot(client).await?))).await?;
                (asked, stale) = (Instant::now(), false);
            }
        }
    }
}

async fn tell(news: &Sender<News>, it: News) -> Result<(), Failure> {
    news.send(it).await.map_err(|_| Failure::Other(anyhow::anyhow!("nobody looks any more")))
}

/// Everything that is on the screen, apart from events.
pub(super) async fn snapshot(client: &Client) -> Result<Snapshot, Failure> {
    let fleet = client.fleet().get_fleet(pb::GetFleetRequest {}).await?.into_inner();
    let hosts = pages::all(usize::MAX, |page_token| {
        let mut service = client.fleet();
        async move {
            let request = pb::ListHostsRequest { page_size: pages::PAGE, page_token };
            let page = service.list_hosts(request).await?.into_inner();
            Ok((page.hosts, page.next_page_token))
        }
    })
    .await?;
    let absent = hosts.iter().filter(|it| it.state() != pb::host::State::Online).map(|it| short(&it.name)).collect();
    let incidents = incidents::list(client, true, "", INCIDENTS_MAX).await?;
    Ok(Snapshot {
        restraints: restraints(&fleet),
        mode: mode_text(fleet.mode()),
        time: fleet.time.into(),
        hosts: Hosts { online: fleet.hosts_online, silent: fleet.hosts_silent, left: fleet.hosts_left },
        absent,
        targets: fleet.targets,
        open: fleet.open_incidents,
        held: fleet.held,
        needs_human: fleet.needs_human,
        incidents,
        fleet: fleet.name,
    })
}

pub(super) fn restraints(it: &pb::Fleet) -> Vec<String> {
    let cold = it.cold_until.map(|_| "Cold start: repairs wait for hosts to come back".to_owned());
    let throttle = it.throttle_why.as_ref().map(|why| format!("Throttled: {why}"));
    let modes = it.mode_overrides.iter();
    let modes =
        modes.map(|set| format!("Mode: {} is {}, set by {}: {}", set.name, mode_text(set.mode()), set.by, set.why));
    let pauses = it.pauses.iter().map(|pause| format!("Paused: {} by {}: {}", short(&pause.name), pause.by, pause.why));
    cold.into_iter().chain(throttle).chain(pauses).chain(modes).collect()
}

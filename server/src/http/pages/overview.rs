//! The first page: the fleet at a glance.

use maud::{Markup, html};
use prunella_proto::control::v1 as pb;

use super::layout::{self, form_token, may_act};
use super::visit::{Failure, OrPage as _, Visit};
use super::widgets::{self, ago, pill, score, sparkline};
use super::{events, incidents};

/// Open incidents on the first page; the rest is a click away.
const INCIDENTS: i32 = 20;

/// Events on the first page.
const EVENTS: i32 = 12;

pub(super) async fn page(visit: Visit) -> Result<Markup, Failure> {
    let fleet = visit.fleet().get_fleet(visit.ask(pb::GetFleetRequest {})).await.or_page(&visit)?;
    let wanted = pb::ListIncidentsRequest { page_size: INCIDENTS, open_only: true, ..Default::default() };
    let open = visit.incidents().list_incidents(visit.ask(wanted)).await.or_page(&visit)?;
    let wanted = pb::GetHealthRequest { name: "fleet".to_owned() };
    let health = visit.health().get_health(visit.ask(wanted)).await.or_page(&visit)?.health;
    let wanted = pb::ListEventsRequest { page_size: EVENTS, ..Default::default() };
    let latest = visit.events().list_events(visit.ask(wanted)).await.or_page(&visit)?.events;
    let body = html! {
        h1 { "Fleet " (fleet.name) }
        (standing(&visit, &fleet))
        (figures(&fleet, health.as_ref()))
        section aria-labelledby="open" {
            h2 #open { "Open incidents" }
            (incidents::table(&visit, &open.incidents, "None. Nothing is wrong that Prunella knows of."))
            @if !open.next_page_token.is_empty() { p { a href="/ui/incidents" { "All of them" } } }
        }
        section aria-labelledby="steer" {
            h2 #steer { "Steer" }
            (steer(&visit, &fleet))
        }
        section aria-labelledby="latest" {
            h2 #latest { "Latest events" }
            (events::table(&visit, &latest))
        }
        @if !fleet.caveats.is_empty() || !fleet.loosened.is_empty() {
            section aria-labelledby="caveats" {
                h2 #caveats { "Promises that do not hold here" }
                ul { @for it in fleet.caveats.iter().chain(&fleet.loosened) { li { (it) } } }
            }
        }
    };
    Ok(layout::page(&visit, "Overview", "/", &body))
}

/// What keeps the fleet from being repaired as usual.
fn standing(visit: &Visit, fleet: &pb::Fleet) -> Markup {
    html! {
        @for it in &fleet.pauses {
            div .alarm role="status" {
                strong { "Paused: " (widgets::short(&it.name)) } " by " (it.by) ", " (ago(visit.now, it.create_time.as_ref())) ": " (it.why)
                @if let Some(end) = &it.expire_time { " — until " (widgets::clock(Some(end))) }
                @if may_act(visit) {
                    form .inline method="post" action="/ui/act/resume" {
                        (form_token(visit))
                        input type="hidden" name="name" value=(it.name);
                        button type="submit" { "Resume" }
                    }
                }
            }
        }
        @if fleet.mode() == pb::Mode::Disabled {
            p .alarm role="status" { "Repairs are switched off: everything is decided and shown, nothing is done." }
        }
        @if let Some(cold) = &fleet.cold_until {
            p .note role="status" { "The server has just started: it repairs nothing until it has seen the fleet again, " (ago(visit.now, Some(cold))) " at the latest." }
        }
    }
}

fn figures(fleet: &pb::Fleet, health: Option<&pb::Health>) -> Markup {
    let scores: Vec<f64> = health.map(|it| it.history.iter().map(|it| it.score).collect()).unwrap_or_default();
    let course = health.and_then(|it| it.trend.as_ref()).map(|it| it.course.as_str());
    html! {
        dl .figures {
            div { dt { "Health" } dd { (score(health.and_then(|it| it.score))) } dd .small { (sparkline(&scores)) " " (course.unwrap_or("no trend yet")) } }
            div { dt { "Hosts" } dd { (fleet.hosts_online) } dd .small { "online, " (fleet.hosts_silent) " silent, " (fleet.hosts_left) " left" } }
            div { dt { "Targets" } dd { (fleet.targets) } dd .small { "watched" } }
            div { dt { "Open incidents" } dd { (fleet.open_incidents) } dd .small { (fleet.needs_human) " need a person" } }
            div { dt { "Held back" } dd { (fleet.held) } dd .small { a href="/ui/brakes" { "by brakes" } } }
            div { dt { "Repaired" } dd { (fleet.repaired) } dd .small { "mean time " (widgets::span(fleet.mean_time_to_repair.as_ref())) } }
        }
    }
}

/// The big red pause, and the mode.
fn steer(visit: &Visit, fleet: &pb::Fleet) -> Markup {
    let throttle = match fleet.throttle() {
        pb::Throttle::Unspecified | pb::Throttle::Normal => pill("good", "normal"),
        pb::Throttle::Throttled => pill("warn", "throttled: critical faults only"),
        pb::Throttle::Blocked => pill("bad", "blocked"),
    };
    html! {
        p {
            "Mode " strong { (widgets::mode(fleet.mode())) } ", repairs " (throttle)
            @if let Some(why) = &fleet.throttle_why { " " (why) }
            ", policy version " (fleet.policy_version) "."
        }
        @if may_act(visit) {
            div .steer {
                form method="post" action="/ui/act/pause" {
                    (form_token(visit))
                    input type="hidden" name="name" value="fleet";
                    label { "Why" input name="why" required maxlength="200" placeholder="what is going on"; }
                    label { "For" select name="minutes" {
                        option value="" { "until resumed" }
                        option value="15" { "15 minutes" }
                        option value="60" { "1 hour" }
                        option value="480" { "8 hours" }
                    } }
                    button .stop type="submit" { "Pause all repairs" }
                }
                form method="post" action="/ui/act/mode" {
                    (form_token(visit))
                    label { "Mode" select name="mode" {
                        @for it in [pb::Mode::Aggressive, pb::Mode::Balanced, pb::Mode::Conservative, pb::Mode::Disabled] {
                            option value=(widgets::mode(it)) selected[it == fleet.mode()] { (widgets::mode(it)) }
                        }
                    } }
                    label { "Why" input name="why" required maxlength="200"; }
                    button type="submit" { "Change" }
                }
            }
        } @else {
            p .small { "You may look. To pause or change the mode, log in with the role operator." }
        }
    }
}

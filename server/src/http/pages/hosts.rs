//! Hosts, one host with live charts, one target.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query};
use maud::{Markup, html};
use prunella_proto::control::v1 as pb;
use serde_json::{Value, json};

use super::incidents;
use super::layout;
use super::visit::{Failure, OrPage as _, Visit};
use super::widgets::{NONE, ago, id, pill, place, reading, score, short, sparkline};

/// Hosts on one page.
const PAGE: i32 = 100;

pub(super) async fn list(visit: Visit, Query(query): Query<BTreeMap<String, String>>) -> Result<Markup, Failure> {
    let page_token = query.get("after").cloned().unwrap_or_default();
    let wanted = pb::ListHostsRequest { page_size: PAGE, page_token };
    let found = visit.fleet().list_hosts(visit.ask(wanted)).await.or_page(&visit)?;
    let body = html! {
        h1 { "Hosts" }
        p .small { (found.total_size) " in all" }
        div .scroll { table {
            thead { tr { th { "Host" } th { "State" } th { "Health" } th { "Targets" } th { "Incidents" } th { "Agent" } th { "Last seen" } } }
            tbody { @for it in &found.hosts { tr {
                td { (place(&it.name)) }
                td { (state(it)) @if it.paused.is_some() { " " (pill("warn", "paused")) } @if it.observe_only.is_some() { " " (pill("warn", "observes only")) } }
                td { (score(it.health)) }
                td { (it.targets) }
                td { @for it in &it.incidents { a href={ "/ui/incidents/" (id(it)) } { (id(it)) } " " } }
                td { (it.agent_version.as_deref().unwrap_or(NONE)) }
                td { (ago(visit.now, it.last_seen_time.as_ref())) }
            } } }
        } }
        @if !found.next_page_token.is_empty() { p { a rel="next" href={ "/ui/hosts?after=" (found.next_page_token) } { "More" } } }
    };
    Ok(layout::page(&visit, "Hosts", "/ui/hosts", &body))
}

fn state(it: &pb::Host) -> Markup {
    use pb::host::State;
    match it.state() {
        State::Unspecified => pill("calm", "unknown"),
        State::Online => pill("good", "online"),
        State::Left => pill("calm", "left"),
        State::Silent => pill("bad", "silent"),
    }
}

pub(super) async fn one(visit: Visit, Path(host): Path<String>) -> Result<Markup, Failure> {
    let name = format!("hosts/{host}");
    let it = visit.fleet().get_host(visit.ask(pb::GetHostRequest { name: name.clone() })).await.or_page(&visit)?;
    let wanted = pb::ListTargetsRequest { parent: name.clone(), page_size: 1000, page_token: String::new() };
    let targets = visit.fleet().list_targets(visit.ask(wanted)).await.or_page(&visit)?.targets;
    let wanted = pb::GetHealthRequest { name: name.clone() };
    let health = visit.health().get_health(visit.ask(wanted)).await.or_page(&visit)?.health.unwrap_or_default();
    let wanted = pb::ListIncidentsRequest { page_size: 20, target: name, ..Default::default() };
    let past = visit.incidents().list_incidents(visit.ask(wanted)).await.or_page(&visit)?.incidents;
    let scores: Vec<f64> = health.history.iter().map(|it| it.score).collect();
    let (own, others): (Vec<_>, Vec<_>) = targets.iter().partition(|it| it.name.ends_with("/targets/host"));
    let body = html! {
        h1 { "Host " (host) }
        p {
            (state(&it)) " · health " (score(health.score)) " " (sparkline(&scores))
            " · risk " (health.risk.as_deref().unwrap_or(NONE)) " · agent " (it.agent_version.as_deref().unwrap_or(NONE))
            " · last seen " (ago(visit.now, it.last_seen_time.as_ref()))
        }
        @if let Some(why) = &it.paused { p .alarm { "Paused: " (why) } }
        @if let Some(why) = &it.observe_only { p .alarm { "It observes only: " (why) } }
        @if !health.reasons.is_empty() { ul { @for it in &health.reasons { li { (it) } } } }
        section { h2 { "Now" }
            div .charts data-readings={ "/ui/hosts/" (host) "/readings" } {
                @for target in &own { (charts(&visit, &target.readings)) }
            }
        }
        section { h2 { "Targets" } (table(&others)) }
        section { h2 { "Incidents" } (incidents::table(&visit, &past, "None is on record.")) }
    };
    Ok(layout::page(&visit, &host, "/ui/hosts", &body))
}

/// The newest readings of a host, for the charts.
pub(super) async fn readings(visit: Visit, Path(host): Path<String>) -> Result<Json<Value>, Failure> {
    let wanted = pb::GetTargetRequest { name: format!("hosts/{host}/targets/host") };
    let it = visit.fleet().get_target(visit.ask(wanted)).await.or_page(&visit)?;
    let fresh = it.readings.iter().filter(|it| it.fresh);
    let list: Vec<Value> = fresh
        .map(|it| json!({ "metric": it.metric, "value": it.value, "text": reading(&it.metric, it.value) }))
        .collect();
    Ok(Json(json!({ "readings": list })))
}

pub(super) async fn target(visit: Visit, Path((host, target)): Path<(String, String)>) -> Result<Markup, Failure> {
    let name = format!("hosts/{host}/targets/{target}");
    let it = visit.fleet().get_target(visit.ask(pb::GetTargetRequest { name: name.clone() })).await.or_page(&visit)?;
    let wanted = pb::ListIncidentsRequest { page_size: 20, target: name, ..Default::default() };
    let past = visit.incidents().list_incidents(visit.ask(wanted)).await.or_page(&visit)?.incidents;
    let labels: Vec<String> = it.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let body = html! {
        h1 { (target) " on " a href={ "/ui/hosts/" (host) } { (host) } }
        p {
            "health " (score(it.health)) @if it.critical { " · " (pill("warn", "critical")) }
            @if let Some(service) = &it.service { " · service " (service) }
            @if !labels.is_empty() { " · " (labels.join(", ")) }
        }
        section { h2 { "Probes" }
            div .scroll { table {
                thead { tr { th { "Probe" } th { "Kind" } th { "Verdict" } th { "What it saw" } th { "When" } } }
                tbody { @for it in &it.probes { tr {
                    td { (it.probe) } td { (it.kind) } td { (verdict(&it.status)) } td { (it.finding) } td { (ago(visit.now, it.time.as_ref())) }
                } } }
            } }
        }
        section { h2 { "Readings" } (readings_of(&visit, &it.readings)) }
        @if !it.depends_on.is_empty() { section { h2 { "Needs" } p { @for it in &it.depends_on { (place(it)) " " } } } }
        @if !it.dependents.is_empty() { section { h2 { "Is needed by" } p { @for it in &it.dependents { (place(it)) " " } } } }
        section { h2 { "What may be done to it" } p { @if it.permits.is_empty() { "Nothing: agent.toml permits no step." } @else { (it.permits.join(", ")) } } }
        section { h2 { "Incidents" } (incidents::table(&visit, &past, "None is on record.")) }
    };
    Ok(layout::page(&visit, &format!("{host}/{target}"), "/ui/hosts", &body))
}

fn verdict(word: &str) -> Markup {
    let class = match word {
        "up" => "good",
        "down" => "bad",
        _ => "calm",
    };
    pill(class, word)
}

fn table(targets: &[&pb::Target]) -> Markup {
    html! {
        div .scroll { table {
            thead { tr { th { "Target" } th { "Health" } th { "Probes" } th { "Incidents" } } }
            tbody { @for it in targets { tr {
                td { a href={ "/ui/" (it.name) } { (short(&it.name)) } }
                td { (score(it.health)) }
                td { @for it in &it.probes { (it.probe) " " (verdict(&it.status)) " " } }
                td { @for it in &it.incidents { a href={ "/ui/incidents/" (id(it)) } { (id(it)) } " " } }
            } } }
        } }
    }
}

/// Readings as cards that the script turns into charts.
fn charts(visit: &Visit, list: &[pb::Reading]) -> Markup {
    html! {
        @for it in list {
            figure data-metric=(it.metric) {
                figcaption { (it.metric) " " strong { (figure(it)) } @if !it.fresh { " " span .none { "stale, " (ago(visit.now, it.time.as_ref())) } } }
            }
        }
    }
}

fn readings_of(visit: &Visit, list: &[pb::Reading]) -> Markup {
    html! {
        @if list.is_empty() { p .none { "It has none." } }
        dl .pairs { @for it in list {
            dt { (it.metric) }
            dd { (figure(it)) @if !it.fresh { " " span .none { "stale, " (ago(visit.now, it.time.as_ref())) } } }
        } }
    }
}

fn figure(it: &pb::Reading) -> String {
    reading(&it.metric, it.value)
}

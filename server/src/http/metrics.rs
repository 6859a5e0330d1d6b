//! `/metrics`, as Prometheus reads it.
//!
//! Everything is asked of the services at the moment of the scrape, as any viewer could; nothing is counted twice. What is
//! not known has no sample.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};
use prunella_proto::control::v1 as pb;
use prunella_proto::control::v1::fleet_service_client::FleetServiceClient;
use prunella_proto::control::v1::health_service_client::HealthServiceClient;
use prunella_proto::control::v1::incident_service_client::IncidentServiceClient;
use tonic::Status;

use super::problem::Problem;
use super::transcode::Credentials;
use super::{Gateway, api};
use crate::rpc::listen::ANSWER_MAX;

/// Open incidents that are asked for at a time.
const PAGE: i32 = 1_000;

/// Serves the metrics to a viewer.
pub(crate) async fn page(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Response, Problem> {
    let text = collect(&gateway, &api::credentials(request.headers())).await?;
    let mut response = text.into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

async fn collect(gateway: &Gateway, who: &Credentials) -> Result<String, Status> {
    let services = gateway.transcoder.services();
    let mut fleets = FleetServiceClient::new(services.clone()).max_decoding_message_size(ANSWER_MAX);
    let mut incidents = IncidentServiceClient::new(services.clone()).max_decoding_message_size(ANSWER_MAX);
    let mut healths = HealthServiceClient::new(services).max_decoding_message_size(ANSWER_MAX);
    let fleet = fleets.get_fleet(who.request(pb::GetFleetRequest {})).await?.into_inner();
    let brakes = fleets.list_brakes(who.request(pb::ListBrakesRequest {})).await?.into_inner().brakes;
    let mut open = Vec::new();
    let mut page_token = String::new();
    loop {
        let wanted = pb::ListIncidentsRequest { page_size: PAGE, page_token, open_only: true, ..Default::default() };
        let found = incidents.list_incidents(who.request(wanted)).await?.into_inner();
        open.extend(found.incidents);
        page_token = found.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let wanted = pb::GetHealthRequest { name: "fleet".to_owned() };
    let whole = healths.get_health(who.request(wanted)).await?.into_inner().health;
    let wanted = pb::ListHealthRequest { kind: "layers".to_owned(), ..Default::default() };
    let layers = healths.list_health(who.request(wanted)).await?.into_inner().healths;
    let mut page = Page::default();
    about_fleet(&mut page, &fleet);
    about_incidents(&mut page, &open);
    about_brakes(&mut page, &brakes);
    let scores = whole.iter().chain(&layers);
    let scores = scores.filter_map(|it| Some((vec![("of", it.name.as_str())], it.score?))).collect();
    page.gauge("prunella_health_score", "Health from 0 to 100 of the fleet and of each layer.", scores);
    about_process(&mut page);
    Ok(page.0)
}

fn about_fleet(page: &mut Page, fleet: &pb::Fleet) {
    page.one("prunella_build_info", "The server's version.", &[("version", &fleet.server_version)], 1.0);
    let hosts = [("online", fleet.hosts_online), ("silent", fleet.hosts_silent), ("left", fleet.hosts_left)];
    let hosts = hosts.into_iter().map(|(state, it)| (vec![("state", state)], f64::from(it))).collect();
    page.gauge("prunella_hosts", "Hosts by state.", hosts);
    page.one("prunella_targets", "Targets that are watched.", &[], f64::from(fleet.targets));
    page.one(
        "prunella_incidents_needing_person",
        "Open incidents that wait for a person.",
        &[],
        f64::from(fleet.needs_human),
    );
    page.one("prunella_repairs_held", "Repairs that a brake holds back now.", &[], f64::from(fleet.held));
    page.counter(
        "prunella_incidents_repaired_total",
        "Incidents that a verified repair has ended.",
        vec![(vec![], fleet.repaired as f64)],
    );
    if let Some(mean) = fleet.mean_time_to_repair.as_ref() {
        let seconds = mean.seconds as f64 + f64::from(mean.nanos) / 1e9;
        page.one("prunella_repair_time_mean_seconds", "Mean time from fault to verified recovery.", &[], seconds);
    }
    page.one("prunella_policy_version", "Version of the policy in force.", &[], fleet.policy_version as f64);
    let mode = fleet.mode().as_str_name().trim_start_matches("MODE_").to_lowercase();
    page.one("prunella_mode", "The mode in force has the value 1.", &[("mode", &mode)], 1.0);
    let throttle = fleet.throttle().as_str_name().trim_start_matches("THROTTLE_").to_lowercase();
    page.one(
        "prunella_throttle",
        "The state of the throttle that holds has the value 1.",
        &[("state", &throttle)],
        1.0,
    );
    let pauses = fleet.pauses.iter().map(|it| (vec![("scope", it.name.as_str())], 1.0)).collect();
    page.gauge("prunella_paused", "Pauses in force.", pauses);
}

fn about_incidents(page: &mut Page, open: &[pb::Incident]) {
    let mut counts: BTreeMap<(String, String), u32> = BTreeMap::new();
    for it in open {
        let state = it.state().as_str_name().trim_start_matches("STATE_").to_lowercase();
        *counts.entry((it.severity.clone(), state)).or_default() += 1;
    }
    let samples = counts
        .iter()
        .map(|((severity, state), it)| {
            (vec![("severity", severity.as_str()), ("state", state.as_str())], f64::from(*it))
        })
        .collect();
    page.gauge("prunella_incidents_open", "Open incidents by severity and state.", samples);
}

fn about_brakes(page: &mut Page, brakes: &[pb::Brake]) {
    let of = |value: &dyn Fn(&pb::Brake) -> Option<f64>| {
        brakes.iter().filter_map(|it| Some((vec![("brake", it.name.as_str())], value(it)?))).collect()
    };
    page.gauge("prunella_brake_current", "What a brake counts, now.", of(&|it| it.current));
    page.gauge("prunella_brake_limit", "From which figure a brake holds.", of(&|it| it.limit));
    page.gauge(
        "prunella_brake_holding",
        "Incidents that a brake holds back now.",
        of(&|it| Some(it.holding.len() as f64)),
    );
    page.counter(
        "prunella_brake_holds_total",
        "Times that a brake has held an incident back.",
        of(&|it| Some(it.held as f64)),
    );
}

/// The names that Prometheus' own client libraries give.
fn about_process(page: &mut Page) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).and_then(|it| it.trim().strip_suffix(" kB"));
    if let Some(kib) = resident.and_then(|it| it.trim().parse::<f64>().ok()) {
        page.one("process_resident_memory_bytes", "Resident memory.", &[], kib * 1024.0);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        page.one("process_open_fds", "Open file descriptors.", &[], open.count() as f64);
    }
}

/// One sample: labels and value.
type Sample<'a> = (Vec<(&'a str, &'a str)>, f64);

/// The page as it grows.
#[derive(Default)]
struct Page(String);

impl Page {
    fn one(&mut self, name: &str, about: &str, labels: &[(&str, &str)], value: f64) {
        self.family("gauge", name, about, vec![(labels.to_vec(), value)]);
    }

    fn gauge(&mut self, name: &str, about: &str, samples: Vec<Sample<'_>>) {
        self.family("gauge", name, about, samples);
    }

    fn counter(&mut self, name: &str, about: &str, samples: Vec<Sample<'_>>) {
        self.family("counter", name, about, samples);
    }

    fn family(&mut self, kind: &str, name: &str, about: &str, samples: Vec<Sample<'_>>) {
        if samples.is_empty() {
            return;
        }
        // Writing to a string does not fail.
        let _ = write!(self.0, "# HELP {name} {about}\n# TYPE {name} {kind}\n");
        for (labels, value) in samples {
            let labels: Vec<String> =
                labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_has_no_sample() {
        let mut page = Page::default();
        about_fleet(&mut page, &pb::Fleet { server_version: "1\"\\\n".into(), ..Default::default() });
        assert!(page.0.contains("prunella_build_info{version=\"1\\\"\\\\\\n\"} 1\n"), "{}", page.0);
        assert!(page.0.contains("prunella_hosts{state=\"silent\"} 0\n"));
        assert!(!page.0.contains("prunella_repair_time_mean_seconds") && !page.0.contains("prunella_paused"));
    }

    #[test]
    fn incidents_are_counted_by_severity_and_state() {
        let incident = |severity: &str| pb::Incident {
            severity: severity.into(),
            state: pb::incident::State::Held.into(),
            ..Default::default()
        };
        let mut page = Page::default();
        about_incidents(&mut page, &[incident("high"), incident("low"), incident("high")]);
        assert!(page.0.contains("prunella_incidents_open{severity=\"high\",state=\"held\"} 2\n"), "{}", page.0);
    }
}

//! What the buttons do. Each is one call of a service, in the name of whoever presses it.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{HeaderMap, StatusCode};
use prunella_model::Timestamp;
use prunella_proto::control::v1 as pb;

use super::visit::{Failure, OrPage as _, Visit};

/// The longest pause that a form can ask for.
const PAUSE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) async fn act(
    visit: Visit,
    Path(what): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let form = visit.form(&headers, body).await?;
    let field = |name: &str| form.get(name).map(|it| it.trim().to_owned()).unwrap_or_default();
    let back = match what.as_str() {
        "pause" => {
            let expire_time = until(&visit, &form)?;
            let wanted = pb::PauseRequest { name: field("name"), why: field("why"), expire_time };
            visit.fleet().pause(visit.ask(wanted)).await.or_page(&visit)?;
            "/".to_owned()
        }
        "resume" => {
            let wanted = pb::ResumeRequest { name: field("name") };
            visit.fleet().resume(visit.ask(wanted)).await.or_page(&visit)?;
            "/".to_owned()
        }
        "mode" => {
            let mode = match field("mode").as_str() {
                "aggressive" => pb::Mode::Aggressive,
                "balanced" => pb::Mode::Balanced,
                "conservative" => pb::Mode::Conservative,
                "disabled" => pb::Mode::Disabled,
                _ => return Err(Failure::say(&visit, StatusCode::BAD_REQUEST, "that is no mode")),
            };
            let wanted = pb::SetModeRequest { name: "fleet".to_owned(), mode: mode.into(), why: field("why") };
            visit.fleet().set_mode(visit.ask(wanted)).await.or_page(&visit)?;
            "/".to_owned()
        }
        "cancel" => {
            let wanted =
                pb::CancelIncidentRequest { name: format!("incidents/{}", field("incident")), why: field("why") };
            visit.incidents().cancel_incident(visit.ask(wanted)).await.or_page(&visit)?;
            format!("/ui/incidents/{}", field("incident"))
        }
        "diagnose" => {
            let wanted = pb::RunDiagnosticsRequest { scope: "fleet".to_owned() };
            visit.diagnostics().run_diagnostics(visit.ask(wanted)).await.or_page(&visit)?;
            "/ui/diagnostics".to_owned()
        }
        "repair" => {
            let wanted = pb::RunRepairRequest {
                target: field("target"),
                repair: Some(field("repair")).filter(|it| !it.is_empty()),
                why: field("why"),
                chain: !field("chain").is_empty(),
                ..Default::default()
            };
            let done = visit.incidents().run_repair(visit.ask(wanted)).await.or_page(&visit)?;
            format!("/ui/{}", done.incident)
        }
        _ => return Err(Failure::say(&visit, StatusCode::NOT_FOUND, "there is no such action")),
    };
    Ok(Redirect::to(&back).into_response())
}

/// When a pause shall end by itself.
fn until(visit: &Visit, form: &BTreeMap<String, String>) -> Result<Option<prost_types::Timestamp>, Failure> {
    let minutes = form.get("minutes").map(String::as_str).unwrap_or_default();
    if minutes.is_empty() {
        return Ok(None);
    }
    let span = minutes.parse::<u32>().ok().map(|it| Duration::from_secs(u64::from(it) * 60));
    match span.filter(|it| !it.is_zero() && *it <= PAUSE_MAX) {
        Some(span) => Ok(Some(to_wire(visit.now.after(span)))),
        None => Err(Failure::say(visit, StatusCode::BAD_REQUEST, "a pause lasts from a minute to a week")),
    }
}

fn to_wire(time: Timestamp) -> prost_types::Timestamp {
    let micros = time.as_micros();
    prost_types::Timestamp {
        seconds: i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(micros % 1_000_000 * 1_000).unwrap_or(0),
    }
}

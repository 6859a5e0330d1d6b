//! The policy in force, and a changed one: checked first, then rolled out in stages.

use axum::body::Body;
use axum::response::{IntoResponse as _, Redirect, Response};
use http::HeaderMap;
use maud::{Markup, html};
use prunella_identity::Role;
use prunella_proto::control::v1 as pb;

use super::layout::{self, form_token};
use super::visit::{Failure, OrPage as _, Visit};
use super::widgets::{NONE, ago};

/// What a check of a changed policy found.
struct Checked {
    toml: String,
    etag: String,
    found: Result<pb::Policy, String>,
    preview: Option<Result<pb::PreviewPolicyResponse, String>>,
}

pub(super) async fn page(visit: Visit) -> Result<Markup, Failure> {
    show(&visit, None).await
}

/// Checks a changed policy, or puts one on its way that was checked.
pub(super) async fn change(visit: Visit, headers: HeaderMap, body: Body) -> Result<Response, Failure> {
    let form = visit.form(&headers, body).await?;
    let field = |name: &str| form.get(name).cloned().unwrap_or_default();
    // Browsers send line ends as two characters.
    let toml = field("toml").replace("\r\n", "\n");
    let validate_only = field("do") != "roll out";
    let wanted = pb::UpdatePolicyRequest { toml: toml.clone(), etag: field("etag"), validate_only, at_once: false };
    let answer = visit.admin().update_policy(visit.ask(wanted)).await;
    if !validate_only && answer.is_ok() {
        return Ok(Redirect::to("/ui/policy").into_response());
    }
    let preview = match field("do").as_str() {
        "preview" if answer.is_ok() => {
            let asked = visit.admin().preview_policy(visit.ask(pb::PreviewPolicyRequest { toml: toml.clone() })).await;
            Some(asked.map(tonic::Response::into_inner).map_err(|it| it.message().to_owned()))
        }
        _ => None,
    };
    let found = answer.map(tonic::Response::into_inner).map_err(|it| it.message().to_owned());
    Ok(show(&visit, Some(Checked { toml, etag: field("etag"), found, preview })).await?.into_response())
}

async fn show(visit: &Visit, checked: Option<Checked>) -> Result<Markup, Failure> {
    let policy = visit.admin().get_policy(visit.ask(pb::GetPolicyRequest {})).await.or_page(visit)?;
    let wanted = pb::GetPolicyRolloutRequest {};
    let rollout = visit.admin().get_policy_rollout(visit.ask(wanted)).await.or_page(visit)?;
    let rules = visit.fleet().list_rules(visit.ask(pb::ListRulesRequest {})).await.or_page(visit)?.rules;
    let admin = visit.session.who.role >= Role::Admin;
    let (toml, etag) = match &checked {
        Some(it) => (it.toml.as_str(), it.etag.as_str()),
        None => (policy.toml.as_str(), policy.etag.as_str()),
    };
    let body = html! {
        h1 { "Policy, version " (policy.version) }
        @for it in &policy.warnings { p .note { (it) } }
        @if rollout.active {
            p .note role="status" {
                "Version " (rollout.version) " of " (rollout.by) " is on its way: stage " strong { (rollout.stage) }
                ", until " (ago(visit.now, rollout.until.as_ref())) ". Of " (rollout.compared) " decisions, " (rollout.different) " differ."
            }
            ul { @for it in &rollout.examples { li { (it) } } }
        } @else if let Some(last) = &rollout.last { p .small { "The last change: " (last) } }
        @match checked.as_ref().map(|it| &it.found) {
            None => {},
            Some(Err(why)) => pre .alarm role="alert" { (why) },
            Some(Ok(it)) => div .note role="status" {
                "It is sound. It would be version " (it.version) ", tried in shadow first, then on one host, 5 %, 25 % and all."
                @if !it.warnings.is_empty() { ul { @for it in &it.warnings { li { (it) } } } }
            },
        }
        @match checked.as_ref().and_then(|it| it.preview.as_ref()) {
            None => {},
            Some(Err(why)) => p .alarm role="alert" { (why) },
            Some(Ok(it)) => (preview(visit, it)),
        }
        section { h2 { "In full" }
            @if admin {
                form method="post" action="/ui/policy" {
                    (form_token(visit))
                    input type="hidden" name="etag" value=(etag);
                    textarea name="toml" rows="24" spellcheck="false" aria-label="The policy in TOML" { (toml) }
                    p {
                        button type="submit" name="do" value="check" { "Check it" } " "
                        button type="submit" name="do" value="preview" { "What would it have done?" } " "
                        @if checked.as_ref().is_some_and(|it| it.found.is_ok()) {
                            button .stop type="submit" name="do" value="roll out" { "Roll it out in stages" }
                        }
                    }
                }
            } @else {
                pre { (toml) }
                p .small { "To change it, log in with the role admin." }
            }
        }
        section { h2 { "Rules" } (table(visit, &rules)) }
    };
    // What was checked would be gone if the page were exchanged for a fresh one.
    let page = if checked.is_some() { layout::still } else { layout::page };
    Ok(page(visit, "Policy", "/ui/policy", &body))
}

/// What another policy would have done with what was recorded.
fn preview(visit: &Visit, it: &pb::PreviewPolicyResponse) -> Markup {
    html! {
        section #preview { h2 { "What it would have done" }
            p { "Of " (it.incidents) " incidents since " (ago(visit.now, it.since_time.as_ref())) ", " strong { (it.different) }
                " would have gone another way, with " (it.other_commands) " commands instead of " (it.commands) "." }
            @for it in &it.warnings { p .note { (it) } }
            @for each in &it.differences {
                h3 { (each.target) ", " (ago(visit.now, each.time.as_ref())) }
                div .scroll { table {
                    thead { tr { th { "It was" } th { "It would have been" } } }
                    tbody { tr {
                        td { @if each.recorded.is_empty() { (NONE) } @for line in &each.recorded { div { (line) } } }
                        td { @if each.other.is_empty() { (NONE) } @for line in &each.other { div { (line) } } }
                    } }
                } }
            }
        }
    }
}

fn table(visit: &Visit, rules: &[pb::Rule]) -> Markup {
    html! {
        div .scroll { table {
            thead { tr { th { "Rule" } th { "About" } th { "Severity" } th { "State" } th { "Open" } th { "Spoke last" } } }
            tbody { @for it in rules { tr {
                td { code { (it.name) } } td { (it.about) } td { (it.severity) }
                td { (match (it.enabled, it.shadow) { (false, _) => "off", (true, true) => "in shadow", (true, false) => "on" }) @if let Some(why) = &it.broken { " " strong { "broken: " (why) } } }
                td { (it.incidents.len()) }
                td { @match &it.last_time { Some(time) => (ago(visit.now, Some(time))), None => (NONE) } }
            } } }
        } }
    }
}

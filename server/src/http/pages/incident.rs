//! One incident: what happened, why that is believed, what was done, what holds it back.

use axum::extract::Path;
use maud::{Markup, html};
use prunella_proto::control::v1 as pb;

use super::layout::{self, form_token, may_act};
use super::visit::{Failure, OrPage as _, Visit};
use super::widgets::{NONE, ago, clock, id, place, score, severity, state};

pub(super) async fn page(visit: Visit, Path(key): Path<String>) -> Result<Markup, Failure> {
    let wanted = pb::GetIncidentRequest { name: format!("incidents/{key}") };
    let it = visit.incidents().get_incident(visit.ask(wanted)).await.or_page(&visit)?;
    let fault = it.fault.clone().unwrap_or_default();
    let closed = it.state() == pb::incident::State::Closed;
    let body = html! {
        h1 { (severity(&it.severity)) " " (fault.summary) }
        p {
            (state(&it)) " " (it.state_detail) " · " (place(&fault.target)) " · rule " code { (fault.rule) }
            " · opened " (ago(visit.now, it.open_time.as_ref()))
            @if let Some(time) = &it.close_time { " · closed " (ago(visit.now, Some(time))) }
        }
        @if let Some(closing) = &it.closing { p { "It is over: " strong { (closing) } "." } }
        @if let Some(upstream) = &it.upstream {
            p .note { "Left alone on purpose: its cause is another incident, " a href={ "/ui/incidents/" (id(upstream)) } { (id(upstream)) } "." }
        }
        (chain(&it))
        (to_do(&it))
        (diagnosis(&it))
        (reports(&it))
        (attempts(&it))
        (holds(&visit, &it))
        (stages(&it))
        (logs(&it))
        @if may_act(&visit) && !closed { (actions(&visit, &it, &fault)) }
    };
    Ok(layout::page(&visit, &format!("Incident {key}"), "/ui/incidents", &body))
}

/// Its place in a chain of repairs, and the chain where this incident keeps it.
fn chain(it: &pb::Incident) -> Markup {
    html! {
        @if let Some(place) = it.link.as_ref().filter(|place| place.head != it.name) {
            p .note {
                "Link " (place.position) " of " (place.length) " of the chain of incident "
                a href={ "/ui/incidents/" (id(&place.head)) } { (id(&place.head)) } "."
            }
        }
        @if let Some(chain) = &it.chain {
            section {
                h2 { "Chain" }
                p {
                    "Asked for by " (chain.by) ": " (chain.why) ". "
                    @match &chain.end {
                        Some(end) => { strong { (end) } @if let Some(detail) = &chain.end_detail { ": " (detail) } }
                        None => "It goes on.",
                    }
                }
                ol {
                    @for link in &chain.links {
                        li {
                            (place(&link.target)) " " strong { (link.state.replace('_', " ")) }
                            @if let Some(why) = &link.why { ": " (why) }
                            @if let Some(incident) = &link.incident { " · " a href={ "/ui/incidents/" (id(incident)) } { (id(incident)) } }
                        }
                    }
                }
            }
        }
    }
}

/// What the reader should do now.
fn to_do(it: &pb::Incident) -> Markup {
    let Some(advice) = it.advice.as_ref().filter(|it| !it.text.is_empty()) else { return html! {} };
    html! {
        p .note { strong { "To do: " } (advice.text)
            @if let Some(command) = &advice.command { pre { "prunella " (command) } }
        }
    }
}

fn diagnosis(it: &pb::Incident) -> Markup {
    let Some(found) = &it.diagnosis else {
        return html! { section { h2 { "Cause" } p .none { "Not known yet." } } };
    };
    html! {
        section {
            h2 { "Cause" }
            p {
                strong { (found.cause) } " on " (place(&found.cause_target)) ", "
                (format!("{:.0}", found.confidence * 100.0)) " % sure. Category " (found.category) ", priority " (found.priority) "."
            }
            @if let Some(shared) = &it.shared {
                p { (shared.failing) " of " (shared.sharing) " that share the " (shared.kind) " " code { (shared.attribute) }
                    " fail, of the " (shared.others) " others " (shared.others_failing) "." }
            }
            h3 { "Evidence" }
            (evidence(&found.evidence))
            @if !found.rejected.is_empty() {
                h3 { "Causes that were rejected" }
                dl .pairs { @for it in &found.rejected { dt { (it.cause) } dd { (it.why) } } }
            }
            @if !found.affected.is_empty() {
                h3 { "What suffers from it" }
                p { @for (index, it) in found.affected.iter().enumerate() { @if index > 0 { ", " } (place(it)) } }
            }
        }
    }
}

/// What people and other monitoring said.
fn reports(it: &pb::Incident) -> Markup {
    if it.reports.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Reports" }
            ul .evidence {
                @for it in &it.reports {
                    li {
                        (clock(it.file_time.as_ref())) " " strong { (it.by) } " " (it.summary)
                        @if let Some(time) = &it.withdraw_time { " · gone, they say, since " (clock(Some(time))) }
                    }
                }
            }
        }
    }
}

fn evidence(list: &[pb::Evidence]) -> Markup {
    html! {
        ul .evidence {
            @for it in list {
                li {
                    (clock(it.time.as_ref())) " " (place(&it.target))
                    @if let Some(probe) = &it.probe { " " code { (probe) } }
                    @if let Some(status) = &it.status { " " strong { (status) } }
                    " " (it.text)
                }
            }
        }
    }
}

fn attempts(it: &pb::Incident) -> Markup {
    html! {
        section {
            h2 { "What was done" }
            @if it.attempts.is_empty() { p .none { "Nothing yet." } }
            ol {
                @for it in &it.attempts {
                    li {
                        strong { (it.repair) } ": " (it.steps.join(", "))
                        @if let Some(undoes) = it.undoes { " (undoes " (undoes) ")" }
                        br; "because " (it.because)
                        br; "outcome " strong { (it.outcome.as_deref().unwrap_or(NONE)) }
                        @if let Some(detail) = &it.outcome_detail { ": " (detail) }
                        br; "verdict " strong { (it.verdict.as_deref().unwrap_or(NONE)) } " " (clock(it.verdict_time.as_ref()))
                        @if !it.verdict_evidence.is_empty() { (evidence(&it.verdict_evidence)) }
                        @if !it.alternatives.is_empty() {
                            details { summary { "What else was considered" }
                                dl .pairs { @for it in &it.alternatives {
                                    dt { (it.repair.as_deref().unwrap_or("do nothing")) " " @if let Some(score) = it.score { (format!("{score:.2}")) } }
                                    dd { (it.rejected) }
                                } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn holds(visit: &Visit, it: &pb::Incident) -> Markup {
    html! {
        @if !it.holds.is_empty() {
            section {
                h2 { "What holds it back" }
                dl .pairs { @for it in &it.holds {
                    dt { (it.brake) }
                    dd { (it.why)
                        @if let Some(time) = &it.release_time { " — released " (ago(visit.now, Some(time))) }
                        @if let Some(when) = &it.release_when { " — released " (when) }
                    }
                } }
            }
        }
    }
}

fn stages(it: &pb::Incident) -> Markup {
    html! {
        section {
            h2 { "Stages" }
            div .scroll { table {
                thead { tr { th { "Stage" } th { "Began" } th { "Ended" } th { "Result" } th { "Health before" } th { "after" } } }
                tbody { @for it in &it.stages { tr {
                    td { (it.stage) } td { (clock(it.start_time.as_ref())) } td { (clock(it.end_time.as_ref())) }
                    td { (it.result) } td { (score(it.health_before)) } td { (score(it.health_after)) }
                } } }
            } }
        }
    }
}

/// Where the log lines of an incident are found: every line carries its id.
fn logs(it: &pb::Incident) -> Markup {
    html! {
        section {
            h2 { "Logs" }
            p { "Every line of the server and the agent about it carries " code { "incident=" (id(&it.name)) } ". "
                a href={ "/ui/events?incident=" (id(&it.name)) } { "Its events" } }
        }
    }
}

fn actions(visit: &Visit, it: &pb::Incident, fault: &pb::Fault) -> Markup {
    let recommended = it.diagnosis.as_ref().map(|it| it.recommended.as_slice()).unwrap_or_default();
    html! {
        section {
            h2 { "Act" }
            div .steer {
                form method="post" action="/ui/act/repair" {
                    (form_token(visit))
                    input type="hidden" name="target" value=(fault.target);
                    input type="hidden" name="incident" value=(id(&it.name));
                    label { "Repair" select name="repair" {
                        option value="" { "let Prunella choose" }
                        @for it in recommended { option value=(it) { (it) } }
                    } }
                    label { "Why" input name="why" required maxlength="200"; }
                    label { input type="checkbox" name="chain" value="yes"; " first what it needs" }
                    button type="submit" { "Run" }
                }
                form method="post" action="/ui/act/cancel" {
                    (form_token(visit))
                    input type="hidden" name="incident" value=(id(&it.name));
                    label { "Why" input name="why" required maxlength="200"; }
                    button .stop type="submit" { "Cancel repairs of this incident" }
                }
            }
        }
    }
}

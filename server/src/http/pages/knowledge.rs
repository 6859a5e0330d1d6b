//! What was learned: which repair helps, how sure that is, and what follows from it.

use maud::{Markup, html};
use prunella_proto::control::v1 as pb;

use super::layout;
use super::visit::{Failure, OrPage as _, Visit};
use super::widgets::{NONE, ago, place, span};

/// Recurring faults on the page.
const PAGE: i32 = 100;

pub(super) async fn page(visit: Visit) -> Result<Markup, Failure> {
    let wanted = pb::ListInsightsRequest { page_size: PAGE, ..Default::default() };
    let insights = visit.learning().list_insights(visit.ask(wanted)).await.or_page(&visit)?.insights;
    let wanted = pb::ListPredictionsRequest::default();
    let predictions = visit.learning().list_predictions(visit.ask(wanted)).await.or_page(&visit)?.predictions;
    let wanted = pb::ListRecommendationsRequest::default();
    let advice = visit.learning().list_recommendations(visit.ask(wanted)).await.or_page(&visit)?.recommendations;
    let body = html! {
        h1 { "Knowledge" }
        section { h2 { "What a person might do" }
            @if advice.is_empty() { p .calm { "Nothing that the evidence asks for." } }
            @for it in &advice { p { strong { (it.text) } } ul .evidence { @for line in &it.evidence { li { (line) } } } }
        }
        section { h2 { "What is expected" }
            @if predictions.is_empty() { p .none { "Nothing, or there is too little evidence." } }
            @for it in &predictions {
                p {
                    (it.summary) " " (ago(visit.now, it.expect_time.as_ref())) ", " (format!("{:.0}", it.confidence * 100.0)) " % sure"
                    @if let Some(name) = &it.name { " · " (place(name)) }
                }
            }
        }
        section { h2 { "Recurring faults, and what helps" }
            @if insights.is_empty() { p .none { "Nothing was learned yet." } }
            @for it in &insights { (insight(&visit, it)) }
        }
    };
    Ok(layout::page(&visit, "Knowledge", "/ui/knowledge", &body))
}

fn insight(visit: &Visit, it: &pb::Insight) -> Markup {
    let subject = it.subject.clone().unwrap_or_default();
    html! {
        h3 { (subject.rule) ": " (subject.cause) " " span .small { (subject.kind) } }
        p .small {
            (it.incidents) " incidents here, " (it.incidents_elsewhere) " elsewhere, " (it.escalated) " needed a person, last " (ago(visit.now, it.last_time.as_ref()))
            @if it.every.is_some() { ", about every " (span(it.every.as_ref())) }
            @if let Some(own) = &it.self_recovery { ". Goes away by itself in " (format!("{:.0}", own.chance * 100.0)) " % within " (span(own.within.as_ref())) }
        }
        @if !it.helps.is_empty() {
            div .scroll { table {
                thead { tr { th { "Repair" } th { "Helps" } th { "between" } th { "Helped" } th { "Failed" } th { "Takes" } th { "Last" } } }
                tbody { @for help in &it.helps { tr {
                    td { (help.repair) @if help.shadow { " " span .small { "in shadow" } } }
                    td { meter min="0" max="1" low="0.4" high="0.75" optimum="1" value=(help.chance) {} " " (percent(help.chance)) }
                    td { (percent(help.low)) " and " (percent(help.high)) }
                    td { (format!("{:.1}", help.healed)) } td { (format!("{:.1}", help.failed)) }
                    td { (help.mean_time.as_ref().map_or_else(|| NONE.to_owned(), |it| span(Some(it)))) }
                    td { (ago(visit.now, help.last_time.as_ref())) }
                } } }
            } }
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

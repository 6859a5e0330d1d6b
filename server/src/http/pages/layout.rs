//! What every page has around it.

use maud::{DOCTYPE, Markup, html};
use prunella_identity::Role;

use super::visit::Visit;

const PLACES: [(&str, &str); 11] = [
    ("/", "Overview"),
    ("/ui/incidents", "Incidents"),
    ("/ui/hosts", "Hosts"),
    ("/ui/topology", "Topology"),
    ("/ui/knowledge", "Knowledge"),
    ("/ui/brakes", "Brakes"),
    ("/ui/policy", "Policy"),
    ("/ui/events", "Events"),
    ("/ui/diagnostics", "Diagnostics"),
    ("/ui/snapshots", "Snapshots"),
    ("/ui/audit", "Audit"),
];

/// A whole page of somebody who has logged in. `here` is the path of the place that it belongs to.
pub(super) fn page(visit: &Visit, title: &str, here: &str, body: &Markup) -> Markup {
    whole(visit, title, here, body, true)
}

/// The same for what is shown once and not kept current: the answer to a question that was put by pressing a button.
pub(super) fn still(visit: &Visit, title: &str, here: &str, body: &Markup) -> Markup {
    whole(visit, title, here, body, false)
}

fn whole(visit: &Visit, title: &str, here: &str, body: &Markup, live: bool) -> Markup {
    let who = &visit.session.who;
    bare(
        title,
        live,
        &html! {
            header {
                a .skip href="#main" { "Skip to the content" }
                a .brand href="/" { "Prunella" }
                nav aria-label="Places" {
                    @for (path, name) in PLACES {
                        a href=(path) aria-current=[(path == here).then_some("page")] { (name) }
                    }
                }
                form .who method="post" action="/ui/logout" {
                    (form_token(visit))
                    span title="Who you are, and what you may do" { (who.name) " · " (who.role) }
                    button .quiet type="submit" { "Log out" }
                }
            }
            main #main tabindex="-1" { (body) }
        },
    )
}

/// A page with nothing around its body.
pub(super) fn bare(title: &str, live: bool, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Prunella" }
                link rel="icon" type="image/svg+xml" href="/ui/icon.svg";
                link rel="stylesheet" href="/ui/style.css";
                @if live { script type="module" src="/ui/live.js" {} }
            }
            body { (body) }
        }
    }
}

/// The hidden field without which no form is believed.
pub(super) fn form_token(visit: &Visit) -> Markup {
    html! { input type="hidden" name="form_token" value=(visit.session.form_token); }
}

/// Whether the visitor may act. A page shows no button that would be refused.
pub(super) fn may_act(visit: &Visit) -> bool {
    visit.session.who.role >= Role::Operator
}

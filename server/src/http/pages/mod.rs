//! The dashboard: pages made on the server, which need no script to be read. A small script keeps them current.
//!
//! A page is one more client of the control services: it asks them in the name of whoever has logged in, through the same
//! gate. It never signs anything.

mod act;
mod assets;
mod audit;
mod brakes;
mod diagnostics;
mod events;
mod hosts;
mod incident;
mod incidents;
mod knowledge;
mod layout;
mod live;
mod login;
mod overview;
mod policy;
mod snapshots;
mod topology;
mod visit;
mod widgets;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::Gateway;

/// Every path of the dashboard.
pub(crate) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/", get(overview::page))
        .route("/login", get(login::page))
        .route("/ui/logout", post(login::leave))
        .route("/ui/style.css", get(assets::style))
        .route("/ui/icon.svg", get(assets::icon))
        .route("/ui/live.js", get(assets::script))
        .route("/ui/live", get(live::follow))
        .route("/ui/incidents", get(incidents::page))
        .route("/ui/incidents/{id}", get(incident::page))
        .route("/ui/hosts", get(hosts::list))
        .route("/ui/hosts/{host}", get(hosts::one))
        .route("/ui/hosts/{host}/readings", get(hosts::readings))
        .route("/ui/hosts/{host}/targets/{target}", get(hosts::target))
        .route("/ui/topology", get(topology::page))
        .route("/ui/knowledge", get(knowledge::page))
        .route("/ui/diagnostics", get(diagnostics::page))
        .route("/ui/brakes", get(brakes::page))
        .route("/ui/policy", get(policy::page).post(policy::change))
        .route("/ui/snapshots", get(snapshots::page))
        .route("/ui/events", get(events::page))
        .route("/ui/audit", get(audit::page))
        .route("/ui/act/{what}", post(act::act))
}

//! The services, put together from what was loaded.

use std::sync::Arc;

use prunella_identity::Listener;
use prunella_model::policy::FleetPolicy;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::Config;
use crate::driver::Inbox;
use crate::feed::Feed;
use crate::notify::Desk;
use crate::questions::Questions;
use crate::rpc::accept::Connections;
use crate::rpc::admin::{Admin, JoinFacts, Login};
use crate::rpc::agent::AgentLink;
use crate::rpc::enrol::Enrol;
use crate::rpc::events::Events;
use crate::rpc::fleet::Fleet;
use crate::rpc::gate::{self, Gate};
use crate::rpc::incidents::Incidents;
use crate::rpc::learning::Learning;
use crate::rpc::listen::{Control, Door};
use crate::rpc::notifications::Notifications;
use crate::rpc::optimiser::Optimiser;
use crate::rpc::snapshots::Snapshots;
use crate::serve::{Addresses, ServeError};
use crate::sessions::Sessions;
use crate::startup::Loaded;

/// A listener with its gate.
pub(crate) fn door(
    config: &Config,
    loaded: &Loaded,
    socket: TcpListener,
    pass: gate::Door,
    open: &Connections,
) -> Result<Door, ServeError> {
    let listener = match pass {
        gate::Door::Agents => Listener::Agents,
        gate::Door::Control => Listener::Control,
    };
    let fleet = config.fleet.clone();
    let tls = prunella_identity::server_config(&fleet, &loaded.ca_pem, &loaded.chain_pem, &loaded.key_pem, listener)?;
    let gate = Gate {
        door: pass,
        enrolments: Arc::clone(&loaded.enrolments),
        operators: Arc::clone(&loaded.operators),
        clock: loaded.clock.clone(),
        denials: loaded.denials.clone(),
    };
    Ok(Door { socket, tls, fleet, open: open.clone(), gate: Arc::new(gate) })
}

/// Promises that do not hold here, for everybody who looks at the fleet.
fn caveats(config: &Config) -> Vec<String> {
    let mut caveats = Vec::new();
    if config.keys.signer.is_some() {
        caveats.push(
            "the fleet signer's key is on the server: whoever takes this machine can renew the server's authority"
                .to_owned(),
        );
    }
    let root = config.keys.server.with_file_name("root.key");
    if root.exists() {
        caveats.push(format!(
            "the root key {} is on the server: whoever takes this machine owns the fleet; move it off-line",
            root.display()
        ));
    }
    caveats
}

/// All services, ready to serve.
pub(crate) struct Services {
    pub(crate) link: AgentLink,
    pub(crate) control: Control,
}

pub(crate) fn services(
    config: &Config,
    loaded: &Loaded,
    addresses: &Addresses,
    (sessions, feed): (&Arc<Sessions>, &Arc<Feed>),
    inbox: &Inbox,
    policy: &watch::Receiver<Arc<FleetPolicy>>,
    (login, desk): (Login, Arc<Desk>),
) -> Services {
    let Loaded { clock, enrolments, operators, repository, .. } = loaded;
    let fleet = config.fleet.clone();
    let control_address = config.public.control.clone().unwrap_or_else(|| addresses.control.to_string());
    let agent_addresses = match config.public.agents.as_slice() {
        [] => vec![addresses.agents.to_string()],
        named => named.to_vec(),
    };
    let join = JoinFacts {
        control: control_address,
        ca: enrolments.ca().pin(),
        roots: loaded.roots.clone(),
        threshold: loaded.threshold,
    };
    let questions = Arc::new(Questions::default());
    let control = Control {
        fleet: Fleet {
            name: fleet.clone(),
            inbox: inbox.clone(),
            enrolments: Arc::clone(enrolments),
            sessions: Arc::clone(sessions),
            clock: clock.clone(),
            caveats: Arc::new(caveats(config)),
        },
        incidents: Incidents {
            inbox: inbox.clone(),
            history: loaded.archive.clone(),
            sessions: Arc::clone(sessions),
            questions: Arc::clone(&questions),
        },
        health: crate::rpc::health::Health { inbox: inbox.clone() },
        learning: Learning { inbox: inbox.clone(), clock: clock.clone() },
        diagnostics: crate::rpc::diagnostics::Sweeps { inbox: inbox.clone() },
        optimiser: Optimiser { inbox: inbox.clone() },
        snapshots: Snapshots {
            inbox: inbox.clone(),
            sessions: Arc::clone(sessions),
            questions: Arc::clone(&questions),
        },
        notifications: Notifications { fleet: fleet.clone(), desk, clock: clock.clone() },
        events: Events { feed: Arc::clone(feed) },
        admin: Admin {
            fleet: fleet.clone(),
            inbox: inbox.clone(),
            enrolments: Arc::clone(enrolments),
            operators: Arc::clone(operators),
            repository: Arc::clone(repository),
            audit: loaded.archive.clone(),
            clock: clock.clone(),
            policy: policy.clone(),
            changing: Arc::default(),
            join: Arc::new(join),
            login: Arc::new(login),
            exports: config.state_dir.join("export"),
            journal: config.state_dir.join("journal"),
            previewing: Arc::default(),
        },
        enrol: Enrol {
            fleet,
            enrolments: Arc::clone(enrolments),
            sessions: Arc::clone(sessions),
            denials: loaded.denials.clone(),
            clock: clock.clone(),
            agent_addresses: Arc::new(agent_addresses),
        },
    };
    let link = AgentLink {
        sessions: Arc::clone(sessions),
        inbox: inbox.clone(),
        questions,
        clock: clock.clone(),
        policy: policy.clone(),
    };
    Services { link, control }
}

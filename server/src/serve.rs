//! Starting and stopping: everything is loaded and checked before a port opens, and put away in order.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prunella_engine::{Engine, Event};
use prunella_identity::{FleetCa, IssueError, Listener, PeerCertificate, PeerIdentity, SERVER_LIFE, TlsError};
use prunella_model::Timestamp;
use prunella_model::policy::FleetPolicy;
use prunella_model::record::{AuditEntry, Change};
use prunella_seal::{Anchor, DocumentError, FleetFile, PublicKey};
use prunella_settings::Located;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use crate::authority::{Authority, AuthorityError};
use crate::clock::Clock;
use crate::closed::{self, Archive, Keeper};
use crate::config::{Config, ConfigError};
use crate::denials::Denials;
use crate::driver::{Commit, CommitFailed, Driver, Durable, Inbox, Input};
use crate::effects::Effects;
use crate::enrolment::Enrolments;
use crate::feed::Feed;
use crate::files::{self, FileError};
use crate::journal::JournalError;
use crate::notes::Notes;
use crate::operators::Operators;
use crate::policy;
use crate::rpc::admin::{Admin, JoinFacts};
use crate::rpc::agent::AgentLink;
use crate::rpc::enrol::Enrol;
use crate::rpc::events::Events;
use crate::rpc::fleet::Fleet;
use crate::rpc::gate::{self, Gate};
use crate::rpc::incidents::Incidents;
use crate::rpc::listen::{self, Control, Door};
use crate::sessions::Sessions;
use crate::store::repository::{Repository, RepositoryError};
use crate::store::sled::OpenError;
use crate::store::{Backend, SledStore, Store as _};

/// How long connections may take to end by themselves when the server stops.
const STOP_MAX: Duration = Duration::from_secs(5);

/// How long agents are told to wait before they come back; a restart takes about as long.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// Why the server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The policy that a new fleet starts with.
    #[error(transparent)]
    Policy(#[from] Located),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The audit log or the history.
    #[error("what is over cannot be read")]
    Archive(#[from] closed::OpenError),
    /// The journal.
    #[error("the journal cannot be written")]
    Journal(#[from] JournalError),
    /// The store fails.
    #[error("the store cannot be used")]
    Store(#[from] RepositoryError),
    /// The server may not command.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The fleet file is not believed.
    #[error("the fleet file {} cannot be used", path.display())]
    FleetFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: DocumentError,
    },
    /// The certificate authority.
    #[error("the certificates under [tls] cannot be used")]
    Certificate(#[from] IssueError),
    /// The TLS settings.
    #[error("the certificates under [tls] cannot be used")]
    Tls(#[from] TlsError),
    /// A port.
    #[error("cannot listen on {address} for {what}; is another server running? See [listen] in server.toml")]
    Bind {
        /// For whom.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's words.
        source: std::io::Error,
    },
    /// Serving ended by itself.
    #[error("the {what} listener failed")]
    Serve {
        /// Which.
        what: &'static str,
        /// Why.
        source: tonic::transport::Error,
    },
    /// Memory was ahead of the truth.
    #[error(transparent)]
    Commit(#[from] CommitFailed),
    /// The loop is gone without having said why.
    #[error("the server's loop ended unexpectedly; this is a defect: please report it with the log")]
    Lost,
    /// No random bytes, no signal handlers: the system is out of something.
    #[error("the system refused something basic")]
    System(#[from] std::io::Error),
}

/// Where the server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// For operators and joining hosts.
    pub control: SocketAddr,
    /// For agents.
    pub agents: SocketAddr,
}

/// What the driver commits to.
struct Records {
    repository: Arc<Repository<Backend>>,
    notes: Notes,
}

impl Durable for Records {
    fn commit(&mut self, changes: Vec<Change>, audit: Vec<AuditEntry>) -> Commit {
        match self.repository.commit(&changes, &audit) {
            Ok(commit) => Box::pin(async move { commit.await.map_err(|error| CommitFailed(Box::new(error))) }),
            Err(error) => Box::pin(std::future::ready(Err(CommitFailed(Box::new(error))))),
        }
    }

    fn journal(&mut self, now: Timestamp, event: &Event) {
        self.notes.note(now, event);
    }
}

/// Everything that was loaded and checked.
struct Loaded {
    clock: Clock,
    repository: Arc<Repository<Backend>>,
    enrolments: Arc<Enrolments>,
    operators: Arc<Operators>,
    engine: Engine,
    notes: Notes,
    archive: Archive,
    keeper: Keeper,
    /// The policy that a fleet without one begins with.
    first_policy: Option<FleetPolicy>,
    authority: Authority,
    granted: crate::authority::Granted,
    key: prunella_seal::SecretKey,
    ca_pem: String,
    chain_pem: String,
    key_pem: zeroize::Zeroizing<String>,
    roots: Vec<PublicKey>,
    threshold: u32,
}

/// Resolves at SIGINT or SIGTERM.
pub async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        tracing::error!(target: "prunella::server", "no signal handlers; stop the server with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
}

/// Runs a server until `stop` resolves. `listening` is called once both ports are open.
///
/// # Errors
/// [`ServeError`]: why it did not start, or what ended it.
pub async fn serve(
    config: Config,
    stop: impl Future<Output = ()>,
    listening: impl FnOnce(Addresses),
) -> Result<(), ServeError> {
    let loaded = load(&config).await?;
    let last = files::read_text(&config.addresses).ok().and_then(|it| serde_json::from_str::<Addresses>(&it).ok());
    let control = bind("operators", config.listen.control, last.map(|it| it.control)).await?;
    let agents = bind("agents", config.listen.agents, last.map(|it| it.agents)).await?;
    let addresses = Addresses { control: control.local_addr()?, agents: agents.local_addr()? };

    let sessions = Arc::new(Sessions::new(Arc::clone(&loaded.granted.bundle)));
    let feed = Arc::new(Feed::default());
    let (inbox, events) = Inbox::new();
    let (policy, policy_now) = watch::channel(Arc::clone(loaded.engine.policy()));
    let effects = Effects::new(
        Arc::clone(&sessions),
        Arc::clone(&feed),
        loaded.clock.clone(),
        loaded.key.clone(),
        loaded.granted.clone(),
        policy,
    );
    let services = services(&config, &loaded, &addresses, (&sessions, &feed), &inbox, &policy_now);
    let records = Records { repository: Arc::clone(&loaded.repository), notes: loaded.notes };
    let mut driver = tokio::spawn(Driver::new(loaded.engine, records, effects, loaded.clock.clone(), events).run());
    if let Some(first) = loaded.first_policy {
        // The driver has just started; it takes this in before anything else.
        let _ = inbox.put(Input::Event(Event::Policy(Arc::new(first)))).await;
    }
    let keeping = tokio::spawn(loaded.authority.keep(loaded.granted, loaded.clock.clone(), inbox.clone()));
    let exporting = tokio::spawn(export(Arc::clone(&loaded.repository), config.clone()));

    let door = |socket, listener, pass: gate::Door| -> Result<Door, ServeError> {
        let tls = prunella_identity::server_config(
            &config.fleet,
            &loaded.ca_pem,
            &loaded.chain_pem,
            &loaded.key_pem,
            listener,
        )?;
        let gate = Gate {
            door: pass,
            enrolments: Arc::clone(&loaded.enrolments),
            operators: Arc::clone(&loaded.operators),
            clock: loaded.clock.clone(),
            denials: Denials::new(Arc::clone(&loaded.repository), loaded.clock.clone()),
        };
        Ok(Door { socket, tls, fleet: config.fleet.clone(), gate: Arc::new(gate) })
    };
    let agents_door = door(agents, Listener::Agents, gate::Door::Agents)?;
    let control_door = door(control, Listener::Control, gate::Door::Control)?;
    let (health, _) = tonic_health::server::health_reporter();
    health.set_service_status("", tonic_health::ServingStatus::Serving).await;

    let (stop_agents, agents_stopped) = oneshot::channel::<()>();
    let (stop_control, control_stopped) = oneshot::channel::<()>();
    let (link, enrol) = (services.link, services.control.enrol.clone());
    let mut serving_agents = tokio::spawn(listen::agents(agents_door, link, enrol, async {
        let _ = agents_stopped.await;
    }));
    let mut serving_control = tokio::spawn(listen::control(control_door, services.control, health, async {
        let _ = control_stopped.await;
    }));

    let text = serde_json::to_vec(&addresses).unwrap_or_default();
    files::replace(&config.addresses, &text, files::PUBLIC)?;
    notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!(target: "prunella::server", control = %addresses.control, agents = %addresses.agents, fleet = %config.fleet, "listening");
    listening(addresses);

    let ended = tokio::select! {
        () = stop => Ok(()),
        result = &mut driver => result.map_or(Err(ServeError::Lost), |it| it.map_err(ServeError::from).and(Err(ServeError::Lost))),
        result = &mut serving_agents => Err(listener_ended("agents", result)),
        result = &mut serving_control => Err(listener_ended("control", result)),
    };

    tracing::info!(target: "prunella::server", "stopping");
    notify(&[sd_notify::NotifyState::Stopping]);
    keeping.abort();
    exporting.abort();
    sessions.close_all(RECONNECT_AFTER, "the server is stopping");
    feed.close();
    let _ = (stop_agents.send(()), stop_control.send(()));
    ended?;
    let _ = inbox.put(Input::Stop).await;
    let committed = tokio::time::timeout(STOP_MAX, &mut driver).await;
    // Watches of events and idle clients would keep their connections open for ever.
    let over = async { ((&mut serving_agents).await, (&mut serving_control).await) };
    if tokio::time::timeout(STOP_MAX, over).await.is_err() {
        serving_agents.abort();
        serving_control.abort();
    }
    let keeper = loaded.keeper;
    let _ = tokio::time::timeout(STOP_MAX, tokio::task::spawn_blocking(|| keeper.stop())).await;
    match committed {
        Ok(Ok(result)) => Ok(result?),
        Ok(Err(_)) => Err(ServeError::Lost),
        Err(_) => {
            tracing::warn!(target: "prunella::server", "commits were still under way at the deadline; the next start finds what reached the disk");
            Ok(())
        }
    }
}

fn listener_ended(
    what: &'static str,
    result: Result<Result<(), tonic::transport::Error>, tokio::task::JoinError>,
) -> ServeError {
    match result {
        Ok(Err(source)) => ServeError::Serve { what, source },
        Ok(Ok(())) | Err(_) => ServeError::Lost,
    }
}

/// Exports the store now and then, for the day when it cannot be opened.
async fn export(repository: Arc<Repository<Backend>>, config: Config) {
    let dir = config.state_dir.join("export");
    let mut every = tokio::time::interval(config.export.every);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first tick comes at once; there is nothing new to export then.
    every.tick().await;
    loop {
        every.tick().await;
        let exported = match repository.store().export().await {
            Ok(export) => {
                let dir = dir.clone();
                tokio::task::spawn_blocking(move || crate::store::export::write(&dir, &export)).await
            }
            Err(error) => {
                tracing::error!(target: "prunella::store", error = &error as &dyn std::error::Error, "the store could not be exported");
                continue;
            }
        };
        match exported {
            Ok(Ok(file)) => tracing::debug!(target: "prunella::store", file = %file.display(), "exported the store"),
            Ok(Err(error)) => {
                tracing::error!(target: "prunella::store", error = &error as &dyn std::error::Error, "an export could not be written");
            }
            Err(_) => return,
        }
    }
}

/// Tells the service manager, where there is one.
fn notify(state: &[sd_notify::NotifyState]) {
    if let Err(error) = sd_notify::notify(false, state) {
        tracing::warn!(target: "prunella::server", %error, "the service manager could not be told");
    }
}

/// Opens a port. When any one will do, the one of the last time is tried first: agents look for the server there.
async fn bind(what: &'static str, wanted: SocketAddr, last: Option<SocketAddr>) -> Result<TcpListener, ServeError> {
    if let Some(last) = last.filter(|it| wanted.port() == 0 && it.ip() == wanted.ip())
        && let Ok(listener) = TcpListener::bind(last).await
    {
        return Ok(listener);
    }
    TcpListener::bind(wanted).await.map_err(|source| ServeError::Bind { what, address: wanted, source })
}

/// Reads and checks everything, and takes the lead in the store.
async fn load(config: &Config) -> Result<Loaded, ServeError> {
    let clock = Clock::start();
    let now = clock.now();
    let key = files::read_key(&config.keys.server)?;
    let signer = config.keys.signer.as_deref().map(files::read_key).transpose()?;
    let ca_pem = files::read_text(&config.tls.authority)?;
    let ca = FleetCa::load(&config.fleet, &ca_pem, &files::read_secret(&config.tls.authority_key)?)?;
    renew_own_certificate(config, &ca, now)?;
    let chain_pem = files::read_text(&config.tls.certificate)?;
    let key_pem = files::read_secret(&config.tls.key)?;
    let first_policy = policy::parse(&config.policy.display().to_string(), &files::read_text(&config.policy)?)?;

    let fleet_file = own_fleet_file(&config.trust.fleet)?;
    let (roots, threshold) = (fleet_file.root_keys.clone(), fleet_file.root_threshold);
    let anchor = Anchor::new(config.fleet.clone(), roots.clone(), threshold);
    let authority = Authority::new(anchor, &config.trust.fleet, &config.trust.delegation, key.public(), signer);
    let granted = authority.load(now)?;

    let state = config.state_dir.clone();
    let opened = tokio::task::spawn_blocking(move || SledStore::open(&state)).await;
    let store = opened.map_err(|_| ServeError::Lost)??;
    let repository = Arc::new(Repository::lead(Backend::Sled(store), now, 0).await?);
    let stored = repository.load().await?;
    let first_policy = match &stored.policy {
        None => Some(first_policy),
        Some(kept) => {
            if (FleetPolicy { version: kept.version, ..first_policy }) != *kept {
                tracing::warn!(
                    target: "prunella::server",
                    file = %config.policy.display(), version = kept.version,
                    "the policy file differs from the policy in force, which is kept by the server; the file only serves a new fleet"
                );
            }
            None
        }
    };
    let enrolments = Arc::new(Enrolments::load(Arc::clone(&repository), ca).await?);
    let operators = Arc::new(Operators::load(Arc::clone(&repository), now).await?);
    let (archive, keeper) = Archive::open(&config.state_dir, Arc::clone(&repository), key.clone())?;
    let (epoch, journaled) = (repository.epoch(), Arc::clone(&repository));
    let notes = Notes::open(&config.state_dir, config.fleet.clone(), epoch, now, stored.clone(), journaled)?;
    let engine = Engine::new(config.fleet.clone(), repository.epoch(), now, stored);
    Ok(Loaded {
        clock,
        repository,
        enrolments,
        operators,
        engine,
        notes,
        archive,
        keeper,
        first_policy,
        authority,
        granted,
        key,
        ca_pem,
        chain_pem,
        key_pem,
        roots,
        threshold,
    })
}

/// The fleet file as the server itself believes it: its own root keys have signed it.
fn own_fleet_file(path: &Path) -> Result<FleetFile, ServeError> {
    let bad = |source| ServeError::FleetFile { path: path.to_owned(), source };
    let envelope = prunella_seal::envelope_from_json(&files::read_text(path)?)
        .map_err(|source| bad(DocumentError::Envelope { document: "fleet file", source }))?;
    // The server needs no pin: agents hold the root keys, and refuse what these do not vouch for.
    let claimed: FleetFile = serde_json::from_slice(&envelope.payload)
        .map_err(|error| bad(DocumentError::Senseless { document: "fleet file", why: error.to_string() }))?;
    FleetFile::verify(&envelope, &claimed.root_keys, claimed.root_threshold).map_err(bad)
}

/// Makes the server's next certificate when the present one is past its half-life.
fn renew_own_certificate(config: &Config, ca: &FleetCa, now: Timestamp) -> Result<(), ServeError> {
    let pem = files::read_text(&config.tls.certificate)?;
    let leaf = CertificateDer::from_pem_slice(pem.as_bytes()).ok();
    // What is wrong with the certificate is said where it is used.
    let Some(leaf) = leaf.and_then(|der| PeerCertificate::read(&der, &config.fleet).ok()) else { return Ok(()) };
    let PeerIdentity::Server { name } = &leaf.identity else { return Ok(()) };
    if now < leaf.renew_at() {
        return Ok(());
    }
    let names = certificate_names(config);
    let next = ca.issue_server(name, &names, now, SERVER_LIFE)?;
    // The key first: a crash between the two leaves a pair that does not fit, and the next start makes a new one.
    files::replace(&config.tls.key, next.key_pem.as_bytes(), files::SECRET)?;
    files::replace(&config.tls.certificate, next.issued.chain_pem.as_bytes(), files::PUBLIC)?;
    tracing::info!(target: "prunella::server", serial = next.issued.serial, "the server's certificate was renewed");
    Ok(())
}

/// What the server's certificate must name: what is configured, or where it listens and is reached.
fn certificate_names(config: &Config) -> Vec<String> {
    if !config.public.names.is_empty() {
        return config.public.names.clone();
    }
    let listened = [config.listen.control, config.listen.agents].map(|it| it.ip().to_string());
    let public = config.public.agents.iter().chain(&config.public.control);
    let public = public.filter_map(|it| Some(it.rsplit_once(':')?.0.trim_matches(['[', ']']).to_owned()));
    let names: std::collections::BTreeSet<String> = listened.into_iter().chain(public).collect();
    names.into_iter().collect()
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
struct Services {
    link: AgentLink,
    control: Control,
}

fn services(
    config: &Config,
    loaded: &Loaded,
    addresses: &Addresses,
    (sessions, feed): (&Arc<Sessions>, &Arc<Feed>),
    inbox: &Inbox,
    policy: &watch::Receiver<Arc<FleetPolicy>>,
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
    let control = Control {
        fleet: Fleet {
            name: fleet.clone(),
            inbox: inbox.clone(),
            enrolments: Arc::clone(enrolments),
            sessions: Arc::clone(sessions),
            clock: clock.clone(),
            caveats: Arc::new(caveats(config)),
        },
        incidents: Incidents { inbox: inbox.clone(), history: loaded.archive.clone(), answered: Arc::default() },
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
        },
        enrol: Enrol {
            fleet,
            enrolments: Arc::clone(enrolments),
            sessions: Arc::clone(sessions),
            clock: clock.clone(),
            agent_addresses: Arc::new(agent_addresses),
        },
    };
    let link = AgentLink {
        sessions: Arc::clone(sessions),
        inbox: inbox.clone(),
        clock: clock.clone(),
        policy: policy.clone(),
    };
    Services { link, control }
}

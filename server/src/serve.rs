//! A server's life: it listens, serves until it is told to stop, and puts everything away in order.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prunella_engine::Event;
use prunella_identity::{IssueError, TlsError};
use prunella_seal::DocumentError;
use prunella_settings::Located;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinHandle};
use tower::Layer as _;

use crate::authority::AuthorityError;
use crate::closed::{self, Keeper};
use crate::config::HttpListen;
use crate::config::{Config, ConfigError};
use crate::driver::{CommitFailed, Driver, Inbox, Input};
use crate::effects::Effects;
use crate::feed::{self, Feed};
use crate::files::{self, FileError};
use crate::http;
use crate::journal::JournalError;
use crate::notify::{self, Desk, Notifier};
use crate::records::{Records, export};
use crate::rpc::accept::Connections;
use crate::rpc::admin::Login;
use crate::rpc::gate::GateLayer;
use crate::rpc::repeat::RepeatLayer;
use crate::rpc::{gate, listen};
use crate::sessions::Sessions;
use crate::startup::load;
use crate::store::repository::RepositoryError;
use crate::store::sled::OpenError;
use crate::traces;
use crate::wiring::{door, services};

/// How long connections may take to end by themselves when the server stops: calls under way, and agents' farewells.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// How long anything else may take then: commits that are under way, the archive.
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
    /// There was a state, and it is gone.
    #[error(
        "the state of this fleet is gone: {} holds no store, and {} says that the fleet has had one since {since}. Put the \
         directory back, or `prunella store import --dir DIR FILE` an export of it. Only to begin anew, without its hosts, \
         pauses, policy and knowledge, remove that file",
        state.display(), note.display()
    )]
    StateGone {
        /// The state directory.
        state: PathBuf,
        /// Since when there was a state.
        since: String,
        /// The file that says so.
        note: PathBuf,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The audit log or the history.
    #[error("what is over cannot be read")]
    Archive(#[from] closed::OpenError),
    /// The events of the past.
    #[error("events cannot be kept")]
    Events(#[from] feed::LogError),
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
    /// Receivers of notifications cannot be reached safely.
    #[error("[notify] needs the system's certificate authorities, which cannot be read; install ca-certificates")]
    Notify(#[source] std::io::Error),
    /// A collector of traces cannot be reached safely.
    #[error("[traces] needs the system's certificate authorities, which cannot be read; install ca-certificates")]
    Traces(#[source] std::io::Error),
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
    /// For browsers and programs that speak JSON; null when that is off.
    #[serde(default)]
    pub http: Option<SocketAddr>,
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
    let (addresses, mut running) = start(&config).await?;
    tell_manager(&[sd_notify::NotifyState::Ready]);
    let Addresses { control, agents, http } = addresses;
    let http = http.map(tracing::field::display);
    tracing::info!(target: "prunella::server", %control, %agents, http, fleet = %config.fleet, "listening");
    listening(addresses);
    let ended = tokio::select! {
        () = stop => Ok(()),
        error = running.failed() => Err(error),
    };
    tracing::info!(target: "prunella::server", "stopping");
    tell_manager(&[sd_notify::NotifyState::Stopping]);
    let stopped = running.stop(ended.is_ok()).await;
    ended.and(stopped)
}

/// The tasks of a server.
struct Running {
    inbox: Inbox,
    sessions: Arc<Sessions>,
    feed: Arc<Feed>,
    driver: JoinHandle<Result<(), CommitFailed>>,
    open: Connections,
    listeners: [(&'static str, JoinHandle<Result<(), tonic::transport::Error>>); 2],
    /// Dropped to make the listeners stop.
    serving: Vec<oneshot::Sender<()>>,
    /// What may end at any time.
    chores: Vec<JoinHandle<()>>,
    keeper: Keeper,
}

/// Loads everything, opens both ports, and starts all tasks.
async fn start(config: &Config) -> Result<(Addresses, Running), ServeError> {
    let mut loaded = load(config).await?;
    let last = files::read_text(&config.addresses).ok().and_then(|it| serde_json::from_str::<Addresses>(&it).ok());
    let control = bind("operators", config.listen.control, last.map(|it| it.control)).await?;
    let agents = bind("agents", config.listen.agents, last.map(|it| it.agents)).await?;
    let http = bind_http(config.listen.http, last.and_then(|it| it.http)).await?;
    let addresses = Addresses {
        control: control.local_addr()?,
        agents: agents.local_addr()?,
        http: http.as_ref().map(TcpListener::local_addr).transpose()?,
    };
    let open = Connections::default();
    let agents = door(config, &loaded, agents, gate::Door::Agents, &open)?;
    let control = door(config, &loaded, control, gate::Door::Control, &open)?;

    let sessions = Arc::new(Sessions::new(Arc::clone(&loaded.granted.bundle)));
    let feed = Arc::new(Feed::open(&config.state_dir.join("events"), loaded.repository.epoch())?);
    let (inbox, events) = Inbox::new();
    let (policy, policy_now) = watch::channel(Arc::clone(loaded.engine.policy()));
    let logins = Arc::<http::Logins>::default();
    let desk = Arc::new(Desk::load(config.notify.clone(), Arc::clone(&loaded.repository)).await?);
    let login = Login { page: login_page(config, &addresses), logins: Arc::clone(&logins) };
    let services =
        services(config, &loaded, &addresses, (&sessions, &feed), &inbox, &policy_now, (login, Arc::clone(&desk)));
    let effects = Effects::new(
        Arc::clone(&sessions),
        Arc::clone(&feed),
        loaded.clock.clone(),
        loaded.key,
        loaded.granted.clone(),
        policy,
    );
    let records = Records { repository: Arc::clone(&loaded.repository), notes: loaded.notes };
    let driver = tokio::spawn(Driver::new(loaded.engine, records, effects, loaded.clock.clone(), events).run());
    // Nobody serves yet, so the engine takes this in before anything else.
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let _ = inbox.put(Input::Event(Event::Started { version })).await;
    let (version, not_after) = (loaded.granted.version, loaded.granted.not_after);
    let _ = inbox.put(Input::Event(Event::Authorised { version, not_after })).await;
    if let Some(first) = loaded.first_policy.take() {
        let _ = inbox.put(Input::Event(Event::Policy(Arc::new(first)))).await;
    }
    let keeping = loaded.authority.keep(loaded.granted, loaded.clock.clone(), inbox.clone());
    let exporting = export(Arc::clone(&loaded.repository), config.clone());

    let (health, _) = tonic_health::server::health_reporter();
    health.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let (stop_agents, agents_stop) = oneshot::channel();
    let (stop_control, control_stop) = oneshot::channel();
    let enrol = services.control.enrol.clone();
    let reloading = crate::reload::on_hangup(services.control.admin.clone(), config.policy.clone());
    let agents = tokio::spawn(listen::agents(agents, services.link, enrol, dropped(agents_stop)));
    let routes = services.control.routes(health);
    let repeats = RepeatLayer::default();
    let gated = GateLayer(Arc::clone(&control.gate)).layer(repeats.layer(routes.clone()));
    let telling = notify::start(Notifier {
        fleet: config.fleet.clone(),
        desk,
        services: gated.clone(),
        feed: Arc::clone(&feed),
        clock: loaded.clock.clone(),
    })
    .map_err(ServeError::Notify)?;
    let tracing = traces::start(
        &config.traces,
        traces::Exporter { fleet: config.fleet.clone(), services: gated.clone(), feed: Arc::clone(&feed) },
    )
    .map_err(ServeError::Traces)?;
    let http = http.map(|socket| {
        let tls = addresses.http.filter(|it| !http::is_local(*it)).map(|_| Arc::clone(&control.tls));
        let door = http::Door { socket, tls, names: config.public.names.clone() };
        http::start(door, gated, logins, loaded.clock.clone())
    });
    let control = tokio::spawn(listen::control(control, repeats, routes, dropped(control_stop)));
    let text = serde_json::to_vec(&addresses).unwrap_or_default();
    files::replace(&config.addresses, &text, files::PUBLIC)?;
    let running = Running {
        inbox,
        sessions,
        feed,
        driver,
        open,
        listeners: [("agents", agents), ("control", control)],
        serving: vec![stop_agents, stop_control],
        chores: [tokio::spawn(keeping), tokio::spawn(exporting), tokio::spawn(reloading)]
            .into_iter()
            .chain(http)
            .chain(telling)
            .chain(tracing)
            .collect(),
        keeper: loaded.keeper,
    };
    Ok((addresses, running))
}

/// Resolves when the other end is dropped.
async fn dropped(it: oneshot::Receiver<()>) {
    let _ = it.await;
}

impl Running {
    /// Resolves when the loop or a listener ends by itself, which they should not.
    async fn failed(&mut self) -> ServeError {
        let [(first, agents), (second, control)] = &mut self.listeners;
        let listener = |what, ended: Result<Result<(), tonic::transport::Error>, JoinError>| match ended {
            Ok(Err(source)) => ServeError::Serve { what, source },
            Ok(Ok(())) | Err(_) => ServeError::Lost,
        };
        tokio::select! {
            ended = &mut self.driver => match ended {
                Ok(Err(failed)) => ServeError::Commit(failed),
                Ok(Ok(())) | Err(_) => ServeError::Lost,
            },
            ended = agents => listener(first, ended),
            ended = control => listener(second, ended),
        }
    }

    /// Sends agents away, has everything committed that was decided, and ends all tasks within [`STOP_MAX`] each.
    async fn stop(self, driver_lives: bool) -> Result<(), ServeError> {
        self.chores.iter().for_each(JoinHandle::abort);
        self.sessions.close_all(RECONNECT_AFTER, "the server is stopping");
        self.feed.close();
        drop(self.serving);
        if !driver_lives {
            return Ok(());
        }
        let _ = self.inbox.put(Input::Stop).await;
        let committed = tokio::time::timeout(STOP_MAX, self.driver).await;
        let [agents, control] = self.listeners.map(|(_, it)| it);
        let over = async { (agents.await, control.await) };
        tokio::pin!(over);
        if tokio::time::timeout(DRAIN_MAX, &mut over).await.is_err() {
            // An idle client would keep its connection open for ever.
            self.open.kill_all();
            let _ = tokio::time::timeout(STOP_MAX, &mut over).await;
        }
        let (keeper, feed) = (self.keeper, self.feed);
        let put_away = move || {
            keeper.stop();
            feed.end();
        };
        let _ = tokio::time::timeout(STOP_MAX, tokio::task::spawn_blocking(put_away)).await;
        match committed {
            Ok(Ok(result)) => Ok(result?),
            Ok(Err(_)) => Err(ServeError::Lost),
            Err(_) => {
                tracing::warn!(target: "prunella::server", "commits were under way at the deadline; the next start finds what reached the disk");
                Ok(())
            }
        }
    }
}

/// Tells the service manager, where there is one.
fn tell_manager(state: &[sd_notify::NotifyState]) {
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

/// Opens the port for browsers: where nobody chose one, the one of the last time, else the usual one; that it is taken is no
/// reason not to start.
async fn bind_http(wanted: HttpListen, last: Option<SocketAddr>) -> Result<Option<TcpListener>, ServeError> {
    const WHAT: &str = "browsers";
    match wanted {
        HttpListen::Off => Ok(None),
        HttpListen::At(address) => bind(WHAT, address, last).await.map(Some),
        HttpListen::Usual => match TcpListener::bind(last.unwrap_or(HttpListen::USUAL)).await {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => {
                let usual = last.unwrap_or(HttpListen::USUAL);
                tracing::info!(target: "prunella::server", %usual, %error, "the usual port for browsers is taken; taking another");
                bind(WHAT, SocketAddr::new(usual.ip(), 0), last).await.map(Some)
            }
        },
    }
}

/// Where the dashboard's log-in page is, as a browser reaches it; null when there is none.
fn login_page(config: &Config, addresses: &Addresses) -> Option<String> {
    let http = addresses.http?;
    let scheme = if http::is_local(http) { "http" } else { "https" };
    let host = match http.ip() {
        ip if ip.is_unspecified() => {
            let public = config.public.control.as_deref().and_then(|it| it.rsplit_once(':')).map(|(host, _)| host);
            format!("{}:{}", public.unwrap_or("localhost"), http.port())
        }
        _ => http.to_string(),
    };
    Some(format!("{scheme}://{host}/login"))
}

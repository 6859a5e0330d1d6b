//! A service that systemd keeps, over D-Bus: never by the output of a program.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prunella_model::observation::Instance;
use prunella_model::step::Signal;
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt as _;
use zbus::Connection;
use zbus::zvariant::OwnedObjectPath;

use super::command::posix;
use super::{Life, ServiceError};
use crate::board::{Board, Look, Say, Slot};

/// How long systemd may take to do what it was asked.
const JOB_WITHIN: Duration = Duration::from_secs(90);
/// How long to wait before the bus is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1",
    gen_blocking = false
)]
trait Manager {
    fn subscribe(&self) -> zbus::Result<()>;
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn kill_unit(&self, name: &str, whom: &str, signal: i32) -> zbus::Result<()>;

    #[zbus(signal)]
    fn job_removed(&self, id: u32, job: OwnedObjectPath, unit: String, result: String) -> zbus::Result<()>;
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Unit",
    default_service = "org.freedesktop.systemd1",
    gen_blocking = false
)]
trait Unit {
    #[zbus(property)]
    fn active_state(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn load_state(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"), name = "InvocationID")]
    fn invocation_id(&self) -> zbus::Result<Vec<u8>>;
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Service",
    default_service = "org.freedesktop.systemd1",
    gen_blocking = false
)]
trait UnitService {
    #[zbus(property(emits_changed_signal = "false"), name = "MainPID")]
    fn main_pid(&self) -> zbus::Result<u32>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn exec_main_code(&self) -> zbus::Result<i32>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn exec_main_status(&self) -> zbus::Result<i32>;
}

/// See the module.
pub(super) struct SystemdService {
    unit: String,
    board: Arc<Board>,
    slot: Slot,
    /// None until something is known.
    life: Mutex<Option<Life>>,
    bus: tokio::sync::Mutex<Option<Connection>>,
}

/// What a stop or a start asks of systemd.
#[derive(Debug, Clone, Copy)]
enum Verb {
    Start,
    Stop,
    Restart,
}

impl Verb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

impl SystemdService {
    pub(super) fn new(unit: &str, board: Arc<Board>, slot: Slot) -> Arc<Self> {
        let bus = tokio::sync::Mutex::new(None);
        Arc::new(Self { unit: unit.to_owned(), board, slot, life: Mutex::new(None), bus })
    }

    fn latest(&self) -> MutexGuard<'_, Option<Life>> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn life(&self) -> Life {
        self.latest().clone().unwrap_or(Life::NeverSeen)
    }

    pub(super) fn look(&self) -> Option<Look> {
        self.latest().as_ref().map(Life::look)
    }

    fn settle(&self, life: Life) {
        self.board.see(self.slot, life.look(), Say::Changes);
        *self.latest() = Some(life);
    }

    /// Begins to follow the unit's state, and goes on whenever the bus fails.
    pub(super) fn begin(self: &Arc<Self>) {
        let service = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let why = match service.follow().await {
                    Ok(()) => "the system bus closed the connection".to_owned(),
                    Err(error) => error.to_string(),
                };
                service.settle(Life::Unclear { why });
                // A bus that was restarted needs a new connection.
                *service.bus.lock().await = None;
                sleep(TRY_AGAIN).await;
            }
        });
    }

    async fn bus(&self) -> Result<Connection, ServiceError> {
        let mut bus = self.bus.lock().await;
        if let Some(connection) = &*bus {
            return Ok(connection.clone());
        }
        let connection = Connection::system().await.map_err(|error| bus_error(&error))?;
        // Once for each connection: systemd refuses to be asked again.
        let manager = ManagerProxy::new(&connection).await.map_err(|error| bus_error(&error))?;
        manager.subscribe().await.map_err(|error| bus_error(&error))?;
        Ok(bus.insert(connection).clone())
    }

    async fn follow(&self) -> Result<(), ServiceError> {
        let connection = &self.bus().await?;
        let manager = ManagerProxy::new(connection).await.map_err(|error| bus_error(&error))?;
        let path = manager.load_unit(&self.unit).await.map_err(|error| bus_error(&error))?;
        let building = UnitProxy::builder(connection).path(path).map_err(|error| bus_error(&error))?;
        let unit = building.build().await.map_err(|error| bus_error(&error))?;
        let mut changes = unit.receive_active_state_changed().await;
        while changes.next().await.is_some() {
            if let Some(life) = self.read(&unit).await.map_err(|error| bus_error(&error))? {
                self.settle(life);
            }
        }
        Ok(())
    }

    /// What the unit's state means; none while it changes.
    async fn read(&self, unit: &UnitProxy<'_>) -> zbus::Result<Option<Life>> {
        if unit.load_state().await? == "not-found" {
            return Ok(Some(Life::Unclear { why: format!("systemd knows no unit {}", self.unit) }));
        }
        let path = unit.inner().path().to_owned();
        let main = UnitServiceProxy::builder(unit.inner().connection()).path(path)?.build().await?;
        let before = self.life().instance().cloned();
        Ok(match unit.active_state().await?.as_str() {
            "active" | "reloading" => {
                let instance = invocation(&unit.invocation_id().await?);
                Some(Life::Running { instance, pid: main.main_pid().await? })
            }
            "failed" => {
                let status = Some(main.exec_main_status().await?);
                // CLD_EXITED is 1; the others are ends by a signal.
                let exited = main.exec_main_code().await? == 1;
                let instance = before.unwrap_or_else(|| invocation(&[]));
                let (code, signal) = if exited { (status, None) } else { (None, status) };
                Some(Life::Ended { instance, code, signal, ran: None })
            }
            // A clean end and a stop by anybody look the same to systemd; for services both are wanted.
            "inactive" => Some(Life::Stopped { instance: before }),
            _ => None,
        })
    }

    pub(super) async fn start(&self) -> Result<Instance, ServiceError> {
        self.job(Verb::Start).await?;
        self.running(Verb::Start).await
    }

    pub(super) async fn stop(&self) -> Result<(), ServiceError> {
        self.job(Verb::Stop).await
    }

    pub(super) async fn restart(&self) -> Result<Instance, ServiceError> {
        self.job(Verb::Restart).await?;
        self.running(Verb::Restart).await
    }

    pub(super) async fn signal(&self, signal: Signal) -> Result<(), ServiceError> {
        let manager = ManagerProxy::new(&self.bus().await?).await.map_err(|error| bus_error(&error))?;
        let killed = manager.kill_unit(&self.unit, "main", posix(signal).as_raw()).await;
        killed.map_err(|error| self.refused("signal", error.to_string()))
    }

    fn refused(&self, verb: &'static str, why: String) -> ServiceError {
        ServiceError::Unit { verb, unit: self.unit.clone(), why }
    }

    /// Asks for a job and waits until systemd says what became of it.
    async fn job(&self, verb: Verb) -> Result<(), ServiceError> {
        let manager = ManagerProxy::new(&self.bus().await?).await.map_err(|error| bus_error(&error))?;
        // Before asking, so that a quick end is not missed.
        let mut ends = manager.receive_job_removed().await.map_err(|error| bus_error(&error))?;
        let asked = match verb {
            Verb::Start => manager.start_unit(&self.unit, "replace").await,
            Verb::Stop => manager.stop_unit(&self.unit, "replace").await,
            Verb::Restart => manager.restart_unit(&self.unit, "replace").await,
        };
        let job = asked.map_err(|error| self.refused(verb.as_str(), error.to_string()))?;
        let end = async {
            while let Some(end) = ends.next().await {
                if let Ok(end) = end.args()
                    && end.job == job
                {
                    return end.result;
                }
            }
            "the bus closed the connection".to_owned()
        };
        let too_long = |_| self.refused(verb.as_str(), format!("no end within {} s", JOB_WITHIN.as_secs()));
        match timeout(JOB_WITHIN, end).await.map_err(too_long)?.as_str() {
            "done" => Ok(()),
            result => Err(self.refused(verb.as_str(), format!("its job ended as {result:?}"))),
        }
    }

    /// The run that a job has begun.
    async fn running(&self, verb: Verb) -> Result<Instance, ServiceError> {
        let connection = &self.bus().await?;
        let manager = ManagerProxy::new(connection).await.map_err(|error| bus_error(&error))?;
        let path = manager.load_unit(&self.unit).await.map_err(|error| bus_error(&error))?;
        let building = UnitProxy::builder(connection).path(path).map_err(|error| bus_error(&error))?;
        let unit = building.build().await.map_err(|error| bus_error(&error))?;
        match self.read(&unit).await.map_err(|error| bus_error(&error))? {
            Some(life @ Life::Running { .. }) => {
                let instance = life.instance().cloned();
                self.settle(life);
                instance.ok_or_else(|| self.refused(verb.as_str(), "it has no run".to_owned()))
            }
            Some(_) | None => Err(self.refused(verb.as_str(), "it does not run".to_owned())),
        }
    }
}

fn bus_error(error: &zbus::Error) -> ServiceError {
    ServiceError::Bus { why: error.to_string() }
}

fn invocation(id: &[u8]) -> Instance {
    let hex: String = id.iter().map(|it| format!("{it:02x}")).collect();
    Instance(Arc::from(format!("unit:{hex}")))
}

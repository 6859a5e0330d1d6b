//! A service whose process the agent starts itself.
//!
//! It is watched, not kept alive: when it ends, the server decides what happens.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use std::os::unix::process::CommandExt as _;

use prunella_model::TargetName;
use prunella_model::observation::Instance;
use prunella_model::step::Signal;
use rustix::process::Signal as Posix;
use tokio::time::{Instant, sleep};

use super::pid_file::{Named, PidFile};
use super::record::{MARK, Notebook, Record};
use super::run::{Bond, Run};
use super::{Life, ServiceError};
use crate::board::{Board, Look, Say, Slot};
use crate::config::CommandConfig;

/// How long a killed process may take to vanish; longer means that it waits in the kernel.
const KILLED_WITHIN: Duration = Duration::from_secs(5);
/// How long a service that detaches may take to write its process id.
const DETACHED_WITHIN: Duration = Duration::from_secs(10);
/// How often its file is looked at meanwhile.
const DETACHED_EVERY: Duration = Duration::from_millis(10);
/// How long a service may take to end when the agent stops in good order.
const END_GRACE: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct CommandService {
    target: TargetName,
    config: CommandConfig,
    notebook: Notebook,
    board: Arc<Board>,
    slot: Slot,
    state: Mutex<State>,
    /// Held while the service is started or stopped: one at a time.
    turn: tokio::sync::Mutex<()>,
}

struct State {
    life: Life,
    run: Option<Arc<Run>>,
    /// An end that comes now was asked for.
    stopping: bool,
}

impl CommandService {
    pub(super) fn new(
        target: &TargetName,
        config: &CommandConfig,
        state_dir: &Path,
        board: Arc<Board>,
        slot: Slot,
    ) -> Arc<Self> {
        let notebook = Notebook::new(state_dir.join("services").join(format!("{target}.json")));
        let state = Mutex::new(State { life: Life::NeverSeen, run: None, stopping: false });
        let turn = tokio::sync::Mutex::new(());
        Arc::new(Self { target: target.clone(), config: config.clone(), notebook, board, slot, state, turn })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn life(&self) -> Life {
        self.state().life.clone()
    }

    /// What is known now. A service that detaches may have been started by somebody else meanwhile.
    pub(super) fn look(self: &Arc<Self>) -> Look {
        if let Some(path) = &self.config.pid_file
            && let Ok(_turn) = self.turn.try_lock()
            && self.state().run.is_none()
        {
            self.adopt_from(path);
        }
        self.state().life.look()
    }

    fn settle(&self, state: &mut State, life: Life) {
        self.board.see(self.slot, life.look(), Say::Changes);
        state.life = life;
    }

    /// Finds the run that an earlier agent left, or begins the first one of this boot.
    pub(super) async fn begin(self: &Arc<Self>) {
        let known = self.notebook.read();
        let adopted = match &known {
            Some(record) => Run::hold(record.pid, Some(record.ticks), record.bond).ok(),
            None => None,
        };
        if let Some(run) = adopted {
            return self.take_hold(run);
        }
        if let Some(path) = &self.config.pid_file
            && self.adopt_from(path)
        {
            return;
        }
        // Of a run that was noted nothing is left but what it started itself, and that bears its mark too.
        let unnoted = known.is_none() || self.notebook.was_launching();
        let after = known.as_ref().map_or(0, |it| it.ticks);
        let marked = if unnoted { self.notebook.find_marked(after) } else { None };
        if let Some(run) = marked.and_then(|(pid, ticks)| Run::hold(pid, Some(ticks), Bond::Heir).ok()) {
            return self.take_hold(run);
        }
        if matches!(self.life(), Life::Unclear { .. }) {
            return;
        }
        match known {
            Some(record) if record.stopped => {
                self.settle(&mut self.state(), Life::Stopped { instance: Some(record.instance()) });
            }
            Some(record) => {
                let instance = record.instance();
                self.settle(&mut self.state(), Life::Ended { instance, code: None, signal: None, ran: None });
            }
            None if self.config.start_with_agent => {
                if let Err(error) = self.start().await {
                    tracing::error!(target: "prunella::services", target_name = %self.target, %error, "the service cannot be started");
                    self.settle(&mut self.state(), Life::NeverSeen);
                }
            }
            None => self.settle(&mut self.state(), Life::NeverSeen),
        }
    }

    /// Stops the service if it shall stop with the agent.
    pub(super) async fn end(self: &Arc<Self>) {
        if self.config.stop_with_agent
            && let Err(error) = self.stop(END_GRACE).await
        {
            tracing::warn!(target: "prunella::services", target_name = %self.target, %error, "the service did not stop with the agent");
        }
        if self.config.stop_with_agent && self.config.start_with_agent {
            // So that it starts with the next agent as well.
            self.notebook.forget();
        }
    }

    fn pid_file<'a>(&'a self, path: &'a Path, mark: &'a str) -> PidFile<'a> {
        PidFile { path, start: &self.config.start, mark }
    }

    /// Takes hold of the service that somebody else has started; false when there is none.
    fn adopt_from(self: &Arc<Self>, path: &Path) -> bool {
        let named = self.pid_file(path, &self.notebook.mark()).look(None);
        let mut state = self.state();
        let unclear = matches!(state.life, Life::Unclear { .. });
        match named {
            Named::Service(run) => {
                drop(state);
                self.take_hold(run);
                return true;
            }
            Named::Doubtful(why) => self.settle(&mut state, Life::Unclear { why }),
            // What was doubtful has gone, and what there was before it is not known any more.
            Named::Nothing | Named::Another(_) if unclear => self.settle(&mut state, Life::NeverSeen),
            Named::Nothing | Named::Another(_) => {}
        }
        false
    }

    /// Notes a run and begins to watch it.
    fn take_hold(self: &Arc<Self>, run: Run) {
        let run = Arc::new(run);
        {
            let mut state = self.state();
            (state.stopping, state.run) = (false, Some(Arc::clone(&run)));
            self.settle(&mut state, Life::Running { instance: run.instance.clone(), pid: run.id() });
        }
        self.notebook.write(&Record::of(&run, false));
        let service = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = run.wait().await {
                tracing::error!(target: "prunella::services", target_name = %service.target, %error, "a process cannot be watched any more");
            }
            service.ended(&run);
        });
    }

    fn ended(&self, run: &Run) {
        let ending = run.bury();
        let mut state = self.state();
        let instance = run.instance.clone();
        let life = if state.stopping {
            Life::Stopped { instance: Some(instance) }
        } else {
            let ran = run.began.map(|it| it.elapsed());
            Life::Ended { instance, code: ending.code, signal: ending.signal, ran }
        };
        let stopped = std::mem::take(&mut state.stopping);
        state.run = None;
        self.settle(&mut state, life);
        drop(state);
        if stopped {
            self.notebook.write(&Record::of(run, true));
        }
        run.tell_ended();
    }

    pub(super) async fn start(self: &Arc<Self>) -> Result<Instance, ServiceError> {
        let _turn = self.turn.lock().await;
        if let Some(run) = &self.state().run {
            return Ok(run.instance.clone());
        }
        self.launch().await
    }

    pub(super) async fn stop(self: &Arc<Self>, grace: Duration) -> Result<(), ServiceError> {
        let _turn = self.turn.lock().await;
        self.halt(grace).await?;
        let mut state = self.state();
        // It may have ended by itself before: from now on nobody wants it to run.
        let instance = state.life.instance().cloned();
        if let Some(record) = self.notebook.read().filter(|it| !it.stopped) {
            self.notebook.write(&record.stopped());
        }
        self.settle(&mut state, Life::Stopped { instance });
        Ok(())
    }

    pub(super) async fn restart(self: &Arc<Self>, grace: Duration) -> Result<Instance, ServiceError> {
        let _turn = self.turn.lock().await;
        self.halt(grace).await?;
        let launched = self.launch().await;
        if launched.is_err() {
            // It was ended on purpose, but that it stays down is not: this must not look intended.
            self.settle(&mut self.state(), Life::NeverSeen);
        }
        launched
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<(), ServiceError> {
        let run = self.state().run.clone();
        let run = run.ok_or_else(|| ServiceError::NotRunning { target: self.target.clone() })?;
        run.signal(posix(signal)).map_err(|source| ServiceError::Signal { pid: run.id(), source })
    }

    /// Ends the run that lives now, if any.
    async fn halt(&self, grace: Duration) -> Result<(), ServiceError> {
        let Some(run) = ({
            let mut state = self.state();
            state.stopping = state.run.is_some();
            state.run.clone()
        }) else {
            return Ok(());
        };
        let fail = |source| ServiceError::Signal { pid: run.id(), source };
        if !grace.is_zero() {
            match &self.config.stop {
                Some(stop) => self.ask_to_stop(stop),
                None => run.signal_all(Posix::TERM).map_err(fail)?,
            }
            // A stopped process takes no other signal before it goes on.
            run.signal_all(Posix::CONT).map_err(fail)?;
            if run.ends_within(grace).await {
                return Ok(());
            }
        }
        run.signal_all(Posix::KILL).map_err(fail)?;
        if run.ends_within(KILLED_WITHIN).await {
            return Ok(());
        }
        self.state().stopping = false;
        Err(ServiceError::Unkillable { pid: run.id(), within: KILLED_WITHIN })
    }

    fn ask_to_stop(&self, stop: &[String]) {
        // It need not end before the service does, and if it fails the service is killed.
        match self.command(stop).and_then(|mut it| it.spawn()) {
            Ok(child) => {
                if let Ok(run) = Run::hold(child.id(), None, Bond::Child) {
                    tokio::spawn(async move { run.wait().await.map(|()| run.bury()) });
                }
            }
            Err(error) => {
                tracing::warn!(target: "prunella::services", target_name = %self.target, %error, "the stop program cannot be run");
            }
        }
    }

    /// The program with its surroundings: no shell, its own process group, no input.
    fn command(&self, argv: &[String]) -> std::io::Result<Command> {
        let (program, arguments) = argv.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
        let output = |path: &Path| OpenOptions::new().append(true).create(true).open(path);
        let out: Option<File> = self.config.output.as_deref().map(output).transpose()?;
        let errors = out.as_ref().map(File::try_clone).transpose()?;
        let mut command = Command::new(program);
        // What the agent's own service manager gave the agent: a service must not say that the agent is well.
        for name in ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"] {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .current_dir(&self.config.working_dir)
            .envs(&self.config.env)
            .env(MARK, self.notebook.mark())
            .stdin(Stdio::null())
            .stdout(out.map_or_else(Stdio::null, Stdio::from))
            .stderr(errors.map_or_else(Stdio::null, Stdio::from))
            .process_group(0);
        Ok(command)
    }

    async fn launch(self: &Arc<Self>) -> Result<Instance, ServiceError> {
        let program = self.config.start.first().cloned().unwrap_or_default();
        self.notebook.launching();
        let spawned = self.command(&self.config.start).and_then(|mut it| it.spawn());
        let pid = match spawned {
            Ok(child) => child.id(),
            Err(source) => return Err(ServiceError::Spawn { program, source }),
        };
        // Nobody has waited for it yet, so the id cannot have passed to another process.
        let run = Run::hold(pid, None, Bond::Child).map_err(|source| ServiceError::Watch { pid, source })?;
        match &self.config.pid_file {
            None => {
                let instance = run.instance.clone();
                self.take_hold(run);
                Ok(instance)
            }
            Some(pid_file) => self.detached(run, program, pid_file).await,
        }
    }

    /// Waits for a service that detaches: until it has written the id of a living process.
    async fn detached(self: &Arc<Self>, starter: Run, program: String, path: &Path) -> Result<Instance, ServiceError> {
        let starter_id = starter.id();
        tokio::spawn(async move {
            // Only reaped, not buried: the service lives on in its group.
            if starter.wait().await.is_ok() {
                starter.reap();
            }
        });
        let mark = self.notebook.mark();
        let deadline = Instant::now() + DETACHED_WITHIN;
        loop {
            let named = self.pid_file(path, &mark).look(Some(starter_id));
            let over = Instant::now() >= deadline;
            match named {
                Named::Service(run) => {
                    let instance = run.instance.clone();
                    self.take_hold(run);
                    return Ok(instance);
                }
                Named::Another(why) | Named::Doubtful(why) if over => {
                    return Err(ServiceError::ForeignPid { program, why });
                }
                Named::Nothing if over => {
                    let pid_file = path.display().to_string();
                    return Err(ServiceError::NoPidFile { program, pid_file, within: DETACHED_WITHIN });
                }
                // The file may still be the one of the run before.
                Named::Nothing | Named::Another(_) | Named::Doubtful(_) => sleep(DETACHED_EVERY).await,
            }
        }
    }
}

/// The signal's number, as the kernel knows it.
pub(super) const fn posix(signal: Signal) -> Posix {
    match signal {
        Signal::Hangup => Posix::HUP,
        Signal::Terminate => Posix::TERM,
        Signal::Kill => Posix::KILL,
        Signal::Continue => Posix::CONT,
        Signal::User1 => Posix::USR1,
        Signal::User2 => Posix::USR2,
    }
}

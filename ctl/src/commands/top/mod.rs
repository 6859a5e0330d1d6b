//! `prunella top`: the fleet on one screen, as it changes.

mod draw;
mod feed;
mod state;

#[cfg(test)]
mod tests;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use prunella_proto::control::v1 as pb;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

use self::feed::News;
use self::state::{Mode, State, Wish};
use super::incident_view::IncidentView;
use super::note::note;
use super::{now, time_after};
use crate::Common;
use crate::client::{Client, Connection, Failure, run};
use crate::names;
use crate::output::{self, Paint};

/// How long a pause from here lasts.
const PAUSE: Duration = Duration::from_secs(3600);

/// How long the keyboard is waited for before it is seen whether anybody still listens.
const KEY_WAIT: Duration = Duration::from_millis(100);

/// News and keys that wait to be shown; more of them wait at their sources.
const WAITING: usize = 256;

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet top
  prunella --context prod top
  prunella --dir ./fleet top -o json      once, for programs

Keys: q quit, j and k move, Enter explains, p pauses the target for an hour (it asks first), / filters by id, target, fault, state or
cause, Esc shows everything. A server that is gone is tried again; the screen says that it is not live.
JSON: {fleet, time, mode, hosts: {online, silent, left}, absent, targets, open, held, needs_human, restraints, incidents: [as
  `prunella explain -o json` says each]}."
);

/// Arguments of `prunella top`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct TopArgs {
    #[command(flatten)]
    connection: Connection,
}

impl TopArgs {
    /// Shows the fleet until somebody has seen enough.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            if let Some(format) = common.format(false) {
                let client = Client::connect(common, &self.connection).await?;
                output::print(&format.document(&feed::snapshot(&client).await?)?)?;
                return Ok(ExitCode::SUCCESS);
            }
            if !std::io::stdout().is_terminal() {
                let why = "top needs a terminal; `prunella status` prints once, `prunella top -o json` for programs";
                return Err(Failure::Usage(why.to_owned()));
            }
            // What waiting does not mend is said before the screen is taken.
            drop(Client::connect(common, &self.connection).await?);
            let mut terminal = ratatui::try_init().map_err(Failure::from)?;
            let ended = self.show(common, &mut terminal).await;
            ratatui::restore();
            ended.map(|()| ExitCode::SUCCESS)
        })
    }

    async fn show(&self, common: &Common, terminal: &mut DefaultTerminal) -> Result<(), Failure> {
        let (news, mut arriving) = mpsc::channel(WAITING);
        let (keys, mut pressed) = mpsc::channel(WAITING);
        let over = Arc::new(AtomicBool::new(false));
        let listening = Arc::clone(&over);
        // The keyboard has no async reader without another dependency; a thread waits for it.
        let keyboard = std::thread::spawn(move || read_keys(&keys, &listening));
        let feed = feed::follow(common, &self.connection, news);
        let screen = async {
            let mut state = State::new();
            loop {
                terminal.draw(|frame| draw::draw(frame, &state))?;
                tokio::select! {
                    Some(it) = arriving.recv() => take(&mut state, it),
                    key = pressed.recv() => match key {
                        None => return Ok(()),
                        Some(None) => {}
                        Some(Some(key)) => match state.key(key) {
                            Wish::Nothing => {}
                            Wish::Quit => return Ok(()),
                            wish => self.grant(common, &mut state, wish).await,
                        },
                    },
                }
            }
        };
        let ended = tokio::select! {
            ended = screen => ended,
            failure = feed => Err(failure),
        };
        over.store(true, Ordering::Relaxed);
        // It looks up at least every KEY_WAIT.
        drop(keyboard.join());
        ended
    }

    /// Asks the server for what a key wants; what goes wrong is said on the screen.
    async fn grant(&self, common: &Common, state: &mut State, wish: Wish) {
        let done = match wish {
            Wish::Explain(id) => {
                self.explain(common, id).await.map(|lines| state.mode = Mode::Story { lines, from: 0 })
            }
            Wish::Pause(target) => self.pause(common, &target).await.map(|message| state.message = Some(message)),
            Wish::Nothing | Wish::Quit => Ok(()),
        };
        if let Err(failure) = done {
            state.message = Some(failure.to_string());
        }
    }

    async fn explain(&self, common: &Common, id: String) -> Result<Vec<String>, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let request = pb::GetIncidentRequest { name: format!("incidents/{id}") };
        let view = IncidentView::of(client.incidents().get_incident(request).await?.into_inner());
        Ok(note(&view, now(), Paint(false)).lines().map(str::to_owned).collect())
    }

    async fn pause(&self, common: &Common, target: &str) -> Result<String, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let request = pb::PauseRequest {
            name: names::host_or_target(target)?,
            why: "paused from prunella top".to_owned(),
            expire_time: Some(time_after(jiff::Timestamp::now(), PAUSE)?),
        };
        Ok(client.fleet().pause(request).await?.into_inner().message)
    }
}

/// Takes news over.
fn take(state: &mut State, news: News) {
    match news {
        News::Snapshot(snapshot) => state.update(*snapshot),
        News::Event(event) => state.happened(*event),
        News::Lost(why) => state.link = state::Link::Lost(why),
    }
}

/// Hands keys on until it is over; none stands for anything else after which the screen is drawn anew, such as a resize.
fn read_keys(keys: &mpsc::Sender<Option<KeyCode>>, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let Ok(ready) = event::poll(KEY_WAIT) else { return };
        if !ready {
            continue;
        }
        let key = match event::read() {
            Ok(Event::Key(key)) if key.kind == KeyEventKind::Press => {
                // In raw mode Ctrl-C is a key like any other.
                let ended = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
                if ended {
                    return;
                }
                Some(key.code)
            }
            Ok(_) => None,
            Err(_) => return,
        };
        if keys.blocking_send(key).is_err() {
            return;
        }
    }
}

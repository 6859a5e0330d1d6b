//! The network half's view of its helper: what it last said, and a way to ask it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prunella_model::command::SignedCommand;
use prunella_model::observation::{Finding, Observation, Sample, SeriesName, Status};
use prunella_model::{ProbeName, TargetName};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Duration, Instant, sleep};

use super::protocol::{Ask, Everything, FrameError, PROTOCOL, TELL_MAX, Tell, read, write};
use crate::clock;
use crate::driver::causes;
use crate::execute::{Receipt, refused_outright};
use crate::keep::KeepNews;
use crate::keeper::Standing;
use crate::senses::{Full, Sensed};
use crate::uplink::{Fresh, LinkError};

/// How long between two attempts to reach the helper.
const RETRY: Duration = Duration::from_millis(200);

/// How long the first stream waits for the helper, so that it need not be replaced at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// How soon a helper that can do anything makes a challenge.
const CHALLENGE_WITHIN: Duration = Duration::from_secs(1);

/// Messages that may wait for the helper. One that is so far behind is stuck.
const ASKS: usize = 256;

/// Messages of the helper that may wait for the loop.
const TELLS: usize = 256;

enum Heard {
    Down(String),
    Told(Box<Tell>),
}

/// See the module.
pub(crate) struct HelperLink {
    asks: mpsc::Sender<Ask>,
    heard: mpsc::Receiver<Heard>,
    task: AbortHandle,
    begun: Instant,
    /// Why it cannot be reached; none while it can.
    away: Option<String>,
    standing: Standing,
    said: Everything,
    latest: BTreeMap<(TargetName, ProbeName), Observation>,
    challenge: Option<Fresh>,
    /// Since when the next one is asked for.
    asked: Option<Instant>,
    /// How many series the network's half has: the helper's are numbered after them.
    own_series: u32,
}

impl HelperLink {
    /// Begins to look for the helper at `path`. Must be called in a `LocalSet`.
    pub(crate) fn new(path: &Path, enrolment: u64, own_series: usize) -> Self {
        let (asks, asked) = mpsc::channel(ASKS);
        let (hear, heard) = mpsc::channel(TELLS);
        let task = tokio::task::spawn_local(keep_connected(path.to_owned(), enrolment, asked, hear)).abort_handle();
        Self {
            asks,
            heard,
            task,
            begun: Instant::now(),
            away: Some("its helper has not been reached yet".to_owned()),
            standing: Standing::default(),
            said: Everything::default(),
            latest: BTreeMap::new(),
            challenge: None,
            asked: None,
            own_series: u32::try_from(own_series).unwrap_or(u32::MAX),
        }
    }

    /// The challenge for the next stream; none when it is worth while to wait for one.
    ///
    /// # Errors
    /// [`LinkError::NoRandom`].
    pub(crate) fn fresh(&mut self) -> Result<Option<Fresh>, LinkError> {
        if self.away.is_some() {
            // A stream without a helper can carry no command, but what is seen.
            return if self.begun.elapsed() < PATIENCE { Ok(None) } else { Fresh::make().map(Some) };
        }
        if let Some(fresh) = self.challenge.take() {
            return Ok(Some(fresh));
        }
        match self.asked {
            // Asked for only when it is needed: the helper goes by the latest that it made.
            None => {
                self.asked = Some(Instant::now());
                self.ask(Ask::Challenge);
                Ok(None)
            }
            Some(at) if at.elapsed() < CHALLENGE_WITHIN => Ok(None),
            // It obeys nobody yet.
            Some(_) => Fresh::make().map(Some),
        }
    }

    /// Hands a command on; its receipt comes later. Without a helper it is refused here.
    pub(crate) fn receive(&mut self, command: &SignedCommand) -> Option<Receipt> {
        if let Some(why) = self.away.clone() {
            return Some(refused_outright(command, &why));
        }
        self.ask(Ask::Command(Box::new(command.clone())));
        None
    }

    /// Says something to the helper, if it is there.
    pub(crate) fn ask(&mut self, ask: Ask) {
        if self.away.is_none() && self.asks.try_send(ask).is_err() {
            tracing::error!(target: "prunella::helper", "the helper is stuck: something it should hear is lost");
        }
    }

    /// How it stands.
    pub(crate) fn standing(&self) -> Standing {
        let mut standing = self.standing.clone();
        if let Some(why) = &self.away {
            standing.observe_only = Some(why.clone());
        }
        standing
    }

    /// Why the host is paused and why it only observes.
    pub(crate) fn brakes(&self) -> (Option<String>, Option<String>) {
        (self.standing.paused.clone(), self.away.clone().or_else(|| self.standing.observe_only.clone()))
    }

    /// Takes note that the server has these outcomes: until the helper says so itself, they are not said again.
    pub(crate) fn acknowledged(&mut self, outcomes: &[prunella_model::CommandId]) {
        self.standing.outcomes.retain(|it| !outcomes.contains(&it.command));
        self.ask(Ask::Acknowledged(outcomes.to_vec()));
    }

    /// Adds what the helper knows to what this half knows.
    pub(crate) fn complete(&self, mut full: Full) -> Full {
        full.series.extend(self.said.series.iter().cloned().map(|it| self.numbered(it)));
        full.observations.extend(self.latest.values().cloned());
        if self.away.is_none() && !self.said.targets.is_empty() {
            full.targets.clone_from(&self.said.targets);
        }
        full
    }

    fn numbered(&self, it: SeriesName) -> SeriesName {
        SeriesName { number: it.number.saturating_add(self.own_series), ..it }
    }

    /// What happens next. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> KeepNews {
        match self.heard.recv().await {
            Some(Heard::Down(why)) => self.down(&why),
            Some(Heard::Told(tell)) => self.told(*tell),
            // The task lives as long as this does.
            None => std::future::pending().await,
        }
    }

    /// A probe that cannot look says so: what the helper saw last proves nothing from here on.
    fn down(&mut self, why: &str) -> KeepNews {
        if self.away.is_none() {
            tracing::error!(target: "prunella::helper", %why, "the helper is gone: only observing");
        }
        self.away = Some(format!("its helper cannot be reached: {why}"));
        (self.challenge, self.asked) = (None, None);
        for seen in self.latest.values_mut() {
            seen.at = clock::wall_now();
            seen.status = Status::Unknown;
            seen.finding = Finding::ProbeBroken { why: "the agent's helper cannot be reached".to_owned() };
        }
        KeepNews::Changed
    }

    fn told(&mut self, tell: Tell) -> KeepNews {
        match tell {
            Tell::Hello { protocol } if protocol != PROTOCOL => {
                tracing::error!(target: "prunella::helper", "the helper has another version: restart both halves");
                KeepNews::Nothing
            }
            Tell::Hello { .. } => {
                let returned = self.away.take().is_some();
                tracing::info!(target: "prunella::helper", "the helper is there");
                // Commands can only come by a stream whose challenge the helper has made.
                if returned { KeepNews::Returned } else { KeepNews::Nothing }
            }
            Tell::Everything(it) => {
                self.latest = it.observations.iter().map(|it| (key(it), it.clone())).collect();
                self.standing = it.standing.clone();
                self.said = *it;
                KeepNews::Changed
            }
            Tell::Standing(it) => {
                self.standing = *it;
                KeepNews::Nothing
            }
            Tell::Sensed(Sensed::Seen(seen)) => {
                self.latest.insert(key(&seen), seen.clone());
                KeepNews::Sensed(Sensed::Seen(seen))
            }
            Tell::Sensed(Sensed::Waits(waits)) => KeepNews::Sensed(Sensed::Waits(waits)),
            Tell::Sensed(Sensed::Measured { at, series, samples }) => {
                self.said.series.extend(series.iter().cloned());
                let series = series.into_iter().map(|it| self.numbered(it)).collect();
                let own = self.own_series;
                let shifted = samples.into_iter().map(|it| Sample { series: it.series.saturating_add(own), ..it });
                KeepNews::Sensed(Sensed::Measured { at, series, samples: shifted.collect() })
            }
            Tell::Challenge(challenge) => {
                // Lives are measured by the helper; this half's own clock only fills the field.
                self.asked = None;
                self.challenge = Some(Fresh { challenge, made_at: clock::boot_now() });
                KeepNews::Nothing
            }
            Tell::Receipt(receipt) => KeepNews::Receipt(*receipt),
            Tell::Answer { number, answer } => KeepNews::Answer { number, answer },
            Tell::Ended(report) => KeepNews::Ended(*report),
            Tell::Burst { named, lasting } => KeepNews::Burst { named, lasting },
        }
    }
}

impl Drop for HelperLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn key(it: &Observation) -> (TargetName, ProbeName) {
    (it.target.clone(), it.probe.clone())
}

/// Connects again and again, for as long as somebody listens.
async fn keep_connected(path: PathBuf, enrolment: u64, mut asks: mpsc::Receiver<Ask>, hear: mpsc::Sender<Heard>) {
    loop {
        let why = match UnixStream::connect(&path).await {
            Ok(stream) => {
                // What was meant for an earlier helper is void.
                while asks.try_recv().is_ok() {}
                match talk(stream, enrolment, &mut asks, &hear).await {
                    Ok(()) => "it ended the connection".to_owned(),
                    Err(error) => causes(&error),
                }
            }
            Err(error) => format!("{}: {error}", path.display()),
        };
        if hear.send(Heard::Down(why)).await.is_err() {
            return;
        }
        sleep(RETRY).await;
    }
}

async fn talk(
    stream: UnixStream,
    enrolment: u64,
    asks: &mut mpsc::Receiver<Ask>,
    hear: &mpsc::Sender<Heard>,
) -> Result<(), FrameError> {
    let (mut from, mut to) = stream.into_split();
    write(&mut to, &Ask::Hello { protocol: PROTOCOL, enrolment }).await?;
    let reading = async {
        while let Some(tell) = read::<Tell>(&mut from, TELL_MAX).await? {
            if hear.send(Heard::Told(Box::new(tell))).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    let writing = async {
        while let Some(ask) = asks.recv().await {
            write(&mut to, &ask).await?;
        }
        Ok(())
    };
    // Neither is taken up again after the other has ended.
    tokio::select! {
        done = reading => done,
        done = writing => done,
    }
}

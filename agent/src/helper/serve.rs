//! The helper's only loop.

use std::sync::Arc;

use prunella_model::command::BootId;
use prunella_model::observation::ProbeKind;
use prunella_model::outcome::OutcomeReport;
use prunella_model::question::{Answer, Question, Rehearsal};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::door::Door;
use super::oath::HelperOath;
use super::protocol::{ASK_MAX, Ask, Everything, PROTOCOL, Tell, read, write};
use crate::config::AgentConfig;
use crate::driver::{TICK, WIND_DOWN, causes};
use crate::execute::refused_outright;
use crate::keeper::{Keeper, KeeperParts, Standing};
use crate::senses::{BurstWanted, Sensed, Senses};
use crate::state_dir::StateDir;
use crate::stop::Stop;

/// Messages that may wait to be read by the other half. One that does not read is given up; the next hears everything.
const TELLS: usize = 1024;

/// Messages that may wait for the loop; beyond it the other half waits.
const ASKS: usize = 64;

/// The other half, as long as it is connected.
struct Client {
    asks: mpsc::Receiver<Ask>,
    tells: mpsc::Sender<Tell>,
    greeted: bool,
    tasks: [AbortHandle; 2],
}

impl Client {
    fn new(stream: UnixStream) -> Self {
        let (mut from, mut to) = stream.into_split();
        let (asked, asks) = mpsc::channel(ASKS);
        let (tells, mut told) = mpsc::channel::<Tell>(TELLS);
        let reader = tokio::task::spawn_local(async move {
            loop {
                match read::<Ask>(&mut from, ASK_MAX).await {
                    Ok(Some(ask)) => {
                        if asked.send(ask).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => return,
                    Err(error) => {
                        tracing::warn!(target: "prunella::helper", error = %causes(&error), "the other half is not understood");
                        return;
                    }
                }
            }
        });
        let writer = tokio::task::spawn_local(async move {
            while let Some(tell) = told.recv().await {
                if write(&mut to, &tell).await.is_err() {
                    return;
                }
            }
        });
        Self { asks, tells, greeted: false, tasks: [reader.abort_handle(), writer.abort_handle()] }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// What a [`Helper`] is made of.
pub(super) struct HelperParts {
    pub(super) config: Arc<AgentConfig>,
    pub(super) state: StateDir,
    pub(super) boot: BootId,
    pub(super) senses: Senses,
    pub(super) oath: HelperOath,
}

/// Everything that the helper's loop turns.
pub(super) struct Helper {
    parts: HelperParts,
    /// None as long as it obeys nobody.
    keeper: Option<Keeper>,
    /// Why it does nothing for this client.
    objection: Option<String>,
    client: Option<Client>,
    /// What the client was last told of pauses and of observing only.
    told: (Option<String>, Option<String>),
    /// What was known of declared parts when it was last told.
    told_parts: u64,
    /// Answers to questions, and what gives them.
    answers: mpsc::Receiver<(u64, Answer)>,
    answer: mpsc::Sender<(u64, Answer)>,
    next_tick: Instant,
}

impl Helper {
    pub(super) fn new(parts: HelperParts) -> Self {
        let (answer, answers) = mpsc::channel(crate::snapshot::ANSWERS_MAX);
        let mut helper = Self {
            parts,
            keeper: None,
            objection: None,
            client: None,
            told: (None, None),
            told_parts: 0,
            answers,
            answer,
            next_tick: Instant::now() + TICK,
        };
        // What was interrupted is taken up at once, whether the other half comes or not.
        helper.open_keeper();
        helper
    }

    fn open_keeper(&mut self) {
        // The old ledger is let go before the new one is taken hold of.
        self.keeper = None;
        let it = &mut self.parts;
        if let Some((oath, anchor)) = it.oath.sworn() {
            self.keeper = Some(Keeper::open(KeeperParts {
                config: Arc::clone(&it.config),
                state: it.state.clone(),
                boot: it.boot.clone(),
                oath,
                anchor,
                senses: it.senses.clone(),
            }));
        }
    }

    /// Turns until there is a reason to stop, then winds down.
    pub(super) async fn run(
        mut self,
        mut stop: Stop,
        mut door: Door,
        mut seen: mpsc::Receiver<Sensed>,
        mut bursts: mpsc::Receiver<BurstWanted>,
    ) {
        let why = loop {
            tokio::select! {
                biased;
                why = stop.asked() => break why,
                // A newer connection is of an agent that was restarted; the older one is of its predecessor.
                stream = door.next() => self.client = Some(Client::new(stream)),
                ask = next_ask(&mut self.client) => self.asked(ask),
                report = next_end(&mut self.keeper) => self.ended(report),
                Some((number, answer)) = self.answers.recv() => self.tell(Tell::Answer { number, answer }),
                Some(it) = seen.recv() => self.sensed(it),
                Some(BurstWanted { named, lasting }) = bursts.recv() => self.tell(Tell::Burst { named, lasting }),
                () = sleep_until(self.next_tick) => self.tick(),
            }
        };
        tracing::info!(target: "prunella::helper", why, "stopping");
        let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Stopping]);
        self.wind_down().await;
        self.parts.senses.close().await;
    }

    /// Ends commands between two steps.
    async fn wind_down(&mut self) {
        let Some(keeper) = &mut self.keeper else { return };
        keeper.cancel_all();
        let patience = Instant::now() + WIND_DOWN;
        while keeper.is_busy() && timeout_at(patience, keeper.next_end()).await.is_ok() {}
    }

    fn tick(&mut self) {
        self.next_tick = Instant::now() + TICK;
        // Only this loop feeds the watchdog: when it stalls, the service manager starts the helper again.
        let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Watchdog]);
        if let Some(keeper) = &mut self.keeper {
            keeper.act_alone();
        }
        if self.parts.senses.parts_version() != self.told_parts {
            self.tell_everything();
        }
        let standing = self.standing();
        if (standing.paused.clone(), standing.observe_only.clone()) != self.told {
            self.tell_standing();
        }
    }

    fn standing(&self) -> Standing {
        let mut standing = self.keeper.as_ref().map(Keeper::standing).unwrap_or_default();
        if let Some(why) = &self.objection {
            standing.observe_only = Some(why.clone());
        }
        standing
    }

    fn tell_standing(&mut self) {
        let standing = self.standing();
        self.told = (standing.paused.clone(), standing.observe_only.clone());
        self.tell(Tell::Standing(Box::new(standing)));
    }

    fn tell_everything(&mut self) {
        let (standing, full) = (self.standing(), self.parts.senses.full());
        self.told_parts = self.parts.senses.parts_version();
        self.told = (standing.paused.clone(), standing.observe_only.clone());
        self.tell(Tell::Everything(Box::new(Everything {
            standing,
            targets: full.targets,
            series: full.series,
            observations: full.observations,
        })));
    }

    /// Says something to a client that has said hello; one that does not read is given up.
    fn tell(&mut self, tell: Tell) {
        let Some(client) = self.client.as_ref().filter(|it| it.greeted) else { return };
        if client.tells.try_send(tell).is_err() {
            tracing::warn!(target: "prunella::helper", "the other half does not read, and is given up");
            self.gone();
        }
    }

    /// The other half is gone, and its stream with it as far as the helper is concerned.
    fn gone(&mut self) {
        self.client = None;
        if let Some(keeper) = &mut self.keeper {
            keeper.stream_ended();
        }
    }

    fn sensed(&mut self, it: Sensed) {
        let file = matches!(&it, Sensed::Seen(seen) if seen.kind == ProbeKind::File);
        self.tell(Tell::Sensed(it));
        if file {
            // The digest that is known to be good may have changed with it.
            self.tell_everything();
        }
    }

    fn ended(&mut self, report: OutcomeReport) {
        self.tell(Tell::Ended(Box::new(report)));
        self.tell_standing();
    }

    fn asked(&mut self, ask: Option<Ask>) {
        let Some(ask) = ask else { return self.gone() };
        let greeted = self.client.as_ref().is_some_and(|it| it.greeted);
        match (ask, greeted) {
            (Ask::Hello { protocol, enrolment }, false) => self.hello(protocol, enrolment),
            (_, false) | (Ask::Hello { .. }, true) => {
                tracing::warn!(target: "prunella::helper", "the other half speaks out of turn, and is given up");
                self.gone();
            }
            (Ask::Question { number, question }, true) => self.asked_a_question(number, question),
            (Ask::SayAll, true) => self.tell_everything(),
            (Ask::ProbeNow(target), true) => self.parts.senses.probe_now(target.as_ref()),
            (Ask::Intervals(wanted), true) => {
                if self.parts.senses.set_intervals(&wanted) {
                    self.tell_everything();
                }
            }
            (Ask::Seen(seen), true) => self.parts.senses.see_foreign(seen),
            (Ask::Command(command), true) => {
                let receipt = match (&self.objection, &mut self.keeper) {
                    (None, Some(keeper)) => keeper.receive(&command),
                    (Some(why), _) => refused_outright(&command, why),
                    (None, None) => refused_outright(&command, "its helper obeys nobody yet"),
                };
                self.tell(Tell::Receipt(Box::new(receipt)));
                self.tell_standing();
            }
            (
                ask @ (Ask::Challenge
                | Ask::Welcomed { .. }
                | Ask::Trust(_)
                | Ask::Orders(_)
                | Ask::StreamEnded
                | Ask::Cancel(_)
                | Ask::Acknowledged(_)),
                true,
            ) => self.asked_of_keeper(ask),
        }
    }

    fn asked_a_question(&mut self, number: u64, question: Question) {
        let it = &self.parts;
        let why = match (question, &self.objection, &self.keeper) {
            (Question::Snapshots(ask), ..) => {
                return it.senses.snapshots().answer_soon(&it.config, number, ask, &self.answer);
            }
            (Question::Rehearse(steps), None, Some(keeper)) => return keeper.rehearse(number, steps, &self.answer),
            (Question::Rehearse(_), Some(why), _) => why.clone(),
            (Question::Rehearse(_), None, None) => "its helper obeys nobody yet".to_owned(),
        };
        self.tell(Tell::Answer { number, answer: Answer::Rehearsed(Rehearsal::Refused { why }) });
    }

    fn asked_of_keeper(&mut self, ask: Ask) {
        let Some(keeper) = &mut self.keeper else { return };
        match ask {
            Ask::Challenge => match keeper.fresh() {
                Ok(fresh) => return self.tell(Tell::Challenge(fresh.challenge)),
                Err(error) => tracing::error!(target: "prunella::helper", error = %causes(&error), "no challenge"),
            },
            Ask::Welcomed { at, trust } => keeper.welcomed(at, &trust),
            Ask::Trust(trust) => keeper.take_authority(&trust),
            Ask::Orders(orders) => keeper.take_orders(&orders),
            Ask::StreamEnded => keeper.stream_ended(),
            Ask::Cancel(command) => keeper.cancel(command),
            Ask::Acknowledged(outcomes) => keeper.acknowledged(&outcomes),
            Ask::Hello { .. }
            | Ask::Command(_)
            | Ask::ProbeNow(_)
            | Ask::Intervals(_)
            | Ask::Seen(_)
            | Ask::Question { .. }
            | Ask::SayAll => {}
        }
        self.tell_standing();
    }

    fn hello(&mut self, protocol: u32, enrolment: u64) {
        self.objection = if protocol == PROTOCOL {
            match self.parts.oath.hear(enrolment) {
                Ok(new) => {
                    if new || self.keeper.is_none() {
                        self.open_keeper();
                    }
                    None
                }
                Err(why) => Some(why),
            }
        } else {
            Some("its two halves have different versions: restart both".to_owned())
        };
        if let Some(why) = &self.objection {
            tracing::error!(target: "prunella::helper", %why, "doing nothing for this agent");
        }
        if let Some(client) = &mut self.client {
            client.greeted = true;
        }
        self.tell(Tell::Hello { protocol: PROTOCOL });
        self.tell_everything();
    }
}

/// The next message of the client, none when it is gone; for ever without one.
async fn next_ask(client: &mut Option<Client>) -> Option<Ask> {
    match client {
        Some(client) => client.asks.recv().await,
        None => std::future::pending().await,
    }
}

async fn next_end(keeper: &mut Option<Keeper>) -> OutcomeReport {
    match keeper {
        Some(keeper) => keeper.next_end().await,
        None => std::future::pending().await,
    }
}

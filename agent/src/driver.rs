//! The agent's only loop: what the senses see goes up, what the server orders goes to the executor, outcomes go up.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use prunella_model::Timestamp;
use prunella_model::command::BootId;
use prunella_model::host::HostReport;
use prunella_model::link::{AgentMessage, ServerMessage};
use prunella_model::observation::Frame;
use prunella_model::question::{Answer, Question};
use prunella_proto::agent::v1::RenewResponse;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::clock;
use crate::config::AgentConfig;
use crate::enrol::{EnrolError, Membership};
use crate::execute::Receipt;
use crate::keep::{Keep, KeepNews};
use crate::ledger::State;
use crate::own_files::OwnFiles;
use crate::senses::{Sensed, Senses};
use crate::spool::Spool;
use crate::stop::Stop;
use crate::uplink::{Link, LinkError, News, Uplink, Welcome};

/// How often the pause file is looked at, certificates are thought of, and the service manager is told that all is well.
pub(crate) const TICK: Duration = Duration::from_secs(1);

/// The most that is folded into one frame: what is ready at once goes out at once, but never in a huge message.
const FOLD_MAX: usize = 64;

/// How long commands that are under way may take to end when the agent stops. After it the ledger knows what to ask.
pub(crate) const WIND_DOWN: Duration = Duration::from_secs(5);

/// How soon to look again whether the helper has made a challenge.
const HELPER_LOOK: Duration = Duration::from_millis(20);

/// How long the server may take to notice that the agent says goodbye.
const PARTING: Duration = Duration::from_secs(1);

/// How long to wait between two attempts to renew the certificate; half of its life is left at the first one.
const RENEW_AGAIN: Duration = Duration::from_secs(30);

type Renewing = Pin<Box<dyn Future<Output = Result<RenewResponse, EnrolError>>>>;

/// Everything that the loop turns.
pub(crate) struct Driver {
    config: Arc<AgentConfig>,
    boot: BootId,
    membership: Membership,
    senses: Senses,
    keep: Keep,
    files: Option<OwnFiles>,
    uplink: Uplink,
    spool: Spool,
    /// What the server was last told of pauses and of observing only.
    told: (Option<String>, Option<String>),
    /// What was known of declared parts when it was last told.
    told_parts: u64,
    /// Answers to questions, and what gives them.
    answers: mpsc::Receiver<(u64, Answer)>,
    answer: mpsc::Sender<(u64, Answer)>,
    /// Something was seen that is in no report and no frame of this stream.
    report_due: bool,
    renewing: Option<Renewing>,
    renew_at: Timestamp,
    next_tick: Instant,
}

/// What a [`Driver`] is made of.
pub(crate) struct Parts {
    pub(crate) config: Arc<AgentConfig>,
    pub(crate) boot: BootId,
    pub(crate) membership: Membership,
    pub(crate) senses: Senses,
    pub(crate) keep: Keep,
    pub(crate) files: Option<OwnFiles>,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        let renew_at = parts.membership.renew_at();
        let (answer, answers) = mpsc::channel(crate::snapshot::ANSWERS_MAX);
        Self {
            config: parts.config,
            boot: parts.boot,
            membership: parts.membership,
            senses: parts.senses,
            keep: parts.keep,
            files: parts.files,
            uplink: Uplink::new(),
            spool: Spool::default(),
            told: (None, None),
            told_parts: 0,
            answers,
            answer,
            report_due: false,
            renewing: None,
            renew_at,
            next_tick: Instant::now() + TICK,
        }
    }

    /// Turns until there is a reason to stop, then winds down.
    pub(crate) async fn run(mut self, mut stop: Stop, mut sensed: mpsc::Receiver<Sensed>) {
        let why = loop {
            let wake = self.wake_at();
            tokio::select! {
                biased;
                why = stop.asked() => break why,
                news = self.uplink.next() => self.uplink_news(news),
                news = self.keep.next() => self.keep_news(news),
                Some((number, answer)) = self.answers.recv() => self.say(&AgentMessage::Answer { number, answer }),
                Some(first) = sensed.recv() => self.sensed(first, &mut sensed),
                answer = renewal(&mut self.renewing) => self.renewed(answer),
                () = sleep_until(wake) => self.tick(),
            }
        };
        tracing::info!(target: "prunella::agent", why, "stopping");
        self.wind_down(why).await;
    }

    fn wake_at(&mut self) -> Instant {
        let tick = self.next_tick;
        self.uplink.link().map_or(tick, |link| link.quiet_until().min(tick))
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if self.uplink.link().is_some_and(|link| link.quiet_until() <= now) {
            self.say(&AgentMessage::Heartbeat { at: clock::wall_now() });
        }
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        // Without a service manager that asks for it this does nothing.
        let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Watchdog]);
        self.keep.act_alone();
        if let Some(files) = &mut self.files {
            self.report_due |= files.look();
        }
        let standing = self.keep.brakes();
        if self.report_due || standing != self.told || self.senses.parts_version() != self.told_parts {
            self.report();
        }
        if self.renewing.is_none() && clock::wall_now() >= self.renew_at {
            self.renew();
        }
    }

    fn full_report(&mut self) -> HostReport {
        let (full, standing) = self.keep.complete(self.senses.full());
        self.told = (standing.paused, standing.observe_only);
        self.told_parts = self.senses.parts_version();
        self.report_due = false;
        HostReport {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            boot: self.boot.clone(),
            labels: self.config.labels.clone(),
            targets: full.targets,
            series: full.series,
            observations: full.observations,
            mark: standing.mark,
            outcomes: standing.outcomes,
            paused: self.told.0.clone(),
            observe_only: self.told.1.clone(),
            config: self.files.as_ref().and_then(OwnFiles::config),
            program: self.files.as_ref().and_then(OwnFiles::program),
            drift: self.files.as_ref().and_then(OwnFiles::drift),
            intervals: self.config.limits.intervals,
        }
    }

    fn report(&mut self) {
        if self.uplink.link().is_some() {
            let report = self.full_report();
            self.say(&AgentMessage::Report(Box::new(report)));
        }
    }

    /// Says something if there is a stream. A stream that does not take it is given up.
    fn say(&mut self, message: &AgentMessage) {
        let Some(link) = self.uplink.link() else { return };
        if let Err(error) = link.say(message) {
            self.lost(&error);
            self.uplink.give_up();
        }
    }

    fn lost(&mut self, error: &LinkError) {
        self.keep.stream_ended();
        tracing::warn!(target: "prunella::uplink", error = %causes(error), "no stream to the server");
    }

    fn sensed(&mut self, first: Sensed, more: &mut mpsc::Receiver<Sensed>) {
        let mut all = vec![first];
        while all.len() < FOLD_MAX
            && let Ok(next) = more.try_recv()
        {
            all.push(next);
        }
        for it in &all {
            match it {
                Sensed::Seen(seen) => self.keep.saw(seen),
                Sensed::Measured { .. } | Sensed::Waits(_) => {}
            }
        }
        self.tell(all);
    }

    /// Sends what was seen, or keeps what of it is worth keeping.
    fn tell(&mut self, all: Vec<Sensed>) {
        let mut frame = Frame { at: clock::wall_now(), ..Frame::default() };
        for it in all {
            match it {
                Sensed::Seen(seen) => frame.observations.push(seen),
                Sensed::Waits(waits) => frame.waits = Some(waits),
                Sensed::Measured { series, samples, .. } => {
                    frame.series.extend(series);
                    frame.samples.extend(samples);
                }
            }
        }
        if self.uplink.link().is_some() {
            self.say(&AgentMessage::Frame(frame));
        } else {
            // While a stream is being opened its report is on the way already, and this is not in it.
            self.report_due |= self.uplink.is_opening();
            frame.observations.into_iter().for_each(|seen| self.spool.keep(seen));
        }
    }

    fn keep_news(&mut self, news: KeepNews) {
        match news {
            KeepNews::Answer { number, answer } => self.say(&AgentMessage::Answer { number, answer }),
            KeepNews::Ended(report) => self.say(&AgentMessage::Outcome(report)),
            KeepNews::Receipt(receipt) => self.received(receipt),
            KeepNews::Sensed(it) => self.tell(vec![it]),
            KeepNews::Changed => {
                // Without a stream it goes with the next one.
                self.report_due = true;
                self.report();
            }
            KeepNews::Returned => {
                self.senses.full().observations.iter().for_each(|seen| self.keep.saw(seen));
                self.uplink.begin_anew();
            }
            KeepNews::Burst { named, lasting } => drop(self.senses.burst(&named, lasting)),
            KeepNews::Nothing => {}
        }
    }

    fn uplink_news(&mut self, news: News) {
        match news {
            News::Due => self.open(),
            News::Opened(welcome) => self.welcomed(&welcome),
            News::Heard(message) => self.heard(message),
            News::Down(error) => self.lost(&error),
        }
    }

    fn open(&mut self) {
        let own = &self.config.agents;
        let addresses = if own.is_empty() { self.membership.enrolment().agents.clone() } else { own.clone() };
        let fresh = match self.keep.fresh() {
            Ok(Some(fresh)) => fresh,
            Ok(None) => return self.uplink.postpone(HELPER_LOOK),
            Err(error) => return self.cannot_open(&error),
        };
        match self.membership.tls() {
            Ok(tls) => {
                let report = self.full_report();
                self.uplink.open(Link::connect(addresses, tls, report, fresh));
            }
            Err(error) => self.cannot_open(&error),
        }
    }

    fn cannot_open(&mut self, error: &dyn std::error::Error) {
        tracing::error!(target: "prunella::uplink", error = %causes(error), "no connection can be made");
        self.uplink.give_up();
    }

    fn welcomed(&mut self, welcome: &Welcome) {
        tracing::info!(target: "prunella::uplink", "the server welcomes this host");
        self.keep.welcomed(welcome.at, &welcome.trust);
        if self.report_due || self.keep.brakes() != self.told {
            self.report();
        }
        let dropped = self.spool.take_dropped();
        if dropped > 0 {
            tracing::warn!(target: "prunella::spool", dropped, "verdicts from before the reconnection were dropped");
        }
        while let Some(frame) = self.spool.next_frame() {
            self.say(&AgentMessage::Frame(frame));
        }
    }

    fn heard(&mut self, message: ServerMessage) {
        match message {
            ServerMessage::Command(command) => {
                if let Some(receipt) = self.keep.receive(&command) {
                    self.received(receipt);
                }
            }
            ServerMessage::Cancel { command } => self.keep.cancel(command),
            ServerMessage::Acknowledge { sequence: _, outcomes } => self.keep.acknowledged(&outcomes),
            ServerMessage::Trust(bundle) => self.keep.take_authority(&bundle),
            ServerMessage::Standing(orders) => self.keep.take_orders(&orders),
            ServerMessage::ReportFully => self.report(),
            ServerMessage::Ask { number, question } => self.asked(number, question),
            ServerMessage::ProbeNow { target } => {
                self.keep.probe_now(target.as_ref());
                self.senses.probe_now(target.as_ref());
            }
            ServerMessage::Intervals(wanted) => {
                self.keep.intervals(&wanted);
                if self.senses.set_intervals(&wanted) {
                    self.report();
                }
            }
            ServerMessage::Reconnect { after, reason } => {
                tracing::info!(target: "prunella::uplink", ?after, %reason, "the server asks to come back later");
                self.keep.stream_ended();
                self.uplink.give_up_for(after);
            }
            ServerMessage::Welcome { .. } => {
                tracing::warn!(target: "prunella::uplink", "a second welcome in a stream was ignored");
            }
        }
    }

    /// Has a question answered, by whichever half can.
    fn asked(&mut self, number: u64, question: Question) {
        match self.keep.asked(number, question, &self.answer) {
            Some(Question::Snapshots(ask)) => {
                self.senses.snapshots().answer_soon(&self.config, number, ask, &self.answer);
            }
            Some(Question::Rehearse(_)) | None => {}
        }
    }

    fn received(&mut self, receipt: Receipt) {
        match receipt {
            Receipt::Accepted(command) => self.say(&AgentMessage::Accepted { command }),
            Receipt::Refused(report) => self.say(&AgentMessage::Outcome(report)),
            Receipt::Known { command, refusal: _, state } => match state {
                State::Intended | State::Executing { .. } => self.say(&AgentMessage::Accepted { command }),
                State::Finished(report) => self.say(&AgentMessage::Outcome(report)),
                // A server has the outcome. Whichever asks again has to look there.
                State::Acknowledged | State::Forgotten => {}
            },
            Receipt::Unnamed(_) => {}
        }
    }

    fn renew(&mut self) {
        match self.membership.renewal(&self.config.control) {
            Ok(renewal) => self.renewing = Some(Box::pin(renewal.ask())),
            Err(error) => self.renewed(Err(error)),
        }
    }

    fn renewed(&mut self, answer: Result<RenewResponse, EnrolError>) {
        self.renewing = None;
        match answer.and_then(|answer| self.membership.renewed(&answer)) {
            Ok(()) => {
                self.renew_at = self.membership.renew_at();
                tracing::info!(target: "prunella::enrol", "the certificate was renewed");
            }
            Err(error) => {
                self.renew_at = clock::wall_now().after(RENEW_AGAIN);
                tracing::warn!(target: "prunella::enrol", error = %causes(&error), "the certificate was not renewed");
            }
        }
    }

    /// Ends commands between two steps, says goodbye, and stops the services that shall stop with the agent.
    async fn wind_down(mut self, why: &str) {
        let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Stopping]);
        for report in self.keep.wind_down(Instant::now() + WIND_DOWN).await {
            self.say(&AgentMessage::Outcome(report));
        }
        if let Some(link) = self.uplink.close() {
            link.part(why, PARTING).await;
        }
        self.senses.close().await;
    }
}

/// Waits for the answer to a renewal that is under way; for ever when none is.
async fn renewal(renewing: &mut Option<Renewing>) -> Result<RenewResponse, EnrolError> {
    match renewing {
        Some(renewing) => renewing.await,
        None => std::future::pending().await,
    }
}

/// An error and all that caused it, in one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        words = format!("{words}: {error}");
        next = error.source();
    }
    words
}

#[cfg(test)]
mod tests;

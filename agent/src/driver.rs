//! The agent's only loop: what the senses see goes up, what the server orders goes to the executor, outcomes go up.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use prunella_model::command::{BootId, TrustBundle};
use prunella_model::host::HostReport;
use prunella_model::link::{AgentMessage, ServerMessage};
use prunella_model::observation::Frame;
use prunella_model::outcome::OutcomeReport;
use prunella_model::{CommandId, Timestamp};
use prunella_proto::agent::v1::RenewResponse;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::authority::Authority;
use crate::clock;
use crate::config::AgentConfig;
use crate::enrol::{EnrolError, Membership};
use crate::execute::{Executor, Receipt};
use crate::ledger::State;
use crate::pause::PauseFiles;
use crate::senses::{Sensed, Senses};
use crate::spool::Spool;
use crate::stop::Stop;
use crate::uplink::{Link, LinkError, News, Uplink, Welcome};

/// How often the pause file is looked at, certificates are thought of, and the service manager is told that all is well.
const TICK: Duration = Duration::from_secs(1);

/// The most that is folded into one frame: what is ready at once goes out at once, but never in a huge message.
const FOLD_MAX: usize = 64;

/// How long commands that are under way may take to end when the agent stops. After it the ledger knows what to ask.
const WIND_DOWN: Duration = Duration::from_secs(5);

/// How long the server may take to notice that the agent says goodbye.
const PARTING: Duration = Duration::from_secs(1);

/// How long to wait between two attempts to renew the certificate; half of its life is left at the first one.
const RENEW_AGAIN: Duration = Duration::from_secs(30);

/// Why the agent only observes, each cause by itself: they come and go independently.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Objections {
    clock: Option<String>,
    authority: Option<String>,
}

type Renewing = Pin<Box<dyn Future<Output = Result<RenewResponse, EnrolError>>>>;

/// Everything that the loop turns.
pub(crate) struct Driver {
    config: Arc<AgentConfig>,
    boot: BootId,
    membership: Membership,
    authority: Authority,
    senses: Senses,
    executor: Executor,
    ends: mpsc::Receiver<OutcomeReport>,
    uplink: Uplink,
    spool: Spool,
    pause: PauseFiles,
    objections: Objections,
    /// What the server was last told of pauses and of observing only.
    told: (Option<String>, Option<String>),
    /// What was known of declared parts when it was last told.
    told_parts: u64,
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
    pub(crate) authority: Authority,
    pub(crate) senses: Senses,
    pub(crate) executor: Executor,
    pub(crate) ends: mpsc::Receiver<OutcomeReport>,
    pub(crate) pause: PauseFiles,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        let renew_at = parts.membership.renew_at();
        Self {
            config: parts.config,
            boot: parts.boot,
            membership: parts.membership,
            authority: parts.authority,
            senses: parts.senses,
            executor: parts.executor,
            ends: parts.ends,
            uplink: Uplink::new(),
            spool: Spool::default(),
            pause: parts.pause,
            objections: Objections::default(),
            told: (None, None),
            told_parts: 0,
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
                Some(report) = self.ends.recv() => self.ended(report),
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
        let standing = self.standing();
        if self.report_due || standing != self.told || self.senses.parts_version() != self.told_parts {
            self.report();
        }
        if self.renewing.is_none() && clock::wall_now() >= self.renew_at {
            self.renew();
        }
    }

    /// Why this host is paused and why it only observes, now.
    fn standing(&self) -> (Option<String>, Option<String>) {
        (self.pause.reason(), self.observe_only())
    }

    fn observe_only(&self) -> Option<String> {
        if self.config.limits.observe_only {
            return Some(prunella_model::host::BY_CHOICE.to_owned());
        }
        let objections = [self.executor.objection(), self.objections.clock.clone(), self.objections.authority.clone()];
        objections.into_iter().flatten().next()
    }

    fn full_report(&mut self) -> HostReport {
        let full = self.senses.full();
        self.told = self.standing();
        self.told_parts = self.senses.parts_version();
        self.report_due = false;
        HostReport {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            boot: self.boot.clone(),
            labels: self.config.labels.clone(),
            targets: full.targets,
            series: full.series,
            observations: full.observations,
            mark: self.executor.mark(),
            outcomes: self.executor.unacknowledged(),
            paused: self.told.0.clone(),
            observe_only: self.told.1.clone(),
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
        self.executor.close_stream();
        tracing::warn!(target: "prunella::uplink", error = %causes(error), "no stream to the server");
    }

    fn sensed(&mut self, first: Sensed, more: &mut mpsc::Receiver<Sensed>) {
        let mut frame = Frame { at: clock::wall_now(), ..Frame::default() };
        let mut next = Some(first);
        while let Some(it) = next {
            match it {
                Sensed::Seen(seen) => frame.observations.push(seen),
                Sensed::Measured { samples, .. } => frame.samples.extend(samples),
            }
            let full = frame.observations.len() + frame.samples.len() >= FOLD_MAX;
            next = if full { None } else { more.try_recv().ok() };
        }
        if self.uplink.link().is_some() {
            self.say(&AgentMessage::Frame(frame));
        } else {
            // While a stream is being opened its report is on the way already, and this is not in it.
            self.report_due |= self.uplink.is_opening();
            frame.observations.into_iter().for_each(|seen| self.spool.keep(seen));
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
        match self.membership.tls() {
            Ok(tls) => {
                let report = self.full_report();
                self.uplink.open(Link::connect(addresses, tls, report));
            }
            Err(error) => {
                tracing::error!(target: "prunella::uplink", error = %causes(&error), "no connection can be made");
                self.uplink.give_up();
            }
        }
    }

    fn welcomed(&mut self, welcome: &Welcome) {
        tracing::info!(target: "prunella::uplink", "the server welcomes this host");
        if let Some(link) = self.uplink.link() {
            self.executor.open_stream(link.fresh());
        }
        self.objections.clock = clock::skew_objection(clock::wall_now(), welcome.at);
        if let Some(why) = &self.objections.clock {
            tracing::error!(target: "prunella::clock", %why, "only observing");
        }
        self.take_authority(&welcome.trust);
        if self.report_due || self.standing() != self.told {
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

    fn take_authority(&mut self, bundle: &TrustBundle) {
        self.objections.authority = match self.authority.take(bundle, clock::wall_now()) {
            Ok(()) => None,
            Err(error) => {
                let why = causes(&error);
                tracing::error!(target: "prunella::authority", %why, "only observing");
                Some(why)
            }
        };
    }

    fn heard(&mut self, message: ServerMessage) {
        match message {
            ServerMessage::Command(command) => {
                let objection = self.observe_only();
                let receipt = self.executor.receive(&command, self.authority.trust(), objection);
                self.received(receipt);
            }
            ServerMessage::Cancel { command } => self.executor.cancel(command),
            ServerMessage::Acknowledge { sequence: _, outcomes } => self.acknowledged(&outcomes),
            ServerMessage::Trust(bundle) => self.take_authority(&bundle),
            ServerMessage::ReportFully => self.report(),
            ServerMessage::ProbeNow { target } => self.senses.probe_now(target.as_ref()),
            ServerMessage::Reconnect { after, reason } => {
                tracing::info!(target: "prunella::uplink", ?after, %reason, "the server asks to come back later");
                self.executor.close_stream();
                self.uplink.give_up_for(after);
            }
            ServerMessage::Welcome { .. } => {
                tracing::warn!(target: "prunella::uplink", "a second welcome in a stream was ignored");
            }
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

    fn acknowledged(&mut self, outcomes: &[CommandId]) {
        self.executor.acknowledged(outcomes);
    }

    fn ended(&mut self, report: OutcomeReport) {
        self.executor.ended(&report);
        self.say(&AgentMessage::Outcome(report));
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
        self.executor.cancel_all();
        let patience = Instant::now() + WIND_DOWN;
        while self.executor.is_busy() {
            let Ok(Some(report)) = timeout_at(patience, self.ends.recv()).await else { break };
            self.ended(report);
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

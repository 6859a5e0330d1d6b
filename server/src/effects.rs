//! What decisions lead to: signed commands, messages to agents, announcements, answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prunella_engine::{Decision, Event, Reply};
use prunella_model::command::{Delivery, Intent, SCHEMA, SignedCommand};
use prunella_model::link::ServerMessage;
use prunella_model::policy::FleetPolicy;
use prunella_model::record::CommandRecord;
use prunella_model::standing::StandingOrders;
use prunella_model::{CommandId, Generation, HostId};
use prunella_proto::wire;
use prunella_seal::{COMMAND_TYPE, STANDING_TYPE, SecretKey};
use tokio::sync::{oneshot, watch};

use crate::authority::Granted;
use crate::clock::Clock;
use crate::feed::Feed;
use crate::sessions::Sessions;
use crate::voice;

/// How long a delivery is good: time for a slow link, half of what agents accept at most.
const LIFETIME: Duration = Duration::from_secs(60);

/// How many commands to remember as sent. One that is forgotten may be sent twice, which its agent's ledger notices.
const SENT_MAX: usize = 10_000;

/// Carries decisions out. Owned by the driver.
pub struct Effects {
    sessions: Arc<Sessions>,
    feed: Arc<Feed>,
    clock: Clock,
    key: SecretKey,
    granted: Granted,
    policy: watch::Sender<Arc<FleetPolicy>>,
    replies: BTreeMap<u64, oneshot::Sender<Reply>>,
    tokens: u64,
    /// In which session each command was sent last.
    sent: BTreeMap<CommandId, u64>,
}

impl Effects {
    /// Effects that sign with the server's `key` under the authority `granted`.
    #[must_use]
    pub fn new(
        sessions: Arc<Sessions>,
        feed: Arc<Feed>,
        clock: Clock,
        key: SecretKey,
        granted: Granted,
        policy: watch::Sender<Arc<FleetPolicy>>,
    ) -> Self {
        let (replies, sent) = (BTreeMap::new(), BTreeMap::new());
        Self { sessions, feed, clock, key, granted, policy, replies, tokens: 0, sent }
    }

    /// The token under which the engine's answer will go to `reply`.
    pub fn expect_reply(&mut self, reply: oneshot::Sender<Reply>) -> u64 {
        self.tokens += 1;
        self.replies.insert(self.tokens, reply);
        self.tokens
    }

    /// Tells everybody who wants to know which policy is in force.
    pub fn publish_policy(&self, policy: &Arc<FleetPolicy>) {
        self.policy.send_replace(Arc::clone(policy));
    }

    /// Signs under a new authority from now on, and tells all agents of it first.
    pub fn renew(&mut self, granted: Granted) {
        self.sessions.renew_trust(&granted.bundle);
        self.granted = granted;
    }

    /// Carries one decision out. Returns what the engine must hear of.
    #[must_use]
    pub fn carry_out(&mut self, decision: Decision) -> Option<Event> {
        match decision {
            Decision::Dispatch { intent, generation } => {
                let command = intent.id;
                let why = self.dispatch(&intent, generation).err()?;
                tracing::warn!(target: "prunella::repair", host = %intent.host, incident = %intent.incident, %command, why, "a command was not delivered");
                return Some(Event::Undelivered { command, why });
            }
            Decision::Order { orders, generation } => {
                if let Err(why) = self.order(&orders, generation) {
                    // They are made again when the host comes, and in any case before long.
                    tracing::debug!(target: "prunella::orders", host = %orders.host, why, "standing orders were not delivered");
                }
            }
            Decision::Cancel { host, command } => self.tell(&host, ServerMessage::Cancel { command }),
            Decision::Probe { host, target } => self.tell(&host, ServerMessage::ProbeNow { target }),
            Decision::Intervals { host, intervals } => self.tell(&host, ServerMessage::Intervals(intervals)),
            Decision::ReportFully { host } => self.tell(&host, ServerMessage::ReportFully),
            Decision::Reconnect { host, after, reason } => self.tell(&host, ServerMessage::Reconnect { after, reason }),
            Decision::Announce(event) => {
                voice::say(&event);
                self.feed.announce(event);
            }
            Decision::Reply { token, reply } => {
                if let Some(waiting) = self.replies.remove(&token) {
                    // An error only means that the caller has gone away.
                    let _ = waiting.send(reply);
                }
            }
            Decision::Acknowledge { host, command } => {
                self.sent.remove(&command);
                self.sessions.acknowledge(&host, vec![command]);
            }
            // The driver has committed these before anything else of their step.
            Decision::Store(_) | Decision::Audit(_) => {}
        }
        None
    }

    /// Sends a command that was committed earlier, unless it was sent in the host's current session already.
    pub fn send_again(&mut self, host: &HostId, record: &CommandRecord) {
        let (command, incident) = (record.intent.id, record.intent.incident);
        let session = self.sessions.current(host);
        if session.is_none() || session == self.sent.get(&command).copied() {
            return;
        }
        match self.dispatch(&record.intent, record.generation) {
            Ok(()) => {
                tracing::info!(target: "prunella::repair", %host, %incident, %command, "a command was sent again")
            }
            // The engine's own deadline for the outcome goes on.
            Err(why) => {
                tracing::warn!(target: "prunella::repair", %host, %incident, %command, why, "a command was not sent again")
            }
        }
    }

    fn dispatch(&mut self, intent: &Intent, generation: Generation) -> Result<(), String> {
        let now = self.clock.now();
        if now > self.granted.not_after {
            let late = now.since(self.granted.not_after).as_secs();
            return Err(format!("the server's delegation expired {late} s ago; a fleet signer must renew it"));
        }
        let slot = self.sessions.next_delivery(&intent.host).map_err(|error| error.to_string())?;
        let delivery = Delivery {
            schema: SCHEMA,
            intent: wire::encode_intent(intent),
            challenge: slot.challenge,
            generation,
            sequence: slot.sequence,
            issued_after: slot.issued_after,
            lifetime: LIFETIME,
            delegation_version: self.granted.version,
        };
        let envelope = prunella_seal::sign(COMMAND_TYPE, wire::encode_delivery(&delivery), &[&self.key]);
        let command = SignedCommand { delivery: envelope, approvals: Vec::new() };
        self.sessions
            .deliver(&intent.host, slot.session, ServerMessage::Command(Box::new(command)))
            .map_err(|error| error.to_string())?;
        self.sent.insert(intent.id, slot.session);
        if self.sent.len() > SENT_MAX {
            self.sent.pop_first();
        }
        Ok(())
    }

    fn order(&self, orders: &StandingOrders, generation: Generation) -> Result<(), String> {
        let left = self.granted.not_after.since(self.clock.now());
        if left.is_zero() {
            return Err("the server's delegation has expired; a fleet signer must renew it".to_owned());
        }
        let slot = self.sessions.next_delivery(&orders.host).map_err(|error| error.to_string())?;
        let delivery = Delivery {
            schema: SCHEMA,
            intent: wire::encode_standing(orders),
            challenge: slot.challenge,
            generation,
            sequence: slot.sequence,
            issued_after: slot.issued_after,
            lifetime: LIFETIME,
            delegation_version: self.granted.version,
        };
        let envelope = prunella_seal::sign(STANDING_TYPE, wire::encode_delivery(&delivery), &[&self.key]);
        self.sessions
            .deliver(&orders.host, slot.session, ServerMessage::Standing(Box::new(envelope)))
            .map_err(|error| error.to_string())
    }

    fn tell(&self, host: &HostId, message: ServerMessage) {
        if let Err(why) = self.sessions.send(host, message) {
            tracing::debug!(target: "prunella::sessions", %host, %why, "a message was not delivered");
        }
    }
}

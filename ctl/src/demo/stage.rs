//! The fleet of the demonstration, and the scenes that are played on it.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use prunella_model::policy::{FleetPolicy, Profile};
use prunella_proto::control::v1 as pb;
use prunella_server::config::HttpListen;
use prunella_server::fleet_dir::Options;
use rustix::process::{Pid, Signal, kill_process};

use super::judge::{Finding, Seen, judge};
use super::records::{Records, name_of};
use super::scenario::Scenario;
use super::screen::{Screen, Tone};
use super::site::Site;
use super::witness::{ROLES, Standing, Witness};
use crate::chain::{Birth, monotonic};
use crate::fleet::{self, Fleet};

/// How long the fleet may take until everything is healthy and saved. A debug build on a busy machine takes ten seconds.
const HEALTHY_TIME: Duration = Duration::from_secs(90);

/// How long one scene may take. The longest, a leak, takes ten seconds.
const SCENE_TIME: Duration = Duration::from_secs(60);

/// How often the services are asked while time is taken. It is the error of `repaired`.
const LOOK: Duration = Duration::from_millis(5);

/// How often the server's records are asked for: often enough not to be waited for.
const LOOK_RECORDS: Duration = Duration::from_millis(100);

/// How often the processes are looked at while nothing is played.
pub(super) const LOOK_IDLE: Duration = Duration::from_millis(500);

/// A running fleet with an audience.
pub(super) struct Stage {
    fleet: Fleet,
    witness: Witness,
    records: Records,
    screen: Rc<Screen>,
}

impl Stage {
    /// Starts everything and waits until it is healthy and every known-good snapshot exists.
    pub(super) async fn set(dir: &Path, http: HttpListen, screen: &Rc<Screen>) -> anyhow::Result<Self> {
        screen.say(Tone::Title, "Prunella demo: one server, three hosts, and a service chain web → api → db");
        screen.say(Tone::Plain, &format!("Fleet directory: {}", dir.display()));
        let policy = FleetPolicy::of(Profile::Rapid);
        screen.say(Tone::Plain, "The rapid profile is in force. Against the standard one it loosens:");
        for line in policy.loosened() {
            screen.say(Tone::Plain, &format!("  - {line}"));
        }
        let options = Options { profile: Profile::Rapid, ..Options::default() };
        let dir = fleet::directory(dir, "demo", &options)?;
        let mut fleet = Fleet::start(dir, http).await?;
        let control = fleet.addresses().control;
        screen.log(Tone::Plain, &format!("server: process {}, control at {control}", fleet.server().pid()));
        if let Some(link) = fleet.dashboard().await? {
            screen.say(Tone::Plain, &format!("Dashboard: {link}"));
        }
        let site = Site::prepare(fleet.dir().path(), fleet.addresses())?;
        for place in site.places() {
            fleet.add_agent(&place.target.host, &place.config, &place.state_dir).await?;
            let pid = fleet.agents().last().map(crate::children::Child::pid).unwrap_or_default();
            let what = format!("agent of {}: process {pid}, supervises {}", place.target.host, place.role.as_str());
            screen.log(Tone::Plain, &what);
        }
        let records = Records::new(fleet.control());
        let (voice, witness) = (Rc::clone(screen), Witness::new(site));
        records.follow(move |event| voice.log(Tone::Fleet, &line(event))).await?;
        let mut stage = Self { fleet, witness, records, screen: Rc::clone(screen) };
        stage.wait_until_healthy(HEALTHY_TIME).await?;
        stage.screen.log(Tone::Good, "everything is healthy, and known-good snapshots exist");
        Ok(stage)
    }

    /// Plays scenes one after another. Ends early when the fleet does not come back from one.
    pub(super) async fn play(&mut self, wanted: &[Scenario]) -> anyhow::Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for scenario in wanted {
            let finding = self.scene(*scenario).await?;
            self.tell(&finding);
            findings.push(finding);
            if let Err(error) = self.wait_until_healthy(SCENE_TIME).await {
                self.screen.log(Tone::Bad, &format!("the remaining scenes are not played: {error:#}"));
                let wrong = vec!["the fleet was not healthy afterwards".to_owned()];
                if let Some(last) = findings.last_mut() {
                    last.wrong.extend(wrong);
                }
                break;
            }
        }
        Ok(findings)
    }

    /// An error when a process of the fleet has ended.
    pub(super) fn must_run(&mut self) -> anyhow::Result<()> {
        self.fleet.must_run()
    }

    async fn scene(&mut self, scenario: Scenario) -> anyhow::Result<Finding> {
        let known: BTreeSet<String> = self.records.incidents().await?.into_iter().map(|it| it.name).collect();
        let before = self.witness.standing();
        self.screen.say(Tone::Plain, "");
        self.screen.log(Tone::Harm, &format!("[{}] {}", scenario.as_str(), scenario.story()));
        let injected = scenario.inject(&self.witness, &before).await?;
        let repaired = self.wait_until_healed(scenario, &before, injected).await?;
        if let Some(after) = repaired {
            self.screen.log(Tone::Good, &format!("everything serves again, {} ms after the fault", after.as_millis()));
        }
        let incidents = self.wait_until_closed(&known, injected).await?;
        let stayed = scenario.healed(&self.witness, &before).await;
        let own = name_of(&self.witness.site().place(scenario.truth().target).target);
        let mut own = incidents.iter().filter(|it| it.fault.as_ref().is_some_and(|fault| fault.target == own));
        let heard = own.next().and_then(|it| self.records.heard("fault_detected", &it.name));
        let seen = Seen {
            detected: heard.map(|at| at.saturating_sub(injected)),
            repaired,
            stayed,
            births: ROLES.into_iter().map(|it| (it, self.witness.births_since(&before, it).len())).collect(),
            alone: ROLES.into_iter().map(|it| (it, self.witness.left_alone(&before, it))).collect(),
        };
        Ok(judge(scenario, self.witness.site(), &seen, &incidents))
    }

    /// How long after the injection everything served again; none when the scene's time is up before.
    async fn wait_until_healed(
        &mut self,
        scenario: Scenario,
        before: &Standing,
        injected: Duration,
    ) -> anyhow::Result<Option<Duration>> {
        while monotonic() < injected + SCENE_TIME {
            if scenario.healed(&self.witness, before).await {
                return Ok(Some(monotonic().saturating_sub(injected)));
            }
            self.fleet.must_run()?;
            tokio::time::sleep(LOOK).await;
        }
        Ok(None)
    }

    /// Incidents that were opened since, once all of them are closed or the scene's time is up.
    async fn wait_until_closed(
        &mut self,
        known: &BTreeSet<String>,
        injected: Duration,
    ) -> anyhow::Result<Vec<pb::Incident>> {
        loop {
            let mut incidents = self.records.incidents().await?;
            incidents.retain(|it| !known.contains(&it.name));
            let closed = !incidents.is_empty() && incidents.iter().all(|it| it.state() == pb::incident::State::Closed);
            if closed || monotonic() >= injected + SCENE_TIME {
                return Ok(incidents);
            }
            self.fleet.must_run()?;
            tokio::time::sleep(LOOK_RECORDS).await;
        }
    }

    /// Waits until every service answers and every probe of every target is up: the one of a configuration file is
    /// only when its known-good snapshot exists.
    async fn wait_until_healthy(&mut self, time: Duration) -> anyhow::Result<()> {
        let deadline = monotonic() + time;
        loop {
            let missing = self.unhealthy().await?;
            if missing.is_empty() {
                return Ok(());
            }
            self.fleet.must_run()?;
            if monotonic() >= deadline {
                let logs: Vec<String> = self.fleet.agents().iter().map(crate::children::Child::last_words).collect();
                let server = self.fleet.server().last_words();
                anyhow::bail!("the fleet is not healthy: {}\n{server}\n{}", missing.join("; "), logs.join("\n"));
            }
            tokio::time::sleep(LOOK_RECORDS).await;
        }
    }

    async fn unhealthy(&self) -> anyhow::Result<Vec<String>> {
        let mut missing = Vec::new();
        let targets = self.records.targets().await?;
        for place in self.witness.site().places() {
            let name = name_of(&place.target);
            match targets.iter().find(|it| it.name == name) {
                None => missing.push(format!("the server does not know {name} yet")),
                Some(target) => {
                    let down = target.probes.iter().filter(|it| it.status != "up");
                    missing
                        .extend(down.map(|it| format!("{name}: probe {} is {} ({})", it.probe, it.status, it.finding)));
                    if target.probes.is_empty() {
                        missing.push(format!("{name}: nothing was probed yet"));
                    }
                }
            }
            if !self.witness.answers(place.role).await {
                missing.push(format!("{} does not answer at {}", place.role.as_str(), place.address));
            }
        }
        Ok(missing)
    }

    fn tell(&self, finding: &Finding) {
        if finding.wrong.is_empty() {
            self.screen.log(Tone::Good, &format!("[{}] ended as it should", finding.scenario));
        }
        for wrong in &finding.wrong {
            self.screen.log(Tone::Bad, &format!("[{}] {wrong}", finding.scenario));
        }
    }
}

/// One event as a line.
fn line(event: &pb::Event) -> String {
    let host = event.host.as_deref().map(|it| it.rsplit('/').next().unwrap_or(it));
    let target = event.target.as_deref().map(|it| it.rsplit('/').next().unwrap_or(it));
    let place = match (host, target) {
        (Some(host), Some(target)) => format!("{host}/{target}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => "fleet".to_owned(),
    };
    format!("  {:<16} {:<14} {}", event.kind, place, event.message)
}

/// Kills what is left of the services that were started in this directory. Their agents have stopped them; this is for
/// an agent that could not.
pub(super) fn sweep(dir: &Path, screen: &Screen) {
    for role in ROLES {
        for birth in Birth::read_all(&dir.join("chain/births").join(role.as_str())) {
            // The start time is compared, so only a run of ours can be meant.
            if let (true, Some(pid)) = (birth.run.lives(), Pid::from_raw(birth.run.pid)) {
                screen.log(Tone::Bad, &format!("{} was left behind and is killed", role.as_str()));
                let _ = kill_process(pid, Signal::KILL).context("killing what was left behind");
            }
        }
    }
}

//! A small fleet for tests: an authority, keys, documents, one host whose one service counts its starts.

pub(crate) mod server;

use std::sync::Arc;
use std::time::Duration;

use prunella_identity::{AGENT_LIFE, FleetCa, Request};
use prunella_model::command::{
    BootId, Challenge, Delivery, Envelope, Intent, Precondition, SCHEMA, SignedCommand, TrustBundle,
};
use prunella_model::observation::Sha256;
use prunella_model::step::{Risk, Step, TargetStep};
use prunella_model::{CommandId, FleetName, Generation, HostId, Id, IncidentId, RepairName, TargetName, Timestamp};
use prunella_proto::wire;
use prunella_seal::{Anchor, COMMAND_TYPE, Delegation, FleetFile, HostScope, Scope, SecretKey, Signer, sign};
use tempfile::TempDir;

use crate::authority::ANCHOR_FILE;
use crate::clock;
use crate::config::AgentConfig;
use crate::enrol::{Enrolment, Membership};
use crate::state_dir::StateDir;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The decider's generation in all commands made here.
pub(crate) const GENERATION: Generation = Generation(Id { epoch: 7, counter: 1 });

pub(crate) struct Fleet {
    pub(crate) name: FleetName,
    pub(crate) ca: FleetCa,
    pub(crate) root: SecretKey,
    pub(crate) signer: SecretKey,
    pub(crate) server: SecretKey,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let name = FleetName::new("lab").unwrap();
        Self {
            ca: FleetCa::create(&name, clock::wall_now()).unwrap(),
            name,
            root: SecretKey::from_entropy(&[1; 32]),
            signer: SecretKey::from_entropy(&[2; 32]),
            server: SecretKey::from_entropy(&[3; 32]),
        }
    }

    pub(crate) fn trust(&self) -> TrustBundle {
        let now = clock::wall_now();
        let file = FleetFile {
            schema: SCHEMA,
            fleet: self.name.clone(),
            version: 1,
            root_keys: vec![self.root.public()],
            root_threshold: 1,
            signers: vec![Signer { key: self.signer.public(), not_after: now.after(DAY) }],
            approvers: Vec::new(),
            dangerous_approvals: 2,
        };
        let delegation = Delegation {
            schema: SCHEMA,
            fleet: self.name.clone(),
            version: 1,
            key: self.server.public(),
            not_before: now,
            not_after: now.after(DAY / 2),
            scope: Scope { max_risk: Risk::High, hosts: HostScope::All, per_hour: 100, steps: None },
        };
        TrustBundle { fleet: file.sign(&[&self.root]), delegation: delegation.sign(&self.signer) }
    }

    pub(crate) fn anchor(&self) -> Anchor {
        Anchor::new(self.name.clone(), vec![self.root.public()], 1)
    }

    /// The papers of `h1`, as an enrolment leaves them.
    pub(crate) fn enrol(&self, state: &StateDir) -> Membership {
        let host = HostId::new("h1").unwrap();
        let request = Request::new().unwrap();
        let issued = self.ca.issue_agent(&request.der, &host, 1, clock::wall_now(), AGENT_LIFE).unwrap();
        let enrolment = Enrolment {
            fleet: self.name.clone(),
            host,
            enrolment: 1,
            control: vec!["127.0.0.1:1".to_owned()],
            agents: vec!["127.0.0.1:1".to_owned()],
            ledger_begun: false,
        };
        state.write("key.pem", request.key_pem.as_bytes()).unwrap();
        state.write("cert.pem", issued.chain_pem.as_bytes()).unwrap();
        state.write("ca.pem", self.ca.certificate_pem().as_bytes()).unwrap();
        state.write_json(ANCHOR_FILE, &self.anchor()).unwrap();
        state.write_json("enrolment.json", &enrolment).unwrap();
        Membership::load(state).unwrap().unwrap()
    }

    pub(crate) fn deliver(&self, delivery: &Delivery) -> SignedCommand {
        self.deliver_by(delivery, &self.server)
    }

    pub(crate) fn deliver_by(&self, delivery: &Delivery, key: &SecretKey) -> SignedCommand {
        let envelope: Envelope = sign(COMMAND_TYPE, wire::encode_delivery(delivery), &[key]);
        SignedCommand { delivery: envelope, approvals: Vec::new() }
    }
}

/// A host with a service `web` that writes a line into the file `starts` whenever it starts.
pub(crate) struct Host {
    pub(crate) dir: TempDir,
    pub(crate) config: Arc<AgentConfig>,
    pub(crate) state: StateDir,
    _services: Services,
}

/// Ends what the services of a test's host have started, however the test ends.
struct Services(String);

impl Drop for Services {
    fn drop(&mut self) {
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
            let own = environment.split(|byte| *byte == 0).any(|it| it.starts_with(self.0.as_bytes()));
            if let Some(pid) = rustix::process::Pid::from_raw(pid).filter(|_| own) {
                // One that has ended meanwhile is fine.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

impl Host {
    pub(crate) fn new(more: &str) -> Self {
        Self::with(more, "")
    }

    /// The same with more keys in `[agent]` and more targets.
    pub(crate) fn with(more: &str, targets: &str) -> Self {
        // In memory where that can be: what is tested is what is synced when, not how long a disk takes for it.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let text = format!(
            "[agent]\nhost = \"h1\"\n{more}\n[[target]]\nname = \"web\"\nmanager = \"command\"\nstart_with_agent = false\nstop_with_agent = true\n\
             start = [\"/bin/sh\", \"-c\", \"echo run >> starts; exec sleep 1000\"]\n\
             permit = [\"start_service\", \"restart_service\"]\n{targets}"
        );
        let config = Arc::new(AgentConfig::parse("agent.toml", &text, dir.path(), "h1").unwrap());
        let state = StateDir::open(&dir.path().join("state")).unwrap();
        let services = Services(format!("PRUNELLA_SERVICE={}/", dir.path().display()));
        Self { config, state, dir, _services: services }
    }

    /// How often the service has been started.
    pub(crate) fn starts(&self) -> usize {
        std::fs::read_to_string(self.dir.path().join("starts")).map_or(0, |text| text.lines().count())
    }

    /// The same, once a process that was started has had the time to say so.
    pub(crate) async fn starts_after(&self, at_least: usize) -> usize {
        let patience = tokio::time::Instant::now() + Duration::from_secs(10);
        while self.starts() < at_least && tokio::time::Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.starts()
    }
}

pub(crate) fn web() -> TargetName {
    TargetName::new("web").unwrap()
}

pub(crate) fn id(counter: u64) -> CommandId {
    CommandId(Id { epoch: 7, counter })
}

/// A command that starts `web` on `h1`.
pub(crate) fn intent(counter: u64, boot: &BootId) -> Intent {
    let step = TargetStep { target: web(), step: Step::StartService };
    Intent {
        schema: SCHEMA,
        fleet: FleetName::new("lab").unwrap(),
        host: HostId::new("h1").unwrap(),
        enrolment: 1,
        id: id(counter),
        incident: IncidentId(Id { epoch: 7, counter: 1 }),
        attempt: 1,
        repair: RepairName::new("start_service").unwrap(),
        risk: step.step.risk(),
        effect: step.step.effect(),
        steps: vec![step],
        preconditions: vec![Precondition::Boot(boot.clone())],
        verify: Vec::new(),
        policy_version: 1,
        policy_hash: Sha256([0; 32]),
        approvals_required: 0,
        dry_run: false,
        max_run: Duration::from_secs(20),
        expires_at: Timestamp::from_secs(u64::MAX / 2_000_000),
    }
}

/// A fresh delivery of it.
pub(crate) fn delivery(intent: &Intent, challenge: Challenge, sequence: u64) -> Delivery {
    Delivery {
        schema: SCHEMA,
        intent: wire::encode_intent(intent),
        challenge,
        generation: GENERATION,
        sequence,
        issued_after: Duration::ZERO,
        lifetime: Duration::from_secs(60),
        delegation_version: 1,
    }
}

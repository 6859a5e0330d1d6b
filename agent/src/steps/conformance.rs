//! The table of steps is whole: each kind travels, is judged, can be rehearsed without an effect, and is documented.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prunella_model::command::{BootId, Challenge, Delivery, Intent, SCHEMA};
use prunella_model::observation::{Instance, Sha256, Status};
use prunella_model::outcome::Refusal;
use prunella_model::part::Act;
use prunella_model::step::{Effect, Risk, Signal, Step, StepKind, TargetStep};
use prunella_model::{
    CommandId, FleetName, Generation, HostId, Id, IncidentId, PartName, ProbeName, RepairName, TargetName, Timestamp,
};
use prunella_proto::wire;
use prunella_seal::{Delegation, HostScope, Opened, Scope, SecretKey};
use prunella_ward::{Facts, LocalPolicy, Moment, Own, Ward};
use tokio::sync::mpsc;

use super::Hands;
use crate::config::AgentConfig;
use crate::senses::Senses;

/// A host on which everything can be done. `{dir}` stands for the test's directory.
const ALL: &str = r#"
[[target]]
name = "it"
manager = "command"
start = ["/bin/sleep", "1000"]
stop_with_agent = true
permit = [PERMITS]
[[target.directory]]
name = "logs"
path = "{dir}/logs"
quota = "1KiB"
older_than = "0s"
match = ["*"]
[[target.file]]
name = "conf"
path = "{dir}/conf"
source = "{dir}/next"
validate = ["/bin/true"]
[[target.part.reload]]
name = "conf"
signal = "hangup"
[[target.part.connections]]
name = "db"
run = ["/bin/touch", "{dir}/ran"]
[[target.part.program]]
name = "job"
run = ["/bin/touch", "{dir}/ran"]
risk = "medium"
[[target.part.cache]]
name = "pages"
path = "{dir}/pages"
bound = "1KiB"
rebuild = ["/bin/touch", "{dir}/ran"]
warm = ["http://127.0.0.1:9/"]
[[target.part.stray]]
name = "thief"
executable = "{dir}/nobody"
[[target.part.memory]]
name = "clean"
[[target.part.store]]
name = "packages"
collect = ["/bin/touch", "{dir}/ran"]
optimize = ["/bin/touch", "{dir}/ran"]
[[target.part.releases]]
name = "app"
link = "{dir}/current"
dir = "{dir}/releases"
keep = 1
[[target.part.weight]]
name = "cpu"
knob = "nice"
least = 0
most = 19
[[target.part.sysctl]]
name = "swappiness"
key = "vm.swappiness"
least = 0
most = 100
[[target.part.balancer]]
name = "web"
socket = "{dir}/haproxy.sock"
server = "web/one"
[[target.part.instances]]
name = "workers"
template = "worker@"
systemctl = "/bin/true"
least = 1
most = 4
[[target.part.certificate]]
name = "tls"
path = "{dir}/conf"
renew = ["/bin/touch", "{dir}/ran"]
[[target.part.standby]]
name = "db"
data_dir = "{dir}/data"
promote = ["/bin/touch", "{dir}/ran"]
[[target.part.backup]]
name = "data"
paths = ["{dir}/logs"]
to = "{dir}/backup"
[[target.part.machine]]
name = "host"
systemctl = "/bin/touch"
nft = "/bin/touch"
"#;

fn prepare(dir: &Path) {
    for made in ["logs", "pages", "releases/v1", "releases/v2", "data"] {
        fs::create_dir_all(dir.join(made)).unwrap();
    }
    for file in ["logs/a", "logs/b", "pages/a"] {
        fs::write(dir.join(file), "x".repeat(900)).unwrap();
    }
    for (file, text) in [("conf", "old"), ("next", "new"), ("data/PG_VERSION", "15"), ("data/standby.signal", "")] {
        fs::write(dir.join(file), text).unwrap();
    }
    symlink("releases/v1", dir.join("current")).unwrap();
}

/// One step of each kind, as it would be done to the host above.
fn sample(kind: StepKind, conf: Sha256) -> Step {
    let name = |it: &'static str| PartName::of(it);
    let (part, act) = match kind {
        StepKind::StartService => return Step::StartService,
        StepKind::StopService => return Step::StopService { grace: Duration::ZERO },
        StepKind::RestartService => return Step::RestartService { grace: Duration::ZERO },
        StepKind::SignalProcess => return Step::SignalProcess { signal: Signal::Kill },
        StepKind::CleanDirectory => return Step::CleanDirectory { directory: name("logs"), until_percent: 0 },
        StepKind::RestoreFile => return Step::RestoreFile { file: name("conf"), snapshot: conf },
        StepKind::ReloadService => ("conf", Act::ReloadService),
        StepKind::ReinitConnections => ("db", Act::ReinitConnections),
        StepKind::RunDeclared => ("job", Act::RunDeclared { risk: Risk::Medium }),
        StepKind::ClearCache => ("pages", Act::ClearCache),
        StepKind::OptimizeCache => ("pages", Act::OptimizeCache { until_percent: 10 }),
        StepKind::RebuildCache => ("pages", Act::RebuildCache),
        StepKind::WarmCache => ("pages", Act::WarmCache),
        StepKind::UpdateConfig => ("conf", Act::UpdateConfig),
        StepKind::ValidateConfig => ("conf", Act::ValidateConfig),
        StepKind::KillProcess => ("thief", Act::KillProcess),
        StepKind::FreeMemory => ("clean", Act::FreeMemory),
        StepKind::CollectGarbage => ("packages", Act::CollectGarbage),
        StepKind::OptimizeStore => ("packages", Act::OptimizeStore),
        StepKind::SwitchGeneration => ("app", Act::SwitchGeneration { to: name("v2") }),
        StepKind::PruneGenerations => ("app", Act::PruneGenerations),
        StepKind::SetWeight => ("cpu", Act::SetWeight { value: 19 }),
        StepKind::SetSysctl => ("swappiness", Act::SetSysctl { value: 11 }),
        StepKind::DrainServer => ("web", Act::DrainServer),
        StepKind::ReadyServer => ("web", Act::ReadyServer),
        StepKind::SetServerWeight => ("web", Act::SetServerWeight { value: 1 }),
        StepKind::ScaleInstances => ("workers", Act::ScaleInstances { value: 2 }),
        StepKind::RenewCertificate => ("tls", Act::RenewCertificate),
        StepKind::PromoteStandby => ("db", Act::PromoteStandby),
        StepKind::MakeBackup => ("data", Act::MakeBackup),
        StepKind::Lockdown => ("host", Act::Lockdown),
        StepKind::EndLockdown => ("host", Act::EndLockdown),
        StepKind::ShutDownHost => ("host", Act::ShutDownHost),
        StepKind::RebootHost => ("host", Act::RebootHost),
    };
    Step::Use { part: name(part), act }
}

struct Host(BootId);

impl Facts for Host {
    fn boot(&self) -> &BootId {
        &self.0
    }
    fn instance(&self, _target: &TargetName) -> Option<Instance> {
        None
    }
    fn observed(&self, _target: &TargetName, _probe: &ProbeName) -> Option<Status> {
        None
    }
    fn knows(&self, _command: CommandId) -> bool {
        false
    }
    fn paused(&self) -> Option<String> {
        None
    }
    fn observe_only(&self) -> Option<String> {
        None
    }
}

const ID: Id = Id { epoch: 1, counter: 1 };
const NOW: Timestamp = Timestamp::from_secs(1_000_000);

fn intent(step: Step) -> Intent {
    Intent {
        schema: SCHEMA,
        fleet: FleetName::of("lab"),
        host: HostId::of("h1"),
        enrolment: 1,
        id: CommandId(ID),
        incident: IncidentId(ID),
        attempt: 1,
        repair: RepairName::of("any"),
        risk: step.risk(),
        effect: step.effect(),
        steps: vec![TargetStep { target: TargetName::of("it"), step }],
        preconditions: Vec::new(),
        verify: Vec::new(),
        policy_version: 1,
        policy_hash: Sha256([0; 32]),
        approvals_required: 0,
        dry_run: false,
        max_run: Duration::from_secs(60),
        expires_at: NOW,
    }
}

fn judge(policy: LocalPolicy, intent: Intent) -> Result<(), Refusal> {
    let challenge = Challenge([1; 32]);
    let second = Duration::from_secs(1);
    let mut ward =
        Ward::new(Own { fleet: intent.fleet.clone(), host: intent.host.clone(), enrolment: 1 }, policy, Generation(ID));
    ward.open_stream(challenge, second);
    let delivery = Delivery {
        schema: SCHEMA,
        intent: Vec::new(),
        challenge,
        generation: Generation(ID),
        sequence: 1,
        issued_after: Duration::ZERO,
        lifetime: second * 60,
        delegation_version: 1,
    };
    let delegation = Delegation {
        schema: SCHEMA,
        fleet: intent.fleet.clone(),
        version: 1,
        key: SecretKey::from_entropy(&[1; 32]).public(),
        not_before: Timestamp::from_secs(999_000),
        not_after: Timestamp::from_secs(1_010_000),
        scope: Scope { max_risk: Risk::Dangerous, hosts: HostScope::All, per_hour: 100, steps: None },
    };
    let opened = Opened { delivery, intent, approvals: 9 };
    ward.judge(&opened, &delegation, Moment { wall: NOW, boot: second }, &Host(BootId("b".to_owned()))).map(drop)
}

/// Everything below a directory, with its content or what it links to.
fn all_below(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            all.extend(all_below(&path));
        } else if meta.is_symlink() {
            all.insert(path.clone(), fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes());
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

/// What cannot even be rehearsed here, because there is nobody to ask.
const NEEDS_A_SERVER: [StepKind; 3] = [StepKind::DrainServer, StepKind::ReadyServer, StepKind::SetServerWeight];

#[tokio::test]
async fn every_kind_of_step_travels_is_judged_and_can_be_rehearsed_without_an_effect() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    let permits: Vec<String> = StepKind::ALL.iter().map(|it| format!("{:?}", it.as_str())).collect();
    let text = ALL.replace("{dir}", &dir.path().display().to_string()).replace("PERMITS", &permits.join(", "));
    let state = tempfile::tempdir().unwrap();
    let text = format!("[agent]\nstate_dir = {:?}\n{text}", state.path());
    let config = Arc::new(AgentConfig::parse("agent.toml", &text, dir.path(), "h1").unwrap());
    let (to, mut seen) = mpsc::channel(100);
    tokio::spawn(async move { while seen.recv().await.is_some() {} });
    let senses = Senses::start(config, to).await.unwrap();
    let hands = Hands::new(&senses);
    let (it, conf) = (TargetName::of("it"), PartName::of("conf"));
    senses.snapshots().keep_before_repair(&it, &conf, &dir.path().join("next")).unwrap();
    let digest = crate::snapshot::digest_of(&dir.path().join("next")).unwrap().unwrap();
    for _ in 0..400 {
        if senses.services().pid(&it).is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let pid = senses.services().pid(&it);
    let (files, niceness) = (all_below(dir.path()), fs::read_to_string("/proc/sys/vm/swappiness").ok());
    let policy = || LocalPolicy::of_targets(&senses.full().targets, false, 100);
    for kind in StepKind::ALL {
        let step = sample(*kind, digest);
        assert_eq!(step.kind(), *kind);
        let intent = intent(step);
        assert_eq!(wire::decode_intent(&wire::encode_intent(&intent)), Ok(intent.clone()), "{kind:?}");
        match (kind.spec().risk, judge(policy(), intent.clone())) {
            (Risk::Dangerous, Err(Refusal::Dangerous)) => {}
            (Risk::Low | Risk::Medium | Risk::High, Ok(())) => {}
            (_, other) => panic!("{kind:?}: {other:?}"),
        }
        let mut unpermitted = policy();
        unpermitted.targets.get_mut(&it).unwrap().permits.remove(kind);
        assert!(judge(unpermitted, intent.clone()).is_err(), "{kind:?} without a permit");
        let told = hands.rehearse(&intent.steps[0]).await;
        match told {
            Ok(told) => assert!(told.contains("would ") || told.starts_with("there are no "), "{kind:?}: {told}"),
            Err(why) => assert!(NEEDS_A_SERVER.contains(kind), "{kind:?}: {why}"),
        }
    }
    assert_eq!(all_below(dir.path()), files, "a rehearsal changed a file");
    assert_eq!(fs::read_to_string("/proc/sys/vm/swappiness").ok(), niceness);
    assert_eq!(senses.services().pid(&it), pid, "a rehearsal touched the process");
    senses.close().await;
}

const BEGIN: &str = "<!-- steps: written by a test -->\n";
const END: &str = "<!-- end of steps -->\n";

fn table() -> String {
    let mut text =
        "| step | acts on | risk | after a crash | what it does | undo |\n|---|---|---|---|---|---|\n".to_owned();
    for kind in StepKind::ALL {
        let it = kind.spec();
        let part = it.part.map_or("the target itself", |part| part.as_str());
        let crash = match it.effect {
            Effect::Idempotent => "looked at, and done again",
            Effect::AtMostOnce => "never repeated: Unknown",
        };
        writeln!(text, "| `{}` | {part} | {} | {crash} | {} | {} |", it.name, it.risk.as_str(), it.does, it.undo)
            .unwrap();
    }
    text
}

/// `UPDATE_EXPECT=1 cargo test --workspace --lib conformance` writes it anew.
#[test]
fn the_list_of_steps_in_the_guide_is_the_table_in_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/repairs.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the list begins");
    let (listed, after) = rest.split_once(END).expect("the list ends");
    let wanted = table();
    if listed != wanted && std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
        return;
    }
    assert!(listed == wanted, "docs/repairs.md differs from the code; UPDATE_EXPECT=1 writes its list anew");
    for kind in StepKind::ALL {
        let name = serde_json::to_string(kind).unwrap();
        assert_eq!(name, format!("{:?}", kind.as_str()), "one name everywhere");
    }
}

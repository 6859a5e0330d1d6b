//! Arbitrary values for tests, from a seed.

use std::collections::BTreeMap;
use std::time::Duration;

use prunella_model::command::{
    BootId, Challenge, Delivery, Envelope, Intent, Precondition, Signature, SignedCommand, TrustBundle,
};
use prunella_model::host::{
    Dependency, DirectoryReport, FileReport, HostReport, IntervalRange, Permit, ProbeReport, TargetReport,
};
use prunella_model::link::{AgentMessage, ServerMessage};
use prunella_model::observation::{
    Finding, Frame, Instance, Level, Observation, ProbeKind, Sample, SeriesName, Sha256, Status, Wait,
};
use prunella_model::outcome::{Outcome, OutcomeReport, Refusal};
use prunella_model::part::{Act, PartKind, PartReport, Setting};
use prunella_model::question::{Answer, Question, Rehearsal, StepTold};
use prunella_model::snapshot::{SnapshotAnswer, SnapshotAsk, SnapshotKind, SnapshotReport};
use prunella_model::standing::{OrderRun, StandingOrder, StandingOrders};
use prunella_model::step::{Effect, Risk, Signal, Step, StepKind, TargetStep};
use prunella_model::{CommandId, Generation, Id, IncidentId, PartName, TargetRef, Timestamp};

/// A small deterministic generator: splitmix64.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// Numbers of every size, the extremes among them.
    fn number(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => u64::MAX,
            _ => {
                let shift = self.below(64);
                self.next() >> shift
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "arbitrary bits are wanted")]
    fn number32(&mut self) -> u32 {
        self.number() as u32
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.coin().then(|| make(self))
    }

    fn many<T>(&mut self, most: u64, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| make(self)).collect()
    }

    fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(&mut self) -> T {
        self.one(&["a", "web-1", "x.y_z", "db", "0", "n0123456789-0123456789-0123456789-0123456789-0123456789-012345"])
            .parse()
            .unwrap()
    }

    fn text(&mut self) -> String {
        self.one(&["", "why not", "größer als 5 µs", "line\nline", "\u{0}\u{10ffff}", "\"quoted\" {json}"]).to_owned()
    }

    fn bytes(&mut self) -> Vec<u8> {
        self.many(80, |it| it.next().to_le_bytes()[0])
    }

    fn bytes32(&mut self) -> [u8; 32] {
        std::array::from_fn(|_| self.next().to_le_bytes()[0])
    }

    fn digest(&mut self) -> Sha256 {
        Sha256(self.bytes32())
    }

    fn time(&mut self) -> Timestamp {
        Timestamp::from_micros(self.number())
    }

    fn span(&mut self) -> Duration {
        Duration::from_nanos(self.number())
    }

    fn id(&mut self) -> Id {
        Id { epoch: self.number(), counter: self.number() }
    }

    fn labels(&mut self) -> BTreeMap<String, String> {
        self.many(3, |it| (it.text(), it.text())).into_iter().collect()
    }

    fn instance(&mut self) -> Instance {
        Instance(self.text().into())
    }

    fn status(&mut self) -> Status {
        self.one(&[Status::Up, Status::Down, Status::Unknown])
    }

    fn kind(&mut self) -> ProbeKind {
        self.one(&ProbeKind::ALL)
    }

    fn step_kind(&mut self) -> StepKind {
        self.one(StepKind::ALL)
    }

    fn step(&mut self) -> TargetStep {
        use Signal::{Continue, Hangup, Kill, Terminate, User1, User2};
        let step = match self.step_kind() {
            StepKind::StartService => Step::StartService,
            StepKind::StopService => Step::StopService { grace: self.span() },
            StepKind::RestartService => Step::RestartService { grace: self.span() },
            StepKind::SignalProcess => {
                Step::SignalProcess { signal: self.one(&[Hangup, Terminate, Kill, Continue, User1, User2]) }
            }
            StepKind::CleanDirectory => {
                Step::CleanDirectory { directory: self.name(), until_percent: self.one(&[0, 60, 100]) }
            }
            StepKind::RestoreFile => Step::RestoreFile { file: self.name(), snapshot: self.digest() },
            kind => self.use_part(kind),
        };
        TargetStep { target: self.name(), step }
    }

    /// A step of a kind that acts on a declared part.
    pub(super) fn use_part(&mut self, kind: StepKind) -> Step {
        let value = match self.coin() {
            true => i64::MAX,
            false => -20,
        };
        let act = match kind {
            StepKind::RunDeclared => Act::RunDeclared { risk: self.one(&[Risk::Low, Risk::Dangerous]) },
            StepKind::OptimizeCache => Act::OptimizeCache { until_percent: self.one(&[0, 60, 100]) },
            StepKind::SwitchGeneration => Act::SwitchGeneration { to: self.name() },
            StepKind::SetWeight => Act::SetWeight { value },
            StepKind::SetSysctl => Act::SetSysctl { value },
            StepKind::SetServerWeight => Act::SetServerWeight { value },
            StepKind::ScaleInstances => Act::ScaleInstances { value },
            kind => {
                let act = super::step::encode_step_kind(kind);
                let plain =
                    crate::agent::v1::UsePart { part: self.name::<PartName>().to_string(), act, ..Default::default() };
                return super::part::use_part(plain).unwrap();
            }
        };
        Step::Use { part: self.name(), act }
    }

    fn part(&mut self) -> PartReport {
        PartReport {
            name: self.name(),
            kind: self.one(&PartKind::ALL),
            about: self.text(),
            acts: self.many(3, Self::step_kind),
            risk: self.one(&[Risk::Low, Risk::Medium, Risk::High, Risk::Dangerous]),
            limit: self.span(),
            setting: self.maybe(|it| Setting {
                now: it.maybe(|_| i64::MIN),
                least: -20,
                most: 19,
                goal: it.maybe(|_| 0),
            }),
            current: self.maybe(Self::name),
            known_good: self.maybe(Self::name),
            spare: self.maybe(Self::number32),
            undo: self.maybe(Self::name),
        }
    }

    fn precondition(&mut self) -> Precondition {
        match self.below(3) {
            0 => Precondition::Boot(BootId(self.text())),
            1 => Precondition::Instance { target: self.name(), instance: self.instance() },
            _ => Precondition::Observed { target: self.name(), probe: self.name(), status: self.status() },
        }
    }

    pub(super) fn intent(&mut self) -> Intent {
        Intent {
            schema: self.number32(),
            fleet: self.name(),
            host: self.name(),
            enrolment: self.number(),
            id: CommandId(self.id()),
            incident: IncidentId(self.id()),
            attempt: self.number32(),
            repair: self.name(),
            steps: self.many(20, Self::step),
            risk: self.one(&[Risk::Low, Risk::Medium, Risk::High, Risk::Dangerous]),
            effect: self.one(&[Effect::Idempotent, Effect::AtMostOnce]),
            preconditions: self.many(4, Self::precondition),
            verify: self.many(3, |it| (it.name(), it.name())),
            policy_version: self.number(),
            policy_hash: self.digest(),
            approvals_required: self.number32(),
            dry_run: self.coin(),
            max_run: self.span(),
            expires_at: self.time(),
        }
    }

    pub(super) fn delivery(&mut self) -> Delivery {
        Delivery {
            schema: self.number32(),
            intent: self.bytes(),
            challenge: Challenge(self.bytes32()),
            generation: Generation(self.id()),
            sequence: self.number(),
            issued_after: self.span(),
            lifetime: self.span(),
            delegation_version: self.number(),
        }
    }

    fn envelope(&mut self) -> Envelope {
        Envelope {
            payload_type: self.text(),
            payload: self.bytes(),
            signatures: self.many(3, |it| Signature { key_id: it.text(), signature: it.bytes() }),
        }
    }

    fn trust(&mut self) -> TrustBundle {
        TrustBundle { fleet: self.envelope(), delegation: self.envelope() }
    }

    fn finding(&mut self) -> Finding {
        match self.below(15) {
            0 => Finding::Running { instance: self.instance(), pid: self.number32() },
            1 => Finding::Exited {
                instance: self.instance(),
                code: self.maybe(|it| it.number32().cast_signed()),
                signal: self.maybe(|it| it.number32().cast_signed()),
                ran: self.maybe(Self::span),
            },
            2 => Finding::NotRunning,
            3 => Finding::StoppedOnPurpose,
            4 => Finding::Answered { latency: self.span() },
            5 => Finding::BadAnswer { code: self.maybe(|it| it.one(&[0, 503, u16::MAX])), why: self.text() },
            6 => Finding::NoAnswer { waited: self.span() },
            7 => Finding::Unreachable { why: self.text() },
            8 => Finding::FileAsKnown { sha256: self.digest() },
            9 => Finding::FileChanged { sha256: self.maybe(Self::digest), known_good: self.maybe(Self::digest) },
            10 => Finding::DirectoryUse { used_bytes: self.number(), quota_bytes: self.number() },
            11 => Finding::LinesMatched { count: self.number(), last: self.text() },
            12 => Finding::HostRead,
            13 => {
                Finding::Checked { level: self.one(&[Level::Good, Level::Warning, Level::Critical]), text: self.text() }
            }
            _ => Finding::ProbeBroken { why: self.text() },
        }
    }

    fn observation(&mut self) -> Observation {
        Observation {
            target: self.name(),
            probe: self.name(),
            kind: self.kind(),
            at: self.time(),
            status: self.status(),
            finding: self.finding(),
        }
    }

    fn series(&mut self) -> SeriesName {
        SeriesName { number: self.number32(), target: self.name(), metric: self.name() }
    }

    fn wait(&mut self) -> Wait {
        Wait { waiter: self.name(), on: TargetRef::new(self.name(), self.name()), what: self.text() }
    }

    fn frame(&mut self) -> Frame {
        Frame {
            at: self.time(),
            series: self.many(3, Self::series),
            samples: self.many(5, |it| Sample { series: it.number32(), value: it.one(&[0.0, -1.5, f64::MAX, 1e-300]) }),
            observations: self.many(4, Self::observation),
            late: self.coin(),
            waits: if self.coin() { Some(self.many(3, Self::wait)) } else { None },
        }
    }

    pub(super) fn refusal(&mut self) -> Refusal {
        let why = self.text();
        match self.below(25) {
            0 => Refusal::Oversized { bytes: self.number(), limit: self.number() },
            1 => Refusal::BadSignature { why },
            2 => Refusal::WrongType { found: why },
            3 => Refusal::Undecodable { why },
            4 => Refusal::NewerSchema { found: self.number32(), known: self.number32() },
            5 => Refusal::WrongFleet { found: why },
            6 => Refusal::WrongHost { found: why },
            7 => Refusal::WrongEnrolment { found: self.number(), own: self.number() },
            8 => Refusal::NoDelegation { why },
            9 => Refusal::OutsideDelegation { why },
            10 => Refusal::WrongChallenge,
            11 => Refusal::Expired { why },
            12 => Refusal::StaleGeneration { found: why, mark: self.text() },
            13 => Refusal::Replayed { found: self.number(), last: self.number() },
            14 => Refusal::AlreadyKnown,
            15 => Refusal::NotApproved { have: self.number32(), need: self.number32() },
            16 => Refusal::Dangerous,
            17 => Refusal::Understated { why },
            18 => Refusal::StepCount { found: self.number(), limit: self.number() },
            19 => Refusal::NotNamed { what: why },
            20 => Refusal::NotPermitted { step: self.step_kind(), target: self.name() },
            21 => Refusal::Paused { why },
            22 => Refusal::OverBudget { step: self.step_kind(), target: self.name(), limit: self.number32() },
            23 => Refusal::Precondition { why },
            _ => Refusal::ObserveOnly { why },
        }
    }

    pub(super) fn outcome(&mut self) -> OutcomeReport {
        let outcome = match self.below(5) {
            0 => Outcome::Done,
            1 => Outcome::Refused(self.refusal()),
            2 => Outcome::Failed { step: self.number32(), why: self.text() },
            3 => Outcome::Unknown { why: self.text() },
            _ => Outcome::Cancelled { done: self.number32() },
        };
        OutcomeReport {
            command: CommandId(self.id()),
            outcome,
            started_at: self.maybe(Self::time),
            ended_at: self.time(),
            notes: self.many(3, Self::text),
            confirmed_by: self.maybe(|it| (it.name(), it.name())),
            by_order: self.maybe(|it| OrderRun { target: it.name(), repair: it.name() }),
        }
    }

    fn dependency(&mut self) -> Dependency {
        match self.below(3) {
            0 => Dependency::Local(self.name()),
            1 => Dependency::Target(TargetRef::new(self.name(), self.name())),
            _ => Dependency::Service(self.name()),
        }
    }

    fn target(&mut self) -> TargetReport {
        TargetReport {
            name: self.name(),
            service: self.maybe(Self::name),
            labels: self.labels(),
            depends_on: self.many(3, Self::dependency),
            critical: self.coin(),
            probes: self.many(3, |it| ProbeReport {
                name: it.name(),
                kind: it.kind(),
                interval: it.span(),
                timeout: it.span(),
            }),
            permits: self.many(3, |it| Permit {
                step: it.step_kind(),
                per_hour: it.number32(),
                approvals: it.number32(),
            }),
            directories: self.many(2, |it| DirectoryReport {
                name: it.name(),
                path: it.text(),
                quota_bytes: it.number(),
            }),
            files: self.many(2, |it| FileReport {
                name: it.name(),
                path: it.text(),
                known_good: it.maybe(Self::digest),
            }),
            parts: self.many(2, Self::part),
        }
    }

    fn report(&mut self) -> HostReport {
        HostReport {
            agent_version: self.text(),
            boot: BootId(self.text()),
            labels: self.labels(),
            targets: self.many(3, Self::target),
            series: self.many(3, Self::series),
            observations: self.many(3, Self::observation),
            mark: Generation(self.id()),
            outcomes: self.many(3, Self::outcome),
            paused: self.maybe(Self::text),
            observe_only: self.maybe(Self::text),
            config: self.maybe(Self::digest),
            program: self.maybe(Self::digest),
            drift: self.maybe(Self::text),
            intervals: self.maybe(|it| IntervalRange { least: it.span(), most: it.span() }),
        }
    }

    fn snapshot(&mut self) -> SnapshotReport {
        SnapshotReport {
            id: self.number(),
            target: self.name(),
            part: self.name(),
            kind: self.one(&SnapshotKind::ALL),
            sha256: self.digest(),
            bytes: self.number(),
            taken_at: self.time(),
            held: self.coin(),
            intact: self.maybe(Self::coin),
        }
    }

    pub(super) fn agent(&mut self) -> AgentMessage {
        match self.below(8) {
            0 => AgentMessage::Hello {
                protocol: self.number32(),
                challenge: Challenge(self.bytes32()),
                at: self.time(),
                report: Box::new(self.report()),
            },
            1 => AgentMessage::Report(Box::new(self.report())),
            2 => AgentMessage::Frame(self.frame()),
            3 => AgentMessage::Heartbeat { at: self.time() },
            4 => AgentMessage::Accepted { command: CommandId(self.id()) },
            5 => AgentMessage::Outcome(self.outcome()),
            6 => {
                let answer = match self.below(4) {
                    0 => Answer::Snapshots(SnapshotAnswer::Failed { why: self.text() }),
                    1 => Answer::Snapshots(SnapshotAnswer::Snapshots(self.many(3, Self::snapshot))),
                    2 => Answer::Rehearsed(Rehearsal::Refused { why: self.text() }),
                    _ => {
                        let told = |it: &mut Self| StepTold { possible: it.coin(), text: it.text() };
                        Answer::Rehearsed(Rehearsal::Told(self.many(3, told)))
                    }
                };
                AgentMessage::Answer { number: self.number(), answer }
            }
            _ => AgentMessage::Goodbye { reason: self.text() },
        }
    }

    pub(super) fn standing(&mut self) -> StandingOrders {
        StandingOrders {
            schema: self.number32(),
            fleet: self.name(),
            host: self.name(),
            enrolment: self.number(),
            lifetime: self.span(),
            policy_version: self.number(),
            policy_hash: self.digest(),
            orders: self.many(3, |it| StandingOrder {
                target: it.name(),
                probe: it.name(),
                status: it.status(),
                held: it.span(),
                repair: it.name(),
                steps: it.many(3, Self::step),
                verify: it.many(2, |it| (it.name(), it.name())),
                runs: it.many(3, |it| CommandId(it.id())),
                incident: IncidentId(it.id()),
                max_run: it.span(),
            }),
        }
    }

    pub(super) fn server(&mut self) -> ServerMessage {
        match self.below(11) {
            9 => ServerMessage::Intervals(self.many(3, |it| (it.kind(), it.span()))),
            8 => ServerMessage::Standing(Box::new(self.envelope())),
            0 => ServerMessage::Welcome { at: self.time(), heartbeat: self.span(), trust: Box::new(self.trust()) },
            1 => ServerMessage::Trust(Box::new(self.trust())),
            2 => ServerMessage::Command(Box::new(SignedCommand {
                delivery: self.envelope(),
                approvals: self.many(2, Self::envelope),
            })),
            3 => ServerMessage::Cancel { command: CommandId(self.id()) },
            4 => {
                ServerMessage::Acknowledge { sequence: self.number(), outcomes: self.many(4, |it| CommandId(it.id())) }
            }
            5 => ServerMessage::ReportFully,
            6 => ServerMessage::ProbeNow { target: self.maybe(Self::name) },
            7 => {
                let question = match self.below(4) {
                    0 => Question::Snapshots(SnapshotAsk::List),
                    1 => Question::Snapshots(SnapshotAsk::Take {
                        target: self.maybe(Self::name),
                        kind: self.one(&SnapshotKind::ALL),
                    }),
                    2 => Question::Snapshots(SnapshotAsk::Verify { id: self.maybe(Self::number) }),
                    _ => Question::Rehearse(self.many(3, Self::step)),
                };
                ServerMessage::Ask { number: self.number(), question }
            }
            _ => ServerMessage::Reconnect { after: self.span(), reason: self.text() },
        }
    }
}

use super::*;

struct Place {
    dir: tempfile::TempDir,
    store: Snapshots,
    target: TargetName,
    file: PartName,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Snapshots::open(&dir.path().join("snapshots")).unwrap();
        Self { dir, store, target: TargetName::new("web").unwrap(), file: PartName::new("config").unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("web.conf")
    }

    fn write(&self, text: &str) -> Sha256 {
        fs::write(self.path(), text).unwrap();
        sha256(text.as_bytes())
    }

    fn keep(&self, verified: Sha256) -> bool {
        self.store.keep_known_good(&self.target, &self.file, &self.path(), verified).unwrap()
    }

    fn restore(&self, digest: Sha256) -> Result<String, SnapshotError> {
        self.store.restore(&self.target, &self.file, &self.path(), digest)
    }
}

#[test]
fn a_known_good_file_is_put_back_with_its_mode_and_the_repair_can_be_undone() {
    let it = Place::new();
    let good = it.write("good");
    fs::set_permissions(it.path(), Permissions::from_mode(0o640)).unwrap();
    assert!(it.keep(good));
    assert_eq!(it.store.known_good(&it.target, &it.file), Some(good));
    let bad = it.write("bad");
    assert!(it.restore(good).unwrap().contains("put back"));
    assert_eq!(fs::read_to_string(it.path()).unwrap(), "good");
    assert_eq!(fs::metadata(it.path()).unwrap().mode() & 0o777, 0o640);
    assert!(it.restore(good).unwrap().contains("already"), "again changes nothing");
    it.restore(bad).unwrap();
    assert_eq!(fs::read_to_string(it.path()).unwrap(), "bad", "what was replaced can be put back");
    fs::remove_file(it.path()).unwrap();
    it.restore(good).unwrap();
    assert_eq!(fs::read_to_string(it.path()).unwrap(), "good", "a missing file too");
    let again = Snapshots::open(&it.dir.path().join("snapshots")).unwrap();
    assert_eq!(again.known_good(&it.target, &it.file), Some(good), "and after a restart of the agent");
    assert_eq!(fs::read_dir(it.dir.path()).unwrap().count(), 2, "nothing is left beside the file");
}

#[test]
fn only_the_verified_content_becomes_known_good() {
    let it = Place::new();
    let good = it.write("good");
    it.write("changed meanwhile");
    assert!(!it.keep(good));
    assert_eq!(it.store.known_good(&it.target, &it.file), None);
}

#[test]
fn damaged_unknown_and_foreign_snapshots_are_not_put_back() {
    let it = Place::new();
    let good = it.write("good");
    it.keep(good);
    it.write("bad");
    fs::write(it.store.object(good), "tampered").unwrap();
    assert!(matches!(it.restore(good), Err(SnapshotError::Damaged { .. })));
    assert!(matches!(it.restore(sha256(b"other")), Err(SnapshotError::Missing { .. })));
    let other = PartName::new("other").unwrap();
    let foreign = it.store.restore(&it.target, &other, &it.path(), good);
    assert!(matches!(foreign, Err(SnapshotError::Missing { .. })), "another file's content is not this one's");
    assert_eq!(fs::read_to_string(it.path()).unwrap(), "bad");
}

#[test]
fn a_link_is_neither_read_nor_replaced() {
    let it = Place::new();
    let good = it.write("good");
    it.keep(good);
    let elsewhere = it.dir.path().join("elsewhere");
    fs::write(&elsewhere, "secret").unwrap();
    fs::remove_file(it.path()).unwrap();
    std::os::unix::fs::symlink(&elsewhere, it.path()).unwrap();
    assert!(matches!(digest_of(&it.path()), Err(SnapshotError::Unfit { .. })));
    assert!(matches!(it.restore(good), Err(SnapshotError::Unfit { .. })));
}

#[test]
fn the_oldest_go_but_never_the_current_known_good_one() {
    let it = Place::new();
    let good = it.write("good");
    it.keep(good);
    for n in 0..SNAPSHOTS_MAX + 10 {
        it.write(&format!("bad {n}"));
        it.restore(good).unwrap();
    }
    assert_eq!(it.store.known_good(&it.target, &it.file), Some(good));
    assert_eq!(it.store.entries().len(), SNAPSHOTS_MAX);
    assert_eq!(fs::read_dir(it.dir.path().join("snapshots/objects")).unwrap().count(), SNAPSHOTS_MAX);
    assert!(matches!(it.restore(sha256(b"bad 0")), Err(SnapshotError::Missing { .. })));
}

#[test]
fn nobody_can_lead_a_restore_elsewhere_by_a_link() {
    if !rustix::process::geteuid().is_root() {
        // Only root can lay a link for somebody else; what decides is tested for everybody in `safe_dir`.
        return;
    }
    let it = Place::new();
    let (there, elsewhere) = (it.dir.path().join("app"), it.dir.path().join("elsewhere"));
    fs::create_dir(&there).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    let path = there.join("web.conf");
    fs::write(&path, "good").unwrap();
    let good = sha256(b"good");
    assert!(it.store.keep_known_good(&it.target, &it.file, &path, good).unwrap());
    fs::remove_dir_all(&there).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &there).unwrap();
    std::os::unix::fs::lchown(&there, Some(1), Some(1)).unwrap();
    let error = it.store.restore(&it.target, &it.file, &path, good).unwrap_err();
    assert!(error.to_string().contains("leads out of what its owner owns"), "{error}");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

const TOML: &str = r#"
[[target]]
name = "web"
[[target.file]]
name = "config"
path = "web.conf"
[[target.file]]
name = "missing"
path = "missing.conf"
"#;

#[test]
fn snapshots_are_taken_listed_and_verified_when_asked_for() {
    use prunella_model::snapshot::{SnapshotAnswer, SnapshotAsk, SnapshotReport};

    use crate::config::AgentConfig;
    let it = Place::new();
    let config = AgentConfig::parse("agent.toml", TOML, it.dir.path(), "h1").unwrap();
    let ask = |ask: SnapshotAsk| -> Result<Vec<SnapshotReport>, String> {
        match it.store.answer(&config, &ask) {
            SnapshotAnswer::Snapshots(all) => Ok(all),
            SnapshotAnswer::Failed { why } => Err(why),
        }
    };
    let manual = || SnapshotAsk::Take { target: Some(it.target.clone()), kind: SnapshotKind::Manual };
    assert!(ask(manual()).unwrap_err().contains("no declared file"));
    let good = it.write("good");
    it.keep(good);
    let taken = ask(manual()).unwrap();
    assert_eq!((taken.len(), taken[0].id, taken[0].sha256, taken[0].bytes, taken[0].held), (1, 2, good, 4, false));
    it.write("bad");
    it.restore(good).unwrap();
    let listed = ask(SnapshotAsk::List).unwrap();
    let kinds: Vec<_> = listed.iter().map(|it| (it.id, it.kind, it.held, it.intact)).collect();
    let expected = [
        (1, SnapshotKind::KnownGood, true, None),
        (2, SnapshotKind::Manual, false, None),
        (3, SnapshotKind::PreRepair, true, None),
    ];
    assert_eq!(kinds, expected);
    assert!(ask(SnapshotAsk::Verify { id: None }).unwrap().iter().all(|it| it.intact == Some(true)));
    fs::write(it.store.object(good), "tampered").unwrap();
    assert_eq!(ask(SnapshotAsk::Verify { id: Some(2) }).unwrap()[0].intact, Some(false));
    assert_eq!(ask(SnapshotAsk::Verify { id: Some(9) }).unwrap_err(), "there is no snapshot 9");
    let own = SnapshotAsk::Take { target: None, kind: SnapshotKind::KnownGood };
    assert!(ask(own).unwrap_err().contains("taken by the agent itself"));
    let other = SnapshotAsk::Take { target: Some(TargetName::new("db").unwrap()), kind: SnapshotKind::Manual };
    assert_eq!(ask(other).unwrap_err(), "agent.toml names no target db");
}

#[test]
fn what_an_incident_may_put_back_outlives_what_people_took() {
    let it = Place::new();
    let good = it.write("good");
    it.keep(good);
    it.write("broken by hand");
    it.restore(good).unwrap();
    for n in 0..SNAPSHOTS_MAX + 10 {
        let digest = it.write(&format!("taken {n}"));
        let content = read(&it.path()).unwrap();
        assert_eq!(content.digest, digest);
        it.store.keep(&it.target, &it.file, SnapshotKind::Manual, &content).unwrap();
    }
    assert_eq!(it.store.entries().len(), SNAPSHOTS_MAX);
    let broken = sha256(b"broken by hand");
    it.restore(broken).unwrap();
}

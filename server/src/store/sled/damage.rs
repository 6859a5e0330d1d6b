//! What a sled store does when its files are damaged, its process is killed or its disk is full.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use super::*;
use crate::store::{Guard, Op};

fn put(key: &str, value: Vec<u8>) -> Txn {
    Txn { guards: Vec::new(), ops: vec![Op::Put { key: key.to_owned(), value }] }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Steps of a generator for test inputs: SplitMix64.
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut it = *seed;
    it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}

/// A closed store with values that were written, overwritten and removed, and what it holds.
fn sample(state: &Path) -> BTreeMap<String, Vec<u8>> {
    let runtime = runtime();
    // Opened several times, so that sled's own snapshots are among the files.
    for round in 0..4_u64 {
        let store = SledStore::open(state).unwrap();
        runtime.block_on(async {
            let led = store.campaign("decider").await.unwrap();
            let mut pending = Vec::new();
            for n in 0..120_u64 {
                let value = vec![u8::try_from(n % 251).unwrap(); usize::try_from(n * 7 + round).unwrap()];
                let mut txn = put(&format!("k{:03}", n + round * 10), value);
                txn.guards.push(Guard::Fence(led.clone()));
                txn.ops.push(Op::Delete { key: format!("k{:03}", n / 2) });
                if txn.ops[0].key() != txn.ops[1].key() {
                    pending.push(store.commit(txn));
                }
            }
            for commit in pending {
                commit.await.unwrap();
            }
        });
    }
    let store = SledStore::open(state).unwrap();
    runtime.block_on(store.export()).unwrap().entries
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if fs::metadata(&path).unwrap().len() > 0 {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files(dir).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { assert!(fs::copy(&path, &target).is_ok()) }
    }
}

/// Damages one place of one file. Half of the places are where sled has written, the rest anywhere.
fn damage(path: &Path, seed: &mut u64) -> String {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    let content = fs::read(path).unwrap();
    let written = content.iter().rposition(|byte| *byte != 0).map_or(length, |at| at as u64 + 1);
    let at = next(seed) % if next(seed).is_multiple_of(2) { written } else { length };
    match next(seed) % 4 {
        0 => {
            file.set_len(at).unwrap();
            format!("{} cut at {at} of {length}", path.display())
        }
        1 => {
            let end = usize::try_from((at + 4096).min(length)).unwrap();
            file.write_all_at(&vec![0; end - usize::try_from(at).unwrap()], at).unwrap();
            format!("{} zeroed from {at}", path.display())
        }
        _ => {
            let byte = content[usize::try_from(at).unwrap()] ^ (1 << (next(seed) % 8));
            file.write_all_at(&[byte], at).unwrap();
            format!("{} flipped at {at}", path.display())
        }
    }
}

#[test]
fn damaged_files_are_refused_or_do_no_harm() {
    let rounds = std::env::var("PRUNELLA_DAMAGE_ROUNDS").ok().and_then(|it| it.parse().ok()).unwrap_or(200_u64);
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let content = sample(&whole);
    let runtime = runtime();
    let (mut refused, mut same) = (0, 0);
    for round in 0..rounds {
        let mut seed = round;
        let state = dir.path().join(format!("round-{round}"));
        copy(&whole, &state);
        let all = files(&state);
        let path = &all[usize::try_from(next(&mut seed) % all.len() as u64).unwrap()];
        let what = damage(path, &mut seed);
        let before = contents(&state.join("store"));
        match SledStore::open(&state) {
            Ok(store) => {
                let found = runtime.block_on(store.export()).unwrap().entries;
                assert!(found == content, "round {round}: unseen damage: {what}");
                same += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains("prunella store import --dir"), "round {round}: {what}: {error}");
                assert!(contents(&state.join("store")) == before, "round {round}: {what}: it was changed: {error}");
                refused += 1;
            }
        }
        assert!(!state.join("store.found").exists(), "round {round}");
        fs::remove_dir_all(&state).unwrap();
    }
    println!("{rounds} damaged stores: {refused} refused, {same} opened with the same content");
    assert!(refused > 0 && same > 0, "the damage must hit and miss: {refused} refused, {same} opened");
}

#[test]
fn a_store_that_lost_its_tail_or_its_files_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let (state, before) = (dir.path().join("state"), dir.path().join("before"));
    sample(&state);
    copy(&state, &before);
    let store = SledStore::open(&state).unwrap();
    runtime().block_on(store.commit(put("late", b"x".to_vec()))).unwrap();
    drop(store);
    // An intact store of before, beside the mark of now: exactly what a lost tail looks like.
    fs::remove_dir_all(state.join("store")).unwrap();
    copy(&before.join("store"), &state.join("store"));
    let error = SledStore::open(&state).unwrap_err();
    assert!(matches!(&error, OpenError::Damaged { why, .. } if why.contains("was acknowledged")), "{error}");
    fs::remove_dir_all(state.join("store")).unwrap();
    let error = SledStore::open(&state).unwrap_err();
    assert!(matches!(&error, OpenError::Damaged { why, .. } if why.contains("gone")), "{error}");
    fs::create_dir_all(state.join("store")).unwrap();
    fs::write(state.join("store/db"), b"").unwrap();
    assert!(matches!(SledStore::open(&state).unwrap_err(), OpenError::Damaged { .. }));
}

#[test]
fn a_refused_store_goes_on_from_its_export() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let content = sample(&state);
    let store = SledStore::open(&state).unwrap();
    let exported = runtime().block_on(store.export()).unwrap();
    let file = export::write(&state.join("export"), &exported).unwrap();
    assert!(matches!(import(&state, &file), Err(ImportError::Open(OpenError::Locked { .. }))));
    drop(store);
    fs::write(state.join("store/db"), b"nonsense").unwrap();
    let refusal = SledStore::open(&state).unwrap_err().to_string();
    let command = format!("prunella store import --dir {} {}", dir.path().display(), file.display());
    assert!(refusal.contains(&command), "{refusal}");
    let imported = import(&state, &file).unwrap();
    assert_eq!((imported.entries, imported.replaced.is_some()), (content.len(), true));
    let store = SledStore::open(&state).unwrap();
    let found = runtime().block_on(store.export()).unwrap();
    assert_eq!((&found.entries, &found.terms), (&content, &exported.terms));
    assert!(found.revision > exported.revision);
}

#[test]
fn two_processes_cannot_use_one_store() {
    let dir = tempfile::tempdir().unwrap();
    let first = SledStore::open(dir.path()).unwrap();
    assert!(matches!(SledStore::open(dir.path()), Err(OpenError::Locked { .. })));
    drop(first);
    SledStore::open(dir.path()).unwrap();
}

const CHILD_DIR: &str = "PRUNELLA_TEST_STORE_CHILD";

/// Not a test by itself: the process that the tests below kill. Says each commit once it is acknowledged.
#[test]
fn child_that_writes() {
    let Some(state) = std::env::var_os(CHILD_DIR) else { return };
    let store = SledStore::open(Path::new(&state)).unwrap();
    let bytes: usize = std::env::var("PRUNELLA_TEST_STORE_BYTES").unwrap().parse().unwrap();
    runtime().block_on(async {
        let from = store.list("n", Page::default()).await.unwrap().entries.len();
        for n in from.. {
            // In flight together, as the server has them.
            let pair = [n * 2, n * 2 + 1].map(|n| (n, store.commit(put(&format!("n{n:06}"), vec![b'x'; bytes]))));
            for (n, commit) in pair {
                match commit.await {
                    Ok(_) => println!("\nacknowledged {n}"),
                    Err(error) => {
                        println!("\nfailed {error}");
                        return;
                    }
                }
            }
        }
    });
}

fn child(state: &Path, bytes: usize, limit: Option<u64>) -> std::process::Child {
    let program = std::env::current_exe().unwrap();
    let name = "store::sled::damage::child_that_writes";
    let mut command = Command::new("sh");
    // A limit on the size of files is a full disk that needs no root; without the signal it is an error of write(2).
    let limits = limit.map_or_else(String::new, |blocks| format!("trap '' XFSZ; ulimit -f {blocks}; "));
    command.arg("-c").arg(format!("{limits}exec \"$0\" --exact {name} --nocapture --test-threads 1")).arg(program);
    command.env(CHILD_DIR, state).env("PRUNELLA_TEST_STORE_BYTES", bytes.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn acknowledged(line: &str) -> Option<usize> {
    line.strip_prefix("acknowledged ")?.parse().ok()
}

fn assert_holds(state: &Path, said: &[usize], bytes: usize) {
    let store = SledStore::open(state).unwrap();
    let found = runtime().block_on(store.export()).unwrap().entries;
    for n in said {
        let value = found.get(&format!("n{n:06}"));
        assert!(value.is_some_and(|it| it.len() == bytes), "commit {n} was acknowledged and is lost");
    }
}

#[test]
fn kill_9_loses_no_acknowledged_commit() {
    let dir = tempfile::tempdir().unwrap();
    let mut said = Vec::new();
    for round in 0..8 {
        let mut process = child(dir.path(), 300, None);
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let until = said.len() + 20 + round * 13;
        for line in lines {
            said.extend(acknowledged(&line.unwrap()));
            if said.len() >= until {
                break;
            }
        }
        process.kill().unwrap();
        process.wait().unwrap();
        assert_holds(dir.path(), &said, 300);
    }
}

#[test]
fn a_full_disk_stops_writing_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // The directory is made without the limit, so that only writing meets it.
    drop(SledStore::open(dir.path()).unwrap());
    let mut process = child(dir.path(), 20_000, Some(4_000));
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    let mut failed = false;
    for line in lines {
        let line = line.unwrap();
        failed |= line.starts_with("failed ");
        said.extend(acknowledged(&line));
        assert!(said.len() < 10_000, "the limit was never met");
    }
    process.wait().unwrap();
    assert!(!said.is_empty() && failed, "it must write, then fail: {} acknowledged", said.len());
    assert_holds(dir.path(), &said, 20_000);
}

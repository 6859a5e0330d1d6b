use std::collections::BTreeMap;

use super::*;

fn sample(dir: &Path, text: &str) -> (PathBuf, Manifest, Vec<Content>) {
    let path = dir.join("a");
    fs::write(&path, text).unwrap();
    let manifest = Manifest {
        prunella_backup: archive::VERSION,
        fleet: "f".to_owned(),
        made: "2026-03-01T12:00:00Z".to_owned(),
        program: "0".to_owned(),
        files: BTreeMap::new(),
        missing: vec!["root keys".to_owned()],
    };
    let content = Content { name: "state/audit/a".to_owned(), path, secret: true, bytes: text.len() as u64 };
    (dir.join("f.backup"), manifest, vec![content])
}

#[test]
fn what_was_written_is_read_and_nothing_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (file, manifest, contents) = sample(dir.path(), "content");
    let written = archive::write(&file, manifest.clone(), &contents).unwrap();
    let mut found = String::new();
    let read = archive::read(&file, |_, name, content| {
        assert_eq!(name, "state/audit/a");
        content.read_to_string(&mut found).map(drop).map_err(Into::into)
    });
    assert_eq!((read.unwrap(), found.as_str()), (written, "content"));
    let again = archive::write(&file, manifest, &contents).unwrap_err();
    assert!(format!("{again:#}").contains("nothing is replaced"), "{again:#}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no draft is left behind");
}

#[test]
fn every_damage_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (file, manifest, contents) = sample(dir.path(), &"content".repeat(100));
    archive::write(&file, manifest, &contents).unwrap();
    let whole = fs::read(&file).unwrap();
    let fails = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        archive::read(&file, |_, _, _| Ok(())).is_err()
    };
    // Cut anywhere, or one byte changed anywhere but in gzip's own header, which says nothing of the content.
    for at in (0..whole.len()).step_by(7) {
        assert!(fails(&whole[..at]), "cut at {at}");
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        assert!(at < 10 || fails(&changed), "changed at {at}");
    }
    assert!(!fails(&whole));
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (file, mut manifest, contents) = sample(dir.path(), "content");
    manifest.prunella_backup = archive::VERSION + 1;
    archive::write(&file, manifest, &contents).unwrap();
    let error = archive::read(&file, |_, _, _| Ok(())).unwrap_err();
    assert!(error.to_string().contains("upgrade it"), "{error}");
}

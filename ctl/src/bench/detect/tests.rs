use super::data::{Host, Series};
use super::judge::{Count, judge};
use super::nab;

/// A host with a row each ten minutes; `labels` and `scores` by row.
fn host(labels: &[u8]) -> Host {
    Host {
        times: (0..labels.len() as u64).map(|row| row * 600).collect(),
        rows: vec![Vec::new(); labels.len()],
        labels: labels.iter().map(|it| *it == 1).collect(),
        train: 0,
    }
}

#[test]
fn a_range_counts_once_and_a_lasting_false_alarm_each_hour() {
    let host = host(&[0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    let scores = [0., 0., 9., 9., 9., 0., 0., 0., 0., 9., 9., 9., 9., 9., 9., 9., 0., 0.];
    // The alarm of the range goes on for one row, which is the same incident. The one of seven rows lasts over an hour.
    let expected = Count { found: 1, ranges: 2, false_ones: 2, delay: 600.0 };
    assert_eq!(Count::of(&host, &scores, 5.0), expected);
    assert!((expected.f1() - 2.0 / 5.0).abs() < 1e-9);
    assert_eq!(expected.recall(), Some(0.5));
    assert_eq!(Count::of(&host, &scores, 10.0), Count { ranges: 2, ..Count::default() });
}

#[test]
fn history_is_not_scored() {
    let mut host = host(&[1, 0, 1, 0]);
    host.train = 2;
    let found = Count::of(&host, &[9., 9., 9., 0.], 5.0);
    assert_eq!(found, Count { found: 1, ranges: 1, false_ones: 0, delay: 0.0 });
}

#[test]
fn a_threshold_is_chosen_on_the_others() {
    // What is best for the one is useless for the other: its range scores lower than the other's noise.
    let hosts = [host(&[0, 0, 0, 1]), host(&[0, 0, 0, 1])];
    let scores = [vec![0., 0., 0., 3.], vec![4., 0., 0., 8.]];
    let verdict = judge(&hosts, &scores, |_| 5.0);
    assert_eq!(verdict.event_f1, Some(0.5), "host 1 at host 0's threshold: one found, one false; host 0: missed");
    assert_eq!(verdict.recall_at_0_1, Some(0.5));
    assert_eq!(judge(&hosts[..1], &scores[..1], |_| 5.0).event_f1, None, "there is no other");
}

#[test]
fn nab_counts_early_hits_most() {
    let series = |values: usize| Series { times: Vec::new(), values: vec![0.0; values], windows: vec![(50, 59)] };
    let with = |rows: &[usize]| {
        let mut scores = vec![0.0; 100];
        rows.iter().for_each(|row| scores[*row] = 1.0);
        nab::score(&[series(100)], &[scores]).unwrap()
    };
    assert!((with(&[50]) - 100.0).abs() < 1e-9, "at the start of the window");
    assert!(with(&[58]) < with(&[52]), "late");
    assert!((with(&[50, 99]) - 94.5).abs() < 1e-9, "a false alarm costs 0.11 of 2");
}

#[test]
fn a_directory_without_data_is_said() {
    let empty = tempfile::tempdir().unwrap();
    assert!(super::data::sets(empty.path()).unwrap().is_empty());
    std::fs::write(empty.path().join("index.json"), r#"{"asd":{"hosts":{"a":{"train_rows":1}}}}"#).unwrap();
    let error = super::data::sets(empty.path()).unwrap_err().to_string();
    assert!(error.contains("a.csv: no such file"), "{error}");
}

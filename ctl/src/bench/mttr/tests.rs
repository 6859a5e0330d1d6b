use super::*;

fn entry(name: &'static str, first_line: &[u64], again: &[u64], failed: Option<&str>) -> Entry<'static> {
    let times = |all: &[u64]| all.iter().copied().map(Duration::from_millis).collect();
    let measured = Measured {
        first_line: times(first_line),
        verified: Vec::new(),
        again: times(again),
        failed: failed.map(str::to_owned),
    };
    Entry { title: Title::own(name), subject: Err("not installed: apt-get install it".to_owned()), measured }
}

#[test]
fn ratios_are_of_medians_and_what_was_not_measured_is_null() {
    let entries = [
        entry(OWN, &[4, 2, 900], &[5], None),
        entry("slow", &[1_000, 1_000, 1_010], &[], Some("killed again 100 ms after: it did not start again")),
        entry("absent", &[], &[], None),
    ];
    let rows = rows(&entries);
    assert_eq!(rows[0].times_ours, Some(1.0));
    assert_eq!(rows[1].times_ours, Some(250.0));
    assert_eq!((rows[1].again_times_ours, rows[1].again.is_none()), (None, true));
    let json = serde_json::to_value(&rows).unwrap();
    assert_eq!(json[1]["missing"], "killed again 100 ms after: it did not start again");
    assert_eq!(json[2]["missing"], "not installed: apt-get install it");
    assert!(json[2]["first_line"].is_null() && json[2]["times_ours"].is_null(), "{json}");
}

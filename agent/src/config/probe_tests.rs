//! The table of probes: what its examples, its keys and its page say is what is read.

use std::path::Path;

use prunella_model::observation::ProbeKind;

use super::AgentConfig;
use super::keys::Otherwise;
use super::probes::{COMMON, ROWS, Row, Stands};

fn parse(text: &str) -> Result<AgentConfig, String> {
    AgentConfig::parse("agent.toml", text, Path::new("/etc/prunella"), "web-1").map_err(|it| it.to_string())
}

/// A file that has a probe with these keys where its kind may stand.
fn around(row: &Row, keys: &str) -> String {
    if row.stands == Stands::Host {
        return format!("[[host.probe]]\n{keys}\n");
    }
    let manager = match row.kind {
        ProbeKind::Process => "manager = \"command\"\nstart = [\"/bin/true\"]\n",
        ProbeKind::Unit => "manager = \"systemd\"\nunit = \"a.service\"\n",
        _ => "",
    };
    format!("[[target]]\nname = \"it\"\n{manager}[[target.probe]]\n{keys}\n")
}

fn without(example: &str, key: &str) -> String {
    let lines = example.lines().filter(|line| line.split('=').next().map(str::trim) != Some(key));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn probes_are_read_as_their_examples_say() {
    for row in ROWS {
        let kind = row.kind.as_str();
        let config = parse(&around(row, row.example)).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let probe = match row.stands {
            Stands::Host => config.host_probes.last().unwrap(),
            Stands::Target | Stands::Anywhere => config.targets[0].probes.first().unwrap(),
        };
        assert_eq!(probe.subject.kind(), row.kind, "{kind}: the kind that its subject says");
        assert!(probe.timeout > std::time::Duration::ZERO && probe.jitter <= probe.interval, "{kind}");
    }
}

#[test]
fn probes_need_what_they_need_and_take_nothing_else() {
    for row in ROWS {
        let kind = row.kind.as_str();
        for key in row.keys {
            if let Otherwise::Needed(example) = key.otherwise {
                let error = parse(&around(row, &without(row.example, key.name))).unwrap_err();
                let expected = format!("a {kind} probe needs {}, for example {example:?}", key.name);
                assert!(error.contains(&expected), "{kind}: {error}");
            }
            // No key holds this.
            let twisted = format!("{}\n{} = 1979-05-27", without(row.example, key.name), key.name);
            let error = parse(&around(row, &twisted)).unwrap_err();
            assert!(error.starts_with("agent.toml:") && error.contains(key.name), "{kind}: {error}");
        }
        let error = parse(&around(row, &format!("{}\nnamme = \"x\"", row.example))).unwrap_err();
        assert!(error.contains("unknown key \"namme\"") && error.contains("did you mean \"name\"?"), "{kind}: {error}");
        let foreign = ROWS.iter().flat_map(|it| it.keys).find(|key| row.keys.iter().all(|own| own.name != key.name));
        if let Some(foreign) = foreign {
            let error = parse(&around(row, &format!("{}\n{} = \"x\"", row.example, foreign.name))).unwrap_err();
            assert!(error.contains(&format!("a {kind} probe has no {}", foreign.name)), "{error}");
        }
        if row.stands != Stands::Anywhere {
            let elsewhere = if row.stands == Stands::Host {
                "[[target]]\nname = \"it\"\n[[target.probe]]\n"
            } else {
                "[[host.probe]]\n"
            };
            let error = parse(&format!("{elsewhere}{}", row.example)).unwrap_err();
            assert!(error.contains("probe goes under") || error.contains("looks at the whole host"), "{error}");
        }
    }
}

#[test]
fn probes_have_names_and_words_of_their_own() {
    for (at, row) in ROWS.iter().enumerate() {
        assert!(ROWS.iter().skip(at + 1).all(|other| other.kind != row.kind), "{} twice", row.kind.as_str());
        let keys = || COMMON.iter().chain(row.keys);
        for key in keys() {
            assert_eq!(keys().filter(|it| it.name == key.name).count(), 1, "{}: {} twice", row.kind.as_str(), key.name);
        }
    }
    let elsewhere = [ProbeKind::Host, ProbeKind::Directory, ProbeKind::File];
    for kind in ProbeKind::ALL {
        let has_row = ROWS.iter().any(|row| row.kind == kind);
        assert!(has_row != elsewhere.contains(&kind), "{} has no row", kind.as_str());
    }
}

#[test]
fn probes_page_is_as_the_table_says() {
    const BEGIN: &str = "<!-- probes: begin; made by `UPDATE_EXPECT=1 cargo test --workspace --lib probes_page` -->\n";
    const END: &str = "<!-- probes: end -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/probes.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page's begin mark");
    let (found, after) = rest.split_once(END).expect("the page's end mark");
    let expected = super::guide();
    if found == expected {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_EXPECT").is_some(),
        "docs/probes.md is not as the table says; set UPDATE_EXPECT=1"
    );
    std::fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
}

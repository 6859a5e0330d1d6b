//! What expressions mean, what is refused and how that is said.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says why")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use prunella_engine::custom::{Fact, Facts, Judge as _, Named, SCHEMA, Shape, Truth};
use prunella_expr::{Expression, TEXT_MAX};

fn text(it: &str) -> Fact {
    Fact::Text(it.to_owned())
}

fn map(it: &[(&str, Fact)]) -> Fact {
    Fact::Map(it.iter().map(|(name, fact)| ((*name).to_owned(), fact.clone())).collect())
}

fn facts() -> Facts {
    let http = map(&[
        ("status", text("down")),
        ("since", Fact::Number(42.0)),
        ("kind", text("http")),
        ("finding", text("no_answer")),
    ]);
    let target = map(&[
        ("name", text("web")),
        ("kind", text("service")),
        ("labels", map(&[("tier", text("gold")), ("zone", text("a"))])),
        ("critical", Fact::Flag(true)),
    ]);
    let host = map(&[
        ("name", text("h1")),
        ("labels", map(&[])),
        ("metrics", map(&[("cpu.used_percent", Fact::Number(97.0))])),
    ]);
    let metrics = map(&[("process.rss_bytes", Fact::Number(6e8)), ("process.threads", Fact::Number(12.0))]);
    BTreeMap::from([
        ("target".to_owned(), target),
        ("host".to_owned(), host),
        ("metrics".to_owned(), metrics),
        ("probes".to_owned(), map(&[("http", http)])),
    ])
}

fn compile(when: &str) -> Expression {
    Expression::new(when).unwrap()
}

fn truth(when: &str) -> Truth {
    compile(when).judge(&facts())
}

#[test]
fn conditions_say_what_they_mean() {
    for yes in [
        "target.kind == 'service' && metrics['process.rss_bytes'] > 5e8",
        "metrics['process.rss_bytes'] > 500000000",
        "metrics['process.rss_bytes'] / 2.0 < 5e8 && 1 + 2 * 3 == 7 && -7 / 2 == -3 && 7 % 4 == 3",
        "probes.http.status == 'down' && probes.http.since >= 30.0",
        "probes['http'].finding in ['no_answer', 'unreachable']",
        "target.labels.tier == 'gold' && !has(target.labels.rack)",
        "'process.threads' in metrics && !('process.nothing' in metrics)",
        "host.metrics['cpu.used_percent'] > 90 || false",
        "!has(target.service) && target.critical",
        "target.name.startsWith('w') && target.name.endsWith('b') && target.name.contains('e') && size(target.name) == 3",
        "target.labels.exists(k, target.labels[k] == 'gold') && !target.labels.all(k, k == 'tier')",
        "[1, 2, 3].filter(x, x > 1).map(x, x * 2) == [4, 6] && [1, 2, 2].exists_one(x, x == 1)",
        "(target.critical ? 5 : 6) == 5 && string(5) == '5' && int('7') == 7 && double(2) == 2.0",
        "size(metrics) == 2 && size(target.labels) == 2",
    ] {
        assert_eq!(truth(yes), Truth::True, "{yes}");
    }
    assert_eq!(truth("metrics['process.rss_bytes'] < 5e8"), Truth::False);
}

#[test]
fn what_is_missing_is_unknown_and_never_zero() {
    assert_eq!(truth("metrics['queue.length'] < 10"), Truth::Unknown("queue.length".to_owned()));
    assert_eq!(truth("target.service == 'web'"), Truth::Unknown("service".to_owned()));
    assert_eq!(truth("has(metrics.queue) && metrics.queue < 10"), Truth::False);
    // One side that settles it is enough, on either side.
    assert_eq!(truth("metrics['queue.length'] < 10 || target.critical"), Truth::True);
    assert_eq!(truth("metrics['queue.length'] < 10 && !target.critical"), Truth::False);
    assert_eq!(truth("['x', 'tier'].exists(k, target.labels[k] == 'gold')"), Truth::True);
    assert_eq!(truth("['x', 'tier'].all(k, target.labels[k] == 'gold')"), Truth::Unknown("x".to_owned()));
}

#[test]
fn what_cannot_be_computed_is_broken() {
    let broken = |when: &str| matches!(truth(when), Truth::Broken(_));
    assert!(broken("1 / (size(target.name) - 3) == 1"));
    assert!(broken("[1, 2][size(target.name)] == 1"));
    assert!(broken("int(target.name) == 1"));
    assert!(broken("9223372036854775807 + size(target.name) > 0"));
    // A defect is said even when a fact is missing beside it.
    assert!(broken("metrics['queue.length'] < 10 && int(target.name) == 1"));
}

#[test]
fn an_evaluation_has_a_budget() {
    let many: Facts = (0..30_000).map(|i| (format!("m{i}"), Fact::Number(1.0))).collect();
    let mut facts = facts();
    facts.insert("metrics".to_owned(), Fact::Map(many));
    let it = compile("metrics.exists(m, metrics[m] > 2.0)");
    assert_eq!(it.judge(&facts), Truth::Broken("it takes more than 20000 steps".to_owned()));
}

#[test]
fn what_is_used_is_known() {
    let names = |names: &[&str]| Named::These(names.iter().map(|it| (*it).to_owned()).collect::<BTreeSet<_>>());
    let uses = compile("metrics['a.b'] > 1 && has(metrics.c) && 'd' in host.metrics && probes.http.status == 'up'");
    assert_eq!(uses.uses().metrics, names(&["a.b", "c"]));
    assert_eq!(uses.uses().host_metrics, names(&["d"]));
    assert_eq!(uses.uses().probes, names(&["http"]));
    assert_eq!(compile("metrics.exists(m, metrics[m] > 2.0)").uses().metrics, Named::All);
    assert_eq!(compile("metrics[target.name] > 2.0").uses().metrics, Named::All);
}

fn refused(when: &str, expected: &Expect) {
    let mut said = String::new();
    match Expression::new(when) {
        Ok(it) => it.notes().iter().for_each(|flaw| said += &format!("note: {}\n{}\n", flaw.what, flaw.caret(when))),
        Err(flaws) => {
            for flaw in flaws {
                let (line, column) = flaw.place(when);
                let _ = writeln!(said, "{line}:{column}: {}\n{}", flaw.what, flaw.caret(when));
            }
        }
    }
    expected.assert_eq(&said);
}

#[test]
fn flaws_point_at_their_place() {
    refused(
        "metric['a'] > 1",
        &expect![[r#"
        1:1: nothing is called "metric"; did you mean "metrics"? There are: host, metrics, probes, target
          | metric['a'] > 1
          | ^^^^^^
    "#]],
    );
    refused(
        "target.knd == 'service'",
        &expect![[r#"
        1:8: there is no "knd" here; did you mean "kind"? There are: critical, kind, labels, name, service
          | target.knd == 'service'
          |        ^^^
    "#]],
    );
    refused(
        "target.kind == 'srvice'",
        &expect![[r#"
        1:16: it is never "srvice"; did you mean "service"? There are: endpoint, host, service, store
          | target.kind == 'srvice'
          |                ^^^^^^^^
    "#]],
    );
    refused(
        "probes.http.staus == 'down' &&\n  probes.http.status == 'dwn'",
        &expect![[r#"
        1:13: there is no "staus" here; did you mean "status"? There are: finding, kind, since, status
          | probes.http.staus == 'down' &&
          |             ^^^^^
        2:25: it is never "dwn"; did you mean "down"? There are: down, unknown, up
          |   probes.http.status == 'dwn'
          |                         ^^^^^
    "#]],
    );
    refused(
        "metrics.process.rss_bytes > 1",
        &expect![[r#"
        1:17: a number has no "rss_bytes"; a name with dots is written in brackets: metrics['a.b']
          | metrics.process.rss_bytes > 1
          |                 ^^^^^^^^^
    "#]],
    );
    refused(
        "metrics['process.rss_bytes'] * 2 > 1.0",
        &expect![[r#"
        1:30: * needs two numbers of one kind: write 2.0 instead of 2, or double(...)
          | metrics['process.rss_bytes'] * 2 > 1.0
          |                              ^
    "#]],
    );
    refused(
        "metrics['process.rss_bytes']",
        &expect![[r#"
        1:1: gives a number; a condition must be true or false: compare it with something
          | metrics['process.rss_bytes']
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    "#]],
    );
    refused(
        "metrics['proces.rss_bytes'] > 5e8",
        &expect![[r#"
        note: no shipped probe measures "proces.rss_bytes"; did you mean "process.rss_bytes"?
          | metrics['proces.rss_bytes'] > 5e8
          |         ^^^^^^^^^^^^^^^^^^
    "#]],
    );
    refused(
        "target.critical && 5",
        &expect![[r#"
        1:20: is a whole number, where true or false is needed
          | target.critical && 5
          |                    ^
    "#]],
    );
    refused(
        "target.name > 5",
        &expect![[r#"
        1:13: > cannot stand between a text and a whole number
          | target.name > 5
          |             ^
    "#]],
    );
    refused(
        "target.name.matches('a.*')",
        &expect![[r#"
        1:13: there are no patterns here; use contains, startsWith or endsWith
          | target.name.matches('a.*')
          |             ^^^^^^^
    "#]],
    );
    refused(
        "target.name.upper() == 'A'",
        &expect![[r#"
        1:13: there is no function "upper" for this; there are: all, contains, double, endsWith, exists, exists_one, filter, has, int, map, size, startsWith, string
          | target.name.upper() == 'A'
          |             ^^^^^
    "#]],
    );
    refused(
        "timestamp('2020-01-01T00:00:00Z') == timestamp('2020-01-01T00:00:00Z')",
        &expect![[r#"
        1:1: a condition has no clock; use the rule's own for, or probes.NAME.since in seconds
          | timestamp('2020-01-01T00:00:00Z') == timestamp('2020-01-01T00:00:00Z')
          | ^^^^^^^^^
        1:38: a condition has no clock; use the rule's own for, or probes.NAME.since in seconds
          | timestamp('2020-01-01T00:00:00Z') == timestamp('2020-01-01T00:00:00Z')
          |                                      ^^^^^^^^^
    "#]],
    );
    refused(
        "target.labels.exists(a, target.labels.exists(b, a == b))",
        &expect![[r#"
        1:45: goes through something for each of something else; that could cost too much
          | target.labels.exists(a, target.labels.exists(b, a == b))
          |                                             ^
    "#]],
    );
    refused(
        "'ü' == target.name && (",
        &expect![[r#"
        1:24: the text ends here, where something must follow
          | 'ü' == target.name && (
          |                        ^
    "#]],
    );
    refused(
        "target.name == 'ü' && targt.critical",
        &expect![[r#"
        1:23: nothing is called "targt"; did you mean "target"? There are: host, metrics, probes, target
          | target.name == 'ü' && targt.critical
          |                       ^^^^^
    "#]],
    );
    refused(
        "target.critical target",
        &expect![[r#"
        1:17: "target" does not belong here; is && or || missing before it?
          | target.critical target
          |                 ^
    "#]],
    );
    refused(
        "target.service == null",
        &expect![[r#"
        1:19: nothing is null here; ask with has(...) whether it is there
          | target.service == null
          |                   ^^^^
    "#]],
    );
    refused(
        "",
        &expect![[r#"
        1:1: is empty; write a condition, for example probes.http.status == 'down'
          | 
          | ^
    "#]],
    );
    refused(
        "{'a': 1}.a == 1",
        &expect![[r#"
        1:1: is a map; only lists can be written down here: [1, 2]
          | {'a': 1}.a == 1
          | ^
    "#]],
    );
}

#[test]
fn the_guide_names_everything_that_a_condition_may_look_at() {
    fn walk(fields: &[(&str, Shape)], path: &str, all: &mut Vec<String>) {
        for (name, shape) in fields {
            let path = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
            match shape {
                Shape::Record(inner) => walk(inner, &path, all),
                Shape::Open(Shape::Record(inner)) => walk(inner, &format!("{path}.NAME"), all),
                Shape::Open(_) | Shape::Flag | Shape::Number | Shape::Text | Shape::Word(_) => all.push(path),
            }
        }
    }
    let guide = include_str!("../../../docs/rules.md");
    let mut all = Vec::new();
    walk(SCHEMA, "", &mut all);
    let missing: Vec<&String> = all.iter().filter(|name| !guide.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/rules.md says nothing of {missing:?}");
}

#[test]
fn hostile_texts_are_refused_and_nothing_else_happens() {
    let deep = format!("{}1{} == 1", "(".repeat(1_500), ")".repeat(1_500));
    let long = format!("1 == 1{}", " && 1 == 1".repeat(TEXT_MAX));
    let row = format!("1 == 1{}", " + 1".repeat(900));
    for text in [deep, long, row] {
        assert!(Expression::new(&text).is_err(), "{}", &text[..40]);
    }
    // A long row of alternatives is no nesting.
    assert!(Expression::new(&format!("1 == 1{}", " || 1 == 1".repeat(300))).is_ok());
}

/// What the other interpreter of the same language says.
fn other(when: &str) -> Option<bool> {
    let program = cel::Program::compile(when).ok()?;
    let mut context = cel::Context::default();
    let labels = HashMap::from([("tier", "gold"), ("zone", "a")]);
    let target: HashMap<&str, cel::Value> = HashMap::from([
        ("name", "web".into()),
        ("kind", "service".into()),
        ("labels", labels.into()),
        ("critical", true.into()),
    ]);
    context.add_variable_from_value("target", target);
    context.add_variable_from_value("metrics", HashMap::from([("process.rss_bytes", 6e8), ("process.threads", 12.0)]));
    match program.execute(&context).ok()? {
        cel::Value::Bool(it) => Some(it),
        _ => None,
    }
}

fn condition() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        (-20_i64..20).prop_map(|it| it.to_string()),
        Just("size(target.name)".to_owned()),
        Just("size(target.labels)".to_owned()),
        Just("int('7')".to_owned()),
    ];
    let whole = number.prop_recursive(3, 12, 2, |inner| {
        (inner.clone(), prop_oneof![Just("+"), Just("-"), Just("*"), Just("/"), Just("%")], inner)
            .prop_map(|(a, op, b)| format!("({a} {op} {b})"))
    });
    let real = prop_oneof![
        (-20_i64..20).prop_map(|it| format!("{it}.5")),
        Just("metrics['process.threads']".to_owned()),
        Just("metrics['process.rss_bytes']".to_owned()),
        Just("metrics['nothing']".to_owned()),
    ];
    let name = prop_oneof![
        Just("target.name".to_owned()),
        Just("target.labels.tier".to_owned()),
        Just("target.labels.nothing".to_owned()),
        Just("'web'".to_owned()),
        Just("('w' + 'eb')".to_owned()),
    ];
    let compare = || prop_oneof![Just("=="), Just("!="), Just("<"), Just("<="), Just(">"), Just(">=")];
    let leaf = prop_oneof![
        (whole.clone(), compare(), whole.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (real.clone(), compare(), real).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (name.clone(), compare(), name.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (name.clone(), name).prop_map(|(a, b)| format!("{a}.contains({b})")),
        (whole.clone(), whole).prop_map(|(a, b)| format!("{a} in [{b}, 3]")),
        Just("target.critical".to_owned()),
        Just("has(target.labels.zone)".to_owned()),
        Just("has(target.labels.nothing)".to_owned()),
        Just("target.labels.exists(k, target.labels[k] == 'a')".to_owned()),
        Just("[1, 2, 0].exists(k, 6 / k == 3)".to_owned()),
        Just("[1, 2, 0].all(k, 6 / k == 3)".to_owned()),
        Just("[3, 4].filter(x, x > 3) == [4]".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), prop_oneof![Just("&&"), Just("||")], inner.clone())
                .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            inner.clone().prop_map(|it| format!("!({it})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Two interpreters of one language agree: on true, on false, and on there being no answer.
    #[test]
    fn the_other_interpreter_agrees(when in condition()) {
        let Ok(it) = Expression::new(&when) else { return Ok(()) };
        let ours = match it.judge(&facts()) {
            Truth::True => Some(true),
            Truth::False => Some(false),
            Truth::Unknown(_) | Truth::Broken(_) => None,
        };
        prop_assert_eq!(ours, other(&when), "{}", when);
    }

    #[test]
    fn any_text_is_read_or_refused(when in "[ -~ü]{0,60}") {
        if let Err(flaws) = Expression::new(&when) {
            prop_assert!(!flaws.is_empty());
            for flaw in flaws {
                prop_assert!(flaw.caret(&when).contains('^'));
            }
        }
    }
}

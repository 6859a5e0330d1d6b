use super::*;

fn error(text: &str) -> String {
    Scenario::read("mine.toml", text).unwrap_err().to_string()
}

const GOOD: &str = "[[kind]]\nname = \"mine\"\nabout = \"…\"\ndoes = [{ do = \"hang\", lasts = [\"1s\", \"8s\"] }]\n";

#[test]
fn the_shipped_catalogue_is_whole() {
    let (shipped, extends) = Scenario::read_alone(SHIPPED, CATALOGUE).unwrap_or_else(|error| panic!("{error}"));
    assert!(!extends);
    let controls = shipped.kinds.iter().filter(|it| it.control).count();
    assert!(
        shipped.kinds.len() - controls >= 25 && controls >= 6,
        "{} kinds, {controls} controls",
        shipped.kinds.len()
    );
    for kind in &shipped.kinds {
        assert!(kind.about.ends_with('.'), "{}: say what happens in a sentence", kind.name);
        assert!(kind.control || !kind.causes.is_empty(), "{}: name its cause", kind.name);
    }
}

#[test]
fn a_file_replaces_the_catalogue_or_extends_it() {
    let alone = Scenario::read("mine.toml", GOOD).unwrap();
    assert_eq!(alone.kinds.len(), 1);
    assert_eq!(alone.kinds[0].does[0].lasts.unwrap().bounds(), (Duration::from_secs(1), Duration::from_secs(8)));
    let shipped = Scenario::shipped().kinds.len();
    let more = Scenario::read("mine.toml", &format!("extends = true\n{GOOD}")).unwrap();
    assert_eq!(more.kinds.len(), shipped + 1);
    let same = GOOD.replace("mine", "hung");
    let replaced = Scenario::read("mine.toml", &format!("extends = true\n{same}")).unwrap();
    assert_eq!(replaced.kinds.len(), shipped);
}

#[test]
fn what_is_wrong_is_located() {
    let bad = GOOD.replace("about", "abuot");
    assert_eq!(error(&bad), "mine.toml:3:1: unknown key \"abuot\" in [[kind]]; did you mean \"about\"?");
    let bad = GOOD.replace("\"hang\"", "\"hnag\"");
    assert!(error(&bad).contains("did you mean \"hang\"?"), "{}", error(&bad));
    let bad = GOOD.replace("\"hang\"", "{ metric = { name = \"a.b\", to = 3.0 } }");
    assert!(error(&bad).starts_with("mine.toml:4:9: no target has the gauge a.b"), "{}", error(&bad));
    let bad = GOOD.replace("[\"1s\", \"8s\"]", "[\"8s\", \"1s\"]");
    assert!(error(&bad).starts_with("mine.toml:4:9: lasts"), "{}", error(&bad));
    let bad = GOOD.replace("\"hang\"", "\"cut\"");
    assert!(error(&bad).contains("does not work there"), "{}", error(&bad));
    assert!(error(&format!("{GOOD}{GOOD}")).contains("declared twice"));
    let bad = GOOD.replace("about", "control = true\ncures = [\"restart_service\"]\nabout");
    assert!(error(&bad).contains("nothing cures a control"), "{}", error(&bad));
}

#[test]
fn kinds_can_be_picked_and_misspelt() {
    let two = Scenario::shipped().only(&["hung".to_owned(), "killed".to_owned()]).unwrap();
    assert_eq!(two.kinds.len(), 2);
    let error = Scenario::shipped().only(&["hnug".to_owned()]).unwrap_err();
    assert!(error.contains("did you mean hung?"), "{error}");
}

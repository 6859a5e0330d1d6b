use expect_test::expect;
use prunella_model::incident::Severity;
use prunella_model::policy::{Blocker, Scope};
use prunella_model::{HostId, RuleName};
use prunella_proto::control::v1 as pb;

use super::super::incident_view::IncidentView;
use super::super::sample;
use super::fitness::{Asked, Blame, Bounds, Facts, Kind, Place, blame, judge, severity};
use super::{View, locate, table, watch};
use crate::output::Paint;

const BOUNDS: Bounds = Bounds { severity: Severity::Low, health: 80.0 };

fn target(name: &str, service: &str, health: Option<f64>) -> pb::Target {
    pb::Target { name: name.to_owned(), service: Some(service.to_owned()), health, ..pb::Target::default() }
}

fn host(name: &str) -> pb::Host {
    pb::Host { name: name.to_owned(), state: pb::host::State::Online.into(), ..pb::Host::default() }
}

/// Two hosts that are well.
fn well() -> Facts {
    Facts {
        fleet: pb::Fleet { name: "demo".to_owned(), ..pb::Fleet::default() },
        hosts: vec![host("hosts/h1"), host("hosts/h2")],
        targets: vec![
            target("hosts/h1/targets/web", "web", Some(99.0)),
            target("hosts/h2/targets/api", "api", Some(97.0)),
        ],
        ..Facts::default()
    }
}

fn place(asked: &Asked, facts: &Facts) -> Place {
    Place::find(asked, facts).unwrap()
}

fn kinds(facts: &Facts, asked: &Asked) -> Vec<Kind> {
    judge(facts, &place(asked, facts), BOUNDS).into_iter().map(|it| it.kind).collect()
}

fn host_1() -> Asked {
    Asked::Host("h1".to_owned())
}

fn host_2() -> Asked {
    Asked::Host("h2".to_owned())
}

#[test]
fn a_fleet_that_is_well_is_fit() {
    let facts = well();
    for asked in [Asked::Fleet, host_1(), Asked::Service("web".to_owned())] {
        assert_eq!(kinds(&facts, &asked), [], "{asked:?}");
    }
}

#[test]
fn each_restraint_counts_where_it_holds_and_nowhere_else() {
    let mut facts = well();
    facts.fleet.pauses = sample::fleet().pauses;
    facts.maintenances = sample::maintenances().maintenances;
    assert_eq!(kinds(&facts, &host_1()), [Kind::Pause, Kind::Maintenance]);
    assert_eq!(kinds(&facts, &Asked::Fleet), [Kind::Pause, Kind::Maintenance]);
    // The one of the group is not active yet, and the window is closed.
    assert_eq!(kinds(&facts, &host_2()), []);
}

#[test]
fn incidents_silence_and_missing_evidence_count() {
    let mut facts = well();
    facts.incidents = vec![IncidentView::of(sample::fresh())];
    assert_eq!(kinds(&facts, &Asked::Service("web".to_owned())), [Kind::OpenIncident]);
    assert_eq!(kinds(&facts, &host_2()), []);
    let grave = Bounds { severity: Severity::Critical, ..BOUNDS };
    assert_eq!(judge(&facts, &place(&host_1(), &facts), grave), []);
    facts.incidents.clear();
    facts.hosts[1].state = pb::host::State::Silent.into();
    facts.targets[1].health = None;
    assert_eq!(kinds(&facts, &host_2()), [Kind::HostAbsent, Kind::NoEvidence]);
    facts.targets[0].health = Some(79.9);
    assert_eq!(kinds(&facts, &host_1()), [Kind::LowHealth]);
    facts.fleet.cold_until = Some(prost_types::Timestamp::default());
    assert_eq!(kinds(&facts, &host_1()), [Kind::ColdStart, Kind::LowHealth]);
}

#[test]
fn an_incident_of_the_host_itself_counts_for_the_services_on_it() {
    let mut facts = well();
    let mut it = sample::fresh();
    it.fault.as_mut().unwrap().target = "hosts/h1/targets/host".to_owned();
    facts.incidents = vec![IncidentView::of(it)];
    assert_eq!(kinds(&facts, &Asked::Service("web".to_owned())), [Kind::OpenIncident]);
}

#[test]
fn a_group_with_a_member_under_repair_or_none_to_spare_is_not_fit() {
    let mut facts = well();
    facts.groups = sample::groups().groups;
    assert_eq!(kinds(&facts, &Asked::Group("groups/db".to_owned())), [Kind::GroupLease, Kind::GroupMinimum]);
    // A host of the group is not fit either.
    assert_eq!(kinds(&facts, &host_2()), [Kind::GroupLease, Kind::GroupMinimum]);
    facts.groups[0].under_repair = 0;
    facts.groups[0].healthy = 3;
    assert_eq!(kinds(&facts, &host_2()), []);
}

#[test]
fn a_blocker_counts_while_its_rule_speaks_where_it_must() {
    let mut facts = well();
    facts.incidents = vec![IncidentView::of(sample::fresh())];
    let blocker = |on: Scope| Blocker { scope: Scope::Host(HostId::of("h2")), rule: RuleName::of("http_failing"), on };
    facts.blockers = vec![("web".to_owned(), blocker(Scope::Fleet))];
    assert_eq!(kinds(&facts, &host_2()), [Kind::Blocker]);
    assert_eq!(kinds(&facts, &host_1()), [Kind::OpenIncident]);
    facts.blockers = vec![("web".to_owned(), blocker(Scope::Host(HostId::of("h2"))))];
    assert_eq!(kinds(&facts, &host_2()), []);
}

#[test]
fn what_is_allowed_is_said_and_does_not_count() {
    let mut facts = well();
    facts.fleet.pauses = sample::fleet().pauses;
    facts.incidents = vec![IncidentView::of(sample::fresh())];
    let here = place(&host_1(), &facts);
    let view = View::of(&facts, &here, BOUNDS, &[Kind::Pause]);
    expect![[r#"
        h1 is not fit for a deploy
          open_incident  h1/web  incident 6740e3a0-20, diagnosing: http_failing (web does not answer)

        Allowed:
          pause  h1  ada has paused it: kernel update
    "#]]
    .assert_eq(&table(&view, Paint(false)));
    assert!(View::of(&facts, &here, BOUNDS, &[Kind::Pause, Kind::OpenIncident]).fit);
}

#[test]
fn a_name_that_does_not_exist_gets_the_nearest_one() {
    let mut facts = well();
    facts.groups = sample::groups().groups;
    let said = |asked: &Asked| {
        let failure = locate(asked, &facts).unwrap_err();
        assert_eq!(failure.exit_code(), crate::client::EXIT_NOT_FOUND);
        failure.to_string()
    };
    assert_eq!(said(&Asked::Service("webb".to_owned())), "there is no service webb; did you mean web?");
    assert_eq!(said(&Asked::Group("groups/lnoe".to_owned())), "there is no groups/lnoe; did you mean groups/lone?");
    assert_eq!(said(&Asked::Host("zz".to_owned())), "there is no host zz; there are: h1, h2");
}

fn with_diagnosis(cause: &str, cause_target: &str, evidence: &str) -> IncidentView {
    let evidence = vec![pb::Evidence { text: evidence.to_owned(), ..pb::Evidence::default() }];
    IncidentView::of(pb::Incident {
        diagnosis: Some(pb::Diagnosis {
            cause: cause.to_owned(),
            cause_target: format!("hosts/{cause_target}"),
            confidence: 0.8,
            evidence,
            ..pb::Diagnosis::default()
        }),
        ..sample::fresh()
    })
}

#[test]
fn blame_falls_on_what_began_afterwards_and_lies_here() {
    let facts = well();
    let here = place(&host_1(), &facts);
    let since = sample::later(-10);
    let says = |it: &IncidentView| blame(it, &here, since, Severity::Low);
    let deploy = |it: &IncidentView| matches!(says(it), Some(Blame::Deploy(_)));
    assert!(deploy(&with_diagnosis("bad_version", "h1/targets/web", "")));
    assert!(deploy(&with_diagnosis("hung", "h1/targets/web", "")));
    let changed = with_diagnosis("hung", "h1/targets/web", "changed 3 s before: version 1 → 2");
    assert_eq!(says(&changed), Some(Blame::Deploy("changed 3 s before: version 1 → 2 (hung, 80 % sure)".to_owned())));
    // Its cause lies upstream, in a place that nobody deployed to.
    assert!(matches!(says(&with_diagnosis("dependency_down", "h3/targets/db", "")), Some(Blame::Elsewhere(_))));
    assert_eq!(says(&IncidentView::of(sample::fresh())), Some(Blame::Unclear));
    // From before, elsewhere, or too small a matter.
    assert_eq!(blame(&changed, &here, sample::later(10), Severity::Low), None);
    assert_eq!(blame(&changed, &place(&host_2(), &facts), since, Severity::Low), None);
    assert_eq!(blame(&changed, &here, since, Severity::Critical), None);
    assert_eq!(severity("new word"), Severity::Critical);
}

#[test]
fn what_is_unclear_is_waited_for_and_at_the_end_blamed() {
    let facts = well();
    let here = place(&host_1(), &facts);
    let found = [IncidentView::of(sample::fresh())];
    let blamed = |over| watch::judge(&found, &here, sample::later(-10), Severity::Low, over)[0].blamed;
    assert_eq!((blamed(false), blamed(true)), (None, Some(true)));
}

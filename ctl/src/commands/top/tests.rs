use expect_test::expect;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::KeyCode;

use super::super::events::EventView;
use super::super::incident_view::IncidentView;
use super::super::sample;
use super::state::{Hosts, Link, Mode, Snapshot, State, Wish};
use super::{draw, feed};

fn state() -> State {
    let mut state = State::new();
    state.update(Snapshot {
        fleet: "demo".to_owned(),
        time: sample::now(),
        mode: "balanced",
        hosts: Hosts { online: 2, silent: 1, left: 0 },
        absent: vec!["h2".to_owned()],
        targets: 6,
        open: 3,
        held: 1,
        needs_human: 0,
        restraints: feed::restraints(&sample::fleet()),
        incidents: vec![IncidentView::of(sample::held()), IncidentView::of(sample::victim())],
    });
    state.happened(EventView::of(sample::event()));
    state
}

fn screen(state: &State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw::draw(frame, state)).unwrap();
    let lines = terminal.backend().to_string();
    lines.lines().map(|line| line.trim_matches('"').trim_end().to_owned() + "\n").collect()
}

#[test]
fn a_usual_terminal_shows_what_matters() {
    expect![[r#"
        demo  1 host is silent  live, 12:00:00.000 UTC
        mode balanced   6 targets   3 open, 1 held   hosts 2 online, 1 silent, 0 left (h
        Paused: h1 by ada: kernel update
         2 open incidents ──────────────────────────────────────────────────────────────
        ID          TARGET       FAULT         STATE       STAGE      CAUSE, OR WHAT HOL
        6740e3a0-20 h1/web       http_failing  held        —          held: target_cool_
        6740e3a0-19 h2/api       http_failing  upstream    —          dependency_down on








         Events ────────────────────────────────────────────────────────────────────────
        11:59:57.250  fault_detected    h1/web                web does not answer






        q quit  j/k move  Enter explain  p pause  / filter
    "#]]
    .assert_eq(&screen(&state(), 80, 24));
}

#[test]
fn no_size_is_too_small() {
    let mut state = state();
    for mode in [
        Mode::List,
        Mode::Filter,
        Mode::Confirm("h1/web".to_owned()),
        Mode::Story { lines: vec!["a".to_owned()], from: 0 },
    ] {
        state.mode = mode;
        for (width, height) in [(1, 1), (3, 2), (20, 5), (80, 24), (300, 100)] {
            let _ = screen(&state, width, height);
        }
    }
}

#[test]
fn what_is_not_live_says_so() {
    let mut state = state();
    state.link = Link::Lost("connection refused".to_owned());
    let text = screen(&state, 80, 24);
    assert!(text.contains("NOT LIVE, as of 12:00:00.000: connection refused"), "{text}");
    let unknown = screen(&State::new(), 80, 24);
    assert!(
        unknown.contains("nothing is known yet") && !unknown.contains('0') && !unknown.contains("Nothing is open"),
        "{unknown}"
    );
}

#[test]
fn what_is_not_heard_any_more_is_not_well() {
    let mut state = State::new();
    state.update(Snapshot { time: sample::now(), ..Snapshot::default() });
    state.link = Link::Live;
    assert!(screen(&state, 80, 24).contains("all is well"));
    state.link = Link::Lost("connection refused".to_owned());
    let text = screen(&state, 80, 24);
    assert!(text.contains("all was well") && !text.contains("all is well"), "{text}");
}

#[test]
fn what_a_host_says_cannot_command_the_terminal() {
    let mut state = state();
    state.snapshot.incidents[0].fault.target = "h1/\u{1b}[2Jweb".to_owned();
    assert!(!screen(&state, 80, 24).contains('\u{1b}'));
}

#[test]
fn keys_move_explain_filter_and_quit() {
    let mut state = state();
    assert_eq!(state.key(KeyCode::Char('j')), Wish::Nothing);
    assert_eq!(state.key(KeyCode::Down), Wish::Nothing);
    assert_eq!(state.selected, 1, "it stays in the list");
    assert_eq!(state.key(KeyCode::Enter), Wish::Explain("6740e3a0-19".to_owned()));
    for letter in "/web".chars() {
        state.key(KeyCode::Char(letter));
    }
    assert_eq!((state.shown().len(), state.selected), (1, 0));
    state.key(KeyCode::Enter);
    assert_eq!(state.key(KeyCode::Enter), Wish::Explain("6740e3a0-20".to_owned()));
    state.key(KeyCode::Esc);
    assert_eq!(state.shown().len(), 2);
    assert_eq!(state.key(KeyCode::Char('q')), Wish::Quit);
}

#[test]
fn a_pause_is_asked_about_first() {
    let mut state = state();
    state.key(KeyCode::Char('p'));
    assert!(screen(&state, 80, 24).contains("Pause repairs of h1/web for an hour? y/n"));
    assert_eq!(state.key(KeyCode::Enter), Wish::Nothing, "only a yes is a yes");
    state.key(KeyCode::Char('p'));
    assert_eq!(state.key(KeyCode::Char('y')), Wish::Pause("h1/web".to_owned()));
}

#[test]
fn the_selected_incident_stays_selected_when_others_come_and_go() {
    let mut state = state();
    state.key(KeyCode::Char('j'));
    let victim = Snapshot { incidents: vec![IncidentView::of(sample::victim())], ..Snapshot::default() };
    state.update(victim);
    assert_eq!(state.key(KeyCode::Enter), Wish::Explain("6740e3a0-19".to_owned()));
    state.update(Snapshot::default());
    assert_eq!(state.key(KeyCode::Enter), Wish::Nothing);
}

//! What `prunella top` knows, and what keys do to it. No terminal and no network: both bring and take values.

use std::collections::VecDeque;

use ratatui::crossterm::event::KeyCode;
use serde::Serialize;

use crate::commands::events::EventView;
use crate::commands::incident_view::IncidentView;
use crate::output::Time;

/// How many events are kept for the screen.
const EVENTS_MAX: usize = 200;

/// What the server said last.
#[derive(Debug, Default, Serialize)]
pub(super) struct Snapshot {
    pub(super) fleet: String,
    pub(super) time: Time,
    pub(super) mode: &'static str,
    pub(super) hosts: Hosts,
    /// Hosts that are not online.
    pub(super) absent: Vec<String>,
    pub(super) targets: u32,
    pub(super) open: u32,
    pub(super) held: u32,
    pub(super) needs_human: u32,
    /// Pauses, throttles and whatever else keeps repairs back, in a line each.
    pub(super) restraints: Vec<String>,
    pub(super) incidents: Vec<IncidentView>,
}

/// Hosts by state.
#[derive(Debug, Default, Serialize)]
pub(super) struct Hosts {
    pub(super) online: u32,
    pub(super) silent: u32,
    pub(super) left: u32,
}

/// Whether the screen shows what is, or what was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Link {
    /// The first answer is awaited.
    Connecting,
    /// Events come as they happen.
    Live,
    /// The server is gone, for this reason.
    Lost(String),
}

/// What the keys mean now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    /// The list of incidents.
    List,
    /// What is typed narrows the list.
    Filter,
    /// The story of an incident, scrolled by so many lines.
    Story {
        /// Its lines.
        lines: Vec<String>,
        /// The first one that is shown.
        from: usize,
    },
    /// A pause of this target waits for a yes.
    Confirm(String),
}

/// What a key asks of the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing.
    Nothing,
    /// The end.
    Quit,
    /// The story of this incident.
    Explain(String),
    /// A pause of this target.
    Pause(String),
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) snapshot: Snapshot,
    /// The latest last.
    pub(super) events: VecDeque<EventView>,
    pub(super) link: Link,
    pub(super) mode: Mode,
    pub(super) filter: String,
    /// Position in what the filter leaves.
    pub(super) selected: usize,
    /// What came of the last wish.
    pub(super) message: Option<String>,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            snapshot: Snapshot::default(),
            events: VecDeque::new(),
            link: Link::Connecting,
            mode: Mode::List,
            filter: String::new(),
            selected: 0,
            message: None,
        }
    }

    /// Takes a new answer over; the selected incident stays the selected one where it still is.
    pub(super) fn update(&mut self, snapshot: Snapshot) {
        let before = self.chosen().map(|it| it.id.clone());
        self.snapshot = snapshot;
        self.link = Link::Live;
        let place = before.and_then(|id| self.shown().iter().position(|it| it.id == id));
        self.selected = place.unwrap_or(self.selected);
        self.bound();
    }

    pub(super) fn happened(&mut self, event: EventView) {
        self.events.push_back(event);
        if self.events.len() > EVENTS_MAX {
            self.events.pop_front();
        }
    }

    /// The incidents that the filter leaves.
    pub(super) fn shown(&self) -> Vec<&IncidentView> {
        let wanted = self.filter.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&wanted);
        let fits = |it: &&IncidentView| {
            has(&it.id)
                || has(&it.fault.target)
                || has(&it.fault.rule)
                || has(it.state)
                || it.cause().is_some_and(|it| has(&it))
        };
        self.snapshot.incidents.iter().filter(fits).collect()
    }

    fn chosen(&self) -> Option<&IncidentView> {
        self.shown().get(self.selected).copied()
    }

    fn bound(&mut self) {
        self.selected = self.selected.min(self.shown().len().saturating_sub(1));
    }

    /// What a key does here, and what it asks of the outside.
    pub(super) fn key(&mut self, key: KeyCode) -> Wish {
        self.message = None;
        match self.mode.clone() {
            Mode::List => self.in_list(key),
            Mode::Filter => {
                self.in_filter(key);
                Wish::Nothing
            }
            Mode::Story { lines, from } => {
                self.in_story(key, lines, from);
                Wish::Nothing
            }
            Mode::Confirm(target) => {
                self.mode = Mode::List;
                if matches!(key, KeyCode::Char('y' | 'Y')) { Wish::Pause(target) } else { Wish::Nothing }
            }
        }
    }

    fn in_list(&mut self, key: KeyCode) -> Wish {
        match key {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Char('j') | KeyCode::Down => self.selected += 1,
            KeyCode::Char('k') | KeyCode::Up => self.selected = self.selected.saturating_sub(1),
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Enter => {
                if let Some(it) = self.chosen() {
                    return Wish::Explain(it.id.clone());
                }
            }
            KeyCode::Char('p') => {
                if let Some(target) = self.chosen().map(|it| it.fault.target.clone()) {
                    self.mode = Mode::Confirm(target);
                }
            }
            _ => {}
        }
        self.bound();
        Wish::Nothing
    }

    fn in_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.mode = Mode::List,
            KeyCode::Esc => {
                self.filter.clear();
                self.mode = Mode::List;
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(letter) => self.filter.push(letter),
            _ => {}
        }
        self.bound();
    }

    fn in_story(&mut self, key: KeyCode, lines: Vec<String>, from: usize) {
        let last = lines.len().saturating_sub(1);
        let from = match key {
            KeyCode::Char('q') | KeyCode::Esc | KeyCode::Enter => {
                self.mode = Mode::List;
                return;
            }
            KeyCode::Char('j') | KeyCode::Down => from.saturating_add(1).min(last),
            KeyCode::Char('k') | KeyCode::Up => from.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => from.saturating_add(10).min(last),
            KeyCode::PageUp => from.saturating_sub(10),
            _ => from,
        };
        self.mode = Mode::Story { lines, from };
    }
}

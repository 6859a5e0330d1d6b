//! The screen of `prunella top`: what is known, in a terminal of any size.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table, TableState};

use super::state::{Link, Mode, State};
use crate::commands::events;
use crate::commands::incident_view::IncidentView;
use crate::output::{self, Paint, Tone, clean, count};

/// The most lines that restraints take from what they restrain.
const RESTRAINTS_MAX: usize = 3;

/// Draws the whole screen. Everything that comes from hosts is cleaned first.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State) {
    let restraints = state.snapshot.restraints.len().min(RESTRAINTS_MAX);
    let restraints = u16::try_from(restraints).unwrap_or(0);
    let [head, held, body, events, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(restraints),
        Constraint::Fill(3),
        Constraint::Fill(2),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(heading(state)), head);
    let lines = state.snapshot.restraints.iter().take(RESTRAINTS_MAX);
    let lines: Vec<Line<'_>> = lines.map(|it| Line::styled(clean(it), style(Tone::Warning))).collect();
    frame.render_widget(Paragraph::new(lines), held);
    match &state.mode {
        Mode::Story { lines, from } => story(frame, lines, *from, Rect { height: body.height + events.height, ..body }),
        Mode::List | Mode::Filter | Mode::Confirm(_) => {
            incidents(frame, state, body);
            happened(frame, state, events);
        }
    }
    frame.render_widget(Paragraph::new(footer(state)), foot);
}

fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Good => Style::new().fg(Color::Green),
        Tone::Warning => Style::new().fg(Color::Yellow),
        Tone::Bad => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        Tone::Faint => Style::new().add_modifier(Modifier::DIM),
        Tone::Heading => Style::new().add_modifier(Modifier::BOLD),
    }
}

fn heading(state: &State) -> Vec<Line<'static>> {
    let it = &state.snapshot;
    let link = match &state.link {
        Link::Connecting => Span::styled("connecting …".to_owned(), style(Tone::Warning)),
        Link::Live => Span::styled(format!("live, {} UTC", it.time.clock(it.time)), style(Tone::Good)),
        Link::Lost(why) => {
            let shown = it.time.clock(it.time);
            Span::styled(format!("NOT LIVE, as of {shown}: {}", clean(why)), style(Tone::Bad))
        }
    };
    let (tone, word) = if it.needs_human > 0 {
        (Tone::Bad, format!("{} a person", count(u64::from(it.needs_human), "incident needs", "incidents need")))
    } else if it.hosts.silent > 0 {
        (Tone::Bad, format!("{} silent", count(u64::from(it.hosts.silent), "host is", "hosts are")))
    } else if it.open > 0 {
        (Tone::Warning, count(u64::from(it.open), "open incident", "open incidents"))
    } else if it.time.0.is_none() {
        (Tone::Faint, "nothing is known yet".to_owned())
    } else if matches!(state.link, Link::Lost(_)) {
        // What is not heard any more proves nothing.
        (Tone::Faint, "all was well".to_owned())
    } else {
        (Tone::Good, "all is well".to_owned())
    };
    let first = vec![
        Span::styled(format!("{}  ", clean(&it.fleet)), style(Tone::Heading)),
        Span::styled(format!("{word}  "), style(tone)),
        link,
    ];
    let absent = if it.absent.is_empty() { String::new() } else { format!(" ({})", clean(&it.absent.join(" "))) };
    let second = if it.time.0.is_none() {
        output::ABSENT.to_owned()
    } else {
        format!(
            "mode {}   {} targets   {} open, {} held   hosts {} online, {} silent, {} left{absent}",
            it.mode, it.targets, it.open, it.held, it.hosts.online, it.hosts.silent, it.hosts.left
        )
    };
    vec![Line::from(first), Line::from(second)]
}

fn incidents(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let shown = state.shown();
    let known = state.snapshot.time.0.is_some();
    let title = match state.filter.as_str() {
        _ if !known => " Open incidents ".to_owned(),
        "" => format!(" {} ", count(shown.len() as u64, "open incident", "open incidents")),
        filter => {
            format!(" {} of {} open incidents with {} ", shown.len(), state.snapshot.incidents.len(), clean(filter))
        }
    };
    let block = Block::new().borders(Borders::TOP).title(title);
    if shown.is_empty() {
        let text = match state.filter.as_str() {
            _ if !known => output::ABSENT,
            "" => "Nothing is open.",
            _ => "Nothing has that; Esc shows everything.",
        };
        return frame.render_widget(Paragraph::new(text).block(block), area);
    }
    let rows = shown.iter().map(|it| row(it));
    let widths = [
        Constraint::Length(11),
        Constraint::Fill(2),
        Constraint::Fill(2),
        Constraint::Length(11),
        Constraint::Length(10),
        Constraint::Fill(3),
    ];
    let heading = Row::new(["ID", "TARGET", "FAULT", "STATE", "STAGE", "CAUSE, OR WHAT HOLDS IT"]);
    let table = Table::new(rows, widths)
        .header(heading.style(style(Tone::Heading)))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(block);
    let mut place = TableState::new().with_selected(Some(state.selected));
    frame.render_stateful_widget(table, area, &mut place);
}

fn row(it: &IncidentView) -> Row<'static> {
    let stage = it.stages.last().map_or_else(|| output::ABSENT.to_owned(), |it| clean(&it.stage));
    // What holds a repair back matters more than what it would treat.
    let why = match it.holds.first() {
        Some(hold) => format!("held: {}: {}", hold.brake, hold.why),
        None => it.cause().unwrap_or_else(|| it.state_detail.clone()),
    };
    let cells = [it.id.clone(), it.fault.target.clone(), it.fault.rule.clone(), it.state.replace('_', " "), stage, why];
    Row::new(cells.map(|it| Cell::from(clean(&it)))).style(style(it.tone()))
}

fn happened(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let block = Block::new().borders(Borders::TOP).title(" Events ");
    let room = usize::from(block.inner(area).height);
    let latest = state.events.iter().skip(state.events.len().saturating_sub(room));
    let line = |it: &crate::commands::events::EventView| {
        let text = events::line(it, state.snapshot.time, Paint(false));
        Line::styled(text.trim_end().to_owned(), style(it.tone()))
    };
    frame.render_widget(Paragraph::new(latest.map(line).collect::<Vec<_>>()).block(block), area);
}

fn story(frame: &mut Frame<'_>, lines: &[String], from: usize, area: Rect) {
    let block = Block::new().borders(Borders::TOP).title(" The whole story ");
    let shown: Vec<Line<'_>> = lines.iter().skip(from).map(|it| Line::from(clean(it))).collect();
    frame.render_widget(Paragraph::new(shown).block(block), area);
}

fn footer(state: &State) -> Line<'static> {
    if let Some(message) = &state.message {
        return Line::styled(clean(message), style(Tone::Warning));
    }
    match &state.mode {
        Mode::List => Line::styled("q quit  j/k move  Enter explain  p pause  / filter", style(Tone::Faint)),
        Mode::Filter => Line::from(format!("/{}█  Enter keeps it, Esc drops it", clean(&state.filter))),
        Mode::Story { .. } => Line::styled("q back  j/k scroll  Space further", style(Tone::Faint)),
        Mode::Confirm(target) => {
            Line::styled(format!("Pause repairs of {} for an hour? y/n", clean(target)), style(Tone::Bad))
        }
    }
}

//! What a person sees while the demonstration runs.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use crate::chain::monotonic;

/// Where text for people goes, and whether it is coloured.
#[derive(Debug)]
pub struct Screen {
    to_stderr: bool,
    coloured: bool,
    began: Duration,
}

/// What a line is about; decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Neither good nor bad.
    Plain,
    /// A heading.
    Title,
    /// Something is broken on purpose.
    Harm,
    /// What the fleet says.
    Fleet,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
}

impl Tone {
    const fn style(self) -> Style {
        let plain = Style::new();
        match self {
            Self::Plain => plain,
            Self::Title => plain.bold(),
            Self::Harm => plain.fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow))),
            Self::Fleet => plain.dimmed(),
            Self::Good => plain.fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green))),
            Self::Bad => plain.fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red))).bold(),
        }
    }
}

impl Screen {
    /// Writes to stdout; or to stderr when stdout is for a program.
    #[must_use]
    pub fn new(to_stderr: bool) -> Self {
        let terminal = if to_stderr { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
        let coloured = terminal && std::env::var_os("NO_COLOR").is_none();
        Self { to_stderr, coloured, began: monotonic() }
    }

    /// One line. Somebody who closes the pipe has seen enough; the work goes on.
    pub fn say(&self, tone: Tone, text: &str) {
        let style = tone.style();
        let line = if self.coloured && tone != Tone::Plain {
            format!("{}{text}{}\n", style.render(), style.render_reset())
        } else {
            format!("{text}\n")
        };
        let _ = if self.to_stderr {
            std::io::stderr().write_all(line.as_bytes())
        } else {
            std::io::stdout().write_all(line.as_bytes())
        };
    }

    /// One line with the seconds since the start before it.
    pub fn log(&self, tone: Tone, text: &str) {
        let now = monotonic().saturating_sub(self.began);
        self.say(tone, &format!("{:7.3}  {text}", now.as_secs_f64()));
    }
}

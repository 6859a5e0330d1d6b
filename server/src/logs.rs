//! Where logs go and how they look.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Which messages are shown when the environment does not say.
const FILTER_DEFAULT: &str = "info";

/// Sets logging up for the whole process: to stderr, filtered by `PRUNELLA_LOG` (for example
/// `info,prunella::sessions=debug`), as JSON lines when `PRUNELLA_LOG_FORMAT` is `json`. A second call changes nothing.
pub fn init() {
    let text = std::env::var("PRUNELLA_LOG").unwrap_or_else(|_| FILTER_DEFAULT.to_owned());
    let filter = EnvFilter::try_new(&text).unwrap_or_else(|_| EnvFilter::new(FILTER_DEFAULT));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let json = std::env::var("PRUNELLA_LOG_FORMAT").is_ok_and(|it| it == "json");
    // An error means that logging is set up already, as in a process that is server and agent.
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
}

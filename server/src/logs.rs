//! Where logs go and how they look, and how much of them there is.

use std::io::IsTerminal as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing_subscriber::EnvFilter;

/// Which messages are shown when the environment does not say.
const FILTER_DEFAULT: &str = "info";

/// Puts another filter in force; what keeps it from that, as text.
type Replace = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// The filter in force, when this program has set logging up.
static FILTER: OnceLock<Replace> = OnceLock::new();

/// Counts changes, so that the end of one does not undo a later one.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// Why the filter cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum LevelError {
    /// It is no filter.
    #[error("{filter:?} is no log level: {why}; write error, warn, info, debug or trace, or TARGET=LEVEL")]
    Wrong {
        /// What was asked for.
        filter: String,
        /// What is wrong with it.
        why: String,
    },
    /// Another program has set logging up in this process.
    #[error("the logs of this process are not this server's to change")]
    NotOurs,
}

/// Sets logging up for the whole process: to stderr, filtered by `PRUNELLA_LOG` (for example
/// `info,prunella::sessions=debug`), as JSON lines when `PRUNELLA_LOG_FORMAT` is `json`. A second call changes nothing.
pub fn init() {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(usual())
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let json = std::env::var("PRUNELLA_LOG_FORMAT").is_ok_and(|it| it == "json");
    // An error means that logging is set up already, as in a process that is server and agent.
    if json {
        let builder = builder.json().with_filter_reloading();
        let handle = builder.reload_handle();
        if builder.try_init().is_ok() {
            keep(Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string())));
        }
    } else {
        let builder = builder.with_filter_reloading();
        let handle = builder.reload_handle();
        if builder.try_init().is_ok() {
            keep(Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string())));
        }
    }
}

fn keep(replace: Replace) {
    // It can only be there already when logging was set up twice, and then the second did not happen.
    drop(FILTER.set(replace));
}

fn usual_text() -> String {
    std::env::var("PRUNELLA_LOG").unwrap_or_else(|_| FILTER_DEFAULT.to_owned())
}

fn usual() -> EnvFilter {
    EnvFilter::try_new(usual_text()).unwrap_or_else(|_| EnvFilter::new(FILTER_DEFAULT))
}

/// The filter that `wanted` makes of the usual one: a bare level takes its place, `TARGET=LEVEL` is added to it.
fn combined(wanted: &str) -> Result<(String, EnvFilter), LevelError> {
    let usual = usual_text();
    let text = if wanted.contains('=') { format!("{usual},{wanted}") } else { wanted.to_owned() };
    let wrong = |why: String| LevelError::Wrong { filter: wanted.to_owned(), why };
    // A word without a level would be taken for the name of a target, of which everything is shown.
    let level = wanted.rsplit('=').next().unwrap_or_default();
    if level.parse::<tracing::level_filters::LevelFilter>().is_err() {
        return Err(wrong(format!("{level:?} is no level")));
    }
    let filter = EnvFilter::try_new(&text).map_err(|error| wrong(error.to_string()))?;
    Ok((text, filter))
}

/// Shows more or fewer messages of this process for a while; an empty text goes back to the usual. Gives the filter in
/// force.
///
/// # Errors
/// [`LevelError`].
pub fn set(wanted: &str, lasting: Duration) -> Result<String, LevelError> {
    let replace = FILTER.get().ok_or(LevelError::NotOurs)?;
    let (text, filter) = if wanted.is_empty() { (usual_text(), usual()) } else { combined(wanted)? };
    replace(filter).map_err(|why| LevelError::Wrong { filter: wanted.to_owned(), why })?;
    let change = CHANGES.fetch_add(1, Ordering::Relaxed) + 1;
    if !wanted.is_empty() {
        tokio::spawn(async move {
            tokio::time::sleep(lasting).await;
            if CHANGES.load(Ordering::Relaxed) == change && replace(usual()).is_ok() {
                tracing::info!(target: "prunella::server", "the log level is the usual one again");
            }
        });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_takes_the_place_of_the_usual_one_and_a_target_is_added_to_it() {
        assert_eq!(combined("debug").unwrap().0, "debug");
        assert!(combined("prunella::sessions=trace").unwrap().0.ends_with(",prunella::sessions=trace"));
        for wrong in ["loud", "prunella::sessions=loud", "="] {
            let error = combined(wrong).unwrap_err().to_string();
            assert!(error.contains("error, warn, info, debug or trace"), "{error}");
        }
    }
}

//! Making a PostgreSQL standby the primary. It follows for as long as `standby.signal` lies in its data directory.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Mode, program, told};
use crate::config::part::Program;

/// How often it is looked whether it still follows.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) async fn promote(data_dir: &Path, promote: &Program, limit: Duration, mode: Mode) -> Result<String, String> {
    let signal = data_dir.join("standby.signal");
    if !data_dir.join("PG_VERSION").exists() {
        return Err(format!("{} is no data directory of PostgreSQL", data_dir.display()));
    }
    if !signal.exists() {
        return Err(format!("{} is no standby: it has no standby.signal", data_dir.display()));
    }
    let words = promote.run.join(" ");
    if let Some(told) = told(mode, || format!("run {words} to make {} the primary", data_dir.display())) {
        return Ok(told);
    }
    let deadline = Instant::now() + limit;
    program::succeed(promote, &promote.run, limit).await?;
    while signal.exists() {
        if Instant::now() >= deadline {
            return Err(format!(
                "{words} succeeded, but {} still follows after {} s",
                data_dir.display(),
                limit.as_secs()
            ));
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(format!("{} is the primary now", data_dir.display()))
}

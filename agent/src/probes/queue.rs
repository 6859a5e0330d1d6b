//! The length of a queue of jobs.

use std::path::Path;
use std::time::{Duration, SystemTime};

use prunella_model::observation::{Finding, Level};
use tokio::time::timeout;

use super::postgres::first_value;
use super::redis::{Reply, Session, refused};
use crate::board::{Board, Look, Series};
use crate::config::{QueueSource, QueueSubject};

/// The most files of a directory that are counted.
const FILES_MAX: u32 = 1_000_000;

/// See the module.
pub(super) struct Queue {
    subject: QueueSubject,
    timeout: Duration,
    length: Option<Series>,
    oldest: Option<Series>,
    used: Option<Series>,
}

/// What waits.
struct Waiting {
    length: f64,
    /// Since how many seconds the oldest waits.
    oldest: Option<f64>,
}

impl Queue {
    pub(super) fn new(subject: &QueueSubject, timeout: Duration, [length, oldest, used]: [Option<Series>; 3]) -> Self {
        Self { subject: subject.clone(), timeout, length, oldest, used }
    }

    pub(super) async fn look(&mut self, board: &Board) -> Look {
        let waiting = match timeout(self.timeout, Box::pin(self.count())).await {
            Err(_) => return Look::down(Finding::NoAnswer { waited: self.timeout }),
            Ok(Err(look)) => return look,
            Ok(Ok(waiting)) => waiting,
        };
        let length = waiting.length;
        let used = self.subject.limit.map(|limit| (length / limit * 1_000.0).round() / 10.0);
        for (series, value) in [(self.length, Some(length)), (self.oldest, waiting.oldest), (self.used, used)] {
            if let (Some(series), Some(value)) = (series, value) {
                board.measure(series, value);
            }
        }
        let over = |most: Option<f64>| most.is_some_and(|it| length >= it);
        let level = match (over(self.subject.critical), over(self.subject.warn)) {
            (true, _) => Level::Critical,
            (false, true) => Level::Warning,
            (false, false) => Level::Good,
        };
        Look::checked(level, format!("{length} jobs wait"))
    }

    async fn count(&self) -> Result<Waiting, Look> {
        match &self.subject.source {
            QueueSource::Redis(login, list) => {
                let mut session = Session::open(login).await?;
                let command = match session.ask(&["TYPE", list]).await? {
                    Reply::Text(kind) if kind == "stream" => "XLEN",
                    Reply::Text(kind) if kind == "list" || kind == "none" => "LLEN",
                    Reply::Error(why) => return Err(refused(&why)),
                    other => return Err(Look::broken(format!("{list} is neither a list nor a stream: {other:?}"))),
                };
                match session.ask(&[command, list]).await? {
                    #[expect(clippy::cast_precision_loss, reason = "no queue has 2^53 jobs")]
                    Reply::Number(length) => Ok(Waiting { length: length as f64, oldest: None }),
                    Reply::Error(why) => Err(refused(&why)),
                    other => Err(Look::broken(format!("{command} was answered with {other:?}"))),
                }
            }
            QueueSource::Postgres(login, query) => {
                let value = first_value(login, query, self.timeout).await?.flatten();
                let length = value.as_deref().and_then(|it| it.parse::<f64>().ok()).filter(|it| it.is_finite());
                match length {
                    Some(length) => Ok(Waiting { length, oldest: None }),
                    None => Err(Look::broken(format!("the query gives {value:?}, which is no number"))),
                }
            }
            QueueSource::Directory(path) => {
                let path = path.clone();
                let counted = tokio::task::spawn_blocking(move || count(&path)).await;
                match counted {
                    Ok(Ok(waiting)) => Ok(waiting),
                    Ok(Err(error)) => Err(Look::broken(format!("the directory cannot be read: {error}"))),
                    Err(error) => Err(Look::broken(error.to_string())),
                }
            }
        }
    }
}

fn count(path: &Path) -> std::io::Result<Waiting> {
    let mut length: u32 = 0;
    let mut first: Option<SystemTime> = None;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") || !entry.file_type()?.is_file() {
            continue;
        }
        length += 1;
        if length == FILES_MAX {
            break;
        }
        // One that is taken from the queue just now has no age any more.
        if let Ok(written) = entry.metadata().and_then(|it| it.modified()) {
            first = Some(first.map_or(written, |first| first.min(written)));
        }
    }
    let oldest =
        first.and_then(|it| SystemTime::now().duration_since(it).ok()).map_or(0.0, |it| it.as_secs_f64().floor());
    Ok(Waiting { length: f64::from(length), oldest: Some(oldest) })
}

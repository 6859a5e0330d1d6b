//! The end of a domain's registration, from the registry's RDAP service (RFC 9083).

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use prunella_model::observation::{Finding, Level};
use serde::Deserialize;
use tokio::time::timeout;

use super::certificate::about;
use super::http::secure;
use super::kit::http1;
use super::kit::tls::Roots;
use super::tcp::connect;
use crate::board::{Board, Look, Series};
use crate::config::{DomainSubject, Url};

/// The longest record.
const RECORD_MAX: usize = 1024 * 1024;
/// How many redirections are followed.
const REDIRECTIONS: usize = 3;

/// See the module.
pub(super) struct Domain {
    subject: DomainSubject,
    timeout: Duration,
    roots: Arc<Roots>,
    days_left: Option<Series>,
}

#[derive(Debug, Deserialize)]
struct Record {
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(default)]
    event_action: String,
    #[serde(default)]
    event_date: String,
}

impl Domain {
    pub(super) fn new(
        subject: &DomainSubject,
        timeout: Duration,
        roots: &Arc<Roots>,
        days_left: Option<Series>,
    ) -> Self {
        Self { subject: subject.clone(), timeout, roots: Arc::clone(roots), days_left }
    }

    pub(super) async fn look(&mut self, board: &Board) -> Look {
        // The registry is not the domain: whatever goes wrong on the way says nothing of the registration.
        let record = match timeout(self.timeout, Box::pin(self.record())).await {
            Err(_) => return Look::broken("the registry does not answer"),
            Ok(Err(why)) => return Look::broken(format!("the registry cannot be asked: {why}")),
            Ok(Ok(record)) => record,
        };
        let end = match end(&record) {
            Ok(end) => end,
            Err(why) => return Look::broken(why),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let left = end.saturating_sub(i64::try_from(now).unwrap_or(i64::MAX));
        if let Some(series) = self.days_left {
            #[expect(clippy::cast_precision_loss, reason = "a registration is far shorter than 2^53 seconds")]
            board.measure(series, (left as f64 / 86_400.0 * 10.0).round() / 10.0);
        }
        if left <= 0 {
            return Look::checked(Level::Critical, format!("its registration ended {} ago", about(-left)));
        }
        let within = |span: Duration| left.unsigned_abs() <= span.as_secs();
        let level = match (within(self.subject.critical), within(self.subject.warn)) {
            (true, _) => Level::Critical,
            (false, true) => Level::Warning,
            (false, false) => Level::Good,
        };
        Look::checked(level, format!("its registration ends in {}", about(left)))
    }

    async fn record(&self) -> Result<Vec<u8>, String> {
        let mut url = self.subject.url.clone();
        for _ in 0..=REDIRECTIONS {
            let answer = self.ask(&url).await?;
            match answer.code {
                200 if answer.cut => return Err(format!("its answer is longer than {RECORD_MAX} bytes")),
                200 => return Ok(answer.body),
                301 | 302 | 303 | 307 | 308 => {
                    let to = answer.header("location").unwrap_or_default();
                    let next = Url::parse(to).filter(|it| it.tls || !url.tls);
                    url = next.ok_or_else(|| format!("it redirects to {to:?}, which is not followed"))?;
                }
                404 => return Err("it knows no such domain".to_owned()),
                code => return Err(format!("it answers with status {code}")),
            }
        }
        Err("it redirects too often".to_owned())
    }

    async fn ask(&self, url: &Url) -> Result<http1::Answer, String> {
        let request = http1::request(&url.path, &url.host, "application/rdap+json", std::iter::empty());
        let mut stream = connect(&url.address).await.map_err(|error| error.to_string())?;
        let answer = if url.tls {
            let secured = secure(url, &self.roots, self.subject.ca_file.as_deref(), stream).await;
            let mut stream = secured.map_err(|look| match look.finding {
                Finding::BadAnswer { why, .. } | Finding::ProbeBroken { why } => why,
                other => format!("{other:?}"),
            })?;
            http1::exchange(&mut stream, &request, RECORD_MAX).await
        } else {
            http1::exchange(&mut stream, &request, RECORD_MAX).await
        };
        answer.map_err(|error| error.to_string())
    }
}

/// When a registration ends, in Unix seconds.
fn end(record: &[u8]) -> Result<i64, String> {
    let record: Record =
        serde_json::from_slice(record).map_err(|error| format!("the registry's record cannot be read: {error}"))?;
    let event = record.events.iter().find(|it| it.event_action == "expiration");
    let event = event.ok_or("the registry's record does not say when the registration ends")?;
    let end: Timestamp = event
        .event_date
        .parse()
        .map_err(|_| format!("the registry's record has a date that cannot be read: {:?}", event.event_date))?;
    Ok(end.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_the_expiration_event() {
        let record = |action: &str, date: &str| {
            let text = format!(
                "{{\"objectClassName\":\"domain\",\"events\":[{{\"eventAction\":\"registration\",\"eventDate\":\"1995-08-14T04:00:00Z\"}},\
                 {{\"eventAction\":\"{action}\",\"eventDate\":\"{date}\"}}]}}"
            );
            end(text.as_bytes())
        };
        assert_eq!(record("expiration", "2001-09-09T01:46:40Z"), Ok(1_000_000_000));
        assert_eq!(record("expiration", "2001-09-09T03:46:40.5+02:00"), Ok(1_000_000_000));
        assert!(record("expiration", "soon").unwrap_err().contains("cannot be read"));
        assert!(record("last changed", "2001-09-09T01:46:40Z").unwrap_err().contains("does not say"));
        assert!(end(b"<html>").is_err());
    }
}

//! Measurements that a target exposes as text for Prometheus.

use std::sync::Arc;
use std::time::Duration;

use prunella_model::observation::{Finding, Level};
use tokio::time::{Instant, timeout};

use super::http::secure;
use super::kit::http1;
use super::kit::tls::Roots;
use super::tcp::{connect, not_connected};
use crate::board::{Board, Look, Series};
use crate::config::{MetricsSubject, Selected};

/// The longest page that is read.
const PAGE_MAX: usize = 4 * 1024 * 1024;

/// See the module.
pub(super) struct Metrics {
    subject: MetricsSubject,
    request: String,
    timeout: Duration,
    roots: Arc<Roots>,
    series: Vec<Option<Series>>,
    /// The sums of the look before, of those that count up.
    before: Vec<Option<(f64, Instant)>>,
}

impl Metrics {
    /// `series` are those of what is selected, in its order.
    pub(super) fn new(
        subject: &MetricsSubject,
        timeout: Duration,
        roots: &Arc<Roots>,
        series: Vec<Option<Series>>,
    ) -> Self {
        let request =
            http1::request(&subject.url.path, &subject.url.host, "text/plain;version=0.0.4", std::iter::empty());
        let before = vec![None; series.len()];
        Self { subject: subject.clone(), request, timeout, roots: Arc::clone(roots), series, before }
    }

    pub(super) async fn look(&mut self, board: &Board) -> Look {
        let page = match timeout(self.timeout, Box::pin(self.page())).await {
            Err(_) => return Look::down(Finding::NoAnswer { waited: self.timeout }),
            Ok(Err(look)) => return look,
            Ok(Ok(page)) => page,
        };
        let sums = sums(&page, &self.subject.select);
        let now = Instant::now();
        let mut missing = Vec::new();
        for (((wanted, sum), series), before) in
            self.subject.select.iter().zip(sums).zip(&self.series).zip(&mut self.before)
        {
            let Some(sum) = sum else {
                missing.push(wanted.series.as_str());
                *before = None;
                continue;
            };
            let value = if wanted.rate {
                let was = before.replace((sum, now));
                // One that is less than before began anew: nothing is known of the time in between.
                was.filter(|(was, _)| sum >= *was).map(|(was, at)| {
                    let passed = now.duration_since(at).max(Duration::from_millis(1)).as_secs_f64();
                    ((sum - was) / passed * 1_000.0).round() / 1_000.0
                })
            } else {
                Some(sum)
            };
            if let (Some(series), Some(value)) = (series, value) {
                board.measure(*series, value);
            }
        }
        if missing.is_empty() {
            Look::checked(Level::Good, format!("{} series", self.subject.select.len()))
        } else {
            Look::checked(Level::Warning, format!("it exposes nothing for {}", missing.join(", ")))
        }
    }

    async fn page(&self) -> Result<String, Look> {
        let stream = connect(&self.subject.url.address).await.map_err(|error| not_connected(&error))?;
        let bad = |error: http1::HttpError| Look::down(Finding::BadAnswer { code: None, why: error.to_string() });
        let answer = if self.subject.url.tls {
            let mut stream = secure(&self.subject.url, &self.roots, self.subject.ca_file.as_deref(), stream).await?;
            http1::exchange(&mut stream, &self.request, PAGE_MAX).await.map_err(bad)?
        } else {
            let mut stream = stream;
            http1::exchange(&mut stream, &self.request, PAGE_MAX).await.map_err(bad)?
        };
        if answer.code != 200 {
            let why = format!("status {}; expected 200", answer.code);
            return Err(Look::down(Finding::BadAnswer { code: Some(answer.code), why }));
        }
        if answer.cut {
            return Err(Look::broken(format!("the page is longer than {PAGE_MAX} bytes")));
        }
        String::from_utf8(answer.body).map_err(|_| Look::broken("the page is not text"))
    }
}

/// The sum of all samples that fit, for each selector; none where no sample does.
fn sums(page: &str, select: &[Selected]) -> Vec<Option<f64>> {
    let mut sums: Vec<Option<f64>> = vec![None; select.len()];
    for line in page.lines() {
        let name = line.split(|it: char| it == '{' || it.is_ascii_whitespace()).next().unwrap_or_default();
        if name.is_empty() || name.starts_with('#') {
            continue;
        }
        for (wanted, sum) in select.iter().zip(&mut sums).filter(|(wanted, _)| wanted.metric == name) {
            let Some((labels, value)) = sample(line.get(name.len()..).unwrap_or_default()) else { continue };
            let fits = wanted.labels.iter().all(|(name, value)| labels.iter().any(|(n, v)| n == name && v == value));
            if fits && value.is_finite() {
                *sum = Some(sum.unwrap_or(0.0) + value);
            }
        }
    }
    sums
}

/// The labels and the value of a sample, from what follows its name.
fn sample(rest: &str) -> Option<(Vec<(String, String)>, f64)> {
    let mut labels = Vec::new();
    let mut rest = rest.trim_start();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner.trim_start();
        loop {
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (name, after) = rest.split_once('=')?;
            let mut text = String::new();
            let mut chars = after.trim_start().strip_prefix('"')?.char_indices();
            let quoted = after.trim_start().strip_prefix('"')?;
            let end = loop {
                match chars.next()? {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next()?.1 {
                        'n' => text.push('\n'),
                        other => text.push(other),
                    },
                    (_, other) => text.push(other),
                }
            };
            labels.push((name.trim().to_owned(), text));
            rest = quoted.get(end + 1..)?.trim_start().trim_start_matches(',').trim_start();
        }
    }
    // A time may follow the value.
    Some((labels, rest.split_ascii_whitespace().next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn wanted(metric: &str, labels: &[(&str, &str)]) -> Selected {
        let labels: BTreeMap<_, _> = labels.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Selected { series: "a".to_owned(), metric: metric.to_owned(), labels, rate: false }
    }

    #[test]
    fn samples_are_selected_and_added_up() {
        let page = "# HELP requests All.\n# TYPE requests counter\n\
            requests{code=\"500\",path=\"/a b\"} 3 1700000000\nrequests{path=\"/\\\"x\\\\\",code=\"500\",} 4\n\
            requests{code=\"200\"} 1e3\nrequests_total 9\nbusy 2.5\nodd NaN\nbroken{a=\"b 1\n";
        let select = [
            wanted("requests", &[("code", "500")]),
            wanted("requests", &[]),
            wanted("requests", &[("path", "/\"x\\")]),
            wanted("busy", &[]),
            wanted("requests", &[("code", "404")]),
            wanted("odd", &[]),
            wanted("broken", &[]),
        ];
        assert_eq!(sums(page, &select), [Some(7.0), Some(1007.0), Some(4.0), Some(2.5), None, None, None]);
    }

    proptest::proptest! {
        #[test]
        fn no_page_is_too_strange(text in "\\PC{0,60}") {
            let _ = sums(&format!("a{text}\na{{{text}\na{{b=\"{text}"), &[wanted("a", &[])]);
        }
    }
}

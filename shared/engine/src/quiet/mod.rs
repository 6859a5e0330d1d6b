//! When is a host used least? Learned from what it measures anyway, by the hour of the week, and never guessed.
//!
//! What can wait is done then. A window that people have configured always goes before one that was learned.

pub(crate) mod week;

use std::collections::BTreeSet;
use std::time::Duration;

use prunella_model::Timestamp;
use prunella_model::policy::QuietPolicy;
use prunella_model::week::{ahead, hour_of};

use crate::Engine;
use crate::host::Host;
use crate::key::{Key, at};
use crate::view::{QuietState, QuietView};
use week::{MEASURES, Told, Week};

/// How often time is counted.
const MINUTE: Duration = Duration::from_secs(60);

/// A host that was not heard for longer was used in a way that nobody knows.
const GAP: Duration = Duration::from_secs(900);

/// An hour counts when a measure was known for so many seconds of it.
const HALF_AN_HOUR: f64 = 1_800.0;

/// How often a week is stored, in minutes. A start of the server forgets no more than this of it.
const STORED_EVERY: u64 = 360;

/// Hosts are stored so many minutes apart.
const APART: u64 = 7;

/// Seconds of an hour.
const HOUR: u64 = 3_600;

/// Which measure of use a series of a host belongs to.
pub(crate) fn measure_of(metric: &str) -> Option<usize> {
    match metric {
        "cpu.used_percent" => Some(0),
        "load.one_minute" => Some(1),
        "network.received_bytes_per_second" | "network.sent_bytes_per_second" => Some(2),
        _ => None,
    }
}

/// How much a host is used: in the hour under way, and in each of the week.
#[derive(Debug, Clone, Default)]
pub(crate) struct Use {
    /// Until when time was counted; null after a gap.
    counted: Option<Timestamp>,
    /// When the host last measured something that tells of its use.
    pub(crate) measured: Option<Timestamp>,
    /// The hour under way.
    hour: u64,
    /// For each measure its integral over that hour, and the seconds in which it was known.
    sums: [(f64, f64); MEASURES],
    /// What was learned; null before the first hour.
    pub(crate) week: Option<Box<Week>>,
    /// Whether something was learned since it was stored.
    news: bool,
    /// In which span it was stored last.
    stored: u64,
}

impl Use {
    /// Nothing is known of the time until the next look.
    pub(crate) fn gap(&mut self) {
        (self.counted, self.measured) = (None, None);
    }

    /// The hour under way has ended.
    fn close(&mut self, next: u64) {
        let sums = std::mem::take(&mut self.sums);
        let hour = std::mem::replace(&mut self.hour, next);
        let seen = sums.map(|(sum, known)| (known >= HALF_AN_HOUR).then(|| sum / known));
        if seen.iter().any(Option::is_some) {
            self.week.get_or_insert_with(|| Box::new(Week::new(hour))).learn(hour, seen);
            self.news = true;
        }
    }
}

impl Host {
    /// Counts how much it was used since the last look, by what it measured last. True when that must be stored.
    pub(crate) fn count_use(&mut self, index: u32, now: Timestamp) -> bool {
        // Hosts are not all stored at once.
        let span = (now.as_secs() / 60 + u64::from(index) * APART) / STORED_EVERY;
        let Some(from) = self.usage.counted else {
            self.usage.counted = Some(now);
            self.usage.stored = span;
            return false;
        };
        let passed = now.since(from);
        if passed < MINUTE {
            return false;
        }
        self.usage.counted = Some(now);
        if hour_of(from) != self.usage.hour {
            self.usage.close(hour_of(from));
        }
        let measured = self.usage.measured.is_some_and(|it| now.since(it) <= GAP);
        if passed <= GAP && measured {
            let mut used: [Option<f64>; MEASURES] = [None; MEASURES];
            for (measure, value) in self.series.iter().flatten().filter_map(|it| it.measure.zip(it.value)) {
                if let Some(used) = used.get_mut(measure) {
                    *used = Some(used.unwrap_or(0.0) + value.max(0.0));
                }
            }
            let secs = passed.as_secs_f64();
            for ((sum, known), used) in self.usage.sums.iter_mut().zip(used) {
                if let Some(used) = used {
                    (*sum, *known) = (*sum + used * secs, *known + secs);
                }
            }
        }
        if hour_of(now) != self.usage.hour {
            self.usage.close(hour_of(now));
        }
        self.usage.news && std::mem::replace(&mut self.usage.stored, span) != span && {
            self.usage.news = false;
            true
        }
    }
}

/// When what can wait may be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Now; with what makes it so.
    Now(String),
    /// Then; with what is waited for.
    At(Timestamp, String),
    /// Nobody knows when; with the reason.
    Unknown(String),
}

/// How many hours must have been counted.
fn least(policy: &QuietPolicy) -> u32 {
    u32::try_from(policy.history.as_secs() / HOUR).unwrap_or(u32::MAX)
}

impl Engine {
    /// What counts for the quiet hours of a target: the hosts of its service, where that spans several, or its own.
    fn used_with(&self, key: Key) -> (String, Vec<u32>) {
        let service = self.target_at(key).report.service.as_ref();
        let members = service.and_then(|it| Some((it, self.topology.services.get(it)?)));
        if let Some((service, members)) = members {
            let hosts: BTreeSet<u32> = members.iter().map(|key| key.host).collect();
            if hosts.len() > 1 {
                return (format!("service {service}"), hosts.into_iter().collect());
            }
        }
        (self.hosts[at(key.host)].id.to_string(), vec![key.host])
    }

    fn told(&self, hosts: &[u32]) -> Told {
        let weeks: Option<Vec<&Week>> = hosts.iter().map(|it| self.hosts[at(*it)].usage.week.as_deref()).collect();
        let policy = &self.policy.quiet;
        weeks.map_or(Told::TooLittle, |weeks| week::told(&weeks, policy.percent, least(policy)))
    }

    /// The quiet hours of a target: now, when they come next, or why nobody knows.
    pub(crate) fn quiet_opening(&self, key: Key) -> Opening {
        let (name, hosts) = self.used_with(key);
        let it = self.quiet_view(String::new(), &hosts, self.now);
        match (it.opens, it.next) {
            (Some(opens), Some(next)) if opens <= self.now => {
                Opening::Now(format!("the quiet hours of {name}: {next}"))
            }
            (Some(opens), Some(next)) => Opening::At(opens, format!("the quiet hours of {name}: {next}")),
            (_, _) => Opening::Unknown(format!("no quiet hours of {name} are known: {}", it.about)),
        }
    }

    /// When an opportunity on a target is taken unasked: in the policy's hours, or else in the quiet ones.
    pub(crate) fn unasked_opening(&self, key: Key) -> Opening {
        let Some(hours) = self.policy.optimise.hours else {
            return match self.quiet_opening(key) {
                Opening::Unknown(why) => {
                    Opening::Unknown(format!("{why} (the policy's optimise.hours would do instead)"))
                }
                known => known,
            };
        };
        let text = format!("the policy's optimise.hours: {} UTC", String::from(hours));
        if hours.contain(self.now) { Opening::Now(text) } else { Opening::At(hours.opens(self.now), text) }
    }

    /// The quiet hours of every host, of every service that spans hosts, and of every group.
    #[must_use]
    pub fn quiet_hours(&self, now: Timestamp) -> Vec<QuietView> {
        let hosts = self.names.iter().map(|(id, index)| (format!("hosts/{id}"), vec![*index]));
        let services = self.topology.services.iter().map(|(name, members)| {
            let hosts: BTreeSet<u32> = members.iter().map(|key| key.host).collect();
            (format!("services/{name}"), hosts.into_iter().collect::<Vec<u32>>())
        });
        let services = services.filter(|(_, hosts)| hosts.len() > 1);
        let groups = self.topology.groups.iter();
        let groups = groups.map(|(name, it)| (format!("groups/{name}"), it.hosts.keys().copied().collect()));
        hosts.chain(services).chain(groups).map(|(name, hosts)| self.quiet_view(name, &hosts, now)).collect()
    }

    fn quiet_view(&self, name: String, hosts: &[u32], now: Timestamp) -> QuietView {
        let policy = &self.policy.quiet;
        let weeks = hosts.iter().map(|it| self.hosts[at(*it)].usage.week.as_ref().map_or(0, |week| week.hours));
        let watched = Duration::from_secs(u64::from(weeks.min().unwrap_or(0)) * HOUR);
        let mut it = QuietView {
            name,
            state: QuietState::Unknown,
            about: String::new(),
            hours: None,
            next: None,
            opens: None,
            closes: None,
            watched,
            share: None,
            alike: None,
        };
        if !policy.enabled {
            (it.state, it.about) = (QuietState::Off, "the policy's quiet.enabled is false".to_owned());
            return it;
        }
        match self.told(hosts) {
            Told::TooLittle => {
                let days = |span: Duration| span.as_secs() / (24 * HOUR);
                it.about = format!("{} d of the {} d that are needed were seen", days(watched), days(policy.history));
            }
            Told::Flat => {
                (it.state, it.about) = (QuietState::None, "every hour of the week is used about alike".to_owned());
            }
            Told::Irregular(alike) => {
                (it.state, it.alike) = (QuietState::None, alike);
                "one week does not tell the next".clone_into(&mut it.about);
            }
            Told::Quiet { hours, share, alike } => {
                it.state = QuietState::Known;
                (it.share, it.alike) = (Some(share), Some(alike));
                (it.next, it.opens) = (hours.next(now), hours.opens(now));
                it.closes = it.opens.and_then(|opens| hours.close(opens));
                let when = it.opens.map_or_else(String::new, |opens| ahead(now, opens));
                it.about = format!("{hours}; {when}");
                it.hours = Some(hours);
            }
        }
        it
    }
}

#[cfg(test)]
mod tests;

//! Which fault is next, and where.

use std::sync::Arc;
use std::time::Duration;

use crate::faults::Spot;
use crate::fleet::{RACK, STACK};
use crate::rng::Rng;
use crate::scenario::Spread;
use crate::truth::{Place, Process};
use crate::world::{Item, World};

impl World {
    pub(crate) fn plan_fault(&mut self) {
        let each_day = self.options.faults_per_host_day * f64::from(self.options.hosts);
        let mean = Duration::from_secs_f64(86_400.0 / each_day);
        let at = self.now.after(self.chance.exponential(mean));
        self.queue.push(at, Item::Fault);
    }

    /// Draws the next fault. Every draw is made whatever the state of the fleet, so that the same seed gives the same
    /// faults to whoever has to deal with them.
    pub(crate) fn next_fault(&mut self) {
        self.plan_fault();
        let scenario = Arc::clone(&self.options.scenario);
        let total: f64 = scenario.kinds.iter().map(|it| it.weight).sum();
        let mut left = self.chance.unit() * total;
        let (host, target, fork) =
            (self.chance.index(self.hosts.len()), self.chance.unit(), Rng::new(self.chance.next(), "fault"));
        let drawn = scenario.kinds.iter().position(|it| {
            left -= it.weight;
            left < 0.0
        });
        let Some(kind) = drawn.or_else(|| scenario.kinds.len().checked_sub(1)) else { return };
        let on = &scenario.kinds[kind].on;
        let fitting: Vec<Place> = (0..self.hosts.len())
            .cycle()
            .skip(host)
            .take(STACK.min(self.hosts.len()))
            .flat_map(|host| (0..self.hosts[host].targets.len()).map(move |target| (host, target)))
            .filter(|(host, target)| on.contains(&self.hosts[*host].targets[*target].role))
            .collect();
        // Those of the drawn host first; the others only where it has none that fits.
        let own = fitting.iter().filter(|(it, _)| *it == host).count();
        let choice = &fitting[..if own > 0 { own } else { fitting.len() }];
        let Some(place) = choice.get(scaled(target, choice.len())).copied() else { return };
        let begins = self.origins(kind, place);
        if begins.iter().any(|place| !self.is_quiet(*place)) {
            self.report.skipped += 1;
            return;
        }
        self.begin_fault(kind, &begins, fork);
    }

    /// Whether nothing is wrong at a target, at its host or with what it needs, and nothing was lately.
    fn is_quiet(&self, place: Place) -> bool {
        let it = &self.hosts[place.0].targets[place.1];
        let alone = it.active.is_empty() && matches!(it.process, Process::Running { .. });
        alone
            && self.hosts[place.0].active.is_empty()
            && !self.faults.open.iter().any(|fault| self.faults.all[*fault].spots.contains(&Spot::Target(place)))
    }

    /// The targets that a fault of that kind begins at.
    fn origins(&self, kind: usize, place: Place) -> Vec<Place> {
        let it = &self.options.scenario.kinds[kind];
        let hosts = match it.spread {
            Spread::One => return vec![place],
            Spread::Stack => {
                let first = place.0 / STACK * STACK;
                first..(first + STACK).min(self.hosts.len())
            }
            Spread::Rack => {
                let first = place.0 / RACK * RACK;
                first..(first + RACK).min(self.hosts.len())
            }
            Spread::Fleet => 0..self.hosts.len(),
        };
        let role = self.hosts[place.0].targets[place.1].role;
        let alike = hosts.flat_map(|host| (0..self.hosts[host].targets.len()).map(move |target| (host, target)));
        let mut alike: Vec<Place> =
            alike.filter(|(host, target)| self.hosts[*host].targets[*target].role == role).collect();
        let wanted = scaled(it.share, alike.len()).max(1);
        // Beginning at the drawn one, so that a share is not always that of the first hosts.
        let at = alike.iter().position(|it| *it == place).unwrap_or(0);
        alike.rotate_left(at);
        alike.truncate(wanted);
        alike
    }
}

/// The index that a share from 0 to 1 of `count` comes to.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a number of hosts is one"
)]
fn scaled(share: f64, count: usize) -> usize {
    (share.clamp(0.0, 1.0) * count as f64) as usize
}

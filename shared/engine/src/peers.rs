//! Compares the hosts of each group with each other, once a minute.
//!
//! Only what says the same of every host is compared: shares in percent of what it has. A group that has too few hosts to
//! tell costs nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use prunella_model::{MetricName, TargetName, Timestamp};

use crate::Engine;
use crate::detect::peers::{self, Member};
use crate::key::{Key, at};
use crate::timers::Timer;

/// How often hosts are compared.
const EACH: Duration = Duration::from_secs(60);

/// How often in a row a host must be alone before that is said, and not alone before it is over.
const ROW: u32 = 3;

/// How a host compares with those of its group.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    /// Whether it has been compared with enough others.
    pub(crate) compared: bool,
    /// How often in a row it was found to be otherwise than is said.
    row: u32,
    /// Since when it differs, by the server's clock, and in what; null while it does not.
    pub(crate) apart: Option<(Timestamp, String)>,
}

impl Engine {
    /// Begins to compare hosts where a group has enough of them.
    pub(crate) fn watch_peers(&mut self) {
        self.timers.ensure(Timer::Peers, self.now.after(EACH), self.now);
    }

    /// Compares the hosts of every group.
    pub(crate) fn compare_peers(&mut self) {
        let mut found: BTreeMap<u32, Option<String>> = BTreeMap::new();
        let groups = self.topology.groups.iter().filter(|(_, members)| members.hosts.len() >= peers::LEAST);
        let mut any = false;
        for (group, members) in groups {
            any = true;
            for (metric, values) in self.shares_of(members.hosts.keys().copied()) {
                let known: Vec<Member> = values.iter().map(|(_, member)| *member).collect();
                if known.len() < peers::LEAST {
                    continue;
                }
                for (host, _) in &values {
                    found.entry(*host).or_default();
                }
                for (host, member) in peers::outliers(&known).into_iter().filter_map(|place| values.get(place)) {
                    let text =
                        format!("{metric} is {:.1} where the others of group {group} have {:.1}", member.value, {
                            peers::median(known.iter().map(|it| it.value).collect())
                        });
                    found.entry(*host).or_default().get_or_insert(text);
                }
            }
        }
        for (host, text) in found {
            self.note_peer(host, text);
        }
        if any {
            self.timers.set(Timer::Peers, self.now.after(EACH), self.now);
        }
    }

    /// What the hosts have used of what they have: the means of the last minute, by metric.
    fn shares_of(&self, hosts: impl Iterator<Item = u32>) -> BTreeMap<&MetricName, Vec<(u32, Member)>> {
        let mut all: BTreeMap<&MetricName, Vec<(u32, Member)>> = BTreeMap::new();
        for host in hosts {
            let it = &self.hosts[at(host)];
            let fresh = it.contact().is_some_and(|contact| self.now.since(contact) <= self.policy.verification.fresh);
            let Some(own) = it.names.get(&TargetName::host()).filter(|_| fresh) else { continue };
            for number in &it.targets[at(*own)].series {
                let Some(Some(series)) = it.series.get(at(*number)) else { continue };
                if let Some((value, z)) =
                    series.habit.last().filter(|_| series.metric.as_str().ends_with("used_percent"))
                {
                    all.entry(&series.metric).or_default().push((host, Member { value, z }));
                }
            }
        }
        all
    }

    /// Takes in whether a host differs from its peers, and judges it anew when that is certain.
    fn note_peer(&mut self, host: u32, text: Option<String>) {
        let now = self.now;
        let it = &mut self.hosts[at(host)];
        let key = Key { host, target: it.ensure(&TargetName::host()) };
        it.peer.compared = true;
        if it.peer.apart.is_some() == text.is_some() {
            it.peer.row = 0;
            return;
        }
        it.peer.row += 1;
        if it.peer.row >= ROW {
            it.peer.row = 0;
            it.peer.apart = text.map(|text| (now.before(EACH * (ROW - 1)), text));
            self.review(key);
        }
    }
}

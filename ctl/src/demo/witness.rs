//! What is true, from the processes and services themselves. The server has no part in it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::chain::{Birth, Role, Run, ask};

use super::site::Site;

/// How long the witness waits for an answer: longer than the longest chain of patience inside the services.
const PATIENCE: Duration = Duration::from_millis(700);

/// All services, from the user's end.
pub const ROLES: [Role; 3] = [Role::Web, Role::Api, Role::Db];

/// An independent observer of the chain.
#[derive(Debug, Clone)]
pub struct Witness {
    site: Site,
}

/// Which runs lived at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    runs: BTreeMap<Role, Run>,
    births: BTreeMap<Role, usize>,
}

impl Standing {
    /// The run of a service at that time.
    #[must_use]
    pub fn run(&self, role: Role) -> Option<Run> {
        self.runs.get(&role).copied()
    }
}

impl Witness {
    /// An observer of `site`.
    #[must_use]
    pub fn new(site: Site) -> Self {
        Self { site }
    }

    /// What is observed.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Which runs live now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let births = ROLES.map(|role| (role, self.births(role)));
        let runs = births.iter().filter_map(|(role, births)| {
            let run = births.last()?.run;
            run.lives().then_some((*role, run))
        });
        Standing { runs: runs.collect(), births: births.iter().map(|(role, births)| (*role, births.len())).collect() }
    }

    fn births(&self, role: Role) -> Vec<Birth> {
        Birth::read_all(&self.site.place(role).births)
    }

    /// The runs of a service that began after `before`.
    #[must_use]
    pub fn births_since(&self, before: &Standing, role: Role) -> Vec<Birth> {
        let mut births = self.births(role);
        births.drain(..before.births.get(&role).copied().unwrap_or(0).min(births.len()));
        births
    }

    /// Whether the run of `before` still lives and nothing else was ever started in its place.
    ///
    /// Compares start times in `/proc`, so a reused process id does not deceive.
    #[must_use]
    pub fn left_alone(&self, before: &Standing, role: Role) -> bool {
        before.run(role).is_some_and(Run::lives) && self.births_since(before, role).is_empty()
    }

    /// Whether a run that began after `before` lives.
    #[must_use]
    pub fn born_again(&self, before: &Standing, role: Role) -> bool {
        self.births_since(before, role).last().is_some_and(|birth| birth.run.lives())
    }

    /// Whether a service, asked as any client would, says that it and everything below it works.
    pub async fn answers(&self, role: Role) -> bool {
        let answer = ask(self.site.place(role).address, "/healthz", PATIENCE).await;
        answer.is_ok_and(|it| it.is_ok())
    }

    /// Whether every service answers.
    pub async fn all_answer(&self) -> bool {
        for role in ROLES {
            if !self.answers(role).await {
                return false;
            }
        }
        true
    }

    /// The share of its quota, in percent, that the cache of a service takes on disk.
    #[must_use]
    pub fn cache_percent(&self, role: Role) -> u64 {
        let files = std::fs::read_dir(&self.site.place(role).cache).into_iter().flatten().flatten();
        let bytes: u64 = files.filter_map(|it| it.metadata().ok()).map(|it| it.len()).sum();
        bytes * 100 / (super::site::QUOTA_MIB as u64 * 1024 * 1024)
    }
}

//! Who takes part, and the turns: everybody once, then everybody again, so that the machine's noise is everybody's.

use std::path::Path;
use std::time::Duration;

use super::subject::{Keeper, Restarter, Subject};
use super::{Entry, Title};
use crate::bench::peers::{Shelf, Supervisor, Watched, install, must_be_plain};
use crate::demo::site::free_ports;

/// Repairs before the first one that counts: file caches and branch predictors fill, as in any service that lives.
const WARM_UP: u32 = 2;

/// Before each kill of a run with peers a pause between these: it must fall anywhere in the cycle of those that look
/// in turn.
const PAUSE: (u64, u64) = (100, 1_100);

/// What one of them came to.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) first_line: Vec<Duration>,
    pub(super) verified: Vec<Duration>,
    pub(super) again: Vec<Duration>,
    /// Why it was given up.
    pub(super) failed: Option<String>,
}

/// How often everybody is killed.
pub(super) struct Rounds {
    pub(super) runs: u32,
    pub(super) again: u32,
}

/// The supervisors that are processes of their own, and the floor under all.
pub(super) fn peers<'a>(shelf: &Shelf, at: &Path) -> anyhow::Result<Vec<Entry<'a>>> {
    let program = std::env::current_exe()?;
    must_be_plain(&program)?;
    must_be_plain(at)?;
    // What a supervisor starts and leaves behind becomes this process's own to reap.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let mut ports = free_ports(Supervisor::ALL.len() + 1)?.into_iter();
    let mut watched = |name: &str| -> anyhow::Result<Watched> {
        let port = ports.next().ok_or_else(|| anyhow::anyhow!("not as many ports as asked for"))?;
        let at = at.join(name);
        std::fs::create_dir_all(&at)?;
        Ok(Watched { program: program.clone(), port, at })
    };
    let mut entries = Vec::new();
    let floor = watched("floor")?;
    let thread = Restarter::start(&floor)?;
    entries.push(Entry {
        title: Title::own("a thread that waits for it"),
        subject: Ok(Subject::new(floor.births(), Keeper::Thread(thread))),
        measured: Measured::default(),
    });
    for (number, peer) in Supervisor::ALL.into_iter().enumerate() {
        let (mut title, subject) = match shelf.find(peer.program()) {
            None => (Title::own(peer.name()), Err(install(peer.package()))),
            Some(found) => {
                let watched = watched(&format!("peer-{number}"))?;
                let title = Title { version: found.version(peer.package()), ..Title::own(peer.name()) };
                let started = peer.start(&found, &watched).map_err(|it| format!("{it:#}"));
                let keeper = |peer_process| Keeper::Peer { peer: Some(peer_process), orphans: peer.orphans() };
                (title, started.map(|it| Subject::new(watched.births(), keeper(it))))
            }
        };
        title.package = Some(peer.package());
        entries.push(Entry { title, subject, measured: Measured::default() });
    }
    Ok(entries)
}

impl Rounds {
    /// Kills everybody in turn. A peer that fails is given up with the reason; this program must not fail.
    pub(super) async fn play(&self, entries: &mut [Entry<'_>]) -> anyhow::Result<()> {
        let alone = entries.len() < 2;
        for entry in &mut *entries {
            if let Ok(subject) = &entry.subject
                && let Err(why) = subject.runs().await
            {
                entry.measured.failed = Some(format!("{why:#}"));
            }
        }
        let mut pauses = Pauses(0x9e37_79b9_7f4a_7c15);
        for round in 0..self.runs + WARM_UP {
            for entry in &mut *entries {
                let Some(subject) = entry.ready() else { continue };
                subject.settle().await?;
                if !alone {
                    tokio::time::sleep(pauses.next()).await;
                }
                match subject.kill().await {
                    Ok(_) if round < WARM_UP => {}
                    Ok(it) => {
                        entry.measured.first_line.push(it.first_line);
                        entry.measured.verified.extend(it.verified);
                    }
                    Err(why) => entry.measured.failed = Some(format!("{why:#}")),
                }
            }
            own_must_be_well(entries)?;
        }
        for _ in 0..self.again {
            for entry in &mut *entries {
                let Some(subject) = entry.ready() else { continue };
                subject.settle().await?;
                match subject.kill_again().await {
                    Ok(it) => entry.measured.again.push(it),
                    Err(why) => entry.measured.failed = Some(format!("killed again 100 ms after: {why:#}")),
                }
            }
            own_must_be_well(entries)?;
        }
        Ok(())
    }
}

impl<'a> Entry<'a> {
    fn ready(&self) -> Option<&Subject<'a>> {
        self.subject.as_ref().ok().filter(|_| self.measured.failed.is_none())
    }
}

fn own_must_be_well(entries: &[Entry<'_>]) -> anyhow::Result<()> {
    match entries.first().and_then(|it| it.measured.failed.as_ref()) {
        None => Ok(()),
        Some(why) => anyhow::bail!("the service of this program was not repaired: {why}"),
    }
}

/// Pauses that look random and are the same in each run.
struct Pauses(u64);

impl Pauses {
    fn next(&mut self) -> Duration {
        // Knuth's constants (MMIX).
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (least, most) = PAUSE;
        Duration::from_millis(least + (self.0 >> 33) % (most - least))
    }
}

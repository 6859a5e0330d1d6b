//! Peers that watch a host, at rest.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;

use super::{Found, Peer};
use crate::demo::site::free_ports;

/// How long a scrape may take.
const SCRAPE_TIME: Duration = Duration::from_secs(5);

/// A peer that watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bench) enum Watcher {
    /// Looks at each service's process, the processor, memory and the root file system every second.
    MonitSecond,
    /// The same every 30 s, its usual cycle.
    MonitUsual,
    /// Scraped every second. It knows nothing of services.
    NodeExporterSecond,
    /// Scraped every 15 s.
    NodeExporterUsual,
    /// Collects every second, its default. It knows nothing of these services.
    Netdata,
}

impl Watcher {
    pub(in crate::bench) const ALL: [Self; 5] =
        [Self::MonitSecond, Self::MonitUsual, Self::NodeExporterSecond, Self::NodeExporterUsual, Self::Netdata];

    pub(in crate::bench) const fn name(self) -> &'static str {
        match self {
            Self::MonitSecond => "monit, 1 s cycle",
            Self::MonitUsual => "monit, 30 s cycle",
            Self::NodeExporterSecond => "node-exporter, scraped each 1 s",
            Self::NodeExporterUsual => "node-exporter, scraped each 15 s",
            Self::Netdata => "netdata, 1 s",
        }
    }

    pub(in crate::bench) const fn package(self) -> &'static str {
        match self {
            Self::MonitSecond | Self::MonitUsual => "monit",
            Self::NodeExporterSecond | Self::NodeExporterUsual => "prometheus-node-exporter",
            Self::Netdata => "netdata-core",
        }
    }

    pub(in crate::bench) const fn program(self) -> &'static str {
        match self {
            Self::MonitSecond | Self::MonitUsual => "monit",
            Self::NodeExporterSecond | Self::NodeExporterUsual => "prometheus-node-exporter",
            Self::Netdata => "netdata",
        }
    }

    /// Starts it in the directory `at`, to watch the processes `pids` if it can.
    pub(in crate::bench) fn start(self, found: &Found, at: &Path, pids: &[i32]) -> anyhow::Result<Watching> {
        let mut command = found.command();
        let mut scraper = None;
        match self {
            Self::MonitSecond => drop(command.args(["-I", "-c"]).arg(monit(at, 1, pids)?)),
            Self::MonitUsual => drop(command.args(["-I", "-c"]).arg(monit(at, 30, pids)?)),
            Self::NodeExporterSecond | Self::NodeExporterUsual => {
                let port = free_ports(1)?.first().copied().context("no port is free")?;
                command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
                let every = if self == Self::NodeExporterSecond { 1 } else { 15 };
                scraper = Some(Scraper::start(port, Duration::from_secs(every)));
            }
            Self::Netdata => drop(command.arg("-D").arg("-c").arg(netdata(found, at)?).arg("-P").arg(at.join("pid"))),
        }
        let peer = Peer::start(command, &at.join("peer.log"))?;
        Ok(Watching { _scraper: scraper, peer })
    }
}

/// A watcher at work. It ends with this.
#[derive(Debug)]
pub(in crate::bench) struct Watching {
    _scraper: Option<Scraper>,
    peer: Peer,
}

impl Watching {
    /// Its first process.
    pub(in crate::bench) fn pid(&self) -> u32 {
        self.peer.pid()
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

fn monit(at: &Path, cycle: u32, pids: &[i32]) -> anyhow::Result<std::path::PathBuf> {
    let own = at.display();
    let mut control = format!(
        "set daemon {cycle}\nset logfile {own}/monit.log\nset pidfile {own}/monit.pid\nset idfile {own}/monit.id\n\
         set statefile {own}/monit.state\n\
         check system $HOST\n  if cpu usage > 95% for 10 cycles then alert\n  if memory usage > 95% then alert\n\
         check filesystem rootfs with path /\n  if space usage > 95% then alert\n"
    );
    for (number, pid) in pids.iter().enumerate() {
        write(&at.join(format!("{number}.pid")), &format!("{pid}\n"))?;
        control += &format!(
            "check process service{number} with pidfile {own}/{number}.pid\n  start program = \"/bin/true\"\n  \
             stop program = \"/bin/true\"\n"
        );
    }
    let path = at.join("monitrc");
    write(&path, &control)?;
    Ok(path)
}

fn netdata(found: &Found, at: &Path) -> anyhow::Result<std::path::PathBuf> {
    for part in ["cache", "lib", "log", "etc"] {
        fs::create_dir_all(at.join(part))?;
    }
    // It would otherwise tell its makers that it runs.
    write(&at.join("etc/.opt-out-from-anonymous-statistics"), "")?;
    let ports = free_ports(2)?;
    let [web, statsd] = ports.as_slice() else { anyhow::bail!("not as many ports as asked for") };
    let (own, root) = (at.display(), found.root().display());
    let control = format!(
        "[global]\n  run as user = {user}\n[directories]\n  config = {own}/etc\n  \
         stock config = {root}/usr/lib/netdata/conf.d\n  log = {own}/log\n  web = {root}/usr/share/netdata/web\n  \
         cache = {own}/cache\n  lib = {own}/lib\n  home = {own}/lib\n  lock = {own}/lib\n  registry = {own}/lib\n  \
         plugins = \"{root}/usr/lib/netdata/plugins.d\"\n  health config = {own}/etc\n  \
         stock health config = {root}/usr/lib/netdata/conf.d/health.d\n[web]\n  bind to = 127.0.0.1:{web}\n\
         [cloud]\n  enabled = no\n[statsd]\n  default port (udp) = {statsd}\n  bind to = udp:127.0.0.1 tcp:127.0.0.1\n",
        user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned()),
    );
    let path = at.join("etc/netdata.conf");
    write(&path, &control)?;
    Ok(path)
}

/// Asks an exporter for its metrics every so often, as Prometheus would.
#[derive(Debug)]
struct Scraper {
    /// Dropped at its end.
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Scraper {
    fn start(port: u16, every: Duration) -> Self {
        let (end, ended) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            while ended.recv_timeout(every) == Err(mpsc::RecvTimeoutError::Timeout) {
                // While it starts there is nobody to ask; what it costs is measured, not what it says.
                let _ = scrape(port);
            }
        });
        Self { end: Some(end), thread: Some(thread) }
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn scrape(port: u16) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SCRAPE_TIME)?;
    stream.set_read_timeout(Some(SCRAPE_TIME))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut part = [0; 16 * 1024];
    while stream.read(&mut part)? > 0 {}
    Ok(())
}

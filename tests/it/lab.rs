//! A real host: its own systemd in namespaces of its own, its own network, and the two units that ship.
//!
//! Needs root, systemd, dbus and iproute2, and to be asked for: `just lab`. Otherwise it says that it was skipped.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{program, prunella, stderr, wait_blocking};

/// The variable that asks for it.
const ASKED: &str = "PRUNELLA_LAB";

/// A network that nobody uses: the server's end, and the host's.
const SERVER: &str = "10.213.9.1";
const HOST: &str = "10.213.9.2";

/// What the host's init does before it becomes systemd. `$1` is the directory of the lab.
const BOOT: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/lab /run/lock /run/systemd/system
mount --bind "$1/files" /run/lab
cp "$1"/units/*.service /run/systemd/system/
for hidden in /var/lib /var/log /tmp; do mount -t tmpfs tmpfs $hidden; done
mount --bind /run/lab/passwd /etc/passwd
mount --bind /run/lab/group /etc/group
hostname h1
mount -t cgroup2 none /sys/fs/cgroup
exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=basic.target
"#;

const AGENT: &str = r#"
[agent]
host = "h1"
state_dir = "/var/lib/prunella-agent"
helper = "/run/prunella-agent/helper.sock"

[[target]]
name = "web"
manager = "systemd"
unit = "lab-web.service"
permit = ["restart_service"]
"#;

/// Orders are carried out soon, so that the test need not wait for long.
const SERVER_POLICY: &str = r#"
[policy]
profile = "rapid"
[policy.standing_orders]
held = "2s"
"#;

/// What is missing for a lab; none when nothing is.
fn missing() -> Option<String> {
    if std::env::var_os(ASKED).is_none() {
        return Some(format!("{ASKED} is not set; run `just lab`"));
    }
    if !rustix::process::geteuid().is_root() {
        return Some("it needs root".to_owned());
    }
    let needed = ["/lib/systemd/systemd", "/usr/bin/dbus-daemon", "/usr/bin/unshare", "/usr/bin/nsenter"];
    let lacking = needed.iter().find(|it| !Path::new(it).exists()).map(|it| format!("there is no {it}"));
    lacking.or_else(|| {
        let works = Command::new("ip").args(["netns", "list"]).output().is_ok_and(|it| it.status.success());
        (!works).then(|| "`ip netns` does not work: install iproute2".to_owned())
    })
}

fn must(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", stderr(&output));
    output
}

/// One host, and the server that it belongs to. Everything ends with it.
struct Lab {
    dir: TempDir,
    netns: String,
    link: String,
    boot: Child,
    init: i32,
    server: Option<Child>,
}

impl Lab {
    fn boot() -> Self {
        let dir = TempDir::new().unwrap();
        let (netns, link) = (format!("prl{}", std::process::id()), format!("pr{}", std::process::id()));
        files(dir.path());
        let far = format!("{link}h");
        must("ip", &["netns", "add", &netns]);
        must("ip", &["link", "add", &link, "type", "veth", "peer", "name", &far, "netns", &netns]);
        must("ip", &["addr", "add", &format!("{SERVER}/24"), "dev", &link]);
        must("ip", &["link", "set", &link, "up"]);
        must("ip", &["-n", &netns, "addr", "add", &format!("{HOST}/24"), "dev", &far]);
        must("ip", &["-n", &netns, "link", "set", &far, "up"]);
        must("ip", &["-n", &netns, "link", "set", "lo", "up"]);
        let log = fs::File::create(dir.path().join("boot.log")).unwrap();
        let place = dir.path().display().to_string();
        let unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--mount-proc"];
        let boot = Command::new("ip")
            .args(["netns", "exec", &netns])
            .args(unshare)
            .args(["sh", "-c", BOOT, "boot", &place])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lab = Self { dir, netns, link, boot, init: 0, server: None };
        wait_blocking("the host's init", || child_of(lab.boot.id()).is_some());
        lab.init = child_of(lab.boot.id()).unwrap();
        wait_blocking("the host is up", || lab.inside(&["systemctl", "is-active", "basic.target"]).status.success());
        lab
    }

    /// Runs a command on the host.
    fn inside(&self, command: &[&str]) -> Output {
        let init = self.init.to_string();
        let enter = ["-t", &init, "-m", "-p", "-u", "-i", "-n"];
        Command::new("nsenter").args(enter).args(command).stdin(Stdio::null()).output().unwrap()
    }

    /// A property of a unit of the host.
    fn unit(&self, unit: &str, property: &str) -> String {
        let shown = self.inside(&["systemctl", "show", "--value", "-p", property, unit]);
        String::from_utf8_lossy(&shown.stdout).trim().to_owned()
    }

    fn fleet(&self) -> PathBuf {
        self.dir.path().join("fleet")
    }

    fn serve(&mut self) {
        let config = self.dir.path().join("up.toml");
        fs::write(&config, SERVER_POLICY).unwrap();
        let log = fs::File::create(self.dir.path().join("up.log")).unwrap();
        let mut up = prunella(&["up", "--host", "ctl", "--listen", SERVER]);
        up.arg("--dir").arg(self.fleet()).arg("--config").arg(config);
        self.server = Some(up.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        wait_blocking("the server answers", || self.ask(&["status"]).is_some());
    }

    /// What the server says, as JSON.
    fn ask(&self, args: &[&str]) -> Option<Value> {
        let output = prunella(&["-o", "json"]).arg("--dir").arg(self.fleet()).args(args).output().unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).ok()).flatten()
    }

    fn join(&self) {
        let made = self.ask(&["token", "create", "--host", "h1"]).unwrap();
        let join = self.dir.path().join("files/join");
        fs::write(&join, format!("PRUNELLA_JOIN_TOKEN={}\n", made["token"].as_str().unwrap())).unwrap();
        let units = ["prunella-agent-helper.service", "prunella-agent.service", "lab-web.service"];
        for unit in units {
            let started = self.inside(&["systemctl", "start", unit]);
            assert!(started.status.success(), "{unit}: {}", stderr(&started));
        }
        let online = |it: &Value| it["name"] == "h1" && it["state"] == "online" && it["observe_only"].is_null();
        wait_blocking("h1 is a member", || {
            self.ask(&["hosts"]).is_some_and(|all| all["hosts"].as_array().unwrap().iter().any(online))
        });
    }

    /// Kills the service as a crash would, and waits until it runs again.
    fn kill_and_wait(&self, what: &str) {
        let before = self.unit("lab-web.service", "MainPID");
        assert!(self.inside(&["systemctl", "kill", "-s", "KILL", "lab-web.service"]).status.success());
        wait_blocking(what, || {
            let now = self.unit("lab-web.service", "MainPID");
            now != "0" && now != before && self.unit("lab-web.service", "ActiveState") == "active"
        });
    }

    /// What h1 did alone.
    fn runs(&self) -> usize {
        let orders = self.ask(&["orders"]).unwrap_or_default();
        let host = orders["hosts"].as_array().and_then(|all| all.iter().find(|it| it["host"] == "h1")).cloned();
        host.and_then(|it| it["runs"].as_array().map(Vec::len)).unwrap_or(0)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let journal = self.inside(&["journalctl", "-o", "cat", "--no-pager", "-n", "60"]);
            eprintln!("=== the host's journal\n{}", String::from_utf8_lossy(&journal.stdout));
            for log in ["boot.log", "up.log", "fleet/server.log"] {
                eprintln!("=== {log}\n{}", fs::read_to_string(self.dir.path().join(log)).unwrap_or_default());
            }
        }
        if let Some(server) = &mut self.server {
            if let Some(pid) = i32::try_from(server.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::TERM);
            }
            let _ = server.wait();
        }
        // The end of its first process is the end of the namespace and all in it.
        if let Some(init) = Pid::from_raw(self.init) {
            let _ = kill_process(init, Signal::KILL);
        }
        let _ = self.boot.kill();
        let _ = self.boot.wait();
        let _ = Command::new("ip").args(["link", "del", &self.link]).output();
        let _ = Command::new("ip").args(["netns", "del", &self.netns]).output();
    }
}

/// The one child of a process.
fn child_of(pid: u32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// What the host finds in `/run/lab`, and its units: those that ship, with the program under test in them.
fn files(dir: &Path) {
    let (files, units) = (dir.join("files"), dir.join("units"));
    fs::create_dir_all(&files).unwrap();
    fs::create_dir_all(&units).unwrap();
    for (from, line) in [
        ("passwd", "prunella-agent:x:64993:64993::/nonexistent:/usr/sbin/nologin\n"),
        ("group", "prunella-agent:x:64993:\n"),
    ] {
        let text = fs::read_to_string(Path::new("/etc").join(from)).unwrap();
        fs::write(files.join(from), text + line).unwrap();
    }
    fs::write(files.join("agent.toml"), AGENT).unwrap();
    let here = files.join("prunella");
    fs::copy(program(), &here).unwrap();
    for (file, mode) in [(&here, 0o755), (&files.join("agent.toml"), 0o644), (&files, 0o755), (&dir.to_owned(), 0o755)]
    {
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::write(units.join("lab-web.service"), "[Service]\nExecStart=/bin/sleep 100000\n").unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd");
    for unit in ["prunella-agent.service", "prunella-agent-helper.service"] {
        let text = fs::read_to_string(shipped.join(unit)).unwrap();
        let text = text
            .replace(
                "/usr/bin/prunella-agent helper --config /etc/prunella/agent.toml --user prunella-agent",
                "/run/lab/prunella agent --config /run/lab/agent.toml --helper-of prunella-agent \
                 --state-dir /var/lib/prunella-agent-helper",
            )
            .replace("/usr/bin/prunella-agent --config /etc/prunella", "/run/lab/prunella agent --config /run/lab")
            .replace("/etc/prunella/join", "/run/lab/join")
            .replace("ConfigurationDirectory=prunella\n", "")
            .replace("ConfigurationDirectoryMode=0755\n", "");
        assert!(!text.contains("/usr/bin/prunella-agent"), "{unit}");
        fs::write(units.join(unit), text).unwrap();
    }
}

#[test]
fn a_real_host_is_healed_by_its_server_and_alone() {
    if let Some(why) = missing() {
        eprintln!("SKIPPED: the lab of real hosts was not tried: {why}");
        return;
    }
    let mut lab = Lab::boot();
    lab.serve();
    lab.join();

    // The half with the network has no privilege, and the half with the privilege no network.
    let process = |unit: &str, file: &str| {
        let pid = lab.unit(unit, "MainPID");
        String::from_utf8_lossy(&lab.inside(&["cat", &format!("/proc/{pid}/{file}")]).stdout).into_owned()
    };
    let agent = process("prunella-agent.service", "status");
    assert!(agent.contains("CapEff:\t0000000000000000") && agent.contains("Uid:\t64993"), "{agent}");
    let devices = process("prunella-agent-helper.service", "net/dev");
    assert_eq!(devices.lines().skip(2).filter(|it| !it.trim_start().starts_with("lo:")).count(), 0, "{devices}");

    lab.kill_and_wait("the server heals it");
    wait_blocking("the repair is verified", || lab.ask(&["status"]).is_some_and(|it| it["repaired"] == 1));
    assert_eq!(lab.runs(), 0);

    must("ip", &["link", "set", &lab.link, "down"]);
    lab.kill_and_wait("a standing order heals it");
    must("ip", &["link", "set", &lab.link, "up"]);
    wait_blocking("the host reports what it did alone", || lab.runs() == 1);
    // It is said in each stream until it is acknowledged, and told once.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(lab.runs(), 1);
}

use std::path::{Path, PathBuf};
use std::time::Duration;

use prunella_model::observation::ProbeKind;
use prunella_model::step::StepKind;

use super::{AgentConfig, ManagerConfig, PartState};

fn parse(text: &str) -> Result<AgentConfig, String> {
    AgentConfig::parse("agent.toml", text, Path::new("/etc/prunella"), "Web-1").map_err(|it| it.to_string())
}

const WEB: &str = r#"
[agent]
state_dir = "state"
control = ["127.0.0.1:7443"]
labels = { rack = "a" }

[limits]
repairs_per_hour = 3

[[target]]
name = "db"
manager = "systemd"
unit = "postgresql.service"
[[target.probe]]
kind = "tcp"
address = "localhost:5432"

[[target]]
name = "web"
service = "shop"
critical = true
depends_on = ["db", "services/cache", "hosts/h2/targets/auth"]
manager = "command"
start = ["bin/web", "--port", "8080"]
stop_with_agent = true
[[target.probe]]
name = "answers"
kind = "http"
url = "http://127.0.0.1:8080/health"
interval = "250ms"
timeout = "100ms"
[[target.directory]]
name = "cache"
path = "/var/cache/web"
quota = "64MiB"
older_than = "1h"
match = ["*.tmp", "old/**"]
[[target.file]]
name = "config"
path = "web.conf"
"#;

#[test]
fn a_whole_file_is_read_with_its_defaults() {
    let config = parse(WEB).unwrap();
    assert_eq!((config.host.as_str(), config.limits.repairs_per_hour), ("web-1", 3));
    assert_eq!(config.state_dir, PathBuf::from("/etc/prunella/state"));
    assert_eq!(config.limits.pause_file, PathBuf::from("/etc/prunella/state/paused"));
    let [db, web] = &config.targets[..] else { panic!("two targets") };
    assert_eq!(db.manager, ManagerConfig::Systemd { unit: "postgresql.service".to_owned() });
    let ManagerConfig::Command(command) = &web.manager else { panic!("a command") };
    assert_eq!(command.start, ["/etc/prunella/bin/web", "--port", "8080"]);
    assert!(command.stop_with_agent && command.start_with_agent);
    let probes: Vec<_> = web.probes.iter().map(|it| (it.name.as_str(), it.subject.kind())).collect();
    let expected = [
        ("answers", ProbeKind::Http),
        ("process", ProbeKind::Process),
        ("cache", ProbeKind::Directory),
        ("config", ProbeKind::File),
    ];
    assert_eq!(probes, expected);
    assert_eq!(web.probes[0].interval, Duration::from_millis(250));
    assert_eq!(web.directories[0].quota_bytes, 64 << 20);
    assert!(web.directories[0].matching.is_match("a.tmp") && !web.directories[0].matching.is_match("sub/a.tmp"));
    assert!(web.directories[0].matching.is_match("old/b/c"));
    assert_eq!(web.files[0].path, PathBuf::from("/etc/prunella/web.conf"));
    let reports = config.reports(|_, _| None, |_, _, _| PartState::default());
    assert_eq!(reports.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["host", "db", "web"]);
}

#[test]
fn by_default_only_what_is_named_may_be_restarted_cleaned_or_put_back() {
    let config = parse(WEB).unwrap();
    let kinds = |at: usize| config.targets[at].permits.iter().map(|it| it.step).collect::<Vec<_>>();
    assert_eq!(kinds(0), [StepKind::StartService, StepKind::RestartService]);
    let all = [StepKind::StartService, StepKind::RestartService, StepKind::CleanDirectory, StepKind::RestoreFile];
    assert_eq!(kinds(1), all);
}

#[test]
fn permits_are_a_list_or_a_table() {
    let with = |permit: &str| {
        let text = format!("[[target]]\nname = \"a\"\nmanager = \"command\"\nstart = [\"/bin/true\"]\n{permit}");
        parse(&text).map(|it| it.targets[0].permits.clone())
    };
    assert_eq!(with("permit = []").unwrap(), []);
    let listed = with("permit = [\"signal_process\"]").unwrap();
    assert_eq!((listed[0].step, listed[0].per_hour, listed[0].approvals), (StepKind::SignalProcess, 10, 0));
    let table = with("[target.permit]\nstop_service = { per_hour = 2, approvals = 1 }").unwrap();
    assert_eq!((table[0].step, table[0].per_hour, table[0].approvals), (StepKind::StopService, 2, 1));
    let wrong = with("permit = [\"restart_servic\"]").unwrap_err();
    assert_eq!(wrong, "agent.toml:5:11: unknown value \"restart_servic\"; did you mean \"restart_service\"?");
    let wrong = with("[target.permit]\nstop_service = { per_hours = 2 }").unwrap_err();
    assert_eq!(wrong, "agent.toml:6:18: unknown key \"per_hours\" in [target.permit]; did you mean \"per_hour\"?");
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    let check = |text: &str, expected: &str| {
        let found = parse(text).unwrap_err();
        assert!(found.starts_with(expected), "expected {expected}\nfound    {found}");
    };
    let probe = |keys: &str| format!("[[target]]\nname = \"a\"\n[[target.probe]]\n{keys}");
    check("[[target]]\nname = \"a\"\nintervall = 1", "agent.toml:3:1: unknown key \"intervall\" in [[target]]; ");
    check(
        &probe("kind = \"tcp\"\naddress = \"127.0.0.1:1\"\nintervall = \"1s\""),
        "agent.toml:6:1: unknown key \"intervall\" in [[target.probe]]; did you mean \"interval\"?",
    );
    check("[[target]]\nname = \"A b\"", "agent.toml:2:8: target name \"A b\" has 'A'");
    check("[[target]]\nname = \"host\"", "agent.toml:2:8: \"host\" stands for the host itself");
    check("[[target]]\nname = \"a\"", "agent.toml:2:8: target a has nothing to look at");
    check("[[target]]\nname = \"a\"\nunit = \"x.service\"", "agent.toml:3:8: unit goes with manager = \"systemd\"");
    check("[[target]]\nname = \"a\"\nstart = [\"x\"]", "agent.toml:3:9: start goes with manager = \"command\"");
    check("[[target]]\nname = \"a\"\nmanager = \"command\"", "agent.toml:3:11: manager = \"command\" needs start");
    check(&probe("kind = \"http\""), "agent.toml:4:8: a http probe needs url, for example");
    check(&probe("kind = \"http\"\nurl = \"ftp://x/\""), "agent.toml:5:7: \"ftp://x/\" cannot be probed; write");
    check(&probe("kind = \"tcp\"\nurl = \"http://x/\""), "agent.toml:5:7: a tcp probe has no url");
    check(&probe("kind = \"tcp\"\naddress = \"x\""), "agent.toml:5:11: \"x\" is not an address");
    check(
        &probe("kind = \"tcp\"\naddress = \"x:1\"\ninterval = \"1\""),
        "agent.toml:6:12: \"1\" is not a span of time",
    );
    check(&probe("kind = \"tcp\"\naddress = \"x:1\"\ninterval = \"1ms\""), "agent.toml:6:12: 1ms is out of range");
    check("[limits]\nintervals = { least = \"5m\", most = \"1s\" }", "agent.toml:2:13: the least interval is longer");
    check("[limits]\nintervals = { least = \"1s\" }", "agent.toml:2:13: missing field `most`");
    check("[limits]\nintervals = { least = \"1ms\", most = \"1s\" }", "agent.toml:2:23: 1ms is out of range");
    check(&probe("kind = \"process\""), "agent.toml:4:8: a process probe needs manager");
    check(&probe("kind = \"directory\""), "agent.toml:4:8: a directory is probed by itself");
    let twice = probe("kind = \"tcp\"\naddress = \"x:1\"\n[[target.probe]]\nkind = \"tcp\"\naddress = \"x:2\"");
    check(&twice, "agent.toml:7:8: this target has a probe tcp already");
    let lonely = format!(
        "{}\n[[target]]\nname = \"b\"\ndepends_on = [\"c\"]\n[[target.probe]]\nkind = \"tcp\"\naddress = \"x:1\"",
        probe("kind = \"tcp\"\naddress = \"x:1\"")
    );
    check(&lonely, "agent.toml:8:15: no target c here");
}

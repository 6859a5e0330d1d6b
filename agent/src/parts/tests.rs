//! Parts on real files, real processes and real servers. What is not installed is skipped, and says so.

mod real;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use prunella_model::part::Act;
use prunella_model::step::{Risk, Step, StepKind, TargetStep};
use prunella_model::{PartName, TargetName};
use tokio::sync::mpsc;

use crate::config::AgentConfig;
use crate::senses::Senses;
use crate::steps::Hands;

struct Lab {
    dir: tempfile::TempDir,
    senses: Senses,
    hands: Hands,
}

/// `{dir}` in the text stands for the test's own directory.
async fn lab(prepare: impl FnOnce(&Path), text: &str) -> Lab {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    let text = text.replace("{dir}", &dir.path().display().to_string());
    let config = Arc::new(AgentConfig::parse("agent.toml", &text, dir.path(), "h1").unwrap());
    let (to, mut seen) = mpsc::channel(100);
    tokio::spawn(async move { while seen.recv().await.is_some() {} });
    let senses = Senses::start(config, to).await.unwrap();
    let hands = Hands::new(&senses);
    Lab { dir, senses, hands }
}

fn used(target: &str, part: &str, act: Act) -> TargetStep {
    let part = PartName::new(part).unwrap();
    TargetStep { target: TargetName::new(target).unwrap(), step: Step::Use { part, act } }
}

impl Lab {
    async fn act(&self, part: &str, act: Act) -> Result<String, String> {
        self.hands.carry_out(&used("it", part, act)).await.map_err(|it| it.to_string())
    }

    async fn rehearse(&self, part: &str, act: Act) -> Result<String, String> {
        self.hands.rehearse(&used("it", part, act)).await.map_err(|it| it.to_string())
    }

    fn report(&self, part: &str) -> prunella_model::part::PartReport {
        let it = self.senses.full().targets.into_iter().find(|it| it.name.as_str() == "it").unwrap();
        it.parts.into_iter().find(|it| it.name.as_str() == part).unwrap()
    }
}

const IT: &str = r#"
[[target]]
name = "it"
manager = "command"
start = ["/bin/sleep", "1000"]
stop_with_agent = true
"#;

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn is_installed(program: &str) -> bool {
    let found = Command::new("which").arg(program).stdout(Stdio::null()).status().is_ok_and(|it| it.success());
    if !found {
        eprintln!("SKIPPED: {program} is not installed here, so its part was not tested on the real thing");
    }
    found
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Ends a process of the test with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_declared_program_runs_as_declared_and_a_dry_run_only_tells() {
    let text = format!(
        "{IT}\n[[target.part.program]]\nname = \"reindex\"\nrun = [\"{{dir}}/reindex\", \"--quick\"]\nrisk = \"low\"\nundo = \"back\"\n\
         [[target.part.program]]\nname = \"back\"\nrun = {{ run = [\"{{dir}}/reindex\", \"$HOME; true\"], env = {{ WORD = \"said\" }} }}\n\
         [[target.part.program]]\nname = \"slow\"\nrun = [\"/bin/sleep\", \"100\"]\ntimeout = \"100ms\"\n\
         [[target.part.program]]\nname = \"bad\"\nrun = [\"{{dir}}/bad\"]\n"
    );
    let write = |dir: &Path| {
        script(&dir.join("reindex"), &format!("echo \"$@ $WORD $SECRET\" >> {}/ran", dir.display()));
        script(&dir.join("bad"), "echo no such index >&2; exit 3");
    };
    let lab = lab(write, &text).await;
    let run = || Act::RunDeclared { risk: Risk::High };
    let told = lab.rehearse("reindex", run()).await.unwrap();
    assert!(told.starts_with("would run ") && told.ends_with("/reindex --quick for at most 60 s"), "{told}");
    assert!(!lab.dir.path().join("ran").exists());
    lab.act("reindex", run()).await.unwrap();
    lab.act("back", run()).await.unwrap();
    // No shell has read the words, and nothing of the agent's own environment reached the program.
    assert_eq!(fs::read_to_string(lab.dir.path().join("ran")).unwrap(), "--quick  \n$HOME; true said \n");
    let slow = lab.act("slow", run()).await.unwrap_err();
    assert_eq!(slow, "run_declared slow on it: /bin/sleep had not ended after 0 s and was killed");
    let bad = lab.act("bad", run()).await.unwrap_err();
    assert!(bad.contains("failed (exit status: 3); it said: no such index"), "{bad}");
    let unnamed = lab.act("rm", run()).await.unwrap_err();
    assert_eq!(unnamed, "run_declared rm on it: agent.toml names no program rm of target it");
    let report = lab.report("reindex");
    assert_eq!((report.risk, report.undo.unwrap().as_str()), (Risk::Low, "back"));
    assert_eq!(lab.report("bad").risk, Risk::High, "what nobody has judged is high");
    lab.senses.close().await;
}

#[tokio::test]
async fn a_program_runs_as_its_user_and_without_the_agents_groups() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can become another user");
        return;
    }
    let text = format!(
        "{IT}\n[[target.part.program]]\nname = \"who\"\nrun = {{ run = [\"/usr/bin/id\"], user = \"nobody\" }}\n"
    );
    let lab = lab(|_| {}, &text).await;
    let said = lab.act("who", Act::RunDeclared { risk: Risk::High }).await.unwrap();
    assert!(said.contains("uid=65534(nobody)") && !said.contains("(root)"), "{said}");
    lab.senses.close().await;
}

#[tokio::test]
async fn a_cache_is_emptied_trimmed_and_filled_again() {
    let text = format!(
        "{IT}\n[[target.part.cache]]\nname = \"pages\"\npath = \"{{dir}}/pages\"\nbound = \"1KiB\"\nrebuild = [\"{{dir}}/fill\"]\n\
         [[target.part.cache]]\nname = \"bare\"\npath = \"{{dir}}/pages\"\n"
    );
    let write = |dir: &Path| {
        fs::create_dir_all(dir.join("pages/deep")).unwrap();
        for (name, age) in [("old", 300), ("deep/older", 400), ("new", 10)] {
            let path = dir.join("pages").join(name);
            fs::write(&path, "x".repeat(400)).unwrap();
            let used = std::time::SystemTime::now() - Duration::from_secs(age);
            let times = fs::FileTimes::new().set_modified(used).set_accessed(used);
            fs::File::options().write(true).open(&path).unwrap().set_times(times).unwrap();
        }
        script(&dir.join("fill"), &format!("echo fresh > {}/pages/fresh", dir.display()));
    };
    let lab = lab(write, &text).await;
    let pages = lab.dir.path().join("pages");
    let trim = || Act::OptimizeCache { until_percent: 80 };
    let told = lab.rehearse("pages", trim()).await.unwrap();
    assert!(
        told.starts_with("would remove 1 files of 400 bytes") && told.ends_with("the first are deep/older"),
        "{told}"
    );
    assert!(pages.join("deep/older").exists());
    lab.act("pages", trim()).await.unwrap();
    assert!(!pages.join("deep/older").exists() && pages.join("old").exists(), "what was not used for longest goes");
    assert!(lab.act("pages", trim()).await.unwrap().starts_with("0 files"), "again changes nothing");
    lab.act("pages", Act::RebuildCache).await.unwrap();
    let left: Vec<_> = fs::read_dir(&pages).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(left.len() == 2 && pages.join("fresh").exists(), "{left:?}");
    lab.act("pages", Act::ClearCache).await.unwrap();
    assert!(!pages.join("fresh").exists());
    assert_eq!(lab.report("bare").acts, [StepKind::ClearCache], "what is not declared cannot be done");
    assert!(lab.act("bare", trim()).await.is_err());
    lab.senses.close().await;
}

#[tokio::test]
async fn a_redis_database_is_a_cache_of_its_own() {
    if !is_installed("redis-server") {
        return;
    }
    let port = free_port();
    let args = ["--port", &port.to_string(), "--save", "", "--bind", "127.0.0.1"];
    let _server = Ended(Command::new("redis-server").args(args).stdout(Stdio::null()).spawn().unwrap());
    let cli = |words: &[&str]| {
        let out = Command::new("redis-cli").args(["-p", &port.to_string()]).args(words).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    };
    for _ in 0..200 {
        if cli(&["ping"]) == "PONG" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    cli(&["-n", "0", "set", "mine", "precious"]);
    let fill = "for i = 1, 1000 do redis.call('set', 'page:' .. i, string.rep('x', 1000)) end";
    cli(&["-n", "3", "eval", fill, "0"]);
    let text = format!(
        "{IT}\n[[target.part.cache]]\nname = \"pages\"\nredis = \"redis://127.0.0.1:{port}/3\"\nbound = \"1MiB\"\n"
    );
    let lab = lab(|_| {}, &text).await;
    let told = lab.rehearse("pages", Act::ClearCache).await.unwrap();
    assert_eq!(told, format!("would remove all 1000 keys of redis://127.0.0.1:{port}/3"));
    let trimmed = lab.act("pages", Act::OptimizeCache { until_percent: 50 }).await.unwrap();
    let left: u64 = cli(&["-n", "3", "dbsize"]).rsplit(' ').next().unwrap().parse().unwrap();
    assert!((300..700).contains(&left), "{left} keys: {trimmed}");
    lab.act("pages", Act::ClearCache).await.unwrap();
    assert!(cli(&["-n", "3", "dbsize"]).ends_with('0'));
    assert_eq!(cli(&["-n", "0", "get", "mine"]), "precious", "another database is another's");
    lab.senses.close().await;
}

#[tokio::test]
async fn a_configuration_is_updated_only_by_what_its_validator_accepts() {
    let text = format!(
        "{IT}\n[[target.file]]\nname = \"conf\"\npath = \"{{dir}}/it.conf\"\nsource = \"{{dir}}/next.conf\"\nvalidate = [\"/bin/grep\", \"-q\", \"port\", \"{{file}}\"]\n"
    )
    .replace("{file}", "{{file}}")
    .replace("{{file}}", "{file}");
    let write = |dir: &Path| {
        fs::write(dir.join("it.conf"), "port 1\n").unwrap();
        fs::write(dir.join("next.conf"), "prot 2\n").unwrap();
    };
    let lab = lab(write, &text).await;
    let (conf, next) = (lab.dir.path().join("it.conf"), lab.dir.path().join("next.conf"));
    lab.act("conf", Act::ValidateConfig).await.unwrap();
    let refused = lab.act("conf", Act::UpdateConfig).await.unwrap_err();
    assert!(refused.contains("next.conf is not valid"), "{refused}");
    assert_eq!(fs::read_to_string(&conf).unwrap(), "port 1\n");
    fs::write(&next, "port 2\n").unwrap();
    let told = lab.rehearse("conf", Act::UpdateConfig).await.unwrap();
    assert!(told.starts_with("would put ") && fs::read_to_string(&conf).unwrap() == "port 1\n", "{told}");
    lab.act("conf", Act::UpdateConfig).await.unwrap();
    assert_eq!(fs::read_to_string(&conf).unwrap(), "port 2\n");
    // What was there before was saved, and a restore puts it back; one that the validator refuses does not stay.
    let before = crate::snapshot::digest_of(&next).unwrap().unwrap();
    fs::write(&conf, "broken\n").unwrap();
    let store = lab.senses.snapshots();
    let (it, name) = (TargetName::new("it").unwrap(), PartName::new("conf").unwrap());
    store.keep_before_repair(&it, &name, &conf).unwrap();
    let broken = crate::snapshot::digest_of(&conf).unwrap().unwrap();
    fs::write(&conf, "port 2\n").unwrap();
    let restore =
        |snapshot| TargetStep { target: it.clone(), step: Step::RestoreFile { file: name.clone(), snapshot } };
    let refused = lab.hands.carry_out(&restore(broken)).await.unwrap_err().to_string();
    assert!(refused.contains("is not valid") && refused.contains("put back"), "{refused}");
    assert_eq!(crate::snapshot::digest_of(&conf).unwrap(), Some(before));
    lab.senses.close().await;
}

#[tokio::test]
async fn a_thief_of_the_port_is_ended_and_nobody_else() {
    if !is_installed("python3") {
        return;
    }
    let port = free_port();
    let text = format!(
        "{IT}\n[[target.part.stray]]\nname = \"thief\"\nport = {port}\ngrace = \"2s\"\n\
        [[target.part.stray]]\nname = \"own\"\nexecutable = \"/bin/sleep\"\n"
    );
    let lab = lab(|_| {}, &text).await;
    assert!(lab.act("thief", Act::KillProcess).await.unwrap().starts_with("there are no "));
    let code = format!("import socket,time; s=socket.create_server(('127.0.0.1',{port})); time.sleep(1000)");
    let mut thief = Ended(Command::new("python3").args(["-c", &code]).spawn().unwrap());
    let address = format!("127.0.0.1:{port}");
    for _ in 0..400 {
        if std::net::TcpStream::connect(&address).is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let told = lab.rehearse("thief", Act::KillProcess).await.unwrap();
    assert!(told.starts_with(&format!("would end process {} (", thief.0.id())), "{told}");
    assert!(thief.0.try_wait().unwrap().is_none());
    lab.act("thief", Act::KillProcess).await.unwrap();
    assert!(thief.0.wait().is_ok() && std::net::TcpStream::connect(&address).is_err());
    lab.senses.close().await;
}

#[tokio::test]
async fn a_rule_that_matches_too_much_or_what_belongs_here_ends_nothing() {
    let program = fs::canonicalize("/bin/sleep").unwrap();
    let write = |dir: &Path| assert!(fs::copy(&program, dir.join("job")).is_ok());
    let text = "[[target]]\nname = \"it\"\nmanager = \"command\"\nstart = [\"{dir}/job\", \"1000\"]\nstop_with_agent = true\n\
        [[target.part.stray]]\nname = \"jobs\"\nexecutable = \"{dir}/job\"\n";
    let lab = lab(write, text).await;
    let own = lab.act("jobs", Act::KillProcess).await.unwrap_err();
    assert!(own.ends_with("belongs to target it and is no stray; nothing was ended"), "{own}");
    lab.hands
        .carry_out(&TargetStep {
            target: TargetName::new("it").unwrap(),
            step: Step::StopService { grace: Duration::ZERO },
        })
        .await
        .unwrap();
    let job = || Ended(Command::new(lab.dir.path().join("job")).arg("1000").spawn().unwrap());
    let (mut one, mut two) = (job(), job());
    let many = lab.act("jobs", Act::KillProcess).await.unwrap_err();
    assert!(many.contains("and the rule permits 1 at most; nothing was ended"), "{many}");
    assert!(one.0.try_wait().unwrap().is_none() && two.0.try_wait().unwrap().is_none());
    lab.senses.close().await;
}

#[tokio::test]
async fn a_release_is_switched_whole_and_goes_back_when_it_cannot_be_activated() {
    let text = format!(
        "{IT}\n[[target.part.releases]]\nname = \"app\"\nlink = \"{{dir}}/current\"\ndir = \"{{dir}}/releases\"\nkeep = 2\nknown_good_after = \"1ms\"\nactivate = [\"{{dir}}/activate\"]\n"
    );
    let write = |dir: &Path| {
        for name in ["v1", "v2", "v3", "bad", "Upper Case"] {
            fs::create_dir_all(dir.join("releases").join(name)).unwrap();
            std::thread::sleep(Duration::from_millis(3));
        }
        symlink("releases/v2", dir.join("current")).unwrap();
        script(&dir.join("activate"), &format!("test $(readlink {0}/current) != releases/bad", dir.display()));
    };
    let lab = lab(write, &text).await;
    let link = || fs::read_link(lab.dir.path().join("current")).unwrap().display().to_string();
    let to = |name| Act::SwitchGeneration { to: PartName::new(name).unwrap() };
    assert_eq!(lab.report("app").current.unwrap().as_str(), "v2");
    let told = lab.rehearse("app", to("v3")).await.unwrap();
    assert!(told.ends_with("from v2 to v3") && link() == "releases/v2", "{told}");
    lab.act("app", to("v3")).await.unwrap();
    assert_eq!(link(), "releases/v3");
    assert_eq!(lab.report("app").current.unwrap().as_str(), "v3", "the server is told of it");
    let failed = lab.act("app", to("bad")).await.unwrap_err();
    assert!(failed.contains("could not be activated") && failed.ends_with("names v3 again"), "{failed}");
    assert_eq!(link(), "releases/v3");
    assert!(lab.act("app", to("v9")).await.unwrap_err().ends_with("holds no release v9"));
    let told = lab.rehearse("app", Act::PruneGenerations).await.unwrap();
    assert!(told.ends_with(": v1, v2"), "{told}");
    lab.act("app", Act::PruneGenerations).await.unwrap();
    assert!(!lab.dir.path().join("releases/v1").exists() && lab.dir.path().join("releases/v3").exists());
    lab.senses.close().await;
}

#[test]
fn a_release_is_good_once_its_target_was_well_with_it() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["v1", "v2"] {
        fs::create_dir_all(dir.path().join("releases").join(name)).unwrap();
    }
    symlink("releases/v1", dir.path().join("current")).unwrap();
    let releases = |after| crate::config::part::Releases {
        link: dir.path().join("current"),
        dir: dir.path().join("releases"),
        affixes: (String::new(), String::new()),
        keep: 1,
        known_good_after: after,
        activate: None,
    };
    let (it, app) = (TargetName::new("it").unwrap(), PartName::new("app").unwrap());
    let look = |after, well| super::releases::look(&releases(after), &dir.path().join("state"), &it, &app, well);
    let hour = Duration::from_secs(3600);
    assert_eq!(look(hour, Some(hour)).known_good, None, "the link is younger than that");
    look(Duration::ZERO, None);
    look(Duration::ZERO, Some(hour));
    fs::remove_file(dir.path().join("current")).unwrap();
    symlink("releases/v2", dir.path().join("current")).unwrap();
    let bad = look(hour, None);
    assert_eq!((bad.current.unwrap().as_str(), bad.known_good.unwrap().as_str(), bad.spare), ("v2", "v1", Some(0)));
}

#[tokio::test]
async fn nice_values_and_numbers_in_files_are_set_within_their_bounds_and_back() {
    let text =
        format!("{IT}\n[[target.part.weight]]\nname = \"cpu\"\nknob = \"nice\"\nleast = 0\nmost = 10\ngoal = 10\n");
    let lab = lab(|_| {}, &text).await;
    for _ in 0..200 {
        if lab.senses.services().pid(&TargetName::new("it").unwrap()).is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let pid = lab.senses.services().pid(&TargetName::new("it").unwrap()).unwrap();
    let nice = || super::setting::weight(&crate::config::part::Knob::Nice, Some(pid));
    let before = nice().unwrap();
    lab.rehearse("cpu", Act::SetWeight { value: 7 }).await.unwrap();
    assert_eq!(nice(), Some(before));
    let done = lab.act("cpu", Act::SetWeight { value: 7 }).await.unwrap();
    assert!(nice() == Some(7) && done.ends_with(&format!("before it was {before}")), "{done}");
    assert_eq!(lab.report("cpu").setting.unwrap().now, Some(7));
    assert!(lab.act("cpu", Act::SetWeight { value: 11 }).await.unwrap_err().contains("outside 0 to 10"));
    lab.senses.close().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "60\n").unwrap();
    let bounds = crate::config::part::Bounds { least: 0, most: 100, goal: None };
    let set = |value, mode| super::setting::write(file.path(), bounds, &Act::SetSysctl { value }, mode);
    assert!(set(10, super::Mode::Rehearse).unwrap().starts_with("would set"));
    assert_eq!(super::setting::number(file.path()), Some(60));
    assert!(set(10, super::Mode::Act).unwrap().ends_with("before it was 60"));
    assert_eq!(super::setting::number(file.path()), Some(10));
}

#[tokio::test]
async fn a_backup_holds_every_content_once_and_is_read_again() {
    let text = format!(
        "{IT}\n[[target.part.backup]]\nname = \"data\"\npaths = [\"{{dir}}/data\"]\nto = \"{{dir}}/backup\"\nkeep = 1\n"
    );
    let write = |dir: &Path| {
        fs::create_dir(dir.join("data")).unwrap();
        fs::write(dir.join("data/a"), "same").unwrap();
        fs::write(dir.join("data/b"), "same").unwrap();
        symlink("/etc/shadow", dir.join("data/link")).unwrap();
    };
    let lab = lab(write, &text).await;
    let told = lab.rehearse("data", Act::MakeBackup).await.unwrap();
    assert!(told.starts_with("would copy 2 files of 8 bytes") && !lab.dir.path().join("backup").exists(), "{told}");
    let done = lab.act("data", Act::MakeBackup).await.unwrap();
    assert!(done.contains("4 bytes of them new"), "{done}");
    fs::write(lab.dir.path().join("data/a"), "else").unwrap();
    fs::write(lab.dir.path().join("data/b"), "else").unwrap();
    let done = lab.act("data", Act::MakeBackup).await.unwrap();
    assert!(done.ends_with("1 older contents dropped"), "{done}");
    assert_eq!(fs::read_dir(lab.dir.path().join("backup/objects")).unwrap().count(), 1);
    lab.senses.close().await;
}

#[tokio::test]
async fn a_certificate_counts_as_renewed_only_when_it_is_another_one() {
    let text = format!(
        "{IT}\n[[target.part.certificate]]\nname = \"tls\"\npath = \"{{dir}}/tls.pem\"\nrenew = [\"{{dir}}/renew\"]\n"
    );
    let write = |dir: &Path| {
        fs::write(dir.join("tls.pem"), "old").unwrap();
        script(&dir.join("renew"), "true");
    };
    let lab = lab(write, &text).await;
    assert!(lab.act("tls", Act::RenewCertificate).await.unwrap_err().contains("is the same as before"));
    script(&lab.dir.path().join("renew"), &format!("echo new > {}/tls.pem", lab.dir.path().display()));
    lab.act("tls", Act::RenewCertificate).await.unwrap();
    lab.senses.close().await;
}

#[tokio::test]
async fn instances_are_started_and_stopped_by_number() {
    // Stands in for systemctl where the host has no systemd: it keeps the units that run as files.
    let fake = r#"cd "$(dirname "$0")/units"; verb=$1; shift
case $verb in
list-units) for it in *; do test -e "$it" && echo "$it loaded active running It"; done; true;;
start) touch "$@";;
stop) rm "$@";;
esac"#;
    let text = format!(
        "{IT}\n[[target.part.instances]]\nname = \"workers\"\ntemplate = \"worker@\"\nsystemctl = \"{{dir}}/systemctl\"\nleast = 1\nmost = 4\n"
    );
    let write = |dir: &Path| {
        fs::create_dir(dir.join("units")).unwrap();
        fs::write(dir.join("units/worker@2.service"), "").unwrap();
        script(&dir.join("systemctl"), fake);
    };
    let lab = lab(write, &text).await;
    assert_eq!(lab.report("workers").setting.unwrap().now, Some(1));
    let told = lab.rehearse("workers", Act::ScaleInstances { value: 3 }).await.unwrap();
    assert_eq!(told, "would start worker@1.service, worker@3.service; 1 run now");
    lab.act("workers", Act::ScaleInstances { value: 3 }).await.unwrap();
    assert_eq!(lab.report("workers").setting.unwrap().now, Some(3));
    lab.act("workers", Act::ScaleInstances { value: 2 }).await.unwrap();
    assert!(!lab.dir.path().join("units/worker@3.service").exists());
    assert!(lab.act("workers", Act::ScaleInstances { value: 5 }).await.unwrap_err().contains("outside 1 to 4"));
    lab.senses.close().await;
}

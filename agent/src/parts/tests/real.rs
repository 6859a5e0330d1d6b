//! Parts on the real servers that they are about. What is not installed here is skipped, and says so.

use super::*;

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn a_server_of_haproxy_is_drained_made_ready_and_weighted() {
    if !is_installed("haproxy") {
        return;
    }
    let port = free_port();
    let text = format!(
        "{IT}\n[[target.part.balancer]]\nname = \"lb\"\nsocket = \"{{dir}}/haproxy.sock\"\nserver = \"web/one\"\nleast = 10\n\
         [[target.part.balancer]]\nname = \"none\"\nsocket = \"{{dir}}/haproxy.sock\"\nserver = \"web/three\"\n"
    );
    let configure = |dir: &Path| {
        let dir = dir.display();
        let config = format!(
            "global\n stats socket {dir}/haproxy.sock mode 600 level admin\ndefaults\n mode tcp\n timeout connect 1s\n timeout client 1s\n \
             timeout server 1s\nfrontend in\n bind 127.0.0.1:{port}\n default_backend web\nbackend web\n server one 127.0.0.1:9 weight 100\n \
             server two 127.0.0.1:9 weight 100\n"
        );
        fs::write(format!("{dir}/haproxy.cfg"), config).unwrap();
    };
    let lab = lab(configure, &text).await;
    let socket = lab.dir.path().join("haproxy.sock");
    let config = lab.dir.path().join("haproxy.cfg");
    let _haproxy =
        Ended(Command::new("haproxy").arg("-db").arg("-f").arg(config).stderr(Stdio::null()).spawn().unwrap());
    until("HAProxy listens", || std::os::unix::net::UnixStream::connect(&socket).is_ok()).await;
    let told = lab.rehearse("lb", Act::DrainServer).await.unwrap();
    assert!(told.starts_with("would say to HAProxy: set server web/one state drain"), "{told}");
    assert!(
        lab.act("lb", Act::ReadyServer).await.unwrap().ends_with("is ready already"),
        "the rehearsal changed nothing"
    );
    lab.act("lb", Act::DrainServer).await.unwrap();
    assert!(lab.act("lb", Act::DrainServer).await.unwrap().ends_with("is drained already"));
    lab.act("lb", Act::ReadyServer).await.unwrap();
    let done = lab.act("lb", Act::SetServerWeight { value: 25 }).await.unwrap();
    assert!(done.contains("weight before 100"), "{done}");
    assert_eq!(lab.report("lb").setting.unwrap().now, Some(25));
    assert!(lab.act("lb", Act::SetServerWeight { value: 5 }).await.unwrap_err().contains("outside 10 to 256"));
    assert!(lab.act("none", Act::DrainServer).await.unwrap_err().contains("knows no server web/three"));
    lab.senses.close().await;
}

#[tokio::test]
async fn nginx_is_asked_before_and_after_its_configuration_changes_and_reloads() {
    if !is_installed("nginx") {
        return;
    }
    let port = free_port();
    let good = move |dir: &Path, word: &str| {
        let dir = dir.display();
        format!(
            "daemon off;\nmaster_process on;\npid {dir}/nginx.pid;\nerror_log {dir}/error.log;\nevents {{}}\nhttp {{\n access_log off;\n \
             client_body_temp_path {dir}/b;\n proxy_temp_path {dir}/p;\n fastcgi_temp_path {dir}/f;\n uwsgi_temp_path {dir}/u;\n scgi_temp_path {dir}/s;\n \
             server {{ listen 127.0.0.1:{port}; location / {{ return 200 {word}; }} }}\n}}\n"
        )
    };
    let text = "[[target]]\nname = \"it\"\nmanager = \"command\"\nstart = [\"nginx\", \"-c\", \"{dir}/nginx.conf\"]\nstop_with_agent = true\n\
        [[target.file]]\nname = \"conf\"\npath = \"{dir}/nginx.conf\"\nsource = \"{dir}/next.conf\"\nvalidate = [\"nginx\", \"-t\", \"-c\", \"{file}\"]\n\
        [[target.part.reload]]\nname = \"conf\"\nsignal = \"hangup\"\n";
    let lab = lab(|dir| fs::write(dir.join("nginx.conf"), good(dir, "one")).unwrap(), text).await;
    let says = || {
        let out = Command::new("curl").args(["-s", &format!("http://127.0.0.1:{port}/")]).output();
        out.map(|it| String::from_utf8_lossy(&it.stdout).into_owned()).unwrap_or_default()
    };
    if !is_installed("curl") {
        return;
    }
    until("nginx answers", || says() == "one").await;
    let next = lab.dir.path().join("next.conf");
    fs::write(&next, "http { no_such_word on; }").unwrap();
    let refused = lab.act("conf", Act::UpdateConfig).await.unwrap_err();
    assert!(refused.contains("unknown directive \"no_such_word\""), "{refused}");
    assert_eq!(says(), "one");
    fs::write(&next, good(lab.dir.path(), "two")).unwrap();
    lab.act("conf", Act::UpdateConfig).await.unwrap();
    lab.act("conf", Act::ReloadService).await.unwrap();
    until("nginx has read it", || says() == "two").await;
    lab.senses.close().await;
}

#[tokio::test]
async fn a_postgresql_standby_becomes_the_primary() {
    if !is_installed("pg_ctl") || !is_installed("pg_basebackup") || !is_installed("initdb") {
        return;
    }
    let Ok(passwd) = fs::read_to_string("/etc/passwd") else { return };
    if !rustix::process::geteuid().is_root() || !passwd.contains("\npostgres:") {
        eprintln!("SKIPPED: PostgreSQL refuses to run as root, and there is no user postgres to become");
        return;
    }
    let (one, two) = (free_port(), free_port());
    let write = |dir: &Path| {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
        let run = |line: String| {
            let done =
                Command::new("su").args(["postgres", "-s", "/bin/sh", "-c", &line]).stdout(Stdio::null()).status();
            assert!(done.unwrap().success(), "{line}");
        };
        let path = std::env::var("PATH").unwrap();
        let dir = dir.display();
        run(format!("PATH={path} initdb -D {dir}/one -A trust > {dir}/log"));
        run(format!("PATH={path} pg_ctl -w -D {dir}/one -l {dir}/log1 -o '-p {one} -k {dir} -h 127.0.0.1' start"));
        run(format!("PATH={path} pg_basebackup -R -h 127.0.0.1 -p {one} -D {dir}/two"));
        run(format!("PATH={path} pg_ctl -w -D {dir}/two -l {dir}/log2 -o '-p {two} -k {dir} -h 127.0.0.1' start"));
    };
    let which = Command::new("which").arg("pg_ctl").output().unwrap();
    let pg_ctl = String::from_utf8(which.stdout).unwrap();
    let text = format!(
        "{IT}\n[[target.part.standby]]\nname = \"db\"\ndata_dir = \"{{dir}}/two\"\npromote = {{ run = [\"{0}\", \"promote\", \"-w\", \"-D\", \"{{dir}}/two\"], user = \"postgres\" }}\n\
         [[target.part.standby]]\nname = \"first\"\ndata_dir = \"{{dir}}/one\"\npromote = [\"/bin/false\"]\n",
        pg_ctl.trim()
    );
    let lab = lab(write, &text).await;
    let in_recovery = || {
        let out = Command::new("psql")
            .args(["-h", "127.0.0.1", "-p", &two.to_string(), "-U", "postgres", "-tAc", "select pg_is_in_recovery()"])
            .output();
        String::from_utf8_lossy(&out.unwrap().stdout).trim().to_owned()
    };
    assert_eq!(in_recovery(), "t");
    assert!(lab.rehearse("db", Act::PromoteStandby).await.unwrap().starts_with("would run "));
    assert_eq!(in_recovery(), "t");
    assert!(lab.act("first", Act::PromoteStandby).await.unwrap_err().contains("is no standby"));
    lab.act("db", Act::PromoteStandby).await.unwrap();
    assert_eq!(in_recovery(), "f");
    for data in ["one", "two"] {
        let line = format!("{} -m immediate -D {}/{data} stop", pg_ctl.trim(), lab.dir.path().display());
        let _ = Command::new("su").args(["postgres", "-s", "/bin/sh", "-c", &line]).stdout(Stdio::null()).status();
    }
    lab.senses.close().await;
}

#[test]
fn the_rules_of_a_lockdown_load_in_a_network_namespace_of_their_own() {
    let machine = crate::config::part::Machine {
        systemctl: None,
        nft: Some("nft".to_owned()),
        allow: vec![22],
        control: vec![7443],
    };
    let rules = crate::parts::machine::rules(&machine);
    assert!(rules.contains("tcp dport { 22 } accept") && rules.contains("tcp dport { 7443 } accept"), "{rules}");
    if !is_installed("nft") {
        return;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), rules).unwrap();
    let line = format!("nft -f {0} && nft -f {0} && nft list tables", file.path().display());
    let out = Command::new("unshare").args(["-n", "sh", "-c", &line]).output().unwrap();
    let (said, why) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    if !out.status.success() {
        eprintln!("SKIPPED: this kernel lets nobody load packet filters in a namespace: {why}");
        return;
    }
    assert!(said.contains("prunella_lockdown"), "{said}{why}");
}

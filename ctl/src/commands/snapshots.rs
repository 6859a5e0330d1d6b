//! `prunella snapshots`.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::show;
use crate::Common;
use crate::client::{Client, Connection, Failure, run};
use crate::names::short;
use crate::output::{Paint, Rows, Time, Tone, clean};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet snapshots list web-1
  prunella --dir ./fleet snapshots create web-1/nginx
  prunella --dir ./fleet snapshots restore web-1 17 --why \"the edit was wrong\""
);

const LIST_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet snapshots list web-1                       what the host's agent keeps, oldest first
  prunella --dir ./fleet snapshots list web-1/nginx --kind pre-repair

The host is asked, so it must be connected. JSON: {\"snapshots\": [{id, host, target, part, kind, sha256, size_bytes, taken, held,
  intact}]}."
);

const CREATE_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet snapshots create web-1/nginx               of each declared file of the target
  prunella --dir ./fleet snapshots create web-1 --kind emergency    of each declared file of the host

JSON as of snapshots list."
);

const VERIFY_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet snapshots verify web-1                     read every stored content again
  prunella --dir ./fleet snapshots verify web-1 17

Exits with 1 when one is damaged. JSON as of snapshots list."
);

const RESTORE_HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet snapshots restore web-1 17 --dry-run       decide and check everything, do nothing
  prunella --dir ./fleet snapshots restore web-1 17 --why \"the edit was wrong\"

A signed command through every brake: the file is put back, what was there is kept as pre_repair, and the target is reloaded
or restarted. JSON: {incident, message}."
);

/// Arguments of `prunella snapshots`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct SnapshotsArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// What a host's agent keeps, oldest first.
    List(ListArgs),
    /// Take a snapshot of each declared file.
    Create(CreateArgs),
    /// Read stored contents again and compare their digests.
    Verify(VerifyArgs),
    /// Put a content back.
    Restore(RestoreArgs),
}

/// What a snapshot was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    KnownGood,
    PreRepair,
    Manual,
    Emergency,
    Scheduled,
    Listing,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::KnownGood => "known_good",
            Self::PreRepair => "pre_repair",
            Self::Manual => "manual",
            Self::Emergency => "emergency",
            Self::Scheduled => "scheduled",
            Self::Listing => "listing",
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = LIST_HELP)]
struct ListArgs {
    /// The host, or one target of it: HOST or HOST/TARGET.
    #[arg(value_name = "HOST[/TARGET]")]
    of: String,
    /// Only those of this kind.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = CREATE_HELP)]
struct CreateArgs {
    /// The host, or one target of it: HOST or HOST/TARGET.
    #[arg(value_name = "HOST[/TARGET]")]
    of: String,
    /// Manual or emergency.
    #[arg(long, value_enum, default_value = "manual")]
    kind: Kind,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = VERIFY_HELP)]
struct VerifyArgs {
    /// The host.
    host: String,
    /// One of its snapshots; all when it is left out.
    id: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = RESTORE_HELP)]
struct RestoreArgs {
    /// The host.
    host: String,
    /// The snapshot, as listed.
    id: u64,
    /// Decide and check everything, do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT", default_value = "asked for by an operator")]
    why: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct View {
    snapshots: Vec<SnapshotView>,
}

#[derive(Debug, Serialize)]
struct SnapshotView {
    id: String,
    host: String,
    target: String,
    part: String,
    kind: String,
    sha256: String,
    size_bytes: u64,
    taken: Time,
    held: bool,
    /// Null when nobody looked.
    intact: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Restored {
    /// Null when nothing was done.
    incident: Option<String>,
    message: String,
}

impl SnapshotsArgs {
    /// Lists, takes, verifies or restores snapshots.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            let view = match self.verb {
                Verb::List(args) => {
                    let client = Client::connect(common, &args.connection).await?;
                    let kind = args.kind.map(Kind::name).unwrap_or_default().to_owned();
                    let request = pb::ListSnapshotsRequest { parent: parent(&args.of), kind };
                    View::of(client.snapshots().list_snapshots(request).await?.into_inner().snapshots)
                }
                Verb::Create(args) => {
                    let client = Client::connect(common, &args.connection).await?;
                    let request =
                        pb::CreateSnapshotsRequest { parent: parent(&args.of), kind: args.kind.name().to_owned() };
                    View::of(client.snapshots().create_snapshots(request).await?.into_inner().snapshots)
                }
                Verb::Verify(args) => {
                    let client = Client::connect(common, &args.connection).await?;
                    let host = parent(&args.host);
                    let name = args.id.map_or(host.clone(), |id| format!("{host}/snapshots/{id}"));
                    let request = pb::VerifySnapshotsRequest { name };
                    View::of(client.snapshots().verify_snapshots(request).await?.into_inner().snapshots)
                }
                Verb::Restore(args) => {
                    let restored = args.ask(common).await?;
                    show(common, &restored, |_| told(&restored))?;
                    return Ok(ExitCode::SUCCESS);
                }
            };
            show(common, &view, |paint| table(&view, paint))?;
            let damaged = view.snapshots.iter().any(|it| it.intact == Some(false));
            Ok(if damaged { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        })
    }
}

impl RestoreArgs {
    async fn ask(self, common: &Common) -> Result<Restored, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let name = format!("{}/snapshots/{}", parent(&self.host), self.id);
        let request = pb::RestoreSnapshotRequest { name, why: self.why, validate_only: self.dry_run };
        let answer = client.snapshots().restore_snapshot(request).await?.into_inner();
        let incident = (!answer.incident.is_empty()).then(|| short(&answer.incident));
        Ok(Restored { incident, message: answer.message })
    }
}

/// `web-1` and `web-1/nginx` as resource names; those that are such names already stay.
fn parent(of: &str) -> String {
    match of.strip_prefix("hosts/").unwrap_or(of).split_once('/') {
        Some((host, target)) => format!("hosts/{host}/targets/{}", target.trim_start_matches("targets/")),
        None => format!("hosts/{}", of.trim_start_matches("hosts/")),
    }
}

impl View {
    fn of(all: Vec<pb::Snapshot>) -> Self {
        let one = |it: pb::Snapshot| {
            let (host, id) = it.name.trim_start_matches("hosts/").split_once("/snapshots/").unwrap_or_default();
            SnapshotView {
                id: id.to_owned(),
                host: host.to_owned(),
                target: short(&it.target),
                part: it.part,
                kind: it.kind,
                sha256: it.sha256,
                size_bytes: it.size_bytes,
                taken: it.take_time.into(),
                held: it.held,
                intact: it.intact,
            }
        };
        Self { snapshots: all.into_iter().map(one).collect() }
    }
}

fn table(view: &View, paint: Paint) -> String {
    if view.snapshots.is_empty() {
        return "No snapshot.\n".to_owned();
    }
    let mut rows = Rows::new(&["ID", "TARGET", "PART", "KIND", "BYTES", "TAKEN", "DIGEST", "HELD", "INTACT"]);
    for it in &view.snapshots {
        let (tone, intact) = match it.intact {
            None => (Tone::Plain, "—"),
            Some(true) => (Tone::Plain, "yes"),
            Some(false) => (Tone::Bad, "DAMAGED"),
        };
        let row = [
            it.id.clone(),
            it.target.clone(),
            it.part.clone(),
            it.kind.clone(),
            it.size_bytes.to_string(),
            it.taken.clock(Time(None)),
            it.sha256.chars().take(12).collect(),
            if it.held { "yes" } else { "no" }.to_owned(),
            intact.to_owned(),
        ];
        rows.push(tone, row);
    }
    rows.print(paint)
}

fn told(view: &Restored) -> String {
    let message = clean(&view.message);
    match &view.incident {
        None => message + "\n",
        Some(incident) => format!("{message}\nFollow it: prunella explain {incident}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_both_forms_and_damage_stands_out() {
        assert_eq!(parent("web-1"), "hosts/web-1");
        assert_eq!(parent("hosts/web-1"), "hosts/web-1");
        assert_eq!(parent("web-1/nginx"), "hosts/web-1/targets/nginx");
        assert_eq!(parent("hosts/web-1/targets/nginx"), "hosts/web-1/targets/nginx");
        let snapshot = pb::Snapshot {
            name: "hosts/web-1/snapshots/17".to_owned(),
            target: "hosts/web-1/targets/nginx".to_owned(),
            part: "config".to_owned(),
            kind: "manual".to_owned(),
            sha256: "ab".repeat(32),
            intact: Some(false),
            ..pb::Snapshot::default()
        };
        let text = table(&View::of(vec![snapshot]), Paint(false));
        assert!(text.contains("17  web-1/nginx  config  manual") && text.contains("DAMAGED"), "{text}");
        assert_eq!(table(&View::of(Vec::new()), Paint(false)), "No snapshot.\n");
    }
}

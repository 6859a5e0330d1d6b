//! What is asked and told of an agent's snapshots.

use prunella_model::snapshot::{SnapshotAnswer, SnapshotAsk, SnapshotReport};

use super::error::WireError;
use super::field::{cut, digest, list, name, optional_name, prose, required};
use super::limits::SNAPSHOTS_MAX;
use super::step::{encode_snapshot_kind, snapshot_kind};
use super::time::{encode_time, time};
use crate::agent::v1 as pb;

/// A question as it travels.
pub(super) fn encode_ask(number: u64, it: &SnapshotAsk) -> pb::AskSnapshots {
    use pb::ask_snapshots::{Ask, ListAll, Take, Verify};
    let ask = match it {
        SnapshotAsk::List => Ask::ListAll(ListAll {}),
        SnapshotAsk::Take { target, kind } => Ask::Take(Take {
            target: target.as_ref().map(|it| it.as_str().to_owned()),
            kind: encode_snapshot_kind(*kind),
        }),
        SnapshotAsk::Verify { id } => Ask::Verify(Verify { id: *id }),
    };
    pb::AskSnapshots { number, ask: Some(ask) }
}

/// Reads a question.
pub(super) fn ask(it: pb::AskSnapshots) -> Result<(u64, SnapshotAsk), WireError> {
    use pb::ask_snapshots::Ask;
    let ask = match required("ask", it.ask)? {
        Ask::ListAll(_) => SnapshotAsk::List,
        Ask::Take(it) => SnapshotAsk::Take {
            target: optional_name("take.target", it.target.as_ref())?,
            kind: snapshot_kind("take.kind", it.kind)?,
        },
        Ask::Verify(it) => SnapshotAsk::Verify { id: it.id },
    };
    Ok((it.number, ask))
}

/// An answer as it travels.
pub(super) fn encode_answer(number: u64, it: &SnapshotAnswer) -> pb::Snapshots {
    let (snapshots, failed) = match it {
        SnapshotAnswer::Snapshots(all) => (all.iter().map(encode_snapshot).collect(), None),
        SnapshotAnswer::Failed { why } => (Vec::new(), Some(cut(why))),
    };
    pb::Snapshots { number, snapshots, failed }
}

/// Reads an answer.
pub(super) fn answer(it: pb::Snapshots) -> Result<(u64, SnapshotAnswer), WireError> {
    let answer = match it.failed {
        Some(why) => SnapshotAnswer::Failed { why: prose("failed", why)? },
        None => SnapshotAnswer::Snapshots(list("snapshots", SNAPSHOTS_MAX, it.snapshots, snapshot)?),
    };
    Ok((it.number, answer))
}

fn encode_snapshot(it: &SnapshotReport) -> pb::Snapshot {
    pb::Snapshot {
        id: it.id,
        target: it.target.as_str().to_owned(),
        part: it.part.as_str().to_owned(),
        kind: encode_snapshot_kind(it.kind),
        sha256: it.sha256.0.to_vec(),
        size_bytes: it.bytes,
        take_time: Some(encode_time(it.taken_at)),
        held: it.held,
        intact: it.intact,
    }
}

fn snapshot(it: pb::Snapshot) -> Result<SnapshotReport, WireError> {
    Ok(SnapshotReport {
        id: it.id,
        target: name("target", &it.target)?,
        part: name("part", &it.part)?,
        kind: snapshot_kind("kind", it.kind)?,
        sha256: digest("sha256", &it.sha256)?,
        bytes: it.size_bytes,
        taken_at: time("take_time", it.take_time)?,
        held: it.held,
        intact: it.intact,
    })
}

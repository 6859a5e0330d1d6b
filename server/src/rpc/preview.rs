//! What another policy would have done: off the reactor, one at a time.

use prunella_model::Timestamp;
use prunella_proto::control::v1 as pb;
use prunella_replay::{Line, Story};
use tonic::{Request, Response, Status};

use super::admin::{Admin, POLICY_MAX};
use super::{convert, error};
use crate::policy;
use crate::preview::{Preview, preview};

/// The most incidents that an answer shows.
const SHOWN: usize = 100;

/// The most lines of one incident that an answer shows.
const LINES: usize = 20;

pub(super) async fn preview_policy(
    admin: &Admin,
    request: Request<pb::PreviewPolicyRequest>,
) -> Result<Response<pb::PreviewPolicyResponse>, Status> {
    let toml = request.into_inner().toml;
    if toml.len() > POLICY_MAX {
        return Err(error::invalid("toml", format!("has more than {POLICY_MAX} bytes")));
    }
    let wanted = policy::parse("policy.toml", &toml).map_err(|error| error::invalid("toml", error))?;
    let busy = |_| {
        let why = "another preview is under way; ask again when it has ended";
        error::status(tonic::Code::ResourceExhausted, "PREVIEW_BUSY", why, &[])
    };
    let turn = std::sync::Arc::clone(&admin.previewing).try_lock_owned().map_err(busy)?;
    let journal = admin.journal.clone();
    let work = move || {
        // Held until the work is done, also when whoever asked has gone away.
        let _turn = turn;
        preview(&journal, &wanted)
    };
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| error::internal("previewing", &error))?;
    let found = done.map_err(|error| error::refused("NOTHING_RECORDED", error.to_string()))?;
    Ok(Response::new(answer(&found)))
}

fn answer(found: &Preview) -> pb::PreviewPolicyResponse {
    let Preview { replay, since, warnings } = found;
    let count = |it: usize| u64::try_from(it).unwrap_or(u64::MAX);
    let mut warnings = warnings.clone();
    if replay.different > SHOWN {
        warnings.push(format!("only the first {SHOWN} incidents that differ are shown"));
    }
    pb::PreviewPolicyResponse {
        events: count(replay.events),
        since_time: convert::time(*since),
        commands: count(replay.commands),
        other_commands: count(replay.other_commands.unwrap_or_default()),
        incidents: count(replay.stories.len()),
        different: count(replay.different),
        differences: replay.stories.iter().filter_map(difference).take(SHOWN).collect(),
        warnings,
    }
}

fn difference(it: &Story) -> Option<pb::preview_policy_response::Difference> {
    let at = it.diverged_at?;
    let lines = |lines: &[Line]| {
        let later = lines.iter().filter(|line| line.at >= at).take(LINES);
        later.map(|line| format!("{} {}", line.kind, line.text)).collect()
    };
    // A story names its target as people do.
    let named = |(host, target): (&str, &str)| format!("hosts/{host}/targets/{target}");
    Some(pb::preview_policy_response::Difference {
        target: it.target.split_once('/').map_or_else(|| it.target.clone(), named),
        time: convert::time(Timestamp::from_micros(at)),
        recorded: lines(&it.recorded),
        other: lines(&it.other),
    })
}

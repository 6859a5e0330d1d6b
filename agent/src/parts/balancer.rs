//! A server's place in HAProxy, by its runtime socket.

use std::path::Path;
use std::time::Duration;

use prunella_model::part::Act;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Mode, bounded, told};
use crate::config::part::Bounds;

/// How long HAProxy may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const ANSWER_MAX: u64 = 1 << 20;

async fn ask(socket: &Path, question: &str) -> Result<String, String> {
    let fail = |error: std::io::Error| format!("HAProxy cannot be reached by {}: {error}", socket.display());
    let asking = async {
        let mut stream = UnixStream::connect(socket).await.map_err(fail)?;
        stream.write_all(format!("{question}\n").as_bytes()).await.map_err(fail)?;
        let mut answer = String::new();
        stream.take(ANSWER_MAX).read_to_string(&mut answer).await.map_err(fail)?;
        Ok(answer.trim().to_owned())
    };
    timeout(ANSWER, asking).await.map_err(|_| format!("HAProxy did not answer within {} s", ANSWER.as_secs()))?
}

/// The server's weight; none when it cannot be told.
pub(super) async fn weight(socket: &Path, server: &str) -> Option<i64> {
    ask(socket, &format!("get weight {server}")).await.ok()?.split_whitespace().next()?.parse().ok()
}

/// Whether the server is drained, as HAProxy's administrative state says.
async fn is_drained(socket: &Path, server: &str) -> Result<bool, String> {
    /// Forced into drain by whoever speaks to the socket.
    const DRAIN: u32 = 0x08;
    let (backend, name) = server.split_once('/').ok_or("write the server as BACKEND/SERVER")?;
    let table = ask(socket, &format!("show servers state {backend}")).await?;
    let state = table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(3) == Some(&name)).then(|| fields.get(6)?.parse::<u32>().ok())?
    });
    state.map(|it| it & DRAIN != 0).ok_or_else(|| format!("HAProxy knows no server {server}: {table}"))
}

pub(super) async fn act(socket: &Path, server: &str, bounds: Bounds, act: &Act, mode: Mode) -> Result<String, String> {
    let drained = is_drained(socket, server).await?;
    let (order, goal) = match act {
        Act::DrainServer if drained => return Ok(format!("{server} is drained already")),
        Act::ReadyServer if !drained => return Ok(format!("{server} is ready already")),
        Act::DrainServer => (format!("set server {server} state drain"), None),
        Act::ReadyServer => (format!("set server {server} state ready"), None),
        Act::SetServerWeight { .. } => {
            let value = bounded(act, bounds)?;
            (format!("set server {server} weight {value}"), Some(value))
        }
        other => return Err(format!("{} is nothing that a load balancer can do", other.kind().as_str())),
    };
    let before = weight(socket, server).await;
    if let Some(told) = told(mode, || format!("say to HAProxy: {order}; its weight is {before:?}, drained: {drained}"))
    {
        return Ok(told);
    }
    let said = ask(socket, &order).await?;
    // It answers nothing when all is well, and its words otherwise; what it then says of the server is what counts.
    let done = match (act, goal) {
        (_, Some(goal)) => weight(socket, server).await == Some(goal),
        (Act::DrainServer, None) => is_drained(socket, server).await?,
        (_, None) => !is_drained(socket, server).await?,
    };
    if !done {
        return Err(format!("HAProxy did not do it ({order}): {said}"));
    }
    let before = before.map_or_else(|| "unknown".to_owned(), |it| it.to_string());
    Ok(format!("{order}: done; weight before {before}, drained before: {drained}"))
}

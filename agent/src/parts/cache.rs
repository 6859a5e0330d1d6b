//! Caches: emptied, brought within their bound, filled anew, warmed up.

use std::path::Path;
use std::time::Duration;

use prunella_model::part::Act;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Mode, blocking, program, redis, told};
use crate::config::part::{Cache, CachePlace};
use crate::config::{HostPort, Url};
use crate::tree::{Leaf, Tree};

/// How long one warm-up request may take.
const WARM_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn act(cache: &Cache, act: &Act, limit: Duration, mode: Mode) -> Result<String, String> {
    match act {
        Act::ClearCache => empty(cache, None, mode).await,
        Act::OptimizeCache { until_percent } => {
            let bound = cache.bound.ok_or("its size bound is not declared")?;
            let goal = u128::from(bound) * u128::from(*until_percent) / 100;
            empty(cache, Some(u64::try_from(goal).unwrap_or(u64::MAX)), mode).await
        }
        Act::RebuildCache => {
            let rebuild = cache.rebuild.as_ref().ok_or("its rebuilding program is not declared")?;
            let emptied = empty(cache, None, mode).await?;
            let rebuilt = program::declared(rebuild, limit, mode).await?;
            Ok(format!("{emptied}; {rebuilt}"))
        }
        Act::WarmCache => warm(&cache.warm, mode).await,
        other => Err(format!("{} is nothing that a cache can do", other.kind().as_str())),
    }
}

/// Removes what was not used for longest, until `goal` bytes are left; everything when there is no goal.
async fn empty(cache: &Cache, goal: Option<u64>, mode: Mode) -> Result<String, String> {
    match &cache.place {
        CachePlace::Directory(path) => {
            let path = path.clone();
            blocking(move || empty_directory(&path, goal, mode)).await
        }
        CachePlace::Redis { address, database, password_file } => {
            redis::empty(address, *database, password_file.as_deref(), goal, mode).await
        }
    }
}

fn empty_directory(path: &Path, goal: Option<u64>, mode: Mode) -> Result<String, String> {
    let tree = Tree::open(path).map_err(|error| error.to_string())?;
    let (mut leaves, used) = tree.leaves(|_| true).map_err(|error| error.to_string())?;
    leaves.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    let goal = goal.unwrap_or(0);
    let mut left = used;
    let mut chosen: Vec<Leaf> = Vec::new();
    for leaf in leaves {
        // Empty files cost nothing, but an emptied cache holds none.
        if left <= goal && goal > 0 {
            break;
        }
        left = left.saturating_sub(leaf.bytes);
        chosen.push(leaf);
    }
    let (files, bytes) = (chosen.len(), used - left);
    if let Some(told) = told(mode, || {
        format!("remove {files} files of {bytes} bytes from {}, {left} bytes stay{}", path.display(), examples(&chosen))
    }) {
        return Ok(told);
    }
    let (mut files, mut bytes, mut failed) = (0u64, 0u64, None);
    for leaf in &chosen {
        match tree.remove(leaf) {
            Ok(true) => (files, bytes) = (files + 1, bytes + leaf.bytes),
            // It changed or vanished meanwhile: it is in use.
            Ok(false) => {}
            Err(error) => failed = Some(format!("{} cannot be removed: {error}", leaf.path.display())),
        }
    }
    match failed {
        Some(why) if files == 0 => Err(why),
        why => {
            let why = why.map_or_else(String::new, |why| format!("; {why}"));
            Ok(format!("{files} files of {bytes} bytes removed from {}{why}", path.display()))
        }
    }
}

fn examples(leaves: &[Leaf]) -> String {
    let first: Vec<String> = leaves.iter().take(3).map(|it| it.path.display().to_string()).collect();
    if first.is_empty() { String::new() } else { format!("; the first are {}", first.join(", ")) }
}

async fn warm(requests: &[Url], mode: Mode) -> Result<String, String> {
    let name = |it: &Url| format!("http://{}{}", it.address, it.path);
    if let Some(told) = told(mode, || format!("ask for {}", requests.iter().map(name).collect::<Vec<_>>().join(", "))) {
        return Ok(told);
    }
    let mut failed = Vec::new();
    for it in requests {
        if let Err(why) = timeout(WARM_WITHIN, get(it)).await.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            failed.push(format!("{}: {why}", name(it)));
        }
    }
    match failed.len() {
        0 => Ok(format!("{} warm-up requests were answered", requests.len())),
        bad => Err(format!("{bad} of {} warm-up requests failed: {}", requests.len(), failed.join("; "))),
    }
}

/// Reads an answer to its end: that is what fills a cache.
async fn get(it: &Url) -> Result<(), String> {
    let io = |error: std::io::Error| error.to_string();
    let mut stream = connect(&it.address).await?;
    let request = format!("GET {} HTTP/1.0\r\nHost: {}\r\nUser-Agent: prunella\r\n\r\n", it.path, it.address);
    stream.write_all(request.as_bytes()).await.map_err(io)?;
    let mut head = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = stream.read(&mut buffer).await.map_err(io)?;
        if read == 0 {
            break;
        }
        if head.len() < 64 {
            head.extend_from_slice(buffer.get(..read.min(64)).unwrap_or_default());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let status = head.split_whitespace().nth(1).and_then(|it| it.parse::<u16>().ok());
    match status {
        Some(200..=399) => Ok(()),
        Some(status) => Err(format!("status {status}")),
        None => Err("no HTTP answer".to_owned()),
    }
}

pub(super) async fn connect(address: &HostPort) -> Result<TcpStream, String> {
    let connected = match address {
        HostPort::Address(it) => TcpStream::connect(it).await,
        HostPort::Name(it) => TcpStream::connect(it.as_str()).await,
    };
    connected.map_err(|error| format!("{address} cannot be reached: {error}"))
}

/// How much of its bound a cache in a directory uses, in percent; none when that cannot be told.
pub(super) async fn used(cache: &Cache) -> Option<i64> {
    let (CachePlace::Directory(path), Some(bound)) = (&cache.place, cache.bound) else { return None };
    let path = path.clone();
    let used = blocking(move || Tree::open(&path).and_then(|it| it.used_bytes()).map_err(|error| error.to_string()));
    i64::try_from(u128::from(used.await.ok()?) * 100 / u128::from(bound.max(1))).ok()
}

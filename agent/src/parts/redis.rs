//! One database of a Redis server as a cache: the few commands that this takes, over RESP2.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Mode, cache, told};
use crate::config::HostPort;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const ANSWER_MAX: usize = 16 << 20;
/// How many keys are weighed at most: about a hundred megabytes of names and sizes.
const KEYS_MAX: usize = 500_000;
/// How many keys are asked for at once.
const BATCH: usize = 500;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Text(Vec<u8>),
    Number(i64),
    Nothing,
    List(Vec<Answer>),
}

struct Redis(BufReader<TcpStream>);

/// A key, how long it was not used, and what it takes.
struct Weighed {
    key: Vec<u8>,
    idle: i64,
    bytes: u64,
}

/// Removes what was not used for longest, until `goal` bytes are left; everything when there is no goal.
pub(super) async fn empty(
    address: &HostPort,
    database: u32,
    password_file: Option<&Path>,
    goal: Option<u64>,
    mode: Mode,
) -> Result<String, String> {
    let what = format!("redis://{address}/{database}");
    let mut redis = Redis::open(address, database, password_file).await?;
    let Some(goal) = goal else {
        let keys = redis.number(&[b"DBSIZE"]).await?;
        if let Some(told) = told(mode, || format!("remove all {keys} keys of {what}")) {
            return Ok(told);
        }
        redis.ask(&[b"FLUSHDB", b"ASYNC"]).await?;
        return Ok(format!("{keys} keys removed from {what}"));
    };
    let mut all = redis.weigh().await?;
    all.sort_by(|a, b| b.idle.cmp(&a.idle).then_with(|| a.key.cmp(&b.key)));
    let used: u64 = all.iter().map(|it| it.bytes).sum();
    let mut left = used;
    let mut chosen = Vec::new();
    for it in all {
        if left <= goal {
            break;
        }
        left = left.saturating_sub(it.bytes);
        chosen.push(it);
    }
    let (keys, bytes) = (chosen.len(), used - left);
    if let Some(told) = told(mode, || format!("remove {keys} keys of {bytes} bytes from {what}, {left} bytes stay")) {
        return Ok(told);
    }
    for some in chosen.chunks(BATCH) {
        let mut words: Vec<&[u8]> = vec![b"UNLINK"];
        words.extend(some.iter().map(|it| it.key.as_slice()));
        redis.ask(&words).await?;
    }
    Ok(format!("{keys} keys of {bytes} bytes removed from {what}, {left} bytes stay"))
}

impl Redis {
    async fn open(address: &HostPort, database: u32, password_file: Option<&Path>) -> Result<Self, String> {
        let mut redis = Self(BufReader::new(cache::connect(address).await?));
        if let Some(path) = password_file {
            let password = std::fs::read_to_string(path)
                .map_err(|error| format!("the password in {} cannot be read: {error}", path.display()))?;
            redis.ask(&[b"AUTH", password.trim().as_bytes()]).await?;
        }
        redis.ask(&[b"SELECT", database.to_string().as_bytes()]).await?;
        Ok(redis)
    }

    /// Sends one command and reads its answer.
    async fn ask(&mut self, words: &[&[u8]]) -> Result<Answer, String> {
        self.say(words).await?;
        self.hear().await
    }

    async fn number(&mut self, words: &[&[u8]]) -> Result<i64, String> {
        match self.ask(words).await? {
            Answer::Number(number) => Ok(number),
            other => Err(format!("Redis answered {other:?}, and a number was expected")),
        }
    }

    async fn say(&mut self, words: &[&[u8]]) -> Result<(), String> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend(format!("${}\r\n", word.len()).into_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        self.0.write_all(&bytes).await.map_err(|error| format!("Redis cannot be written to: {error}"))
    }

    async fn hear(&mut self) -> Result<Answer, String> {
        timeout(ANSWER, self.answer()).await.map_err(|_| "Redis did not answer in time".to_owned())?
    }

    /// One answer. Lists nest once at most in what is asked here.
    async fn answer(&mut self) -> Result<Answer, String> {
        match self.flat().await? {
            (Answer::List(_), count) => {
                let mut list = Vec::new();
                for _ in 0..count {
                    let item = match self.flat().await? {
                        (Answer::List(_), inner) => {
                            let mut items = Vec::new();
                            for _ in 0..inner {
                                items.push(self.flat().await?.0);
                            }
                            Answer::List(items)
                        }
                        (item, _) => item,
                    };
                    list.push(item);
                }
                Ok(Answer::List(list))
            }
            (answer, _) => Ok(answer),
        }
    }

    /// One answer without what a list holds, and how many that is.
    async fn flat(&mut self) -> Result<(Answer, usize), String> {
        let io = |error: std::io::Error| format!("Redis cannot be read from: {error}");
        let mut line = Vec::new();
        (&mut self.0).take(64 * 1024).read_until(b'\n', &mut line).await.map_err(io)?;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        let (kind, rest) = text.split_at_checked(1).ok_or("Redis ended the connection")?;
        let number = || rest.parse::<i64>().map_err(|_| format!("Redis answered {text:?}, which is no RESP"));
        Ok(match kind {
            "+" => (Answer::Text(rest.as_bytes().to_vec()), 0),
            "-" => return Err(format!("Redis refused: {rest}")),
            ":" => (Answer::Number(number()?), 0),
            "*" => (Answer::List(Vec::new()), usize::try_from(number()?).unwrap_or(0)),
            "$" => match usize::try_from(number()?) {
                Ok(length) if length <= ANSWER_MAX => {
                    let mut bytes = vec![0; length + 2];
                    self.0.read_exact(&mut bytes).await.map_err(io)?;
                    bytes.truncate(length);
                    (Answer::Text(bytes), 0)
                }
                Ok(length) => return Err(format!("Redis answered {length} bytes at once")),
                Err(_) => (Answer::Nothing, 0),
            },
            _ => return Err(format!("Redis answered {text:?}, which is no RESP")),
        })
    }

    /// All keys with their idle time and size.
    async fn weigh(&mut self) -> Result<Vec<Weighed>, String> {
        let mut cursor = b"0".to_vec();
        let mut all = Vec::new();
        loop {
            let count = BATCH.to_string();
            let answer = self.ask(&[b"SCAN", &cursor, b"COUNT", count.as_bytes()]).await?;
            let Answer::List(mut parts) = answer else { return Err("SCAN gave no list".to_owned()) };
            let (Some(Answer::List(keys)), Some(Answer::Text(next))) = (parts.pop(), parts.pop()) else {
                return Err("SCAN gave no cursor".to_owned());
            };
            let keys: Vec<Vec<u8>> = keys
                .into_iter()
                .filter_map(|it| match it {
                    Answer::Text(key) => Some(key),
                    Answer::Number(_) | Answer::Nothing | Answer::List(_) => None,
                })
                .collect();
            for key in &keys {
                self.say(&[b"OBJECT", b"IDLETIME", key]).await?;
                self.say(&[b"MEMORY", b"USAGE", key]).await?;
            }
            for key in keys {
                let (idle, bytes) = (self.hear().await?, self.hear().await?);
                // A key that vanished meanwhile has neither.
                if let (Answer::Number(idle), Answer::Number(bytes)) = (idle, bytes) {
                    all.push(Weighed { key, idle, bytes: u64::try_from(bytes).unwrap_or(0) });
                }
            }
            if all.len() > KEYS_MAX {
                return Err(format!("it has more than {KEYS_MAX} keys; clear it instead"));
            }
            if next == b"0" {
                return Ok(all);
            }
            cursor = next;
        }
    }
}

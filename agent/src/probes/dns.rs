//! A name that must resolve, asked at one name server (RFC 1035).
//!
//! The question is asked by hand: what matters here is one answer of one server, without the caches, search lists and
//! retries that a resolver is made of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use prunella_model::observation::{Finding, Level};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};

use super::tcp::not_connected;
use crate::board::{Board, Look, Series};
use crate::config::{DnsSubject, HostPort, RecordType};

/// How often a question is sent within the time: one datagram may get lost.
const SENDS: u32 = 3;
/// The longest answer over UDP.
const ANSWER_MAX: usize = 4096;
/// The most records of an answer that are read.
const RECORDS_MAX: u16 = 256;
/// The most jumps within one name: more is a loop.
const JUMPS_MAX: usize = 32;

/// See the module.
pub(super) struct Dns {
    subject: DnsSubject,
    timeout: Duration,
    latency: Option<Series>,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    /// The records of the kind that was asked for, as text.
    Records(Vec<String>),
    /// Its error code.
    Refused(u8),
    /// It does not fit into a datagram.
    Truncated,
}

impl Dns {
    pub(super) fn new(subject: &DnsSubject, timeout: Duration, latency: Option<Series>) -> Self {
        Self { subject: subject.clone(), timeout, latency }
    }

    pub(super) async fn look(&mut self, board: &Board) -> Look {
        let server = match self.server() {
            Ok(server) => server,
            Err(why) => return Look::broken(why),
        };
        let begun = Instant::now();
        let mut id = [0u8; 2];
        if let Err(error) = getrandom::fill(&mut id) {
            return Look::broken(format!("no random number can be had: {error}"));
        }
        let id = u16::from_be_bytes(id);
        let asked = timeout(self.timeout, self.ask(&server, id)).await;
        let latency = begun.elapsed();
        let answer = match asked {
            Err(_) => return Look::down(Finding::NoAnswer { waited: self.timeout }),
            Ok(Err(error)) => return not_connected(&error),
            Ok(Ok(None)) => {
                return Look::down(Finding::BadAnswer { code: None, why: "the answer is not DNS".to_owned() });
            }
            Ok(Ok(Some(answer))) => answer,
        };
        if let Some(series) = self.latency {
            board.measure(series, (latency.as_secs_f64() * 10_000.0).round() / 10_000.0);
        }
        let name = &self.subject.query;
        match answer {
            Answer::Records(found) => self.judge(&found, latency),
            Answer::Refused(3) => Look::checked(Level::Critical, format!("{name} does not exist (NXDOMAIN)")),
            Answer::Refused(2) => {
                Look::checked(Level::Critical, format!("the server cannot resolve {name} (SERVFAIL)"))
            }
            Answer::Refused(5) => {
                Look::checked(Level::Critical, format!("the server refuses to resolve {name} (REFUSED)"))
            }
            Answer::Refused(code) => Look::checked(Level::Critical, format!("the server answers with error {code}")),
            Answer::Truncated => Look::checked(Level::Critical, "the answer is cut even over TCP"),
        }
    }

    fn judge(&self, found: &[String], latency: Duration) -> Look {
        let DnsSubject { query, expect, exact, .. } = &self.subject;
        let said = if found.is_empty() { "has no such record".to_owned() } else { format!("is {}", found.join(", ")) };
        let missing: Vec<&str> = expect.iter().filter(|it| !found.contains(it)).map(String::as_str).collect();
        let more = *exact && found.iter().any(|it| !expect.contains(it));
        if !missing.is_empty() || more {
            return Look::checked(Level::Critical, format!("{query} {said}; expected {}", expect.join(", ")));
        }
        if found.is_empty() {
            return Look::checked(Level::Critical, format!("{query} {said}"));
        }
        Look::up(Finding::Answered { latency })
    }

    fn server(&self) -> Result<HostPort, String> {
        if let Some(server) = &self.subject.server {
            return Ok(server.clone());
        }
        let text = std::fs::read_to_string("/etc/resolv.conf")
            .map_err(|error| format!("/etc/resolv.conf cannot be read ({error}); set server"))?;
        let first = text.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next()?.parse::<IpAddr>().ok()).flatten()
        });
        let first = first.ok_or("/etc/resolv.conf names no name server; set server")?;
        Ok(HostPort::Address((first, 53).into()))
    }

    async fn ask(&self, server: &HostPort, id: u16) -> std::io::Result<Option<Answer>> {
        let question = question(id, &self.subject.query, self.subject.record);
        let address = match server {
            HostPort::Address(address) => *address,
            HostPort::Name(name) => tokio::net::lookup_host(name)
                .await?
                .next()
                .ok_or_else(|| std::io::Error::other("the name server's name has no address"))?,
        };
        let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).await?;
        // Only this server's datagrams are taken from here on.
        socket.connect(address).await?;
        let mut text = vec![0; ANSWER_MAX];
        let patience = self.timeout / SENDS;
        loop {
            socket.send(&question).await?;
            let until = Instant::now() + patience;
            while let Ok(received) = timeout_at(until, socket.recv(&mut text)).await {
                let text = text.get(..received?).unwrap_or_default();
                // An answer to another question is somebody's late one, or an attempt to deceive.
                if text.get(..2) != Some(&id.to_be_bytes()) || !same_question(text, &question) {
                    continue;
                }
                return match read(text, self.subject.record) {
                    Some(Answer::Truncated) => ask_tcp(address, &question, self.subject.record).await,
                    other => Ok(other),
                };
            }
        }
    }
}

async fn ask_tcp(
    address: std::net::SocketAddr,
    question: &[u8],
    record: RecordType,
) -> std::io::Result<Option<Answer>> {
    let mut stream = TcpStream::connect(address).await?;
    let length = u16::try_from(question.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], question].concat()).await?;
    let mut text = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut text).await?;
    Ok(if text.get(..2) == question.get(..2) { read(&text, record) } else { None })
}

const fn number(record: RecordType) -> u16 {
    match record {
        RecordType::A => 1,
        RecordType::Ns => 2,
        RecordType::Cname => 5,
        RecordType::Ptr => 12,
        RecordType::Mx => 15,
        RecordType::Txt => 16,
        RecordType::Aaaa => 28,
    }
}

/// A question for one kind of record, with recursion wanted.
fn question(id: u16, name: &str, record: RecordType) -> Vec<u8> {
    let mut text = Vec::with_capacity(name.len() + 18);
    text.extend(id.to_be_bytes());
    text.extend([0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        text.push(u8::try_from(label.len()).unwrap_or(63));
        text.extend(label.as_bytes());
    }
    text.push(0);
    text.extend(number(record).to_be_bytes());
    text.extend([0, 1]);
    text
}

/// Whether an answer repeats the question, as it must.
fn same_question(answer: &[u8], question: &[u8]) -> bool {
    let (asked, repeated) = (question.get(12..).unwrap_or_default(), answer.get(12..).unwrap_or_default());
    // A server that could not even read the question repeats nothing.
    answer.get(4..6) == Some(&[0, 0]) || repeated.get(..asked.len()).is_some_and(|it| it.eq_ignore_ascii_case(asked))
}

/// Reads an answer; none when it is not one.
fn read(text: &[u8], record: RecordType) -> Option<Answer> {
    let flags = text.get(2..4)?;
    let (first, second) = (*flags.first()?, *flags.get(1)?);
    if first & 0x80 == 0 {
        return None;
    }
    let code = second & 0x0f;
    if code != 0 {
        return Some(Answer::Refused(code));
    }
    if first & 0x02 != 0 {
        return Some(Answer::Truncated);
    }
    let count = |at: usize| Some(u16::from_be_bytes(text.get(at..at + 2)?.try_into().ok()?));
    let mut at = 12;
    for _ in 0..count(4)? {
        at = name(text, at)?.1 + 4;
    }
    let mut records = Vec::new();
    for _ in 0..count(6)?.min(RECORDS_MAX) {
        at = name(text, at)?.1;
        let (kind, length) = (count(at)?, usize::from(count(at + 8)?));
        let data = at + 10;
        text.get(data..data + length)?;
        if kind == number(record) {
            records.push(value(text, data, length, record)?);
        }
        at = data + length;
    }
    records.sort();
    Some(Answer::Records(records))
}

fn value(text: &[u8], at: usize, length: usize, record: RecordType) -> Option<String> {
    let data = text.get(at..at + length)?;
    Some(match record {
        RecordType::A => Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).to_string(),
        RecordType::Aaaa => Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).to_string(),
        RecordType::Ns | RecordType::Cname | RecordType::Ptr => name(text, at)?.0,
        RecordType::Mx => {
            let preference = u16::from_be_bytes(data.get(..2)?.try_into().ok()?);
            format!("{preference} {}", name(text, at + 2)?.0)
        }
        RecordType::Txt => {
            let mut words = Vec::new();
            let mut rest = data;
            while let Some((length, tail)) = rest.split_first() {
                let (word, next) = tail.split_at_checked(usize::from(*length))?;
                words.extend_from_slice(word);
                rest = next;
            }
            String::from_utf8_lossy(&words).into_owned()
        }
    })
}

/// The name at a place, in lower case and without a dot at its end, and where what follows it begins.
fn name(text: &[u8], at: usize) -> Option<(String, usize)> {
    let (mut name, mut at, mut after) = (String::new(), at, None);
    for _ in 0..JUMPS_MAX + 128 {
        let length = *text.get(at)?;
        match length {
            0 => return Some((name, after.unwrap_or(at + 1))),
            0xc0.. => {
                let low = *text.get(at + 1)?;
                after.get_or_insert(at + 2);
                at = usize::from(u16::from_be_bytes([length & 0x3f, low]));
            }
            1..=63 => {
                let label = text.get(at + 1..at + 1 + usize::from(length))?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
                if name.len() > 1024 {
                    return None;
                }
                at += 1 + usize::from(length);
            }
            64..=0xbf => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer to `question` with records of (kind, data); names in it may point to the question at 12.
    fn answer(question: &[u8], flags: [u8; 2], records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut text = question.to_vec();
        text[2..4].copy_from_slice(&flags);
        text[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
        for (kind, data) in records {
            text.extend([0xc0, 12]);
            text.extend(kind.to_be_bytes());
            text.extend([0, 1, 0, 0, 0, 60]);
            text.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            text.extend(*data);
        }
        text
    }

    #[test]
    fn answers_are_read_with_their_names_shortened() {
        let asked = question(7, "shop.example", RecordType::A);
        let text =
            answer(&asked, [0x81, 0x80], &[(5, &[1, b'W', 0xc0, 12]), (1, &[192, 0, 2, 2]), (1, &[192, 0, 2, 1])]);
        assert!(same_question(&text, &asked));
        let records = |it: &[&str]| Some(Answer::Records(it.iter().map(|it| (*it).to_owned()).collect()));
        assert_eq!(read(&text, RecordType::A), records(&["192.0.2.1", "192.0.2.2"]));
        assert_eq!(read(&text, RecordType::Cname), records(&["w.shop.example"]));
        let mail = answer(&asked, [0x81, 0x80], &[(15, &[0, 10, 4, b'm', b'a', b'i', b'l', 0xc0, 12])]);
        assert_eq!(read(&mail, RecordType::Mx), records(&["10 mail.shop.example"]));
        let text = answer(&asked, [0x81, 0x80], &[(16, b"\x02ab\x01c")]);
        assert_eq!(read(&text, RecordType::Txt), records(&["abc"]));
        assert_eq!(read(&answer(&asked, [0x81, 0x83], &[]), RecordType::A), Some(Answer::Refused(3)));
        assert_eq!(read(&answer(&asked, [0x83, 0x80], &[]), RecordType::A), Some(Answer::Truncated));
        assert_eq!(read(&asked, RecordType::A), None, "a question is no answer");
        let other = question(7, "other.example", RecordType::A);
        assert!(!same_question(&answer(&other, [0x81, 0x80], &[]), &asked));
    }

    #[test]
    fn a_name_that_points_at_itself_ends() {
        let mut text = vec![0; 12];
        text.extend([0xc0, 12]);
        assert_eq!(name(&text, 12), None);
        assert_eq!(name(&[1, b'a', 0xc0, 0], 0), None);
    }

    proptest::proptest! {
        #[test]
        fn no_answer_is_too_strange(mut text in proptest::collection::vec(proptest::num::u8::ANY, 0..120)) {
            if let Some(flags) = text.get_mut(2) {
                *flags |= 0x80;
            }
            for record in [RecordType::A, RecordType::Mx, RecordType::Txt, RecordType::Ns] {
                let _ = read(&text, record);
            }
        }
    }
}

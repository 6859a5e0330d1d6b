//! The host's clock against a time server, by SNTP (RFC 4330).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prunella_model::observation::Level;
use prunella_model::time::format_span;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::board::{Board, Look, Series};
use crate::config::{ClockSubject, HostPort};

/// Seconds from the beginning of NTP's first era (1900) to that of Unix time.
const ERA: u64 = 2_208_988_800;
/// A packet without extensions.
const PACKET: usize = 48;

/// See the module.
pub(super) struct Clock {
    subject: ClockSubject,
    timeout: Duration,
    offset: Option<Series>,
}

impl Clock {
    pub(super) fn new(subject: &ClockSubject, timeout: Duration, offset: Option<Series>) -> Self {
        Self { subject: subject.clone(), timeout, offset }
    }

    pub(super) async fn look(&mut self, board: &Board) -> Look {
        let asked = timeout(self.timeout, self.ask()).await;
        let offset = match asked {
            Err(_) => return Look::broken("the time server does not answer"),
            Ok(Err(error)) => return Look::broken(format!("the time server cannot be asked: {error}")),
            Ok(Ok(Err(why))) => return Look::broken(why),
            Ok(Ok(Ok(offset))) => offset,
        };
        if let Some(series) = self.offset {
            board.measure(series, (offset * 1e4).round() / 1e4);
        }
        let apart = Duration::try_from_secs_f64(offset.abs()).unwrap_or(Duration::MAX);
        let level = match (apart >= self.subject.critical, apart >= self.subject.warn) {
            (true, _) => Level::Critical,
            (false, true) => Level::Warning,
            (false, false) => Level::Good,
        };
        let whole = Duration::from_millis(u64::try_from(apart.as_millis()).unwrap_or(u64::MAX));
        let side = if offset > 0.0 { "behind" } else { "ahead of" };
        Look::checked(level, format!("the clock is {} {side} the time server", format_span(whole)))
    }

    /// How many seconds the clock is behind; the inner error is what the server says against itself.
    async fn ask(&self) -> io::Result<Result<f64, String>> {
        let address = match &self.subject.server {
            HostPort::Address(address) => *address,
            HostPort::Name(name) => {
                let found = tokio::net::lookup_host(name).await?.next();
                found.ok_or_else(|| io::Error::other("its name has no address"))?
            }
        };
        let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(address).await?;
        // The server repeats this. A random number tells its answer from others' as well as our time would, and tells
        // nobody what our time is.
        let mut cookie = [0u8; 8];
        getrandom::fill(&mut cookie).map_err(|error| io::Error::other(error.to_string()))?;
        let mut question = [0u8; PACKET];
        if let Some(first) = question.first_mut() {
            *first = 0b00_100_011;
        }
        if let Some(place) = question.get_mut(40..48) {
            place.copy_from_slice(&cookie);
        }
        let sent = now();
        socket.send(&question).await?;
        let mut answer = [0u8; 512];
        loop {
            let received = socket.recv(&mut answer).await?;
            let answer = answer.get(..received).unwrap_or_default();
            if answer.len() >= PACKET && answer.get(24..32) == Some(&cookie) {
                return Ok(offset(answer, sent, now()));
            }
        }
    }
}

/// Unix time in seconds.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// How many seconds a clock is behind that had `sent` a question and `received` this answer.
fn offset(answer: &[u8], sent: f64, received: f64) -> Result<f64, String> {
    let (Some(first), Some(stratum)) = (answer.first(), answer.get(1)) else {
        return Err("the answer is not NTP".to_owned());
    };
    if first & 0b111 != 4 {
        return Err("the answer is not a time server's".to_owned());
    }
    if first >> 6 == 3 || *stratum == 0 || *stratum > 15 {
        return Err("the time server says that it is not synchronised itself".to_owned());
    }
    let (Some(arrived), Some(left)) = (stamp(answer, 32), stamp(answer, 40)) else {
        return Err("the time server's answer has no time".to_owned());
    };
    Ok(((arrived - sent) + (left - received)) / 2.0)
}

/// A time of an answer as Unix time; none when it is not set.
fn stamp(answer: &[u8], at: usize) -> Option<f64> {
    let word = |at: usize| Some(u32::from_be_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let (seconds, fraction) = (word(at)?, word(at + 4)?);
    if seconds == 0 && fraction == 0 {
        return None;
    }
    // The second era begins in 2036; times before 1968 are of that one.
    let era = if seconds & 0x8000_0000 == 0 { 1u64 << 32 } else { 0 };
    let whole = (u64::from(seconds) + era).checked_sub(ERA)?;
    Some(f64::from(u32::try_from(whole).ok()?) + f64::from(fraction) / 4_294_967_296.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(first: u8, stratum: u8, arrived: u32, left: u32) -> Vec<u8> {
        let mut text = vec![0; PACKET];
        (text[0], text[1]) = (first, stratum);
        let era = u32::try_from(ERA).unwrap();
        text[32..36].copy_from_slice(&arrived.wrapping_add(era).to_be_bytes());
        text[40..44].copy_from_slice(&left.wrapping_add(era).to_be_bytes());
        text
    }

    #[test]
    fn the_offset_leaves_out_the_way() {
        let good = answer(0b00_100_100, 2, 1_700_000_010, 1_700_000_010);
        // Sent at 0 and received at 2: the server's 10 is 9 more than the middle.
        assert_eq!(offset(&good, 1_700_000_000.0, 1_700_000_002.0), Ok(9.0));
        assert!(offset(&answer(0b11_100_100, 2, 1, 1), 0.0, 0.0).unwrap_err().contains("not synchronised"));
        assert!(offset(&answer(0b00_100_100, 0, 1, 1), 0.0, 0.0).is_err());
        assert!(offset(&answer(0b00_100_011, 2, 1, 1), 0.0, 0.0).is_err());
        assert!(offset(&[0b00_100_100, 1], 0.0, 0.0).is_err());
        // In 2040, in the second era.
        let later = answer(0b00_100_100, 2, 2_208_988_800, 2_208_988_800);
        assert_eq!(offset(&later, 2_208_988_800.0, 2_208_988_800.0), Ok(0.0));
    }
}

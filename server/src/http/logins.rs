//! Who has logged in to the dashboard: one-time links, and the sessions that they open.
//!
//! Both live in memory alone: a server that restarts has forgotten them, and the next `prunella dashboard` opens a new one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prunella_identity::{Role, Secret, SecretHash};
use prunella_model::{OperatorName, Timestamp};

use crate::rpc::gate::Vouched;

/// How long a link waits to be opened.
pub const LINK_LIFE: Duration = Duration::from_secs(5 * 60);

/// How long a session lasts: a working day, as a bearer token does.
pub const SESSION_LIFE: Duration = Duration::from_secs(12 * 3600);

/// The most links and the most sessions at a time; of more, the oldest end.
const KEPT_MAX: usize = 1_000;

/// Links that were not opened yet, and sessions.
#[derive(Debug, Default)]
pub struct Logins(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    links: BTreeMap<SecretHash, Grant>,
    sessions: BTreeMap<SecretHash, Session>,
}

#[derive(Debug, Clone)]
struct Grant {
    who: Vouched,
    expires_at: Timestamp,
}

/// Somebody who has logged in.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// Who, as the gate takes it.
    pub(crate) who: Vouched,
    /// When it ends.
    pub(crate) expires_at: Timestamp,
    /// What every form of the session's pages carries, so that no other site can send one.
    pub(crate) form_token: String,
}

impl Logins {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the code of a link for an operator.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn invite(&self, name: OperatorName, role: Role, now: Timestamp) -> Result<String, getrandom::Error> {
        let secret = Secret::random()?;
        let mut kept = self.kept();
        kept.links.retain(|_, it| now < it.expires_at);
        make_room(&mut kept.links, |it| it.expires_at);
        let grant = Grant { who: Vouched { name, role }, expires_at: now.after(LINK_LIFE) };
        kept.links.insert(secret.hash(), grant);
        Ok(to_text(&secret))
    }

    /// Opens a session with a link's code, once. Null when the code is not known, was used, or is too old.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(crate) fn open(&self, code: &str, now: Timestamp) -> Result<Option<String>, getrandom::Error> {
        let Some(code) = from_text(code) else { return Ok(None) };
        let (secret, form) = (Secret::random()?, Secret::random()?);
        let mut kept = self.kept();
        let Some(grant) = kept.links.remove(&code.hash()).filter(|it| now < it.expires_at) else { return Ok(None) };
        kept.sessions.retain(|_, it| now < it.expires_at);
        make_room(&mut kept.sessions, |it| it.expires_at);
        let expires_at = now.after(SESSION_LIFE);
        kept.sessions.insert(secret.hash(), Session { who: grant.who, expires_at, form_token: to_text(&form) });
        Ok(Some(to_text(&secret)))
    }

    /// The session of a cookie.
    pub(crate) fn session(&self, cookie: &str, now: Timestamp) -> Option<Session> {
        let hash = from_text(cookie)?.hash();
        self.kept().sessions.get(&hash).filter(|it| now < it.expires_at).cloned()
    }

    /// Ends a session.
    pub(crate) fn close(&self, cookie: &str) {
        if let Some(secret) = from_text(cookie) {
            self.kept().sessions.remove(&secret.hash());
        }
    }
}

fn make_room<T>(kept: &mut BTreeMap<SecretHash, T>, expires_at: impl Fn(&T) -> Timestamp) {
    while kept.len() >= KEPT_MAX {
        let Some(oldest) = kept.iter().min_by_key(|(_, it)| expires_at(it)).map(|(hash, _)| *hash) else { return };
        kept.remove(&oldest);
    }
}

fn to_text(secret: &Secret) -> String {
    secret.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_text(text: &str) -> Option<Secret> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(Secret::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default().after(Duration::from_secs(seconds))
    }

    fn who() -> OperatorName {
        OperatorName::new("anna").unwrap()
    }

    #[test]
    fn a_link_opens_one_session() {
        let logins = Logins::default();
        let code = logins.invite(who(), Role::Viewer, at(0)).unwrap();
        let cookie = logins.open(&code, at(1)).unwrap().unwrap();
        assert!(logins.open(&code, at(2)).unwrap().is_none(), "a second time");
        let session = logins.session(&cookie, at(3)).unwrap();
        assert_eq!(session.who, Vouched { name: who(), role: Role::Viewer });
        logins.close(&cookie);
        assert!(logins.session(&cookie, at(4)).is_none());
    }

    #[test]
    fn links_and_sessions_end_by_themselves() {
        let logins = Logins::default();
        let late = logins.invite(who(), Role::Admin, at(0)).unwrap();
        assert!(logins.open(&late, at(LINK_LIFE.as_secs())).unwrap().is_none());
        let code = logins.invite(who(), Role::Admin, at(0)).unwrap();
        let cookie = logins.open(&code, at(0)).unwrap().unwrap();
        assert!(logins.session(&cookie, at(SESSION_LIFE.as_secs())).is_none());
    }

    #[test]
    fn what_is_no_code_opens_nothing() {
        let logins = Logins::default();
        let code = logins.invite(who(), Role::Admin, at(0)).unwrap();
        for wrong in ["", "x", &code[1..], &"é".repeat(32), &format!("{code}0"), &"+1".repeat(32)] {
            assert!(logins.open(wrong, at(1)).unwrap().is_none(), "{wrong}");
        }
        assert!(logins.open(&code, at(1)).unwrap().is_some());
    }

    #[test]
    fn the_oldest_makes_room() {
        let logins = Logins::default();
        let first = logins.invite(who(), Role::Viewer, at(0)).unwrap();
        let second = logins.invite(who(), Role::Viewer, at(1)).unwrap();
        for _ in 0..KEPT_MAX - 1 {
            logins.invite(who(), Role::Viewer, at(2)).unwrap();
        }
        assert!(logins.open(&first, at(3)).unwrap().is_none());
        assert!(logins.open(&second, at(3)).unwrap().is_some());
    }
}

//! Users and passwords of the listener (RFC 7617), checked against bcrypt hashes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bcrypt::HashParts;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use openssl::sha::Sha256;
use secrecy::{ExposeSecret, SecretSlice};
use tokio::sync::Semaphore;

use crate::http::message::Response;

/// The answer to a request without a right password.
pub(in crate::http) fn unauthorized() -> Response {
    Response::text(StatusCode::UNAUTHORIZED, "a user name and password are needed\n").with_header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Basic realm=\"mailtrip_exporter\""),
    )
}

/// `basic_auth_users`: names and bcrypt hashes. It has no `Debug`, so that no hash is ever shown.
#[derive(Default)]
pub(super) struct Users {
    hashes: BTreeMap<String, String>,
    /// The highest cost among the hashes.
    cost: u32,
}

impl Users {
    /// Adds a user; `false` if `hash` is none of bcrypt ($2a$, $2b$ or $2y$, cost 4 to 31).
    pub(super) fn add(&mut self, name: &str, hash: &str) -> bool {
        let Ok(parts) = hash.parse::<HashParts>() else { return false };
        // $2x$ marks hashes of a faulty implementation.
        if hash.starts_with("$2x$") || !(4..=31).contains(&parts.get_cost()) {
            return false;
        }
        self.cost = self.cost.max(parts.get_cost());
        self.hashes.insert(name.to_owned(), hash.to_owned());
        true
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The hash of a user; for an unknown one a hash of the same cost that no password has, so
    /// that the time of the answer does not tell who is known.
    fn hash_to_compare(&self, name: &str) -> (String, bool) {
        match self.hashes.get(name) {
            Some(hash) => (hash.clone(), true),
            None => (format!("$2b${:02}${NOBODY}", self.cost), false),
        }
    }
}

/// The salt and digest of a hash that is well-formed and of no password.
const NOBODY: &str = "abcdefghijklmnopqrstuuAbcdefghijklmnopqrstuvwxyz0123.";

/// Password checks: few at a time, and each right one done only once.
pub(super) struct PasswordChecks {
    permits: Arc<Semaphore>,
    /// SHA-256 over user, password and hash of those that were right, oldest first.
    verified: Mutex<VecDeque<[u8; 32]>>,
}

impl PasswordChecks {
    /// Checks that run at one time: each costs a processor some 60 ms to seconds.
    const AT_A_TIME: usize = 2;

    /// The most right results that are remembered.
    const REMEMBERED: usize = 100;

    /// No check yet.
    pub(super) fn new() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(Self::AT_A_TIME)),
            verified: Mutex::new(VecDeque::new()),
        }
    }

    /// Whether the header Authorization shows one of `users` with the right password.
    pub(super) async fn admits(&self, users: &Users, authorization: Option<&HeaderValue>) -> bool {
        let Some((name, password)) = authorization.and_then(credentials) else { return false };
        let (hash, is_known) = users.hash_to_compare(&name);
        let digest = digest(&name, &password, &hash);
        if self.has_verified(&digest) {
            return true;
        }
        let Ok(permit) = self.permits.clone().acquire_owned().await else { return false };
        let check = tokio::task::spawn_blocking(move || {
            // The check holds its permit to its end, also when nobody waits for it any more.
            let _permit = permit;
            bcrypt::verify(password.expose_secret(), &hash).unwrap_or(false)
        });
        let is_right = check.await.unwrap_or(false) && is_known;
        if is_right {
            self.remember(digest);
        }
        is_right
    }

    fn has_verified(&self, digest: &[u8; 32]) -> bool {
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified.iter().any(|known| openssl::memcmp::eq(known, digest))
    }

    fn remember(&self, digest: [u8; 32]) {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.contains(&digest) {
            return;
        }
        if verified.len() >= Self::REMEMBERED {
            verified.pop_front();
        }
        verified.push_back(digest);
    }
}

/// User and password of a header Authorization of the scheme Basic (RFC 7617, section 2).
fn credentials(authorization: &HeaderValue) -> Option<(String, SecretSlice<u8>)> {
    let (scheme, encoded) = authorization.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let mut decoded = STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let password = SecretSlice::from(decoded.split_off(colon + 1));
    decoded.truncate(colon);
    Some((String::from_utf8(decoded).ok()?, password))
}

/// Each part with its length before it, so that no two pairs look the same.
fn digest(name: &str, password: &SecretSlice<u8>, hash: &str) -> [u8; 32] {
    let mut sha = Sha256::new();
    for part in [name.as_bytes(), password.expose_secret(), hash.as_bytes()] {
        sha.update(&(part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    sha.finish()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn header(text: &str) -> HeaderValue {
        HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(text))).unwrap()
    }

    fn users(entries: &[(&str, &str, u32)]) -> Users {
        let mut users = Users::default();
        for (name, password, cost) in entries {
            assert!(users.add(name, &bcrypt::hash(password, *cost).unwrap()));
        }
        users
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_is_admitted() {
        let users = users(&[("ann", "pass:word é", 4), ("bob", "other", 4)]);
        let checks = PasswordChecks::new();
        // Twice: the second round meets the remembered results.
        for _ in 0..2 {
            for (text, expected) in [
                ("ann:pass:word é", true),
                ("bob:other", true),
                ("ann:other", false),
                ("bob:pass:word é", false),
                ("eve:other", false),
                ("ann:", false),
                (":other", false),
                ("ann", false),
            ] {
                assert_eq!(checks.admits(&users, Some(&header(text))).await, expected, "{text}");
            }
        }
        assert!(!checks.admits(&users, None).await);
        for raw in ["Basic", "Basic !!!", "Bearer YW5uOnBhc3M=", ""] {
            let raw = HeaderValue::from_static(raw);
            assert!(!checks.admits(&users, Some(&raw)).await);
        }
    }

    #[tokio::test]
    async fn a_right_password_is_computed_once_and_forgotten_with_its_hash() {
        let checks = PasswordChecks::new();
        let before = users(&[("ann", "old", 4)]);
        assert!(checks.admits(&before, Some(&header("ann:old"))).await);
        // With no permit left only a remembered result can be given.
        checks.permits.close();
        assert!(checks.admits(&before, Some(&header("ann:old"))).await);
        let after = users(&[("ann", "old", 4)]);
        assert!(!checks.admits(&after, Some(&header("ann:old"))).await);
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let checks = PasswordChecks::new();
        for index in 0..300_u16 {
            let mut digest = [0; 32];
            digest[..2].copy_from_slice(&index.to_be_bytes());
            checks.remember(digest);
            checks.remember(digest);
        }
        assert_eq!(checks.verified.lock().unwrap().len(), PasswordChecks::REMEMBERED);
    }

    #[tokio::test]
    async fn an_unknown_user_costs_the_time_of_a_known_one() {
        let users = users(&[("ann", "right", 4), ("bob", "right", 9)]);
        let checks = PasswordChecks::new();
        let mut durations = Vec::new();
        for text in ["bob:wrong", "eve:wrong"] {
            let started = Instant::now();
            assert!(!checks.admits(&users, Some(&header(text))).await);
            durations.push(started.elapsed());
        }
        let cheap = Duration::from_millis(2);
        assert!(durations.iter().all(|duration| *duration > cheap), "{durations:?}");
    }

    #[test]
    fn the_versions_of_bcrypt_are_known_and_nothing_else() {
        let hash = bcrypt::hash("x", 4).unwrap();
        let tail = &hash[3..];
        for (prefix, expected) in
            [("$2a", true), ("$2b", true), ("$2y", true), ("$2x", false), ("$2z", false)]
        {
            assert_eq!(Users::default().add("ann", &format!("{prefix}{tail}")), expected);
        }
        for hash in ["", "plain", "$apr1$x$y", &hash[..59], &hash.replace("$04$", "$03$")] {
            assert!(!Users::default().add("ann", hash), "{hash}");
        }
    }

    #[test]
    fn the_hash_of_nobody_is_well_formed() {
        let hash = users(&[("ann", "x", 5)]).hash_to_compare("eve").0;
        assert_eq!(hash.parse::<HashParts>().unwrap().get_cost(), 5);
        assert!(bcrypt::verify("x", &hash).is_ok());
    }
}

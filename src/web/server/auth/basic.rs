//! Users and passwords of the listener (RFC 7617), checked against bcrypt hashes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bcrypt::HashParts;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use openssl::sha::Sha256;
use secrecy::{ExposeSecret, SecretSlice};
use tokio::time::sleep;

use super::line::{Digest, Line, Turn};
use crate::web::server::door::Peer;
use crate::web::server::message::Response;
use mail::threads;

/// The answer to a request without a right password.
pub(in crate::web) fn unauthorized() -> Response {
    Response::text(StatusCode::UNAUTHORIZED, "user name and password required\n").with_header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Basic realm=\"mailtrip_exporter\""),
    )
}

/// The answer to one whose password cannot be checked now.
pub(in crate::web) fn too_many_checks() -> Response {
    let text = "too many passwords are being checked; try again later\n";
    Response::text(StatusCode::SERVICE_UNAVAILABLE, text)
        .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
}

/// What becomes of a request for whose page a password is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Admission {
    /// The user is known and the password is right.
    Granted,
    /// There is no user, an unknown one, or a wrong password.
    Refused,
    /// Too many wait for a check.
    Postponed,
}

/// `basic_auth_users`: names and bcrypt hashes. It has no `Debug`, so that no hash is ever shown.
#[derive(Default)]
pub(super) struct Users {
    hashes: BTreeMap<String, String>,
    /// The highest cost among the hashes.
    cost: u32,
}

/// Why a hash cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is none of bcrypt: $2a$, $2b$ or $2y$, with a cost of 4 to 31.
    NoHash,
    /// It has this cost, above [`Users::HIGHEST_COST`].
    Cost(u32),
}

impl Users {
    /// The highest cost: a check takes some 20 s then, and twice as long with each one more.
    pub(super) const HIGHEST_COST: u32 = 18;

    /// Adds a user.
    pub(super) fn add(&mut self, name: &str, hash: &str) -> Result<(), Unfit> {
        let parts = hash.parse::<HashParts>().map_err(|_| Unfit::NoHash)?;
        // $2x$ marks hashes of a faulty implementation.
        if hash.starts_with("$2x$") || !(4..=31).contains(&parts.get_cost()) {
            return Err(Unfit::NoHash);
        }
        if parts.get_cost() > Self::HIGHEST_COST {
            return Err(Unfit::Cost(parts.get_cost()));
        }
        self.cost = self.cost.max(parts.get_cost());
        self.hashes.insert(name.to_owned(), hash.to_owned());
        Ok(())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
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

/// Password checks: few at a time, and each result computed only once.
#[derive(Clone)]
pub(super) struct PasswordChecks {
    line: Arc<Line>,
    results: Arc<Mutex<Results>>,
    /// What the digests are made with, so that they are worth nothing to who reads the memory of a
    /// process that has ended.
    key: [u8; 32],
}

/// Digests over user, password and hash, oldest first.
#[derive(Default)]
struct Results {
    right: VecDeque<[u8; 32]>,
    wrong: VecDeque<[u8; 32]>,
}

impl PasswordChecks {
    /// The most results of either kind that are remembered.
    const REMEMBERED: usize = 100;

    /// How long one waits for whom there is no place in the line.
    const PAUSE: Duration = Duration::from_secs(1);

    /// No check yet.
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        // One processor at least is left for those who are known.
        let line = Line::new((processors / 2).clamp(1, 2));
        let mut key = [0; 32];
        // Without random numbers the digests are as good as unkeyed ones.
        let _ = openssl::rand::rand_bytes(&mut key);
        Self { line, results: Arc::default(), key }
    }

    /// Whether the header Authorization of a request of `peer` shows one of `users` with the right
    /// password. A result that is known costs nothing; for another there is a check, which goes on
    /// to its end also when nobody waits for it any more.
    pub(super) async fn admits(
        &self,
        users: &Users,
        authorization: Option<&HeaderValue>,
        peer: Peer,
    ) -> Admission {
        let Some((name, password)) = authorization.and_then(credentials) else {
            return Admission::Refused;
        };
        let (hash, is_user) = users.hash_to_compare(&name);
        let digest = self.digest(&name, &password, &hash);
        if let Some(known) = self.known(&digest) {
            return known;
        }
        let Some(turn) = self.turn(peer, digest).await else { return Admission::Postponed };
        // The same password may have been checked meanwhile.
        if let Some(known) = self.known(&digest) {
            return known;
        }
        let this = self.clone();
        let check = move || {
            let is_right = bcrypt::verify(password.expose_secret(), &hash).unwrap_or(false);
            let admission =
                if is_right && is_user { Admission::Granted } else { Admission::Refused };
            this.remember(digest, admission);
            drop(turn);
            admission
        };
        threads::run(check).await.unwrap_or(Admission::Postponed)
    }

    /// A turn in the line. Without a place in it, the refusal is returned after a pause, so that
    /// who guesses passwords cannot ask a thousand times a second.
    async fn turn(&self, peer: Peer, digest: Digest) -> Option<Turn> {
        let turn = self.line.turn(peer, digest).await;
        if turn.is_none() {
            sleep(Self::PAUSE).await;
        }
        turn
    }

    /// What a check of the same has shown before.
    fn known(&self, digest: &[u8; 32]) -> Option<Admission> {
        let results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let holds =
            |all: &VecDeque<[u8; 32]>| all.iter().any(|known| openssl::memcmp::eq(known, digest));
        if holds(&results.right) {
            Some(Admission::Granted)
        } else {
            holds(&results.wrong).then_some(Admission::Refused)
        }
    }

    fn remember(&self, digest: [u8; 32], admission: Admission) {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let results = match admission {
            Admission::Granted => &mut results.right,
            Admission::Refused => &mut results.wrong,
            Admission::Postponed => return,
        };
        if results.contains(&digest) {
            return;
        }
        if results.len() >= Self::REMEMBERED {
            results.pop_front();
        }
        results.push_back(digest);
    }

    /// Each part with its length before it, so that no two pairs look the same.
    fn digest(&self, name: &str, password: &SecretSlice<u8>, hash: &str) -> [u8; 32] {
        let mut sha = Sha256::new();
        for part in [&self.key, name.as_bytes(), password.expose_secret(), hash.as_bytes()] {
            sha.update(&(part.len() as u64).to_be_bytes());
            sha.update(part);
        }
        sha.finish()
    }
}

/// User and password of a header Authorization of the scheme Basic (RFC 7617, section 2).
pub(crate) fn credentials(authorization: &HeaderValue) -> Option<(String, SecretSlice<u8>)> {
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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Instant;

    use super::*;

    fn header(text: &str) -> HeaderValue {
        HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(text))).unwrap()
    }

    fn users(entries: &[(&str, &str, u32)]) -> Users {
        let mut users = Users::default();
        for (name, password, cost) in entries {
            assert_eq!(users.add(name, &bcrypt::hash(password, *cost).unwrap()), Ok(()));
        }
        users
    }

    async fn admits(checks: &PasswordChecks, users: &Users, header: Option<&HeaderValue>) -> bool {
        let peer = Peer::of(IpAddr::V4(Ipv4Addr::LOCALHOST));
        checks.admits(users, header, peer).await == Admission::Granted
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
                assert_eq!(admits(&checks, &users, Some(&header(text))).await, expected, "{text}");
            }
        }
        assert!(!admits(&checks, &users, None).await);
        for raw in ["Basic", "Basic !!!", "Bearer YW5uOnBhc3M=", ""] {
            let raw = HeaderValue::from_static(raw);
            assert!(!admits(&checks, &users, Some(&raw)).await);
        }
    }

    /// A line in which nobody gets a turn.
    fn standstill() -> PasswordChecks {
        PasswordChecks { line: Line::new(0), ..PasswordChecks::new() }
    }

    #[tokio::test]
    async fn a_password_is_computed_once_and_forgotten_with_its_hash() {
        let checks = PasswordChecks::new();
        let before = users(&[("ann", "old", 4)]);
        assert!(admits(&checks, &before, Some(&header("ann:old"))).await);
        assert!(!admits(&checks, &before, Some(&header("ann:typo"))).await);
        // Without a check only a remembered result can be given.
        let checks = PasswordChecks { line: Line::new(0), ..checks };
        assert!(admits(&checks, &before, Some(&header("ann:old"))).await);
        assert!(!admits(&checks, &before, Some(&header("ann:typo"))).await);
        let after = users(&[("ann", "old", 4)]);
        let ask = header("ann:old");
        let asked = admits(&checks, &after, Some(&ask));
        assert!(tokio::time::timeout(Duration::from_millis(50), asked).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn one_too_many_is_told_to_come_again_and_a_known_one_is_not() {
        let users = users(&[("ann", "right", 4)]);
        let checks = standstill();
        let guesser = Peer::of(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let right = header("ann:right");
        let (name, password) = credentials(&right).unwrap();
        let digest = checks.digest(&name, &password, &users.hash_to_compare("ann").0);
        checks.remember(digest, Admission::Granted);
        let guesses: Vec<_> = (0..10).map(|index| header(&format!("ann:{index}"))).collect();
        let mut waiting = Vec::new();
        for (index, guess) in guesses.iter().enumerate() {
            let started = tokio::time::Instant::now();
            let mut asked = Box::pin(checks.admits(&users, Some(guess), guesser));
            match tokio::time::timeout(PasswordChecks::PAUSE * 2, asked.as_mut()).await {
                Ok(admission) => {
                    assert!(index >= 4, "{index} has no place in the line");
                    assert_eq!(admission, Admission::Postponed);
                    assert_eq!(started.elapsed(), PasswordChecks::PAUSE);
                }
                Err(_) => waiting.push(asked),
            }
        }
        assert_eq!(waiting.len(), 4);
        assert_eq!(checks.admits(&users, Some(&right), guesser).await, Admission::Granted);
        let answer = too_many_checks();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key(header::RETRY_AFTER));
    }

    #[tokio::test]
    async fn a_check_that_nobody_waits_for_any_more_is_remembered() {
        let users = users(&[("ann", "right", 8)]);
        let checks = PasswordChecks::new();
        let right = header("ann:right");
        {
            let mut asked = Box::pin(admits(&checks, &users, Some(&right)));
            // Polled once, it has begun.
            let early = tokio::time::timeout(Duration::ZERO, asked.as_mut()).await;
            assert!(early.is_err());
        }
        // The one turn comes back with its end.
        let other = Peer::of(IpAddr::V4(Ipv4Addr::BROADCAST));
        let turns = std::thread::available_parallelism().map_or(1, usize::from);
        let mut held = Vec::new();
        for _ in 0..(turns / 2).clamp(1, 2) {
            held.push(checks.line.turn(other, [0; 32]).await.unwrap());
        }
        assert!(admits(&checks, &users, Some(&right)).await);
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let checks = PasswordChecks::new();
        for index in 0..300_u16 {
            let mut digest = [0; 32];
            digest[..2].copy_from_slice(&index.to_be_bytes());
            for admission in [Admission::Granted, Admission::Refused] {
                checks.remember(digest, admission);
                checks.remember(digest, admission);
            }
        }
        let results = checks.results.lock().unwrap();
        assert_eq!(results.right.len(), PasswordChecks::REMEMBERED);
        assert_eq!(results.wrong.len(), PasswordChecks::REMEMBERED);
    }

    #[tokio::test]
    async fn an_unknown_user_costs_the_time_of_a_known_one() {
        let users = users(&[("ann", "right", 4), ("bob", "right", 9)]);
        let checks = PasswordChecks::new();
        let mut durations = Vec::new();
        for text in ["bob:wrong", "eve:wrong"] {
            let started = Instant::now();
            assert!(!admits(&checks, &users, Some(&header(text))).await);
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
            let added = Users::default().add("ann", &format!("{prefix}{tail}"));
            assert_eq!(added.is_ok(), expected, "{prefix}");
        }
        for hash in ["", "plain", "$apr1$x$y", &hash[..59], &hash.replace("$04$", "$03$")] {
            assert_eq!(Users::default().add("ann", hash), Err(Unfit::NoHash), "{hash}");
        }
        for (cost, expected) in
            [(18, Ok(())), (19, Err(Unfit::Cost(19))), (31, Err(Unfit::Cost(31)))]
        {
            let hash = hash.replace("$04$", &format!("${cost}$"));
            assert_eq!(Users::default().add("ann", &hash), expected);
        }
    }

    #[test]
    fn the_hash_of_nobody_is_well_formed() {
        let hash = users(&[("ann", "x", 5)]).hash_to_compare("eve").0;
        assert_eq!(hash.parse::<HashParts>().unwrap().get_cost(), 5);
        assert!(bcrypt::verify("x", &hash).is_ok());
    }
}

//! What a server does wrong, and when: a script that can be changed while the server runs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

pub use answers::{Alteration, HttpAnswer, Series};

mod answers;

/// A connection was accepted; no byte was sent yet.
pub const CONNECT: &str = "connect";
/// The server is to begin its side of a TLS handshake, implicit or after the command.
pub const TLS_HANDSHAKE: &str = "tls-handshake";
/// The greeting is to be sent; with JMAP, which has none, the first question is waited for.
pub const GREETING: &str = "greeting";
/// The client has sent its credentials, by whatever command, and waits for the verdict.
pub const CREDENTIALS: &str = "credentials";
/// A challenge of a SASL login is to be sent. An answer given here stands in its place.
pub const CHALLENGE: &str = "challenge";
/// SMTP: the final dot was read, the mail is not accepted yet. An answer given here refuses it.
pub const AFTER_DATA: &str = "after-data";
/// SMTP: the mail was accepted, the client does not know it yet.
pub const ACCEPTED: &str = "accepted";
/// IMAP: the client has learned that the server is idling.
pub const IDLING: &str = "idling";
/// IMAP: the client said DONE.
pub const DONE: &str = "done";
/// JMAP: `/.well-known/jmap` is asked for; what is given here comes before the session resource.
pub const WELL_KNOWN: &str = "well-known";
/// Any command that has no fault of its own.
pub const ANY_COMMAND: &str = "*";

const PSEUDO_POINTS: [&str; 11] = [
    CONNECT,
    TLS_HANDSHAKE,
    GREETING,
    CREDENTIALS,
    CHALLENGE,
    AFTER_DATA,
    ACCEPTED,
    IDLING,
    DONE,
    WELL_KNOWN,
    ANY_COMMAND,
];

/// One way to misbehave.
///
/// In the texts of [`Fault::Reply`], [`Fault::LastWords`], [`Fault::Before`], [`Fault::Append`] and
/// the tail of [`Fault::Series`], `{tag}` stands for the tag of the IMAP command, `{line}` for the command as
/// it came, and `{user}`, `{password}` and `{base64}` (the initial response of PLAIN) for the
/// credentials that the client sent last. A missing CRLF at the end is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is wrong; lets the first commands pass: `times(2, "NOOP", Fault::None)`.
    None,
    /// This long nothing happens, then the other fault does (or the proper answer, with
    /// [`Fault::None`]).
    After(Duration, Box<Fault>),
    /// Nothing happens until the gate is opened, then the proper answer comes.
    Held(Gate),
    /// This answer instead of the proper one; the command is not executed.
    Reply(String),
    /// These bytes instead of the proper answer, exactly; the command is not executed.
    Raw(Vec<u8>),
    /// This answer, then the connection is closed.
    LastWords(String),
    /// Silence until the client goes away; what it sends meanwhile is read and recorded.
    Hang,
    /// The connection is closed (FIN) without an answer.
    Close,
    /// The connection is reset (RST) without an answer.
    Reset,
    /// The proper answer is cut after this many bytes, and the connection closed.
    Cut(usize),
    /// The proper answer comes byte by byte, this long after each other.
    Drip(Duration),
    /// This stands before the proper answer, in the same segment.
    Before(String),
    /// This stands behind the proper answer, in the same segment: after the reply to STARTTLS it
    /// is injected plaintext.
    Append(String),
    /// Lines of junk, up to 64 MiB, instead of an answer.
    Garbage,
    /// One line without an end, up to 64 MiB, instead of an answer.
    EndlessLine,
    /// These bytes, exactly, then silence until the client goes away.
    RawThenHang(Vec<u8>),
    /// These bytes over and over, one at a time and so far apart, until the client goes away.
    Trickle(Vec<u8>, Duration),
    /// The first bytes, then the others over and over as fast as they are taken, until the client
    /// goes away.
    Flood(Vec<u8>, Vec<u8>),
    /// A long answer instead of the proper one; the command is not executed.
    Series(Series),
    /// Another answer, made of the proper one; the command is executed. With JMAP it is the body that is
    /// altered, and its length told as it then is.
    Alter(Alteration),
    /// JMAP: this answer by HTTP; the command is not executed.
    Http(HttpAnswer),
    /// JMAP: the call is answered by an error of this type with this description, and not executed.
    CallError(String, String),
}

impl Fault {
    /// The proper answer, this much later.
    pub fn delay(delay: Duration) -> Self {
        Fault::After(delay, Box::new(Fault::None))
    }

    /// A [`Fault::Reply`].
    pub fn reply(text: impl Into<String>) -> Self {
        Fault::Reply(text.into())
    }

    /// A [`Fault::Http`] with this status and no body.
    pub fn status(status: u16) -> Self {
        Fault::Http(HttpAnswer::new(status))
    }

    /// A [`Fault::CallError`] of this type.
    pub fn call_error(kind: &str) -> Self {
        Fault::CallError(kind.to_owned(), "as the script says".to_owned())
    }

    /// A [`Fault::LastWords`].
    pub fn last_words(text: impl Into<String>) -> Self {
        Fault::LastWords(text.into())
    }
}

/// Holds answers back until it is opened, then lets all pass. Clones are the same gate.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// Lets pass from now on, also what waits.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub(super) async fn opened(&self) {
        // The sender lives as long as this gate.
        let _ = self.0.subscribe().wait_for(|is_open| *is_open).await;
    }
}

impl PartialEq for Gate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Gate {}

/// When a server announces to an idling client what changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Announce {
    /// As soon as it changed.
    #[default]
    AtOnce,
    /// This long after it changed.
    After(Duration),
    /// Not during IDLE; the next NOOP shows it.
    Never,
}

/// The script of one server. A point is a command in upper case as the protocol spells it (`RCPT`,
/// `UID FETCH`, `UIDL`) or one of the constants of this module. With JMAP a point is `SESSION`, `API` (what is posted,
/// before its calls), each call of it (`EMAIL/GET`), `DOWNLOAD` or `EVENTS`. Several faults at one point follow
/// each other, each as often as it was set to.
#[derive(Debug, Default)]
pub struct Faults {
    script: Mutex<Script>,
}

#[derive(Debug, Default)]
struct Script {
    rules: BTreeMap<String, VecDeque<Rule>>,
    left_out: BTreeSet<String>,
    added: Vec<String>,
    announce: Announce,
    has_frozen_view: bool,
    hides_uid_validity: bool,
    uid_next: Option<u32>,
    pretends_to_destroy: bool,
    upon: Option<String>,
}

#[derive(Debug)]
struct Rule {
    fault: Fault,
    times_left: Option<u32>,
}

impl Faults {
    /// From now on, each time.
    pub fn on(&self, point: &str, fault: Fault) {
        self.push(point, Rule { fault, times_left: None });
    }

    /// The next time only.
    pub fn once(&self, point: &str, fault: Fault) {
        self.times(1, point, fault);
    }

    /// The next `times` times.
    pub fn times(&self, times: u32, point: &str, fault: Fault) {
        if times > 0 {
            self.push(point, Rule { fault, times_left: Some(times) });
        }
    }

    /// Forgets the faults at one point.
    pub fn clear_at(&self, point: &str) {
        self.lock().rules.remove(&key(point));
    }

    /// Forgets everything: the server behaves.
    pub fn clear(&self) {
        *self.lock() = Script::default();
    }

    /// Neither announces a capability (`UIDPLUS`, `TOP`, `AUTH=PLAIN`, `AUTH PLAIN`) nor has it.
    pub fn leave_out(&self, capability: &str) {
        self.lock().left_out.insert(capability.to_ascii_uppercase());
    }

    /// Announces one more capability, as `LOGINDISABLED` or `LOGIN-DELAY 60`.
    pub fn offer(&self, capability: &str) {
        self.lock().added.push(capability.to_owned());
    }

    /// When changes are announced during IDLE.
    pub fn set_announce(&self, announce: Announce) {
        self.lock().announce = announce;
    }

    /// IMAP: new mail shows in a folder only after it was selected anew, whatever is asked.
    pub fn freeze_view(&self) {
        self.lock().has_frozen_view = true;
    }

    /// IMAP: SELECT reports no UIDVALIDITY.
    pub fn hide_uid_validity(&self) {
        self.lock().hides_uid_validity = true;
    }

    /// IMAP: SELECT reports this next UID, whatever the right one is.
    pub fn tell_uid_next(&self, uid: u32) {
        self.lock().uid_next = Some(uid);
    }

    /// JMAP: Email/set tells mails as destroyed that stay.
    pub fn pretend_to_destroy(&self) {
        self.lock().pretends_to_destroy = true;
    }

    /// JMAP: each Email/get fails (`serverFail`) that is about a mail with this text in it.
    pub fn fail_upon(&self, text: &str) {
        self.lock().upon = Some(text.to_owned());
    }

    pub(super) fn upon(&self) -> Option<String> {
        self.lock().upon.clone()
    }

    pub(super) fn pretends_to_destroy(&self) -> bool {
        self.lock().pretends_to_destroy
    }

    pub(super) fn uid_next(&self) -> Option<u32> {
        self.lock().uid_next
    }

    pub(super) fn has_frozen_view(&self) -> bool {
        self.lock().has_frozen_view
    }

    pub(super) fn hides_uid_validity(&self) -> bool {
        self.lock().hides_uid_validity
    }

    pub(super) fn announce(&self) -> Announce {
        self.lock().announce
    }

    /// The capabilities left of `own`, and those added.
    pub(super) fn capabilities(&self, own: &[String]) -> Vec<String> {
        let script = self.lock();
        let kept = own.iter().filter(|name| !script.left_out.contains(&name.to_ascii_uppercase()));
        kept.chain(&script.added).cloned().collect()
    }

    /// Takes the fault that is due at a point.
    pub(super) fn take(&self, point: &str) -> Fault {
        let mut script = self.lock();
        let fault = script.take(point);
        if fault.is_some() || PSEUDO_POINTS.contains(&point) {
            return fault.unwrap_or(Fault::None);
        }
        script.take(ANY_COMMAND).unwrap_or(Fault::None)
    }

    fn push(&self, point: &str, rule: Rule) {
        self.lock().rules.entry(key(point)).or_default().push_back(rule);
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Script {
    fn take(&mut self, point: &str) -> Option<Fault> {
        let rules = self.rules.get_mut(point)?;
        // "Always" ends where something else was scripted later: the latest word counts.
        while rules.len() > 1 && rules.front().is_some_and(|rule| rule.times_left.is_none()) {
            rules.pop_front();
        }
        let rule = rules.front_mut()?;
        let fault = rule.fault.clone();
        if let Some(left) = &mut rule.times_left {
            *left -= 1;
            if *left == 0 {
                rules.pop_front();
            }
        }
        Some(fault)
    }
}

fn key(point: &str) -> String {
    if PSEUDO_POINTS.contains(&point) { point.to_owned() } else { point.to_ascii_uppercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_at_one_point_follow_each_other() {
        let faults = Faults::default();
        faults.times(2, "rcpt", Fault::reply("450 later"));
        faults.once("RCPT", Fault::Close);
        let taken: Vec<Fault> = (0..4).map(|_| faults.take("RCPT")).collect();
        let later = Fault::reply("450 later");
        assert_eq!(taken, [later.clone(), later, Fault::Close, Fault::None]);
    }

    #[test]
    fn a_fault_for_any_command_spares_the_points_that_are_none() {
        let faults = Faults::default();
        faults.on(ANY_COMMAND, Fault::Close);
        assert_eq!(faults.take("NOOP"), Fault::Close);
        assert_eq!(faults.take(GREETING), Fault::None);
    }

    #[test]
    fn a_later_word_replaces_one_that_was_for_ever() {
        let faults = Faults::default();
        faults.on("NOOP", Fault::Close);
        faults.on("NOOP", Fault::Hang);
        assert_eq!(faults.take("NOOP"), Fault::Hang);
    }

    #[test]
    fn capabilities_are_left_out_and_added() {
        let faults = Faults::default();
        faults.leave_out("uidplus");
        faults.offer("X-GM-EXT-1");
        let own = ["IDLE".to_owned(), "UIDPLUS".to_owned()];
        assert_eq!(faults.capabilities(&own), ["IDLE", "X-GM-EXT-1"]);
    }
}

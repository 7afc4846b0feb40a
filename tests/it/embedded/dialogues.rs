//! Dialogues with servers of many families, played to the clients of the program: what such a server
//! says, with the public source of each line that the RFCs have otherwise, and what must come of it.
//!
//! `tests/testdata/dialogues/README.md` says how a file is written; [`script`] reads and plays it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ledger::FoundIn;
use ledger::Token;
use ledger::{Failure, Side};
use lettre::Address;
use mail::smtp::{NotAccepted, Smtp};
use mail::test_mail::compose;
use mail::trace::Trace;
use mail::wire::{ConnectionContext, Dialer};
use mailtrip_exporter::account::advice::next_step;
use mailtrip_exporter::config::{Folder, Target};
use mailtrip_exporter::probing::mailbox::{
    Disposition, Found, Inspector, Judge, Since, imap, jmap, pop3,
};
use script::{Mail, Played, Script};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::support::{TargetText, Trust, all, only, quoted};

mod script;

/// The families that the corpus must have, by the beginning of the names of their files.
const FAMILIES: [&str; 13] = [
    "exchange",
    "domino",
    "gmail",
    "microsoft365",
    "yahoo",
    "exim",
    "sendmail",
    "cyrus",
    "courier",
    "uw-imap",
    "zimbra",
    "hmailserver",
    "james",
];
/// How long one dialogue may take.
const LONGEST: Duration = Duration::from_secs(60);

fn scripts() -> Vec<(String, Script)> {
    let folder = Path::new("tests/testdata/dialogues");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "txt")).collect();
    files.sort();
    let read = |path: std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        (name.clone(), Script::parse(&name, &text))
    };
    files.into_iter().map(read).collect()
}

#[test]
fn each_family_is_there_and_each_deviation_has_its_source() {
    let scripts = scripts();
    for family in FAMILIES {
        assert!(
            scripts.iter().any(|(name, _)| name.starts_with(family)),
            "no dialogue of {family}"
        );
    }
    for (name, script) in &scripts {
        for key in ["server", "before"] {
            assert!(script.head(key).is_some_and(|words| words.len() > 9), "{name}: `{key}`");
        }
        assert!(!script.sources.is_empty(), "{name}: nothing in it differs from the RFCs");
        for source in &script.sources {
            let (address, what) = source.split_once(' ').unwrap_or((source, ""));
            assert!(address.starts_with("https://"), "{name}: {source}");
            assert!(what.trim().len() > 9, "{name}: say what differs: {source}");
        }
    }
    let documentation = include_str!("../../../docs/tested-servers.md");
    for (name, _) in &scripts {
        assert!(documentation.contains(&format!("`{name}`")), "docs/tested-servers.md: no {name}");
    }
    let servers: BTreeSet<_> =
        scripts.iter().filter_map(|(_, script)| script.head("server")).collect();
    assert!(servers.len() > FAMILIES.len(), "{servers:?}");
}

#[tokio::test]
async fn each_dialogue_comes_to_what_the_server_meant() {
    all(scripts().into_iter().map(|(name, script)| {
        let case = async move {
            let outcome = tokio::time::timeout(LONGEST, play(&script)).await;
            let (outcome, played, transcript) = outcome.expect("the dialogue ends");
            let context = format!("\n{transcript}\n{played:?}");
            assert_eq!(outcome, script.head("outcome").unwrap_or_default(), "{context}");
            assert!(played.mismatch.is_none(), "{context}");
            assert!(played.is_over, "the client left early: {context}");
        };
        (name, case)
    }))
    .await;
}

/// Plays a script to the client of its protocol; gives what came of it in words, what the server made
/// of it, and the client's transcript.
async fn play(script: &Script) -> (String, Played, String) {
    let trust = Trust::new();
    let server = script::Server::start(&trust).await;
    let target = target(script, &server, &trust);
    let mail = Mail::new(&target);
    let serving = server.play(script.clone(), mail.clone());
    let trace = Trace::new(Some(&target.receive.as_ref().unwrap().login));
    let client = Client { script, target: &target, token: mail.token, trace: trace.clone() };
    let outcome = match script.protocol() {
        "smtp" => client.send(&mail).await,
        "imap" => client.read_imap().await,
        "jmap" => client.read_jmap().await,
        _ => client.read_pop3().await,
    };
    let outcome = match outcome {
        Ok(words) => words,
        Err(failure) => {
            let side = if script.protocol() == "smtp" { Side::Send } else { Side::Receive };
            let advice = next_step(&target, side, &failure, "mailtrip.yml:1");
            let wanted = script.head("advice").unwrap_or_default();
            assert!(advice.contains(wanted), "{wanted} is not in {advice}");
            format!("fails {} {}: {}", failure.step, failure.reason, failure.message)
        }
    };
    (outcome, serving.await.unwrap(), trace.transcript())
}

fn target(script: &Script, server: &script::Server, trust: &Trust) -> Arc<Target> {
    let tls = script.head("tls").unwrap_or("none");
    let protocol = if script.protocol() == "smtp" { "imap" } else { script.protocol() };
    let mut text = TargetText::named("a")
        .set("from", "from@example.test")
        .set("to", "to@example.test")
        .set("timeout", "3s")
        .set("receive.protocol", protocol);
    for side in ["send", "receive"] {
        let key = |key: &str| format!("{side}.{key}");
        text = text
            .set(&key("host"), "localhost")
            .set(&key("ip_family"), "'4'")
            .set(&key("port"), &server.port().to_string())
            .set(&key("tls"), tls);
        if tls != "none" {
            text = text.set(&key("tls_options"), &trust.options());
        }
        if side == "receive" || script.head("login") != Some("none") {
            text = text
                .set(&key("username"), "rita")
                .set(&key("password"), &quoted("a secret word"))
                .set(&key("auth"), script.head("auth").unwrap_or("auto"));
        }
    }
    only(text)
}

/// The program's side.
struct Client<'a> {
    script: &'a Script,
    target: &'a Target,
    token: Token,
    trace: Trace,
}

/// What a mailbox came to.
#[derive(Default)]
struct Seen {
    folder: Option<FoundIn>,
    times: u32,
}

impl Seen {
    fn words(&self, is_removed: bool) -> String {
        let Some(folder) = self.folder else { return "not seen".to_owned() };
        let removed = if is_removed { ", removed" } else { "" };
        let times = if self.times == 1 { String::new() } else { format!(" {} times", self.times) };
        format!("found in {}{times}{removed}", folder.label())
    }
}

impl Client<'_> {
    async fn send(&self, mail: &Mail) -> Result<String, Failure> {
        let side = &self.target.send;
        let dialer =
            Dialer::new(&side.endpoint, side.login.as_ref(), &ConnectionContext::default())
                .unwrap();
        let (login, end) = (side.login.as_ref(), Instant::now() + LONGEST);
        let name = Some("monitor.example.test");
        let mut smtp = Smtp::open(&dialer, login, name, self.trace.clone(), end).await?;
        let (from, to): (&Address, &Address) = (&self.target.from, &self.target.to);
        let id = self.token.to_string();
        match smtp.hand_over(from, to, &id, &mail.whole[..].into()).await {
            Ok(_) => {
                smtp.quit().await;
                Ok("accepted".to_owned())
            }
            Err(NotAccepted::Doubtful(_)) => Ok("doubtful".to_owned()),
            Err(error) => Err(error.failure().clone()),
        }
    }

    fn judge<'s>(&self, seen: &'s mut Seen) -> impl FnMut(&Found) -> Disposition + Send + use<'s> {
        let (token, from) = (self.token, self.target.from.clone());
        move |found| {
            let sender = |claimed| (claimed == token).then(|| from.clone());
            if found.header.claim(sender).is_none() {
                return Disposition::Leave;
            }
            if !found.accounted.contains(&token) {
                seen.times += 1;
            }
            seen.folder = Some(found.folder);
            Disposition::Remove(token)
        }
    }

    async fn read_imap(&self) -> Result<String, Failure> {
        let side = self.target.receive.as_ref().unwrap();
        let dialer =
            Dialer::new(&side.endpoint, Some(&side.login), &ConnectionContext::default()).unwrap();
        let folders = [Folder::Name("INBOX".to_owned()), Folder::SpecialUse(r"\Junk".to_owned())];
        let end = Instant::now() + LONGEST;
        let trace = self.trace.clone();
        let mut session =
            imap::Session::open(&dialer, &side.login, &folders, &[], trace, end).await?;
        let mut memory = imap::Memory::default();
        let mut seen = Seen::default();
        let since = Since::all(SystemTime::now() - Duration::from_secs(60));
        let mut is_removed = false;
        for step in self.script.steps() {
            let mut judge = self.judge(&mut seen);
            let judge: &mut Judge<'_> = &mut judge;
            match step {
                "look" => session.look_everywhere(&mut memory, since, judge).await?,
                "idle" => {
                    let until = Instant::now() + Duration::from_secs(2);
                    let told = session.idle(until, &Notify::new()).await?;
                    session.look(&mut memory, told, false, since, judge).await?;
                    if self.script.head("idle") == Some("once") {
                        assert!(!session.can_idle(), "it would be asked again and again");
                    }
                }
                _ => {
                    is_removed = session.has_to_remove(&memory, true);
                    let inspector = Inspector::default();
                    session.remove(&mut memory, &inspector, true, since, judge).await?;
                }
            }
        }
        session.close().await;
        Ok(seen.words(is_removed))
    }

    async fn read_jmap(&self) -> Result<String, Failure> {
        let side = self.target.receive.as_ref().unwrap();
        let dialer =
            Dialer::new(&side.endpoint, Some(&side.login), &ConnectionContext::default()).unwrap();
        let (folders, end) = (side.protocol.folders(), Instant::now() + LONGEST);
        let (login, trace) = (&side.login, self.trace.clone());
        let mut session = jmap::Session::open(&dialer, login, folders, &[], trace, end).await?;
        let (mut memory, mut seen) = (jmap::Memory::default(), Seen::default());
        let since = Since::all(SystemTime::now() - Duration::from_secs(60));
        let mut is_removed = false;
        for step in self.script.steps() {
            if step == "look" {
                let mut judge = self.judge(&mut seen);
                session.look(&mut memory, None, false, since, &mut judge).await?;
            } else {
                is_removed = session.has_to_remove(&memory, true);
                session.remove(&mut memory, &Inspector::default()).await?;
            }
        }
        Ok(seen.words(is_removed))
    }

    async fn read_pop3(&self) -> Result<String, Failure> {
        let side = self.target.receive.as_ref().unwrap();
        let dialer =
            Dialer::new(&side.endpoint, Some(&side.login), &ConnectionContext::default()).unwrap();
        let mut memory = pop3::Memory::default();
        let mut seen = Seen::default();
        let since = Since::all(SystemTime::now() - Duration::from_secs(60));
        let mut is_removed = false;
        for step in self.script.steps() {
            let end = Instant::now() + LONGEST;
            let mut judge = self.judge(&mut seen);
            let busy_until = Instant::now() + Duration::from_secs(3);
            let pop3 =
                pop3::log_in(&dialer, &side.login, None, &self.trace, end, busy_until).await?;
            let is_check = step == "check";
            let session =
                pop3::Session::look(pop3, &mut memory, &|| since, is_check, &mut judge).await?;
            is_removed |= memory.has_to_remove();
            let looked = session.remove_and_close(&mut memory).await;
            if let Some(failure) = looked.removal_failure {
                return Err(failure);
            }
        }
        Ok(seen.words(is_removed))
    }
}

/// The mail that the program would send for this target.
fn composed(target: &Target, token: Token) -> Vec<u8> {
    let now = SystemTime::now();
    let mail = compose(target.addressed(), token, Token::random(), now, "monitor.example.test");
    mail.unwrap().to_vec()
}

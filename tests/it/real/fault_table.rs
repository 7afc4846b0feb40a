//! The table of faults in docs/troubleshooting.md: each is made, and what `probe` prints and what the status page
//! shows is compared with its row.

use std::any::Any;
use std::fmt::Write as _;
use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ledger::Side;
use mailtrip_exporter::config::{Config, Endpoint, Target};
use mailtrip_exporter::roundtrip::state::Thresholds;
use mailtrip_exporter::roundtrip::{self, Terminal, json};
use mailtrip_exporter::supervisor::Supervisor;
use testserver::faults::Fault;
use testserver::{Certificate, Options, Protocol};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep};

use crate::lab::{Account, Lab, Service};
use crate::support::{DEADLINE, PASSWORD, Trust, USER, World, http, origin, quoted, serve};

/// What stands before the table.
const HEADING: &str = "## What to fix";
/// What stands in a sentence for what is different each time.
const ANYTHING: char = '…';

/// One line of the table.
#[derive(Debug, Clone)]
struct Row {
    fault: String,
    /// `None`: no side failed.
    side: Option<Side>,
    step: String,
    reason: String,
    sentence: String,
}

/// The table as the page has it.
fn table() -> Vec<Row> {
    let page = include_str!("../../../docs/troubleshooting.md");
    let section = page.split(HEADING).nth(1).expect("the heading of the table");
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [fault, side, step, reason, sentence] = cells[..] else { panic!("{line}") };
        Row {
            fault: fault.to_owned(),
            side: Side::ALL.into_iter().find(|known| known.label() == side),
            step: step.to_owned(),
            reason: reason.to_owned(),
            sentence: sentence.trim_matches('"').to_owned(),
        }
    })
    .collect()
}

/// A target that meets a fault, and what has to live as long as the fault.
struct Case {
    target: Arc<Target>,
    config: Config,
    _alive: Box<dyn Any>,
}

/// The two sides of a target, as YAML.
struct Sides {
    from: String,
    to: String,
    send: String,
    receive: String,
}

impl Sides {
    /// Of the servers of the lab, without TLS; the mail is for `reader`.
    fn of_lab(lab: &Lab, reader: &Account) -> Self {
        let ports = lab.ports();
        Self {
            from: lab.sender().address.clone(),
            to: reader.address.clone(),
            send: format!("port: {}, tls: none", ports.smtp),
            receive: lab_mailbox(&format!("port: {}, tls: none", ports.imap), reader),
        }
    }

    /// Of the embedded servers, without TLS.
    fn of_world(world: &World) -> Self {
        let protocol = if world.mailbox.protocol() == Protocol::Pop3 { "pop3" } else { "imap" };
        Self {
            from: "from@example.test".into(),
            to: "to@example.test".into(),
            send: format!("port: {}, tls: none", world.smtp.port()),
            receive: format!(
                "protocol: {protocol}, port: {}, tls: none, username: {USER}, password: {}",
                world.mailbox.port(),
                quoted(PASSWORD)
            ),
        }
    }

    fn send(self, send: impl Into<String>) -> Self {
        Self { send: send.into(), ..self }
    }

    fn receive(self, receive: impl Into<String>) -> Self {
        Self { receive: receive.into(), ..self }
    }

    fn case(self, alive: impl Any) -> Case {
        let Self { from, to, send, receive } = self;
        let text = format!(
            "targets: [{{name: mailserver, host: localhost, ip_family: 4, timeout: 2s, late_after: \
             3s, from: {from}, to: {to}, send: {{{send}}}, receive: {{{receive}}}}}]"
        );
        let config = Config::parse(&text, Path::new("mailtrip.yml"))
            .unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        let target = Arc::clone(config.targets.values().next().unwrap());
        Case { target, config, _alive: Box::new(alive) }
    }
}

fn lab_mailbox(keys: &str, Account { address, password }: &Account) -> String {
    format!("protocol: imap, {keys}, username: {address}, password: '{password}'")
}

/// Makes the fault that a row names.
async fn make(fault: &str) -> Case {
    match fault {
        "SMTP stopped" | "IMAP stopped" => stopped_service(fault).await,
        "certificate expired" | "IMAP hangs after the login" | "POP3 mailbox locked" => {
            embedded(fault).await
        }
        _ => in_shared_lab(fault).await,
    }
}

async fn stopped_service(fault: &str) -> Case {
    let lab = Lab::start().await;
    let reader = lab.user("reader", "secret").await;
    if fault == "SMTP stopped" {
        lab.stop_smtp().await;
    } else {
        lab.stop_service(Service::Imap).await;
    }
    Sides::of_lab(&lab, &reader).case(lab)
}

async fn embedded(fault: &str) -> Case {
    match fault {
        "certificate expired" => {
            let trust = Trust::new();
            let tls = trust.authority.server(Certificate::Expired).unwrap();
            let options = Options::new().implicit_tls(&tls);
            let world = World::with(Protocol::Imap, Options::new(), options).await;
            let sides = Sides::of_world(&world);
            let receive = sides.receive.replace("tls: none", "tls: implicit");
            let receive = format!("{receive}, tls_options: {}", trust.options());
            sides.receive(receive).case((world, trust))
        }
        "IMAP hangs after the login" => {
            let world = World::new(Protocol::Imap).await;
            world.mailbox.faults().on("LIST", Fault::Hang);
            Sides::of_world(&world).case(world)
        }
        _ => {
            let options = Options::new().exclusive();
            let world = World::with(Protocol::Pop3, Options::new(), options).await;
            let mut other = TcpStream::connect(world.mailbox.address()).await.unwrap();
            let login = format!("USER {USER}\r\nPASS {PASSWORD}\r\n");
            other.write_all(login.as_bytes()).await.unwrap();
            assert!(world.mailbox.wait_until(DEADLINE, |stats| stats.logins == 1).await);
            Sides::of_world(&world).case((world, other))
        }
    }
}

async fn in_shared_lab(fault: &str) -> Case {
    let lab = Lab::shared().await;
    let name: String = fault.chars().filter(char::is_ascii_alphanumeric).collect();
    let reader = lab.user(&format!("table-{}", name.to_lowercase()), "secret").await;
    let sides = Sides::of_lab(lab, &reader);
    let ports = lab.ports();
    let trusted = format!("tls_options: {{ca_file: {}}}", lab.ca_file().display());
    let sides = match fault {
        "host name wrong" => sides.send("host: mail.example.invalid, tls: none"),
        "certificate of an unknown authority" => sides.send(format!("port: {}", ports.smtp)),
        "STARTTLS not offered" => sides.send(format!("port: {}", ports.smtp_login)),
        "port for implicit TLS, `tls: starttls`" => {
            sides.receive(lab_mailbox(&format!("port: {}", ports.imaps), &reader))
        }
        "wrong password, sending" => sides.send(format!(
            "port: {}, {trusted}, username: {}, password: wrong",
            ports.submission,
            lab.sender().address
        )),
        "wrong password, reading" => {
            let stranger = Account { password: "wrong".into(), ..reader.clone() };
            sides.receive(lab_mailbox(&format!("port: {}, tls: none", ports.imap), &stranger))
        }
        "greylisting" => {
            lab.greylist(&reader);
            sides
        }
        "recipient rejected" => {
            lab.reject(&reader);
            sides
        }
        "mailbox full" => {
            lab.refuse(&reader, "452 4.2.2 mailbox full");
            sides
        }
        "mail stays in the queue" => {
            lab.hold(&reader);
            sides
        }
        _ => panic!("no test makes this fault: {fault}"),
    };
    sides.case(())
}

impl Row {
    /// The sentence as it is for this target.
    fn sentence_for(&self, target: &Target) -> String {
        let (endpoint, account) = match self.side {
            Some(Side::Send) => (&target.send.endpoint, target.send.login.as_ref()),
            Some(Side::Receive) => (
                &target.receive.as_ref().unwrap().endpoint,
                Some(&target.receive.as_ref().unwrap().login),
            ),
            None => (&target.send.endpoint, Some(&target.receive.as_ref().unwrap().login)),
        };
        let Endpoint { host, port, .. } = endpoint;
        self.sentence
            // In Markdown a bare one begins a tag.
            .replace("\\<", "<")
            .replace("HOST", host)
            .replace("PORT", &port.to_string())
            .replace("SENDER", target.from.as_ref())
            .replace("RECIPIENT", target.to.as_ref())
            .replace("ACCOUNT", account.map_or("", |login| login.username.as_str()))
    }
}

/// Whether the text is the pattern, in which `…` stands for anything.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split(ANYTHING);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}

/// What `probe` says is what the row says; gives what differs.
async fn compare_probe(row: &Row, case: &Case) -> Result<(), String> {
    let Case { target, .. } = case;
    let options = roundtrip::Options { place: "FILE".into(), ..Default::default() };
    let mut out = Vec::new();
    let verdict = roundtrip::run(target, &options, &mut Terminal::plain(&mut out), pending()).await;
    let text = String::from_utf8(out).unwrap();
    let wanted = row.sentence_for(target);
    let mut said = text.lines().filter_map(|line| line.strip_prefix("Verdict: "));
    if !said.any(|sentence| is_like(sentence, &wanted)) {
        return Err(format!("wanted: {wanted}\n{text}"));
    }
    let document = json::document(&verdict, target, &Thresholds::default(), false);
    for side in Side::ALL {
        let failure = &document["sides"][side.label()]["failure"];
        let (step, reason) = (&failure["step"], &failure["reason"]);
        let fits = match row.side {
            Some(failed) if failed == side => *step == row.step && *reason == row.reason,
            _ => failure.is_null(),
        };
        if !fits {
            return Err(format!("{side}: {document:#}"));
        }
    }
    Ok(())
}

/// The status page says the same, and the page of the target; gives what is missing.
async fn compare_page(row: &Row, case: &Case) -> Result<(), String> {
    let supervisor = Supervisor::start(case.config.clone(), None, origin()).await.unwrap();
    let (address, shutdown) = serve(&supervisor, false).await;
    let address = address.to_string();
    let wanted = row.words_of_page(&case.target);
    let deadline = Instant::now() + DEADLINE;
    let outcome = loop {
        let pages = [page(&address, "/").await, page(&address, "/targets/mailserver").await];
        let missing =
            wanted.iter().find(|words| !pages.iter().all(|page| page.contains(words.as_str())));
        match missing {
            None => break Ok(()),
            Some(words) if Instant::now() >= deadline => {
                let mut text = format!("a page lacks {words:?}");
                let _ = write!(text, ":\n{}", pages.join("\n\n"));
                break Err(text);
            }
            Some(_) => sleep(Duration::from_millis(50)).await,
        }
    };
    drop(shutdown);
    supervisor.stop().await;
    outcome
}

impl Row {
    /// What of the row stands on the page: step and reason, the cause, and what to do.
    fn words_of_page(&self, target: &Target) -> Vec<String> {
        // What stands between backticks is marked up on the page.
        let sentence =
            self.sentence_for(target).replace("FILE", "the configuration").replace('`', "");
        let (Some(side), Some((_, rest))) = (self.side, sentence.split_once("): ")) else {
            let (_, advice) = sentence.rsplit_once("; ").expect("an advice");
            return vec![advice.to_owned()];
        };
        let what = if self.step == "remove" { "remove mail" } else { side.label() };
        let headline = format!("Cannot {what}: step {}, reason {}, ", self.step, self.reason);
        let parts = rest.split([ANYTHING, ';']).map(str::trim).filter(|part| !part.is_empty());
        [headline].into_iter().chain(parts.map(str::to_owned)).collect()
    }
}

/// What a reader of a page sees.
async fn page(address: &str, path: &str) -> String {
    let answer = http::get(address, path).await;
    let page = answer.text();
    let (_, main) = page.split_once("<main").unwrap_or_else(|| panic!("{page}"));
    let mut text = String::new();
    for part in main.split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_, text)| text));
    }
    for (escaped, character) in
        [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")]
    {
        text = text.replace(escaped, character);
    }
    text
}

/// What differs from the row.
async fn check(row: Row) -> Vec<String> {
    let case = make(&row.fault).await;
    let outcomes = [compare_probe(&row, &case).await, compare_page(&row, &case).await];
    let differs = outcomes.into_iter().filter_map(Result::err);
    differs.map(|text| format!("{}: {text}", row.fault)).collect()
}

#[tokio::test]
async fn each_fault_of_the_readme_is_told_as_it_says() {
    let rows = table();
    assert!(rows.len() >= 10, "{rows:#?}");
    let mut tasks = JoinSet::new();
    let local = LocalSet::new();
    for row in rows {
        tasks.spawn_local_on(check(row), &local);
    }
    let differs = local.run_until(tasks.join_all()).await.concat();
    assert!(differs.is_empty(), "{} differ:\n\n{}", differs.len(), differs.join("\n\n"));
}

#[test]
fn an_ellipsis_stands_for_anything_and_nothing_else_does() {
    assert!(is_like("ab cd ef", "ab … ef") && is_like("abc", "abc") && is_like("a1b2c", "a…b…c"));
    for text in ["ab cd eg", "xab cd ef", "ab ef"] {
        assert!(!is_like(text, "ab … ef"), "{text}");
    }
}

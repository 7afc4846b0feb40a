//! `mailtrip_exporter probe` as its user sees it: the printed text, the verdict, the mailbox after.

use std::future::{pending, ready};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ledger::Token;
use mailtrip_exporter::config::{Config, Target};
use mailtrip_exporter::roundtrip::state::Thresholds;
use mailtrip_exporter::roundtrip::{self, Options, Terminal, Verdict, json, nagios};
use testserver::faults::{self, Fault};
use testserver::{
    Authority, Certificate, Delivery, Options as ServerOptions, Post, Protocol, Server,
};

use crate::support::mails::mail_date;
use crate::support::mails::report;
use crate::support::say;

const USER: &str = "rita";
const PASSWORD: &str = "pass-word-7";
const DEADLINE: Duration = Duration::from_secs(20);

/// An SMTP server and a mailbox with a foreign mail in it.
struct House {
    post: Post,
    smtp: Server,
    mailbox: Server,
}

impl House {
    async fn new(protocol: Protocol) -> Self {
        Self::with(protocol, ServerOptions::new(), ServerOptions::new()).await
    }

    async fn with(protocol: Protocol, smtp: ServerOptions, mailbox: ServerOptions) -> Self {
        let post = Post::new();
        post.add_account(USER, PASSWORD, &["to@example.test"]);
        post.insert(USER, "INBOX", b"Subject: Mail round-trip test\r\n\r\nnot ours\r\n");
        let smtp = Server::start(Protocol::Smtp, &post, smtp).await.unwrap();
        let mailbox = Server::start(protocol, &post, mailbox).await.unwrap();
        Self { post, smtp, mailbox }
    }

    /// The target, with more keys of its own, of `send` and of `receive`.
    fn target(&self, more: &str, send: &str, receive: &str) -> Arc<Target> {
        let protocol = match self.mailbox.protocol() {
            Protocol::Pop3 => "pop3",
            _ => "imap",
        };
        let (smtp, mailbox) = (self.smtp.port(), self.mailbox.port());
        config(&format!(
            "targets:\n- name: corp\n  host: 127.0.0.1\n  from: from@example.test\n  \
             to: to@example.test\n  {more}\n  \
             send: {{tls: none, port: {smtp}, {send}}}\n  \
             receive: {{protocol: {protocol}, tls: none, port: {mailbox}, username: {USER}, \
             password: {PASSWORD}, {receive}}}\n"
        ))
        .targets
        .into_values()
        .next()
        .unwrap()
    }

    /// Nothing of ours is left, and what is foreign is as it was.
    fn assert_untouched(&self) {
        let mails = self.post.messages(USER, "INBOX");
        assert_eq!(mails.len(), 1, "{mails:?}");
        assert!(mails[0].bytes.ends_with(b"not ours\r\n"));
        assert!(mails[0].flags.is_empty(), "{:?}", mails[0].flags);
        assert_eq!(self.post.messages(USER, "Junk"), []);
    }
}

fn config(text: &str) -> Config {
    Config::parse(text, Path::new("mailtrip.yml")).unwrap_or_else(|problems| panic!("{problems}"))
}

fn within(timeout: Duration) -> Options {
    Options {
        timeout: Some(timeout),
        host: Some("monitor.example.test".into()),
        place: "mailtrip.yml:2".into(),
        shows_transcript: false,
        ..Options::default()
    }
}

/// Runs a probe that nobody interrupts; the verdict, and what was printed.
async fn probe(target: &Target, timeout: Duration) -> (Verdict, String) {
    let mut out = Vec::new();
    let mut terminal = Terminal::plain(&mut out);
    let verdict = roundtrip::run(target, &within(timeout), &mut terminal, pending()).await;
    (verdict, String::from_utf8(out).unwrap())
}

/// The words of each line that begins with `step`.
fn rows<'a>(text: &'a str, step: &str) -> Vec<&'a str> {
    let is_row = |line: &&str| line.split_whitespace().next() == Some(step);
    text.lines().filter(is_row).collect()
}

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

#[tokio::test]
async fn a_good_server_is_shown_step_by_step_and_left_as_it_was() {
    let house = House::new(Protocol::Imap).await;
    let target = house.target("interval: 1m", "", "");
    let (verdict, text) = probe(&target, DEADLINE).await;
    assert!(verdict.is_good(), "{text}");
    house.assert_untouched();
    let (smtp, imap) = (house.smtp.address(), house.mailbox.address());
    assert_has(
        &text,
        &[
            "corp: mail from from@example.test to to@example.test\n",
            &format!("\nreceive  imap {imap}\n"),
            &format!("\nsend     smtp {smtp}\n"),
            "\nVerdict: corp works: sent in 0.",
            ", received after 0.",
        ],
    );
    let steps = |text: &str| -> Vec<String> {
        let rows = text.lines().filter_map(|line| line.strip_prefix("  "));
        rows.map(|row| row.split(' ').next().unwrap().to_owned()).collect()
    };
    let (receive, rest) = text.split_once("\nsend     ").unwrap();
    let (send, removal) = rest.split_once("\nwaiting  seen after 0.").unwrap();
    let (removal, way) = removal.split_once("\nway      1 hop\n  submission ").unwrap();
    assert_has(way, &["under 1 s   demo.mailtrip.test\n  mailbox "]);
    let expected = ["dns", "connect", "greeting", "auth", "select", "fetch"];
    assert_eq!(steps(receive), expected, "{text}");
    assert_eq!(steps(send), ["dns", "connect", "greeting", "envelope", "data"], "{text}");
    assert_eq!(steps(removal), ["remove"], "{text}");
    assert!(rows(&text, "connect")[0].ends_with(&format!("   connected to {imap}")), "{text}");
    assert!(rows(&text, "greeting")[1].contains("   220 demo.mailtrip.test "), "{text}");
    assert!(rows(&text, "data")[0].contains("   250 2.0.0 Ok: queued as "), "{text}");
    assert!(rows(&text, "connect")[0].contains(" ms   "), "{text}");
    assert!(rows(&text, "select")[0].contains("SELECT \"Junk\", SELECT \"INBOX\": "), "{text}");
    assert!(!text.contains('\x1b'), "{text:?}");
    assert_eq!(house.mailbox.stats().logins, 1);
    assert!(house.smtp.sessions()[0].received_contains(b"EHLO monitor.example.test"));
    assert!(house.smtp.sessions()[0].received_contains(b"QUIT"));
}

#[tokio::test]
async fn pop3_is_looked_at_by_sessions_and_the_mail_is_gone_afterwards() {
    let house =
        House::with(Protocol::Pop3, ServerOptions::new(), ServerOptions::new().exclusive()).await;
    house.post.deliver_next(USER, Delivery::at_once().after(Duration::from_millis(800)));
    let (verdict, text) = probe(&house.target("", "", ""), DEADLINE).await;
    assert!(verdict.is_good(), "{text}");
    house.assert_untouched();
    assert_has(&text, &[&format!("receive  pop3 {}", house.mailbox.address())]);
    assert_eq!(rows(&text, "auth").len(), 1, "the sessions of the looks are not shown: {text}");
    assert_eq!(rows(&text, "remove").len(), 1, "{text}");
    let looks = house.mailbox.stats().logins - 1;
    assert!(looks > 1, "{text}");
    assert_has(&text, &["waiting  seen after ", &format!("({looks} looks)")]);
}

#[tokio::test]
async fn a_mail_in_the_junk_folder_is_found_and_called_so() {
    let house = House::new(Protocol::Imap).await;
    let late = Delivery::at_once().after(Duration::from_millis(300)).into_folder("Junk");
    house.post.deliver_next(USER, late);
    let (verdict, text) = probe(&house.target("", "", ""), Duration::from_secs(4)).await;
    assert!(verdict.is_good(), "{text}");
    assert_has(&text, &[", but filed as junk\n"]);
    house.assert_untouched();
}

#[tokio::test]
async fn tls_is_shown_and_an_unknown_authority_is_named() {
    let authority = Authority::new().unwrap();
    let tls = authority.server(Certificate::Good).unwrap();
    let house = House::with(
        Protocol::Imap,
        ServerOptions::new().starttls(&tls),
        ServerOptions::new().implicit_tls(&tls),
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, authority.ca_pem().unwrap()).unwrap();
    let trust = format!("tls_options: {{ca_file: {}}}", ca_file.display());
    let yaml = |send: &str, receive: &str| {
        let text = format!(
            "targets:\n- name: corp\n  host: localhost\n  ip_family: 4\n  from: f@example.test\n  \
             to: to@example.test\n  send: {{port: {}, {send}}}\n  receive: {{protocol: imap, \
             tls: implicit, port: {}, username: {USER}, password: {PASSWORD}, {receive}}}\n  \
             mail: {{subject: '{{time}} {{token}}'}}\n",
            house.smtp.port(),
            house.mailbox.port()
        );
        config(&text).targets.into_values().next().unwrap()
    };
    let (verdict, text) = probe(&yaml(&trust, &trust), DEADLINE).await;
    assert!(verdict.is_good(), "{text}");
    assert_eq!(rows(&text, "tls").len(), 2, "{text}");
    assert!(rows(&text, "tls").iter().all(|row| row.contains("TLSv1.3 TLS_")), "{text}");

    // What is in the Subject is the time of the mail, and not that of the probe.
    let delay = Duration::from_millis(1100);
    house.smtp.faults().on(faults::GREETING, Fault::delay(delay));
    let (verdict, text) = probe(&yaml(&trust, ""), DEADLINE).await;
    assert!(!verdict.is_good());
    assert_has(
        &text,
        &[
            "Verdict: corp cannot receive (side receive, step tls, reason certificate_untrusted): ",
            "name its authority in `tls_options: {ca_file: ...}` under `receive` in mailtrip.yml:2\n",
            "The mail may still arrive: an exporter that watches this mailbox, or a later `probe`, removes it after 1day",
        ],
    );
    let mails = house.post.messages(USER, "INBOX");
    let mail = String::from_utf8(mails.last().unwrap().bytes.to_vec()).unwrap();
    let subject = mail.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap();
    assert_has(&text, &[&format!("delete the mail with the subject \"{subject}\" by hand\n")]);
}

#[tokio::test]
async fn a_refused_login_names_the_side_and_what_to_check() {
    let house = House::new(Protocol::Imap).await;
    let target = house.target("", "username: sam, password: wrong-one", "");
    let (verdict, text) = probe(&target, DEADLINE).await;
    assert!(!verdict.is_good());
    assert!(rows(&text, "auth")[1].contains("   failed: the login as sam was refused: 535 "));
    assert_has(
        &text,
        &[
            "Verdict: corp cannot send (side send, step auth, reason auth): the login as sam",
            "; check `username`, the password and `auth` under `send` in mailtrip.yml:2\n",
        ],
    );
    assert_eq!(text.matches("Verdict:").count(), 1, "the other side is fine: {text}");
    assert!(!text.contains("waiting") && !text.contains("may still arrive"), "{text}");
    house.assert_untouched();

    house.post.set_password(USER, "another");
    let (verdict, text) = probe(&house.target("", "", ""), DEADLINE).await;
    assert!(!verdict.is_good());
    assert_has(
        &text,
        &["Verdict: corp cannot receive (side receive, step auth, reason auth): ", "data "],
    );
    assert_eq!(house.smtp.stats().mails_accepted, 1, "a broken mailbox does not stop sending");
}

#[tokio::test]
async fn a_refused_connection_names_host_and_port_and_the_other_side_is_still_judged() {
    let mut house = House::new(Protocol::Pop3).await;
    house.smtp.stop().await;
    let target = house.target("", "", "");
    let (verdict, text) = probe(&target, DEADLINE).await;
    assert!(!verdict.is_good());
    assert_eq!(rows(&text, "select").len(), 1, "the mailbox was read: {text}");
    let port = house.smtp.port();
    assert_has(
        &text,
        &[
            "Verdict: corp cannot send (side send, step connect, reason refused): ",
            &format!("check that SMTP runs on 127.0.0.1 and listens on port {port}\n"),
        ],
    );
    house.mailbox.stop().await;
    let (_, text) = probe(&target, DEADLINE).await;
    assert_eq!(text.matches("Verdict: corp cannot ").count(), 2, "{text}");
}

#[tokio::test]
async fn a_passive_node_that_is_down_is_not_applicable() {
    let mut house = House::new(Protocol::Imap).await;
    house.smtp.stop().await;
    house.mailbox.stop().await;
    let (verdict, text) = probe(&house.target("passive: true", "", ""), DEADLINE).await;
    assert!(!verdict.is_good());
    assert_eq!(text.matches("corp is passive and down: not applicable (").count(), 2, "{text}");
    assert!(!text.contains("cannot send"), "{text}");
}

#[tokio::test]
async fn a_lost_mail_is_waited_for_as_long_as_told_and_its_trail_is_named() {
    let house = House::new(Protocol::Imap).await;
    house.post.deliver_next(USER, Delivery::lost());
    let began = Instant::now();
    let (verdict, text) = probe(&house.target("", "", ""), Duration::from_millis(700)).await;
    assert!(!verdict.is_good());
    assert!(began.elapsed() >= Duration::from_millis(630), "{text}");
    let reply = rows(&text, "data")[0].split("   ").last().unwrap().trim();
    assert_has(
        &text,
        &[
            "\nwaiting  not seen within 0.",
            &format!("Verdict: corp accepted the mail (\"{reply}\"), but it was not seen in the "),
            "; look into the queue and the log of 127.0.0.1 for the mail to to@example.test, and ",
            "check that such mail comes into the mailbox of rita\n",
            "\nThe mail may still arrive: ",
        ],
    );
    house.assert_untouched();
}

#[tokio::test]
async fn without_a_timeout_late_after_ends_the_waiting() {
    let house = House::new(Protocol::Pop3).await;
    house.post.deliver_next(USER, Delivery::lost());
    let target = house.target("late_after: 1s", "", "");
    let mut out = Vec::new();
    let mut terminal = Terminal::plain(&mut out);
    let verdict = roundtrip::run(&target, &Options::default(), &mut terminal, pending()).await;
    assert!(!verdict.is_good());
    assert_has(&String::from_utf8(out).unwrap(), &["waiting  not seen within 1 s ("]);
}

/// Answers the mail of a probe once it was handed over.
async fn answer(house: &House) {
    let mails = || -> String {
        let sessions = house.smtp.sessions();
        sessions.iter().map(|it| String::from_utf8_lossy(&it.received).into_owned()).collect()
    };
    let sent = house.smtp.wait_until(DEADLINE, |_| mails().contains("\r\n.\r\n")).await;
    assert!(sent, "{}", mails());
    let token = Token::find(mails().split("Subject: ").nth(1).unwrap_or_default()).unwrap();
    let answer = format!(
        "From: echo@other.test\r\nDate: {}\r\nSubject: Received\r\nIn-Reply-To: \
         <{token}.mailtrip@example.test>\r\n\r\nYes.\r\n",
        mail_date(SystemTime::now())
    );
    house.post.insert(USER, "INBOX", answer.as_bytes());
}

#[tokio::test]
async fn an_answer_that_is_waited_for_is_found_told_and_removed() {
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        let house = House::new(protocol).await;
        house.post.deliver_next(USER, Delivery::lost());
        let target = house.target("match: reply", "", "");
        let ((verdict, text), ()) = tokio::join!(probe(&target, DEADLINE), answer(&house));
        assert!(verdict.is_good(), "{text}");
        assert_has(&text, &["  out ", ", back "]);
        let document = json::document(&verdict, &target, &Thresholds::default(), false);
        let ways = &document["way"]["there_and_back"];
        assert_eq!(ways["answer"], true, "{document:#}");
        assert!(ways["out_seconds"].is_number() && ways["back_seconds"].is_number(), "{ways:#}");
        house.assert_untouched();
    }
}

#[tokio::test]
async fn that_no_answer_came_is_said_and_what_to_do_with_one_that_follows() {
    let house = House::new(Protocol::Pop3).await;
    house.post.deliver_next(USER, Delivery::lost());
    let target = house.target("match: reply\n  late_after: 1s", "", "");
    let mut out = Vec::new();
    let mut terminal = Terminal::plain(&mut out);
    let verdict = roundtrip::run(&target, &Options::default(), &mut terminal, pending()).await;
    assert!(!verdict.is_good());
    let words = [
        "but no answer was seen in the mailbox within",
        "An answer may still come, and stays in the mailbox: delete what answers the mail with the subject",
    ];
    assert_has(&String::from_utf8(out).unwrap(), &words);
}

#[tokio::test]
async fn a_slow_server_says_which_answer_did_not_come() {
    let house = House::new(Protocol::Imap).await;
    house.smtp.faults().once("RCPT", Fault::Hang);
    let (verdict, text) = probe(&house.target("timeout: 500ms", "", ""), DEADLINE).await;
    assert!(!verdict.is_good());
    assert_has(
        &text,
        &[
            "(side send, step envelope, reason timeout): no answer to RCPT TO:<to@example.test>",
            "raise `timeout` (500ms) in mailtrip.yml:2\n",
        ],
    );
    house.assert_untouched();
}

#[tokio::test]
async fn what_a_hostile_server_says_cannot_reach_the_terminal() {
    let house = House::new(Protocol::Imap).await;
    house.smtp.faults().once(faults::AFTER_DATA, Fault::reply("554 \x1b[2Jgone \u{202e}txt"));
    house.mailbox.faults().once(faults::GREETING, Fault::reply("* OK \x1b]0;owned\x07 hi"));
    let target = house.target("", "", "");
    let (verdict, text) = probe(&target, DEADLINE).await;
    assert!(!verdict.is_good());
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'));
    assert_has(
        &text,
        &["* OK \\u{1b}]0;owned\\u{7} hi", "554 \\u{1b}[2Jgone \\u{202e}txt", "reason rejected"],
    );

    house.smtp.faults().once(faults::GREETING, Fault::reply(format!("220 {}", "long ".repeat(99))));
    let mut out = Vec::new();
    let mut terminal = Terminal::interactive(&mut out, 60, false);
    let verdict = roundtrip::run(&target, &within(DEADLINE), &mut terminal, pending()).await;
    let text = String::from_utf8(out).unwrap();
    assert!(verdict.is_good(), "{text}");
    let row = rows(&text, "greeting")[1];
    assert!(row.chars().count() == 60 && row.ends_with("long l…"), "{row:?}");
}

#[tokio::test]
async fn a_password_that_a_server_echoes_is_not_shown() {
    let house = House::new(Protocol::Imap).await;
    let echo = Fault::reply("{tag} NO not {password} nor {base64}, dear {user}");
    house.mailbox.faults().on(faults::CREDENTIALS, echo);
    let echo = Fault::reply("535 5.7.8 {password} {base64} is wrong");
    house.smtp.faults().on(faults::CREDENTIALS, echo);
    let target = house.target("", "username: sam, password: s3cret-of-sam", "");
    let (_, text) = probe(&target, DEADLINE).await;
    for secret in [PASSWORD, "s3cret-of-sam"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert_has(&text, &["NO not <secret>", "535 5.7.8 <secret>"]);
}

#[tokio::test]
async fn a_mail_without_a_reply_is_looked_for_and_told_as_doubtful() {
    let house = House::new(Protocol::Imap).await;
    house.smtp.faults().once(faults::ACCEPTED, Fault::Close);
    let target = house.target("", "", "");
    let (verdict, text) = probe(&target, DEADLINE).await;
    assert!(!verdict.is_good());
    assert_has(
        &text,
        &[
            "(side send, step data, reason closed): the server closed the connection in answer \
             to the final dot; ",
            "; the mail arrived nevertheless, after ",
        ],
    );
    house.assert_untouched();

    house.post.deliver_next(USER, Delivery::lost());
    house.smtp.faults().once(faults::ACCEPTED, Fault::Close);
    let (_, text) = probe(&target, DEADLINE).await;
    assert_has(
        &text,
        &["; it is unknown whether the server has the mail\n", "The mail may still arrive"],
    );
}

#[tokio::test]
async fn a_look_that_fails_is_told_and_the_waiting_goes_on() {
    let house = House::new(Protocol::Imap).await;
    house.mailbox.faults().once("NOOP", Fault::Close);
    house.post.deliver_next(USER, Delivery::at_once().after(Duration::from_millis(200)));
    let (verdict, text) = probe(&house.target("", "", ""), DEADLINE).await;
    assert!(verdict.is_good(), "{text}");
    assert_has(&text, &["  a look failed: fetch: the server closed the connection"]);
    assert_eq!(house.mailbox.stats().logins, 2);
    house.assert_untouched();
}

#[tokio::test]
async fn a_mail_that_cannot_be_removed_is_told() {
    let house = House::new(Protocol::Imap).await;
    house.mailbox.faults().on("UID STORE", Fault::reply("{tag} NO [NOPERM] read only"));
    let (verdict, text) = probe(&house.target("", "", ""), DEADLINE).await;
    assert!(!verdict.is_good());
    assert!(rows(&text, "remove")[0].contains("failed: "), "{text}");
    assert_has(
        &text,
        &[
            "Verdict: corp delivers, but the mail could not be removed (side receive, step remove",
            "The mail is still in the mailbox: ",
        ],
    );
}

#[tokio::test]
async fn a_mail_that_is_only_marked_is_told() {
    let house = House::new(Protocol::Imap).await;
    house.mailbox.faults().leave_out("UIDPLUS");
    let login = format!("a LOGIN {USER} \"{PASSWORD}\"");
    let mark = "c UID STORE 1 +FLAGS (\\Deleted)";
    say(&house.mailbox, &[&login, "b SELECT INBOX", mark, "e LOGOUT"]).await;
    let (verdict, text) = probe(&house.target("", "", ""), DEADLINE).await;
    assert!(!verdict.is_good());
    assert_has(
        &text,
        &[
            "Verdict: corp delivers, but the mail could not be removed (side receive, step remove, \
             reason marked): 1 of our mails stay in the folder INBOX, marked as deleted: ",
            "take out, or unmark, the mail of somebody else that is marked as deleted",
        ],
    );
    assert_eq!(house.post.messages(USER, "INBOX").len(), 2, "nobody's mail is taken out");
}

#[tokio::test]
async fn left_overs_whose_time_has_passed_are_removed_whoever_sent_them() {
    const HOUR: Duration = Duration::from_secs(3600);
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        let house = House::new(protocol).await;
        let now = SystemTime::now();
        let insert = |expires: SystemTime, arrived: SystemTime| {
            let mail = format!(
                "Received: from a by b; {}\r\nX-Mailtrip: v=1; token={}; target=t; instance={}; \
                 sent={}; expires={}\r\n\r\ntest\r\n",
                mail_date(arrived),
                Token::random(),
                Token::random(),
                humantime::format_rfc3339_seconds(expires - 24 * HOUR),
                humantime::format_rfc3339_seconds(expires),
            );
            house.post.insert_dated(USER, "INBOX", mail.as_bytes(), arrived)
        };
        insert(now - HOUR, now - 25 * HOUR);
        let kept = [insert(now + HOUR, now - 25 * HOUR), insert(now - HOUR, now - 23 * HOUR)];
        let (verdict, text) = probe(&house.target("", "", ""), DEADLINE).await;
        assert!(verdict.is_good(), "{text}");
        let mails = house.post.messages(USER, "INBOX");
        let uids: Vec<_> = mails.iter().skip(1).map(|mail| Some(mail.uid)).collect();
        assert_eq!(uids, kept, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_mail_that_is_not_seen_may_be_junk_where_no_folder_is_known_for_it() {
    let house = House::new(Protocol::Imap).await;
    house.post.set_delivery(USER, Delivery::lost());
    let words = "no junk folder was searched";
    let (_, text) = probe(&house.target("late_after: 1s", "", ""), DEADLINE).await;
    assert!(!text.contains(words), "there is one: {text}");
    house.mailbox.faults().on("LIST", Fault::reply("{tag} OK done"));
    let (_, text) = probe(&house.target("late_after: 1s", "", ""), DEADLINE).await;
    assert_has(&text, &[words, "name it under `folders` of `receive`"]);
}

#[tokio::test]
async fn ctrl_c_ends_the_waiting_and_says_that_the_mail_may_still_arrive() {
    let house = House::new(Protocol::Imap).await;
    house.post.deliver_next(USER, Delivery::held());
    let target = house.target("", "", "");
    let mut out = Vec::new();
    let mut terminal = Terminal::interactive(&mut out, 100, true);
    let pressed = async {
        assert!(house.mailbox.wait_until(DEADLINE, |stats| stats.count("NOOP") >= 9).await);
    };
    let verdict = roundtrip::run(&target, &within(DEADLINE), &mut terminal, pressed).await;
    let text = String::from_utf8(out).unwrap();
    assert!(!verdict.is_good());
    assert_has(
        &text,
        &[
            "\r\x1b[Kwaiting  0 s of 19 s, ",
            "\x1b[1;31mVerdict: \x1b[0mcorp was not fully tested: interrupted\n",
            "The mail may still arrive: ",
        ],
    );

    let mut out = Vec::new();
    let verdict =
        roundtrip::run(&target, &within(DEADLINE), &mut Terminal::plain(&mut out), ready(())).await;
    assert!(!verdict.is_good());
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text, "Verdict: corp was not fully tested: interrupted\n");
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    let target = |name: &str| {
        format!(
            "- {{name: {name}, host: localhost, from: a@b.test, to: c@d.test, receive: {{protocol: \
             imap, username: u, password: p}}}}\n"
        )
    };
    let names = ["mailserver", "mailserver-b", "exchange", "relay", "backup"];
    let config = config(&format!("targets:\n{}", names.map(target).concat()));
    assert_eq!(roundtrip::find(&config, "relay").unwrap().name.as_str(), "relay");
    assert_eq!(
        roundtrip::find(&config, "Mailsrver").unwrap_err().to_string(),
        "the configuration has no target `Mailsrver`; the nearest are `mailserver`, \
         `mailserver-b`, `backup`, and 2 more"
    );
}

#[tokio::test]
async fn a_bounce_ends_the_waiting_wherever_it_comes_and_is_removed() {
    for (protocol, account) in [
        (Protocol::Imap, USER),
        (Protocol::Pop3, USER),
        (Protocol::Imap, "sam"),
        (Protocol::Pop3, "sam"),
    ] {
        let house = House::new(protocol).await;
        house.post.add_account("sam", "s3cret-of-sam", &["from@example.test"]);
        house.post.set_delivery(USER, Delivery::lost());
        let own = format!(
            "sender_mailbox: {{protocol: {}, port: {}, tls: none, username: sam, password: \
             s3cret-of-sam}}",
            if protocol == Protocol::Imap { "imap" } else { "pop3" },
            house.mailbox.port(),
        );
        let target = house.target(if account == "sam" { &own } else { "" }, "", "");
        let before = house.post.messages(account, "INBOX").len();
        let bounce = async {
            assert!(house.smtp.wait_until(DEADLINE, |stats| stats.mails_accepted == 1).await);
            let session = house.smtp.sessions().remove(0);
            let text = String::from_utf8_lossy(&session.received).into_owned();
            let mail = text.split("DATA\r\n").nth(1).unwrap();
            for about in ["Subject: of another", mail] {
                let report = report(about, "failed", "5.1.1");
                house.post.insert(account, "INBOX", report.as_bytes());
            }
        };
        let ((verdict, text), ()) = tokio::join!(probe(&target, DEADLINE), bounce);
        assert!(!verdict.is_good());
        assert_has(
            &text,
            &[
                "\nwaiting  bounced after ",
                "Verdict: corp accepted the mail, but it bounced: 5.1.1, mx.example.test, \"550 ",
                "\\u{1b}[31mhere",
                "; check that the address to@example.test exists there and takes mail",
            ],
        );
        assert!(!text.contains("may still arrive"), "{text}");
        let left = house.post.messages(account, "INBOX").len();
        assert_eq!(left, before + 1, "ours is removed, the other stays");
        let document = json::document(&verdict, &target, &Thresholds::default(), false);
        assert_eq!(document["sides"]["receive"]["outcome"], "bounced", "{document:#}");
        assert_eq!(document["report"]["action"], "failed");
        assert_eq!(document["report"]["code"], "5.1.1");
        assert_eq!(document["report"]["remote_server"], "mx.example.test");
        let (state, line) = nagios::line(&verdict, &target, &Thresholds::default());
        assert_eq!(state.exit_code(), 2);
        assert!(line.contains("but it bounced: 5.1.1, mx.example.test"), "{line}");
    }
}

#[tokio::test]
async fn a_mail_of_its_own_form_is_told_by_its_subject_and_its_size() {
    let house = House::new(Protocol::Imap).await;
    let mail = "mail: {subject: 'Invoice {token}', size: 200kB, attachment: {name: a.pdf}}";
    let target = house.target(mail, "", "");
    let (verdict, _) = probe(&target, DEADLINE).await;
    assert!(verdict.is_good());
    let document = json::document(&verdict, &target, &Thresholds::default(), false);
    assert_eq!(document["mail"]["bytes"], 200_000, "{document:#}");
    assert_eq!(document["mail"]["subject"], format!("Invoice {}", verdict.token));
}

#[tokio::test]
async fn a_delay_is_told_with_the_verdict_and_a_blind_eye_as_well() {
    let house = House::new(Protocol::Imap).await;
    house.post.set_delivery(USER, Delivery::lost());
    let own = format!(
        "sender_mailbox: {{protocol: imap, port: {}, tls: none, username: sam, password: not-his}}",
        house.mailbox.port()
    );
    let target = house.target(&own, "", "");
    let delay = async {
        assert!(house.smtp.wait_until(DEADLINE, |stats| stats.mails_accepted == 1).await);
        let session = house.smtp.sessions().remove(0);
        let text = String::from_utf8_lossy(&session.received).into_owned();
        let report = report(text.split("DATA\r\n").nth(1).unwrap(), "delayed", "4.4.1");
        house.post.insert(USER, "INBOX", report.as_bytes());
    };
    let ((verdict, text), ()) = tokio::join!(probe(&target, Duration::from_secs(4)), delay);
    assert!(!verdict.is_good());
    assert_has(
        &text,
        &[
            ", and a delivery report says that it is delayed: 4.4.1, mx.example.test, \"550 4.4.1 ",
            "The sender's own mailbox could not be searched for a bounce (step auth, reason auth)",
            "The mail may still arrive",
        ],
    );
    house.assert_untouched();
    let logins = house.mailbox.sessions();
    let refused = logins.iter().filter(|session| session.user.is_none()).count();
    assert!((1..=2).contains(&refused), "a wrong password is not tried over and over: {refused}");
}

#[tokio::test]
async fn the_time_between_two_logins_is_kept_and_told() {
    let house = House::new(Protocol::Pop3).await;
    house.mailbox.faults().offer("LOGIN-DELAY 2");
    let target = house.target("interval: 1s", "", "");
    // Without a limit it is waited until the server allows a look.
    let mut options = within(DEADLINE);
    options.timeout = None;
    let mut out = Vec::new();
    let verdict =
        roundtrip::run(&target, &options, &mut Terminal::plain(&mut out), pending()).await;
    let text = String::from_utf8(out).unwrap();
    assert!(verdict.is_good(), "{text}");
    assert!(verdict.took >= Duration::from_millis(1900), "{:?}", verdict.took);
    assert_has(&text, &["every 2 s and not every 1 s"]);
    house.assert_untouched();

    house.mailbox.faults().clear();
    house.mailbox.faults().offer("LOGIN-DELAY 60");
    let (verdict, text) = probe(&target, Duration::from_secs(5)).await;
    assert!(!verdict.is_good());
    assert_has(
        &text,
        &["allows the next login only 60 s after the check (LOGIN-DELAY)", "`--timeout` is 5s"],
    );
    assert!(verdict.took < Duration::from_secs(5), "{:?}", verdict.took);
    let logins = house
        .mailbox
        .sessions()
        .iter()
        .filter(|it| it.commands.iter().any(|it| it.line == "STAT"))
        .count();
    assert_eq!(logins, 3, "two in the first probe, the check in the second");
}

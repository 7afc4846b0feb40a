//! The lab does what it says: what the other tests rest on. The client here is curl.

use std::io;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::lab::claim::Block;
use crate::lab::{Account, DOMAIN, HOST, Imap, Lab, Service, until};

/// Runs curl with `input` as its standard input and tells whether it succeeded, and what it said.
async fn curl(lab: &Lab, url: &str, arguments: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--verbose", "--max-time", "20", "--cacert"]);
    command.arg(lab.ca_file()).args(arguments).arg(url).kill_on_drop(true);
    let output = output_for(&mut command, input)
        .await
        .unwrap_or_else(|error| panic!("curl cannot be run: {error}"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

async fn output_for(command: &mut Command, input: &str) -> io::Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that gave up early does not read it; its output says why.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    child.wait_with_output().await
}

/// Sends a mail from the lab's sender through an SMTP service.
async fn send_by(lab: &Lab, url: &str, options: &[&str], to: &Account) -> (bool, String) {
    let envelope = ["--mail-from", &lab.sender().address, "--mail-rcpt", &to.address, "-T", "-"];
    let mail = "Subject: proof\r\n\r\nHello\r\n";
    curl(lab, url, &[options, &envelope].concat(), mail).await
}

/// Sends a mail through the port that needs no login.
async fn send(lab: &Lab, to: &Account) -> (bool, String) {
    send_by(lab, &format!("smtp://127.0.0.1:{}", lab.ports().smtp), &[], to).await
}

async fn send_accepted(lab: &Lab, to: &Account) {
    let (accepted, said) = send(lab, to).await;
    assert!(accepted, "{said}");
}

fn login(account: &Account) -> String {
    format!("{}:{}", account.address, account.password)
}

#[tokio::test]
async fn every_smtp_port_takes_mail_on_both_addresses() {
    let lab = Lab::shared().await;
    let receiver = lab.user("ports", "secret").await;
    let ports = lab.ports();
    let user = login(lab.sender());
    let ways = [
        ("smtp", ports.smtp, vec![]),
        ("smtp", ports.smtp, vec!["--ssl-reqd"]),
        ("smtp", ports.smtp_login, vec!["--user", &user]),
        ("smtp", ports.submission, vec!["--ssl-reqd", "--user", &user]),
        ("smtps", ports.smtps, vec!["--user", &user]),
    ];
    let mut sent = 0;
    for host in ["127.0.0.1", "[::1]", "localhost"] {
        for (scheme, port, options) in &ways {
            let url = format!("{scheme}://{host}:{port}");
            let (accepted, said) = send_by(lab, &url, options, &receiver).await;
            assert!(accepted, "{url} {options:?}: {said}");
            sent += 1;
        }
    }
    let mails = lab.wait_for_mails(&receiver, sent).await;
    assert!(mails.iter().all(|mail| mail.folder == "INBOX" && mail.flags.is_empty()));
    assert!(mails[0].text().contains("Subject: proof"), "{}", mails[0].text());
    assert!(lab.smtp_log().contains("status=sent"));
}

#[tokio::test]
async fn ports_that_need_a_login_refuse_mail_without() {
    let lab = Lab::shared().await;
    let receiver = lab.user("login-needed", "secret").await;
    let ports = lab.ports();
    let wrong = format!("{}:wrong", lab.sender().address);
    for (scheme, port, options) in [
        ("smtp", ports.smtp_login, vec![]),
        ("smtp", ports.submission, vec!["--ssl-reqd"]),
        ("smtps", ports.smtps, vec![]),
        ("smtps", ports.smtps, vec!["--user", &wrong]),
    ] {
        let url = format!("{scheme}://127.0.0.1:{port}");
        let (accepted, said) = send_by(lab, &url, &options, &receiver).await;
        assert!(!accepted && (said.contains("554 5.7.1") || said.contains("535 5.7.8")), "{said}");
    }
    assert_eq!(lab.mails(&receiver), []);
}

#[tokio::test]
async fn logins_by_imap_and_pop3_are_counted_and_a_wrong_password_is_refused() {
    let lab = Lab::shared().await;
    let account = lab.user("reader", "odd: p\"a\\ss{}%u").await;
    let ports = lab.ports();
    for url in [
        format!("imap://127.0.0.1:{}/INBOX", ports.imap),
        format!("imaps://[::1]:{}/Junk", ports.imaps),
        format!("pop3://127.0.0.1:{}", ports.pop3),
        format!("pop3s://[::1]:{}", ports.pop3s),
    ] {
        let (entered, said) = curl(lab, &url, &["--user", &login(&account)], "").await;
        assert!(entered, "{url}: {said}");
        let (entered, said) = curl(lab, &url, &["--ssl", "--user", &login(&account)], "").await;
        assert!(entered, "{url} after STARTTLS: {said}");
        let wrong = format!("{}:wrong", account.address);
        let (entered, said) = curl(lab, &url, &["--user", &wrong], "").await;
        assert!(!entered && said.to_lowercase().contains("authentication failed"), "{said}");
    }
    until("four logins each are in the log", async || {
        lab.imap_logins(&account) == 4 && lab.pop3_logins(&account) == 4
    })
    .await;
}

#[tokio::test]
async fn the_special_folders_are_announced() {
    let lab = Lab::shared().await;
    let account = lab.user("folders", "secret").await;
    let url = format!("imap://127.0.0.1:{}", lab.ports().imap);
    let (_, said) = curl(lab, &url, &["--user", &login(&account)], "").await;
    for announced in [r"\Junk) ", r"\Trash) ", " INBOX"] {
        assert!(said.contains(announced), "{announced} is missing: {said}");
    }
}

#[tokio::test]
async fn a_lab_may_be_without_idle() {
    let lab = Lab::start_with(Imap::WithoutIdle).await;
    let account = lab.user("reader", "secret").await;
    let url = format!("imap://127.0.0.1:{}", lab.ports().imap);
    let arguments = ["--user", &login(&account), "--request", "CAPABILITY"];
    let (_, said) = curl(&lab, &url, &arguments, "").await;
    assert!(said.contains("UIDPLUS"), "{said}");
    assert!(!said.contains("IDLE"), "{said}");
}

#[tokio::test]
async fn a_held_mail_is_delivered_when_it_is_released() {
    let lab = Lab::shared().await;
    let held = lab.user("held", "secret").await;
    let other = lab.user("not-held", "secret").await;
    lab.hold(&held);
    send_accepted(lab, &held).await;
    send_accepted(lab, &other).await;
    lab.wait_for_mails(&other, 1).await;
    assert_eq!(lab.mails(&held), []);
    assert!(lab.queue_length().await >= 1);
    lab.release(&held).await;
    lab.wait_for_mails(&held, 1).await;
    send_accepted(lab, &held).await;
    lab.wait_for_mails(&held, 2).await;
}

#[tokio::test]
async fn a_delayed_mail_arrives_after_the_delay() {
    let lab = Lab::shared().await;
    let account = lab.user("delayed", "secret").await;
    let delay = Duration::from_secs(1);
    lab.delay(&account, delay);
    let before = Instant::now();
    send_accepted(lab, &account).await;
    assert_eq!(lab.mails(&account), []);
    lab.wait_for_mails(&account, 1).await;
    assert!(before.elapsed() >= delay);
}

#[tokio::test]
async fn a_lost_mail_is_accepted_and_never_seen() {
    let lab = Lab::start().await;
    let account = lab.user("unlucky", "secret").await;
    lab.lose(&account);
    send_accepted(&lab, &account).await;
    until("the queue is empty", async || lab.queue_length().await == 0).await;
    assert_eq!(lab.mails(&account), []);
    lab.deliver(&account);
    send_accepted(&lab, &account).await;
    lab.wait_for_mails(&account, 1).await;
}

#[tokio::test]
async fn recipients_are_refused_as_told_and_unknown_ones_always() {
    let lab = Lab::shared().await;
    let account = lab.user("refused", "secret").await;
    let unknown = Account { address: format!("nobody@{DOMAIN}"), password: String::new() };
    let refusal = async |account| {
        let (accepted, said) = send(lab, account).await;
        assert!(!accepted, "{said}");
        said
    };
    assert!(refusal(&unknown).await.contains("< 550 5.1.1"));
    lab.reject(&account);
    assert!(refusal(&account).await.contains("< 550 5.7.1"));
    lab.greylist(&account);
    assert!(refusal(&account).await.contains("< 450 4.2.0"));
    lab.refuse(&account, "452 4.2.2 mailbox full");
    assert!(refusal(&account).await.contains("< 452 4.2.2"));
    lab.deliver(&account);
    send_accepted(lab, &account).await;
    lab.wait_for_mails(&account, 1).await;
}

#[tokio::test]
async fn a_mail_to_a_full_mailbox_is_bounced_to_the_sender() {
    let lab = Lab::start().await;
    let account = lab.user("full", "secret").await;
    lab.limit_mailbox(&account, Some(1)).await;
    send_accepted(&lab, &account).await;
    let bounces = lab.wait_for_mails(lab.sender(), 1).await;
    assert!(bounces[0].text().contains("Status: 5.2.2"), "{}", bounces[0].text());
    assert_eq!(lab.mails(&account), []);
    lab.limit_mailbox(&account, None).await;
    send_accepted(&lab, &account).await;
    lab.wait_for_mails(&account, 1).await;
}

#[tokio::test]
async fn mails_of_others_and_junk_are_where_they_were_put() {
    let lab = Lab::shared().await;
    let account = lab.user("foreign", "secret").await;
    lab.inject(&account, "INBOX", "Subject: foreign\r\n\r\nMind your own business\r\n");
    lab.deliver_into_junk(&account);
    send_accepted(lab, &account).await;
    let mails = lab.wait_for_mails(&account, 2).await;
    let subject_in = |folder: &str| {
        let mail = mails.iter().find(|mail| mail.folder == folder).expect("a mail in the folder");
        mail.text().lines().find(|line| line.starts_with("Subject:")).map(str::to_owned)
    };
    assert_eq!(subject_in("INBOX").as_deref(), Some("Subject: foreign"));
    assert_eq!(subject_in("Junk").as_deref(), Some("Subject: proof"));

    // What a client does to it is seen on disk.
    let url = format!("imap://127.0.0.1:{}/INBOX", lab.ports().imap);
    let flag = ["--user", &login(&account), "--request", r"STORE 1 +FLAGS.SILENT (\Flagged)"];
    let (flagged, said) = curl(lab, &url, &flag, "").await;
    assert!(flagged, "{said}");
    assert!(lab.mails(&account).iter().any(|mail| mail.folder == "INBOX" && mail.flags == "F"));
}

#[tokio::test]
async fn stopped_servers_refuse_connections_and_serve_again_when_started() {
    let lab = Lab::start().await;
    let account = lab.user("patient", "secret").await;
    let user = login(&account);
    let ports = lab.ports();
    let imap = format!("imaps://127.0.0.1:{}", ports.imaps);
    let pop3 = format!("pop3://127.0.0.1:{}", ports.pop3);
    let enters = async |url: &str| curl(&lab, url, &["--user", &user], "").await.0;

    lab.stop_smtp().await;
    let (accepted, said) = send(&lab, &account).await;
    assert!(!accepted && said.contains("refused"), "{said}");
    lab.start_smtp().await;
    send_accepted(&lab, &account).await;
    lab.wait_for_mails(&account, 1).await;

    lab.stop_service(Service::Imap).await;
    assert!(!enters(&imap).await && enters(&pop3).await);
    lab.start_dovecot().await;
    lab.stop_service(Service::Pop3).await;
    assert!(enters(&imap).await && !enters(&pop3).await);

    lab.stop_service(Service::Lmtp).await;
    send_accepted(&lab, &account).await;
    until("the delivery failed", async || lab.smtp_log().contains("status=deferred")).await;
    assert_eq!(lab.queue_length().await, 1);
    lab.stop_dovecot().await;
    assert!(!enters(&imap).await && !enters(&pop3).await);
    lab.start_dovecot().await;
    lab.wait_for_mails(&account, 2).await;
    assert!(enters(&imap).await && enters(&pop3).await);
}

#[tokio::test]
async fn labs_run_side_by_side_and_leave_nothing_behind() {
    let (one, other) = tokio::join!(Lab::start(), Lab::start());
    assert_ne!(one.ports(), other.ports());
    let folder = one.folder().to_owned();
    let (port, other_port) = (one.ports().smtp, other.ports().smtp);
    assert!(folder.join("postfix").is_dir());

    drop(one);
    assert!(!folder.exists());
    let connect = async |port| tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
    assert!(connect(port).await.is_err());
    assert!(connect(other_port).await.is_ok());

    let panicked = tokio::spawn(async move {
        let _lab = other;
        panic!("a test that fails");
    });
    assert!(panicked.await.is_err());
    assert!(connect(other_port).await.is_err());
}

#[tokio::test]
async fn the_certificate_names_the_host() {
    let lab = Lab::shared().await;
    let port = lab.ports().imaps;
    let reader = lab.user("certificate", "secret").await;
    let resolve = format!("{HOST}:{port}:127.0.0.1");
    let options = ["--resolve", &resolve, "--user", &login(&reader)];
    let (entered, said) = curl(lab, &format!("imaps://{HOST}:{port}"), &options, "").await;
    assert!(entered, "{said}");
}

#[test]
fn ports_are_held_while_no_server_listens_on_them() {
    let (one, other) = (Block::new(), Block::new());
    assert_ne!(one.first_port(), other.first_port());
}

//! A mailbox that is read by JMAP: against a real Cyrus, as its measures tell it.

use ledger::{Reason, Step};

use crate::lab::cyrus::Cyrus;
use crate::lab::{Account, until};
use crate::real::stack::healthy;
use crate::support::logins::log_in_to_receive;
use crate::support::program::{self, run};
use crate::support::{Exporter, TargetText, only, quoted, yaml};

/// A target to the user by JMAP, each second.
fn target(cyrus: &Cyrus, name: &str, user: &Account) -> TargetText {
    let ports = cyrus.ports();
    TargetText::named(name)
        .set("interval", "1s")
        .set("host", "127.0.0.1")
        .set("from", "sender@lab.example")
        .set("to", &format!("{}@lab.example", user.address))
        .set("send.port", &ports.smtp.to_string())
        .set("send.tls", "none")
        .set("receive.protocol", "jmap")
        .set("receive.port", &ports.http.to_string())
        .set("receive.tls", "none")
        .set("receive.username", &user.address)
        .set("receive.password", &quoted(&user.password))
}

/// The same under TLS.
fn protected(cyrus: &Cyrus, target: TargetText) -> TargetText {
    let ca_file = quoted(&cyrus.ca_file().to_string_lossy());
    target
        .set("receive.port", &cyrus.ports().https.to_string())
        .set("receive.tls", "implicit")
        .set("receive.tls_options", &format!("{{ca_file: {ca_file}}}"))
}

#[tokio::test]
async fn mail_arrives_by_jmap_and_is_taken_out_and_others_mail_stays() {
    let cyrus = Cyrus::start().await;
    let user = cyrus.user("rita", "odd: p\"a\\ss{}%u").await;
    let checked = only(target(&cyrus, "a", &user));
    let (outcome, transcript) = log_in_to_receive(checked.receive.as_ref().unwrap()).await;
    outcome.expect(&transcript);
    // A test mail of somebody else, whose time is not over.
    let foreign =
        "X-Mailtrip: v=1; token=00000000000000000000000000000001; expires=2099-01-01T00:00:00Z";
    cyrus.deliver(&user, "Subject: of a person\r\n\r\nhands off\r\n").await;
    cyrus.deliver(&user, &format!("{foreign}\r\nSubject: of another\r\n\r\nnot yet\r\n")).await;
    let targets = [
        target(&cyrus, "plain", &user),
        protected(&cyrus, target(&cyrus, "tls", &user)).set("inspect", "true"),
    ];
    let exporter = Exporter::start(&targets).await;
    for name in ["plain", "tls"] {
        healthy(&exporter, name, 3).await;
    }
    // Between two periods nothing of ours is there.
    until("only others' mails are left", async || cyrus.mails().len() == 3).await;
    exporter.supervisor.stop().await;
    assert!(cyrus.mails().iter().any(|mail| mail.contains("hands off")));
}

#[tokio::test]
async fn the_probe_command_makes_a_round_trip_by_jmap() {
    let cyrus = Cyrus::start().await;
    let user = cyrus.user("rita", "secret").await;
    let folder = program::folder(&yaml(&[protected(&cyrus, target(&cyrus, "by-jmap", &user))]));
    let output = run(folder.path(), &["probe", "by-jmap"]).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("jmap 127.0.0.1:"), "{said}");
    assert!(!said.contains("secret"), "{said}");
    assert_eq!(cyrus.mails().len(), 1, "that of somebody else");
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_shown_nowhere() {
    let cyrus = Cyrus::start().await;
    let user = cyrus.user("rita", "secret").await;
    let wrong = Account { password: "wrong".to_owned(), ..user.clone() };
    let checked = only(target(&cyrus, "a", &wrong));
    let (outcome, transcript) = log_in_to_receive(checked.receive.as_ref().unwrap()).await;
    let failure = outcome.expect_err(&transcript);
    assert_eq!((failure.step, failure.reason, failure.down), (Step::Auth, Reason::Auth, false));
    assert!(!transcript.contains("wrong"), "{transcript}");
}

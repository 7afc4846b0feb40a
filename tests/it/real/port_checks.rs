//! The checks of TCP ports as the logs of real servers have them: what fail2ban counts as an attack is not
//! among what they leave there.

use std::time::Duration;

use mailtrip_exporter::config::TlsMode;

use crate::lab::Lab;
use crate::real::stack::{plain, protected, target};
use crate::support::Exporter;

/// What fail2ban's stricter modes punish: in the log of Postfix, and in that of Dovecot.
const SMTP_WORDS: [&str; 2] = ["lost connection after", "improper command"];
const DOVECOT_WORDS: [&str; 2] = ["no auth attempts", "disconnected before auth was ready"];

#[tokio::test]
async fn no_check_of_a_port_leaves_what_is_taken_for_an_attack() {
    let lab = &Lab::start().await;
    let ports = lab.ports();
    let sender = Some(lab.sender());
    let mut readers = Vec::new();
    for name in ["a", "b", "c", "d"] {
        readers.push(lab.user(name, "secret").await);
    }
    let listed =
        format!("['other:127.0.0.1:{}', 'pip:127.0.0.1:{}']", ports.submission, ports.smtp_login);
    let targets = [
        target(lab, "a", &readers[0])
            .send(&plain(ports.smtp), None)
            .receive("imap", &plain(ports.imap), &readers[0])
            .set("ports", &listed),
        target(lab, "b", &readers[1])
            .send(&protected(lab, TlsMode::Implicit, ports.smtps), sender)
            .receive("imap", &protected(lab, TlsMode::Implicit, ports.imaps), &readers[1]),
        target(lab, "c", &readers[2])
            .send(&protected(lab, TlsMode::StartTls, ports.submission), sender)
            .receive("pop3", &protected(lab, TlsMode::Implicit, ports.pop3s), &readers[2]),
        target(lab, "d", &readers[3]).send(&plain(ports.smtp), None).receive(
            "pop3",
            &plain(ports.pop3),
            &readers[3],
        ),
    ];
    let targets: Vec<_> = targets.into_iter().map(|target| target.every("5s")).collect();
    // The lab itself has knocked at each port until it answered.
    let (smtp_before, dovecot_before) = (lab.smtp_log().len(), lab.dovecot_log().len());
    let exporter = Exporter::start(&targets).await;
    for name in ["a", "b", "c", "d"] {
        exporter.until(name, "four checks", |now| now.totals.checks >= 4).await;
        exporter.until(name, "four mails", |now| now.totals.received >= 4).await;
        let view = exporter.supervisor.view(name).unwrap();
        assert!(view.layers.began.is_some(), "{name}: no round was made");
        for port in &view.layers.ports {
            let took = port.newest.value().flatten();
            assert!(took.is_some_and(|took| took < Duration::from_secs(2)), "{name}: {port:?}");
        }
    }
    // Before the end, which cuts off what is under way.
    let smtp = lab.smtp_log().split_off(smtp_before);
    let dovecot = lab.dovecot_log().split_off(dovecot_before);
    exporter.supervisor.stop().await;
    for (log, words) in [(&smtp, &SMTP_WORDS[..]), (&dovecot, &DOVECOT_WORDS[..])] {
        let found: Vec<&str> =
            log.lines().filter(|line| words.iter().any(|word| line.contains(word))).collect();
        assert!(found.is_empty(), "{found:#?}");
    }
    assert!(smtp.contains("quit=1 commands=1"), "a listed port was left with a farewell: {smtp}");
}

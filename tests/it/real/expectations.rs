//! Mail that must not pass, before real servers that keep it out, and that do not: each recipe of
//! `docs/expectations.md`.

use ledger::{Judged, Reading};

use crate::lab::clamav::ClamAv;
use crate::lab::rspamd::Rspamd;
use crate::lab::{Account, DOMAIN, Lab};
use crate::real::stack::{healthy, plain, target};
use crate::support::{Exporter, TargetText};

/// Waits until it is known whether the expectation of the target is met, and says in which words.
async fn judged(exporter: &Exporter, name: &str, is_met: bool) -> String {
    let is_so = |judged: &Judged| judged.is_met == Reading::Is(is_met);
    let what = if is_met { "as expected" } else { "not as expected" };
    let snapshot =
        exporter.until(name, what, |now| now.expectation.as_ref().is_some_and(is_so)).await;
    snapshot.expectation.map(|judged| judged.words.to_string()).unwrap_or_default()
}

/// A target from a stranger, who does not log in, to `to`. Nobody looks for its mail.
fn stranger(lab: &Lab, name: &str, reader: &Account, to: &str) -> TargetText {
    let target = target(lab, name, reader).set("from", "stranger@elsewhere.example").set("to", to);
    target.set("expect", "refused").without("receive")
}

#[tokio::test]
async fn a_relay_that_opens_is_told_and_gets_no_mail() {
    let lab = Lab::start().await;
    let reader = lab.user("relay", "secret").await;
    lab.configure_smtp("mynetworks = 192.0.2.1").await;
    let relay = stranger(&lab, "relay", &reader, "somebody@foreign.example");
    let exporter = Exporter::start(&[relay, target(&lab, "plain", &reader)]).await;
    let words = judged(&exporter, "relay", true).await;
    assert!(words.contains("554 5.7.1") && words.contains("Relay access denied"), "{words}");
    // All the world is its own network, and what it takes for others would be thrown away.
    lab.configure_smtp("default_transport = discard").await;
    lab.configure_smtp("mynetworks = 0.0.0.0/0 [::]/0").await;
    lab.configure_smtp("smtpd_recipient_restrictions = permit").await;
    let words = judged(&exporter, "relay", false).await;
    assert!(words.contains("250 2.1.5 Ok"), "{words}");
    // Its neighbour is measured as ever.
    healthy(&exporter, "plain", 1).await;
    let snapshot = exporter.snapshot("relay");
    assert_eq!(snapshot.totals.probes, 0, "nothing was sent");
    assert_eq!(snapshot.send_ability, Reading::NotApplicable);
    exporter.supervisor.stop().await;
    let log = lab.smtp_log();
    let is_delivery =
        |line: &&str| line.contains("somebody@foreign.example") && line.contains("status=");
    assert_eq!(log.lines().find(is_delivery), None);
}

#[tokio::test]
async fn an_unknown_recipient_is_refused_and_a_deferral_proves_nothing() {
    let lab = Lab::start().await;
    let reader = lab.user("unknown", "secret").await;
    let nobody = format!("nobody@{DOMAIN}");
    let unknown = stranger(&lab, "unknown", &reader, &nobody);
    let exporter = Exporter::start(&[unknown]).await;
    let words = judged(&exporter, "unknown", true).await;
    assert!(words.contains("550 5.1.1"), "{words}");
    lab.configure_smtp("smtpd_recipient_restrictions = defer").await;
    let proves_nothing = |judged: &Judged| {
        judged.is_met == Reading::Unmeasured && judged.words.contains("450 4.3.2")
    };
    let is_deferred = |now: &ledger::Snapshot| now.expectation.as_ref().is_some_and(proves_nothing);
    exporter.until("unknown", "deferred", is_deferred).await;
    lab.configure_smtp("smtpd_recipient_restrictions = permit").await;
    judged(&exporter, "unknown", false).await;
    lab.stop_smtp().await;
    let is_down = |judged: &Judged| judged.is_met == Reading::Unmeasured;
    let is_down = |now: &ledger::Snapshot| now.expectation.as_ref().is_some_and(is_down);
    let snapshot = exporter.until("unknown", "down", is_down).await;
    assert_eq!(snapshot.sides.send.consecutive_failures, Reading::NotApplicable);
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn a_login_without_tls_is_asked_for_and_no_password_is_sent() {
    let lab = Lab::start().await;
    let reader = lab.user("clear", "secret").await;
    for line in ["smtpd_sasl_auth_enable = yes", "smtpd_tls_auth_only = yes"] {
        lab.configure_smtp(line).await;
    }
    let login = target(&lab, "login", &reader).set("expect", "refused").set("refused_at", "login");
    let none = login.clone().send(&plain(lab.ports().smtp_login), None);
    let exporter = Exporter::start(&[login, none.set("name", "offered")]).await;
    let words = judged(&exporter, "login", true).await;
    assert!(words.contains("the server refused AUTH PLAIN: 5"), "{words}");
    lab.configure_smtp("smtpd_tls_auth_only = no").await;
    for name in ["login", "offered"] {
        let words = judged(&exporter, name, false).await;
        assert!(words.contains("the server offers AUTH ") && words.contains("PLAIN"), "{words}");
    }
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn a_stranger_who_writes_as_one_of_us_is_refused() {
    let lab = Lab::start().await;
    let reader = lab.user("forged", "secret").await;
    // Who is of the domain logs in, and that on other ports.
    let ours = format!("{{ {DOMAIN} = REJECT our own mail comes with a login }}");
    lab.configure_smtp(&format!(
        "smtpd_sender_restrictions = check_sender_access inline:{{{ours}}}"
    ))
    .await;
    let forged = target(&lab, "forged", &reader).set("expect", "refused");
    let exporter = Exporter::start(&[forged]).await;
    let words = judged(&exporter, "forged", true).await;
    assert!(words.contains("our own mail comes with a login"), "{words}");
    lab.configure_smtp("smtpd_sender_restrictions =").await;
    judged(&exporter, "forged", false).await;
    exporter.supervisor.stop().await;
    assert!(lab.mails(&reader).is_empty(), "the recipient was asked for, and no mail was sent");
}

#[tokio::test]
async fn a_spam_filter_finds_its_sample_and_the_mailbox_shows_where_it_went() {
    let lab = Lab::start().await;
    let (refused, junk) = tokio::join!(lab.user("refused", "secret"), lab.user("junk", "secret"));
    let rspamd = Rspamd::start().await;
    lab.configure_smtp(&format!("smtpd_milters = {}", rspamd.milter())).await;
    let gtube = "{sample: gtube}";
    let exporter = Exporter::start(&[
        target(&lab, "refused", &refused)
            .set("expect", "refused")
            .set("mail", gtube)
            .without("receive"),
        target(&lab, "junk", &junk).set("expect", "junk"),
        target(&lab, "nothing", &junk).set("expect", "nothing").set("mail", gtube),
    ])
    .await;
    let words = judged(&exporter, "refused", true).await;
    assert!(words.contains("554 5.7.1 Gtube pattern"), "{words}");
    judged(&exporter, "nothing", true).await;
    judged(&exporter, "junk", false).await;
    lab.deliver_into_junk(&junk);
    let words = judged(&exporter, "junk", true).await;
    assert_eq!(words, "the mail was found in the junk folder");
    // The filter is gone.
    lab.configure_smtp("smtpd_milters =").await;
    let words = judged(&exporter, "refused", false).await;
    assert!(words.contains("250 2.0.0 Ok: queued as"), "{words}");
    judged(&exporter, "nothing", false).await;
    let snapshot = exporter.snapshot("nothing");
    assert_eq!((snapshot.totals.received, snapshot.totals.lost), (0, 0), "{snapshot:?}");
    exporter.supervisor.stop().await;
}

/// As people file what rspamd has marked.
const FILED_BY_ITS_MARK: &str =
    "require [\"fileinto\"];\nif header \"X-Spam\" \"yes\" { fileinto \"Junk\"; }\n";

#[tokio::test]
async fn what_a_filter_marks_is_filed_as_junk_by_a_rule_and_without_it_is_not() {
    let lab = Lab::start().await;
    let (entrance, spam) = tokio::join!(lab.user("entrance", "secret"), lab.user("spam", "secret"));
    let rspamd = Rspamd::start().await;
    let marking = format!("rspamc --connect=127.0.0.1:{} --mime", rspamd.port);
    lab.filter(&entrance, &marking, &spam).await;
    lab.sieve(&spam, FILED_BY_ITS_MARK);
    let plain = target(&lab, "plain", &spam).set("to", &entrance.address);
    let junk = plain.clone().set("name", "junk").set("expect", "junk");
    let exporter = Exporter::start(&[junk.set("mail", "{sample: gtube}"), plain]).await;
    let words = judged(&exporter, "junk", true).await;
    assert_eq!(words, "the mail was found in the junk folder");
    // What has no sample is not marked.
    let snapshot = healthy(&exporter, "plain", 1).await;
    assert_eq!(snapshot.totals.found[1], 0, "{snapshot:?}");
    lab.sieve(&spam, "keep;\n");
    let words = judged(&exporter, "junk", false).await;
    assert_eq!(words, "the mail was found in the inbox");
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn a_virus_scanner_finds_its_sample() {
    let lab = Lab::start().await;
    let (reader, other) = tokio::join!(lab.user("virus", "secret"), lab.user("gone", "secret"));
    let eicar = "{sample: eicar}";
    let scanner = ClamAv::start(&lab, "Reject").await;
    let exporter = Exporter::start(&[
        target(&lab, "refused", &reader).set("expect", "refused").set("mail", eicar),
        target(&lab, "nothing", &other).set("expect", "nothing").set("mail", eicar),
    ])
    .await;
    let words = judged(&exporter, "refused", true).await;
    assert!(words.contains("550 5.7.1"), "{words}");
    judged(&exporter, "nothing", true).await;
    drop(scanner);
    lab.configure_smtp("smtpd_milters =").await;
    judged(&exporter, "refused", false).await;
    let words = judged(&exporter, "nothing", false).await;
    assert_eq!(words, "the mail was found in the inbox");
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn what_a_virus_scanner_swallows_is_found_nowhere() {
    let lab = Lab::start().await;
    let reader = lab.user("gone", "secret").await;
    let _scanner = ClamAv::start(&lab, "Blackhole").await;
    let nothing = target(&lab, "nothing", &reader).set("expect", "nothing");
    let nothing = nothing.set("mail", "{sample: eicar}").set("lost_after", "2s");
    let exporter = Exporter::start(&[nothing]).await;
    let words = judged(&exporter, "nothing", true).await;
    assert_eq!(words, "the mail was found nowhere");
    exporter.supervisor.stop().await;
}

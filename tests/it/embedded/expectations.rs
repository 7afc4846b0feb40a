//! Mail that must not pass: how far its test goes, what is shown of it, and that it counts as no mail.

use ledger::{Judged, Reading, Snapshot};
use mail::content::Sample;
use mail_parser::{MessageParser, MimeHeaders};
use mailtrip_exporter::metrics::{self, Syntax};
use testserver::faults::Fault;
use testserver::{Delivery, Protocol};

use crate::support::{Exporter, MAILBOXES, USER, World, dialogues, http, serve};

/// Waits until it is known whether the expectation of `a` is met, and says in which words.
async fn judged(exporter: &Exporter, is_met: Reading<bool>) -> String {
    let is_so = |judged: &Judged| judged.at.is_some() && judged.is_met == is_met;
    let is_so = |now: &Snapshot| now.expectation.as_ref().is_some_and(is_so);
    let snapshot = exporter.until("a", "it is judged", is_so).await;
    snapshot.expectation.map(|judged| judged.words.to_string()).unwrap_or_default()
}

#[tokio::test]
async fn a_recipient_that_is_accepted_gets_no_mail_and_the_pages_say_so() {
    let world = World::new(Protocol::Imap).await;
    let target = world.target("a").set("expect", "refused").without("receive");
    let exporter = Exporter::start(&[target]).await;
    let words = judged(&exporter, Reading::Is(false)).await;
    assert!(words.starts_with("250 "), "{words}");
    let said = dialogues(&world.smtp).remove(0);
    assert!(
        said.received_contains(b"RCPT TO:<to@example.test>") && said.received_contains(b"RSET")
    );
    assert!(!said.received_contains(b"DATA"), "{said:?}");
    assert!(world.mails_sent().is_empty() && world.inbox_len() == 0);
    assert!(world.mailbox.sessions().is_empty(), "nobody looks for it");

    let views = exporter.supervisor.views();
    let page: String = metrics::pieces(views, None, Syntax::OpenMetrics).collect();
    let sample = |line: &str| page.lines().any(|it| it == line);
    assert!(sample("mailtrip_expectation_met{target=\"a\",expect=\"refused\"} 0.0"), "{page}");
    for measure in ["send_ability_percent", "receive_ability_percent", "outstanding_messages"] {
        assert!(sample(&format!("mailtrip_{measure}{{target=\"a\"}} NaN")), "{page}");
    }
    let (address, _serving) = serve(&exporter.supervisor, false).await;
    let address = address.to_string();
    let page = http::get(&address, "/targets/a").await;
    for words in ["Expected the recipient to be refused, in vain", "no mailbox", &words] {
        assert!(page.text().contains(words), "{words}: {}", page.text());
    }
    for path in ["/", "/targets/a"] {
        let page = http::get(&address, path).await;
        for words in ["0 accepted", "0 received"] {
            assert!(!page.text().contains(words), "{path}");
        }
    }
    assert!(page.text().contains("Its mails are not to pass, and counted nowhere."));
    let document = http::get(&address, "/api/targets/a").await;
    let document: serde_json::Value = serde_json::from_str(document.text()).unwrap();
    assert_eq!(document["condition"], "failing");
    assert_eq!(document["receive"], serde_json::Value::Null);
    let expectation = &document["expectation"];
    assert_eq!((&expectation["expect"], &expectation["met"]), (&"refused".into(), &false.into()));
    assert!(http::get(&address, "/badge/a.svg").await.text().contains("not as expected"));
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn a_refusal_is_as_it_should_be_and_no_failure() {
    for (reply, is_met) in [
        ("550 5.1.1 no such user", Reading::Is(true)),
        ("450 4.2.0 greylisted", Reading::Unmeasured),
        ("452 4.2.2 mailbox full", Reading::Unmeasured),
        ("421 4.3.2 going down", Reading::Unmeasured),
    ] {
        let world = World::new(Protocol::Imap).await;
        world.smtp.faults().on("RCPT", Fault::reply(reply));
        let target = world.target("a").set("expect", "refused").without("receive");
        let exporter = Exporter::start(&[target]).await;
        let words = judged(&exporter, is_met).await;
        assert!(words.contains(reply), "{words}");
        let side = &exporter.snapshot("a").sides.send;
        let failures = u64::from(is_met == Reading::Unmeasured);
        assert_eq!(side.failures.total(), failures, "{reply}");
        assert_eq!(side.consecutive_failures, Reading::NotApplicable);
        exporter.supervisor.stop().await;
    }
}

#[tokio::test]
async fn a_login_in_the_clear_is_asked_for_without_a_password() {
    for (reply, is_met, words) in [
        ("538 5.7.11 encryption required", Reading::Is(true), "538 5.7.11"),
        ("334 ", Reading::Is(false), "asks for a password after AUTH PLAIN"),
    ] {
        let world = World::new(Protocol::Imap).await;
        world.smtp.faults().leave_out("AUTH");
        world.smtp.faults().on("AUTH", Fault::reply(reply));
        let target = world.target("a").set("expect", "refused").set("refused_at", "login");
        let exporter = Exporter::start(&[target.without("receive")]).await;
        let said = judged(&exporter, is_met).await;
        assert!(said.contains(words), "{said}");
        let dialogue = dialogues(&world.smtp).remove(0);
        assert!(dialogue.received_contains(b"AUTH PLAIN\r\n"), "{dialogue:?}");
        assert!(!dialogue.received_contains(b"MAIL FROM"), "{dialogue:?}");
        assert_eq!(dialogue.received_contains(b"*\r\n"), is_met == Reading::Is(false));
        exporter.supervisor.stop().await;
    }
}

#[tokio::test]
async fn the_mailbox_shows_whether_it_is_junk_or_nothing() {
    for mailbox in MAILBOXES {
        for (expect, delivery, is_met) in [
            ("junk", Delivery::at_once().into_folder("Junk"), true),
            ("junk", Delivery::at_once(), false),
            ("nothing", Delivery::lost(), true),
            ("nothing", Delivery::at_once(), false),
        ] {
            if expect == "junk" && mailbox == Protocol::Pop3 {
                continue;
            }
            let world = World::new(mailbox).await;
            world.post.set_delivery(USER, delivery);
            let target = world.target("a").set("expect", expect).set("interval", "1s");
            let target = target.set("lost_after", "1s");
            let exporter = Exporter::start(&[target]).await;
            judged(&exporter, Reading::Is(is_met)).await;
            exporter.supervisor.stop().await;
        }
    }
}

#[tokio::test]
async fn a_refusal_of_something_else_proves_nothing() {
    for (command, reply, sample) in [
        ("RCPT", "550 5.7.27 sender domain takes no mail", None),
        ("RCPT", "556 5.1.10 recipient domain takes no mail", None),
        ("MAIL", "501 5.5.4 syntax", None),
        ("RCPT", "554 5.7.1 your address is on a list", Some("{sample: gtube}")),
    ] {
        let world = World::new(Protocol::Imap).await;
        world.smtp.faults().on(command, Fault::reply(reply));
        let target = world.target("a").set("expect", "refused").set("from", "a@elsewhere.example");
        let target = match sample {
            Some(sample) => target.set("mail", sample),
            None => target,
        };
        let exporter = Exporter::start(&[target.without("receive")]).await;
        let words = judged(&exporter, Reading::Unmeasured).await;
        assert!(words.contains(reply), "{words}");
        exporter.supervisor.stop().await;
    }
}

#[tokio::test]
async fn the_samples_are_in_the_mail() {
    let world = World::new(Protocol::Imap).await;
    let target = |name, sample: &str| {
        world.target(name).set("expect", "nothing").set("mail", &format!("{{sample: {sample}}}"))
    };
    let exporter = Exporter::start(&[target("a", "gtube"), target("b", "eicar")]).await;
    let sent = world.sent(2).await;
    let (virus, spam): (Vec<_>, Vec<_>) = sent.iter().partition(|mail| mail.contains("eicar.com"));
    let line = String::from_utf8(Sample::Gtube.bytes()).unwrap();
    assert!(spam[0].lines().any(|text| text == line), "{}", spam[0]);
    let message = MessageParser::default().parse(virus[0].as_bytes()).unwrap();
    let attachment = message.attachment(0).unwrap();
    assert_eq!(attachment.attachment_name(), Some("eicar.com"));
    assert_eq!(attachment.contents(), Sample::Eicar.bytes());
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn of_a_standby_that_is_down_it_is_not_applicable() {
    let mut world = World::new(Protocol::Imap).await;
    world.smtp.stop().await;
    let target = world.target("a").set("expect", "refused").set("passive", "true");
    let exporter = Exporter::start(&[target.set("interval", "1s").without("receive")]).await;
    let is_down = |now: &Snapshot| now.sides.send.not_applicable >= 1;
    let snapshot = exporter.until("a", "tried", is_down).await;
    let expectation = snapshot.expectation.unwrap();
    assert_eq!(expectation.is_met, Reading::NotApplicable, "{expectation:?}");
    let (address, _serving) = serve(&exporter.supervisor, false).await;
    let page = http::get(&address.to_string(), "/targets/a").await;
    let text = page.text();
    assert!(text.contains("<span class=\"not-applicable\">standby is down</span>"), "{text}");
    assert!(!text.contains("nothing is proved"), "{text}");
    exporter.supervisor.stop().await;
}

//! Test mails such as people send, through a Postfix that looks at what they are like, and before an opendkim that
//! judges who signed them.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use ledger::{Reason, Snapshot, Step, Token};
use mail::content::Form;
use mail::dkim::Signer;
use mail::options::PemFile;
use mail::smtp::Smtp;
use mail::test_mail::{Addressed, write};
use mail::trace::Trace;
use mail::wire::{ConnectionContext, Dialer};
use mailtrip_exporter::config::{Endpoint, TlsMode};
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use tokio::time::Instant;

use crate::lab::{DOMAIN, Lab, until};
use crate::real::stack::{healthy, target};
use crate::support::Exporter;

#[tokio::test]
async fn ten_megabytes_arrive_where_a_gateway_takes_their_marks_away() {
    let lab = Lab::start().await;
    let reader = lab.user("large", "secret").await;
    let checks = "regexp:{{/^X-Mailtrip:/ IGNORE}, {/^Message-ID:/ REPLACE Message-ID: <other@gateway.test>}}";
    lab.configure_smtp("message_size_limit = 20000000").await;
    lab.configure_smtp(&format!("header_checks = {checks}")).await;
    let mail = "{subject: 'Invoice {token}', size: 10MB, attachment: {name: invoice.pdf}}";
    let exporter =
        Exporter::start(&[target(&lab, "large", &reader).every("30s").set("mail", mail)]).await;
    healthy(&exporter, "large", 1).await;
    until("the mailbox is empty", async || lab.mails(&reader).is_empty()).await;
    let inspected = || exporter.supervisor.view("large").unwrap().inspection;
    until("its size is known", async || inspected().is_some_and(|it| it.sizes.is_some())).await;
    let sizes = inspected().unwrap().sizes.unwrap();
    // A mail of the next period may have been sent, and none is another's.
    assert_eq!(sizes.sent, Some(10_000_000));
    assert!((9_999_000..10_002_000).contains(&sizes.arrived), "{sizes:?}");
    assert!(lab.smtp_log().contains("message-id=<other@gateway.test>"), "the gateway was there");
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn a_limit_of_size_and_a_filter_of_names_are_told_by_their_replies() {
    let lab = Lab::start().await;
    let (large, program) =
        tokio::join!(lab.user("too-large", "secret"), lab.user("program", "secret"));
    lab.configure_smtp("message_size_limit = 1000000").await;
    let checks = r#"mime_header_checks = regexp:{{/name="[^"]*\.exe"/ REJECT no programs here}}"#;
    lab.configure_smtp(checks).await;
    let exe = "{attachment: {name: setup.exe, size: 3kB}}";
    let exporter = Exporter::start(&[
        target(&lab, "too-large", &large).set("mail", "{size: 2MB}"),
        target(&lab, "program", &program).set("mail", exe),
    ])
    .await;
    for (name, step, words) in [
        ("too-large", Step::Envelope, "552 5.3.4 Message size exceeds fixed limit"),
        ("program", Step::Data, "no programs here"),
    ] {
        let failed = |now: &Snapshot| now.sides.send.last_failure.is_some();
        let snapshot = exporter.until(name, "it is refused", failed).await;
        let failure = snapshot.sides.send.last_failure.clone().unwrap().1;
        assert_eq!((failure.step, failure.reason), (step, Reason::Rejected), "{failure}");
        assert!(failure.message.contains(words), "{failure}");
    }
    exporter.supervisor.stop().await;
}

/// An opendkim that judges the mail of a Postfix; it ends with its owner.
struct OpenDkim(Child);

impl Drop for OpenDkim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl OpenDkim {
    /// One that knows these public keys by their selectors.
    async fn start(lab: &Lab, keys: &[(&str, &PKey<Private>)]) -> Self {
        let folder = lab.folder().join("opendkim");
        fs::create_dir(&folder).unwrap();
        let socket = folder.join("socket");
        let public = |(selector, key): &(&str, &PKey<Private>)| {
            let (kind, public) = match key.raw_public_key() {
                Ok(raw) => ("ed25519", raw),
                Err(_) => ("rsa", key.public_key_to_der().unwrap()),
            };
            let public = openssl::base64::encode_block(&public);
            format!("{selector}._domainkey.{DOMAIN} v=DKIM1; k={kind}; p={public}\n")
        };
        fs::write(folder.join("keys"), keys.iter().map(public).collect::<String>()).unwrap();
        let configuration = format!(
            "Mode v\nSocket local:{}\nUMask 000\nTestPublicKeys {}\nAuthservID mx.lab.test\nAlwaysAddARHeader yes\n\
             Syslog no\nBackground no\nAutoRestart no\n",
            socket.display(),
            folder.join("keys").display(),
        );
        fs::write(folder.join("opendkim.conf"), configuration).unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let child = Command::new("opendkim")
            .args([Path::new("-x"), &folder.join("opendkim.conf"), Path::new("-f")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        let child = Self(child.expect("opendkim is needed (`make test` installs it)"));
        until("opendkim listens", async || socket.exists()).await;
        lab.configure_smtp(&format!("smtpd_milters = unix:{}", socket.display())).await;
        child
    }
}

#[tokio::test]
async fn signatures_hold_before_a_real_verifier() {
    let lab = Lab::start().await;
    let reader = lab.user("signed", "secret").await;
    let rsa = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let (ed25519, other) =
        (PKey::generate_ed25519().unwrap(), PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap());
    let known = [("rsa", &rsa), ("ed25519", &ed25519), ("wrong", &rsa)];
    let _opendkim = OpenDkim::start(&lab, &known).await;
    let from = format!("sender@{DOMAIN}").parse().unwrap();
    let to = reader.address.parse().unwrap();
    for (selector, key, size, verdict) in [
        ("rsa", &rsa, None, "dkim=pass"),
        ("rsa", &rsa, Some(500_000), "dkim=pass"),
        ("ed25519", &ed25519, Some(20_000), "dkim=pass"),
        ("wrong", &other, None, "dkim=fail"),
    ] {
        let pem = key.private_key_to_pem_pkcs8().unwrap();
        let file = PemFile { path: "key.pem".into(), pem: pem.into() };
        let signer = Signer::new(DOMAIN.to_owned(), selector.to_owned(), file).unwrap();
        let form = Form { size, signer: Some(signer), ..Form::default() };
        let addressed = Addressed {
            target: "signed",
            from: &from,
            to: &to,
            interval: Duration::from_secs(300),
            lost_after: Duration::from_secs(3600),
            wants_answer: false,
            form: Some(&form),
        };
        let token = Token::random();
        let content =
            write(addressed, token, Token::random(), SystemTime::now(), "a.test").await.unwrap();
        assert!(size.is_none_or(|size| content.size() == size));
        let endpoint = Endpoint::new("127.0.0.1", lab.ports().smtp, TlsMode::None);
        let dialer = Dialer::new(&endpoint, None, &ConnectionContext::default()).unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        let mut smtp =
            Smtp::open(&dialer, None, Some("a.test"), Trace::new(None), end).await.unwrap();
        smtp.hand_over(&from, &to, "1", &content).await.unwrap();
        smtp.quit().await;
        let arrived = |text: &String| text.contains(&token.to_string());
        let mut found = None;
        until("the mail arrives", async || {
            found = lab.mails(&reader).into_iter().map(|mail| mail.text()).find(arrived);
            found.is_some()
        })
        .await;
        let text = found.unwrap();
        let results =
            text.lines().find(|line| line.starts_with("Authentication-Results: mx.lab.test"));
        let after = text.split("Authentication-Results: mx.lab.test").nth(1).unwrap_or_default();
        let judged = after.chars().take(300).collect::<String>();
        assert!(
            results.is_some() && judged.contains(verdict),
            "{selector}: {judged}\n{text:.2000}"
        );
    }
}

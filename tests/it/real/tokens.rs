//! Logins to Postfix and Dovecot by access tokens, which a provider of the tests' own gives, and by
//! the digest of APOP.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::join_all;
use ledger::{Failure, Reason, Side, Step};
use mail::wire::ConnectionContext;
use mailtrip_exporter::config::{Target, TlsMode};
use mailtrip_exporter::roundtrip;
use testserver::Certificate;

use crate::embedded::oauth::Provider;
use crate::lab::{Account, Lab};
use crate::real::scenarios::checked;
use crate::real::stack::{plain, protected, target};
use crate::support::logins::{receive_with, send_with};
use crate::support::{TargetText, Trust, quoted};

const MECHANISMS: [&str; 2] = ["xoauth2", "oauthbearer"];
/// Postfix, then Dovecot twice.
const SERVICES: [&str; 3] = ["smtp", "imap", "pop3"];

/// A user of the lab who logs in by the access tokens of a provider.
struct Member<'a> {
    lab: &'a Lab,
    account: Account,
    provider: Provider,
    _trust: Trust,
}

impl<'a> Member<'a> {
    async fn new(lab: &'a Lab, name: &str) -> Self {
        let account = lab.user(name, "the-password-0123456789").await;
        let trust = Trust::new();
        let provider = Provider::start(&trust, Certificate::Good).await;
        Self { lab, account, provider, _trust: trust }
    }

    /// From now on the provider gives this token, and Dovecot lets in by it.
    fn has(&self, token: &str) {
        self.lab.allow_token(&self.account, token);
        self.provider.gives(token);
    }

    /// A target of this user alone, over TLS all the way.
    fn target(&self, protocol: &str, auth: &str) -> Arc<Target> {
        let ports = self.lab.ports();
        let port = if protocol == "pop3" { ports.pop3s } else { ports.imaps };
        let submission = protected(self.lab, TlsMode::StartTls, ports.submission);
        let mailbox = protected(self.lab, TlsMode::Implicit, port);
        let text = target(self.lab, &format!("by-{protocol}"), &self.account)
            .every("5m")
            .set("from", &quoted(&self.account.address))
            .set("to", &quoted(&self.account.address))
            .send(&submission, Some(&self.account))
            .receive(protocol, &mailbox, &self.account);
        let by_token = |text: TargetText, side: &str| {
            text.unset(&format!("{side}.password"))
                .set(&format!("{side}.auth"), auth)
                .set(&format!("{side}.oauth2"), &self.provider.yaml(false))
        };
        checked(by_token(by_token(text, "send"), "receive"))
    }

    /// Logs in, and gives the transcript as well. Neither it nor a failure shows the token.
    async fn log_in(
        &self,
        clients: &ConnectionContext,
        service: &str,
        auth: &str,
        token: &str,
    ) -> (Result<(), Failure>, String) {
        let (outcome, transcript) = match service {
            "smtp" => send_with(&self.target("imap", auth).send, clients).await,
            protocol => {
                receive_with(self.target(protocol, auth).receive.as_ref().unwrap(), clients).await
            }
        };
        let message = outcome.as_ref().err().map(|failure| failure.message.as_str());
        for text in [transcript.as_str(), message.unwrap_or_default()] {
            assert_hidden(token, text);
        }
        (outcome, transcript)
    }
}

/// Each service with each mechanism.
fn every_way() -> impl Iterator<Item = (&'static str, &'static str)> {
    SERVICES.into_iter().flat_map(|service| MECHANISMS.map(|mechanism| (service, mechanism)))
}

/// The commands in the transcript that begin a login by this mechanism.
fn tries(mechanism: &str, transcript: &str) -> usize {
    let mechanism = format!(" {}", mechanism.to_ascii_uppercase());
    let begins = |line: &&str| line.starts_with("> ") && line.contains(&mechanism);
    transcript.lines().filter(begins).count()
}

/// Neither the secret nor the middle of its base64, wherever it stands there, is in the text.
fn assert_hidden(secret: &str, text: &str) {
    assert!(!text.contains(secret), "{secret} is shown: {text}");
    for skipped in 0..3 {
        let whole = BASE64_STANDARD.encode(&secret[skipped..]);
        assert!(!text.contains(&whole[..12]), "{secret} is shown in base64: {text}");
    }
}

fn assert_refused(outcome: Result<(), Failure>, user: &Account, transcript: &str) {
    let failure = outcome.expect_err(transcript);
    let what = (failure.step, failure.reason, failure.down);
    assert_eq!(what, (Step::Auth, Reason::Auth, false), "{failure}\n{transcript}");
    let words = format!("the login as {} was refused", user.address);
    assert!(failure.message.contains(&words), "{failure}");
}

#[tokio::test]
async fn an_access_token_lets_in_to_postfix_and_dovecot_by_either_mechanism() {
    let member = Member::new(Lab::shared().await, "tokens").await;
    let token = "good-token-0123456789";
    member.has(token);
    let clients = ConnectionContext::default();
    for (service, mechanism) in every_way() {
        let (outcome, transcript) = member.log_in(&clients, service, mechanism, token).await;
        assert_eq!(outcome, Ok(()), "{service} {mechanism}: {transcript}");
        assert_eq!(tries(mechanism, &transcript), 1, "{transcript}");
    }
    for service in SERVICES {
        // The mechanisms for passwords, which are offered as well, are passed over.
        let (outcome, transcript) = member.log_in(&clients, service, "auto", token).await;
        assert_eq!(outcome, Ok(()), "{service}: {transcript}");
    }
    assert_eq!(member.provider.forms().len(), 1, "one token for all of it");
}

#[tokio::test]
async fn an_access_token_as_long_as_providers_give_them_lets_in() {
    let member = Member::new(Lab::shared().await, "long-tokens").await;
    // Those of Microsoft have 1,500 to 3,000 characters; Postfix reads 2,048 of a command.
    for length in [400, 1500, 3000] {
        let token = "0123456789".repeat(length / 10);
        member.has(&token);
        let clients = ConnectionContext::default();
        for (service, mechanism) in every_way() {
            let (outcome, transcript) = member.log_in(&clients, service, mechanism, &token).await;
            assert_eq!(outcome, Ok(()), "{service} {mechanism} {length}: {transcript}");
        }
    }
}

#[tokio::test]
async fn a_kept_token_that_was_revoked_is_renewed_once_and_lets_in() {
    let member = Member::new(Lab::shared().await, "revoked").await;
    let clients = ConnectionContext::default();
    let mut kept = "token-0-0123456789".to_owned();
    member.has(&kept);
    assert_eq!(member.log_in(&clients, "imap", "auto", &kept).await.0, Ok(()));
    for (service, mechanism) in every_way() {
        let asked = member.provider.forms().len();
        member.lab.revoke_token(&kept);
        let renewed = format!("token-{asked}-0123456789");
        member.has(&renewed);
        let (outcome, transcript) = member.log_in(&clients, service, mechanism, &renewed).await;
        assert_eq!(outcome, Ok(()), "{service} {mechanism}: {transcript}");
        assert_eq!(tries(mechanism, &transcript), 2, "{transcript}");
        assert_eq!(member.provider.forms().len(), asked + 1);
        assert_hidden(&kept, &transcript);
        kept = renewed;
    }
}

#[tokio::test]
async fn a_token_that_stays_refused_is_a_refused_login() {
    let lab = Lab::shared().await;
    let member = Member::new(lab, "refused-token").await;
    let other = lab.user("somebody-else", "secret").await;
    lab.allow_token(&other, "token-of-somebody-else");
    for token in ["token-of-nobody", "token-of-somebody-else", &member.account.password] {
        member.provider.gives(token);
        let asked = member.provider.forms().len();
        // Dovecot takes half a second for a refusal.
        let logins = every_way().map(|(service, mechanism)| {
            let member = &member;
            async move {
                let clients = ConnectionContext::default();
                // The second time it is a kept one, and a new one is tried once.
                for count in [1, 2] {
                    let (outcome, transcript) =
                        member.log_in(&clients, service, mechanism, token).await;
                    assert_refused(outcome, &member.account, &transcript);
                    assert_eq!(tries(mechanism, &transcript), count, "{transcript}");
                }
            }
        });
        join_all(logins).await;
        assert_eq!(member.provider.forms().len() - asked, 2 * every_way().count());
    }
}

#[tokio::test]
async fn a_round_trip_is_made_by_access_tokens_alone() {
    let member = Member::new(Lab::shared().await, "round-trip-by-token").await;
    let token = "token-of-the-round-trip";
    member.has(token);
    let options = roundtrip::Options {
        timeout: Some(Duration::from_secs(20)),
        shows_transcript: true,
        ..Default::default()
    };
    for (protocol, mechanism) in [("imap", "xoauth2"), ("pop3", "oauthbearer")] {
        let target = member.target(protocol, mechanism);
        let asked = member.provider.forms().len();
        let mut out = Vec::new();
        let mut terminal = roundtrip::Terminal::plain(&mut out);
        let verdict = roundtrip::run(&target, &options, &mut terminal, pending()).await;
        let text = String::from_utf8(out).unwrap();
        assert!(verdict.is_good(), "{text}");
        assert!(text.contains(&format!("Verdict: by-{protocol} works: sent in ")), "{text}");
        for side in Side::ALL {
            let said = format!(" {side} > ");
            let command = format!(" {}", mechanism.to_ascii_uppercase());
            let begins = |line: &str| line.contains(&said) && line.contains(&command);
            assert!(text.lines().any(begins), "{side}: {text}");
        }
        assert_hidden(token, &text);
        let forms = member.provider.forms();
        assert_eq!(forms.len(), asked + 1, "both sides share a token");
        assert!(forms[asked].starts_with("grant_type=client_credentials&"), "{forms:?}");
        assert_eq!(member.lab.mails(&member.account), [], "{text}");
    }
}

#[tokio::test]
async fn apop_lets_in_to_dovecot_where_nothing_else_takes_a_password() {
    let lab = Lab::start_with_apop().await;
    let reader = lab.user("reader", "pass word-0123456789").await;
    let wrong = Account { password: "not the one".into(), ..reader.clone() };
    let log_in = async |account: &Account| {
        let pop3 = plain(lab.ports().pop3);
        let target = target(&lab, "apop", account).receive("pop3", &pop3, account);
        let target = checked(target);
        let (outcome, transcript) =
            receive_with(target.receive.as_ref().unwrap(), &ConnectionContext::default()).await;
        let shown = format!("> APOP {} <secret>\n", reader.address);
        assert!(transcript.contains(&shown), "{transcript}");
        (outcome, transcript)
    };
    let (outcome, transcript) = log_in(&reader).await;
    assert_eq!(outcome, Ok(()), "{transcript}");
    let (outcome, transcript) = log_in(&wrong).await;
    assert_refused(outcome, &wrong, &transcript);
}

//! Logging in by every mechanism, to Postfix and Dovecot.

use ledger::{Reason, Snapshot};

use crate::lab::{Account, Lab};
use crate::real::postfix_dovecot;
use crate::support::logins::{log_in_to_receive, log_in_to_send};

#[tokio::test]
async fn postfix_and_dovecot_are_entered_by_every_mechanism_that_they_offer() {
    let lab = Lab::shared().await;
    let ports = lab.ports();
    let password = r#"päss "w\ ord" 1"#;
    let reader = lab.user("mechanisms", password).await;
    for auth in ["auto", "plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256"] {
        for (protocol, port) in [("imap", ports.imap), ("pop3", ports.pop3)] {
            let side = |port| format!("{}, auth: {auth}", postfix_dovecot::plain(port));
            let target = postfix_dovecot::Target::new(lab, "mechanisms", &reader)
                .send(&side(ports.smtp_login), Some(&reader))
                .receive(protocol, &side(port), &reader);
            let config = postfix_dovecot::config(lab, &[target]);
            let target = config.targets.into_values().next().unwrap();
            let expected = if auth == "auto" { "SCRAM-SHA-256" } else { auth };
            for (outcome, transcript) in
                [log_in_to_send(&target.send).await, log_in_to_receive(&target.receive).await]
            {
                assert_eq!(outcome, Ok(()), "{protocol} {auth}: {transcript}");
                assert!(transcript.contains(&expected.to_ascii_uppercase()), "{transcript}");
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_password_costs_postfix_and_dovecot_one_login_a_period_and_side() {
    // One of its own: wrong passwords are not to disturb others.
    let lab = Lab::start().await;
    let ports = lab.ports();
    for (protocol, port) in [("imap", ports.imap), ("pop3", ports.pop3)] {
        let name = format!("wrong-{protocol}");
        let reader = lab.user(&name, "right").await;
        let wrong = Account { password: "wrong".into(), ..reader.clone() };
        let side = |port| postfix_dovecot::protected(&lab, "starttls", port);
        let target = postfix_dovecot::Target::new(&lab, &name, &reader)
            .every("2s")
            .send(&side(ports.submission), Some(&wrong))
            .receive(protocol, &side(port), &wrong);
        let refused_before = lab.smtp_log().matches("authentication failed").count();
        let exporter = postfix_dovecot::Exporter::start(&lab, &[target]).await;
        let refused = |now: &Snapshot| {
            now.totals.check_failures >= 2 && now.send.failures_for(Reason::Auth) >= 2
        };
        let snapshot = exporter.until(&name, "refused", refused).await;
        exporter.supervisor.stop().await;
        // Its own count of each connection.
        let attempts = |line: &str| -> Option<u64> {
            let rest = line.split_once("auth failed, ")?.1;
            line.contains(&reader.address).then(|| rest.split(' ').next()?.parse().ok())?
        };
        let log = lab.dovecot_log();
        let attempts: u64 = log.lines().filter_map(attempts).sum();
        let periods = snapshot.totals.checks;
        assert!((2..=periods + 1).contains(&attempts), "{protocol}: {attempts} in {periods}");
        let refused = lab.smtp_log().matches("authentication failed").count() - refused_before;
        let sends = usize::try_from(snapshot.totals.probes).unwrap();
        assert!((2..=sends + 1).contains(&refused), "{protocol}: {refused} of {sends}");
    }
}

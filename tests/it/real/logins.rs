//! Logging in by every mechanism, to Postfix and Dovecot.

use ledger::{Reason, Snapshot};
use mailtrip_exporter::config::TlsMode;

use crate::lab::{Account, Lab};
use crate::real::scenarios;
use crate::real::stack::{plain, protected, target};
use crate::support::Exporter;

#[tokio::test]
async fn postfix_and_dovecot_are_entered_by_every_mechanism_that_they_offer() {
    let lab = Lab::shared().await;
    let ports = lab.ports();
    let ways = [ports.smtp_login, ports.imap, ports.pop3].map(plain);
    let reader = lab.user("mechanisms", r#"päss "w\ ord" 1"#).await;
    for auth in ["auto", "plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256"] {
        let mechanism = if auth == "auto" { "SCRAM-SHA-256" } else { auth }.to_ascii_uppercase();
        let commands = ["AUTH", "AUTHENTICATE", "AUTH"].map(|verb| format!("{verb} {mechanism}"));
        let commands = commands.each_ref().map(String::as_str);
        scenarios::are_entered_by(lab, &ways, &reader, auth, commands).await;
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
        let side = |port| protected(&lab, TlsMode::StartTls, port);
        let target = target(&lab, &name, &reader)
            .every("2s")
            .send(&side(ports.submission), Some(&wrong))
            .receive(protocol, &side(port), &wrong);
        let refused_before = lab.smtp_log().matches("authentication failed").count();
        let exporter = Exporter::start(&[target]).await;
        let refused = |now: &Snapshot| {
            now.totals.check_failures >= 2 && now.sides.send.failures_for(Reason::Auth) >= 2
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

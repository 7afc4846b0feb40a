//! The test mail before the spam filters that many servers run, SpamAssassin and rspamd of Debian: nothing
//! that is the program's to mend scores. Their network checks are off: what they find by DNS is a matter of
//! the operator's zone and addresses, and no test may ask it.

use std::path::Path;
use std::time::SystemTime;

use ledger::Token;
use mail::test_mail::compose;
use mailtrip_exporter::config::Config;

use crate::lab::rspamd::Rspamd;
use crate::lab::tool;

/// What rspamd holds against a mail that is not in the mail, with the reason why it stays.
const NOT_OURS: [(&str, &str); 7] = [
    ("ONCE_RECEIVED", "a mail that is handed over by its sender has made one hop"),
    ("HFILTER_FROMHOST_NORES_A_OR_MX", "the domain of `from` has no address where DNS is off"),
    ("HFILTER_HELO_IP_A", "the name in EHLO has no address where DNS is off"),
    ("HFILTER_HELO_NORES_A_OR_MX", "the name in EHLO has no address where DNS is off"),
    ("HFILTER_HOSTNAME_UNKNOWN", "the address of the client has no name where DNS is off"),
    ("RDNS_NONE", "the address of the client has no name where DNS is off"),
    ("RCVD_NO_TLS_LAST", "whether TLS is used is for `tls` of the target to say"),
];
/// The test mail as a filter gets it: what the program writes.
fn mail() -> String {
    let text = "targets: [{name: corp, host: mail.example.test, from: sendtest@example.test, to: \
                receivetest@example.test, receive: {protocol: imap, username: rita, password: x}}]";
    let config = Config::parse(text, Path::new("mailtrip.yml")).unwrap();
    let target = config.targets.into_values().next().unwrap();
    let (token, now) = (Token::random(), SystemTime::now());
    let mail =
        compose(target.addressed(), token, Token::random(), now, "monitor.example.test").unwrap();
    String::from_utf8(mail.to_vec()).unwrap()
}

/// The mail as it would be without this field.
fn without(mail: &str, field: &str) -> String {
    mail.split_inclusive("\r\n").filter(|line| !line.starts_with(field)).collect()
}

/// What the program `spamassassin` does with `--local --test-mode`, but for a folder that it makes in
/// the user's home whatever `HOME` says.
const SPAMASSASSIN: &str = "
    my $filter = Mail::SpamAssassin->new({
        home_dir_for_helpers => $ENV{HOME}, local_tests_only => 1, dont_copy_prefs => 1,
    });
    print $filter->check($filter->parse([<STDIN>]))->get_report;
";

/// The rules that SpamAssassin counts against a mail, with their points.
async fn spamassassin(mail: &str) -> Vec<(String, f64)> {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().to_string_lossy().into_owned();
    let home = format!("HOME={folder}");
    let date = mail.lines().find_map(|line| line.strip_prefix("Date: "));
    let date = date.unwrap_or("Sat, 28 Nov 2026 10:00:00 +0000");
    let received = format!(
        "Received: from monitor.example.test (monitor.example.test [10.1.2.3])\r\n\tby mx.example.test \
         with ESMTPS id 1; {date}\r\n"
    );
    let arguments = [&home, "perl", "-MMail::SpamAssassin", "-e", SPAMASSASSIN];
    let said = tool::feed("env", &arguments, &format!("{received}{mail}")).await;
    let (_, table) = said.rsplit_once("---- ----").expect("the table of the rules");
    let rule = |line: &str| {
        let mut words = line.split_whitespace();
        let points: f64 = words.next()?.parse().ok()?;
        Some((words.next()?.to_owned(), points))
    };
    table.lines().filter_map(rule).filter(|(_, points)| *points > 0.0).collect()
}

impl Rspamd {
    /// The symbols that count against a mail, with their points.
    async fn symbols(&self, mail: &str) -> Vec<(String, f64)> {
        let server = format!("127.0.0.1:{}", self.port);
        let client = ["--ip=192.0.2.7", "--helo=monitor.example.test"];
        let envelope = ["--from=sendtest@example.test", "--rcpt=receivetest@example.test"];
        let arguments =
            [&["--connect", &server], &client[..], &envelope[..], &["symbols"]].concat();
        let said = tool::feed("rspamc", &arguments, mail).await;
        assert!(said.contains("Action: "), "{said}");
        let symbol = |line: &str| {
            let (name, rest) = line.strip_prefix("Symbol: ")?.split_once(" (")?;
            Some((name.to_owned(), rest.split_once(')')?.0.parse().ok()?))
        };
        said.lines().filter_map(symbol).filter(|(_, points)| *points > 0.0).collect()
    }
}

#[tokio::test]
async fn spamassassin_holds_nothing_against_the_test_mail() {
    assert_eq!(spamassassin(&mail()).await, []);
    let bad = spamassassin(&without(&mail(), "From: ")).await;
    assert!(!bad.is_empty(), "it counts what is wrong");
}

#[tokio::test]
async fn rspamd_holds_nothing_against_the_test_mail_that_is_in_it() {
    let rspamd = Rspamd::start().await;
    let is_not_ours = |name: &str| NOT_OURS.iter().any(|(known, _)| *known == name);
    let found = rspamd.symbols(&mail()).await;
    let ours: Vec<_> = found.iter().filter(|(name, _)| !is_not_ours(name)).collect();
    assert!(ours.is_empty(), "{ours:?} of {found:?}");
    let worse = rspamd.symbols(&without(&mail(), "MIME-Version: ")).await;
    let missing = worse.iter().find(|(name, _)| name == "MISSING_MIME_VERSION");
    assert!(
        missing.is_some_and(|(_, points)| *points >= 1.0),
        "it counts what is wrong: {worse:?}"
    );
}

//! Which of the servers are taken, by which login, and what is said of those that are not.

use std::fs;

use testserver::faults::{CHALLENGE, CREDENTIALS, Fault};
use testserver::{Certificate, Options, Protocol};

use super::{Bench, PASSWORD};

#[tokio::test]
async fn what_the_probe_does_is_what_was_tried() {
    let mut bench = Bench::new("rita@example.test");
    bench.add("_submissions", Protocol::Smtp, Certificate::Good).await;
    let tls = bench.authority.server(Certificate::Good).unwrap();
    let options = Options::new().implicit_tls(&tls).mechanisms(&["PLAIN", "CRAM-MD5"]);
    bench.add_with("_imaps", Protocol::Imap, options).await;
    // It offers digests over passwords that it has not in the clear: PLAIN alone has no challenge.
    let refusal = Fault::reply("{tag} NO [AUTHENTICATIONFAILED] wrong");
    bench.server("_imaps").faults().on(CHALLENGE, refusal);
    let (outcome, shown) = bench.run().await;
    assert_eq!(outcome, Ok(true), "{shown}");
    let text = fs::read_to_string(bench.path().join("mailtrip.yml")).unwrap();
    assert!(text.contains("auth: plain"), "{text}");
}

#[tokio::test]
async fn tls_from_the_start_is_tried_where_a_domain_names_starttls_alone() {
    let mut bench = Bench::new("rita@example.test");
    bench.add("_imap", Protocol::Imap, Certificate::Good).await;
    bench.add("_submission", Protocol::Smtp, Certificate::Good).await;
    let (outcome, shown) = bench.run_with(PASSWORD, &[("_submissions", 0)]).await;
    assert_eq!(outcome, Ok(true), "{shown}");
    assert!(shown.contains("imap localhost:993, TLS: "), "{shown}");
    // The domain says that it has none.
    assert!(!shown.contains("localhost:465"), "{shown}");
}

#[tokio::test]
async fn what_a_configuration_could_do_without_is_no_advice_of_init() {
    let mut bench = Bench::new("rita@example.test");
    bench.add_with("_imap", Protocol::Imap, Options::new()).await;
    bench.add("_pop3s", Protocol::Pop3, Certificate::Good).await;
    bench.add("_submissions", Protocol::Smtp, Certificate::Good).await;
    let (outcome, shown) = bench.run().await;
    assert_eq!(outcome, Ok(true), "{shown}");
    assert!(shown.contains("does not offer STARTTLS") && !shown.contains("tls: none"), "{shown}");
}

#[tokio::test]
async fn a_password_that_the_mailbox_takes_is_not_called_wrong() {
    let mut bench = Bench::usual("rita@example.test").await;
    let refusal = Fault::reply("535 5.7.8 not for you");
    bench.server("_submissions").faults().on(CREDENTIALS, refusal);
    let problem = bench.problem(PASSWORD).await;
    assert!(problem.contains("taken it for rita@example.test"), "{problem}");
    assert!(!problem.contains("whether the password is right"), "{problem}");
    assert_eq!(bench.logins("_submissions"), 2);
}

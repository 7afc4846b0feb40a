//! What a reload has begin earlier.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

use super::*;
use crate::probing::send::Origin;
use ledger::Token;

/// Targets of which 20 begin in each second, all with a mailbox of their own, but for this one in that of another.
fn config(moved: Option<(usize, usize)>) -> Config {
    let mut yaml =
        String::from("defaults: {from: a@b.test, to: a@b.test, interval: 1h}\ntargets:\n");
    for number in 0..800 {
        let user = moved.filter(|(from, _)| *from == number).map_or(number, |(_, to)| to);
        let side = "port: 1, tls: none";
        let receive = format!("{{protocol: imap, {side}, username: u{user}, password: p}}");
        writeln!(
            yaml,
            "- {{name: t{number:03}, host: 127.0.0.1, send: {{{side}}}, receive: {receive}}}"
        )
        .unwrap();
    }
    Config::parse(&yaml, Path::new("test.yml")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_opened_earlier_has_the_checks_of_all_its_targets_begin_earlier() {
    let origin = Origin { instance: Token::random(), host: None };
    let supervisor = Supervisor::start(config(None), None, origin).await.unwrap();
    let has_begun = || {
        let name = TargetName::new("t799").unwrap();
        let state = supervisor.state();
        state.targets.get(&name).unwrap().checking.has_begun()
    };
    // The last of them is due after 40 s; another, due after 10 s, moves into its mailbox.
    supervisor.apply(config(Some((200, 799)))).await.unwrap();
    assert!(!has_begun());
    sleep(Duration::from_secs(8)).await;
    assert!(has_begun(), "the login for the other target shows something of its port");
    supervisor.stop().await;
}

//! A server whose folders are labels, as Gmail's: a mail of ours goes to the trash and is deleted there,
//! on a real Dovecot that calls itself one.

use std::future::pending;
use std::time::Duration;

use ledger::Side;
use mailtrip_exporter::roundtrip;
use mailtrip_exporter::roundtrip::state::Thresholds;

use crate::lab::{Imap, Lab};
use crate::real::scenarios::checked;
use crate::real::stack::{flag, mails, target};

#[tokio::test]
async fn a_mail_of_ours_is_deleted_in_the_trash_and_nothing_else_is_there() {
    let lab = Lab::start_with(Imap::WithLabels).await;
    let reader = lab.user("labels", "secret").await;
    for (folder, text) in [
        ("INBOX", "Subject: hello\n\nfrom a friend\n"),
        ("Trash", "Subject: old\n\nthrown away\n"),
        ("Trash", "Subject: older\n\nmarked as deleted, and not yet gone\n"),
    ] {
        lab.inject(&reader, folder, text);
    }
    flag(&lab, &reader, "older", "ST");
    let before = mails(&lab, &reader);

    let target = checked(target(&lab, "labels", &reader).every("1m"));
    let options =
        roundtrip::Options { timeout: Some(Duration::from_secs(20)), ..Default::default() };
    let mut terminal = roundtrip::Terminal::plain(std::io::sink());
    let verdict = roundtrip::run(&target, &options, &mut terminal, pending()).await;
    assert!(verdict.is_good(), "{:?}", verdict.sentences(&target, &Thresholds::default()));
    let said = &verdict.side(Side::Receive).transcript;
    let has = |words: &str| said.iter().any(|line| line.contains(words));
    assert!(has("UID MOVE 2 \"Trash\"") && has("[COPYUID "), "{said:#?}");
    assert_eq!(mails(&lab, &reader), before);
}

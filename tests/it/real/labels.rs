//! A server whose folders are labels, as Gmail's: a mail of ours goes to the trash and is deleted there,
//! on a real Dovecot that calls itself one.

use std::fs;
use std::future::pending;
use std::time::Duration;

use ledger::Side;
use mailtrip_exporter::roundtrip;

use crate::lab::{Account, Imap, Lab};
use crate::real::postfix_dovecot::{self, Target};

/// What lies in the mailbox, with folder, flags and text.
fn mails(lab: &Lab, account: &Account) -> Vec<String> {
    let mails = lab.mails(account).into_iter();
    let mut shown: Vec<String> =
        mails.map(|mail| format!("{} {} {}", mail.folder, mail.flags, mail.text())).collect();
    shown.sort();
    shown
}

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
    let marked = lab.mails(&reader).into_iter().find(|mail| mail.text().contains("older")).unwrap();
    let name = marked.path.file_name().unwrap().to_string_lossy().into_owned();
    let cur = marked.path.parent().unwrap().parent().unwrap().join("cur");
    fs::rename(&marked.path, cur.join(format!("{name}:2,ST"))).unwrap();
    let before = mails(&lab, &reader);

    let config = postfix_dovecot::config(&lab, &[Target::new(&lab, "labels", &reader).every("1m")]);
    let target = config.targets.into_values().next().unwrap();
    let options =
        roundtrip::Options { timeout: Some(Duration::from_secs(20)), ..Default::default() };
    let mut terminal = roundtrip::Terminal::plain(std::io::sink());
    let verdict = roundtrip::run(&target, &options, &mut terminal, pending()).await;
    assert!(verdict.is_good(), "{:?}", verdict.sentences(&target));
    let said = &verdict.side(Side::Receive).transcript;
    let has = |words: &str| said.iter().any(|line| line.contains(words));
    assert!(has("UID MOVE 2 \"Trash\"") && has("[COPYUID "), "{said:#?}");
    assert_eq!(mails(&lab, &reader), before);
}

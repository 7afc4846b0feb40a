//! The answers of an IMAP server, in a session as the watch has it and some steps more.
//!
//! Input: what the server says (see [`crate::fuzz::script`]).

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Outcome, Session, play};
use crate::imap::{Fetched, Imap};
use ledger::Failure;

/// The most folders with a use, and UIDs in an answer, that are noted.
const MOST_NOTED: usize = 200;

pub(in crate::fuzz) fn check(input: &[u8]) {
    play(input, client);
}

pub(super) async fn client(session: Session) -> Outcome {
    let mut outcome = Outcome::default();
    let Session { dialer, login, trace, end } = session;
    match Imap::open(&dialer, &login, trace, end).await {
        Ok(mut imap) => {
            if let Err(failure) = steps(&mut imap, &mut outcome).await {
                outcome.fail(&failure);
            } else {
                imap.log_out().await;
            }
        }
        Err(failure) => outcome.fail(&failure),
    }
    outcome
}

async fn steps(imap: &mut Imap, outcome: &mut Outcome) -> Result<(), Failure> {
    let folders = imap.list().await?;
    assert!(folders.len() <= 100, "{} folders", folders.len());
    outcome.note(&folders);
    let name = folders.first().map_or(&b"INBOX"[..], |folder| &folder.name);
    outcome.note(imap.select(name).await?);
    let day = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    let found = imap.search_since(day).await?;
    let newest: Vec<u32> = found.falling().take(MOST_NOTED).collect();
    assert!(newest.is_sorted_by(|newer, older| newer > older), "{newest:?}");
    assert!(newest.iter().all(|uid| found.contains(*uid)), "{newest:?}");
    outcome.note(&newest);
    let uids = imap.uids_from(5).await?;
    assert!(uids.rising().take(MOST_NOTED).all(|uid| uid >= 5), "a UID below the first");
    fetch(imap, outcome).await?;
    outcome.note(imap.header(7).await?.map(|header| header.len()));
    if imap.can_idle() {
        let until = Instant::now() + Duration::from_secs(60);
        outcome.note(imap.idle(until, &Notify::new()).await?.is_some());
    }
    outcome.note(imap.news().await?.is_some());
    if imap.keeps_what_is_removed() {
        let moved = imap.move_to(&[7, 9], b"Trash").await?;
        assert!(moved.len() <= 2, "{moved:?}");
        outcome.note(moved);
    }
    imap.mark_deleted(&[7]).await?;
    let marked: Vec<u32> = imap.marked_deleted().await?.rising().take(MOST_NOTED).collect();
    outcome.note(marked);
    if imap.expunges_by_uid() {
        imap.expunge_these(&[7]).await?;
    } else {
        imap.expunge().await?;
    }
    outcome.note(imap.exists());
    Ok(())
}

async fn fetch(imap: &mut Imap, outcome: &mut Outcome) -> Result<(), Failure> {
    let mut mails = 0;
    let mut sink = |mail: Fetched, _: Instant| {
        mails += 1;
        if mails <= MOST_NOTED {
            outcome.note((mail.number, mail.uid, mail.internal_date));
            outcome.note_bytes(mail.header.as_deref().unwrap_or(b"none"));
        }
    };
    let refusal = imap.fetch_from(7, &BTreeSet::new(), &mut sink).await?;
    if let Some(refusal) = refusal {
        outcome.fail(&refusal);
    }
    let exists = imap.exists();
    outcome.note(mails);
    let mut keep_nothing = |_: Fetched, _: Instant| {};
    imap.fetch_newest(5, exists, &BTreeSet::new(), &mut keep_nothing).await?;
    Ok(())
}

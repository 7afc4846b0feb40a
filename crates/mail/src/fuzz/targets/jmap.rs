//! The answers of a JMAP server: its session resource, mailboxes, mails, changes, a whole header, the beginning of a
//! mail, a removal, and its events.
//!
//! Input: what the server says (see [`crate::fuzz::script`]).

use super::{Outcome, Session, play};
use crate::jmap::{Email, EmailId, Jmap};
use ledger::Failure;

pub(in crate::fuzz) fn check(input: &[u8]) {
    play(input, client);
}

pub(super) async fn client(session: Session) -> Outcome {
    let mut outcome = Outcome::default();
    let Session { dialer, login, trace, end } = session;
    let steps = async {
        let mut jmap = Jmap::open(&dialer, &login, trace, end).await?;
        steps(&mut jmap, &mut outcome).await?;
        let mut events = jmap.events(end).await?;
        for _ in 0..5 {
            let Some(state) = events.next(end).await? else { break };
            outcome.note(state);
        }
        Ok(())
    };
    let ended: Result<(), Failure> = steps.await;
    if let Err(failure) = ended {
        outcome.fail(&failure);
    }
    outcome
}

async fn steps(jmap: &mut Jmap, outcome: &mut Outcome) -> Result<(), Failure> {
    let mailboxes = jmap.mailboxes().await?;
    outcome.note(mailboxes.len());
    let (state, newest) = jmap.newest(&["a".to_owned()], None, 500).await?;
    outcome.note((&state, newest.len()));
    for id in &newest {
        assert_eq!(EmailId::read(&id.to_string()).as_ref(), Some(id), "as the store keeps it");
    }
    let emails = jmap.emails(&newest).await?;
    note(&emails, outcome);
    if let Some(changes) = jmap.changes(&state).await? {
        outcome.note((
            &changes.state,
            changes.has_more,
            changes.created.len(),
            changes.updated.len(),
        ));
        note(&changes.emails, outcome);
    }
    let Some(email) = emails.first() else { return Ok(()) };
    if let Some((block, size)) = jmap.header(&email.id).await? {
        outcome.note(size);
        outcome.note_bytes(&block);
    }
    if let Some(beginning) = jmap.beginning(&email.blob_id).await? {
        assert!(beginning.len() <= 64 << 10, "{} bytes", beginning.len());
        outcome.note_bytes(&beginning);
    }
    let destroyed = jmap.destroy(&newest).await?;
    outcome.note((destroyed.gone.len(), destroyed.left.len(), destroyed.refused.len()));
    Ok(())
}

fn note(emails: &[Email], outcome: &mut Outcome) {
    for email in emails.iter().take(50) {
        outcome.note((&email.id, &email.mailboxes, email.received_at));
        outcome.note_bytes(&email.block);
    }
}

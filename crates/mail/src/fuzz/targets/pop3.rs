//! The replies of a POP3 server: greeting, CAPA, login, STAT, UIDL, TOP, DELE, QUIT.
//!
//! Input: what the server says (see [`crate::fuzz::script`]).

use super::{Outcome, Session, play};
use crate::pop3::{Id, Pop3};
use ledger::Failure;
use ledger::LoginDelay;

pub(in crate::fuzz) fn check(input: &[u8]) {
    play(input, client);
}

pub(super) async fn client(session: Session) -> Outcome {
    let mut outcome = Outcome::default();
    let Session { dialer, login, trace, end } = session;
    let steps = async {
        let pop3 = Pop3::open(&dialer, &login, trace, end).await?;
        steps(pop3, &mut outcome).await
    };
    if let Err(failure) = steps.await {
        outcome.fail(&failure);
    }
    outcome
}

async fn steps(mut pop3: Pop3, outcome: &mut Outcome) -> Result<(), Failure> {
    assert!(pop3.login_delay().kept() <= LoginDelay::LONGEST);
    outcome.note((pop3.login_delay(), pop3.has_top()));
    let listing = pop3.list().await?;
    outcome.note((listing.len(), listing.is_cut()));
    for entry in listing.entries().rev().take(50) {
        assert_eq!(Id::from_kept(&entry.id.to_string()), entry.id, "as the store keeps it");
        outcome.note(entry);
    }
    if let Some(newest) = listing.entries().next_back() {
        for header in [pop3.header(newest.number).await?, pop3.beginning(newest.number).await?] {
            assert!(header.len() <= 64 << 10, "{} bytes", header.len());
            outcome.note_bytes(&header);
        }
        pop3.delete(newest.number).await?;
    }
    pop3.quit(!listing.is_empty()).await
}

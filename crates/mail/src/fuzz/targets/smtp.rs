//! The replies of an SMTP server: greeting, EHLO, login, and those to two mails.
//!
//! Input: what the server says (see [`crate::fuzz::script`]). It is logged in to where it offers AUTH.

use super::{Outcome, Session, play};
use crate::fuzz::shown::{self, USER};
use crate::smtp::{NotAccepted, Smtp};

pub(in crate::fuzz) fn check(input: &[u8]) {
    let logs_in = input.windows(4).any(|word| word.eq_ignore_ascii_case(b"AUTH"));
    play(input, async |session| client(session, logs_in).await);
}

pub(super) async fn client(session: Session, logs_in: bool) -> Outcome {
    let Session { dialer, login, trace, end } = session;
    let mut outcome = Outcome::default();
    let login = Some(&login).filter(|_| logs_in);
    let mut smtp = match Smtp::open(&dialer, login, Some("monitor.test"), trace, end).await {
        Ok(smtp) => smtp,
        Err(failure) => {
            outcome.fail(&failure);
            return outcome;
        }
    };
    let [from, to] = [USER, "to@example.test"].map(|address| address.parse().unwrap());
    for content in [&b"Subject: a\r\n\r\n.a\r\n"[..], b"Subject: b\r\n\r\nb"] {
        match smtp.hand_over(&from, &to, "a1", &content.into()).await {
            Ok(handed_over) => {
                assert!((200..=299).contains(&handed_over.reply.code), "{:?}", handed_over.reply);
                outcome.note((&handed_over.reply, handed_over.reply.enhanced()));
            }
            Err(NotAccepted::Refused(failure)) => {
                outcome.fail(&failure);
                if let Err(failure) = smtp.reset().await {
                    outcome.fail(&failure);
                    return outcome;
                }
            }
            Err(other) => {
                outcome.fail(other.failure());
                outcome.note(matches!(other, NotAccepted::Doubtful(_)));
                return outcome;
            }
        }
    }
    smtp.quit().await;
    shown::check(&outcome.0);
    outcome
}

//! Tests of what must not pass, as far as no mail is needed for them; and what becomes of those that need one.

use ledger::{Attempt, Expectation, Failure, Reading, Servers, Side, Token};
use mail::outer::{MARGIN, enforced};
use mail::smtp::{NotAccepted, Reply, Smtp};
use mail::trace::Trace;
use tokio::time::Instant;

use super::{Sender, keep_record};
use crate::config::{RefusedAt, Target};
use mail::wire::Dialer;

/// Opens a connection and asks the server for what it should refuse, to this place and no further, by `end` at the
/// latest. Gives the words of its consent, and the connection if it is still good.
///
/// # Errors
/// See [`NotAccepted`]: a refusal among them is as it should be.
pub async fn ask(
    target: &Target,
    place: RefusedAt,
    name: Option<&str>,
    dialer: &Dialer,
    trace: &Trace,
    end: Instant,
) -> (Option<Smtp>, Result<String, NotAccepted>) {
    let began = Instant::now();
    let dialogue = async {
        let login = target.send.login.as_ref();
        let name = target.send.ehlo.as_deref().or(name);
        let opened = Smtp::open(dialer, login, name, trace.clone(), end).await;
        let mut smtp = match opened {
            Ok(smtp) => smtp,
            Err(failure) => return (None, Err(NotAccepted::Broken(failure))),
        };
        let consent = match place {
            RefusedAt::Login => smtp.would_hear_password().await,
            RefusedAt::Recipient | RefusedAt::Message => {
                let id = Token::random().to_string();
                let consent = smtp.would_take(&target.from, &target.to, &id).await;
                consent.map(|reply| trace.words(reply.to_string().as_bytes()))
            }
        };
        let is_broken = matches!(consent, Err(NotAccepted::Broken(_) | NotAccepted::Doubtful(_)));
        (Some(smtp).filter(|_| !is_broken), consent)
    };
    let overrun = || (None, Err(NotAccepted::Broken(trace.overrun(began.elapsed()))));
    enforced(end + MARGIN, dialogue).await.unwrap_or_else(overrun)
}

impl Sender {
    /// One period whose test ends before a mail is sent. The connection is given back if it is still good.
    pub(super) async fn ask(&self, place: RefusedAt) -> Option<Smtp> {
        let target = &self.target;
        let trace = Trace::new(target.send.login.as_ref());
        let end = Instant::now() + target.interval;
        self.account.update(ledger::Ledger::asks);
        self.account.attempt_began(Side::Send, end, &trace);
        let host = self.origin.host.as_deref();
        let (smtp, consent) = ask(target, place, host, &self.dialer, &trace, end).await;
        let mut attempt = Attempt { server: Servers::from(&**target).send, ..Attempt::default() };
        match &consent {
            Ok(words) => self.account.judged(&attempt.server, Reading::Is(false), words),
            Err(error) => {
                let failure = error.failure();
                let awaited = target.awaited();
                let is_met = awaited.map_or(Reading::Unmeasured, |it| it.of_refusal(failure));
                self.account.judged(&attempt.server, is_met, &failure.message);
                attempt.failures.extend(Some(failure.clone()).filter(|it| !self.is_answer(it)));
            }
        }
        keep_record(&mut attempt, &trace);
        self.account.send_ended(0, 1, &attempt);
        smtp
    }

    /// Whether this is what the test of the target asks for, and no failure.
    pub(super) fn is_answer(&self, failure: &Failure) -> bool {
        self.target.awaited().is_some_and(|awaited| awaited.is_answer(failure))
    }

    /// The server has taken a mail that it should have refused, if it should.
    pub(super) fn passed(&self, reply: &Reply, trace: &Trace) {
        let expected = self.target.expected();
        if expected.is_some_and(|it| it.outcome == Expectation::Refused) {
            let words = trace.words(reply.to_string().as_bytes());
            let server = Servers::from(&*self.target).send;
            self.account.judged(&server, Reading::Is(false), &words);
        }
    }
}

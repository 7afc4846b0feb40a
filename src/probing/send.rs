//! The send loop of one target: each period its test mails on a fresh SMTP connection.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::future::FutureExt;
use tokio_util::sync::CancellationToken;

use super::bound::{Bound, Permit};
use super::pace::{Pace, leased};
use crate::account::{Account, Delay};
use crate::clock::{self, next_tick, on_time_line};
use crate::config::{Expected, Target};
use crate::probing::mailbox::{MailboxHandle, Subscriber};
use ledger::LineInstant;
use ledger::{Attempt, Servers, Transmission};
use ledger::{Failure, Reason, Side, Step};
use ledger::{Instance, Token};
use mail::Fault;
use mail::departure;
use mail::outer::{MARGIN, enforced};
use mail::smtp::{HandedOver, NotAccepted, Smtp};
use mail::test_mail::write;
use mail::trace::Trace;
use mail::wire::Dialer;

pub mod question;

/// How long the farewell to a server may take.
const FAREWELL: Duration = Duration::from_secs(3);

/// Everything that the send loop of one target needs.
pub struct Sender {
    /// The target.
    pub target: Arc<Target>,
    /// Its account.
    pub account: Arc<Account>,
    /// The one turn to send that its loops share: a loop that was let go may still be in the middle of
    /// a send.
    pub turn: Arc<Semaphore>,
    /// Its mailbox; `None`: nobody looks for its mails.
    pub mailbox: Option<Arc<MailboxHandle>>,
    /// Its subscription to that mailbox.
    pub subscriber: Arc<Subscriber>,
    /// The sender's own mailbox, if there is one.
    pub sender_mailbox: Option<Arc<MailboxHandle>>,
    /// The way to its SMTP server.
    pub dialer: Dialer,
    /// The connections that may be open at one time to that server and account.
    pub slots: Arc<Bound>,
    /// How many sends of all targets begin at one time.
    pub pace: Arc<Pace>,
    /// Who sends.
    pub origin: Arc<Origin>,
}

/// Who sends the test mails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The id of the state directory.
    pub instance: Instance,
    /// This host's full name; `None` if it has none.
    pub host: Option<String>,
}

impl Sender {
    /// Sends at `first` and then each period, until it is cancelled; a send that is under way then is
    /// finished. One period at a time: a start that finds the one before still sending is skipped and
    /// counted.
    ///
    /// What it does is on the heap, as long as it lasts: for most of its time it waits.
    pub async fn run(&self, first: Instant, cancel: &CancellationToken) {
        let taken_over = Box::pin(self.take_over(first));
        let Some(mut tick) = taken_over.with_cancellation_token(cancel).await else { return };
        // It may be late already where the loop itself began late.
        let mut due = tick;
        loop {
            if sleep_until(tick).with_cancellation_token(cancel).await.is_none() {
                return;
            }
            let Some(next) = Box::pin(self.period(tick, due.elapsed(), cancel)).await else {
                return;
            };
            tick = next;
            // A server that takes its time over the farewell makes the next start late, and not the exporter.
            due = tick.max(Instant::now());
        }
    }

    /// One period, which was to begin at `tick`, and is so `late` by the exporter's fault; gives when the next begins,
    /// or `None` if it is cancelled before a mail is registered.
    async fn period(
        &self,
        tick: Instant,
        late: Duration,
        cancel: &CancellationToken,
    ) -> Option<Instant> {
        let interval = self.target.interval;
        let period = self.begin(tick, late).with_cancellation_token(cancel).await??;
        let Period { tick, patience, permit, _turn, _slot } = period;
        let farewell = match self.target.expected().and_then(Expected::stops_at) {
            Some(place) => leased(permit, Box::pin(self.ask(place))).await,
            None => leased(permit, Box::pin(self.send(patience, cancel))).await,
        };
        self.account.log_expectation();
        let (next, skipped) = next_tick(tick, interval, Instant::now());
        self.skipped(skipped, Delay::Sending);
        self.subscriber.announce_send(next);
        self.wake_mailboxes();
        if let Some(smtp) = farewell {
            let _ = enforced(Instant::now() + FAREWELL, smtp.quit()).await;
        }
        Some(next)
    }

    fn skipped(&self, periods: u64, why: Delay) {
        if periods > 0 {
            self.account.periods_skipped(periods, why);
        }
    }

    /// Waits until a loop that was let go has finished its send, and gives the first tick after it.
    async fn take_over(&self, first: Instant) -> Instant {
        let is_free = self.turn.try_acquire().is_ok();
        let turn = self.turn.acquire().await;
        // A loop that broke off in the middle of a send has left mails without a reply.
        self.account.sending_abandoned();
        drop(turn);
        let now = Instant::now();
        if is_free {
            return first;
        }
        // What was sent meanwhile woke the mailbox that it knew.
        self.wake_mailboxes();
        if first >= now {
            return first;
        }
        let (next, skipped) = next_tick(first, self.target.interval, now);
        self.account.periods_skipped(skipped + 1, Delay::Sending);
        self.subscriber.announce_send(next);
        next
    }

    /// Begins a period. Where the server or the exporter is at its limit it waits in the queue, if need be for more than
    /// a period: who gave its place up for the next period would stand behind those who came later. Nothing is
    /// registered yet.
    async fn begin(&self, mut tick: Instant, late: Duration) -> Option<Period<'_>> {
        self.account.update(ledger::Ledger::period_began);
        // A broken mailbox never stops sending.
        let mut patience = Instant::now();
        if let Some(mailbox) = &self.mailbox {
            patience += mailbox.patience();
            let _ = timeout_at(patience, mailbox.wait_for_check(tick)).await;
        }
        let slot = self.queued(Delay::Connection, &mut tick, self.slots.acquire()).await.ok()?;
        // Last of what may wait for others. What comes before the connection lies within the lease: the store's commit, and
        // the session of a POP3 mailbox. Where they are slow the lease may be over before it; else they would hold up all.
        let permit = self.queued(Delay::Place, &mut tick, self.pace.begin(late)).await.ok()?;
        // Whoever has it sends, and is not only in a queue: what becomes of a changed target goes by that. Nobody has it
        // now, or a loop that was let go this moment, which needs nothing of what this one holds.
        let turn = self.turn.acquire().await.ok()?;
        // The account has counted them by the time, and an attempt begins to count anew.
        let (next, behind) = next_tick(tick, self.target.interval, Instant::now());
        self.skipped(behind, Delay::Exporter);
        let tick = next - self.target.interval;
        Some(Period { tick, patience, permit, _turn: turn, _slot: slot })
    }

    /// Waits in a queue, and tells of each period that goes by meanwhile when it does; `tick` becomes that of the last.
    async fn queued<T>(
        &self,
        queue: Delay,
        tick: &mut Instant,
        wait: impl Future<Output = T>,
    ) -> T {
        let _shown = self.subscriber.waits(queue);
        // The same throughout, so that it keeps its place.
        let mut wait = pin!(wait);
        loop {
            let next = *tick + self.target.interval;
            if let Ok(ended) = timeout_at(next, &mut wait).await {
                return ended;
            }
            self.skipped(1, queue);
            *tick = next;
        }
    }

    /// One period's mails on one connection, which is given back if it is still good. Until `patience`
    /// ends the mailbox task may make ready, unless this is the last.
    async fn send(&self, patience: Instant, last: &CancellationToken) -> Option<Smtp> {
        let target = &self.target;
        let tokens: Vec<Token> = (0..target.messages.get()).map(|_| Token::random()).collect();
        let server = Servers::from(&**target).send;
        self.account.sending(&server, &tokens).await;
        if let Some(mailbox) = &self.mailbox {
            let made_ready = timeout_at(patience, mailbox.make_ready());
            let _ = last.run_until_cancelled(made_ready).await;
        }
        let login = target.send.login.as_ref();
        let trace = Trace::new(login);
        // The transmission begins when the name is resolved for its connection.
        let began = Instant::now();
        let transmitted = on_time_line(began);
        let end = began + target.interval;
        let name = target.send.ehlo.as_deref().or(self.origin.host.as_deref());
        let mut attempt = Attempt { server, tokens, ..Attempt::default() };
        let mut accepted = 0;
        self.account.attempt_began(Side::Send, end, &trace);
        let dialogue = async {
            match Smtp::open(&self.dialer, login, name, trace.clone(), end).await {
                Ok(smtp) => {
                    self.send_all(smtp, transmitted, &trace, &mut attempt, &mut accepted, end).await
                }
                Err(failure) => {
                    let failure = self.judged(failure, end).await;
                    self.give_up(&attempt.tokens, &failure);
                    attempt.failures.push(failure);
                    None
                }
            }
        };
        let smtp = enforced(end + MARGIN, dialogue).await.unwrap_or_else(|| {
            self.cut_short(trace.overrun(began.elapsed()), &mut attempt);
            None
        });
        keep_record(&mut attempt, &trace);
        self.account.send_ended(accepted, target.messages.get(), &attempt);
        smtp
    }

    /// Hands over mail after mail: one that is refused is passed over, a lost connection leaves the
    /// rest not accepted.
    async fn send_all(
        &self,
        mut smtp: Smtp,
        transmitted: LineInstant,
        trace: &Trace,
        attempt: &mut Attempt,
        accepted: &mut u32,
        end: Instant,
    ) -> Option<Smtp> {
        let Attempt { tokens, failures, .. } = attempt;
        for (index, token) in tokens.iter().enumerate() {
            let is_last = index + 1 == tokens.len();
            let rest = tokens.get(index + 1..).unwrap_or_default();
            match self.send_one(&mut smtp, *token, trace).await {
                Ok(handed_over) => {
                    *accepted += 1;
                    let HandedOver { ref reply, began, written, network, .. } = handed_over;
                    self.passed(reply, trace);
                    let transmission = Transmission {
                        // The connection was made for the first.
                        began: if index == 0 { transmitted } else { on_time_line(began) },
                        handed_over: on_time_line(written),
                        network,
                    };
                    self.account.accepted(*token, &transmission);
                    self.wake_mailboxes();
                }
                Err(NotAccepted::Refused(failure)) => {
                    self.account.not_accepted(*token, &failure, false);
                    failures.extend(Some(failure).filter(|failure| !self.is_answer(failure)));
                    if is_last {
                        break;
                    }
                    if let Err(failure) = smtp.reset().await {
                        let failure = self.judged(failure, end).await;
                        self.give_up(rest, &failure);
                        failures.push(failure);
                        return None;
                    }
                }
                Err(error) => {
                    let is_doubtful = matches!(error, NotAccepted::Doubtful(_));
                    let failure = self.judged(error.failure().clone(), end).await;
                    self.account.not_accepted(*token, &failure, is_doubtful);
                    self.give_up(rest, &failure);
                    failures.push(failure);
                    return None;
                }
            }
        }
        Some(smtp)
    }

    async fn send_one(
        &self,
        smtp: &mut Smtp,
        token: Token,
        trace: &Trace,
    ) -> Result<HandedOver, NotAccepted> {
        let target = &self.target;
        let host = self.origin.host.as_deref().unwrap_or("an unnamed host");
        let content = write(target.addressed(), token, self.origin.instance, clock::wall(), host)
            .await
            .map_err(|error| {
                trace.enter(Step::Envelope);
                let message = format!("cannot write the test mail: {error}");
                NotAccepted::Refused(trace.failure(Fault::new(Reason::Other, message)))
            })?;
        if target.form().is_some() {
            self.account.weighs(token, content.size());
        }
        let envelope_id = token.to_string();
        smtp.hand_over(&target.from, &target.to, &envelope_id, &content).await
    }

    /// A failure of a passive target, whose server may have gone down meanwhile, as it is meant to.
    async fn judged(&self, failure: Failure, end: Instant) -> Failure {
        match self.target.passive {
            true => departure::judged(&self.dialer, failure, end).await,
            false => failure,
        }
    }

    fn wake_mailboxes(&self) {
        for mailbox in self.mailbox.iter().chain(&self.sender_mailbox) {
            mailbox.mail_accepted();
        }
    }

    /// The sending was ended from outside. What was being handed over may have been taken: nobody knows.
    fn cut_short(&self, failure: Failure, attempt: &mut Attempt) {
        let is_doubtful = failure.step == Step::Data;
        let mut under_way = attempt
            .tokens
            .iter()
            .filter(|token| self.account.read(|ledger, _| ledger.is_sent(**token)));
        if let Some(token) = under_way.next() {
            self.account.not_accepted(*token, &failure, is_doubtful);
        }
        self.give_up(&attempt.tokens, &failure);
        attempt.failures.push(failure);
    }

    fn give_up(&self, tokens: &[Token], failure: &Failure) {
        for token in tokens {
            self.account.not_accepted(*token, failure, false);
        }
    }
}

/// The dialogue of an attempt is over.
fn keep_record(attempt: &mut Attempt, trace: &Trace) {
    trace.finish();
    attempt.steps = trace.durations();
    attempt.address = trace.address();
    attempt.handshake = trace.handshake();
    attempt.tls = trace.tls_facts();
    attempt.transcript = trace.transcript();
}

/// Leave to send in a period.
struct Period<'a> {
    /// When it was due: the last of those that were while this one waited.
    tick: Instant,
    /// Until then the mailbox task is waited for.
    patience: Instant,
    permit: Permit<'a>,
    _turn: SemaphorePermit<'a>,
    _slot: Permit<'a>,
}

#[cfg(test)]
mod tests;

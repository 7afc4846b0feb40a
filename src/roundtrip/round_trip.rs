//! The sequence of one period: check, send, look until the mail is seen, remove it.

use std::io::Write;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::dialing::unusable;
use super::hand_over::hand_over;
use super::mailbox::Mailbox;
use super::report::Report;
use super::state::judge;
use super::terminal::Terminal;
use super::test_mail::{TestMail, left_over, reported};
use super::verdict::{Arrival, Check, Ending, Removal, Sent, Verdict, seconds};
use super::{Options, way};
use crate::clock::{for_timer, on_time_line};
use crate::config::{Endpoint, Expected, Login, ReceiveSide, Target};
use crate::probing::bound::Permit;
use crate::probing::mailbox::{Found, Looked};
use ledger::Token;
use ledger::{Failure, Side, Step};
use ledger::{Ledger, Rules, Transmission};
use mail::smtp::{NotAccepted, Smtp};
use mail::trace::Trace;
use mail::wire::{ConnectionContext, Dialer};

mod bounce;
mod question;

/// The first wait before a session that broke is opened again; it doubles up to
/// [`BACK_OFF_LONGEST`].
const BACK_OFF_FIRST: Duration = Duration::from_secs(1);
/// The longest such wait.
const BACK_OFF_LONGEST: Duration = Duration::from_secs(30);
/// How long after a doubtful end of the sending the mail is looked for.
const DOUBTFUL_WAIT: Duration = Duration::from_secs(1);
/// How much of the time of the whole command is kept for the last look and the removal, at most; a
/// tenth of it if that is less.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// One round trip.
pub(super) struct RoundTrip<'a, W> {
    target: &'a Target,
    options: &'a Options,
    report: Report<'a, W>,
    clients: ConnectionContext,
    mail: TestMail,
    verdict: Verdict,
    began: Instant,
    /// Leave to have a connection to the SMTP server open, where others want one as well.
    pub(super) connection: Option<Permit<'a>>,
    /// Whether nothing is left to do but farewells.
    is_settled: bool,
}

impl<'a, W: Write> RoundTrip<'a, W> {
    pub(super) fn new(
        target: &'a Target,
        options: &'a Options,
        terminal: &'a mut Terminal<W>,
    ) -> Self {
        let token = Token::random();
        let rules = Rules::from(target);
        // A wait that the user asks for is not cut short by the age of loss.
        let lost_after = rules.lost_after.max(options.timeout.unwrap_or_default());
        let mut ledger = Ledger::new(Rules { lost_after, ..rules });
        ledger.sending(token, crate::clock::now());
        Self {
            target,
            options,
            report: Report::new(terminal, options.shows_transcript),
            clients: ConnectionContext::default(),
            mail: TestMail::new(token, ledger),
            verdict: Verdict::new(token, &options.place),
            began: Instant::now(),
            connection: None,
            is_settled: false,
        }
    }

    /// When all of it must be over; without `--timeout` the deadlines of the target are enough.
    pub(super) fn end(&self) -> Option<Instant> {
        self.options.timeout.map(|timeout| self.began + timeout)
    }

    fn is_out_of_time(&self) -> bool {
        self.end().is_some_and(|end| Instant::now() >= end)
    }

    /// The whole sequence; [`RoundTrip::conclude`] returns the result, even if this was dropped
    /// before its end.
    pub(super) async fn run(&mut self) {
        let target = self.target;
        let addresses = format!(": mail from {} to {}", target.from, target.to);
        self.report.title(target.name.as_str(), &addresses);
        if let Some(place) = target.expected().and_then(Expected::stops_at) {
            return self.ask(place).await;
        }
        let mut mailbox = self.check().await;
        // Nobody would have the time to look for the mail.
        if self.longest_wait().is_zero() {
            return;
        }
        let prepare = async {
            if let Some(mailbox) = &mut mailbox {
                mailbox.prepare(Instant::now()).await;
            }
        };
        let (smtp, ()) = tokio::join!(self.send(), prepare);
        let connection = self.connection.take();
        let farewell = async {
            if let Some(smtp) = smtp {
                smtp.quit().await;
            }
            drop(connection);
        };
        tokio::join!(farewell, self.receive(mailbox));
    }

    /// Writes the verdict.
    pub(super) fn conclude(mut self, was_interrupted: bool) -> Verdict {
        for side in Side::ALL {
            self.report.catch_up(side);
        }
        self.verdict.took = self.began.elapsed();
        self.verdict.sides = self.report.take_records();
        self.verdict.ending = match self.options.timeout {
            _ if self.is_settled => Ending::Complete,
            _ if was_interrupted => Ending::Interrupted,
            Some(timeout) => Ending::OutOfTime(timeout),
            None => Ending::Complete,
        };
        if let Some(arrival) = self.mail.seen {
            self.verdict.arrival = arrival;
        }
        self.verdict.notice = self.mail.notice.take();
        for line in self.verdict.way.iter().flat_map(way::lines) {
            self.report.way(&line);
        }
        let thresholds = &self.options.thresholds;
        let (state, _) = judge(&self.verdict, self.target, thresholds);
        for sentence in self.verdict.sentences(self.target, thresholds) {
            self.report.verdict(state, &sentence);
        }
        if let Some(remark) = self.verdict.left_behind(self.target) {
            self.report.remark(&remark);
        }
        if let Some(effect) = self.verdict.login_delay.effect(self.target.interval) {
            self.report.remark(&format!("Note: {effect}"));
        }
        if let Some(remark) = self.verdict.blind_to_bounces() {
            self.report.remark(&remark);
        }
        for remark in &self.verdict.remarks {
            self.report.remark(remark);
        }
        self.verdict
    }

    /// The check of the mailbox; gives the mailbox if it passed.
    async fn check(&mut self) -> Option<Mailbox<'a>> {
        let side = self.target.receive.as_ref()?;
        let heading = format!("{} {}", side.protocol.label(), side.endpoint);
        self.report.heading(Side::Receive, &heading);
        let dialer = match self.dialer(Side::Receive, &side.endpoint, Some(&side.login)) {
            Ok(dialer) => dialer,
            Err(failure) => {
                self.verdict.mailbox = Check::Failed(failure);
                return None;
            }
        };
        let end = self.end_of_dialogues(side);
        let observer = Some(self.report.observer(Side::Receive));
        let longest = self.target.interval.max(side.endpoint.timeout * 2);
        let lost_after = self.target.lost_after;
        let mailbox = Mailbox::new(side, dialer, observer, end, longest, lost_after);
        let (target, token) = (self.target, self.mail.token);
        let mailbox = mailbox.keeping_header_of(token).reading_stamps(target.takes_replies());
        let mut mailbox = mailbox.sharing_removal(self.options.shared.removal.clone());
        // The mail is not there yet.
        let mut judge = |found: &Found| {
            reported(target, token, found)
                .map_or_else(|| left_over(target, found), |(disposition, _)| disposition)
        };
        let outcome = self.report.follow(Side::Receive, mailbox.check(&mut judge)).await;
        self.note_remarks(&mut mailbox);
        self.report.record(Side::Receive).note(mailbox.trace());
        match outcome {
            Ok(_) => {
                self.verdict.mailbox = Check::Passed;
                self.verdict.login_delay = mailbox.login_delay();
                Some(mailbox)
            }
            Err(failure) => {
                self.report.failed(Side::Receive, mailbox.trace(), &failure);
                self.verdict.mailbox = Check::Failed(failure);
                None
            }
        }
    }

    /// Sends the mail on a fresh connection, which is given back if it is still good.
    async fn send(&mut self) -> Option<Smtp> {
        let dialer = self.way_to_send()?;
        let side = &self.target.send;
        let observer = self.report.observer(Side::Send);
        let trace = Trace::with_observer(side.login.as_ref(), Some(observer));
        self.mail.transmitted = Instant::now();
        self.verdict.sent = Sent::Unfinished;
        self.verdict.written = SystemTime::now();
        let handed_over = Box::pin(hand_over(
            self.target,
            (self.mail.token, self.verdict.written),
            self.options.host.as_deref(),
            &dialer,
            &trace,
            self.end().unwrap_or_else(|| Instant::now() + self.target.interval),
        ));
        let (smtp, outcome) = self.report.follow(Side::Send, handed_over).await;
        self.report.record(Side::Send).note(&trace);
        let (token, transmitted) = (self.mail.token, self.mail.transmitted);
        match outcome {
            Ok(handed_over) => {
                let reply = trace.words(handed_over.reply.to_string().as_bytes());
                let transmission = Transmission {
                    began: on_time_line(transmitted),
                    handed_over: on_time_line(handed_over.written),
                    network: handed_over.network,
                };
                self.mail.ledger.accepted(token, &transmission, crate::clock::now());
                let (took, bytes) = (transmitted.elapsed(), handed_over.bytes);
                self.verdict.sent = Sent::Accepted { took, reply, bytes };
            }
            Err(error) => {
                let is_doubtful = matches!(error, NotAccepted::Doubtful(_));
                let failure = error.failure().clone();
                self.report.failed(Side::Send, &trace, &failure);
                self.mail.ledger.not_accepted(token, &failure, is_doubtful, crate::clock::now());
                self.verdict.sent =
                    if is_doubtful { Sent::Doubtful(failure) } else { Sent::NotAccepted(failure) };
            }
        }
        smtp
    }

    /// Receives what was sent, if the mailbox can be read.
    async fn receive(&mut self, mailbox: Option<Mailbox<'a>>) {
        if let Some(mut mailbox) = mailbox {
            match self.verdict.sent {
                Sent::Accepted { .. } => {
                    let wait = self.longest_wait();
                    self.look_for_both(&mut mailbox, wait).await;
                }
                Sent::Doubtful(_) => {
                    let wait = DOUBTFUL_WAIT.min(self.longest_wait());
                    self.look_for_it(&mut mailbox, wait).await;
                }
                Sent::NotTried | Sent::Unfinished | Sent::Consented(_) | Sent::NotAccepted(_) => {}
            }
            let is_over = self.is_out_of_time() || self.verdict.is_held_back;
            self.is_settled = self.mail.seen.is_some() || !is_over;
            self.note_remarks(&mut mailbox);
            mailbox.close().await;
        } else {
            self.is_settled = !self.is_out_of_time();
        }
    }

    /// When every dialogue with this mailbox must be over.
    fn end_of_dialogues(&self, side: &ReceiveSide) -> Instant {
        let patience = self.target.interval + self.usual_wait() + side.endpoint.timeout * 2;
        self.end().unwrap_or_else(|| Instant::now() + patience)
    }

    /// How long the mail is waited for: what `--timeout` leaves, or the usual time.
    fn longest_wait(&self) -> Duration {
        match (self.options.timeout, self.end()) {
            (Some(timeout), Some(end)) => {
                let last_look = (timeout / 10).min(LAST_LOOK);
                end.saturating_duration_since(Instant::now()).saturating_sub(last_look)
            }
            _ => self.usual_wait(),
        }
    }

    /// Until a mail is late, or may be said not to come where it must not.
    fn usual_wait(&self) -> Duration {
        match self.target.expected() {
            Some(_) => self.target.lost_after,
            None => self.target.late_after,
        }
    }

    /// Looks until the mail is seen and removed, or `wait` is over.
    async fn look_for_it(&mut self, mailbox: &mut Mailbox<'a>, wait: Duration) {
        let accepted = Instant::now();
        let (wait, is_allowed) = self.allowed_wait(mailbox, accepted, wait);
        self.verdict.is_held_back = !is_allowed;
        if !is_allowed {
            return;
        }
        let deadline = accepted + wait;
        self.verdict.arrival = Arrival::NotSeen(wait);
        self.report.begin_waiting(wait);
        let mut last_look = None;
        let mut back_off = BACK_OFF_FIRST;
        let mut not_before = accepted;
        loop {
            let wake = self.next_look(mailbox, last_look).max(not_before).min(deadline);
            let (began, looked) = self.look_at(mailbox, wake, deadline).await;
            match looked {
                Ok(looked) if self.mail.seen.is_some() => {
                    self.verdict.removal =
                        looked.removal_failure.map_or(Removal::Done, Removal::Failed);
                    break;
                }
                Ok(_) => {
                    last_look = Some(began);
                    self.verdict.look_failure = None;
                    back_off = BACK_OFF_FIRST;
                }
                Err(failure) => {
                    self.report.look_failed(&failure);
                    self.verdict.look_failure = Some(failure);
                    not_before = Instant::now() + back_off;
                    back_off = (back_off * 2).min(BACK_OFF_LONGEST);
                }
            }
            if began >= deadline || self.is_out_of_time() {
                break;
            }
        }
        self.end_waiting(mailbox, wait);
    }

    fn note_remarks(&mut self, mailbox: &mut Mailbox<'_>) {
        self.verdict.remarks.extend(mailbox.take_remarks());
        self.verdict.lacks_junk_folder = mailbox.lacks_junk_folder();
    }

    fn end_waiting(&mut self, mailbox: &Mailbox<'_>, wait: Duration) {
        self.report.end_waiting(&match self.mail.seen {
            Some(Arrival::Seen { roundtrip, .. }) => format!("seen after {}", seconds(roundtrip)),
            Some(Arrival::Bounced(after)) => format!("bounced after {}", seconds(after)),
            _ => format!("not seen within {}", seconds(wait)),
        });
        if let (Some(_), Removal::Unfinished, Some(failure)) =
            (self.mail.seen, &self.verdict.removal, &self.verdict.look_failure)
        {
            self.verdict.removal = Removal::Failed(failure.clone());
        } else if let Removal::Failed(failure) = &self.verdict.removal {
            self.report.failed(Side::Receive, mailbox.trace(), failure);
        }
        self.report.record(Side::Receive).note_step(Step::Remove, mailbox.trace());
        self.verdict.way = way::read(self.target, &mut self.mail, mailbox.take_header());
    }

    /// Waits until `wake`, or until the server announces new mail, and looks; gives when that look began. One that
    /// begins at the deadline is the last.
    async fn look_at(
        &mut self,
        mailbox: &mut Mailbox<'a>,
        wake: Instant,
        deadline: Instant,
    ) -> (Instant, Result<Looked, Failure>) {
        let waited = self.report.follow(Side::Receive, mailbox.wait(wake)).await;
        let began = Instant::now();
        self.report.count_look();
        let announced = match waited {
            Ok(announced) => announced,
            Err(failure) => return (began, Err(failure)),
        };
        let (target, mail) = (self.target, &mut self.mail);
        let mut judge = |found: &Found| mail.judge_mail(target, found);
        let look = Box::pin(mailbox.look(announced, began >= deadline, &mut judge));
        (began, self.report.follow(Side::Receive, look).await)
    }

    fn next_look(&self, mailbox: &Mailbox<'_>, last_look: Option<Instant>) -> Instant {
        let last = last_look.map(on_time_line);
        let wanted = self.mail.ledger.next_look(mailbox.session_kind(), last).map(for_timer);
        // Of a doubtful mail the ledger expects nothing.
        let wanted = wanted.unwrap_or_else(|| Instant::now() + DOUBTFUL_WAIT);
        let wanted = last_look.map_or(wanted, |last| wanted.max(last + mailbox.least_gap()));
        mailbox.earliest_login().map_or(wanted, |allowed| wanted.max(allowed))
    }

    /// How long the mail is waited for where the server allows no login for a while: until it does. If
    /// that is not within `--timeout`, nobody can look for it.
    fn allowed_wait(
        &self,
        mailbox: &Mailbox<'_>,
        accepted: Instant,
        wait: Duration,
    ) -> (Duration, bool) {
        let allowed = mailbox.earliest_login().unwrap_or(accepted);
        let until_then = allowed.saturating_duration_since(accepted);
        let is_in_time = until_then <= wait || self.options.timeout.is_none();
        (wait.max(until_then), is_in_time)
    }

    /// The way to the SMTP server; `None` if the files of its TLS options cannot be used, which is the result.
    fn way_to_send(&mut self) -> Option<Dialer> {
        let side = &self.target.send;
        self.report.heading(Side::Send, &format!("smtp {}", side.endpoint));
        let dialer = self.dialer(Side::Send, &side.endpoint, side.login.as_ref());
        dialer.map_err(|failure| self.verdict.sent = Sent::NotAccepted(failure)).ok()
    }

    fn dialer(
        &mut self,
        side: Side,
        endpoint: &Endpoint,
        login: Option<&Login>,
    ) -> Result<Dialer, Failure> {
        Dialer::new(endpoint, login, &self.clients).map_err(|error| {
            let trace = Trace::new(None);
            trace.enter(Step::Tls);
            let failure = trace.failure(unusable(&error));
            self.report.failed(side, &trace, &failure);
            failure
        })
    }
}

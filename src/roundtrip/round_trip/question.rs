//! The probe of what must not pass, as far as no mail is needed for it.

use std::io::Write;

use tokio::time::Instant;

use super::RoundTrip;
use crate::config::RefusedAt;
use crate::probing::send::question;
use crate::roundtrip::verdict::Sent;
use ledger::Side;
use mail::trace::Trace;

impl<W: Write> RoundTrip<'_, W> {
    /// Asks the server for what it should refuse; no mail is sent.
    pub(super) async fn ask(&mut self, place: RefusedAt) {
        let Some(dialer) = self.way_to_send() else { return };
        let side = &self.target.send;
        let observer = self.report.observer(Side::Send);
        let trace = Trace::with_observer(side.login.as_ref(), Some(observer));
        let end = self.end().unwrap_or_else(|| Instant::now() + self.target.interval);
        let host = self.options.host.as_deref();
        let question = Box::pin(question::ask(self.target, place, host, &dialer, &trace, end));
        let (smtp, consent) = self.report.follow(Side::Send, question).await;
        trace.finish();
        self.report.record(Side::Send).note(&trace);
        self.verdict.sent = match consent {
            Ok(words) => Sent::Consented(words),
            Err(error) => {
                let failure = error.failure().clone();
                self.report.failed(Side::Send, &trace, &failure);
                Sent::NotAccepted(failure)
            }
        };
        self.is_settled = true;
        if let Some(smtp) = smtp {
            smtp.quit().await;
        }
    }
}

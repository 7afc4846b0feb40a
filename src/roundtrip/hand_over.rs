//! The one mail of a probe on its way to the SMTP server.

use std::time::SystemTime;

use tokio::time::Instant;

use crate::config::Target;
use ledger::{Instance, Token};
use ledger::{Reason, Step};
use mail::Fault;
use mail::outer::{MARGIN, enforced};
use mail::smtp::{HandedOver, NotAccepted, Smtp};
use mail::test_mail::write;
use mail::trace::Trace;
use mail::wire::Dialer;

/// Opens a connection and hands the mail over, by `end` at the latest; the steps are in the trace. The
/// connection is given back if it is still good. The mail says that it was written then.
pub(super) async fn hand_over(
    target: &Target,
    (token, written): (Token, SystemTime),
    host: Option<&str>,
    dialer: &Dialer,
    trace: &Trace,
    end: Instant,
) -> (Option<Smtp>, Result<HandedOver, NotAccepted>) {
    let began = Instant::now();
    let dialogue = hand_over_by(target, (token, written), host, dialer, trace.clone(), end);
    enforced(end + MARGIN, dialogue).await.unwrap_or_else(|| {
        let failure = trace.overrun(began.elapsed());
        let is_doubtful = failure.step == Step::Data;
        let error =
            if is_doubtful { NotAccepted::Doubtful(failure) } else { NotAccepted::Broken(failure) };
        (None, Err(error))
    })
}

async fn hand_over_by(
    target: &Target,
    (token, written): (Token, SystemTime),
    host: Option<&str>,
    dialer: &Dialer,
    trace: Trace,
    end: Instant,
) -> (Option<Smtp>, Result<HandedOver, NotAccepted>) {
    let name = target.send.ehlo.as_deref().or(host);
    let login = target.send.login.as_ref();
    let mut smtp = match Smtp::open(dialer, login, name, trace.clone(), end).await {
        Ok(smtp) => smtp,
        Err(failure) => return (None, Err(NotAccepted::Broken(failure))),
    };
    let host = host.unwrap_or("an unnamed host");
    let content = write(target.addressed(), token, Instance::random(), written, host).await;
    let outcome = match content {
        Ok(content) => smtp.hand_over(&target.from, &target.to, &token.to_string(), &content).await,
        Err(error) => {
            trace.enter(Step::Envelope);
            let message = format!("cannot write the test mail: {error}");
            Err(NotAccepted::Refused(trace.failure(Fault::new(Reason::Other, message))))
        }
    };
    match outcome {
        Ok(_) => trace.finish(),
        Err(NotAccepted::Refused(_)) => {}
        Err(NotAccepted::Broken(_) | NotAccepted::Doubtful(_)) => return (None, outcome),
    }
    (Some(smtp), outcome)
}

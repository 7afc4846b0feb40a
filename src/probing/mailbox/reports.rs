//! Whose mail a delivery status notification is about, and what it says of it.

use crate::config::Target;
use ledger::DeliveryReport;
use ledger::Token;
use mail::bounce::{DsnReport, Recipient};
use mail::test_mail::Header;
use mail::text::Scrubber;

/// The tokens that a report names: in the header of the mail that came back, which is `returned`, and
/// as the envelope id.
pub(crate) fn tokens(report: &DsnReport, returned: &Header) -> impl Iterator<Item = Token> + use<> {
    let envelope_id = report.envelope_id.as_deref();
    let envelope_id = envelope_id.and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
    returned.returned_tokens().chain(envelope_id)
}

/// Whether a mail that begins so is a report about a test mail of anybody, and says what became of it.
pub(super) fn is_about_a_test_mail(beginning: &[u8]) -> bool {
    DsnReport::parse(beginning).filter(|report| report.worst().is_some()).is_some_and(|report| {
        let returned = Header::parse(&report.returned_header);
        returned.mark.is_some() || tokens(&report, &returned).next().is_some()
    })
}

/// What a report says, fit to be shown.
pub(crate) fn delivery_report(
    target: &Target,
    token: Token,
    report: &DsnReport,
    worst: &Recipient,
) -> DeliveryReport {
    let sender_mailbox = target.sender_mailbox.as_deref().map(|side| &side.login);
    let logins = target
        .send
        .login
        .iter()
        .chain(target.receive.as_ref().map(|side| &side.login))
        .chain(sender_mailbox);
    let scrubber =
        logins.fold(Scrubber::default(), |scrubber, login| scrubber.and(Scrubber::of(login)));
    let show = |bytes: &Vec<u8>| scrubber.show(bytes);
    DeliveryReport {
        token,
        action: worst.action,
        code: worst.code.clone(),
        remote_server: worst.remote_server.as_ref().or(report.reporting_server.as_ref()).map(show),
        text: worst.text.as_ref().map(show),
    }
}

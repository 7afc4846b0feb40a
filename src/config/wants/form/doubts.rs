//! What of a mail is allowed and yet worth a look: what would go lost, what costs much, what receivers refuse.

use mail::content::Form;
use mail::dkim::{GOOD_RSA_BITS, Signer};
use mail::test_mail::{is_known_by_subject, least_size};

use crate::config::value::WrittenBytes;
use crate::config::{Protocol, Target};

/// More than this in a second is more than a test.
const MUCH_A_SECOND: f64 = 1e6;
/// The same of a day.
const MUCH_A_DAY: f64 = 1e9;
/// From this size on it matters that a mail is read as a whole.
const LARGE: u64 = 1_000_000;

/// As sentences without the name of the target.
pub(in crate::config) fn doubts(target: &Target) -> Vec<String> {
    let Some(form) = target.form() else { return Vec::new() };
    let mut doubts = Vec::new();
    // An answer is known in other ways.
    doubts.extend(of_subject(target, form).filter(|_| !target.takes_replies()));
    let size = size(target, form);
    doubts.extend(traffic(target, size));
    let is_pop3 = target.receive.as_ref().is_some_and(|side| side.protocol == Protocol::Pop3);
    if is_pop3 && size > LARGE {
        let message = "`mail` is larger than 1MB and is found by pop3: a server without TOP sends all of it to show \
                       its header";
        doubts.push(message.to_owned());
    }
    if let Some(signer) = &form.signer {
        doubts.extend(of_signer(target, signer));
    }
    doubts
}

/// Where the mail would not be known again on its way through a gateway.
fn of_subject(target: &Target, form: &Form) -> Option<String> {
    if form.subject.as_ref().is_some_and(|subject| !subject.has_token()) {
        let message = "`mail.subject` has no {token}: a mail whose X-Mailtrip is removed and whose Message-ID is \
                       rewritten on its way is not known again, and counts as lost";
        return Some(message.to_owned());
    }
    if is_known_by_subject(target.addressed()) {
        return None;
    }
    let message = "`mail` is not known again by its Subject where its X-Mailtrip is removed and its Message-ID is \
                   rewritten on its way, and counts as lost: {token} must stand there between spaces and before \
                   anything like it, there must be no In-Reply-To and References in `mail.headers`, and what a \
                   postmaster or mailer-daemon sends with an attachment is taken for a report";
    Some(message.to_owned())
}

/// How large the mail is, nearly.
fn size(target: &Target, form: &Form) -> u64 {
    let least = least_size(target.addressed()).unwrap_or_default();
    form.size.unwrap_or_default().max(least)
}

fn traffic(target: &Target, size: u64) -> Option<String> {
    #[allow(clippy::cast_precision_loss, reason = "a rate that is rounded anyway")]
    let bytes = size as f64 * f64::from(target.messages.get());
    let a_second = bytes / target.interval.as_secs_f64();
    let a_day = a_second * 24.0 * 3600.0;
    if a_second > MUCH_A_SECOND {
        let written = a_second / 1e6;
        return Some(format!(
            "`mail` sends {written:.1} MB a second: make it smaller or `interval` longer"
        ));
    }
    (a_day > MUCH_A_DAY).then(|| {
        let written = a_day / 1e9;
        let size = WrittenBytes(size);
        format!(
            "`mail` of {size} sends {written:.1} GB a day: make it smaller or `interval` longer"
        )
    })
}

fn of_signer(target: &Target, signer: &Signer) -> Vec<String> {
    let mut doubts = Vec::new();
    match signer.rsa_bits() {
        Some(bits) if bits < GOOD_RSA_BITS => doubts.push(format!(
            "`mail.dkim.key_file` is an RSA key of {bits} bits: make one of {GOOD_RSA_BITS} (RFC 8301)"
        )),
        Some(_) => {}
        None => doubts.push(
            "`mail.dkim.key_file` is an Ed25519 key: many receivers know only RSA, and take the mail for unsigned"
                .to_owned(),
        ),
    }
    let from = target.from.domain().to_ascii_lowercase();
    let domain = signer.domain();
    let is_aligned = from == domain
        || from.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
        || domain.strip_suffix(&from).is_some_and(|rest| rest.ends_with('.'));
    if !is_aligned {
        doubts.push(format!(
            "`mail.dkim.domain` {domain} is not that of `from`: the signature counts nothing for DMARC (RFC 7489)"
        ));
    }
    doubts
}

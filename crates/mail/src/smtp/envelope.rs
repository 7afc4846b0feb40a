//! The envelope of a mail: sender and recipient, and where the server offers it (DSN, RFC 3461) the
//! wish to be notified of a mail that cannot be delivered or has to wait, under an id of ours. Addresses
//! beyond ASCII take a server that offers SMTPUTF8 (RFC 6531). A server that wants to know the size of a mail is
//! told it (SIZE, RFC 1870), so that it need not be sent in vain.

use lettre::Address;
use lettre::transport::smtp::commands::{Mail, Rcpt};
use lettre::transport::smtp::extension::{MailBodyParameter, MailParameter, RcptParameter};

use super::{NotAccepted, Reply, Smtp, is_ok};
use crate::Fault;
use ledger::Reason;

/// From how many bytes on the size of a mail is worth a word: no server has a limit below it.
const TOLD_SIZE: u64 = 4096;

impl Smtp {
    /// MAIL and RCPT for a mail of this size, in bytes; gives the reply to the second. Nothing is said to a server that cannot take one of the addresses.
    pub(super) async fn address(
        &mut self,
        from: &Address,
        to: &Address,
        envelope_id: &str,
        size: u64,
    ) -> Result<Reply, NotAccepted> {
        let mut needed = self.needed_parameters(&[from, to])?;
        self.is_large = size >= TOLD_SIZE;
        if self.is_large && self.features.has("SIZE") {
            needed.push(MailParameter::Size(usize::try_from(size).unwrap_or(usize::MAX)));
        }
        let mail = |more: Vec<MailParameter>| {
            let parameters = needed.iter().cloned().chain(more).collect();
            Mail::new(Some(from.clone()), parameters).to_string()
        };
        let parameter = |keyword: &str, value: &str| MailParameter::Other {
            keyword: keyword.to_owned(),
            value: Some(value.to_owned()),
        };
        // The header of the mail is enough to know it again.
        let parameters = vec![parameter("RET", "HDRS"), parameter("ENVID", envelope_id)];
        self.ask(&mail(Vec::new()), &mail(parameters)).await?;

        let recipient = |parameters| Rcpt::new(to.clone(), parameters).to_string();
        let notify = RcptParameter::Other {
            keyword: "NOTIFY".to_owned(),
            value: Some("FAILURE,DELAY".to_owned()),
        };
        self.ask(&recipient(Vec::new()), &recipient(vec![notify])).await
    }

    /// What MAIL must say of addresses beyond ASCII, which then stand in the header of the mail too.
    fn needed_parameters(&self, addresses: &[&Address]) -> Result<Vec<MailParameter>, NotAccepted> {
        let is_international = |address: &&&Address| !address.to_string().is_ascii();
        let Some(address) = addresses.iter().find(is_international) else { return Ok(Vec::new()) };
        if self.features.has("SMTPUTF8") {
            // Who offers it takes 8-bit content as well (RFC 6531 section 3.1).
            let body = MailParameter::Body(MailBodyParameter::EightBitMime);
            return Ok(vec![body, MailParameter::SmtpUtfEight]);
        }
        let message = format!(
            "the address {address} needs a server that offers SMTPUTF8 (RFC 6531), and this one does \
             not; write an address whose part before the @ is ASCII"
        );
        Err(NotAccepted::Refused(self.wire.fail(Fault::new(Reason::Other, message))))
    }

    /// The command with its parameters where the server knows them. One that offers DSN and then
    /// takes offence at the parameters is asked without, now and for the rest of the connection: they
    /// decide nothing about the mail.
    async fn ask(&mut self, plain: &str, with_parameters: &str) -> Result<Reply, NotAccepted> {
        if self.offers_reports {
            let reply = self.exchange(with_parameters).await?;
            if !is_about_parameters(reply.code) {
                // Refused is what the command says, whatever the wish beside it.
                return self.expect(reply, plain, is_ok);
            }
            self.offers_reports = false;
        }
        self.command(plain, is_ok).await
    }
}

/// Whether this may mean that a parameter is not known, makes no sense here, or is not implemented
/// (RFC 5321 sections 4.1.1.11 and 4.2.3).
fn is_about_parameters(code: u16) -> bool {
    matches!(code, 501 | 504 | 555)
}

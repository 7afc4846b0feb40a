//! The envelope of a mail: sender and recipient, and where the server offers it (DSN, RFC 3461) the
//! wish to be told of a mail that cannot be delivered or has to wait, under an id of ours.

use lettre::Address;
use lettre::transport::smtp::commands::{Mail, Rcpt};
use lettre::transport::smtp::extension::{MailParameter, RcptParameter};

use super::{NotAccepted, Smtp, is_ok};

impl Smtp {
    /// MAIL and RCPT.
    pub(super) async fn address(
        &mut self,
        from: &Address,
        to: &Address,
        envelope_id: &str,
    ) -> Result<(), NotAccepted> {
        let mail = |parameters| Mail::new(Some(from.clone()), parameters).to_string();
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

    /// The command with its parameters where the server knows them. One that offers DSN and then
    /// takes offence at the parameters is asked without, now and for the rest of the connection: they
    /// decide nothing about the mail.
    async fn ask(&mut self, plain: &str, with_parameters: &str) -> Result<(), NotAccepted> {
        if self.offers_reports {
            let reply = self.exchange(with_parameters).await?;
            if !is_about_parameters(reply.code) {
                // Refused is what the command says, whatever the wish beside it.
                return self.expect(reply, plain, is_ok).map(drop);
            }
            self.offers_reports = false;
        }
        self.command(plain, is_ok).await.map(drop)
    }
}

/// Whether this may mean that a parameter is not known, makes no sense here, or is not implemented
/// (RFC 5321 sections 4.1.1.11 and 4.2.3).
fn is_about_parameters(code: u16) -> bool {
    matches!(code, 501 | 504 | 555)
}

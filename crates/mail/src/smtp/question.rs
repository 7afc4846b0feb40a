//! Questions that a server should say no to, each taken back before a mail or a password is sent.

use lettre::Address;

use super::{NotAccepted, Reply, Smtp};
use ledger::Step;

impl Smtp {
    /// Asks whether the server takes a mail from here for this recipient, by MAIL and RCPT, and takes that back: no mail is
    /// sent, whatever the server says. Gives its consent.
    ///
    /// # Errors
    /// See [`NotAccepted`]; none is doubtful.
    pub async fn would_take(
        &mut self,
        from: &Address,
        to: &Address,
        envelope_id: &str,
    ) -> Result<Reply, NotAccepted> {
        self.wire.trace().enter(Step::Envelope);
        let consent = self.address(from, to, envelope_id, 0).await?;
        // The server has said what it would do; that it does not forget it is no other answer.
        let _ = self.reset().await;
        Ok(consent)
    }

    /// Asks whether the server lets somebody log in over the connection as it is (AUTH, RFC 4954), and breaks that off: no
    /// password is sent, whatever the server says. Gives the words by which it would, from EHLO or from its challenge.
    ///
    /// # Errors
    /// See [`NotAccepted`]; none is doubtful.
    pub async fn would_hear_password(&mut self) -> Result<String, NotAccepted> {
        self.wire.trace().enter(Step::Auth);
        let offered = self.features.mechanisms();
        if !offered.is_empty() {
            let offered = self.wire.trace().words(offered.join(" ").as_bytes());
            return Ok(format!("the server offers AUTH {offered}"));
        }
        let command = "AUTH PLAIN";
        let reply = self.exchange(command).await?;
        if reply.code != 334 {
            return self.expect(reply, command, |_| false).map(|reply| self.words(&reply));
        }
        let words = self.words(&reply);
        // Ends the exchange (RFC 4954 section 4).
        let _ = self.exchange("*").await;
        Ok(format!("the server asks for a password after {command}: {words}"))
    }
}

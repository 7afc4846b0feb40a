//! Logging in over one connection, as all protocols have it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{End, Met, Wire};
use crate::{Server, faults, sasl};

impl Wire {
    /// Takes note of the credentials that came, and lets the script answer them.
    pub(crate) async fn meet_credentials(
        &mut self,
        user: &str,
        password: &str,
    ) -> Result<Met, End> {
        self.words.user = user.to_owned();
        self.words.password = password.to_owned();
        let met = self.meet(faults::CREDENTIALS).await?;
        if met == Met::Answered {
            self.shared.log.login_refused();
        }
        Ok(met)
    }

    /// Carries a SASL login through to the credentials that the client claims; `None` if it gives up,
    /// or its response cannot be read. `asks` stands before each challenge.
    pub(crate) async fn authenticate(
        &mut self,
        mut login: sasl::Login,
        initial: Option<Vec<u8>>,
        asks: &str,
        limit: usize,
    ) -> Result<Option<sasl::Credentials>, End> {
        let unique = format!("<{}.{}@{}>", self.record, self.peer.port(), Server::NAME);
        let mut response =
            initial.map(|initial| if initial == b"=" { Vec::new() } else { initial });
        let mut challenge = login.first_challenge(unique);
        if !challenge.is_empty() {
            // What is asked first cannot have been answered in the command.
            response = None;
        }
        loop {
            let answer = match response.take() {
                Some(answer) => answer,
                None => {
                    if self.meet(faults::CHALLENGE).await? == Met::Proceed {
                        let text = BASE64_STANDARD.encode(&challenge);
                        self.reply(&format!("{asks}{text}")).await?;
                    }
                    self.read_line(limit).await?
                }
            };
            let Ok(answer) = BASE64_STANDARD.decode(&answer) else { return Ok(None) };
            let nonce = self.record.to_string();
            match login.step(&answer, &nonce, |user| self.shared.post.password(user)) {
                sasl::Step::Challenge(next) => challenge = next,
                sasl::Step::Claim(user, password) => return Ok(Some((user, password))),
                sasl::Step::Malformed => return Ok(None),
            }
        }
    }

    /// Whether the credentials are right; counts the login, or the refusal.
    pub(crate) fn log_in(&mut self, user: &str, password: &str) -> bool {
        let right = self.shared.post.login_is_right(user, password);
        if right {
            self.shared.log.logged_in(self.record, user);
            self.logged_in = true;
        } else {
            self.shared.log.login_refused();
        }
        right
    }

    /// The session is over; counted before the client learns it.
    pub(crate) fn log_out(&mut self) {
        if std::mem::take(&mut self.logged_in) {
            self.shared.log.logged_out();
        }
    }
}

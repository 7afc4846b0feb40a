//! Being let in: each question by HTTP shows the login, and may be refused for it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Jmap;
use super::channel::{Answer, Question};
use crate::auth::{Auth, Login, Mechanism};
use crate::secret::Secret;
use crate::secret_source::Look;
use ledger::{Failure, Step};

impl Jmap {
    /// Asks. Where the server lets us in no more, and the file holds another password by then or there is another
    /// token, the question is asked once more with that: a session outlives the login that it began with.
    pub(super) async fn ask(
        &mut self,
        step: Step,
        question: &Question<'_>,
        most: usize,
    ) -> Result<Answer, Failure> {
        let answer = self.channel.ask(step, question, most).await?;
        if answer.status != 401 || !self.renew().await? {
            return Ok(answer);
        }
        self.trace()
            .fact("the server refused the login that it took before: trying another".to_owned());
        self.channel.ask(step, question, most).await
    }

    /// Whether there is another password or token than that which was refused.
    async fn renew(&mut self) -> Result<bool, Failure> {
        let (Some(login), Some(key)) = (self.login.clone(), self.key.clone()) else {
            return Ok(false);
        };
        let (dialer, end) = self.channel.way();
        let newest = login.with_newest(Look::Always, end).await;
        self.trace().hide_login(&newest);
        let newer = dialer.key(&newest, Some(&key), self.trace(), end).await?.secret;
        if newer == key {
            return Ok(false);
        }
        Ok(self.authorize(&newest, &newer))
    }

    /// From now on each question shows this; whether it can be shown at all.
    pub(super) fn authorize(&mut self, login: &Login, key: &Secret) -> bool {
        let authorization = authorization(login, key);
        let is_good = is_good(&authorization);
        if is_good {
            self.channel.authorize(authorization);
            self.key = Some(key.clone());
        }
        is_good
    }
}

/// The value of the field Authorization: a token as it is (RFC 6750), a name and a password as RFC 7617 has them.
fn authorization(login: &Login, key: &Secret) -> Secret {
    let is_token = !login.has_password() || login.auth == Auth::Only(Mechanism::OAuthBearer);
    Secret::new(match is_token {
        true => format!("Bearer {}", key.expose()),
        false => {
            let pair = format!("{}:{}", login.username, key.expose());
            format!("Basic {}", STANDARD.encode(pair))
        }
    })
}

/// Whether a field can have this value: a scheme and one word behind it. What holds a blank or the end of a line would be
/// more than that, or a line of its own.
fn is_good(authorization: &Secret) -> bool {
    authorization.expose().split_once(' ').is_some_and(|(_, word)| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic())
    })
}

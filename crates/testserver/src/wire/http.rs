//! What a script does to answers by HTTP and to the calls of JMAP in them.

use super::{End, Met, Wire};
use crate::faults::Fault;

impl Wire {
    /// Takes note of the credentials that came in this field, and lets the script answer them.
    pub(crate) async fn meet_authorization(
        &mut self,
        (user, password): (&str, &str),
        field: &str,
    ) -> Result<Met, End> {
        self.words.line = field.to_owned();
        self.meet_credentials(user, password).await
    }

    /// The error by which the script answers the call that it has just met, if it does.
    pub(crate) fn take_call_error(&mut self) -> Option<(String, String)> {
        match std::mem::replace(&mut self.shape, Fault::None) {
            Fault::CallError(kind, description) => Some((kind, description)),
            other => {
                self.shape = other;
                None
            }
        }
    }

    /// The body that the script makes of the proper one.
    pub(crate) fn altered(&mut self, body: Vec<u8>) -> Vec<u8> {
        match std::mem::replace(&mut self.shape, Fault::None) {
            Fault::Alter(alteration) => alteration.apply(body),
            other => {
                self.shape = other;
                body
            }
        }
    }
}

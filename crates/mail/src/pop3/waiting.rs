//! A session that waits with the last command of its login: that is the one which fixes the view of the
//! maildrop, so that a look made with it takes one round trip of the network and no more.

use std::pin::Pin;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Pop3;
use crate::auth::Login;
use crate::trace::Trace;
use crate::wire::Dialer;
use ledger::{Failure, Step};

/// A login that has come as far as it can without being made.
pub struct Waiting {
    login: Pin<Box<dyn Future<Output = Result<Pop3, Failure>> + Send>>,
    release: oneshot::Sender<Instant>,
}

/// Where a login waits.
pub(super) struct Hold {
    reached: oneshot::Sender<()>,
    released: oneshot::Receiver<Instant>,
}

impl Waiting {
    /// Connects, protects the connection and begins the login, all of it until `end` at the latest.
    ///
    /// # Errors
    /// The first step that fails.
    pub async fn open(
        dialer: Dialer,
        login: Login,
        trace: Trace,
        end: Instant,
    ) -> Result<Self, Failure> {
        let (release, released) = oneshot::channel();
        let (reached, is_reached) = oneshot::channel();
        let hold = Hold { reached, released };
        let mut login = Box::pin(async move {
            let mut pop3 = Pop3::prepare(&dialer, &login, trace, end).await?;
            pop3.hold = Some(hold);
            pop3.enter(&dialer, &login, end).await
        });
        tokio::select! {
            biased;
            Ok(()) = is_reached => Ok(Self { login, release }),
            outcome = &mut login => {
                // The server let the user in before the last word: its view is what it is.
                let pop3 = outcome?;
                Ok(Self { login: Box::pin(async { Ok(pop3) }), release })
            }
        }
    }

    /// Makes the login; from here on the session ends at `end` at the latest.
    ///
    /// # Errors
    /// As [`Pop3::open`].
    pub async fn enter(self, end: Instant) -> Result<Pop3, Failure> {
        // Nobody waits where the login is made already.
        let _ = self.release.send(end);
        self.login.await
    }
}

impl Pop3 {
    /// What follows is the last command of the login: waits with it, if somebody wants that.
    pub(super) async fn wait_with_the_last(&mut self) {
        let Some(Hold { reached, released }) = self.hold.take() else { return };
        let _ = reached.send(());
        // Whoever opened the session may be gone; then nobody drives this any more.
        if let Ok(end) = released.await {
            self.wire.set_end(end);
        }
        // The record was closed while this waited; what comes is the login's.
        self.wire.trace().enter(Step::Auth);
    }
}

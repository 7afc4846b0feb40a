//! A session that waits with the last command of its login: that is the one which fixes the view of the
//! maildrop, so that a look made with it takes one round trip of the network and no more.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Pop3;
use crate::auth::Login;
use crate::sasl::{self, Open};
use crate::trace::Trace;
use crate::wire::Dialer;
use ledger::{Failure, Step};

/// A login that has come as far as it can without being made.
pub struct Waiting {
    entering: Pin<Box<dyn Future<Output = Result<Pop3, Failure>> + Send>>,
    release: oneshot::Sender<Instant>,
    dialer: Dialer,
    login: Login,
    /// The login with the password that it is made with.
    made: Arc<Login>,
    trace: Trace,
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
        let made = Arc::new(sasl::newest(&login, &trace, end).await.into_owned());
        let of_session = (dialer.clone(), Arc::clone(&made), trace.clone());
        let mut entering: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
            let (dialer, login, trace) = of_session;
            let may_use_command = login.may_use_command();
            let mut pop3 = Pop3::prepare(&dialer, may_use_command, trace, end).await?;
            pop3.hold = Some(hold);
            pop3.enter(&dialer, &login, end).await
        });
        tokio::select! {
            biased;
            Ok(()) = is_reached => {}
            outcome = &mut entering => {
                // The server let the user in before the last word: its view is what it is.
                let pop3 = outcome?;
                entering = Box::pin(async { Ok(pop3) });
            }
        }
        Ok(Self { entering, release, dialer, login, made, trace })
    }

    /// Makes the login; from here on the session ends at `end` at the latest. After a refusal it is made
    /// once more, as by [`Pop3::open`].
    ///
    /// # Errors
    /// As [`Pop3::open`].
    pub async fn enter(self, end: Instant) -> Result<Pop3, Failure> {
        let Self { entering, release, dialer, login, made, trace } = self;
        // Nobody waits where the login is made already.
        let _ = release.send(end);
        match entering.await {
            Err(failure) => {
                let newer = sasl::newer(&login, &made, failure, &trace, end).await?;
                Pop3::open_with(&dialer, &newer, trace, end).await
            }
            open => open,
        }
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

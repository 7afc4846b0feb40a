//! A network that exists in memory only, in place of the kernel's and of the name servers. It is set for a
//! thread; without one everything is as ever.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

/// What is under way.
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The end of a connection that a client holds.
pub trait Connection: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug {
    /// The client's own address.
    fn local_address(&self) -> SocketAddr;
    /// Whether nothing has come that was not read yet, the end of the connection included.
    fn is_silent(&self) -> bool;
}

/// The hosts that can be reached, and their names.
pub trait Network: Send + Sync {
    /// Connects.
    ///
    /// # Errors
    /// As the kernel's: of the kind `ConnectionRefused` and so on. A host that is silent never answers.
    fn connect(&self, address: SocketAddr) -> Pending<io::Result<Box<dyn Connection>>>;

    /// The addresses of a name that is no literal; none if there is no such name.
    ///
    /// # Errors
    /// Nobody answers: the words for it.
    fn look_up(&self, host: &str) -> Pending<Result<Vec<IpAddr>, String>>;
}

thread_local! {
    static NETWORK: RefCell<Option<Arc<dyn Network>>> = const { RefCell::new(None) };
}

/// Has this thread connect in `network` from now on; `None`: in that of the kernel again.
pub fn connect_in(network: Option<Arc<dyn Network>>) {
    NETWORK.with_borrow_mut(|present| *present = network);
}

pub(super) fn network() -> Option<Arc<dyn Network>> {
    NETWORK.with_borrow(Clone::clone)
}

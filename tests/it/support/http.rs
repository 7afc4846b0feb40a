//! The one HTTP client of the tests: each request has a connection of its own.

use std::error::Error;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderMap};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// The longest wait for an answer; no test claims that it comes within it.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// How long what comes sooner or later is waited for: Prometheus scrapes and evaluates, and Postfix starts a
/// process again, each in its own time.
const EVENTUALLY: Duration = Duration::from_secs(180);

/// The answer to a request.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header of ASCII"))
    }

    /// The body, which is text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of UTF-8")
    }
}

/// Sends a request without a body; `address` is host and port.
///
/// # Errors
/// Nobody listens there, or what comes is no HTTP.
pub(crate) async fn ask(
    address: &str,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Answer, Box<dyn Error + Send + Sync>> {
    let tcp = TcpStream::connect(address).await?;
    let (mut client, connection) = http1::handshake(TokioIo::new(tcp)).await?;
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in [(HOST.as_str(), address), (CONNECTION.as_str(), "close")] {
        request = request.header(name, value);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<Bytes>::new())?;
    let exchange = async move {
        let (head, body) = client.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes().to_vec();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    };
    // The connection carries the exchange, whose outcome says whether it went well.
    let (answer, _) = tokio::join!(exchange, connection);
    answer
}

/// The answer to a GET.
///
/// # Panics
/// If there is none within [`LIMIT`].
pub(crate) async fn get(address: &str, path: &str) -> Answer {
    let answer = timeout(LIMIT, ask(address, Method::GET, path, &[])).await;
    let answer = answer.unwrap_or_else(|_| panic!("{path}: no answer within {LIMIT:?}"));
    answer.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Asks until the text of the answer is as it should be.
///
/// # Panics
/// If it is not within [`EVENTUALLY`].
pub(crate) async fn until(address: &str, path: &str, holds: impl Fn(&str) -> bool) -> Answer {
    let deadline = Instant::now() + EVENTUALLY;
    loop {
        let answer = get(address, path).await;
        if holds(answer.text()) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{path} is still:\n{}", answer.text());
        sleep(Duration::from_millis(20)).await;
    }
}

//! Asks for pages as a scraper or a browser does, and counts without keeping.

use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT_ENCODING, CONNECTION, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// Between two of them, so that they do not only measure each other.
const PAUSE: Duration = Duration::from_millis(50);

/// What so many visits came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Visits {
    /// From the connection to the last byte, shortest first.
    times: Vec<Duration>,
    /// Of the last answer, as it came.
    pub(crate) bytes: usize,
}

impl Visits {
    /// Asks so often for a page, compressed or not.
    ///
    /// # Errors
    /// There is no good answer.
    pub(crate) async fn pay(
        address: &str,
        path: &str,
        gzip: bool,
        count: usize,
    ) -> Result<Self, String> {
        let mut visits = Self::default();
        for _ in 0..count {
            let began = Instant::now();
            let bytes = visit(address, path, gzip).await;
            visits.bytes = bytes.map_err(|error| format!("{path}: {error}"))?;
            visits.times.push(began.elapsed());
            sleep(PAUSE).await;
        }
        visits.times.sort();
        Ok(visits)
    }

    pub(crate) fn median(&self) -> Duration {
        percentile(&self.times, 0.5).unwrap_or_default()
    }

    pub(crate) fn high(&self) -> Duration {
        percentile(&self.times, 0.99).unwrap_or_default()
    }
}

/// The value below which such a share of the sorted values lies.
pub(crate) fn percentile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied()
}

type Problem = Box<dyn std::error::Error + Send + Sync>;

async fn visit(address: &str, path: &str, gzip: bool) -> Result<usize, Problem> {
    let tcp = TcpStream::connect(address).await?;
    let (mut client, connection) = http1::handshake(TokioIo::new(tcp)).await?;
    let mut request =
        Request::builder().uri(path).header(HOST, address).header(CONNECTION, "close");
    if gzip {
        request = request.header(ACCEPT_ENCODING, "gzip");
    }
    let request = request.body(Empty::<Bytes>::new())?;
    let exchange = async move {
        let answer = client.send_request(request).await?;
        if !answer.status().is_success() {
            return Err(format!("status {}", answer.status()).into());
        }
        let (mut body, mut bytes) = (answer.into_body(), 0);
        while let Some(frame) = body.frame().await {
            bytes += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok::<_, Problem>(bytes)
    };
    // The connection carries the exchange, whose outcome says whether it went well.
    tokio::join!(exchange, connection).0
}

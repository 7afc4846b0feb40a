//! A proxy with many services at one address: what is asked for below one path goes to the exporter, and everywhere
//! else there is nothing.

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::http;

/// What of an answer is passed on.
const HEADERS: [&str; 4] = ["content-type", "content-security-policy", "cache-control", "location"];

/// A proxy; it ends with this.
pub(crate) struct Proxy {
    /// Its host and port.
    pub(crate) address: String,
    task: AbortHandle,
}

/// Where what is asked for at `outside` is at `inside`, which is empty where the proxy removes it.
struct Place {
    exporter: String,
    outside: &'static str,
    inside: &'static str,
}

impl Proxy {
    /// Passes on to `exporter` what is asked for below the path `outside`, with `inside` in its place.
    pub(crate) async fn start(exporter: &str, outside: &'static str, inside: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let place = Arc::new(Place { exporter: exporter.to_owned(), outside, inside });
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let place = Arc::clone(&place);
                let answer = service_fn(move |request| {
                    let place = Arc::clone(&place);
                    async move { Ok::<_, Infallible>(place.answer(&request).await) }
                });
                // A browser hangs up when it likes.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { address, task: task.abort_handle() }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Place {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let rest = path.strip_prefix(self.outside).filter(|rest| rest.starts_with('/'));
        let Some(rest) = rest else {
            return Response::builder().status(404).body(Full::default()).unwrap();
        };
        let path = format!("{}{rest}", self.inside);
        let accept = request.headers().get("Accept").map_or("*/*", |it| it.to_str().unwrap());
        let headers = [("X-Forwarded-For", "192.0.2.1"), ("Accept", accept)];
        let method = request.method().clone();
        let answer = http::ask(&self.exporter, method, &path, &headers).await.unwrap();
        let mut response = Response::builder().status(answer.status);
        for name in HEADERS {
            if let Some(value) = answer.header(name) {
                response = response.header(name, value);
            }
        }
        response.body(Full::from(answer.body)).unwrap()
    }
}

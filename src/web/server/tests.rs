use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

mod pieces;

/// Far beyond what any step here takes; only a hang meets it.
pub(in crate::web) const GUARD: Duration = Duration::from_secs(20);

/// A short limit for those tests that wait for it to pass.
const SHORT: Duration = Duration::from_millis(150);

/// A listener on a port of its own.
pub(in crate::web) struct Running {
    pub(in crate::web) address: SocketAddr,
    pub(in crate::web) shutdown: CancellationToken,
    pub(in crate::web) task: JoinHandle<()>,
}

pub(in crate::web) async fn start<F>(
    limits: Limits,
    web: WebConfig,
    answer: impl Fn(Request) -> F + Clone + Send + Sync + 'static,
) -> Running
where
    F: Future<Output = Response> + Send + 'static,
{
    let listeners = bind("127.0.0.1:0").await.unwrap();
    let address = listeners[0].local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(serve_within(limits, listeners, web, answer, shutdown.clone()));
    Running { address, shutdown, task }
}

/// Answers with what it was asked.
pub(in crate::web) async fn echo(request: Request) -> Response {
    let text =
        format!("{} {} authenticated={}\n", request.method, request.path, request.is_authenticated);
    Response::text(StatusCode::OK, text)
}

impl Running {
    async fn echo(limits: Limits) -> Self {
        start(limits, WebConfig::none(), echo).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `bytes` and reads until the listener closes.
    pub(in crate::web) async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        read_to_end(&mut stream).await
    }

    /// One request on its own connection; `extra` are whole header lines.
    pub(in crate::web) async fn ask(&self, method: &str, path: &str, extra: &str) -> String {
        self.exchange(request(method, path, extra).as_bytes()).await
    }

    pub(in crate::web) async fn end(self) {
        self.shutdown.cancel();
        timeout(GUARD, self.task).await.expect("the listener ends").unwrap();
    }
}

pub(in crate::web) fn request(method: &str, path: &str, extra: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{extra}\r\n")
}

/// Everything until the end of the stream; a reset counts as an end.
pub(in crate::web) async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let read = async {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            bytes.extend_from_slice(&buffer[..length]);
        }
    };
    timeout(GUARD, read).await.expect("the listener closes the connection");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or(answer, |(_, body)| body)
}

#[tokio::test]
async fn every_answer_carries_the_protective_headers() {
    let server =
        start(Limits::default(), WebConfig::none(), async |request: Request| {
            match request.path.as_str() {
                "/page" => Response::html(StatusCode::OK, "<p>"),
                _ => Response::not_found("nothing here\n"),
            }
        })
        .await;
    for path in ["/page", "/none"] {
        let answer = server.ask("GET", path, "").await;
        for line in [
            "x-content-type-options: nosniff\r\n",
            "referrer-policy: no-referrer\r\n",
            "cache-control: no-store\r\n",
            "vary: Accept, Accept-Encoding\r\n",
        ] {
            assert!(answer.contains(line), "{line} in {answer}");
        }
    }
    let page = server.ask("GET", "/page", "").await;
    assert!(page.contains("content-security-policy: default-src 'none';"), "{page}");
    server.end().await;
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = Running::echo(Limits::default()).await;
    let get = server.ask("GET", "/metrics", "").await;
    let head = server.ask("HEAD", "/metrics", "").await;
    assert_eq!(body(&get), "GET /metrics authenticated=false\n");
    let headers = |answer: &str| {
        let head = answer.split_once("\r\n\r\n").unwrap().0.to_owned();
        head.lines().filter(|line| !line.starts_with("date:")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(headers(&head), headers(&get));
    assert!(headers(&head).contains("content-length: 33"), "{head}");
    assert_eq!(body(&head), "");
    server.end().await;
}

#[tokio::test]
async fn a_long_answer_is_compressed_where_that_is_accepted() {
    let answer = async |_| Response::text(StatusCode::OK, "mailtrip ".repeat(10_000));
    let server = start(Limits::default(), WebConfig::none(), answer).await;
    let plain = server.ask("GET", "/", "").await;
    assert_eq!(body(&plain).len(), 90_000);
    let packed = server.ask("GET", "/", "Accept-Encoding: gzip\r\n").await;
    assert!(packed.contains("content-encoding: gzip\r\n") && packed.len() < 2000, "{packed}");
    server.end().await;
}

#[tokio::test]
async fn http_1_0_and_pipelined_requests_are_answered() {
    let server = Running::echo(Limits::default()).await;
    let answer = server.exchange(b"GET /old HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert_eq!(body(&answer), "GET /old authenticated=false\n");

    let first = "GET /one HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned();
    let answers = server.exchange((first + &request("GET", "/two", "")).as_bytes()).await;
    let one = answers.find("GET /one").expect("the first answer");
    let two = answers.find("GET /two").expect("the second answer");
    assert!(one < two, "{answers}");
    server.end().await;
}

#[tokio::test]
async fn what_is_not_http_gets_400_and_a_huge_header_431() {
    let server = Running::echo(Limits::default()).await;
    assert_eq!(status(&server.exchange(b"\x00\x01\x02 nonsense\r\n\r\n").await), "400");
    let huge = format!("X-Large: {}\r\n", "x".repeat(20_000));
    let answer = server.ask("GET", "/", &huge).await;
    // The rest of the header is unread at the close, which may turn the answer into a reset.
    assert!(answer.is_empty() || status(&answer) == "431", "{answer}");
    assert_eq!(status(&server.ask("GET", "/", "X-Fits: x\r\n").await), "200");
    server.end().await;
}

#[tokio::test]
async fn a_silent_a_half_and_an_idle_client_are_cut() {
    let limits = Limits { header_read: SHORT, keep_alive: SHORT, ..Limits::default() };
    let server = Running::echo(limits).await;
    for bytes in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let started = Instant::now();
        server.exchange(bytes.as_bytes()).await;
        assert!(started.elapsed() >= SHORT, "{bytes:?} was cut early");
    }
    let kept = server.exchange(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(status(&kept), "200");
    server.end().await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut() {
    // Only the deadline of the write can end it here.
    let limits = Limits { connections: 1, write: SHORT, least_wait: GUARD, ..Limits::default() };
    let server = start(limits, WebConfig::none(), async |request: Request| {
        let length = if request.path == "/large" { 64 << 20 } else { 2 };
        Response::text(StatusCode::OK, "x".repeat(length))
    })
    .await;
    let mut never_reads = server.connect().await;
    never_reads.write_all(request("GET", "/large", "").as_bytes()).await.unwrap();
    // The only permit comes back when the first client is cut.
    assert_eq!(body(&server.ask("GET", "/", "").await), "xx");
    server.end().await;
}

/// Connections that are never to send a whole request: as many as there are `beginnings`.
pub(in crate::web) async fn hold(server: &Running, beginnings: &[&str]) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for beginning in beginnings {
        let mut stream = server.connect().await;
        // One that was sent away already is as good.
        let _ = stream.write_all(beginning.as_bytes()).await;
        held.push(stream);
    }
    held
}

#[tokio::test]
async fn idle_and_slow_clients_beyond_all_slots_delay_no_other() {
    // Were they waited for, it would be until the guard.
    let (header_read, keep_alive) = (GUARD * 10, GUARD * 10);
    let limits = Limits { header_read, keep_alive, ..Limits::default() };
    let all = limits.connections;
    let server = Running::echo(limits).await;
    let slow = "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ";
    let idle_after_one = request("GET", "/", "").replace("Connection: close\r\n", "");
    for beginning in ["", slow, &idle_after_one] {
        let held = hold(&server, &vec![beginning; all + 50]).await;
        assert_eq!(status(&server.ask("GET", "/", "").await), "200", "{beginning:?}");
        drop(held);
    }
    server.end().await;
}

#[tokio::test]
async fn a_kept_connection_outlives_a_flood_of_those_who_do_not_ask() {
    let header_read = GUARD * 10;
    let limits = Limits { connections: 16, new_connections: 8, header_read, ..Limits::default() };
    let server = Running::echo(limits).await;
    let mut scraper = server.connect().await;
    let scrape = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for held in [0, 100] {
        let held = hold(&server, &vec![""; held]).await;
        scraper.write_all(scrape).await.unwrap();
        let mut buffer = [0; 512];
        let length = timeout(GUARD, scraper.read(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(status(&String::from_utf8_lossy(&buffer[..length])), "200");
        drop(held);
    }
    drop(scraper);
    server.end().await;
}

#[tokio::test]
async fn a_request_names_one_host_and_that_of_its_target_counts() {
    let server = start(Limits::default(), WebConfig::none(), async |request: Request| {
        Response::text(StatusCode::OK, format!("here={}\n", request.is_loopback))
    })
    .await;
    let asked = async |target: &str, headers: &str| {
        let text = format!("GET {target} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        server.exchange(text.as_bytes()).await
    };
    for headers in ["", "Host: localhost\r\nHost: evil.example\r\n", "Host: a@localhost\r\n"] {
        let answer = asked("/config", headers).await;
        assert_eq!(status(&answer), "400", "{headers:?}: {answer}");
    }
    for (target, host, expected) in [
        ("/config", "localhost", "here=true\n"),
        ("/config", "evil.example", "here=false\n"),
        ("http://evil.example/config", "localhost", "here=false\n"),
        ("http://localhost/config", "evil.example", "here=true\n"),
    ] {
        let answer = asked(target, &format!("Host: {host}\r\n")).await;
        assert_eq!(body(&answer), expected, "{target} {host}");
    }
    assert_eq!(status(&server.exchange(b"GET /config HTTP/1.0\r\n\r\n").await), "200");
    server.end().await;
}

#[tokio::test]
async fn a_page_of_another_site_gets_nothing_done() {
    let server = Running::echo(Limits::default()).await;
    for (header, expected) in [
        ("", "200"),
        ("Origin: http://localhost\r\n", "200"),
        ("Sec-Fetch-Site: same-origin\r\n", "200"),
        ("Origin: https://evil.example\r\n", "403"),
        ("Sec-Fetch-Site: cross-site\r\n", "403"),
    ] {
        let answer = server.ask("POST", "/-/reload", header).await;
        assert_eq!(status(&answer), expected, "{header:?}");
        assert_eq!(status(&server.ask("GET", "/metrics", header).await), "200", "{header:?}");
    }
    server.end().await;
}

#[tokio::test]
async fn bodies_are_read_up_to_the_limit() {
    let limits = Limits { body_bytes: 1000, body_read: SHORT, ..Limits::default() };
    let server = Running::echo(limits).await;
    let post = |length: usize, sent: usize| {
        request("POST", "/-/reload", &format!("Content-Length: {length}\r\n")) + &"x".repeat(sent)
    };
    assert_eq!(status(&server.exchange(post(0, 0).as_bytes()).await), "200");
    assert_eq!(status(&server.exchange(post(1000, 1000).as_bytes()).await), "200");
    assert_eq!(status(&server.exchange(post(1001, 0).as_bytes()).await), "413");
    assert_eq!(status(&server.exchange(post(1000, 999).as_bytes()).await), "408");
    let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000));
    let chunked = request("POST", "/", "Transfer-Encoding: chunked\r\n");
    let fits = format!("{chunked}{chunk}0\r\n\r\n");
    assert_eq!(status(&server.exchange(fits.as_bytes()).await), "200");
    let too_large = format!("{chunked}{chunk}1\r\nx\r\n");
    assert_eq!(status(&server.exchange(too_large.as_bytes()).await), "413");
    server.end().await;
}

#[tokio::test]
async fn a_panic_and_an_endless_answer_end_their_request_only() {
    let limits = Limits { answer: SHORT, ..Limits::default() };
    let server =
        start(limits, WebConfig::none(), async |request: Request| match request.path.as_str() {
            "/panic" => panic!("on purpose"),
            "/endless" => std::future::pending().await,
            _ => Response::text(StatusCode::OK, "fine\n"),
        })
        .await;
    assert_eq!(status(&server.ask("GET", "/panic", "").await), "500");
    assert_eq!(status(&server.ask("GET", "/endless", "").await), "503");
    assert_eq!(status(&server.ask("GET", "/", "").await), "200");
    server.end().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_end_its_request_in_the_middle() {
    let (begun, go_on, ended) = <(Arc<Notify>, Arc<Notify>, Arc<Notify>)>::default();
    let marks = (begun.clone(), go_on.clone(), ended.clone());
    let server = start(Limits::default(), WebConfig::none(), move |_| {
        let (begun, go_on, ended) = marks.clone();
        async move {
            begun.notify_one();
            go_on.notified().await;
            ended.notify_one();
            Response::text(StatusCode::OK, "")
        }
    })
    .await;
    let mut client = server.connect().await;
    client.write_all(request("POST", "/-/reload", "").as_bytes()).await.unwrap();
    begun.notified().await;
    drop(client);
    server.end().await;
    go_on.notify_one();
    timeout(GUARD, ended.notified()).await.expect("the request comes to its end");
}

#[tokio::test]
async fn a_storm_of_connections_stays_under_the_cap_and_is_served() {
    let (now, most) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let counters = (now.clone(), most.clone());
    // They ask at once, so that nobody has to leave for another.
    let limits = Limits { connections: 8, least_wait: GUARD, ..Limits::default() };
    let server = start(limits, WebConfig::none(), move |request| {
        let (now, most) = counters.clone();
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::SeqCst);
            echo(request).await
        }
    })
    .await;
    let server = Arc::new(server);
    let clients: Vec<_> = (0..200)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move { server.ask("GET", "/", "").await })
        })
        .collect();
    for client in clients {
        assert_eq!(status(&client.await.unwrap()), "200");
    }
    assert!(most.load(Ordering::SeqCst) <= 8);
}

#[tokio::test]
async fn a_connection_over_the_cap_takes_the_place_of_the_longest_idle() {
    let server = Running::echo(Limits { connections: 2, ..Limits::default() }).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        // Its answer shows that it has its place.
        assert!(stream.read(&mut [0; 512]).await.unwrap() > 0);
        held.push(stream);
    }
    assert!(server.ask("GET", "/third", "").await.contains("GET /third"));
    assert_eq!(read_to_end(&mut held[0]).await, "", "the longest idle is closed");
    held[1].write_all(request("GET", "/second", "").as_bytes()).await.unwrap();
    assert!(read_to_end(&mut held[1]).await.contains("GET /second"));
    server.end().await;
}

#[tokio::test]
async fn every_listener_is_served_within_one_cap() {
    let mut listeners = bind("127.0.0.1:0").await.unwrap();
    listeners.extend(bind("127.0.0.1:0").await.unwrap());
    let addresses: Vec<_> = listeners.iter().map(|it| it.local_addr().unwrap()).collect();
    let shutdown = CancellationToken::new();
    let limits = Limits { connections: 1, ..Limits::default() };
    let serving = serve_within(limits, listeners, WebConfig::none(), echo, shutdown.clone());
    let task = tokio::spawn(serving);
    for address in [addresses[1], addresses[0], addresses[1]] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request("GET", "/", "").as_bytes()).await.unwrap();
        assert_eq!(status(&read_to_end(&mut stream).await), "200");
    }
    shutdown.cancel();
    timeout(GUARD, task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_busy_listener_does_not_starve_another() {
    let mut listeners = bind("127.0.0.1:0").await.unwrap();
    listeners.extend(bind("127.0.0.1:0").await.unwrap());
    let ports: Vec<_> = listeners.iter().map(|it| it.local_addr().unwrap().port()).collect();
    let mut clients = Vec::new();
    for port in [ports[0], ports[0], ports[0], ports[1]] {
        clients.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    let mut poll_accept = accept_any(listeners);
    let mut accepted = Vec::new();
    for _ in 0..2 {
        let next = timeout(GUARD, std::future::poll_fn(&mut poll_accept));
        let (stream, _) = next.await.unwrap().unwrap();
        accepted.push(stream.local_addr().unwrap().port());
    }
    assert_eq!(accepted, ports);
}

#[tokio::test]
async fn a_request_in_flight_ends_after_the_shutdown() {
    let (begun, go_on) = <(Arc<Notify>, Arc<Notify>)>::default();
    let marks = (begun.clone(), go_on.clone());
    let (drain, header_read) = (GUARD * 10, GUARD * 10);
    let limits = Limits { drain, header_read, ..Limits::default() };
    let server = start(limits, WebConfig::none(), move |_| {
        let (begun, go_on) = marks.clone();
        async move {
            begun.notify_one();
            go_on.notified().await;
            Response::text(StatusCode::OK, "the whole answer")
        }
    })
    .await;
    // Clients without a request in flight must not hold the shutdown.
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    begun.notified().await;
    go_on.notify_one();
    assert!(idle.read(&mut [0; 4096]).await.unwrap() > 0);
    let _silent = server.connect().await;

    let mut client = server.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    begun.notified().await;
    server.shutdown.cancel();
    assert_eq!(read_to_end(&mut idle).await, "");
    assert!(TcpStream::connect(server.address).await.is_err(), "new clients are refused");
    assert!(!server.task.is_finished(), "the listener waits for the request");
    go_on.notify_one();
    let answer = read_to_end(&mut client).await;
    assert!(answer.ends_with("the whole answer"), "{answer}");
    server.end().await;
}

#[tokio::test]
async fn an_endless_request_does_not_hold_the_shutdown() {
    let begun = Arc::new(Notify::new());
    let mark = begun.clone();
    let limits = Limits { drain: SHORT, ..Limits::default() };
    let server = start(limits, WebConfig::none(), move |_| {
        mark.notify_one();
        std::future::pending()
    })
    .await;
    let mut client = server.connect().await;
    client.write_all(request("GET", "/", "").as_bytes()).await.unwrap();
    begun.notified().await;
    server.end().await;
    assert_eq!(read_to_end(&mut client).await, "");
}

/// Collects what is logged.
#[derive(Clone, Default)]
pub(in crate::web) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Takes over the log of this thread until the guard is dropped.
    pub(in crate::web) fn capture(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub(in crate::web) fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn accept_errors_are_slept_off_and_logged_once_a_minute() {
    let log = Log::default();
    let _capturing = log.capture();
    let tries = AtomicUsize::new(0);
    let accept = |_: &mut Context<'_>| {
        tries.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Err(io::Error::other("too many open files")))
    };
    let door = Door::new(Limits::default());
    let run = accept_loop(accept, &door, |_, _, _| {});
    let _ = timeout(Duration::from_millis(150_050), run).await;
    assert_eq!(tries.load(Ordering::SeqCst), 1501, "one try each 100 ms");
    assert_eq!(log.text().matches("too many open files").count(), 3, "{}", log.text());
}

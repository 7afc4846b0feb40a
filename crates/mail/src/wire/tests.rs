use std::pin::Pin;

use testserver::{Authority, Certificate};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_openssl::SslStream;

use super::*;
use crate::options::{Endpoint, TlsMode, TlsOptions};

/// A connection, and the server's end of it.
async fn pair() -> (Wire, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let endpoint = Endpoint::new("127.0.0.1", port, TlsMode::None);
    let dialer = Dialer::new(&endpoint, None, &ConnectionContext::default());
    let end = Instant::now() + Duration::from_secs(30);
    let dialer = dialer.unwrap();
    let (wire, accepted) = tokio::join!(dialer.dial(Trace::new(None), end), listener.accept());
    (wire.unwrap(), accepted.unwrap().0)
}

/// The client's end, where it is one of the kernel.
fn tcp(wire: &Wire) -> &TcpStream {
    match wire.stream.socket() {
        crate::net::Socket::Tcp(socket) => socket,
        #[cfg(feature = "simulation")]
        crate::net::Socket::Simulated(_) => unreachable!(),
    }
}

/// Waits until what the server has written has come to the client's host.
async fn has_arrived(wire: &Wire) {
    tcp(wire).readable().await.unwrap();
}

#[tokio::test]
async fn what_has_come_does_not_outrun_a_deadline_that_is_over() {
    let (mut wire, mut server) = pair().await;
    server.write_all(b"* OK too late\r\n").await.unwrap();
    has_arrived(&wire).await;
    wire.expect_reply_within(Duration::ZERO);
    let failure = wire.read_line(100).await.unwrap_err();
    assert_eq!(failure.reason, Reason::Timeout, "{failure}");
    assert!(!wire.wait_for_input(Instant::now()).await.unwrap());
    wire.expect_reply_within(Duration::from_secs(10));
    assert_eq!(wire.read_line(100).await.unwrap(), b"* OK too late", "nothing was lost");
}

#[tokio::test]
async fn a_long_line_comes_in_pieces_and_costs_no_more_than_it_is() {
    let (mut wire, mut server) = pair().await;
    let line = "0123456789".repeat(20_000);
    let text = format!("{line}\r\nnext\r\n");
    let sending = tokio::spawn(async move {
        server.write_all(text.as_bytes()).await.unwrap();
        let _ = server.read(&mut [0; 1]).await;
    });
    let (mut read, mut largest) = (Vec::new(), 0);
    loop {
        let (piece, is_last) = wire.read_line_piece(4096).await.unwrap();
        assert!(piece.len() <= 4096);
        largest = largest.max(wire.input.capacity());
        read.extend(piece);
        if is_last {
            break;
        }
    }
    assert_eq!(read, line.as_bytes());
    assert!(largest <= 4 * CHUNK, "{largest} bytes were held");
    assert_eq!(wire.read_line_piece(4096).await.unwrap(), (b"next".to_vec(), true));
    drop(wire);
    sending.await.unwrap();
}

#[tokio::test]
async fn the_kernel_knows_what_has_come() {
    let (mut wire, mut server) = pair().await;
    wire.expect_reply_within(Duration::from_secs(10));
    assert!(!wire.has_come().await.unwrap());
    server.write_all(b"250 early\r\n").await.unwrap();
    let mut first = [0];
    assert_eq!(tcp(&wire).peek(&mut first).await.unwrap(), 1);
    assert!(wire.has_come().await.unwrap());
    assert_eq!(wire.read_line(100).await.unwrap(), b"250 early");
    assert!(!wire.has_come().await.unwrap());
    drop(server);
    tcp(&wire).peek(&mut first).await.unwrap();
    assert_eq!(wire.has_come().await.unwrap_err().reason, Reason::Closed);
}

/// A connection under TLS to a server that has said these, each as a record of its own.
async fn told(records: &[&[u8]]) -> (Wire, SslStream<TcpStream>) {
    let server_side = Authority::new().unwrap().server(Certificate::Good).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls_options = Arc::new(TlsOptions { insecure_skip_verify: true, ..TlsOptions::default() });
    let endpoint = Endpoint::new("127.0.0.1", port, TlsMode::Implicit);
    let endpoint = Endpoint { tls_options, ..endpoint };
    let dialer = Dialer::new(&endpoint, None, &ConnectionContext::default()).unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    let server = async {
        let accepted = listener.accept().await.unwrap().0;
        let mut stream = SslStream::new(server_side.session().unwrap(), accepted).unwrap();
        Pin::new(&mut stream).accept().await.unwrap();
        for record in records {
            stream.write_all(record).await.unwrap();
        }
        stream
    };
    let (wire, server) = tokio::join!(dialer.dial(Trace::new(None), end), server);
    (wire.unwrap(), server)
}

#[tokio::test]
async fn what_was_read_ahead_below_tls_has_come() {
    let (mut wire, _server) = told(&[b"* OK one\r\n", b"* OK two\r\n"]).await;
    assert_eq!(wire.read_line(100).await.unwrap(), b"* OK one");
    assert!(wire.has_come().await.unwrap(), "the kernel has nothing more, and yet there is");
    assert_eq!(wire.read_line(100).await.unwrap(), b"* OK two");
    assert!(!wire.has_come().await.unwrap());
}

#[tokio::test]
async fn what_tls_still_holds_of_a_record_has_come() {
    let first = [b'x'; CHUNK - 2];
    let record = [&first[..], b"\r\n* OK two\r\n"].concat();
    let (mut wire, _server) = told(&[&record]).await;
    assert_eq!(wire.read_line(2 * CHUNK).await.unwrap(), first);
    assert_eq!(wire.pending(), 0, "the first read ends with the line");
    assert!(wire.has_come().await.unwrap(), "neither the kernel nor the socket has it");
    assert_eq!(wire.read_line(100).await.unwrap(), b"* OK two");
    assert!(!wire.has_come().await.unwrap());
}

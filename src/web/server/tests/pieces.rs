//! Bodies that are made while they are sent.

use std::sync::Weak;

use super::*;
use crate::web::server::compression::tests::unpacked;
use crate::web::server::message::Rest;

const PIECE: usize = 64 * 1024;

/// Counts the pieces that were made of an endless body.
#[derive(Clone, Default)]
struct Made(Arc<AtomicUsize>);

impl Made {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn endless(&self) -> impl Iterator<Item = String> + Send + 'static {
        let made = self.clone();
        std::iter::repeat_with(move || {
            made.0.fetch_add(1, Ordering::SeqCst);
            "mailtrip ".repeat(PIECE / 9)
        })
    }
}

/// A body on its way, with nobody who takes it yet, and so much time for each piece of it.
async fn body(
    pieces: impl Iterator<Item = String> + Send + 'static,
    longest: Duration,
) -> outgoing::Body {
    let door = Door::new(Limits::default());
    let seat = door.enter([127, 0, 0, 1].into()).await.unwrap();
    let rest = Rest::new(pieces.map(Bytes::from).map(Ok));
    outgoing::in_pieces(Bytes::new(), rest, longest, seat.progress())
}

#[tokio::test]
async fn pieces_are_made_as_they_are_taken() {
    let made = Made::default();
    let mut body = body(made.endless(), GUARD).await;
    for taken in 1..50 {
        let frame = timeout(GUARD, body.frame()).await.expect("a piece comes").unwrap().unwrap();
        assert!(frame.into_data().is_ok_and(|piece| piece.len() > PIECE / 2));
        assert!(made.count() <= taken + 3, "{} were made when {taken} were taken", made.count());
    }
}

#[tokio::test]
async fn a_body_that_is_taken_too_slowly_breaks_off() {
    let mut body = body(Made::default().endless(), SHORT).await;
    let taken = async {
        loop {
            match body.frame().await {
                Some(Ok(_)) => tokio::task::yield_now().await,
                end => return end,
            }
        }
    };
    let end = timeout(GUARD, taken).await.expect("it ends");
    let error = end.unwrap().unwrap_err().downcast::<io::Error>().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

/// A listener that sends this many different pieces.
async fn sends(count: usize) -> (Running, String) {
    let pieces = move || (0..count).map(|number| format!("{number} ").repeat(20_000));
    let answer = move |_| std::future::ready(Response::in_pieces("text/plain", pieces()));
    (start(Limits::default(), WebConfig::none(), answer).await, pieces().collect())
}

/// The bytes of the one answer that the client gets, and where its body begins.
async fn answer(server: &Running, request: &str) -> (Vec<u8>, usize) {
    let mut stream = server.connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    timeout(GUARD, stream.read_to_end(&mut bytes)).await.expect("the answer ends").unwrap();
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    (bytes, head + 4)
}

/// What the chunks hold (RFC 9112, section 7.1).
fn unchunked(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = chunks.iter().position(|byte| *byte == b'\r').expect("the length of a chunk");
        let length = std::str::from_utf8(&chunks[..line]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            assert_eq!(&chunks[line..], b"\r\n\r\n");
            return body;
        }
        body.extend_from_slice(&chunks[line + 2..line + 2 + length]);
        chunks = &chunks[line + 2 + length + 2..];
    }
}

#[tokio::test]
async fn all_pieces_arrive_in_their_order_chunked_compressed_or_until_the_end() {
    let (server, expected) = sends(20).await;
    let (bytes, body) = answer(&server, &request("GET", "/", "")).await;
    assert!(unchunked(&bytes[body..]) == expected.as_bytes());

    for coding in ["gzip", "zstd"] {
        let accept = format!("Accept-Encoding: {coding}\r\n");
        let (bytes, body) = answer(&server, &request("GET", "/", &accept)).await;
        let head = String::from_utf8_lossy(&bytes[..body]);
        assert!(head.contains(&format!("content-encoding: {coding}")), "{head}");
        let packed = unchunked(&bytes[body..]);
        assert!(packed.len() < expected.len() / 10);
        assert!(unpacked(coding, &packed) == expected);
    }

    let (bytes, body) = answer(&server, "GET / HTTP/1.0\r\n\r\n").await;
    let head = String::from_utf8_lossy(&bytes[..body]);
    assert!(!head.contains("chunked") && !head.contains("content-length"), "{head}");
    assert!(&bytes[body..] == expected.as_bytes());
    server.end().await;
}

#[tokio::test]
async fn head_makes_no_pieces_and_says_no_length() {
    let made = Made::default();
    let pieces = made.clone();
    let endless = move |_| std::future::ready(Response::in_pieces("text/plain", pieces.endless()));
    let server = start(Limits::default(), WebConfig::none(), endless).await;
    let (bytes, body) = answer(&server, &request("HEAD", "/", "")).await;
    let head = String::from_utf8_lossy(&bytes[..body]);
    assert_eq!((status(&head), &bytes[body..]), ("200", &b""[..]));
    assert!(!head.contains("content-length"), "{head}");
    server.end().await;
    assert!(made.count() <= 2, "the two that tell whether there are more: {}", made.count());
}

#[tokio::test]
async fn a_body_of_which_a_piece_cannot_be_made_is_not_taken_for_whole() {
    let door = Door::new(Limits::default());
    let seat = door.enter([127, 0, 0, 1].into()).await.unwrap();
    let broken = io::Error::new(io::ErrorKind::OutOfMemory, "no room");
    let rest = Rest::new([Ok(Bytes::from("a")), Err(broken)].into_iter());
    let mut body = outgoing::in_pieces(Bytes::new(), rest, GUARD, seat.progress());
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
    let error = body.frame().await.unwrap().unwrap_err().downcast::<io::Error>().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
}

#[tokio::test]
async fn one_piece_is_a_body_of_known_length() {
    let (server, expected) = sends(1).await;
    let (bytes, body) = answer(&server, &request("GET", "/", "")).await;
    let head = String::from_utf8_lossy(&bytes[..body]);
    assert!(head.contains(&format!("content-length: {}\r\n", expected.len())), "{head}");
    assert!(&bytes[body..] == expected.as_bytes());
    server.end().await;
}

#[tokio::test]
async fn what_nobody_takes_any_more_is_dropped() {
    let alive = Arc::new(());
    let watched = Arc::downgrade(&alive);
    let handed = Mutex::new(Some(alive));
    let answer = Arc::new(move || {
        let alive = handed.lock().unwrap_or_else(PoisonError::into_inner).take();
        Response::in_pieces(
            "text/plain",
            Made::default().endless().inspect(move |_| {
                let _ = &alive;
            }),
        )
    });
    let server =
        start(Limits::default(), WebConfig::none(), move |_| std::future::ready(answer())).await;
    let mut stream = server.connect().await;
    stream.write_all(request("GET", "/", "").as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 1000]).await.unwrap();
    drop(stream);
    let gone = async {
        while Weak::strong_count(&watched) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(GUARD, gone).await.expect("the rest of the body is dropped");
    server.end().await;
}

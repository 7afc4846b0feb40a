//! A client of the bench, in a process of its own.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Set in such a process: address, path, format and coding, a space between each.
const QUESTION: &str = "MAILTRIP_SCRAPE_QUESTION";

/// What a client got.
pub(crate) struct Answer {
    /// With the header, and the lengths of the chunks.
    pub(crate) bytes: u64,
    /// None on a page, and where the answer is compressed.
    pub(crate) series: u32,
    pub(crate) time: Duration,
}

pub(crate) fn is_wanted() -> bool {
    std::env::var_os(QUESTION).is_some()
}

/// Asks, reads the answer, and prints what it was.
pub(crate) fn run() {
    let question = std::env::var(QUESTION).unwrap();
    let [address, path, accept, coding] =
        <[&str; 4]>::try_from(question.split(' ').collect::<Vec<_>>()).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nAccept-Encoding: {coding}\r\n\
         Connection: close\r\n\r\n"
    );
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let time = began.elapsed();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{path}: {:?}", answer.get(..40));
    let series = if path == "/metrics" { series(&answer) } else { 0 };
    println!("{} {series} {}", answer.len(), time.as_nanos());
}

fn series(answer: &[u8]) -> usize {
    let lines = answer.split(|byte| *byte == b'\n');
    let is_series = |line: &&[u8]| line.starts_with(b"mailtrip_") || line.starts_with(b"process_");
    lines.filter(is_series).count()
}

pub(crate) fn start(address: SocketAddr, path: &str, accept: &str, coding: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .env(QUESTION, format!("{address} {path} {accept} {coding}"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

pub(crate) fn answer(client: Child) -> Answer {
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success(), "a client failed");
    let words = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<u64> = words.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let [bytes, series, nanoseconds] = <[u64; 3]>::try_from(numbers).unwrap();
    let (series, time) = (u32::try_from(series).unwrap(), Duration::from_nanos(nanoseconds));
    Answer { bytes, series, time }
}

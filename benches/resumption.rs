//! What resuming a TLS session saves: the client's processor time of a handshake in full and of one
//! that resumes, in one run, as a ratio. `make bench-resumption` runs it.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use mail::net::tls::{Resumption, SessionMemory, TlsClient};
use mailtrip_exporter::config::{Endpoint, IpFamily, TlsMode, TlsOptions};
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::X509;
use rustix::time::{ClockId, clock_gettime};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Handshakes of each kind; they alternate, so that both see the same machine.
const ROUNDS: usize = 300;

/// A server with an RSA key of 2048 bits, as most mail servers have, on a thread of its own.
fn serve() -> SocketAddr {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(9).unwrap()).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_certificate(&certificate.build()).unwrap();
    acceptor.set_private_key(&key).unwrap();
    let acceptor = acceptor.build();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut stream = acceptor.accept(socket.unwrap()).unwrap();
            stream.write_all(b"!").unwrap();
            let _ = stream.read(&mut [0; 1]);
        }
    });
    address
}

/// The processor time of this thread, the only one of the client.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

async fn connect(
    client: &TlsClient,
    endpoint: &Endpoint,
    address: SocketAddr,
    how: Resumption<'_>,
) -> (Duration, bool) {
    let before = cpu_time();
    let socket = TcpStream::connect(address).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let handshake = client.handshake(endpoint, socket, deadline, how).await;
    let mut stream = handshake.outcome.map_err(|fault| fault.message).unwrap();
    // The tickets of TLS 1.3 come with the first answer.
    stream.read_exact(&mut [0; 1]).await.unwrap();
    (cpu_time() - before, handshake.facts.unwrap().is_resumed)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let address = serve();
    let options = TlsOptions { insecure_skip_verify: true, ..TlsOptions::default() };
    let client = TlsClient::new(&options).unwrap();
    let endpoint = Endpoint {
        host: "127.0.0.1".to_owned(),
        mx: false,
        port: address.port(),
        tls: TlsMode::Implicit,
        tls_options: options.into(),
        ip_family: IpFamily::Any,
        timeout: Duration::from_secs(10),
    };
    let memory: Arc<SessionMemory> = Arc::default();
    let (mut full, mut resumed) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (time, was_resumed) =
            connect(&client, &endpoint, address, Resumption::Afresh(&memory)).await;
        assert!(!was_resumed);
        full.push(time);
        let (time, was_resumed) =
            connect(&client, &endpoint, address, Resumption::Offered(&memory)).await;
        assert!(was_resumed);
        resumed.push(time);
    }
    let (full, resumed) = (median(full), median(resumed));
    let ratio = resumed.as_secs_f64() / full.as_secs_f64();
    println!(
        "client CPU, median of {ROUNDS}: in full {full:?}, resumed {resumed:?}, ratio {ratio:.2}"
    );
}

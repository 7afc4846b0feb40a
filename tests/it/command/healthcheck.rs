//! The subcommand `healthcheck`, which the health check of a container runs beside the exporter.

use std::fs;
use std::path::Path;
use std::process::Output;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::lab::certificates;
use crate::support::program::{Running, folder, run, target};

/// What it says of an exporter at this address.
async fn ask(folder: &Path, address: &str, more: &[&str]) -> Output {
    let listen = format!("--web.listen-address={address}");
    run(folder, &[&["healthcheck", listen.as_str()], more].concat()).await
}

#[tokio::test]
async fn a_running_exporter_is_healthy_and_a_stopped_one_is_not() {
    let folder = folder(&format!("targets:\n{}", target("m", 1, 1)));
    let running = Running::start(folder.path(), &["--web.route-prefix=/mail"]).await;
    let address = running.address.clone();
    let healthy = ask(folder.path(), &address, &["--web.route-prefix=/mail"]).await;
    assert_eq!((healthy.status.code(), healthy.stdout.as_slice()), (Some(0), &b"healthy\n"[..]));
    // A listener on all addresses is asked at loopback.
    let port = address.rsplit(':').next().unwrap();
    for all in [format!(":{port}"), format!("0.0.0.0:{port}")] {
        let answer = ask(folder.path(), &all, &["--web.external-url=https://h.test/mail"]).await;
        assert_eq!(answer.status.code(), Some(0), "{answer:?}");
    }
    let elsewhere = ask(folder.path(), &address, &[]).await;
    let told = String::from_utf8_lossy(&elsewhere.stderr).into_owned();
    assert_eq!(elsewhere.status.code(), Some(1), "{told}");
    assert!(told.contains("HTTP status 404; give `healthcheck` the flags"), "{told}");
    running.kill().await;
    let dead = ask(folder.path(), &address, &["--web.route-prefix=/mail"]).await;
    let told = String::from_utf8_lossy(&dead.stderr).into_owned();
    assert_eq!(dead.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("the exporter at {address} is not healthy: ")), "{told}");
}

#[tokio::test]
async fn users_and_client_certificates_do_not_make_it_ill() {
    let folder = folder(&format!("targets:\n{}", target("m", 1, 1)));
    certificates::write_certificates(folder.path(), "monitor.example.com");
    let tls = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.pem\n";
    let users = format!("basic_auth_users: {{sam: '{}'}}\n", bcrypt::hash("secret", 4).unwrap());
    let clients = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n";
    let names = "  client_auth_type: RequestClientCert\n  client_allowed_sans: [a.test]\n";
    let older = "  max_version: TLS12\n";
    for config in [
        users.clone(),
        format!("{tls}{users}"),
        format!("{tls}{clients}"),
        format!("{tls}{clients}{older}"),
        format!("{tls}{names}"),
        format!("{tls}  min_version: TLS10\n  max_version: TLS11\n"),
    ] {
        fs::write(folder.path().join("web.yml"), &config).unwrap();
        let flag = "--web.config.file=web.yml";
        let running = Running::start(folder.path(), &[flag]).await;
        let healthy = ask(folder.path(), &running.address, &[flag]).await;
        assert_eq!(healthy.status.code(), Some(0), "{config}{healthy:?}");
        running.kill().await;
    }
}

/// A listener that reads a little, answers with that, and leaves.
async fn stranger(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer).await;
        }
    });
    address
}

#[tokio::test]
async fn whoever_else_has_the_port_is_not_healthy_under_tls() {
    let folder = folder(&format!("targets:\n{}", target("m", 1, 1)));
    certificates::write_certificates(folder.path(), "monitor.example.com");
    let tls = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.pem\n";
    let clients = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n";
    let strangers =
        [stranger(b"").await, stranger(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await];
    for more in ["", clients] {
        fs::write(folder.path().join("web.yml"), format!("{tls}{more}")).unwrap();
        for address in &strangers {
            let ill = ask(folder.path(), address, &["--web.config.file=web.yml"]).await;
            assert_eq!(ill.status.code(), Some(1), "{more}{ill:?}");
        }
    }
}

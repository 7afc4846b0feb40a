//! The subcommand `healthcheck`, which the health check of a container runs beside the exporter.

use std::fs;
use std::path::Path;
use std::process::Output;

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
    for config in [users.clone(), format!("{tls}{users}"), format!("{tls}{clients}")] {
        fs::write(folder.path().join("web.yml"), &config).unwrap();
        let flag = "--web.config.file=web.yml";
        let running = Running::start(folder.path(), &[flag]).await;
        let healthy = ask(folder.path(), &running.address, &[flag]).await;
        assert_eq!(healthy.status.code(), Some(0), "{config}{healthy:?}");
        running.kill().await;
    }
}

//! The program reads its configuration again by itself.

use std::fs;

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::X509;
use testserver::{Options, Protocol, Server};

use crate::support::program::{Running, folder, is, log_line, post, target};

#[tokio::test]
async fn a_change_of_a_file_is_put_to_work_and_a_bad_one_tried_once() {
    let post = post();
    let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
    let imap = Options::new().clear_text_login();
    let imap = Server::start(Protocol::Imap, &post, imap).await.unwrap();
    let entry = |name: &str| format!("targets:\n{}", target(name, smtp.port(), imap.port()));
    let folder = folder("include: ['targets.d/*.yml']\n");
    let included = |name: &str| folder.path().join("targets.d").join(name);
    fs::create_dir(folder.path().join("targets.d")).unwrap();
    fs::write(included("1.yml"), entry("one")).unwrap();
    let often = ["--config.enable-auto-reload", "--config.auto-reload-interval=50ms"];
    let mut running = Running::start(folder.path(), &often).await;

    fs::write(included("2.yml"), entry("two")).unwrap();
    running.until("/metrics", |page| page.contains("target=\"two\"")).await;

    let is_good = "mailtrip_config_last_reload_successful";
    fs::write(included("2.yml"), "targets: 7\n").unwrap();
    let page = running.until("/metrics", |page| is(page, is_good, 0.0)).await;
    assert!(page.contains("target=\"two\""), "the previous configuration stays in force");
    let line = log_line(&mut running.log, "cannot reload the configuration").await;
    assert!(line.contains("2.yml:1: targets: must be a list"), "{line}");

    fs::remove_file(included("2.yml")).unwrap();
    running.until("/metrics", |page| is(page, is_good, 1.0)).await;
    running.until("/metrics", |page| !page.contains("target=\"two\"")).await;
    // What comes next in the log is the reload that succeeds, not another try of the bad one.
    loop {
        let line = running.log.next_line().await.unwrap().unwrap();
        assert!(!line.contains("cannot reload"), "{line}");
        if line.contains("was reloaded") {
            break;
        }
    }
}

/// A certificate and its key, both in PEM form, of which OpenSSL makes no use: the key is too small.
fn weak_identity() -> [Vec<u8>; 2] {
    let key = PKey::from_rsa(Rsa::generate(512).unwrap()).unwrap();
    let mut certificate = X509::builder().unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(9).unwrap()).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    let certificate = certificate.build().to_pem().unwrap();
    [certificate, key.private_key_to_pem_pkcs8().unwrap()]
}

#[tokio::test]
async fn a_reload_that_fails_for_what_may_pass_is_tried_again_without_a_change() {
    let good = format!("targets:\n{}", target("one", 1, 1));
    let folder = folder(&good);
    let often = ["--config.enable-auto-reload", "--config.auto-reload-interval=50ms"];
    let mut running = Running::start(folder.path(), &often).await;
    for (name, pem) in ["cert.pem", "key.pem"].iter().zip(weak_identity()) {
        fs::write(folder.path().join(name), pem).unwrap();
    }
    let identity = "tls: starttls, tls_options: {cert_file: cert.pem, key_file: key.pem}";
    let next = folder.path().join("next.yml");
    fs::write(&next, good.replacen("tls: none", identity, 1)).unwrap();
    fs::rename(next, folder.path().join("mailtrip.yml")).unwrap();
    for _ in 0..2 {
        let line = log_line(&mut running.log, "cannot reload the configuration").await;
        assert!(line.contains("cannot use the files of tls_options"), "{line}");
    }
}

//! Which authorities the program trusts where the configuration names none.

use testserver::{Certificate, Options, Protocol, Server};

use crate::support::Trust;
use crate::support::program::{LIMIT, folder, post, program};

/// What `probe` says of a server whose certificate is by the authority of `trust`.
async fn verdict(trust: &Trust, environment: [(&str, &str); 2]) -> String {
    let server = trust.authority.server(Certificate::Good).unwrap();
    let options = || Options::new().implicit_tls(&server);
    let post = post();
    let smtp = Server::start(Protocol::Smtp, &post, options()).await.unwrap();
    let imap = Server::start(Protocol::Imap, &post, options()).await.unwrap();
    let folder = folder(&format!(
        "targets:\n- name: m\n  host: localhost\n  from: a@demo.test\n  to: b@demo.test\n  \
         send: {{port: {}, tls: implicit}}\n  receive: {{protocol: imap, port: {}, tls: implicit, username: b, \
         password: secret-of-b}}\n",
        smtp.port(),
        imap.port()
    ));
    let mut command = program(folder.path());
    command.args(["probe", "m", "--timeout=20s"]).envs(environment);
    let output = tokio::time::timeout(LIMIT, command.output()).await.unwrap().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn the_environment_names_them_and_a_machine_without_any_says_so() {
    let trust = Trust::new();
    let ca_file = trust.ca_file();
    let named = verdict(&trust, [("SSL_CERT_FILE", &ca_file), ("SSL_CERT_DIR", "/nonexistent")]);
    let named = named.await;
    assert!(named.contains("Verdict: m works"), "{named}");
    let nowhere = [("SSL_CERT_FILE", "/nonexistent"), ("SSL_CERT_DIR", "/nonexistent")];
    let none = verdict(&trust, nowhere).await;
    assert!(none.contains("reason certificate_untrusted"), "{none}");
    assert!(none.contains("no authorities were found on this machine: install"), "{none}");
}

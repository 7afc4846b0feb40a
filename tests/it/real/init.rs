//! `mailtrip_exporter init` against Postfix and Dovecot, with a name server and a web server of its own: each test starts
//! itself again in namespaces, where ports 53 and 443 are free.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Output, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::routes::{Record, serve_names};
use crate::lab::exim_courier::SecondStack;
use crate::lab::wait::until_open;
use crate::lab::{Account, DOMAIN, HOST, Lab, namespace};
use crate::support::program::{LIMIT, program};

use super::layers::run;

const PASSWORD: &str = "pass: word #7";

fn is_inside(test: &str) -> bool {
    namespace::is_inside(&format!("real::init::{test}"), &["--net", "--mount"], &[])
}

/// A lab whose services are announced by SRV, or are not, and an account in it.
async fn world(is_announced: bool) -> (Lab, Account) {
    run("ip", &["link", "set", "lo", "up"], "");
    let lab = Lab::start().await;
    let account = lab.user("rita", PASSWORD).await;
    let ports = lab.ports();
    let mut records = vec![Record::A(HOST, [127, 0, 0, 1]), Record::A(DOMAIN, [127, 0, 0, 1])];
    let services = [
        Record::Srv("_imaps._tcp.lab.test", ports.imaps, HOST),
        Record::Srv("_imap._tcp.lab.test", ports.imap, HOST),
        Record::Srv("_submissions._tcp.lab.test", ports.smtps, HOST),
        Record::Srv("_submission._tcp.lab.test", ports.submission, HOST),
        Record::Srv("_imaps._tcp.other.test", ports.imaps, HOST),
        Record::Srv("_submissions._tcp.other.test", ports.smtps, HOST),
    ];
    if is_announced {
        records.extend(services);
    }
    serve_names(records.leak()).await;
    (lab, account)
}

/// Runs it in a folder, with these words on standard input.
async fn init(folder: &Path, ca_file: &Path, address: &str, input: &str) -> Output {
    let mut command = program(folder);
    command.args(["init", address]).arg("--ca-file").arg(ca_file);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    timeout(LIMIT, child.wait_with_output()).await.expect("it ends").unwrap()
}

fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn postfix_and_dovecot_are_found_by_srv_and_tested() {
    if !is_inside("postfix_and_dovecot_are_found_by_srv_and_tested") {
        return;
    }
    let (lab, account) = world(true).await;
    let folder = tempfile::tempdir().unwrap();

    // A wrong password: two logins at most, and nothing is left.
    let output = init(folder.path(), &lab.ca_file(), &account.address, "wrong\n").await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("nothing was written"), "{}", said(&output));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(lab.imap_logins(&account), 0);

    let input = format!("{PASSWORD}\nfor somebody else\n");
    let output = init(folder.path(), &lab.ca_file(), &account.address, &input).await;
    let shown = said(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.contains(&format!("Verdict: {DOMAIN} works")), "{shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");
    let text = fs::read_to_string(folder.path().join("mailtrip.yml")).unwrap();
    for port in [lab.ports().imaps, lab.ports().smtps] {
        assert!(text.contains(&format!("port: {port}\n      tls: implicit")), "{text}");
    }
    assert_eq!(lab.mails(&account).len(), 0, "the test mail was removed");

    // What it wrote is good for the exporter's own check; a second time it refuses.
    let check = program(folder.path()).arg("check").output().await.unwrap();
    assert!(said(&check).contains("mailtrip.yml is good: 1 target, no warnings"), "{check:?}");
    let again = init(folder.path(), &lab.ca_file(), &account.address, &input).await;
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again).contains("mailtrip.yml is there already"), "{}", said(&again));
    assert_eq!(fs::read_to_string(folder.path().join("mailtrip.yml")).unwrap(), text);
}

#[tokio::test]
async fn exim_and_courier_are_found_likewise() {
    if !is_inside("exim_and_courier_are_found_likewise") {
        return;
    }
    run("ip", &["link", "set", "lo", "up"], "");
    let stack = SecondStack::start().await;
    let ports = stack.ports();
    let records = vec![
        Record::A(HOST, [127, 0, 0, 1]),
        Record::Srv("_pop3s._tcp.lab.test", ports.pop3s, HOST),
        Record::Srv("_submission._tcp.lab.test", ports.submission, HOST),
    ];
    serve_names(records.leak()).await;
    let account = stack.user("rita", PASSWORD).await;
    let folder = tempfile::tempdir().unwrap();
    let input = format!("{PASSWORD}\n");
    let output = init(folder.path(), &stack.ca_file(), &account.address, &input).await;
    let shown = said(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let text = fs::read_to_string(folder.path().join("mailtrip.yml")).unwrap();
    assert!(text.contains("protocol: pop3"), "{text}");
    assert!(text.contains(&format!("port: {}\n      tls: starttls", ports.submission)), "{text}");
    assert_eq!(stack.mails(&account).len(), 0, "the test mail was removed");
}

#[tokio::test]
async fn a_host_outside_of_the_domain_gets_no_password_unasked() {
    if !is_inside("a_host_outside_of_the_domain_gets_no_password_unasked") {
        return;
    }
    let (lab, account) = world(true).await;
    let folder = tempfile::tempdir().unwrap();
    let input = format!("{PASSWORD}\n");
    let output = init(folder.path(), &lab.ca_file(), "rita@other.test", &input).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let words = "mail.lab.test is outside of other.test, and nobody is there to be asked: --yes";
    assert!(said(&output).contains(words), "{}", said(&output));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(!lab.dovecot_log().contains("auth failed"), "{}", lab.dovecot_log());
    assert_eq!(lab.imap_logins(&account), 0);
}

#[tokio::test]
async fn the_file_of_the_domain_is_read_over_verified_tls() {
    if !is_inside("the_file_of_the_domain_is_read_over_verified_tls") {
        return;
    }
    let (lab, account) = world(false).await;
    // The domain has a web server.
    let web = tempfile::tempdir().unwrap();
    let mut request = Command::new("openssl");
    request.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem"]);
    request.args(["-out", "cert.pem", "-days", "2", "-subj", "/CN=The web server"]);
    request.args(["-addext", &format!("subjectAltName=DNS:{DOMAIN}")]).current_dir(web.path());
    assert!(request.output().await.unwrap().status.success());
    let place = web.path().join(".well-known/autoconfig/mail");
    fs::create_dir_all(&place).unwrap();
    let ports = lab.ports();
    let server = |element: &str, kind: &str, port: u16, name: &str| {
        format!(
            "<{element} type=\"{kind}\"><hostname>{HOST}</hostname><port>{port}</port><socketType>STARTTLS</socketType>\
             <username>{name}</username><authentication>password-cleartext</authentication></{element}>"
        )
    };
    let xml = format!(
        "<clientConfig version=\"1.1\"><emailProvider id=\"{DOMAIN}\">{}{}</emailProvider></clientConfig>",
        server("incomingServer", "imap", ports.imap, "%EMAILADDRESS%"),
        server("outgoingServer", "smtp", ports.submission, "%EMAILLOCALPART%")
    );
    fs::write(place.join("config-v1.1.xml"), xml).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["s_server", "-accept", "127.0.0.1:443", "-WWW", "-quiet", "-cert", "cert.pem"]);
    openssl.args(["-key", "key.pem"]).current_dir(web.path()).kill_on_drop(true);
    let _openssl = openssl.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    until_open(IpAddr::from(Ipv4Addr::LOCALHOST), 443).await;

    let folder = tempfile::tempdir().unwrap();
    let password = format!("{PASSWORD}\n");
    // The web server is of an authority that nobody knows: its word is nothing.
    let output = init(folder.path(), &lab.ca_file(), &account.address, &password).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("neither a mailbox nor a server"), "{}", said(&output));

    let both = folder.path().join("ca.pem");
    let pems = [lab.ca_file(), web.path().join("cert.pem")].map(|path| fs::read(path).unwrap());
    fs::write(&both, pems.concat()).unwrap();
    let mut command = program(folder.path());
    command.args(["init", &account.address, "--name=one", "--ca-file"]).arg(&both);
    fs::write(folder.path().join("password"), &password).unwrap();
    let output = command.arg("--password-file=password").output().await.unwrap();
    let shown = said(&output);
    assert!(shown.contains("config-v1.1.xml: names 2 servers"), "{shown}");
    assert!(shown.contains(&format!("logged in as {}", account.address)), "{shown}");
    // What the file says of the user is tried first, be it wrong.
    assert!(shown.contains("the login as rita was refused"), "{shown}");
    assert!(shown.contains("Verdict: one works"), "{shown}");
    let text = fs::read_to_string(folder.path().join("mailtrip.yml")).unwrap();
    assert!(text.contains(&format!("port: {}\n      tls: starttls", ports.imap)), "{text}");
}

#[tokio::test]
async fn a_password_typed_at_a_terminal_is_not_shown_and_the_terminal_is_left_as_it_was() {
    let test = "a_password_typed_at_a_terminal_is_not_shown_and_the_terminal_is_left_as_it_was";
    if !is_inside(test) {
        return;
    }
    let (lab, account) = world(true).await;
    let password = format!("password of {}: ", account.address);
    let right = format!("{PASSWORD}\n");
    let outside = "mail.lab.test is outside of other.test. Send the password there? [y/N] ";
    for (address, question, typed, code, files) in [
        (account.address.as_str(), password.as_str(), right.as_str(), "0", 2),
        // Ctrl-C in the midst of it.
        (account.address.as_str(), password.as_str(), "pass\x03", "1", 0),
        // Ctrl-\ and Ctrl-Z are no ways out: they are part of a password that is wrong.
        (account.address.as_str(), password.as_str(), "pass\x1c\x1a\n", "1", 0),
        ("rita@other.test", outside, "n\n", "1", 0),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let seen = at_terminal(folder.path(), &lab, address, question, typed).await;
        assert!(!seen.contains("pass:") && !seen.contains("pass\r"), "{seen}");
        let state = seen.split("ended with ").nth(1).unwrap_or_else(|| panic!("{seen}"));
        assert!(state.starts_with(&format!("{code}\r")), "{seen}");
        assert!(state.contains(" echo ") && !state.contains("-echo "), "{seen}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), files, "{seen}");
        assert!(!address.ends_with("other.test") || seen.contains("was not agreed to"), "{seen}");
    }
}

/// Runs it at a terminal where this is typed as soon as the question is there; what was seen, with how it ended and the
/// state of the terminal after it.
async fn at_terminal(
    folder: &Path,
    lab: &Lab,
    address: &str,
    question: &str,
    typed: &str,
) -> String {
    let program = env!("CARGO_BIN_EXE_mailtrip_exporter");
    let ca_file = lab.ca_file();
    let script = format!(
        "trap : INT; {program} init {address} --ca-file={}; echo \"ended with $?\"; stty -a",
        ca_file.display()
    );
    let mut command = Command::new("script");
    command.args(["-qec", &script, "/dev/null"]).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.env("SHELL", "/bin/sh").env("TERM", "xterm").spawn().unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut seen, mut has_answered) = (String::new(), false);
    let reading = async {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = screen.read(&mut bytes).await {
            seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
            if !has_answered && seen.contains(question) {
                has_answered = true;
                keys.write_all(typed.as_bytes()).await.unwrap();
            }
        }
    };
    timeout(LIMIT, reading).await.unwrap_or_else(|_| panic!("it ends"));
    assert!(has_answered, "{seen}");
    seen
}

//! `probe --from-exporter`: the result of a running exporter, and exporters that are not what they should be.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use testserver::faults::{self, Fault, Gate};
use testserver::{Options, Post, Protocol, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::lab::certificates::write_certificates;
use crate::support::program::{self, Running, is};

const LOGIN: &str = "ann:pass-word-of-ann";

/// An exporter with the targets `one`, which is well, and `standby`, which is down and passive, as `gate` and `sink`, whose
/// mails must not pass.
struct House {
    _post: Post,
    imap: Server,
    smtp: Server,
    folder: tempfile::TempDir,
}

impl House {
    async fn new(interval: &str) -> Self {
        let post = program::post();
        let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
        let imap = Server::start(Protocol::Imap, &post, Options::new()).await.unwrap();
        let one = program::target("one", smtp.port(), imap.port());
        let one = one.replace("interval: 1s", &format!("interval: {interval}"));
        let standby = program::target("standby", 1, 1);
        let gates = [
            program::target("gate", 1, 1).replace("interval: 1s", "expect: refused"),
            program::target("sink", 1, 1).replace("interval: 1s", "expect: nothing"),
        ];
        let gates = gates.map(|gate| format!("{gate}  passive: true\n")).concat();
        let folder = program::folder(&format!("targets:\n{one}{standby}  passive: true\n{gates}"));
        Self { _post: post, imap, smtp, folder }
    }
}

/// What the program wrote, both outputs, and its exit code.
async fn probe(url: &str, arguments: &[&str]) -> (String, i32) {
    let nowhere = tempfile::tempdir().unwrap();
    let all = [&["probe", "--from-exporter", url][..], arguments].concat();
    let output = program::run(nowhere.path(), &all).await;
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).unwrap(), output.status.code().unwrap())
}

async fn nagios(url: &str, arguments: &[&str]) -> (String, i32) {
    let (text, code) = probe(url, &[&["--output=nagios"], arguments].concat()).await;
    assert!(text.starts_with("MAILTRIP ") && text.lines().count() == 1, "{text}");
    (text, code)
}

/// Of a target whose mails must not pass.
async fn a_passive_node_that_is_down_is_the_same_asked_or_read(
    house: &House,
    running: &Running,
    url: &str,
) {
    for gate in ["gate", "sink"] {
        // Both say the same of what is not to pass, once both sides were tried.
        let is_tried = |page: &str| {
            page.contains("\"condition\":\"not_applicable\"")
                && page.matches("\"up\":false").count() == 2
        };
        running.until(&format!("/api/targets/{gate}"), is_tried).await;
        let read = nagios(url, &[gate]).await;
        let own = program::run(house.folder.path(), &["probe", gate, "--output=nagios"]).await;
        let text = String::from_utf8(own.stdout).unwrap();
        let sentence = |text: &str| text.split(" | ").next().unwrap_or_default().to_owned();
        assert_eq!((sentence(&text), own.status.code()), (sentence(&read.0), Some(read.1)));
        assert!(
            text.contains(&format!("OK - {gate} is passive and down: not applicable: cannot")),
            "{text}"
        );
        let (read, own) = (
            probe(url, &[gate]).await.1,
            program::run(house.folder.path(), &["probe", gate]).await.status.code(),
        );
        assert_eq!(own, Some(read), "{gate}");
    }
}

#[tokio::test]
async fn the_result_of_a_running_exporter_is_read_in_each_output() {
    let house = House::new("1s").await;
    let running = Running::start(house.folder.path(), &[]).await;
    let well =
        |page: &str| is(page, "mailtrip_outstanding_messages", 0.0) && page.contains("roundtrip");
    running.until("/metrics", well).await;
    running.until("/api/targets/one", |page| page.contains("\"condition\":\"well\"")).await;
    let url = format!("http://{}", running.address);
    let (text, code) = nagios(&url, &["one", "-t", "20"]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("MAILTRIP OK - one works: received after "), "{text}");
    assert!(text.contains(" | roundtrip=0.") && text.contains(" send=100%;;;0;100 "), "{text}");
    let (text, code) = nagios(&url, &["one", "-w", "0", "-c", "0:30"]).await;
    assert!(code == 1 && text.contains("WARNING - one is slow: "), "{text}");
    let (text, code) = probe(&url, &["one", "-c", "0"]).await;
    assert!(code == 1 && text.contains("Verdict: one is too slow: "), "{text}");
    let (text, code) = probe(&url, &["one"]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(&format!("one: as the exporter at {url} has measured it\n")), "{text}");
    let (text, code) = probe(&url, &["one", "--output=json"]).await;
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (code, &document["state"], &document["successful"]),
        (0, &"ok".into(), &true.into())
    );
    assert!(document["roundtrip_seconds"].as_f64().unwrap() > 0.0, "{document:#}");
    let is_down = |page: &str| page.contains("\"condition\":\"not_applicable\"");
    running.until("/api/targets/standby", is_down).await;
    let (text, code) = nagios(&url, &["standby"]).await;
    assert!(
        code == 0 && text.contains("OK - standby is passive and down: not applicable"),
        "{text}"
    );
    assert!(text.contains("roundtrip=U;") && text.contains("send=U;"), "{text}");
    a_passive_node_that_is_down_is_the_same_asked_or_read(&house, &running, &url).await;
    let (text, code) = nagios(&url, &["onne"]).await;
    assert!(code == 3 && text.contains("no target `onne`; did you mean `one`?"), "{text}");
    let (text, code) = nagios(&url, &["../../config"]).await;
    assert!(code == 3 && text.contains("there is no target"), "{text}");

    house.imap.faults().on(faults::CREDENTIALS, Fault::reply("{tag} NO [AUTHENTICATIONFAILED] no"));
    running.until("/metrics", |page| is(page, "mailtrip_receive_ability_percent", 0.0)).await;
    let (text, code) = nagios(&url, &["one"]).await;
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("CRITICAL - one cannot receive (side receive, step auth, reason auth): ")
    );
    assert!(text.contains("check `username`") && text.contains("receive=0%"), "{text}");
}

#[tokio::test]
async fn what_is_not_measured_yet_is_waited_for_and_what_will_not_come_is_not() {
    let house = House::new("1h").await;
    let entrance = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", entrance.local_addr().unwrap());
    let asked = url.clone();
    let mut waiting = tokio::spawn(async move { probe(&asked, &["one", "--wait=365d"]).await });
    // It is away, then behind a proxy that does not find it, then there with nothing measured.
    drop(entrance.accept().await.unwrap());
    let (mut client, _) = entrance.accept().await.unwrap();
    let _ = client.read(&mut [0; 2048]).await.unwrap();
    client.write_all(b"HTTP/1.1 503 no\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    let gate = Gate::default();
    house.imap.faults().on(faults::CONNECT, Fault::Held(gate.clone()));
    house.smtp.faults().on(faults::CONNECT, Fault::Held(gate.clone()));
    let running = Running::start(house.folder.path(), &[]).await;
    let lead = async |entrance: &TcpListener| {
        let (mut client, _) = entrance.accept().await.unwrap();
        let mut exporter = TcpStream::connect(&running.address).await.unwrap();
        tokio::io::copy_bidirectional(&mut client, &mut exporter).await.unwrap();
    };
    lead(&entrance).await;
    gate.open();
    let (text, code) = loop {
        tokio::select! {
            said = &mut waiting => break said.unwrap(),
            () = lead(&entrance) => {}
        }
    };
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Verdict: one works"), "{text}");
    let url = format!("http://{}", running.address);
    let (text, code) = probe(&url, &["onne", "--wait=365d"]).await;
    assert!(code == 1 && text.contains("no target `onne`"), "{text}");
}

#[tokio::test]
async fn an_exporter_behind_tls_a_login_and_a_path_is_read_and_no_secret_is_shown() {
    let house = House::new("1h").await;
    let folder = house.folder.path();
    write_certificates(folder, "localhost");
    let hash = bcrypt::hash("pass-word-of-ann", 4).unwrap();
    let web = format!(
        "tls_server_config: {{cert_file: server.pem, key_file: server.pem}}\n\
         basic_auth_users: {{ann: '{hash}'}}\n"
    );
    std::fs::write(folder.join("web.yml"), web).unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    std::fs::write(path("login"), format!("{LOGIN}\n")).unwrap();
    std::fs::write(path("wrong"), "ann:no\n").unwrap();
    std::fs::write(path("bare"), "pass-word-of-ann\n").unwrap();
    let bare = path("bare");
    let flags = ["--web.config.file=web.yml", "--web.route-prefix=/mail/trip"];
    let running = Running::start(folder, &flags).await;
    let url = format!("https://{}/mail/trip/", running.address);
    let (ca, login, wrong) = (path("ca.pem"), path("login"), path("wrong"));
    let ca = ["one", "--exporter-ca-file", &ca];
    let with = |login: &'static str, file: &str| vec![login.to_owned(), file.to_owned()];
    let ask = async |url: &str, login: Vec<String>| {
        let login: Vec<&str> = login.iter().map(String::as_str).collect();
        nagios(url, &[&ca[..], &login].concat()).await
    };
    let began = Instant::now();
    loop {
        let (text, code) = ask(&url, with("--exporter-login-file", &login)).await;
        assert!(!text.contains("pass-word"), "{text}");
        if code == 0 {
            assert!(text.contains("OK - one works: "), "{text}");
            break;
        }
        assert!(text.contains("was not tested by the exporter"), "{text}");
        assert!(began.elapsed() < program::LIMIT, "{text}");
    }
    let done = |house: &House| {
        (house.imap.stats().count("AUTHENTICATE"), house.smtp.stats().mails_accepted)
    };
    let before = done(&house);
    let root = format!("https://{}", running.address);
    for (url, login, words) in [
        (&url, vec![], "wants a login: name a file"),
        (&url, with("--exporter-login-file", &wrong), "refuses the login in the file"),
        (&url, with("--exporter-login-file", "none"), "(--exporter-login-file none)"),
        (&url, with("--exporter-login-file", &bare), "is not user:password, it has no colon"),
        (&root, with("--exporter-login-file", &login), "all pages are below /mail/trip/"),
    ] {
        let (text, code) = ask(url, login).await;
        assert!(code == 3 && text.contains(words), "{words:?} is missing in {text}");
        assert!(!text.contains("pass-word") && !text.contains("ann:no"), "{text}");
    }
    let (text, code) = nagios(&url, &["one"]).await;
    assert!(code == 3 && text.contains("the certificate of 127.0.0.1 is refused"), "{text}");
    assert_eq!(done(&house), before, "nobody but the exporter uses the mail servers");
    let with_password = format!("https://{LOGIN}@{}", running.address);
    let (text, code) = nagios(&with_password, &["one"]).await;
    assert!(
        code == 3 && text.contains("--exporter-login-file") && !text.contains("pass-word"),
        "{text}"
    );
}

/// Where somebody answers each connection with these bytes, and then says no more.
async fn answering(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.read(&mut [0; 4096]).await;
            let _ = connection.write_all(&bytes).await;
            held.push(connection);
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn what_is_no_exporter_is_unknown_with_clear_words_and_in_time() {
    let http = |head: &str, body: &str| {
        format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    let endless = [http("200 OK\r\nX: y", "").as_slice(), &[b' '; 8]].concat();
    let too_long = http("200 OK", &" ".repeat((4 << 20) + 1));
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    for (bytes, words) in [
        (Some(Vec::new()), "no answer in time"),
        (Some(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec()), "no answer in time"),
        (Some(endless), "is not what an exporter says of a target"),
        (Some(too_long), "an answer of more than 4194304 bytes"),
        (Some(http("200 OK", "<html>")), "is not what an exporter says of a target"),
        (Some(http("200 OK", "{\"name\": \"one\"}")), "(missing field `late_after_seconds`)"),
        (
            Some(http("302 Found\r\nLocation: http://127.0.0.1:1/", "")),
            "a redirect (HTTP status 302)",
        ),
        (Some(http("404 Not Found", "{\"error\": \"no | \\u001b[2J\"}")), "no / \\u{1b}[2J"),
        (Some(http("503 Service Unavailable", "")), "answers with HTTP status 503"),
        (Some(b"220 mail ESMTP\r\n".to_vec()), "the answer cannot be read"),
        (None, "cannot connect to 127.0.0.1"),
    ] {
        let url = match bytes {
            Some(bytes) => answering(bytes).await,
            None => nobody.clone(),
        };
        let began = Instant::now();
        let (text, code) = nagios(&url, &["one", "-t", "2"]).await;
        assert_eq!(code, 3, "{text}");
        assert!(text.contains(&format!("UNKNOWN - the exporter at {url}: ")), "{text}");
        assert!(text.contains(words), "{words:?} is missing in {text}");
        assert!(began.elapsed() < Duration::from_secs(10), "{words}");
    }
    assert!(!Path::new("mailtrip-state").exists());
}

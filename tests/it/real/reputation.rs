//! Lists of addresses as they are in the world: rbldnsd, asked by way of unbound, which is the name server of
//! the machine. Each test starts itself again in namespaces of its own.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mailtrip_exporter::metrics::{self, Syntax};
use serde_json::Value;
use tempfile::TempDir;
use testserver::{Delivery, Options, Protocol, Server};
use tokio::net::UdpSocket;
use tokio::process::Child;

use crate::lab::tool::server;
use crate::lab::{namespace, wait};
use crate::real::routes::{name_servers, take_name_servers};
use crate::support::program::{Running, post, run, target};
use crate::support::{Exporter, USER, World};

/// Where the list itself listens.
const LIST: &str = "127.0.0.1/5353";
const ZONE: &str = "bl.example";
const TEST_ENTRY: &str = "127.0.0.2\n";
const OURS: &str = "198.51.100.7\n";

/// A list and the name server that asks it.
struct Lists {
    folder: TempDir,
    list: Option<Child>,
    _name_server: Child,
}

impl Lists {
    /// The list has these addresses.
    async fn start(addresses: &str) -> Self {
        take_name_servers();
        let folder = tempfile::tempdir().unwrap();
        // The list drops its rights before it reads.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.path().join("unbound.conf"), unbound(folder.path())).unwrap();
        let name_server = server("unbound", &["-d", "-c", "unbound.conf"], folder.path());
        let mut lists = Self { folder, list: None, _name_server: name_server };
        lists.hold(addresses).await;
        lists
    }

    /// The list has these addresses from now on.
    async fn hold(&mut self, addresses: &str) {
        self.stop().await;
        // Without it a name server keeps for some seconds that there is no such name.
        let soa = "$SOA 0 bl.example. admin.bl.example. 0 600 300 86400 0\n";
        let reason = "$TTL 1\n:127.0.0.4:$ sent spam, see https://bl.example/\n";
        let file = self.folder.path().join("addresses");
        fs::write(&file, format!("{soa}{reason}{addresses}")).unwrap();
        let wide = "$TTL 1\n:127.0.0.3:a prefix\n::ffff:7f00:2/128\n2001:db8:1::/48\n";
        fs::write(self.folder.path().join("prefixes"), wide).unwrap();
        let folder = self.folder.path();
        let zones = ["ip4set:addresses", "ip6trie:prefixes"].map(|it| format!("{ZONE}:{it}"));
        let arguments = ["-n", "-u", "nobody", "-b", LIST, "-w", &folder.to_string_lossy()];
        let arguments = [&arguments[..], &zones.each_ref().map(String::as_str)].concat();
        self.list = Some(server("rbldnsd", &arguments, folder));
        // An answer of either kind comes from the list itself.
        for name_server in name_servers() {
            let address = SocketAddr::new(name_server, 53);
            wait::until("the list answers", async || is_answered(address).await).await;
        }
    }

    /// Nobody answers for the list any more.
    async fn stop(&mut self) {
        if let Some(mut list) = self.list.take() {
            list.kill().await.unwrap();
        }
    }
}

/// It keeps nothing of an answer, so that each question reaches the list.
fn unbound(folder: &Path) -> String {
    let interfaces: String =
        name_servers().iter().map(|address| format!("  interface: {address}\n")).collect();
    format!(
        "server:\n  directory: \"{}\"\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  \
         use-syslog: no\n{interfaces}  access-control: 0.0.0.0/0 allow\n  access-control: ::/0 allow\n  \
         do-not-query-localhost: no\n  cache-max-ttl: 0\n  cache-max-negative-ttl: 0\n  \
         infra-host-ttl: 0\n  module-config: \"iterator\"\n  num-threads: 1\n  \
         local-zone: \"example.\" nodefault\nstub-zone:\n  name: \"{ZONE}.\"\n  \
         stub-addr: 127.0.0.1@5353\nremote-control:\n  control-enable: no\n",
        folder.display()
    )
}

/// Whether the name server has an answer for a name of the list.
async fn is_answered(server: SocketAddr) -> bool {
    let any: SocketAddr = if server.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" }.parse().unwrap();
    let socket = UdpSocket::bind(any).await.unwrap();
    let question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01x\x02bl\x07example\x00\x00\x01\x00\x01";
    if socket.connect(server).await.is_err() || socket.send(question).await.is_err() {
        return false;
    }
    let mut answer = [0; 512];
    let wait = std::time::Duration::from_millis(500);
    let received = tokio::time::timeout(wait, socket.recv(&mut answer)).await;
    // No error, or that there is no such name.
    matches!(received, Ok(Ok(_))) && matches!(answer[3] & 0xf, 0 | 3)
}

fn config(addresses: &str, smtp: u16, imap: u16) -> TempDir {
    let dnsbl = format!("  dnsbl: {{lists: [{ZONE}], addresses: [{addresses}]}}\n");
    crate::support::program::folder(&format!("targets:\n{}{dnsbl}", target("one", smtp, imap)))
}

/// What the list says now, whether the address is listed and in which words; and the exit code.
async fn said(folder: &TempDir) -> (Option<bool>, String, i32) {
    let output = run(folder.path(), &["probe", "one", "--dns", "--output=json"]).await;
    let document: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let list = &document["dnsbl"][0];
    let words = list["words"].as_str().unwrap_or_default().to_owned();
    (list["listed"].as_bool(), words, output.status.code().unwrap())
}

#[tokio::test]
async fn a_list_is_asked_by_way_of_the_name_server_of_the_machine() {
    let name = "real::reputation::a_list_is_asked_by_way_of_the_name_server_of_the_machine";
    if !namespace::is_inside(name, &["--net"], &[]) {
        return;
    }
    let mut lists = Lists::start(&[TEST_ENTRY, OURS].concat()).await;
    let folder = config("198.51.100.7, '2001:db8:1::25'", 1, 1);
    let (listed, words, code) = said(&folder).await;
    assert_eq!((listed, code), (Some(true), 1), "{words}");
    let of_both = "198.51.100.7 is listed (127.0.0.4: 198.51.100.7 sent spam, see \
                   https://bl.example/); 2001:db8:1::25 is listed (127.0.0.3: a prefix)";
    assert_eq!(words, of_both);
    let folder = config("198.51.100.7, '2001:db8:2::25'", 1, 1);
    lists.hold(TEST_ENTRY).await;
    let (listed, words, code) = said(&folder).await;
    assert_eq!((listed, code), (Some(false), 0), "{words}");
    // It lists everything but what shows that it is a list.
    lists.hold(OURS).await;
    let (listed, words, code) = said(&folder).await;
    assert_eq!((listed, code), (None, 1), "{words}");
    assert!(words.contains("does not list its test entry 127.0.0.2"), "{words}");
    lists.hold("127.0.0.0/8\n").await;
    let (listed, words, _) = said(&folder).await;
    assert!(listed.is_none() && words.contains("the whole world"), "{words}");
    lists.stop().await;
    let (listed, words, _) = said(&folder).await;
    assert!(listed.is_none() && words.contains("SERVFAIL"), "{words}");
}

#[tokio::test]
async fn the_exporter_looks_up_the_address_that_the_receiver_saw() {
    let name = "real::reputation::the_exporter_looks_up_the_address_that_the_receiver_saw";
    if !namespace::is_inside(name, &["--net"], &[]) {
        return;
    }
    let _lists = Lists::start(&[TEST_ENTRY, OURS].concat()).await;
    let world = World::new(Protocol::Imap).await;
    world.post.set_delivery(USER, Delivery::lost());
    let target = world.target("a").set("dnsbl", &format!("{{lists: [{ZONE}]}}"));
    let exporter = Exporter::start(&[target]).await;
    let mail = world.sent(1).await.remove(0);
    exporter.until("a", "accepted", |snapshot| snapshot.totals.accepted == 1).await;
    let stamp = "Received: from out.demo.test (out.demo.test [198.51.100.7])\r\n\tby mx.demo.test \
                 with ESMTPS id 1; Mon, 30 Nov 2026 10:00:00 +0000\r\n\
                 Received: from monitor.demo.test (monitor.demo.test [203.0.113.9])\r\n\tby out.demo.test \
                 with ESMTPSA id 2; Mon, 30 Nov 2026 09:59:59 +0000\r\n";
    world.post.insert(USER, "INBOX", format!("{stamp}{mail}").as_bytes());
    let listed = "mailtrip_dnsbl_listed{target=\"a\",dnsbl=\"bl.example\"} 1.0";
    wait::until("the address is listed", async || {
        let views = exporter.supervisor.views();
        let page: String = metrics::pieces(views, None, Syntax::OpenMetrics).collect();
        page.contains(listed)
    })
    .await;
    let inspection = exporter.supervisor.view("a").unwrap().inspection.unwrap();
    assert_eq!(inspection.outgoing, Some([198, 51, 100, 7].into()));
}

#[tokio::test]
async fn what_a_list_said_is_shown_and_stands_over_a_restart() {
    let name = "real::reputation::what_a_list_said_is_shown_and_stands_over_a_restart";
    if !namespace::is_inside(name, &["--net"], &[]) {
        return;
    }
    let mut lists = Lists::start(&[TEST_ENTRY, OURS].concat()).await;
    let post = post();
    let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
    let imap = Server::start(Protocol::Imap, &post, Options::new()).await.unwrap();
    let folder = config("198.51.100.7", smtp.port(), imap.port());
    let running = Running::start(folder.path(), &[]).await;
    let sample = "mailtrip_dnsbl_listed{target=\"one\",dnsbl=\"bl.example\"} ";
    running.until("/metrics", |page| page.contains(&format!("{sample}1.0\n"))).await;
    let document: Value = serde_json::from_str(&running.get("/api/targets/one").await).unwrap();
    assert_eq!(document["dnsbl"][0]["listed"], true, "{document}");
    let page = running.get("/targets/one").await;
    assert!(page.contains("198.51.100.7 sent spam, see https://bl.example/"), "{page}");
    running.has_kept_all(folder.path()).await;
    running.kill().await;
    // What is shown now nobody has said to this process.
    lists.stop().await;
    let running = Running::start(folder.path(), &[]).await;
    let page = running.get("/metrics").await;
    assert!(page.contains(&format!("{sample}1.0\n")), "{page}");
}

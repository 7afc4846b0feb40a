//! The layers below the mail service, in network namespaces of their own where packets are really
//! dropped: what is cut, closed or refused shows in the right layer, on /metrics and on the page.
//!
//! Each test starts itself again in a fresh namespace, which ends with it; nothing outside sees its
//! addresses and rules.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mailtrip_exporter::config::{IpFamily, PingCheck};
use mailtrip_exporter::layers::ping::ping;
use mailtrip_exporter::supervisor::Supervisor;
use testserver::faults::{CREDENTIALS, Fault};
use testserver::{Options, Protocol};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::DropGuard;

use crate::lab::namespace;
use crate::support::http;
use crate::support::{TargetText, World, config, origin, serve};

/// The longest wait for anything in here: a cut is noticed by silence, and the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(60);

/// The addresses of the hosts, IPv4 and IPv6.
fn addresses(host: u8) -> [String; 2] {
    [format!("10.99.0.{host}"), format!("fd99::{host}")]
}

fn is_inside(test: &str, wrapper: &[&str]) -> bool {
    namespace::is_inside(&format!("real::layers::{test}"), &["--net"], wrapper)
}

/// Gives this namespace its hosts.
fn make_hosts() {
    run("ip", &["link", "set", "lo", "up"], "");
    for host in 1..=5 {
        let [v4, v6] = addresses(host);
        run("ip", &["address", "add", &format!("{v4}/32"), "dev", "lo"], "");
        run("ip", &["-6", "address", "add", &format!("{v6}/128"), "dev", "lo", "nodad"], "");
    }
    let chain = "{ type filter hook input priority 0; }";
    run("nft", &["-f", "-"], &format!("add table inet test\nadd chain inet test input {chain}\n"));
}

/// Lets no packet of this kind reach anybody, as `ip daddr 10.99.0.1`.
fn drop_packets(kind: &str) {
    run("nft", &["-f", "-"], &format!("add rule inet test input {kind} drop\n"));
}

/// Lets every packet through again.
fn drop_nothing() {
    run("nft", &["flush", "chain", "inet", "test", "input"], "");
}

/// Whom the system lets ping without a capability.
fn set_ping_group_range(range: &str) {
    fs::write("/proc/sys/net/ipv4/ping_group_range", range).unwrap();
}

/// Runs a program of the system with this input; it has to succeed.
pub(crate) fn run(program: &str, arguments: &[&str], input: &str) {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", path).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| {
        panic!("{program} is needed (`scripts/install-prerequisites test` installs it): {error}")
    });
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?} {input} failed: {said}");
}

/// A mail server at this address, SMTP and IMAP.
async fn server(address: &str) -> World {
    let listen = SocketAddr::new(address.parse().unwrap(), 0);
    let options = Options::new().listen(listen);
    World::with(Protocol::Imap, options.clone(), options).await
}

/// Its target, with quick checks of everything.
fn target(name: &str, address: &str, world: &World) -> TargetText {
    world
        .target(name)
        .set("host", &format!("'{address}'"))
        .set("interval", "1s")
        .set("timeout", "500ms")
        .set("late_after", "1h")
        .set("ping", "{packets: 2, interval: 20ms, timeout: 300ms}")
        .set("port_timeout", "300ms")
}

/// The exporter behind its pages.
struct Exporter {
    supervisor: Arc<Supervisor>,
    address: SocketAddr,
    _shutdown: DropGuard,
}

impl Exporter {
    async fn start(targets: &[TargetText]) -> Self {
        let supervisor = Supervisor::start(config(targets), None, origin()).await.unwrap();
        let (address, _shutdown) = serve(&supervisor, false).await;
        Self { supervisor, address, _shutdown }
    }

    async fn get(&self, path: &str) -> String {
        http::get(&self.address.to_string(), path).await.text().to_owned()
    }

    /// The value of a series, as it is written.
    async fn value(&self, series: &str) -> Option<String> {
        let prefix = format!("{series} ");
        let page = self.get("/metrics").await;
        page.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned)
    }

    /// The column of a target: network, tcp, send, receive, delivery; `1`, `0` or `-` for NaN.
    async fn column(&self, target: &str) -> String {
        let page = self.get("/metrics").await;
        let state = |layer: &str| {
            let series = format!("mailtrip_layer_state{{target=\"{target}\",layer=\"{layer}\"}} ");
            let value = page.lines().find_map(|line| line.strip_prefix(&series)).unwrap();
            if value == "NaN" { "-" } else { &value[..1] }
        };
        ["network", "tcp", "send", "receive", "delivery"].map(state).concat()
    }

    /// Waits until the column of a target is this.
    async fn shows(&self, target: &str, wanted: &str) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let column = self.column(target).await;
            if column == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{target}: {column} and not {wanted}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the page says of each layer of a target, the highest first: class, name and words.
    async fn lines(&self, target: &str) -> Vec<String> {
        let page = self.get(&format!("/targets/{target}")).await;
        let list = page.split("<ol class=\"layers\"").nth(1).unwrap();
        let list = list.split("</ol>").next().unwrap();
        let strip = |item: &str| {
            let class = item.split('"').nth(1).unwrap_or_default().to_owned();
            let text = item.split('<').filter_map(|part| part.split_once('>'));
            let words: Vec<&str> = text.flat_map(|(_, text)| text.split_whitespace()).collect();
            format!("{class}: {}", words.join(" "))
        };
        list.split("<li").skip(1).map(strip).collect()
    }

    async fn end(self) {
        timeout(DEADLINE, self.supervisor.stop()).await.unwrap();
    }
}

fn on_runtime(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Box::pin(test));
}

#[test]
fn each_fault_shows_in_its_layer() {
    if is_inside("each_fault_shows_in_its_layer", &[]) {
        make_hosts();
        set_ping_group_range("1 0");
        on_runtime(each_fault(0));
        set_ping_group_range("0 0");
        on_runtime(each_fault(1));
    }
}

/// What the page says of each fault; the closed port has this number.
async fn words_name_the_layer(exporter: &Exporter, port: u16) {
    let lines = exporter.lines("cut").await;
    assert_eq!(lines[4], "failing: Network no answer to blame");
    assert!(
        lines[3].starts_with("failing: TCP send ") && lines[3].contains(": timeout"),
        "{lines:?}"
    );
    let lines = exporter.lines("closed").await;
    assert_eq!(lines[4], "well: Network answers");
    assert_eq!(lines[3], format!("failing: TCP send {port}: refused to blame"));
    assert_eq!(lines[2], "failing: Send fails");
    let lines = exporter.lines("login").await;
    assert_eq!(lines[1], "failing: Receive fails to blame");
    let lines = exporter.lines("silent").await;
    assert_eq!(lines[4], "not-applicable: Network silent, but TCP answers");
    assert!(lines.iter().all(|line| !line.starts_with("failing")), "{lines:?}");
}

async fn series_show_the_faults(exporter: &Exporter) {
    for (series, wanted) in [
        ("mailtrip_ping_availability_percent{target=\"silent\"}", "0.0"),
        ("mailtrip_ping_packet_loss_percent{target=\"silent\"}", "100.0"),
        ("mailtrip_ping_rtt_avg_seconds{target=\"silent\"}", "NaN"),
        ("mailtrip_ping_packet_loss_percent{target=\"well\"}", "0.0"),
        ("mailtrip_tcp_port_availability_percent{target=\"closed\",port_name=\"send\"}", "0.0"),
        (
            "mailtrip_tcp_port_availability_percent{target=\"closed\",port_name=\"receive\"}",
            "100.0",
        ),
        ("mailtrip_ping_permitted", "1.0"),
    ] {
        assert_eq!(exporter.value(series).await.as_deref(), Some(wanted), "{series}");
    }
    let refused = "mailtrip_tcp_port_last_failure_timestamp_seconds{target=\"closed\",port_name=\"send\",\
                   reason=\"refused\"}";
    assert!(exporter.value(refused).await.is_some());
}

/// By IPv4 (0) or IPv6 (1): one target is well, one is cut at the network, the port of one is closed,
/// the login of one fails, and one drops ICMP only.
async fn each_fault(family: usize) {
    drop_nothing();
    let host = |number: u8| addresses(number)[family].clone();
    let [well, cut, mut closed, login, silent] = [
        server(&host(1)).await,
        server(&host(2)).await,
        server(&host(3)).await,
        server(&host(4)).await,
        server(&host(5)).await,
    ];
    let exporter = Exporter::start(&[
        target("well", &host(1), &well),
        target("cut", &host(2), &cut),
        target("closed", &host(3), &closed),
        target("login", &host(4), &login),
        target("silent", &host(5), &silent),
    ])
    .await;
    for name in ["well", "cut", "closed", "login", "silent"] {
        exporter.shows(name, "11111").await;
    }

    let ip = ["ip", "ip6"][family];
    let echo = ["icmp type echo-request", "icmpv6 type echo-request"][family];
    drop_packets(&format!("{ip} daddr {}", host(2)));
    drop_packets(&format!("{ip} daddr {} {echo}", host(5)));
    closed.smtp.stop().await;
    login.mailbox.faults().on(CREDENTIALS, Fault::reply("NO [AUTHENTICATIONFAILED] no"));

    exporter.shows("cut", "00001").await;
    exporter.shows("closed", "10011").await;
    exporter.shows("login", "11101").await;
    exporter.shows("silent", "-1111").await;
    exporter.shows("well", "11111").await;

    words_name_the_layer(&exporter, closed.smtp.address().port()).await;
    series_show_the_faults(&exporter).await;

    drop_nothing();
    closed.smtp.start_again().await.unwrap();
    login.mailbox.faults().clear();
    for name in ["well", "cut", "closed", "login", "silent"] {
        exporter.shows(name, "11111").await;
    }
    exporter.end().await;
}

#[test]
fn either_socket_pings_either_family_and_only_replies_in_time_count() {
    if is_inside("either_socket_pings_either_family_and_only_replies_in_time_count", &[]) {
        make_hosts();
        on_runtime(async {
            for range in ["1 0", "0 0"] {
                set_ping_group_range(range);
                for host in addresses(1) {
                    both_kinds_of_reply(&host, range).await;
                }
            }
        });
    }
}

async fn both_kinds_of_reply(host: &str, range: &str) {
    let check = PingCheck {
        host: host.to_owned(),
        ip_family: IpFamily::Any,
        packets: 3,
        size: 9000,
        interval: Duration::from_millis(10),
        timeout: Duration::from_secs(5),
    };
    let soon = || Instant::now() + Duration::from_secs(30);
    let began = Instant::now();
    let outcome = ping(&check, soon()).await.unwrap();
    assert_eq!((outcome.sent, outcome.received), (3, 3), "{host} {range}");
    assert!(began.elapsed() < check.timeout, "it waits for replies that have come");
    let trips = outcome.round_trips.unwrap();
    assert!(trips.min <= trips.mean && trips.mean <= trips.max, "{trips:?}");
    // No reply is as fast as this: each comes after its time.
    let check = PingCheck { timeout: Duration::from_nanos(1), ..check };
    let outcome = ping(&check, soon()).await.unwrap();
    assert_eq!((outcome.sent, outcome.received, outcome.round_trips), (3, 0, None));
    // The end of the period cuts it off.
    let check = PingCheck { interval: Duration::from_secs(60), ..check };
    let outcome = ping(&check, Instant::now() + Duration::from_millis(50)).await.unwrap();
    assert_eq!(outcome.sent, 1);
}

#[test]
fn a_passive_node_that_is_cut_off_has_no_layers() {
    if is_inside("a_passive_node_that_is_cut_off_has_no_layers", &[]) {
        make_hosts();
        on_runtime(passive_node());
    }
}

async fn passive_node() {
    let [host, _] = addresses(1);
    let world = server(&host).await;
    drop_packets(&format!("ip daddr {host}"));
    let exporter = Exporter::start(&[target("p", &host, &world).set("passive", "true")]).await;
    let not_applicable = "mailtrip_attempts_not_applicable_total{target=\"p\",side=\"send\"}";
    let deadline = Instant::now() + DEADLINE;
    while exporter.value(not_applicable).await.as_deref() == Some("0")
        || exporter.get("/api/targets/p").await.contains(r#""began":null"#)
    {
        assert!(Instant::now() < deadline, "never tried");
        sleep(Duration::from_millis(20)).await;
    }
    exporter.shows("p", "-----").await;
    for series in [
        "mailtrip_ping_availability_percent{target=\"p\"}",
        "mailtrip_tcp_port_availability_percent{target=\"p\",port_name=\"send\"}",
    ] {
        assert_eq!(exporter.value(series).await.as_deref(), Some("NaN"), "{series}");
    }
    let page = exporter.get("/metrics").await;
    let counts = page.lines().filter(|line| line.starts_with("mailtrip_tcp_port_failures_total"));
    assert!(counts.clone().all(|line| line.ends_with(" 0")), "{page}");
    assert!(!page.contains("\nmailtrip_tcp_port_last_failure"), "{page}");
    drop_nothing();
    exporter.shows("p", "11111").await;
    exporter.end().await;
}

#[test]
fn where_ping_is_forbidden_the_network_is_not_measured() {
    let wrapper = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"];
    if is_inside("where_ping_is_forbidden_the_network_is_not_measured", &wrapper) {
        make_hosts();
        set_ping_group_range("1 0");
        on_runtime(forbidden());
    }
}

async fn forbidden() {
    let [host, _] = addresses(1);
    let world = server(&host).await;
    let exporter = Exporter::start(&[
        target("a", &host, &world),
        target("without", &host, &world).set("ping", "false"),
    ])
    .await;
    exporter.shows("a", "-1111").await;
    let deadline = Instant::now() + DEADLINE;
    while exporter.value("mailtrip_ping_permitted").await.as_deref() != Some("0.0") {
        assert!(Instant::now() < deadline, "{:?}", exporter.value("mailtrip_ping_permitted").await);
        sleep(Duration::from_millis(20)).await;
    }
    let series = "mailtrip_ping_availability_percent{target=\"a\"}";
    assert_eq!(exporter.value(series).await.as_deref(), Some("NaN"));
    let lines = exporter.lines("a").await;
    assert!(lines[4].contains("net.ipv4.ping_group_range") && lines[4].contains("CAP_NET_RAW"));
    // A target without ping has no series of it.
    let page = exporter.get("/metrics").await;
    assert!(!page.contains("mailtrip_ping_availability_percent{target=\"without\"}"));
    // Allowed from now on, without a restart.
    set_ping_group_range("0 0");
    exporter.shows("a", "11111").await;
    assert_eq!(exporter.value("mailtrip_ping_permitted").await.as_deref(), Some("1.0"));
    exporter.end().await;
}

//! The way of a newcomer: the commands of docs/getting-started.md, as they stand, in a fresh Debian with systemd, until
//! the value is on `/metrics`, in Prometheus and in `probe`; and what is left after a purge.
//!
//! The mail server is that of the lab. For its sake the domain of the page is replaced, its authority is made known to
//! the fresh Debian, and the ports of the page lead to those of the lab; nothing else is changed.

use std::fs;
use std::io::{BufRead, BufReader, Seek, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Stdio};
use std::time::Duration;
use std::{env, thread};

use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::lab::wait::until_open;
use crate::lab::{DOMAIN, HOST, Lab, namespace, tool};
use crate::support::http;

use super::layers::run;

const PAGE: &str = include_str!("../../../docs/getting-started.md");

/// Where the exporter and Prometheus listen in there.
const EXPORTER: &str = "127.0.0.1:9925";
const PROMETHEUS: &str = "127.0.0.1:9090";

/// For one step of the fresh Debian, such as unpacking or starting it, on a busy machine with a slow disk.
const STEP: Duration = Duration::from_secs(300);

#[tokio::test]
async fn the_page_for_beginners_leads_from_nothing_to_a_value() {
    let test = "real::newcomer::the_page_for_beginners_leads_from_nothing_to_a_value";
    if !namespace::is_inside(test, &["--net"], &[]) {
        return;
    }
    run("ip", &["link", "set", "lo", "up"], "");
    let lab = Lab::start().await;
    for name in ["sendtest", "receivetest"] {
        lab.user(name, &format!("password-of-{name}")).await;
    }
    lead_ports(&lab);
    let machine = Machine::start(&lab).await;
    is_kept_from_the_kernel(&machine).await;

    let blocks = blocks(PAGE);
    let [install, init, start, look, prometheus, passwords, target, check] = &blocks[..] else {
        panic!("the page has other blocks: {blocks:#?}");
    };
    machine.run(install).await;
    until_open(IpAddr::from(Ipv4Addr::LOCALHOST), 9925).await;
    http::until(EXPORTER, "/", |page| page.contains("No mail server is tested yet")).await;
    let said = machine.feed(init, "password-of-sendtest\n").await;
    assert!(said.contains(&format!("Verdict: {DOMAIN} works")), "{said}");
    let said = machine.run(&format!("{start}{look}")).await;
    let value = said.trim().strip_prefix("mailtrip_roundtrip_minutes{target=\"lab.test\"} ");
    let value = value.and_then(|value| value.parse::<f64>().ok());
    assert!(value.is_some_and(|minutes| minutes > 0.0), "{said}");
    is_confined(&machine).await;

    machine.run(prometheus).await;
    let query = "/api/v1/query?query=mailtrip_roundtrip_minutes%3E0";
    http::until(PROMETHEUS, query, |found| found.contains(&format!("\"{DOMAIN}\""))).await;
    let rules = http::get(PROMETHEUS, "/api/v1/rules").await;
    assert!(rules.text().contains("\"MailtripCannotSend\""), "{}", rules.text());

    users_are_kept_from_other_users(&machine).await;

    let after = [passwords, target].map(String::as_str).concat();
    let passwords = "password-of-sendtest\npassword-of-receivetest\n";
    let said = machine.feed(&format!("{after}\ncd /\n{check}"), passwords).await;
    assert!(
        said.contains("/etc/mailtrip_exporter/mailtrip.yml is good: 2 targets, no warnings"),
        "{said}"
    );
    assert!(said.contains("Verdict: mailserver works"), "{said}");

    machine.run("apt-get purge -y mailtrip-exporter").await;
    let left = machine.run("find /etc/mailtrip_exporter /var/lib/private -type f").await;
    for kept in [
        "credentials/lab.test",
        "credentials/sendtest",
        "credentials/receivetest",
        "targets.d/lab.test.yml",
        "targets.d/mailserver.yml",
    ] {
        assert!(left.contains(&format!("/etc/mailtrip_exporter/{kept}\n")), "{left}");
    }
    assert!(!left.contains("mailtrip.db"), "the state is gone: {left}");
}

/// The commands of a page, for the server of the lab.
fn blocks(page: &str) -> Vec<String> {
    let parts = page.split("```sh\n").skip(1);
    let block = |part: &str| part.split("```\n").next().unwrap().replace("example.com", DOMAIN);
    parts.map(block).collect()
}

/// Lets the ports that the page names be those of the lab.
fn lead_ports(lab: &Lab) {
    assert_eq!(HOST, format!("mail.{DOMAIN}"));
    let ports = lab.ports();
    let rules: String =
        [(587, ports.submission), (143, ports.imap), (465, ports.smtps), (993, ports.imaps)]
            .map(|(page, lab)| {
                format!("add rule ip test output tcp dport {page} redirect to :{lab}\n")
            })
            .concat();
    let chain = "{ type nat hook output priority -100; }";
    run(
        "nft",
        &["-f", "-"],
        &format!("add table ip test\nadd chain ip test output {chain}\n{rules}"),
    );
}

/// The fresh Debian can set nothing that counts for the whole machine.
async fn is_kept_from_the_kernel(machine: &Machine) {
    let settings =
        "kernel/pid_max kernel/core_pattern fs/protected_hardlinks fs/nr_open net/core/somaxconn";
    machine
        .run(&format!("cd /proc/sys; for it in {settings}; do [[ -e $it && ! -w $it ]]; done"))
        .await;
    machine.run("[[ ! -w /proc/sysrq-trigger ]]").await;
    let set = machine.run("systemctl show -P ConditionResult systemd-sysctl.service").await;
    assert_eq!(set.trim(), "no", "systemd-sysctl ran");
    let rights = machine.run("sed -n 's/^CapBnd:\t//p' /proc/1/status").await;
    let rights = u64::from_str_radix(rights.trim(), 16).unwrap();
    // CAP_SYS_MODULE and CAP_SYS_TIME, by their numbers in linux/capability.h; CAP_SYS_ADMIN it has.
    assert_eq!(rights & (1 << 16 | 1 << 25), 0, "{rights:x}");
    assert_ne!(rights & 1 << 21, 0, "{rights:x}");
}

/// The service runs as no user that is there, and its passwords are root's alone.
async fn is_confined(machine: &Machine) {
    let process = "/proc/$(systemctl show -P MainPID mailtrip_exporter)/status";
    let user = machine.run(&format!("sed -n 's/^Uid:\\t\\([0-9]*\\).*/\\1/p' {process}")).await;
    assert!(user.trim().parse::<u32>().is_ok_and(|user| (61184..=65519).contains(&user)), "{user}");
    let mode = machine.run("stat -c '%U %a' /etc/mailtrip_exporter/credentials").await;
    assert_eq!(mode.trim(), "root 700");
    let log = machine.run("journalctl -u mailtrip_exporter").await;
    assert!(!log.contains("password-of-"), "{log}");
}

/// The users of the pages where only root can read them, as `web.yml` and the file of flags say.
async fn users_are_kept_from_other_users(machine: &Machine) {
    let hash = "$2y$04$JBhV0PZ7v4FSRJUlNBqCYet4fNav/m9Stkd.4tbWF6GAVKImn0sHO";
    let moved = format!(
        "cd /etc/mailtrip_exporter; mv web.yml credentials/
         printf 'basic_auth_users: {{prometheus: %s}}\n' '{hash}' >> credentials/web.yml
         sed -i 's/^ARGS=/#&/; /^#ARGS=.*mailtrip_web.yml/s/^#//' /etc/default/mailtrip_exporter
         systemctl restart mailtrip_exporter
         curl -s --retry 9 --retry-connrefused -o /dev/null -w '%{{http_code}}' http://localhost:9925/"
    );
    assert_eq!(machine.run(&moved).await, "401");
}

/// A fresh Debian with systemd; it ends when this is dropped.
struct Machine {
    leader: String,
    keeper: Child,
    _folder: TempDir,
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

impl Machine {
    /// Starts one that has the package in root's home and knows the mail server of the lab.
    async fn start(lab: &Lab) -> Self {
        // On a disk: /tmp may be a part of the memory.
        let folder = match env::var_os("MAILTRIP_TEST_DISK") {
            Some(disk) => TempDir::new_in(disk).unwrap(),
            None => TempDir::new().unwrap(),
        };
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        let archive = prepared("target/clean-root.tar");
        let mut unpack = Command::new("tar");
        unpack.arg("-C").arg(&root).arg("-xf").arg(&archive);
        finish(&mut unpack, "tar").await;
        let package = only_package();
        fs::copy(&package, root.join("root").join(package.file_name().unwrap())).unwrap();
        fs::write(root.join("etc/hosts"), format!("127.0.0.1 localhost {HOST}\n")).unwrap();
        let authority = root.join("usr/local/share/ca-certificates/lab.crt");
        fs::copy(lab.ca_file(), authority).unwrap();

        let mut command = process::Command::new("unshare");
        command.args(["--mount", "bash", "-c", include_str!("newcomer/machine.sh"), "machine.sh"]);
        command.arg(&root).stdin(Stdio::piped()).stdout(Stdio::piped()).env("PATH", tool::PATH);
        let mut keeper = command.spawn().unwrap();
        let mut lines = BufReader::new(keeper.stdout.take().unwrap());
        let (say, said) = oneshot::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = lines.read_line(&mut line);
            let _ = say.send(line);
        });
        let mut machine = Self { leader: String::new(), keeper, _folder: folder };
        let leader = timeout(STEP, said).await.expect("the machine starts in time").unwrap();
        machine.leader = leader.trim().to_owned();
        assert!(!machine.leader.is_empty(), "no machine; its reason is above");
        machine.until_started().await;
        machine.run("update-ca-certificates").await;
        machine
    }

    async fn until_started(&self) {
        let end = Instant::now() + STEP;
        loop {
            let mut ask = self.command("systemctl is-system-running");
            let state = timeout(STEP, ask.output()).await.expect("systemctl ends").unwrap().stdout;
            if matches!(&state[..], b"running\n" | b"degraded\n") {
                return;
            }
            assert!(Instant::now() < end, "systemd is {:?}", String::from_utf8_lossy(&state));
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.leader, "-a", "-r", "-w", "env", "-i", "HOME=/root"]);
        command.arg(format!("PATH={}", tool::PATH)).arg("DEBIAN_FRONTEND=noninteractive");
        command.args(["bash", "-euo", "pipefail", "-c", &format!("cd\n{script}")]);
        command
    }

    /// Runs these commands one after the other, as root in its home; all have to succeed.
    async fn run(&self, script: &str) -> String {
        finish(self.command(script).stdin(Stdio::null()), script).await
    }

    /// The same for one who answers what is asked.
    async fn feed(&self, script: &str, answers: &str) -> String {
        let mut input = tempfile::tempfile().unwrap();
        input.write_all(answers.as_bytes()).unwrap();
        input.rewind().unwrap();
        finish(self.command(script).stdin(input), script).await
    }
}

/// Runs a program to its end, and returns what it wrote on standard output.
async fn finish(command: &mut Command, what: &str) -> String {
    let output = timeout(STEP, command.kill_on_drop(true).output()).await;
    let output = output.unwrap_or_else(|_| panic!("not done in {STEP:?}: {what}")).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}\n{said}{complained}");
    said
}

/// What a script has made before the tests.
fn prepared(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    assert!(path.exists(), "{name} is missing: `scripts/test real newcomer` makes it");
    path
}

fn only_package() -> PathBuf {
    let folder = prepared("target/packages/debug");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let packages: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|it| it == "deb")).collect();
    let [package] = &packages[..] else { panic!("one package is expected: {packages:?}") };
    package.clone()
}

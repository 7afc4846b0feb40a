//! The demo of `deploy/compose` without containers: its own files, run by the programs of this machine. Only paths, names
//! of hosts and, so that it does not take long, periods are other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::alerting::stack::Stack;
use crate::lab::claim::{Claim, make_folder, write_file};
use crate::lab::{namespace, tool, wait};
use crate::shipped::rules::deploy;
use crate::support::program::{Running, program, value};

/// The folder of the mail server in its image.
const PLACE: &str = "/srv/demo";

fn shipped(name: &str) -> String {
    fs::read_to_string(deploy().join("compose").join(name)).unwrap()
}

/// The text with each of these replaced, all of which have to be in it.
fn replaced(text: String, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "no {from} in\n{text}");
        text.replace(from, to)
    })
}

/// What Dovecot 2.4 calls otherwise; the image has 2.3.
const DOVECOT_2_4: [(&str, &str); 5] = [
    ("base_dir =", "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\nbase_dir ="),
    ("disable_plaintext_auth = no", "auth_allow_cleartext = yes"),
    ("mail_location = maildir:~/Maildir", "mail_driver = maildir\nmail_path = ~/Maildir"),
    ("  driver = passwd-file\n  args =", "  passwd_file_path ="),
    ("db {", "db passwd-file {"),
];

/// The mail server, which ends with this.
struct MailServer {
    claim: Claim,
    _postfix: Child,
}

impl MailServer {
    async fn start() -> Self {
        tool::require_prerequisites();
        let claim = Claim::new();
        let place = claim.folder().display().to_string();
        let log = claim.folder().join("mail.log").display().to_string();
        make_folder(&claim.folder().join("etc"));
        let written_to_log = format!("{log}\nmaillog_file_prefixes = {place}");
        for name in ["main.cf", "master.cf", "dovecot.conf", "users", "start", "fault"] {
            let text = shipped(&format!("mail/{name}")).replace(PLACE, &place);
            let text = text.replace("/dev/stdout", &written_to_log).replace("/dev/stderr", &log);
            let is_of_dovecot = name == "dovecot.conf";
            let text = match is_of_dovecot
                && tool::run("dovecot", &["--version"]).await.starts_with("2.4.")
            {
                true => replaced(text, &DOVECOT_2_4),
                false => text,
            };
            write_file(&claim.folder().join("etc").join(name), text, 0o755);
        }
        let mut start = Command::new(claim.folder().join("etc/start"));
        start.env("PATH", tool::PATH).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let postfix = start.spawn().unwrap();
        let loopback = [127, 0, 0, 1].into();
        wait::until_greeting(loopback, 25, "220 mail.demo.test ").await;
        wait::until_greeting(loopback, 143, "* OK").await;
        Self { claim, _postfix: postfix }
    }

    async fn fault(&self, fault: &str) {
        let script: PathBuf = self.claim.folder().join("etc/fault");
        tool::run(script.to_str().unwrap(), &[fault]).await;
    }
}

async fn exporter(folder: &Path) -> Running {
    let state = folder.join("state").display().to_string();
    let changes = [
        ("/var/lib/mailtrip_exporter", state.as_str()),
        ("host: mail\n", "host: 127.0.0.1\n"),
        ("interval: 15s", "interval: 3s"),
    ];
    fs::write(folder.join("mailtrip.yml"), replaced(shipped("mailtrip.yml"), &changes)).unwrap();
    Running::spawn(&mut program(folder)).await
}

/// Has mails count as lost soon from now on: before, none that is only late is lost.
async fn lose_soon(exporter: &Running, folder: &Path) {
    let name = "mailtrip_config_last_reload_success_timestamp_seconds";
    let before = value(&exporter.get("/metrics").await, name);
    let file = folder.join("mailtrip.yml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, replaced(text, &[("lost_after: 2m", "lost_after: 10s")])).unwrap();
    exporter.signal("-HUP");
    exporter.until("/metrics", |page| value(page, name) > before).await;
}

/// Prometheus and Alertmanager. The rules are those of the demo, where they lie.
async fn stack(exporter: &str) -> Stack {
    Stack::with_configuration(|_, alertmanager| {
        let rules = format!("- {}/", deploy().join("prometheus").display());
        let changes = [
            ("alertmanager:9093", alertmanager),
            ("exporter:9925", exporter),
            ("- mailtrip/", rules.as_str()),
        ];
        replaced(shipped("prometheus.yml"), &changes)
    })
    .await
}

#[test]
fn each_fault_of_the_demo_is_told_by_its_alert() {
    let name = "real::compose::each_fault_of_the_demo_is_told_by_its_alert";
    // The mail server has its own ports, 25 and 143.
    if namespace::is_inside(name, &["--net"], &[]) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(Box::pin(tell_faults()));
    }
}

async fn tell_faults() {
    tool::run("ip", &["link", "set", "lo", "up"]).await;
    let folder = tempfile::tempdir().unwrap();
    let mail = MailServer::start().await;
    let exporter = exporter(folder.path()).await;
    let stack = stack(&exporter.address).await;
    let is_able = |page: &str| {
        ["send", "receive"].iter().all(|side| {
            page.contains(&format!(
                "\nmailtrip_{side}_ability_percent{{target=\"mailserver\"}} 100"
            ))
        })
    };
    let has_arrived = "\nmailtrip_outstanding_messages{target=\"mailserver\"} 0";
    let is_well = |page: &str| is_able(page) && page.contains(has_arrived);
    exporter.until("/metrics", is_well).await;
    for (faults, alerts) in [
        (&["late"][..], &["MailtripMailOverdue"][..]),
        (&["lose"], &["MailtripMailsLost"]),
        (&["refuse", "login"], &["MailtripCannotSend", "MailtripCannotReceive"]),
    ] {
        if faults == ["lose"] {
            lose_soon(&exporter, folder.path()).await;
        }
        let told = stack.messages();
        let is_told = |alert: &&str| told.iter().any(|it| it.alert == *alert);
        assert!(!alerts.iter().any(is_told), "before {faults:?}: {told:#?}");
        for fault in faults {
            mail.fault(fault).await;
        }
        for alert in alerts {
            stack.tells(alert, "mailserver", true).await;
        }
        mail.fault("off").await;
        exporter.until("/metrics", is_well).await;
    }
}

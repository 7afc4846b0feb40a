//! Several exporters share the targets of one configuration.

use std::collections::BTreeSet;
use std::fs;

use testserver::{Options, Post, Protocol, Server};

use crate::support::program::{Running, folder, run, target};

mod alerts;
mod moving;
mod replicas;

/// Two targets for each of so many mailboxes.
fn config(mailboxes: usize, smtp: u16, imap: u16) -> String {
    let targets = (0..mailboxes).flat_map(|number| {
        ["a", "b"].map(|path| {
            target(&format!("t{number}{path}"), smtp, imap)
                .replace("b@demo.test", &format!("m{number}@demo.test"))
                .replace("username: b", &format!("username: m{number}"))
                .replace("interval: 1s", "interval: 2s")
        })
    });
    format!("targets:\n{}", targets.collect::<String>())
}

/// The targets one of whose mails has come.
fn received(page: &str) -> BTreeSet<String> {
    let series = page.lines().filter_map(|line| {
        line.strip_prefix("mailtrip_probes_received_total{target=\"")?.split_once("\"} ")
    });
    let count = |value: &str| value.parse::<f64>().unwrap();
    series.filter(|(_, value)| count(value) > 0.0).map(|(name, _)| name.to_owned()).collect()
}

fn configured(page: &str) -> BTreeSet<String> {
    let series = page.lines().filter_map(|line| {
        line.strip_prefix("mailtrip_probes_received_total{target=\"")?.split_once('"')
    });
    series.map(|(name, _)| name.to_owned()).collect()
}

#[tokio::test]
async fn each_target_is_tested_by_one_of_them_and_a_reload_keeps_to_that() {
    const MAILBOXES: usize = 5;
    let post = Post::new();
    for number in 0..=MAILBOXES {
        let user = format!("m{number}");
        post.add_account(&user, "secret-of-b", &[&format!("{user}@demo.test")]);
    }
    let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
    let imap = Options::new().clear_text_login();
    let imap = Server::start(Protocol::Imap, &post, imap).await.unwrap();
    let text = |mailboxes| config(mailboxes, smtp.port(), imap.port());
    let folders = [folder(&text(MAILBOXES)), folder(&text(MAILBOXES))];
    let mut exporters = Vec::new();
    for (shard, folder) in ["--shard=0/2", "--shard=1/2"].iter().zip(&folders) {
        exporters.push(Running::start(folder.path(), &[shard]).await);
    }
    let mut tested = BTreeSet::new();
    for (number, exporter) in exporters.iter().enumerate() {
        let info = format!("mailtrip_shard_info{{shard=\"{number}\",shards=\"2\"}} 1");
        let all_came = |page: &str| received(page) == configured(page) && page.contains(&info);
        for name in configured(&exporter.until("/metrics", all_came).await) {
            assert!(tested.insert(name.clone()), "{name} is tested twice");
        }
    }
    assert_eq!(tested.len(), 2 * MAILBOXES, "each has an exporter: {tested:?}");

    let mut added = 0;
    for (exporter, folder) in exporters.iter().zip(&folders) {
        let before = configured(&exporter.get("/metrics").await);
        fs::write(folder.path().join("mailtrip.yml"), text(MAILBOXES + 1)).unwrap();
        let loaded = "mailtrip_config_last_reload_success_timestamp_seconds ";
        let when =
            |page: &str| page.lines().find(|line| line.starts_with(loaded)).map(str::to_owned);
        let old = when(&exporter.get("/metrics").await);
        exporter.signal("-HUP");
        let page = exporter.until("/metrics", |page| when(page) != old).await;
        added += configured(&page).difference(&before).count();
        assert!(before.is_subset(&configured(&page)), "none leaves its exporter");
    }
    assert_eq!(added, 2, "one of them has the new mailbox");
}

#[tokio::test]
async fn a_shard_without_a_target_runs_and_check_counts_what_is_left_to_others() {
    let folder = folder(&format!("targets:\n{}", target("one", 1, 1)));
    let mut empty = None;
    for shard in ["--shard=0/2", "--shard=1/2"] {
        let output = run(folder.path(), &["check", shard]).await;
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}");
        if said.contains("no targets of 1 in shard") {
            empty = Some(shard);
        }
    }
    let exporter = Running::start(folder.path(), &[empty.expect("one has none")]).await;
    assert_eq!(configured(&exporter.get("/metrics").await), BTreeSet::new());
    let page = exporter.get("/").await;
    let shard = empty.unwrap().trim_start_matches("--shard=");
    let words = format!("this is shard {shard}, and other shards test all of them");
    assert!(page.contains(&words) && !page.contains("is tested yet"), "{page}");
}

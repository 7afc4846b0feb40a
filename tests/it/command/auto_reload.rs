//! The program reads its configuration again by itself.

use std::fs;

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

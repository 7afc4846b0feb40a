//! The exemplars of the round trips, as a real Prometheus stores them.

use ledger::Token;
use serde_json::Value;
use tempfile::TempDir;
use testserver::{Options, Protocol, Server};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::alerting::stack::start;
use crate::support::http::{self, LIMIT};
use crate::support::program::{Running, folder, post, target};

/// A Prometheus that scrapes this exporter and keeps exemplars.
async fn prometheus(exporter: &str, folder: &TempDir) -> (Child, String) {
    let file = folder.path().join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\n\
         storage: {{exemplars: {{max_exemplars: 1000}}}}\n\
         scrape_configs:\n- {{job_name: mailtrip, static_configs: [{{targets: ['{exporter}']}}]}}\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("prometheus").display()))
        .args(["--web.listen-address=127.0.0.1:0", "--enable-feature=exemplar-storage"]);
    start(command).await
}

/// The exemplars that it has of the target `one`, with their buckets.
async fn stored(prometheus: &str) -> Vec<(String, Value)> {
    let query = "/api/v1/query_exemplars?query=mailtrip_roundtrip_seconds_bucket\
                 %7Btarget=%22one%22%7D&start=0&end=99999999999";
    let answer = http::get(prometheus, query).await;
    // It listens before it is ready.
    let answer: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let series = answer["data"].as_array().cloned().unwrap_or_default();
    let of = |series: &Value| {
        let bucket = series["seriesLabels"]["le"].as_str().unwrap().to_owned();
        let exemplars = series["exemplars"].as_array().cloned().unwrap();
        exemplars.into_iter().map(move |exemplar| (bucket.clone(), exemplar))
    };
    series.iter().flat_map(of).collect()
}

#[tokio::test]
async fn prometheus_leads_from_a_bucket_to_the_mail_in_it() {
    let post = post();
    let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
    let imap = Server::start(Protocol::Imap, &post, Options::new()).await.unwrap();
    let folder =
        folder(&format!("state_dir: state\ntargets:\n{}", target("one", smtp.port(), imap.port())));
    let exporter = Running::start(folder.path(), &[]).await;
    let (_prometheus, address) = prometheus(&exporter.address, &folder).await;
    let deadline = Instant::now() + LIMIT;
    loop {
        // The exporter shows its newest probes, and scrapes follow each other.
        let page = exporter.get("/api/targets/one").await;
        let exemplars = stored(&address).await;
        let shown = exemplars.iter().find(|(_, exemplar)| {
            let token = exemplar["labels"]["token"].as_str().unwrap();
            assert!(token.parse::<Token>().is_ok(), "{exemplar}");
            page.contains(token)
        });
        if let Some((bucket, exemplar)) = shown {
            let value: f64 = exemplar["value"].as_str().unwrap().parse().unwrap();
            assert!(value > 0.0 && value <= bucket.parse().unwrap(), "{bucket} {exemplar}");
            break;
        }
        assert!(Instant::now() < deadline, "none of {exemplars:#?} is in {page}");
        sleep(std::time::Duration::from_millis(50)).await;
    }
    exporter.kill().await;
}

//! Two exporters with the same shard: neither touches the mails of the other, and they say the same.

use testserver::{Options, Post, Protocol, Server};

use crate::support::program::{Running, folder, target};

/// How many mails of each have to come.
const MAILS: f64 = 3.0;

fn value(page: &str, name: &str, target: &str) -> Option<f64> {
    let series = format!("mailtrip_{name}{{target=\"{target}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok())
}

#[tokio::test]
async fn two_of_one_shard_receive_their_own_mails_and_agree() {
    let post = Post::new();
    let protocols = [("imap", Protocol::Imap), ("pop3", Protocol::Pop3)];
    let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
    let (mut targets, mut servers) = (String::new(), Vec::new());
    for (name, protocol) in protocols {
        post.add_account(name, "secret-of-b", &[&format!("{name}@demo.test")]);
        let server = Server::start(protocol, &post, Options::new().clear_text_login()).await;
        let server = server.unwrap();
        targets += &target(name, smtp.port(), server.port())
            .replace("b@demo.test", &format!("{name}@demo.test"))
            .replace("username: b", &format!("username: {name}"))
            .replace("protocol: imap", &format!("protocol: {name}"))
            .replace("interval: 1s", "interval: 4s\n  late_after: 1m");
        servers.push(server);
    }
    let folders = [(); 2].map(|()| folder(&format!("targets:\n{targets}")));
    let mut replicas = Vec::new();
    for folder in &folders {
        replicas.push(Running::start(folder.path(), &["--shard=0/1"]).await);
    }
    for replica in &replicas {
        for (name, _) in protocols {
            let all_came = |page: &str| {
                value(page, "probes_received_total", name) >= Some(MAILS)
                    && value(page, "outstanding_messages", name) == Some(0.0)
            };
            let page = replica.until("/metrics", all_came).await;
            let count = |metric: &str| value(&page, metric, name).unwrap();
            let sent = count("probes_accepted_total");
            assert_eq!(count("probes_received_total"), sent, "{name}: each its own, and all");
            for metric in ["lost", "duplicate", "returned", "doubtful", "late"] {
                assert_eq!(count(&format!("probes_{metric}_total")), 0.0, "{name}: {metric}");
            }
            for side in ["send", "receive"] {
                assert_eq!(count(&format!("{side}_ability_percent")), 100.0, "{name}: {side}");
                let failures =
                    format!("mailtrip_failures_total{{target=\"{name}\",side=\"{side}\"}} 0");
                assert!(page.contains(&failures), "{page}");
            }
            assert!(count("roundtrip_minutes") > 0.0);
        }
    }
}

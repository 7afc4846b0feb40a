//! Another number of exporters while mails are under way: each target goes on at one exporter, no mail is counted twice,
//! none is lost that was not, and what nobody waits for is taken out of the mailbox.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use mailtrip_exporter::config::{Config, Shard};
use tempfile::TempDir;
use testserver::{Delivery, Options, Post, Protocol, Server};

use crate::support::http::LIMIT;
use crate::support::program::{Running, folder, sqlite, target};

/// Mails are lost after this, and left-overs removed: more than a busy machine needs for the steps of the test.
const LOST_AFTER: Duration = Duration::from_secs(40);

struct World {
    post: Post,
    _servers: [Server; 2],
    /// Those of two and of three exporters alike, and those that only the third has.
    staying: Vec<String>,
    moving: Vec<String>,
    folders: [TempDir; 3],
}

/// A target with a mailbox of its own, with names that begin with this.
fn written(user: &str, smtp: u16, imap: u16) -> String {
    target(user, smtp, imap)
        .replace("b@demo.test", &format!("{user}@demo.test"))
        .replace("username: b", &format!("username: {user}"))
        .replace("interval: 1s", &format!("interval: 2s\n  lost_after: {}s", LOST_AFTER.as_secs()))
}

impl World {
    /// Two targets that move, and two that stay, one at each of the first two exporters.
    async fn start() -> Self {
        let post = Post::new();
        let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
        let imap = Options::new().clear_text_login();
        let imap = Server::start(Protocol::Imap, &post, imap).await.unwrap();
        let (ports, mut chosen) = ((smtp.port(), imap.port()), BTreeMap::new());
        let mut wanted = BTreeMap::from([("0/2 0/3", 1), ("1/2 1/3", 1), ("1/2 2/3", 2)]);
        for user in (0..1000).map(|number| format!("m{number}")) {
            let text = format!("targets:\n{}", written(&user, ports.0, ports.1));
            let owner = |shards: &[&str]| {
                let config = Config::parse(&text, Path::new("mailtrip.yml")).unwrap();
                let has = |words: &&&str| {
                    let shard = Shard::parse(words, "").unwrap();
                    !config.clone().part_of(Some(shard)).targets.is_empty()
                };
                (*shards.iter().find(has).expect("it has an owner")).to_owned()
            };
            let way = format!("{} {}", owner(&["0/2", "1/2"]), owner(&["0/3", "1/3", "2/3"]));
            if let Some(left) = wanted.get_mut(way.as_str()).filter(|left| **left > 0) {
                *left -= 1;
                post.add_account(&user, "secret-of-b", &[&format!("{user}@demo.test")]);
                chosen.insert(user, way.ends_with("2/3"));
            }
            if wanted.values().all(|left| *left == 0) {
                break;
            }
        }
        let targets: String = chosen.keys().map(|user| written(user, ports.0, ports.1)).collect();
        let text = format!("state_dir: state\ntargets:\n{targets}");
        let of = |moves| chosen.iter().filter(move |it| *it.1 == moves).map(|it| it.0.clone());
        Self {
            post,
            _servers: [smtp, imap],
            staying: of(false).collect(),
            moving: of(true).collect(),
            folders: [(); 3].map(|()| folder(&text)),
        }
    }

    fn all(&self) -> impl Iterator<Item = &String> {
        self.staying.iter().chain(&self.moving)
    }

    async fn run(&self, count: usize) -> Vec<Running> {
        let mut exporters = Vec::new();
        for (index, folder) in self.folders.iter().take(count).enumerate() {
            let shard = format!("--shard={index}/{count}");
            exporters.push(Running::start(folder.path(), &[&shard]).await);
        }
        exporters
    }

    /// The mails in the mailbox of a target that this exporter has sent.
    fn lying(&self, target: &str, instance: &str) -> usize {
        let of = format!("instance={instance};");
        let is_theirs = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(&of);
        self.post.messages(target, "INBOX").iter().filter(|it| is_theirs(&it.bytes)).count()
    }
}

/// The value of a series of a target, at whichever exporter has it.
fn value(page: &str, name: &str, target: &str) -> Option<f64> {
    let series = format!("mailtrip_{name}{{target=\"{target}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok())
}

/// The page of the exporter that has the target, as soon as its values are so; one has it only.
async fn shown(exporters: &[Running], target: &str, holds: impl Fn(&str) -> bool) -> String {
    let mut owner = None;
    for exporter in exporters {
        if value(&exporter.get("/metrics").await, "interval_seconds", target).is_some() {
            assert!(owner.replace(exporter).is_none(), "{target} is tested twice");
        }
    }
    owner.unwrap_or_else(|| panic!("{target} is not tested")).until("/metrics", holds).await
}

/// Ends them as a service is ended, so that all is stored.
async fn stop(exporters: Vec<Running>) {
    for mut exporter in exporters {
        exporter.signal("-TERM");
        assert!(exporter.child.wait().await.unwrap().success());
    }
}

/// A column of the account of a target in this folder.
fn stored(folder: &TempDir, column: &str, target: &str) -> u64 {
    let count =
        sqlite(folder.path(), &format!("SELECT {column} FROM target WHERE name = '{target}'"));
    count.trim().parse().unwrap_or_else(|_| panic!("{target}: {column}: {count:?}"))
}

/// Waits until each target has received all of its mails, those of an earlier process among them, and no other.
async fn receive_all(world: &World, exporters: &[Running]) {
    for target in world.all() {
        let all_came = |page: &str| {
            value(page, "outstanding_messages", target) == Some(0.0)
                && value(page, "probes_received_total", target) >= Some(2.0)
        };
        let page = shown(exporters, target, all_came).await;
        let count = |name: &str| value(&page, name, target).unwrap();
        assert_eq!(count("probes_received_total"), count("probes_accepted_total"), "{target}");
        for name in ["probes_lost_total", "probes_duplicate_total", "probes_returned_total"] {
            assert_eq!(count(name), 0.0, "{target}: {name}");
        }
    }
}

#[tokio::test]
async fn mails_under_way_are_counted_once_and_left_overs_go_when_targets_move_and_return() {
    let world = World::start().await;
    let hold = |delivery: fn() -> Delivery| {
        world.all().for_each(|user| world.post.set_delivery(user, delivery()));
    };
    hold(Delivery::held);
    let two = world.run(2).await;
    for target in world.all() {
        let waits = |page: &str| value(page, "outstanding_messages", target) >= Some(1.0);
        shown(&two, target, waits).await;
    }
    stop(two).await;
    let old = &world.folders[1];
    let under_way: BTreeMap<&String, u64> = world
        .moving
        .iter()
        .map(|it| (it, stored(old, "accepted - received - lost - bounced - left_with_outage", it)))
        .collect();
    assert!(under_way.values().all(|count| *count > 0), "{under_way:?}");
    let instance = sqlite(old.path(), "SELECT instance FROM meta").trim().to_owned();

    // From two to three, and then the mails come: those of before, and those of now.
    let three = world.run(3).await;
    for target in world.all() {
        let has_sent = |page: &str| value(page, "probes_accepted_total", target) >= Some(1.0);
        shown(&three, target, has_sent).await;
    }
    hold(Delivery::at_once);
    for user in world.all() {
        assert!(world.post.release(user) > 0, "{user}: one of before at least");
    }
    receive_all(&world, &three).await;
    for (target, count) in &under_way {
        assert_eq!(world.lying(target, &instance) as u64, *count, "left alone: {target}");
    }
    // And then the new exporter takes them out.
    let gone = |_: &Post| world.moving.iter().all(|it| world.lying(it, &instance) == 0);
    assert!(world.post.wait_until(LIMIT + LOST_AFTER, gone).await, "left-overs are removed");
    stop(three).await;

    // From three to two: the account of a target that comes back goes on.
    let again = world.run(2).await;
    let mut tested = BTreeSet::new();
    for target in world.all() {
        let goes_on = |page: &str| {
            value(page, "outstanding_messages", target) == Some(0.0)
                && value(page, "checks_total", target) >= Some(1.0)
                && value(page, "probes_received_total", target) >= Some(1.0)
        };
        let page = shown(&again, target, goes_on).await;
        assert_eq!(value(&page, "probes_lost_total", target), Some(0.0), "{target}");
        tested.insert(target.clone());
    }
    stop(again).await;
    for (target, count) in under_way {
        assert_eq!(stored(old, "left_with_outage", target), count, "nobody knows of {target}");
        assert_eq!(stored(old, "accepted", target), stored(old, "received", target) + count);
    }
    assert_eq!(tested.len(), 4);
}

//! The run: load, readers, reloads, samples, and the quiet end.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, interval, sleep};

use crate::books;
use crate::hostile::page::Page;
use crate::judge::{Report, Watcher};
use crate::peer::Peer;
use crate::plan::{INTERVAL, LOST_AFTER};
use crate::process::taken;
use crate::program::Program;

/// How often the metrics are read, and what both processes take.
const SCRAPE: Duration = Duration::from_secs(2);
/// Every so many scrapes the pages for people are read, and every so many the configuration.
const PAGES: u32 = 3;
const RELOAD: u32 = 5;
/// How long the last mails may take once no more are sent: lost ones are given up by then.
const QUIET: Duration = Duration::from_secs(90);
/// The target that reloads take away and bring back.
pub(crate) const GUEST: &str = "well-0";

/// A target as the process with the servers wrote it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: String,
    line: String,
}

/// The process with the servers, and the targets that it writes.
async fn servers() -> Result<(Peer, Vec<Target>), String> {
    let (servers, targets) = Peer::start(crate::SERVERS, "1").await?;
    let text = |value: &Value, key: &str| {
        value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let targets = targets.as_array().cloned().unwrap_or_default();
    let target = |value: &Value| Target {
        name: text(value, "name"),
        kind: text(value, "kind"),
        line: text(value, "target"),
    };
    Ok((servers, targets.iter().map(target).collect()))
}

/// Runs it for so long.
///
/// # Errors
/// Something could not be run at all.
pub(crate) async fn soak(length: Duration) -> Result<Report, String> {
    let (mut servers, targets) = servers().await?;
    let mut program = Program::start(&configuration(&targets, 0)).await?;
    let began = Instant::now();
    let mut watcher = Watcher::new(length, &targets);
    let mut ticks = interval(SCRAPE);
    let mut turn = 0;
    while began.elapsed() < length {
        ticks.tick().await;
        turn += 1;
        if program.has_ended() {
            return Err(format!("the exporter has ended:\n{}", program.log()));
        }
        if turn % RELOAD == 0 {
            program.reload(&configuration(&targets, turn / RELOAD))?;
        }
        if turn % PAGES == 0 {
            read_pages(&program, &targets, turn, &mut watcher).await;
        }
        match program.get("/metrics").await {
            Ok(text) => watcher.look(began.elapsed(), &Page::read(&text)),
            Err(error) => watcher.wrong(error),
        }
        watcher.sample(began.elapsed(), program.taken(), taken(servers.id()));
    }
    let page = settle(&program, &mut servers, &targets, &mut watcher).await?;
    let server_books = servers.ask("books").await?;
    books::compare(&targets, &page, &server_books, &mut watcher);
    watcher.read_log(&program.log());
    watcher.ended(program.end().await);
    Ok(watcher.report())
}

/// Pages as somebody who looks around opens them.
async fn read_pages(program: &Program, targets: &[Target], turn: u32, watcher: &mut Watcher) {
    let index = turn as usize % targets.len().max(1);
    let name = targets.get(index).map_or(GUEST, |target| &target.name);
    // This one may be away.
    let name = if name == GUEST { "well-1" } else { name };
    for path in ["/".to_owned(), format!("/targets/{name}"), format!("/api/targets/{name}")] {
        if let Err(error) = program.get(&path).await {
            watcher.wrong(error);
        }
    }
}

/// Has all servers behave and no more sent, and waits for the last mails.
async fn settle(
    program: &Program,
    servers: &mut Peer,
    targets: &[Target],
    watcher: &mut Watcher,
) -> Result<Page, String> {
    servers.ask("heal").await?;
    let mut text = configuration(targets, 0);
    for interval in [INTERVAL, crate::plan::FLOOD_INTERVAL] {
        text = text.replace(&format!("interval: {interval}"), "interval: 1h");
    }
    program.reload(&text)?;
    let end = Instant::now() + QUIET.max(LOST_AFTER * 2);
    loop {
        sleep(SCRAPE).await;
        let page = Page::read(&program.get("/metrics").await?);
        let open: Vec<&Target> = targets
            .iter()
            .filter(|target| books::settles(target) && !books::is_settled(&page, target))
            .collect();
        if open.is_empty() {
            // The last of them are taken out of the mailbox.
            sleep(SCRAPE * 5).await;
            return program.get("/metrics").await.map(|text| Page::read(&text));
        }
        if Instant::now() > end {
            let names: Vec<&str> = open.iter().map(|target| target.name.as_str()).collect();
            watcher.wrong(format!("mail is still outstanding: {}", names.join(", ")));
            return Ok(page);
        }
    }
}

/// The configuration of a turn: each second one has other waits for a kind that does wrong, and each
/// sixth lacks the guest.
fn configuration(targets: &[Target], turn: u32) -> String {
    let mut text = "targets:\n".to_owned();
    for target in targets {
        if turn % 6 == 5 && target.name == GUEST {
            continue;
        }
        let is_changed = turn % 2 == 1 && target.kind == "loses";
        let after = if is_changed { "late_after: 9s" } else { "late_after: 10s" };
        text.push_str(&target.line.replace("late_after: 10s", after));
        text.push('\n');
    }
    text
}

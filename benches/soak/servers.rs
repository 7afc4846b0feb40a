//! The process with the mail servers. It prints the targets, then a line for each that it is sent:
//! `books` for what each server did so far, `heal` to have all of them behave from now on.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use testserver::Delivery;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::{interval, sleep};

use crate::hostile::played::Played;
use crate::hostile::table;
use crate::plan::{FLOOD_INTERVAL, INTERVAL, Kind, LEFT_OUT, LOST_AFTER, MESSAGES};
use crate::support::{TargetText, Trust, USER, World, yaml};

/// The folder in which mail waits for its bounce.
pub(crate) const QUEUE: &str = "Queue";
/// How long a server that flaps is there, and how long it is not.
const FLAP: Duration = Duration::from_secs(20);
/// How often held mail is let go.
const HOLD: Duration = Duration::from_secs(15);
/// How often the mail that nobody reads is taken away.
const CLEAR: Duration = Duration::from_secs(60);

struct Site {
    name: String,
    kind: Kind,
    world: World,
    target: TargetText,
}

/// Serves until the standard input ends.
pub(crate) async fn serve() {
    let trust = Trust::new();
    let mut sites = Vec::new();
    for (number, (kind, mailbox)) in Kind::all().into_iter().enumerate() {
        let world = World::new(mailbox).await;
        kind.begin(&world);
        let name = format!("{}-{number}", kind.label());
        let target = world.target(&name).set("interval", INTERVAL);
        // Only who waits in vain is to be impatient: the machine may be busy.
        let timeout = if kind == Kind::Well { "30s" } else { "2s" };
        let target = target.set("timeout", timeout).set("messages", MESSAGES);
        sites.push(Site { name, kind, world, target });
    }
    let floods = table::rows().into_iter().filter(|row| row.is_long() && row.does != LEFT_OUT);
    for (number, row) in floods.enumerate() {
        let name = format!("{}-{number}", Kind::Floods.label());
        let Played { world, target } = Played::set(&row, &name, &trust).await;
        let target = target.set("interval", FLOOD_INTERVAL);
        sites.push(Site { name, kind: Kind::Floods, world, target });
    }
    println!("{}", Value::from_iter(sites.iter().map(Site::description)));
    work(&mut sites).await;
}

impl Site {
    fn description(&self) -> Value {
        let lost_after = format!("{}s", LOST_AFTER.as_secs());
        let target = self.target.clone().set("lost_after", &lost_after);
        let late_after = if self.kind == Kind::Well { "30s" } else { "10s" };
        let target = target.set("late_after", late_after).set("max_outstanding", "100");
        let text = yaml(&[target]);
        let line = text.lines().nth(1).unwrap_or_default();
        json!({"name": self.name, "kind": self.kind.label(), "target": line})
    }

    fn book(&self) -> Value {
        let left = self.world.post.messages(USER, "INBOX").len();
        json!({"accepted": self.world.smtp.stats().mails_accepted, "left": left})
    }

    /// What is done every second.
    async fn tick(&mut self, second: u64) {
        let is_time = |every: Duration| second.is_multiple_of(every.as_secs());
        let World { post, smtp, mailbox } = &mut self.world;
        match self.kind {
            Kind::SmtpFlaps | Kind::MailboxFlaps if is_time(FLAP) => {
                let server = if self.kind == Kind::SmtpFlaps { smtp } else { mailbox };
                if (second / FLAP.as_secs()).is_multiple_of(2) {
                    again(server).await;
                } else {
                    server.stop().await;
                }
            }
            Kind::HoldsBack if is_time(HOLD) => drop(post.release(USER)),
            Kind::Bounces => self.bounce(),
            kind if (kind.is_unread() || kind == Kind::Floods) && is_time(CLEAR) => {
                post.clear(USER);
            }
            _ => {}
        }
    }

    /// Writes a report about each mail that waits.
    fn bounce(&self) {
        let post = &self.world.post;
        let waiting = post.messages(USER, QUEUE);
        if waiting.is_empty() {
            return;
        }
        post.add_folder(USER, QUEUE, None);
        for mail in waiting {
            let mail = String::from_utf8_lossy(&mail.bytes).into_owned();
            post.insert(USER, "INBOX", report(&mail).as_bytes());
        }
    }

    /// Lets all mail through from now on.
    async fn heal(&mut self) {
        let World { post, smtp, mailbox } = &mut self.world;
        match self.kind {
            Kind::SmtpFlaps => again(smtp).await,
            Kind::MailboxFlaps => again(mailbox).await,
            Kind::HoldsBack => {
                post.set_delivery(USER, Delivery::at_once());
                post.release(USER);
            }
            _ => {}
        }
        if self.kind != Kind::Bounces {
            smtp.faults().clear();
            mailbox.faults().clear();
        }
    }
}

/// The port may be on its way out still.
async fn again(server: &mut testserver::Server) {
    while server.start_again().await.is_err() {
        sleep(Duration::from_millis(100)).await;
    }
}

async fn work(sites: &mut [Site]) {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut seconds = interval(Duration::from_secs(1));
    let (mut second, mut is_healed) = (0, false);
    loop {
        tokio::select! {
            line = lines.next_line() => match line.ok().flatten().as_deref() {
                Some("books") => {
                    let books = sites.iter().map(|site| (site.name.clone(), site.book()));
                    println!("{}", json!(books.collect::<BTreeMap<_, _>>()));
                }
                Some("heal") => {
                    is_healed = true;
                    for site in sites.iter_mut() {
                        site.heal().await;
                    }
                    println!("null");
                }
                _ => return,
            },
            _ = seconds.tick() => {
                second += 1;
                for site in sites.iter_mut().filter(|site| !is_healed || site.kind == Kind::Bounces) {
                    site.tick(second).await;
                }
            }
        }
    }
}

/// A report that a mail cannot be delivered (RFC 3464), with its header.
fn report(mail: &str) -> String {
    let header = mail.split("\r\n\r\n").next().unwrap_or_default();
    format!(
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@relay.example.test\r\nSubject: Undelivered\r\n\
         Auto-Submitted: auto-replied\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=part\r\n\r\n\
         --part\r\nContent-Type: text/plain\r\n\r\nIt could not be delivered.\r\n\
         --part\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; relay.example.test\r\n\r\n\
         Final-Recipient: rfc822; to@example.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n\
         --part\r\nContent-Type: text/rfc822-headers\r\n\r\n{header}\r\n\r\n--part--\r\n"
    )
}

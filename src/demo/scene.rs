//! The mail servers of the demo, one scene each: what it shows, how it is set up, how it behaves.

use std::fmt::Write;
use std::io;
use std::time::Duration;

use testserver::faults::{self, Fault};
use testserver::{Delivery, Options, Post, Protocol, Server, ServerTls};

/// The account that hands the test mails over.
pub(super) const SENDER: &str = "sam";
/// The account in which they arrive.
pub(super) const RECEIVER: &str = "rita";
/// The addresses of the two.
pub(super) const FROM: &str = "sendtest@demo.test";
/// See [`FROM`].
pub(super) const TO: &str = "receivetest@demo.test";
/// The made-up password of both, good for nothing outside the demo.
pub(super) const PASSWORD: &str = "only-for-the-demo";

/// One target of the demo.
pub(super) struct Scene {
    /// The name of the target.
    pub(super) name: &'static str,
    /// What its mailbox speaks.
    mailbox: Protocol,
    /// Whether both sides use TLS from the first byte, and not by command.
    has_implicit_tls: bool,
    /// What is wrong with its servers.
    trouble: Trouble,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    /// Delivery takes a little longer than a period.
    Slow,
    /// Every third mail is accepted and never seen again.
    LosesMail,
    /// Nobody can log in to the mailbox.
    RefusesLogins,
    /// Down at first, then up and down in turn; the target is passive.
    Standby,
}

/// Every scene, in the order in which they are introduced.
pub(super) const SCENES: [Scene; 6] = [
    Scene::new("good-imap", Protocol::Imap, Trouble::None),
    Scene { has_implicit_tls: true, ..Scene::new("good-pop3", Protocol::Pop3, Trouble::None) },
    Scene::new("slow", Protocol::Imap, Trouble::Slow),
    Scene::new("loses-mail", Protocol::Imap, Trouble::LosesMail),
    Scene::new("refuses-logins", Protocol::Imap, Trouble::RefusesLogins),
    Scene::new("standby", Protocol::Imap, Trouble::Standby),
];

/// How long things take in the demo; all follow from the test period.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// The test period.
    pub(super) interval: Duration,
}

impl Pace {
    /// From acceptance to the mailbox of the slow server: 6 s at a period of 5 s.
    fn slow_delivery(self) -> Duration {
        self.interval * 6 / 5
    }

    /// The age at which mail of the server that loses it is given up: 30 s.
    fn lost_after(self) -> Duration {
        self.interval * 6
    }

    /// How long the standby server stays down, and then up: 45 s.
    pub(super) fn standby_change(self) -> Duration {
        self.interval * 9
    }
}

impl Scene {
    const fn new(name: &'static str, mailbox: Protocol, trouble: Trouble) -> Self {
        Self { name, mailbox, has_implicit_tls: false, trouble }
    }

    /// What to look for, in one or more lines.
    pub(super) fn shows(&self, pace: Pace) -> String {
        match self.trouble {
            Trouble::None if self.has_implicit_tls => {
                "the same by POP3, with TLS from the first byte on both sides".to_owned()
            }
            Trouble::None => "all is well: able to send and to receive, nothing outstanding for \
                              long, a round trip of a fraction of a second (IMAP, STARTTLS)"
                .to_owned(),
            Trouble::Slow => format!(
                "delivery takes {}: see the round trip, and one or two mails outstanding",
                humantime::format_duration(pace.slow_delivery())
            ),
            Trouble::LosesMail => format!(
                "accepts every mail and loses every third: able to send and to receive, and yet \
                 mails stay outstanding, become late after {} and lost after {}",
                humantime::format_duration(pace.interval),
                humantime::format_duration(pace.lost_after())
            ),
            Trouble::RefusesLogins => "the mailbox refuses the login: not able to receive, with \
                                       the server's words; sending works, so mails pile up"
                .to_owned(),
            Trouble::Standby => {
                let change = humantime::format_duration(pace.standby_change());
                format!(
                    "the passive node of a cluster: not applicable, no failure, while it is down; \
                     it comes up after {change}, is then measured like any other, and goes down \
                     again after another {change}"
                )
            }
        }
    }

    /// Starts its servers.
    pub(super) async fn start(&'static self, tls: &ServerTls, pace: Pace) -> io::Result<Site> {
        let post = Post::new();
        post.add_account(SENDER, PASSWORD, &[FROM]);
        post.add_account(RECEIVER, PASSWORD, &[TO]);
        let options = match self.has_implicit_tls {
            true => Options::new().implicit_tls(tls),
            false => Options::new().starttls(tls),
        };
        let smtp = Server::start(Protocol::Smtp, &post, options.clone().login_required()).await?;
        let mailbox = Server::start(self.mailbox, &post, options).await?;
        let site = Site { scene: self, smtp, mailbox };
        match self.trouble {
            Trouble::None => post.set_delivery(RECEIVER, judged("pass", "-0.2")),
            Trouble::Slow => {
                let delivery = judged("softfail", "2.9").after(pace.slow_delivery());
                post.set_delivery(RECEIVER, delivery);
            }
            Trouble::LosesMail => {
                let arrives = judged("pass", "0.4");
                let ways = [arrives.clone(), Delivery::lost(), arrives];
                post.set_deliveries(RECEIVER, ways);
            }
            Trouble::RefusesLogins => {
                let refusal = "{tag} NO [AUTHENTICATIONFAILED] account locked, ask the postmaster";
                site.mailbox.faults().on(faults::CREDENTIALS, Fault::reply(refusal));
                // Nobody can read or remove it, so it need not fill the memory.
                post.set_delivery(RECEIVER, Delivery::lost());
            }
            Trouble::Standby => site.go_down(),
        }
        Ok(site)
    }
}

/// Delivery by way of a filter that writes what it found into the header.
fn judged(spf: &str, spam_score: &str) -> Delivery {
    Delivery::at_once()
        .with_header(&format!("X-Spam-Status: No, score={spam_score} required=5.0"))
        .with_header(&format!(
            "Authentication-Results: {}; spf={spf} smtp.mailfrom={FROM}; dkim=pass; dmarc=pass",
            Server::NAME
        ))
}

/// The servers of one scene, running.
pub(super) struct Site {
    scene: &'static Scene,
    smtp: Server,
    mailbox: Server,
}

impl Site {
    /// Whether it goes up and down.
    pub(super) fn is_standby(&self) -> bool {
        self.scene.trouble == Trouble::Standby
    }

    /// Closes every connection, and each new one before its greeting. The ports stay open, because
    /// a port that is given up may be somebody else's when it is needed again.
    pub(super) fn go_down(&self) {
        for server in [&self.smtp, &self.mailbox] {
            server.faults().on(faults::CONNECT, Fault::Close);
            server.close_sessions();
        }
    }

    /// Serves again.
    pub(super) fn come_up(&self) {
        for server in [&self.smtp, &self.mailbox] {
            server.faults().clear_at(faults::CONNECT);
        }
    }

    /// Adds its target to a configuration whose defaults say the rest.
    pub(super) fn write_target(&self, yaml: &mut String, pace: Pace) {
        let Scene { name, trouble, .. } = self.scene;
        let tls = if self.scene.has_implicit_tls { "implicit" } else { "starttls" };
        let protocol = match self.scene.mailbox {
            Protocol::Pop3 => "pop3",
            Protocol::Jmap => "jmap",
            Protocol::Imap | Protocol::Smtp => "imap",
        };
        let keys = match trouble {
            Trouble::None | Trouble::RefusesLogins => String::new(),
            Trouble::Slow => format!("    late_after: {}ms\n", (pace.interval * 3).as_millis()),
            Trouble::LosesMail => format!("    lost_after: {}ms\n", pace.lost_after().as_millis()),
            Trouble::Standby => "    passive: true\n".to_owned(),
        };
        let (send_port, receive_port) = (self.smtp.port(), self.mailbox.port());
        // Writing to a String cannot fail.
        let _ = write!(
            yaml,
            "  - name: {name}\n{keys}    send: {{port: {send_port}, tls: {tls}}}\n    \
             receive: {{protocol: {protocol}, port: {receive_port}, tls: {tls}}}\n"
        );
    }
}

//! What the tests of both real stacks share: a stack as they see it, targets on it, and mailboxes as their
//! owner sees them.

use std::fs;
use std::path::PathBuf;

use ledger::{Instance, Reading, SideState, Snapshot};
use mailtrip_exporter::config::TlsMode;

use crate::lab::exim_courier::SecondStack;
use crate::lab::{Account, Lab, Mail, Ports};
use crate::support::{Exporter, TargetText, quoted};

/// The protocols of a mailbox.
pub(crate) const PROTOCOLS: [&str; 2] = ["imap", "pop3"];

/// A stack of real mail servers. The methods are those of the same name of [`Lab`] and [`SecondStack`].
pub(crate) trait Stack {
    /// The host by which it is reached.
    const HOST: &'static str;
    /// The begin of the reply to the data of a mail that was accepted.
    const ACCEPTED: &'static str;

    fn ports(&self) -> Ports;
    fn ca_file(&self) -> PathBuf;
    fn sender(&self) -> &Account;
    async fn user(&self, name: &str, password: &str) -> Account;
    fn deliver(&self, account: &Account);
    fn mails(&self, account: &Account) -> Vec<Mail>;
    async fn wait_for_mails(&self, account: &Account, count: usize) -> Vec<Mail>;
    fn inject(&self, account: &Account, folder: &str, text: &str);
    fn smtp_log(&self) -> String;
}

/// Implements [`Stack`] by the methods of the type itself.
macro_rules! stack {
    ($kind:ident, $host:literal, $accepted:literal) => {
        impl Stack for $kind {
            const HOST: &'static str = $host;
            const ACCEPTED: &'static str = $accepted;

            fn ports(&self) -> Ports {
                $kind::ports(self)
            }

            fn ca_file(&self) -> PathBuf {
                $kind::ca_file(self)
            }

            fn sender(&self) -> &Account {
                $kind::sender(self)
            }

            async fn user(&self, name: &str, password: &str) -> Account {
                $kind::user(self, name, password).await
            }

            fn deliver(&self, account: &Account) {
                $kind::deliver(self, account);
            }

            fn mails(&self, account: &Account) -> Vec<Mail> {
                $kind::mails(self, account)
            }

            async fn wait_for_mails(&self, account: &Account, count: usize) -> Vec<Mail> {
                $kind::wait_for_mails(self, account, count).await
            }

            fn inject(&self, account: &Account, folder: &str, text: &str) {
                $kind::inject(self, account, folder, text);
            }

            fn smtp_log(&self) -> String {
                $kind::smtp_log(self)
            }
        }
    };
}

stack!(Lab, "localhost", "250 2.0.0 Ok: queued as ");
stack!(SecondStack, "127.0.0.1", "250 OK id=");

/// A port of a stack, and how it is protected.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) port: u16,
    pub(crate) tls: TlsMode,
    ca_file: PathBuf,
}

/// A port without TLS.
pub(crate) fn plain(port: u16) -> Way {
    Way { port, tls: TlsMode::None, ca_file: PathBuf::new() }
}

/// A port with TLS, for which the authority of the stack alone is trusted.
pub(crate) fn protected(stack: &impl Stack, tls: TlsMode, port: u16) -> Way {
    Way { port, tls, ca_file: stack.ca_file() }
}

/// A target from the sender of the stack to `reader` each second, by the SMTP port that needs no login
/// and by IMAP, both without TLS.
pub(crate) fn target<S: Stack>(stack: &S, name: &str, reader: &Account) -> TargetText {
    let ports = stack.ports();
    TargetText::named(name)
        .unset("timeout")
        .every("1s")
        .set("host", S::HOST)
        .set("from", &stack.sender().address)
        .set("to", &reader.address)
        .send(&plain(ports.smtp), None)
        .receive("imap", &plain(ports.imap), reader)
}

impl TargetText {
    /// One test mail in each of these intervals.
    pub(crate) fn every(self, interval: &str) -> Self {
        self.set("interval", interval)
    }

    /// Sends this way, as `login` if there is one.
    pub(crate) fn send(self, way: &Way, login: Option<&Account>) -> Self {
        let target = self.way("send", way).unset("send.username").unset("send.password");
        login.into_iter().fold(target, |target, login| target.login("send", login))
    }

    /// Receives this way as `reader`.
    pub(crate) fn receive(self, protocol: &str, way: &Way, reader: &Account) -> Self {
        self.set("receive.protocol", protocol).way("receive", way).login("receive", reader)
    }

    /// Logs in to a side as this user.
    pub(crate) fn login(self, side: &str, account: &Account) -> Self {
        self.set(&format!("{side}.username"), &account.address)
            .set(&format!("{side}.password"), &quoted(&account.password))
    }

    /// Looks for bounces in this mailbox, without TLS.
    pub(crate) fn sender_mailbox(self, protocol: &str, port: u16, sender: &Account) -> Self {
        let Account { address, password } = sender;
        let mailbox = format!(
            "{{protocol: {protocol}, port: {port}, tls: none, username: {address}, password: {}}}",
            quoted(password)
        );
        self.set("sender_mailbox", &mailbox)
    }

    fn way(self, side: &str, Way { port, tls, ca_file }: &Way) -> Self {
        let target = self
            .set(&format!("{side}.port"), &port.to_string())
            .set(&format!("{side}.tls"), tls.label());
        let options = format!("{side}.tls_options");
        if *tls == TlsMode::None {
            return target.unset(&options);
        }
        target.set(&options, &format!("{{ca_file: {}}}", quoted(&ca_file.to_string_lossy())))
    }
}

/// How often the side has failed.
pub(crate) fn failures(side: &SideState) -> u64 {
    side.failures.total()
}

/// Waits until so many mails were received and both sides are able: a mail may arrive before the server has
/// answered, and a look may find it before the check is over. Asserts that nothing has failed until then, and
/// that every mail has arrived or is under way.
pub(crate) async fn healthy(exporter: &Exporter, name: &str, count: u64) -> Snapshot {
    let is_able = |now: &Snapshot| {
        let able = (now.send_ability, now.receive_ability);
        now.totals.received >= count && able == (Reading::Is(1.0), Reading::Is(true))
    };
    let snapshot = exporter.until(name, "able, and its mails received", is_able).await;
    assert_healthy(name, &snapshot);
    snapshot
}

fn assert_healthy(name: &str, snapshot: &Snapshot) {
    assert!(snapshot.roundtrip.value().is_some(), "{name}: {snapshot:?}");
    for side in [&snapshot.sides.send, &snapshot.sides.receive] {
        assert_eq!((failures(side), side.not_applicable), (0, 0), "{name}: {side:?}");
        assert_eq!((side.up, side.consecutive_failures), (Some(true), Reading::Is(0)), "{name}");
    }
    let totals = &snapshot.totals;
    let outstanding = snapshot.outstanding.value().unwrap() as u64;
    assert_eq!(totals.accepted, outstanding + totals.received, "{name}: {totals:?}");
    assert_eq!(totals.doubtful + totals.duplicate + totals.returned + totals.lost, 0, "{name}");
}

/// A mailbox as its owner sees it: folder, flags and text of each mail.
pub(crate) fn mails(stack: &impl Stack, account: &Account) -> Vec<String> {
    let mails = stack.mails(account).into_iter();
    let mut mails: Vec<String> =
        mails.map(|mail| format!("{} {} {}", mail.folder, mail.flags, mail.text())).collect();
    mails.sort();
    mails
}

/// Gives these flags of a Maildir to the mail with this text, as a client that reads it would.
pub(crate) fn flag(stack: &impl Stack, account: &Account, text: &str, flags: &str) {
    let mail = stack.mails(account).into_iter().find(|mail| mail.text().contains(text)).unwrap();
    let name = mail.path.file_name().unwrap().to_string_lossy().into_owned();
    let cur = mail.path.parent().unwrap().parent().unwrap().join("cur");
    fs::rename(&mail.path, cur.join(format!("{name}:2,{flags}"))).unwrap();
}

/// Puts mails of others into the mailbox, one of them read, flagged, and marked as deleted but not
/// expunged, and returns all.
pub(crate) fn inject_foreign(stack: &impl Stack, account: &Account) -> Vec<String> {
    let token = Instance::random();
    let reply = format!(
        "Subject: Re: Mail round-trip test {token}\nIn-Reply-To: <{token}.mailtrip@lab.test>\n\n\
         what is this?\n"
    );
    let ours_to_others = format!(
        "X-Mailtrip: v=1; token={token}; target=other; instance={token}; \
         sent=2026-01-01T00:00:00Z; expires=2999-01-01T00:00:00Z\nSubject: test\n\nof others\n"
    );
    for (folder, text) in [
        ("INBOX", "Subject: hello\n\nfrom a friend\n"),
        ("INBOX", &reply),
        ("INBOX", &ours_to_others),
        ("Junk", "Subject: buy\n\nspam\n"),
        ("Trash", "Subject: old\n\nthrown away\n"),
    ] {
        stack.inject(account, folder, text);
    }
    flag(stack, account, "friend", "FST");
    mails(stack, account)
}

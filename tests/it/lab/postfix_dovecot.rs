//! Real mail servers for the tests: a private Postfix and Dovecot on loopback, faults on demand.
//!
//! [`Lab::start`] runs both in a folder of its own, on ports of its own, with a certificate
//! authority and users of its own; nothing of the machine's own servers is started, read or
//! changed. Any number of labs run side by side. A lab ends with its owner, however that ends.
//!
//! Faults that concern an address leave the others alone, so that tests with users of their own
//! can share one lab ([`Lab::shared`]). A test that stops a server starts a lab of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::OnceCell;

use super::background::{self, Background};
use super::certificates;
use super::claim::{self, Claim};
use super::maildir::{self, Mail};
use super::wait::{self, until};
use super::{process, tool};

mod dovecot;
mod other_side;
mod policy;
mod postfix;
mod tokens;

use dovecot::{Dovecot, Logins};
pub(crate) use dovecot::{Imap, Service};
pub(crate) use other_side::Answering;
use policy::{Rules, Treatment};
use postfix::Postfix;
use tokens::Tokens;

/// The domain of all addresses.
pub(crate) const DOMAIN: &str = "lab.test";
/// The name by which the servers greet; their certificate is for it and for `localhost`.
pub(crate) const HOST: &str = "mail.lab.test";

/// The ports of a lab, the same on 127.0.0.1 and, where the machine has it, on ::1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    /// SMTP: STARTTLS is offered, no login needed.
    pub(crate) smtp: u16,
    /// SMTP without TLS; login needed.
    pub(crate) smtp_login: u16,
    /// Submission: STARTTLS and login needed.
    pub(crate) submission: u16,
    /// SMTP over implicit TLS; login needed.
    pub(crate) smtps: u16,
    /// IMAP: STARTTLS is offered, login is allowed without.
    pub(crate) imap: u16,
    /// IMAP over implicit TLS.
    pub(crate) imaps: u16,
    /// POP3: STLS is offered, login is allowed without.
    pub(crate) pop3: u16,
    /// POP3 over implicit TLS.
    pub(crate) pop3s: u16,
    /// Where Dovecot asks about access tokens; on 127.0.0.1 alone.
    introspection: u16,
}

impl Ports {
    /// A block of ports that begins with `first`.
    pub(crate) fn from_first(first: u16) -> Self {
        Self {
            smtp: first,
            smtp_login: first + 1,
            submission: first + 2,
            smtps: first + 3,
            imap: first + 4,
            imaps: first + 5,
            pop3: first + 6,
            pop3s: first + 7,
            introspection: first + 8,
        }
    }
}

/// A user with a mailbox: folders INBOX, Junk (`\Junk`) and Trash (`\Trash`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// The address, which is the login name as well.
    pub(crate) address: String,
    /// The password.
    pub(crate) password: String,
}

/// A running Postfix and Dovecot.
pub(crate) struct Lab {
    ports: Ports,
    sender: Account,
    rules: Rules,
    tokens: Tokens,
    postfix: Postfix,
    dovecot: Dovecot,
    // The order matters: the servers end with the claim, and ask these until then.
    claim: Claim,
    _asked: [Background; 2],
}

impl Lab {
    /// Starts a lab for one test; it ends when it is dropped, also by a panic.
    ///
    /// # Panics
    /// If the user is not root, a server is not installed or does not start; the message says
    /// what to do.
    pub(crate) async fn start() -> Self {
        Self::start_with(Imap::Whole).await
    }

    /// The same with a Dovecot that offers so much over IMAP.
    ///
    /// # Panics
    /// As [`Lab::start`].
    pub(crate) async fn start_with(imap: Imap) -> Self {
        Self::start_as(imap, Logins::Every).await
    }

    /// The same where no password lets in, but by APOP over POP3 (RFC 1939 section 7).
    ///
    /// # Panics
    /// As [`Lab::start`].
    pub(crate) async fn start_with_apop() -> Self {
        Self::start_as(Imap::Whole, Logins::TokensAndApop).await
    }

    async fn start_as(imap: Imap, logins: Logins) -> Self {
        tool::require_prerequisites();
        let claim = Claim::new();
        let folder = claim.folder().to_owned();
        let ports = Ports::from_first(claim.first_port());
        let addresses = claim::loopback_addresses();
        certificates::write_certificates(&folder, HOST);
        let mailboxes = folder.join("mail");
        claim::make_folder(&mailboxes);
        tool::run("chown", &["mail:mail", &mailboxes.display().to_string()]).await;

        let (rules, tokens) = (Rules::default(), Tokens::default());
        let dovecot = Dovecot::new(&folder, ports, addresses.clone(), imap, logins).await;
        let postfix = Postfix::new(&folder, ports, addresses).await;
        let _asked = [
            policy::serve_policy(&folder.join("policy"), rules.clone(), postfix.queue()),
            tokens::serve_introspection(ports.introspection, tokens.clone()),
        ];
        tokio::join!(dovecot.start(), postfix.start());

        let sender = Account { address: format!("sender@{DOMAIN}"), password: "sender".into() };
        let lab = Self { ports, sender, rules, tokens, postfix, dovecot, claim, _asked };
        lab.make_user(&lab.sender).await;
        lab
    }

    /// The lab that tests with users of their own share. It is started by the first of them and
    /// ends with the process. Its servers must not be stopped.
    ///
    /// # Panics
    /// As [`Lab::start`].
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceCell<Lab> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// The ports.
    pub(crate) fn ports(&self) -> Ports {
        self.ports
    }

    /// The certificate, as PEM, of the authority that signed the servers' certificate.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.claim.folder().join(certificates::CA_FILE)
    }

    /// A user to send from. Bounces come into this user's mailbox.
    pub(crate) fn sender(&self) -> &Account {
        &self.sender
    }

    /// Makes a user with an empty mailbox.
    ///
    /// `name` is the part of the address before the `@`, without a `+`.
    ///
    /// # Panics
    /// If Dovecot does not know the user in time.
    pub(crate) async fn user(&self, name: &str, password: &str) -> Account {
        let address = format!("{name}@{DOMAIN}");
        let account = Account { address, password: password.to_owned() };
        self.make_user(&account).await;
        account
    }

    async fn make_user(&self, account: &Account) {
        let home = self.home(account);
        maildir::make_mailbox(&self.claim.folder().join("mail"), &home);
        self.dovecot.set_user(account, &home, None).await;
        self.deliver(account);
    }

    /// Lets the user in by this access token, until it is revoked.
    pub(crate) fn allow_token(&self, account: &Account, token: &str) {
        self.tokens.allow(token, &account.address);
    }

    /// Lets nobody in by this access token any more, from the next login on.
    pub(crate) fn revoke_token(&self, token: &str) {
        self.tokens.revoke(token);
    }

    fn home(&self, account: &Account) -> PathBuf {
        self.claim.folder().join("mail").join(&account.address)
    }

    /// Mails to the user are delivered, as at first: the end of every fault below but the quota.
    /// What is held stays on hold.
    pub(crate) fn deliver(&self, account: &Account) {
        self.rules.set(&account.address, Treatment::Deliver);
    }

    /// Mails to the user are accepted and held, if they have no other recipient.
    pub(crate) fn hold(&self, account: &Account) {
        self.rules.set(&account.address, Treatment::Hold);
    }

    /// Ends [`Lab::hold`] and delivers what is held for the user.
    ///
    /// # Panics
    /// If Postfix does not let go of a mail in time.
    pub(crate) async fn release(&self, account: &Account) {
        self.deliver(account);
        for id in self.rules.take_held(&account.address) {
            self.postfix.queue().release(&id).await;
        }
    }

    /// Mails to the user are accepted and delivered `delay` later, if they have no other
    /// recipient.
    pub(crate) fn delay(&self, account: &Account, delay: Duration) {
        self.rules.set(&account.address, Treatment::Delay(delay));
    }

    /// Mails to the user are accepted, and their delivery is put off again and again for this
    /// reason, an enhanced code and words, if they have no other recipient. Whether their sender is
    /// told, see [`Lab::warn_of_delays`].
    pub(crate) fn defer(&self, account: &Account, reason: &'static str) {
        self.rules.set(&account.address, Treatment::Defer(reason));
    }

    /// The sender of a mail is told, once, that its delivery has been put off for a second.
    ///
    /// # Panics
    /// If Postfix does not take its new configuration.
    pub(crate) async fn warn_of_delays(&self) {
        self.configure_smtp("delay_warning_time = 1s").await;
    }

    /// Sets a parameter of Postfix, `name = value`.
    ///
    /// # Panics
    /// If it does not take it.
    pub(crate) async fn configure_smtp(&self, line: &str) {
        self.postfix.configure(line).await;
    }

    /// All mails are handed on to the Postfix of another lab, over TLS; this one calls itself `name`. It is
    /// stopped and started for that.
    ///
    /// # Panics
    /// If Postfix does not stop or start.
    pub(crate) async fn relay_to(&self, next: &Self, name: &str) {
        let next = next.ports().smtp;
        let lines = format!(
            "myhostname = {name}\nvirtual_transport = smtp:[127.0.0.1]:{next}\n\
             smtp_tls_security_level = encrypt"
        );
        self.stop_smtp().await;
        self.postfix.write(&lines);
        self.start_smtp().await;
    }

    /// Mails to the user are accepted and thrown away, if they have no other recipient.
    pub(crate) fn lose(&self, account: &Account) {
        self.rules.set(&account.address, Treatment::Lose);
    }

    /// Mails to the user are delivered into the folder Junk, if they have no other recipient.
    pub(crate) fn deliver_into_junk(&self, account: &Account) {
        self.rules.set(&account.address, Treatment::Folder("Junk"));
    }

    /// Mails to the user get this header field, as a filter of the receiver writes it.
    pub(crate) fn prepend(&self, account: &Account, field: &'static str) {
        self.rules.set(&account.address, Treatment::Prepend(field));
    }

    /// RCPT for the user is refused for good: 550.
    pub(crate) fn reject(&self, account: &Account) {
        self.refuse(account, "550 5.7.1 not wanted here");
    }

    /// RCPT for the user is refused for now, as greylisting does: 450.
    pub(crate) fn greylist(&self, account: &Account) {
        self.refuse(account, "450 4.2.0 greylisted, try again later");
    }

    /// RCPT for the user is answered with `reply`: code, enhanced code and text, as in
    /// `452 4.2.2 mailbox full`.
    pub(crate) fn refuse(&self, account: &Account, reply: &'static str) {
        self.rules.set(&account.address, Treatment::Refuse(reply));
    }

    /// The mailbox may hold so many bytes, or any number (`None`, as at first). A mail that does
    /// not fit is accepted by SMTP and bounced to its sender, with status 5.2.2.
    ///
    /// # Panics
    /// If Dovecot does not know in time.
    pub(crate) async fn limit_mailbox(&self, account: &Account, bytes: Option<u64>) {
        self.dovecot.set_user(account, &self.home(account), bytes).await;
    }

    /// The second RCPT for the user from now on is answered with `reply`; the others pass.
    pub(crate) fn refuse_second(&self, account: &Account, reply: &'static str) {
        self.rules.set(&account.address, Treatment::RefuseSecond { reply, seen: 0 });
    }

    /// The mails in the user's mailbox, all folders.
    pub(crate) fn mails(&self, account: &Account) -> Vec<Mail> {
        maildir::list(&self.home(account))
    }

    /// Waits until there are so many mails in the user's mailbox, and returns them.
    ///
    /// # Panics
    /// If there are not in time; the message tells what there is.
    pub(crate) async fn wait_for_mails(&self, account: &Account, count: usize) -> Vec<Mail> {
        let what = format!("{} has {count} mails", account.address);
        until(&what, async || self.mails(account).len() == count).await;
        self.mails(account)
    }

    /// Puts a mail of somebody else into a folder of the mailbox, without any server.
    ///
    /// # Panics
    /// If there is no such folder.
    pub(crate) fn inject(&self, account: &Account, folder: &str, text: &str) {
        maildir::put(&self.home(account), folder, text);
    }

    /// The mails that Postfix has accepted and not yet delivered, held ones included.
    pub(crate) async fn queue_length(&self) -> usize {
        self.postfix.queue().length().await
    }

    /// Stops Postfix: its ports refuse connections, its queue stays.
    pub(crate) async fn stop_smtp(&self) {
        self.postfix.stop().await;
    }

    /// Starts Postfix again.
    pub(crate) async fn start_smtp(&self) {
        self.postfix.start().await;
    }

    /// Stops Dovecot: IMAP and POP3 refuse connections, SMTP cannot check a login, mail waits in
    /// the queue.
    pub(crate) async fn stop_dovecot(&self) {
        self.dovecot.stop().await;
    }

    /// Stops one service of Dovecot until [`Lab::start_dovecot`].
    pub(crate) async fn stop_service(&self, service: Service) {
        self.dovecot.stop_service(service).await;
    }

    /// Starts Dovecot again, with all services, and has the queue delivered.
    pub(crate) async fn start_dovecot(&self) {
        self.dovecot.stop().await;
        self.dovecot.start().await;
        self.postfix.queue().flush().await;
    }

    /// Postfix's log.
    pub(crate) fn smtp_log(&self) -> String {
        self.postfix.log()
    }

    /// Dovecot's log: IMAP, POP3, delivery.
    pub(crate) fn dovecot_log(&self) -> String {
        self.dovecot.log()
    }

    /// The user's logins by IMAP so far. The log may lag some milliseconds behind the login.
    pub(crate) fn imap_logins(&self, account: &Account) -> usize {
        self.logins("imap", account)
    }

    /// The user's logins by POP3 so far. The log may lag some milliseconds behind the login.
    pub(crate) fn pop3_logins(&self, account: &Account) -> usize {
        self.logins("pop3", account)
    }

    fn logins(&self, protocol: &str, account: &Account) -> usize {
        let service = format!("{protocol}-login: Info: ");
        let logins = logins_of(account);
        let is_login = |line: &&str| {
            line.contains(&service) && logins.iter().any(|login| line.contains(login))
        };
        self.dovecot_log().lines().filter(is_login).count()
    }

    /// The most sessions, of IMAP and POP3, that the user had open at one time so far.
    pub(crate) fn most_sessions(&self, account: &Account) -> usize {
        let logins = logins_of(account);
        let ended = format!("({})<", account.address);
        let (mut open, mut most) = (0_usize, 0);
        for line in self.dovecot_log().lines() {
            if line.contains("-login: Info: ") && logins.iter().any(|login| line.contains(login)) {
                open += 1;
                most = most.max(open);
            } else if line.contains(&ended) && line.contains(": Info: Disconnected: ") {
                open = open.saturating_sub(1);
            }
        }
        most
    }

    /// The folder that everything of this lab lies in.
    pub(crate) fn folder(&self) -> &Path {
        self.claim.folder()
    }
}

/// What Dovecot's log says when the user logs in: version 2.3 or 2.4.
fn logins_of(account: &Account) -> [String; 2] {
    ["Login", "Logged in"].map(|word| format!("{word}: user=<{}>", account.address))
}

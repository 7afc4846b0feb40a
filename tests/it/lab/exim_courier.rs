//! Real mail servers that are not Postfix and Dovecot: a private Exim and Courier on loopback.
//!
//! [`SecondStack::start`] runs both in a root folder of its own, a copy of what
//! `scripts/unpack-packages` unpacked, on ports and with users and a certificate authority of
//! its own. Exim delivers into the Maildir that Courier reads. It is like [`crate::lab`] in all
//! else: any number run side by side, and each ends with its owner, however that ends.

use std::path::{Path, PathBuf};

use tokio::sync::OnceCell;

use crate::lab::certificates::{self, CA_FILE};
use crate::lab::claim::Claim;
use crate::lab::root::Root;
use crate::lab::{Account, DOMAIN, HOST, Mail, Ports, maildir, until};

mod courier;
mod exim;

use courier::Courier;
pub(crate) use courier::Mechanisms;
use exim::{Exim, Treatment};

/// A running Exim and Courier.
pub(crate) struct SecondStack {
    ports: Ports,
    sender: Account,
    exim: Exim,
    courier: Courier,
    root: Root,
    claim: Claim,
}

impl SecondStack {
    /// Starts a stack for one test; it ends when it is dropped, also by a panic.
    ///
    /// # Panics
    /// If the user is not root, or a server is not unpacked or does not start; the message says
    /// what to do.
    pub(crate) async fn start() -> Self {
        Self::start_with(Mechanisms::All).await
    }

    /// The same with a Courier that can be entered by these mechanisms.
    ///
    /// # Panics
    /// As [`SecondStack::start`].
    pub(crate) async fn start_with(mechanisms: Mechanisms) -> Self {
        let claim = Claim::new();
        let ports = Ports::from_first(claim.first_port());
        certificates::write_certificates(claim.folder(), HOST);
        let root = Root::new(claim.folder(), "Exim and Courier", "target/second-stack").await;
        let exim = Exim::new(&root, ports);
        let courier = Courier::new(&root, ports, mechanisms);
        tokio::join!(exim.until_started(), courier.start());
        let sender = Account { address: format!("sender@{DOMAIN}"), password: "sender".into() };
        let stack = Self { ports, sender, exim, courier, root, claim };
        stack.make_user(&stack.sender).await;
        stack
    }

    /// The stack that tests with users of their own share. It is started by the first of them and
    /// ends with the process. Its servers must not be stopped.
    ///
    /// # Panics
    /// As [`SecondStack::start`].
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceCell<SecondStack> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// The ports, on 127.0.0.1 only.
    pub(crate) fn ports(&self) -> Ports {
        self.ports
    }

    /// The certificate, as PEM, of the authority that signed the servers' certificate.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.claim.folder().join(CA_FILE)
    }

    /// The folder that everything of this stack lies in.
    pub(crate) fn folder(&self) -> &Path {
        self.claim.folder()
    }

    /// A user to send from. Bounces come into this user's mailbox.
    pub(crate) fn sender(&self) -> &Account {
        &self.sender
    }

    /// Makes a user with an empty mailbox: folders INBOX, Junk and Trash.
    ///
    /// `name` is the part of the address before the `@`.
    ///
    /// # Panics
    /// If a server's table of users cannot be written.
    pub(crate) async fn user(&self, name: &str, password: &str) -> Account {
        let account =
            Account { address: format!("{name}@{DOMAIN}"), password: password.to_owned() };
        self.make_user(&account).await;
        account
    }

    async fn make_user(&self, account: &Account) {
        maildir::make_mailbox(&self.root.mailboxes(), &self.root.home(account));
        self.courier.set_user(account).await;
        self.exim.set_user(account);
    }

    /// Mails to the user are delivered, as at first: the end of every fault below.
    pub(crate) fn deliver(&self, account: &Account) {
        self.exim.treat(account, Treatment::Deliver);
    }

    /// RCPT for the user is refused for good: 550.
    pub(crate) fn reject(&self, account: &Account) {
        self.exim.treat(account, Treatment::Reject);
    }

    /// RCPT for the user is refused for now, as greylisting does: 451.
    pub(crate) fn greylist(&self, account: &Account) {
        self.exim.treat(account, Treatment::Greylist);
    }

    /// Mails to the user are accepted and bounced to their sender.
    pub(crate) fn bounce(&self, account: &Account) {
        self.exim.treat(account, Treatment::Bounce);
    }

    /// The mails in the user's mailbox, all folders.
    pub(crate) fn mails(&self, account: &Account) -> Vec<Mail> {
        maildir::list(&self.root.home(account))
    }

    /// Waits until there are so many mails in the user's mailbox, and returns them.
    ///
    /// # Panics
    /// If there are not in time.
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
        maildir::put(&self.root.home(account), folder, text);
    }

    /// Stops Courier: IMAP and POP3 refuse connections.
    pub(crate) async fn stop_courier(&self) {
        self.courier.stop().await;
    }

    /// Starts Courier again.
    pub(crate) async fn start_courier(&self) {
        self.courier.start().await;
    }

    /// Exim's log.
    pub(crate) fn smtp_log(&self) -> String {
        self.exim.log()
    }

    /// Courier's log: IMAP and POP3.
    pub(crate) fn courier_log(&self) -> String {
        self.courier.log()
    }
}

//! `match`: what counts as the arrival of the test mail: itself, or an answer to it.

use lettre::Address;
use mail::content::Template;
use mail::posture::Check;

use crate::config::section::{Report, Section};
use crate::config::{DomainChecks, Folder, Target};

/// What counts as the arrival of a test mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Match {
    /// The mail itself; an answer to it is somebody's mail.
    #[default]
    TestMail,
    /// An answer to it, or the mail itself that came back.
    Reply,
}

pub(in crate::config) const MATCHES: [(&str, Match); 2] =
    [("test_mail", Match::TestMail), ("reply", Match::Reply)];

/// What in Precedence keeps responders silent.
const PRECEDENCES: [&str; 3] = ["bulk", "junk", "list"];
/// The other fields that do (RFC 3834 section 2), each with the value that does not.
const SILENCERS: [(&str, &str); 2] =
    [("Auto-Submitted", "no"), ("X-Auto-Response-Suppress", "none")];
/// And all whose names begin so (RFC 5230 section 4.6).
const OF_LISTS: &str = "list-";
/// Whom responders do not answer (RFC 5230 section 4.6): what lists and mail systems write under.
const UNANSWERED: [&str; 4] = ["mailer-daemon", "listserv", "majordomo", "postmaster"];
/// Parts of the names of folders in which servers keep copies of what was sent.
const OF_SENT_MAIL: [&str; 4] = ["sent", "all mail", "draft", "outbox"];
/// The same by SPECIAL-USE (RFC 6154).
const USES_OF_SENT_MAIL: [&str; 3] = ["\\sent", "\\all", "\\drafts"];

impl Target {
    /// Whether an answer to its test mail, sent from elsewhere, is what arrives.
    pub fn takes_replies(&self) -> bool {
        self.wants.as_ref().is_some_and(|wants| wants.matches == Match::Reply)
    }
}

/// What answers do not go together with.
pub(super) fn check(target: &Target, section: &Section<'_>, report: &mut Report) {
    if !target.takes_replies() {
        return;
    }
    if target.dnsbl().is_some_and(|dnsbl| dnsbl.addresses.is_empty()) {
        let advice =
            "with `match: reply` the header that is read shows the addresses of the other side";
        section.child("dnsbl", report).miss("addresses", advice, report);
    }
    if target.expected().is_some()
        && let Some(found) = section.find("match")
    {
        let message = "does not go with `expect`: what must not pass is not answered";
        report.add(found.place.problem(message));
    }
}

/// What is allowed and yet worth a look, as sentences without the name of the target.
pub(in crate::config) fn doubts(target: &Target) -> Vec<String> {
    if !target.takes_replies() {
        return Vec::new();
    }
    let mut doubts = Vec::new();
    doubts.extend(of_addresses(target));
    doubts.extend(of_folders(target));
    doubts.extend(of_mail(target));
    let wants_ptr = |checks: &DomainChecks| checks.checks.contains(&Check::Ptr);
    if target.domain_checks().is_some_and(wants_ptr) && target.outgoing_addresses().is_empty() {
        let message = "with `match: reply` no header shows from where this side sends: the check `ptr` needs \
                       `domain_checks.addresses`";
        doubts.push(message.to_owned());
    }
    if !target.inspect {
        doubts.push(
            "`inspect: false` reads no header that tells the way out from the way back".to_owned(),
        );
    }
    doubts
}

/// Answers go to the envelope sender (RFC 3834 section 4), or to Reply-To.
fn of_addresses(target: &Target) -> Vec<String> {
    let Target { from, to, receive, .. } = target;
    let mut doubts = Vec::new();
    if from == to {
        let message = "`match: reply` needs an address elsewhere in `to`: to `from` itself the mail arrives unanswered";
        doubts.push(message.to_owned());
    }
    if is_unanswered(from) {
        doubts.push(format!(
            "auto-responders do not answer `from`, {from}: such addresses are of lists and mail systems (RFC 5230)"
        ));
    }
    let user = receive.as_ref().map(|receive| &receive.login.username);
    if let Some(user) = user.filter(|user| !is_user(from, user)) {
        doubts.push(format!(
            "`match: reply` looks for the answers in the mailbox of {user}, and they go to `from`, {from}: make sure \
             that this is the same mailbox"
        ));
    }
    let answers_to = field(target, "Reply-To").map(Template::to_string);
    if let Some(other) = answers_to.filter(|it| !it.to_ascii_lowercase().contains(&lower(from))) {
        doubts.push(format!(
            "`mail.headers` has answers go to {other} (Reply-To), and not to `from`, {from}: some responders obey it"
        ));
    }
    doubts
}

/// Where the copy of a mail that was sent may be taken for the mail that came back: two servers have stamped it.
fn of_folders(target: &Target) -> Vec<String> {
    let folders: &[Folder] = target.receive.as_ref().map_or(&[], |side| side.protocol.folders());
    let copies = folders.iter().filter(|folder| match folder {
        Folder::Name(name) => {
            let name = name.to_lowercase();
            OF_SENT_MAIL.iter().any(|part| name.contains(part))
        }
        Folder::SpecialUse(name) => {
            USES_OF_SENT_MAIL.iter().any(|known| known.eq_ignore_ascii_case(name))
        }
    });
    let doubt = |folder: &Folder| {
        format!(
            "`receive.folders` has {folder}: a copy of the test mail that is kept there counts as its arrival where \
             another server of yours has stamped it, and is removed late where none has; name it under \
             `sender_mailbox` alone"
        )
    };
    copies.map(doubt).collect()
}

fn of_mail(target: &Target) -> Vec<String> {
    let mut doubts = Vec::new();
    let subject = target.form().and_then(|form| form.subject.as_ref());
    if subject.is_some_and(|subject| !subject.has_token()) {
        let message = "`mail.subject` has no {token}: an answer without our Message-ID in In-Reply-To or References is \
                       not known, and counts as lost";
        doubts.push(message.to_owned());
    }
    let value = |name: &str| Some(field(target, name)?.to_string().trim().to_ascii_lowercase());
    let is_of_bulk = value("Precedence").is_some_and(|it| PRECEDENCES.contains(&it.as_str()));
    let silent = SILENCERS.iter().filter(|(name, loud)| value(name).is_some_and(|it| it != *loud));
    let silent = silent.map(|(name, _)| *name).chain(is_of_bulk.then_some("Precedence"));
    let fields = target.form().map(|form| form.fields.as_slice()).unwrap_or_default();
    let written = fields.iter().filter(|(_, value)| value.is_some());
    let of_lists = written.map(|(name, _)| name.as_str());
    let of_lists = of_lists.filter(|name| name.to_ascii_lowercase().starts_with(OF_LISTS));
    for name in silent.chain(of_lists) {
        doubts.push(format!(
            "`mail.headers` has {name}, with which auto-responders do not answer (RFC 3834)"
        ));
    }
    doubts
}

/// Whether responders take this address for that of a list or a mail system.
fn is_unanswered(address: &Address) -> bool {
    let name = address.user().to_ascii_lowercase();
    let is_of_list = name.starts_with("owner-") || name.ends_with("-request");
    is_of_list || UNANSWERED.contains(&name.as_str())
}

/// Whether this is the user of a mailbox that has the address, as far as the names show.
fn is_user(address: &Address, user: &str) -> bool {
    // Exchange has the domain of Windows before it.
    let user = user.rsplit('\\').next().unwrap_or(user);
    let name =
        if user.contains('@') { lower(address) } else { address.user().to_ascii_lowercase() };
    // What stands behind a plus only sorts (RFC 5233).
    let plain = |name: &str| match name.split_once('+') {
        Some((user, detail)) => {
            let domain = detail.split_once('@').map(|(_, domain)| format!("@{domain}"));
            format!("{user}{}", domain.unwrap_or_default())
        }
        None => name.to_owned(),
    };
    plain(&name) == plain(&user.to_ascii_lowercase())
}

fn lower(address: &Address) -> String {
    address.to_string().to_ascii_lowercase()
}

/// The value that the configuration gives to a field of the header.
fn field<'a>(target: &'a Target, name: &str) -> Option<&'a Template> {
    let fields = &target.form()?.fields;
    fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?.1.as_ref()
}

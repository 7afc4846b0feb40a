//! The text of the test mail, where its form has no other.

use ledger::Instance;
use ledger::durations::Seconds;

use super::Addressed;

/// Says to people what the mail is and how to stop it.
pub(super) fn text(addressed: Addressed<'_>, instance: Instance, host: &str) -> String {
    format!(
        "This is an automatic test mail. It can be deleted at any time.\n\
         \n\
         mailtrip_exporter sends it every {interval} to prove that mail handed to the\n\
         {purpose}\n\
         \n\
         Sent by: mailtrip_exporter {version} on {host} (instance {instance})\n\
         To stop it: remove the target \"{name}\" from the configuration of that exporter.\n",
        interval = Seconds(addressed.interval),
        name = addressed.target,
        purpose = purpose(addressed),
        version = env!("CARGO_PKG_VERSION"),
    )
}

/// What the mail proves, and what it means if many of them lie somewhere.
fn purpose(addressed: Addressed<'_>) -> String {
    let name = addressed.target;
    match addressed.wants_answer {
        true => format!(
            "server \"{name}\" arrives here and is answered. It removes the answers from the\n\
             mailbox of the sender; the mails here are for you to remove, as by a rule."
        ),
        false => format!(
            "server \"{name}\" arrives, and removes it from the mailbox once it is seen.\n\
             If you find many of these here, nobody reads this mailbox for the exporter\n\
             any more."
        ),
    }
}

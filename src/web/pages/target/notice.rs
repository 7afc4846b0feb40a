//! The latest delivery report: a mail was returned or is delayed.

use std::time::SystemTime;

use crate::web::pages::words::When;
use ledger::Action;
use ledger::DeliveryReport;

/// What it says.
pub(super) struct DsnNote {
    pub(super) when: When,
    pub(super) token: String,
    pub(super) action: &'static str,
    pub(super) class: &'static str,
    pub(super) code: Option<String>,
    pub(super) remote_server: Option<String>,
    pub(super) text: Option<String>,
}

impl DsnNote {
    pub(in crate::web) fn new(at: SystemTime, notice: &DeliveryReport, now: SystemTime) -> Self {
        Self {
            when: When::new(at, now),
            token: notice.token.to_string(),
            action: notice.action.label(),
            class: if notice.action == Action::Failed { "failing" } else { "late" },
            code: notice.code.clone(),
            remote_server: notice.remote_server.clone(),
            text: notice.text.clone(),
        }
    }
}

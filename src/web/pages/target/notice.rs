//! The newest report that a mail cannot be delivered or has to wait.

use std::time::SystemTime;

use crate::web::pages::words::When;
use ledger::Action;
use ledger::DeliveryReport;

/// What it says.
pub(in crate::web) struct NoticeNote {
    pub(in crate::web) when: When,
    pub(in crate::web) token: String,
    pub(in crate::web) action: &'static str,
    pub(in crate::web) class: &'static str,
    pub(in crate::web) code: Option<String>,
    pub(in crate::web) remote_server: Option<String>,
    pub(in crate::web) text: Option<String>,
}

impl NoticeNote {
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

//! The pages for people: the list of all targets, the page of one, the runbook, the documentation,
//! and what is shown where there is nothing.

pub(in crate::web) mod absent;
pub(in crate::web) mod assets;
pub(in crate::web) mod chart;
pub(in crate::web) mod docs;
pub(in crate::web) mod history;
mod markdown;
pub(in crate::web) mod runbook;
pub(in crate::web) mod status;
pub(in crate::web) mod target;
pub(in crate::web) mod words;

//! The pages for people: the list of all targets and the page of one.

pub(in crate::web) mod assets;
pub(in crate::web) mod chart;
pub(in crate::web) mod status;
pub(in crate::web) mod target;
pub(in crate::web) mod words;

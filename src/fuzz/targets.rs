//! One module a parser.

pub(super) mod config;
pub(super) mod http;
pub(super) mod ping;
pub(super) mod store;
pub(super) mod web_config;
pub(super) mod yaml;

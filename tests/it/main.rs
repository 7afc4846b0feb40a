//! The integration tests: one binary, one module a subject.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

mod browser;
/// A relay over a distance, as the measurement of the round trip has it.
#[allow(dead_code)]
#[path = "../../benches/accuracy/relay.rs"]
mod far;
mod lab;
mod namespace;
mod newest;
mod relay;
mod scrape_labels;
mod second_stack;
mod support;

mod alerting;
mod bounces;
mod budgets;
mod clues;
mod crashes;
mod dashboards;
mod definitions;
mod demo;
mod demo_servers;
mod dialogues;
mod distance;
mod durable;
mod evidence;
mod exim_and_courier;
mod fault_table;
mod faults;
mod filters;
mod foreign_clients;
mod host_layers;
mod hostile;
mod http;
mod inspection;
mod lab_self_test;
mod labels;
mod layers;
mod log;
mod logins;
mod looks;
mod mailbox;
mod oauth;
mod outer_watch;
mod pages;
mod passive;
mod port_checks;
mod probe;
mod probe_outputs;
mod program;
mod real_bounces;
mod real_servers;
mod real_tokens;
mod reload;
mod rooms;
mod round_trip;
mod routes;
mod rules;
mod shared_mailbox;
mod shortages;
mod tls;

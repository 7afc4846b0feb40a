//! The integration tests: one binary. The folder of a test says what it needs and what it shows.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

/// A relay over a distance, as the measurement of the round trip has it.
#[allow(dead_code)]
#[path = "../../benches/accuracy/relay.rs"]
mod far;
mod lab;
mod support;

/// The words of the account and the tests of each.
mod definitions;

/// The program as a process: its command line, its output, its log, its end and its restart.
mod command {
    mod authorities;
    mod auto_reload;
    mod durable;
    mod generate;
    mod healthcheck;
    mod history;
    mod log;
    mod newest;
    mod probe;
    mod probe_all;
    mod probe_from_exporter;
    mod probe_outputs;
    mod program;
    mod restart;
    mod shard;
    mod shortages;
    mod systemd_socket;
}

/// Against the embedded servers, in this process.
mod embedded {
    mod bounces;
    mod budgets;
    mod clues;
    mod demo;
    mod demo_servers;
    mod dialogues;
    mod distance;
    mod expectations;
    mod faults;
    mod foreign_clients;
    mod form;
    mod hostile;
    mod init;
    mod inspection;
    mod jmap;
    mod load;
    mod logins;
    mod looks;
    mod mailbox;
    pub(crate) mod oauth;
    mod outer_watch;
    mod passive;
    mod reload;
    mod replies;
    mod rotation;
    mod round_trip;
    pub(crate) mod routes;
    mod series;
    mod tls;
}

/// What needs root: the real servers of the lab, and namespaces.
mod real {
    pub(crate) mod alerting;
    mod bounces;
    mod compose;
    mod crashes;
    mod cyrus;
    mod exemplars;
    mod exim_courier;
    mod expectations;
    mod fault_table;
    mod form;
    mod host_layers;
    mod init;
    mod lab_self_test;
    mod labels;
    mod layers;
    mod logins;
    mod newcomer;
    mod port_checks;
    mod postfix_dovecot;
    mod posture;
    mod replies;
    mod reputation;
    mod routes;
    pub(crate) mod scenarios;
    mod shared_mailbox;
    pub(crate) mod stack;
    mod tokens;
}

/// What is shipped: the sources, rules and dashboards, and the test mail before spam filters.
mod shipped {
    mod book;
    mod chart;
    mod code;
    mod compose;
    mod dashboards;
    mod documented;
    mod documents;
    mod duplicates;
    mod filters;
    pub(crate) mod mixin;
    mod packages;
    mod rooms;
    pub(crate) mod rules;
    mod samples;
    mod scrape_example;
    mod scrape_labels;
}

/// Pages and JSON over HTTP, and in a browser.
mod web {
    mod docs;
    mod evidence;
    mod history;
    mod http;
    mod layout;
    mod pages;
    mod prefix;
    mod way;
}

//! How a reload went.

use std::time::SystemTime;

use openssl::error::ErrorStack;
use tracing::error;

use super::reader::NotRead;
use crate::config::{Problems, TargetName};
use mail::net::tls;

/// How the newest reload went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReloadState {
    /// Whether it succeeded; the first load counts.
    pub is_successful: bool,
    /// When one last succeeded.
    pub last_success: SystemTime,
}

/// Why a configuration could not be put to work; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It does not hold.
    #[error("{0}")]
    Config(#[from] Problems),
    /// It was read, but a file it names is not fit for TLS.
    #[error("target `{target}`: cannot use the files of tls_options: {}", tls::words(.source))]
    Tls {
        /// The target.
        target: TargetName,
        /// What OpenSSL said.
        source: ErrorStack,
    },
    /// It lists no target, as when a template went through an empty list: every series would vanish, and no
    /// alert would fire.
    #[error(
        "there are no targets any more, which would end all tests; if that is meant, restart the exporter"
    )]
    NoTargets,
    /// The exporter is about to end.
    #[error("the exporter is stopping")]
    Stopped,
    /// Its files could not be read in time, or not at all.
    #[error(transparent)]
    NotRead(#[from] NotRead),
    /// The configuration was made in memory.
    #[error("there is no configuration file to reload")]
    NoFile,
}

impl ReloadError {
    /// Says why in the log, each problem of the configuration in a line of its own.
    pub(super) fn log(&self) {
        match self {
            Self::Config(problems) => problems.in_lines().for_each(|problem| tell(&problem)),
            other => tell(other),
        }
    }

    /// Whether the same files may do another time, as after a shortage of descriptors or threads.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Tls { .. } | Self::NotRead(_) => true,
            Self::Config(_) | Self::NoTargets | Self::Stopped | Self::NoFile => false,
        }
    }
}

fn tell(problem: &dyn std::fmt::Display) {
    error!(error = %problem, "cannot reload the configuration; the previous one stays in force");
}

//! The programs of Prometheus and Alertmanager: those of this release of Debian, and those of the next with its jsonnet.

use std::path::{Path, PathBuf};

/// Where `scripts/unpack-packages` has put the newer ones, below the project's folder.
const UNPACKED: &str = "target/newer-prometheus/bin";

/// Which of both.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Release {
    /// Prometheus 2.42, the oldest that the rules are for, and Alertmanager 0.25.
    Installed,
    /// Prometheus 3 and its Alertmanager.
    Newer,
}

impl Release {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Installed, Self::Newer];

    /// How one of the programs is started.
    ///
    /// # Panics
    /// If the newer ones are not unpacked.
    pub(crate) fn program(self, name: &str) -> PathBuf {
        match self {
            Self::Installed => name.into(),
            Self::Newer => {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(UNPACKED).join(name);
                assert!(
                    path.exists(),
                    "{name} is not in {UNPACKED}: run `make test`, or `scripts/install-prerequisites \
                     test` once"
                );
                path
            }
        }
    }
}

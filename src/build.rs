//! What the program was built from, as `build.rs` has found it out.

/// The version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit; `unknown` where the source came without a repository.
pub const REVISION: &str = env!("MAILTRIP_REVISION");
/// The branch; `unknown` as well.
pub const BRANCH: &str = env!("MAILTRIP_BRANCH");
/// The version of the compiler.
pub const RUST_VERSION: &str = env!("MAILTRIP_RUST_VERSION");
/// Operating system and processor.
const PLATFORM: &str = env!("MAILTRIP_PLATFORM");

/// What `--version` prints, in the form of Prometheus' own programs.
pub fn description() -> String {
    format!(
        "mailtrip_exporter, version {VERSION} (branch: {BRANCH}, revision: {REVISION})\n  \
         rust version:     {RUST_VERSION}\n  \
         platform:         {PLATFORM}\n"
    )
}

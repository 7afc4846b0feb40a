//! Tells the program what it was built from: the commit, its branch, and the compiler. Without a repository, as
//! in an unpacked archive, they are `unknown`, unless `MAILTRIP_REVISION` and `MAILTRIP_BRANCH` say it. And puts into
//! the program the pages that `docs/SUMMARY.md` lists.

use std::env;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let (branch, revision) = Repository::find().map(|it| it.head()).unwrap_or_default();
    tell("MAILTRIP_BRANCH", branch);
    tell("MAILTRIP_REVISION", revision);
    tell_always("MAILTRIP_RUST_VERSION", rust_version());
    let target = |key: &str| env::var(key).unwrap_or_default();
    let platform = format!("{}/{}", target("CARGO_CFG_TARGET_OS"), target("CARGO_CFG_TARGET_ARCH"));
    tell_always("MAILTRIP_PLATFORM", Some(platform));
    if let Err(error) = write_documentation() {
        println!("cargo::error=docs/SUMMARY.md: {error}");
    }
}

/// Writes the parts and pages of the documentation as Rust, for `src/web/pages/docs.rs`.
fn write_documentation() -> Result<(), Box<dyn std::error::Error>> {
    let root = env::var("CARGO_MANIFEST_DIR")?;
    let summary = watched(&Path::new(&root).join("docs/SUMMARY.md")).ok_or("cannot be read")?;
    let mut code = String::from("&[");
    // The first heading is that of the file.
    for part in summary.split("\n# ").skip(1) {
        let (title, lines) = part.split_once('\n').ok_or("a part without pages")?;
        write!(code, "Part {{ title: {title:?}, pages: &[")?;
        for line in lines.lines().filter_map(|line| line.strip_prefix("- [")) {
            let (title, file) = line.split_once("](").ok_or("a line without a link")?;
            let file = file.strip_suffix(')').ok_or("a line without a link")?;
            let file = file.strip_prefix("../").map_or(format!("docs/{file}"), str::to_owned);
            let path = Path::new(&root).join(&file);
            write!(
                code,
                "Page {{ title: {title:?}, file: {file:?}, text: include_str!({path:?}) }},"
            )?;
        }
        code.push_str("] },");
    }
    code.push(']');
    std::fs::write(Path::new(&env::var("OUT_DIR")?).join("documentation.rs"), code)?;
    Ok(())
}

/// Gives a value to the program; what the environment says of it goes first.
fn tell(key: &str, value: Option<String>) {
    println!("cargo::rerun-if-env-changed={key}");
    let given = env::var(key).ok().filter(|given| !given.is_empty());
    tell_always(key, given.or(value));
}

fn tell_always(key: &str, value: Option<String>) {
    println!("cargo::rustc-env={key}={}", value.as_deref().unwrap_or("unknown"));
}

/// The version of the compiler, as `1.95.0`.
fn rust_version() -> Option<String> {
    let output = Command::new(env::var_os("RUSTC")?).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split(' ').nth(1).map(str::to_owned)
}

/// A Git repository: its own folder, and the one that it shares with other work trees.
struct Repository {
    own: PathBuf,
    common: PathBuf,
}

impl Repository {
    /// That of this package, and no other that happens to lie around it.
    fn find() -> Option<Self> {
        let git = Path::new(&env::var_os("CARGO_MANIFEST_DIR")?).join(".git");
        let own = match git.is_dir() {
            true => git,
            // In a work tree it is a file that names the folder.
            false => PathBuf::from(read(&git)?.strip_prefix("gitdir: ")?),
        };
        let common = read(&own.join("commondir")).map(|path| own.join(path));
        Some(Self { common: common.unwrap_or_else(|| own.clone()), own })
    }

    /// The branch and the commit that are checked out. Cargo builds anew once they change, and only then.
    fn head(&self) -> (Option<String>, Option<String>) {
        let Some(head) = watched(&self.own.join("HEAD")) else { return (None, None) };
        let Some(reference) = head.strip_prefix("ref: ") else {
            return (Some("HEAD".to_owned()), Some(head));
        };
        let branch = reference.strip_prefix("refs/heads/").unwrap_or(reference);
        let commit = watched(&self.common.join(reference)).or_else(|| self.packed(reference));
        (Some(branch.to_owned()), commit)
    }

    fn packed(&self, reference: &str) -> Option<String> {
        let packed = watched(&self.common.join("packed-refs"))?;
        // The next commit does not change this file, but makes one for the branch.
        let log = self.own.join("logs/HEAD");
        watch(&if log.exists() { log } else { self.common.join("refs/heads") });
        let mut pairs = packed.lines().filter_map(|line| line.split_once(' '));
        pairs.find(|(_, name)| *name == reference).map(|(commit, _)| commit.to_owned())
    }
}

/// The text of a file that is there; the program is built anew when it changes.
fn watched(path: &Path) -> Option<String> {
    let text = read(path)?;
    watch(path);
    Some(text)
}

fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

fn read(path: &Path) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim_end().to_owned())
}

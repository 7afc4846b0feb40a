//! The packages of Debian and of Fedora: both name the same files, nothing that is meant for users is forgotten, and what
//! a fresh installation begins with works and agrees with the unit.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mailtrip_exporter::config::Config;
use serde_json::Value;

/// What is made while packing; see scripts/package.
const MADE: &str = "target/";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A file or a pattern, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asset {
    source: String,
    target: String,
    mode: String,
    is_kept: bool,
}

/// Those of a kind of package, as Cargo.toml lists them.
fn assets(kind: &str) -> Vec<Asset> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--no-deps", "--offline", "--format-version=1"]);
    let output = command.current_dir(root()).output().unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let is_ours = |package: &&Value| package["name"] == env!("CARGO_PKG_NAME");
    let package = packages.iter().find(is_ours).unwrap();
    let listed = package["metadata"][kind]["assets"].as_array().unwrap();
    listed.iter().map(Asset::of).collect()
}

impl Asset {
    fn of(listed: &Value) -> Self {
        let [source, target, mode] = match listed.as_array() {
            Some(list) => [&list[0], &list[1], &list[2]],
            None => [&listed["source"], &listed["dest"], &listed["mode"]],
        }
        .map(|text| text.as_str().unwrap().to_owned());
        let target = target.trim_start_matches('/').to_owned();
        // In a package of Debian every file below /etc is a conffile.
        let is_kept = match listed.is_array() {
            true => target.starts_with("etc/"),
            false => listed["config"] == "noreplace",
        };
        Self { source, target, mode, is_kept }
    }

    /// The files that it means now.
    fn files(&self) -> Vec<PathBuf> {
        let pattern = root().join(&self.source);
        let files = glob::glob(pattern.to_str().unwrap()).unwrap();
        files.map(|file| file.unwrap().strip_prefix(root()).unwrap().to_owned()).collect()
    }
}

#[test]
fn both_packages_have_the_same_files() {
    let changelog = |asset: &Asset| asset.source.ends_with("/changelog.gz");
    let deb: BTreeSet<Asset> = assets("deb").into_iter().filter(|it| !changelog(it)).collect();
    let rpm = assets("generate-rpm").into_iter().map(|mut asset| {
        asset.target = asset.target.replace("zsh/site-functions", "zsh/vendor-completions");
        asset
    });
    assert_eq!(deb, rpm.collect());
    let kept: BTreeSet<_> = deb.iter().filter(|it| it.is_kept).map(|it| &*it.target).collect();
    let expected = [
        "etc/default/mailtrip_exporter",
        "etc/mailtrip_exporter/mailtrip.yml",
        "etc/mailtrip_exporter/web.yml",
    ];
    assert_eq!(kept, expected.into());
}

#[test]
fn no_file_for_users_is_forgotten() {
    let assets = assets("deb");
    for asset in assets.iter().filter(|it| !it.source.starts_with(MADE)) {
        assert!(!asset.files().is_empty(), "{} means no file", asset.source);
    }
    let shipped: BTreeSet<PathBuf> = assets.iter().flat_map(Asset::files).collect();
    let patterns = [
        "README.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "mailtrip.example.yml",
        "docs/*.md",
        "grafana/*.*",
        "grafana/provisioning/*/*",
        "deploy/*.md",
        "deploy/alertmanager/*",
        "deploy/host/*",
        "deploy/mixin/*",
        "deploy/prometheus/*.yml",
        "deploy/systemd/*",
        "deploy/package/*.*",
        "deploy/package/copyright",
    ];
    for pattern in patterns {
        for file in glob::glob(root().join(pattern).to_str().unwrap()).unwrap() {
            let file = file.unwrap().strip_prefix(root()).unwrap().to_owned();
            assert!(shipped.contains(&file), "{} is in no package", file.display());
        }
    }
}

#[test]
fn the_schema_lies_where_the_example_names_it() {
    let example = read("mailtrip.example.yml");
    let named = example.split_once("$schema=").unwrap().1.lines().next().unwrap();
    for kind in ["deb", "generate-rpm"] {
        let assets = assets(kind);
        let folder =
            |source: &str| assets.iter().find(|it| it.source == source).map(|it| &it.target);
        assert!(folder(named).is_some(), "{kind}: no {named}");
        assert_eq!(folder(named), folder("mailtrip.example.yml"), "{kind}");
    }
    let archive = read("scripts/tarball");
    assert!(archive.contains(" SECURITY.md mailtrip.{example.yml,schema.json}\n"), "the archive");
}

#[test]
fn a_fresh_installation_tests_nothing_and_its_example_holds() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    for name in ["sendtest", "receivetest"] {
        fs::write(credentials.join(name), "secret").unwrap();
    }
    let text = read("deploy/package/mailtrip.yml");
    let file = folder.path().join("mailtrip.yml");
    let fresh = Config::parse(&text, &file).unwrap();
    assert!(fresh.targets.is_empty());

    let (before, example) = text.split_once("targets: []\n").unwrap();
    let example = example.lines().map(|line| format!("{}\n", line.strip_prefix('#').unwrap()));
    let used = format!("{before}targets:\n{}", example.collect::<String>());
    let used = Config::parse(&used, &file).unwrap();
    assert_eq!(used.targets.len(), 1);
    assert_eq!(used.state_dir, Path::new("/var/lib/mailtrip_exporter"));
}

#[test]
fn the_unit_and_the_packages_mean_the_same_files() {
    let unit = read("deploy/systemd/mailtrip_exporter.service");
    let shipped: Vec<_> = assets("deb").into_iter().map(|asset| asset.target).collect();
    let is_shipped = |path: &str| {
        let path = path.trim_start_matches('/');
        shipped.iter().any(|it| it == path || path.starts_with(it.as_str()) && it.ends_with('/'))
    };
    for path in [
        "/usr/bin/mailtrip_exporter",
        "/etc/mailtrip_exporter/mailtrip.yml",
        "/etc/default/mailtrip_exporter",
        "/usr/share/mailtrip_exporter/deploy/README.md",
    ] {
        assert!(unit.contains(path) && is_shipped(path), "{path}");
    }
    let defaults = read("deploy/package/mailtrip_exporter.default");
    assert!(defaults.contains("\nARGS=\"--web.config.file=/etc/mailtrip_exporter/web.yml\"\n"));

    let credentials = "/etc/mailtrip_exporter/credentials";
    assert!(unit.contains(&format!("\nLoadCredential=mailtrip:{credentials}\n")));
    for script in ["debian/postinst", "rpm/post"] {
        let script = read(&format!("deploy/package/{script}"));
        assert!(script.contains(&format!("install -d -m 0700 {credentials}\n")), "{script}");
    }
}

#[test]
fn the_licences_of_others_go_with_the_program() {
    let mut command = Command::new(root().join("scripts/third-party"));
    let output = command.arg("bundled").env("CARGO", env!("CARGO")).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (name, notice) in [
        ("tokio", "Copyright (c) Tokio Contributors"),
        ("zstd-sys", "Copyright (c) Meta Platforms"),
        ("openssl-src", "Apache License"),
    ] {
        assert!(said.contains(&format!("\n{name} ")) && said.contains(notice), "{name}");
    }
    for not_inside in ["\nproptest ", "\nboon ", "mailtrip-"] {
        assert!(!said.contains(not_inside), "{not_inside}");
    }
    assert!(read("deploy/package/copyright").contains("/mailtrip-exporter/THIRD-PARTY"));
}

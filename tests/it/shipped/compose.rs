//! The demo of `deploy/compose`, as far as it can be judged without running it; `real::compose` runs it.

use std::fs;

use super::rules::deploy;

#[test]
fn every_file_that_the_demo_mounts_is_there() {
    let folder = deploy().join("compose");
    let text = fs::read_to_string(folder.join("compose.yml")).unwrap();
    let mounted = text.lines().filter_map(|line| {
        line.trim()
            .strip_prefix("- ./")
            .or_else(|| line.trim().strip_prefix("- ").filter(|rest| rest.starts_with("../")))
    });
    let mounted: Vec<_> = mounted.filter_map(|rest| rest.split(':').next()).collect();
    assert!(mounted.len() > 5, "{mounted:?}");
    for path in mounted {
        assert!(folder.join(path).exists(), "{path}");
    }
}

#[test]
fn its_ports_are_open_to_this_machine_only_and_its_versions_are_pinned() {
    let text = fs::read_to_string(deploy().join("compose/compose.yml")).unwrap();
    let is_port = |line: &&str| line.contains(":9") || line.contains(":3000");
    let ports: Vec<_> = text.lines().filter(is_port).filter(|line| line.contains('\'')).collect();
    assert_eq!(ports.len(), 4, "{ports:?}");
    assert!(ports.iter().all(|line| line.contains("'127.0.0.1:")), "{ports:?}");
    for image in text.lines().filter_map(|line| line.trim().strip_prefix("image: docker.io/")) {
        let version = image.rsplit(':').next().unwrap();
        assert!(version.trim_start_matches('v').split('.').count() == 3, "{image}");
    }
}

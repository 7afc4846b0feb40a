//! The runbook: the text of `deploy/runbook.md`, with an anchor for each alert.

use askama::Template;

use super::docs;
use super::markdown::Text;
use super::status::{Assets, Links};
use crate::web::mount::PathPrefix;

/// Where the text lies in the repository.
const FILE: &str = "deploy/runbook.md";
const SOURCE: &str = include_str!("../../../deploy/runbook.md");

/// The page.
pub(in crate::web) fn page(links: Links<'_>) -> Result<String, askama::Error> {
    let page = RunbookPage {
        base: links.base,
        links,
        assets: Assets::ALL,
        version: crate::build::VERSION,
        runbook: Text::new(SOURCE, |to| docs::address(links.base, FILE, to)),
    };
    page.render()
}

#[derive(Template)]
#[template(path = "runbook.html", whitespace = "minimize")]
struct RunbookPage<'a> {
    base: &'a PathPrefix,
    links: Links<'a>,
    assets: Assets,
    version: &'static str,
    runbook: Text,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_has_its_anchor_and_its_line_in_the_contents() {
        let base = &"/mail".parse().unwrap();
        let links = Links { base, telemetry_path: "/metrics", shows_config: false };
        let page = page(links).unwrap();
        let alerts: Vec<&str> =
            SOURCE.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert!(alerts.len() > 20, "{alerts:?}");
        for alert in alerts {
            let anchor = alert.to_lowercase();
            let heading = format!("<h2 id=\"{anchor}\">{alert}</h2>");
            assert!(page.contains(&heading), "no {heading} in {page}");
            assert!(page.contains(&format!("<a href=\"#{anchor}\">{alert}</a>")), "{alert}");
        }
        assert_eq!(page.matches("<h1").count(), 1, "{page}");
    }
}

//! The page for an address at which there is nothing: what was not found, and the way back.

use askama::Template;

use super::status::{Assets, Links};
use crate::config::TargetName;
use crate::web::mount::PathPrefix;
use crate::web::paths::{self, TARGET_PAGES};

/// The page. `words` say what is missing, as a sentence without its stop; `likes` are the targets that may have
/// been meant.
pub(in crate::web) fn page(
    links: Links<'_>,
    words: &str,
    likes: &[&TargetName],
) -> Result<String, askama::Error> {
    let like = |name: &&TargetName| (name.to_string(), paths::of_target(TARGET_PAGES, name));
    let page = AbsentPage {
        base: links.base,
        links,
        assets: Assets::ALL,
        version: crate::build::VERSION,
        words,
        likes: likes.iter().map(like).collect(),
    };
    page.render()
}

#[derive(Template)]
#[template(path = "absent.html", whitespace = "minimize")]
struct AbsentPage<'a> {
    base: &'a PathPrefix,
    links: Links<'a>,
    assets: Assets,
    version: &'static str,
    words: &'a str,
    /// Names and paths.
    likes: Vec<(String, String)>,
}

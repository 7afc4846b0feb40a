//! What the pages load: a style sheet, a script and an icon, all part of this program.
//!
//! Each address contains a fingerprint of the content, so that a browser caches it until the next
//! upgrade.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};

use crate::web::server::Response;

/// Where they are.
pub(in crate::web) const ASSETS: &str = "/assets/";

/// The style sheet.
pub(in crate::web) const STYLE: Asset =
    Asset { name: "page.css", media_type: "text/css; charset=utf-8", text: STYLE_TEXT };
/// The script: the pages work without it.
pub(in crate::web) const SCRIPT: Asset =
    Asset { name: "page.js", media_type: "text/javascript; charset=utf-8", text: SCRIPT_TEXT };
/// The icon of the tab.
pub(in crate::web) const ICON: Asset =
    Asset { name: "icon.svg", media_type: "image/svg+xml", text: ICON_TEXT };

const STYLE_TEXT: &str = include_str!("../../../templates/page.css");
const SCRIPT_TEXT: &str = include_str!("../../../templates/page.js");
const ICON_TEXT: &str = include_str!("../../../templates/icon.svg");

/// A file that is part of the program; shown, it is its path.
#[derive(Debug, Clone, Copy)]
pub(in crate::web) struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        write!(f, "{ASSETS}{}?v={:016x}", self.name, hasher.finish())
    }
}

/// The file at a path below [`ASSETS`]; `None`: there is none.
pub(in crate::web) fn answer(path: &str) -> Option<Response> {
    let name = path.strip_prefix(ASSETS).unwrap_or_default();
    let asset = [STYLE, SCRIPT, ICON].into_iter().find(|asset| asset.name == name)?;
    let response = Response::new(StatusCode::OK, asset.media_type, asset.text);
    let cached = HeaderValue::from_static("private, max-age=31536000, immutable");
    Some(response.with_header(header::CACHE_CONTROL, cached))
}

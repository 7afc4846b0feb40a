//! The answers where there is nothing: for a browser a page with a way back, for anybody else a line.

use hyper::StatusCode;

use super::{App, internal_error, json};
use crate::web::api;
use crate::web::pages::absent;
use crate::web::paths;
use crate::web::server::{Request, Response};
use mail::text;

/// Below this, everything is JSON.
const API: &str = "/api/";

impl App {
    /// No page has this path.
    pub(super) fn no_page(&self, request: &Request, hint: &str) -> Response {
        if request.path.starts_with(API) {
            return json(StatusCode::NOT_FOUND, &api::Problem::new(hint.to_owned()));
        }
        if !prefers_html(request) {
            return Response::not_found(format!("{hint}\n"));
        }
        let words = format!("There is no page {}", text::shown(request.path.as_bytes()));
        // Perhaps a name was typed without what stands before it.
        let name = request.path.rfind('/').and_then(|at| request.path.split_at_checked(at + 1));
        let name = name.and_then(|(parent, _)| paths::target_name(&request.path, parent));
        self.page_of_nothing(&words, name.as_deref())
    }

    /// No target has this name; `hint` says so in one line.
    pub(super) fn nobody(&self, request: &Request, name: &str) -> Response {
        if !prefers_html(request) {
            return Response::not_found(format!("{}\n", self.no_target(name)));
        }
        let words = format!("There is no target {}", text::shown(name.as_bytes()));
        self.page_of_nothing(&words, Some(name))
    }

    /// A page with a way back, and to the targets whose names are like this one.
    fn page_of_nothing(&self, words: &str, name: Option<&str>) -> Response {
        let config = self.supervisor.config();
        let likes = name.map(|name| config.targets_like(name)).unwrap_or_default();
        match absent::page(self.mount.links(), words, &likes) {
            Ok(page) => Response::html(StatusCode::NOT_FOUND, page),
            Err(error) => internal_error(&error),
        }
    }
}

/// Whether a person reads the answer: browsers ask for HTML by name, and programs do not.
fn prefers_html(request: &Request) -> bool {
    let mut accepted = request.accept.as_deref().unwrap_or_default().split(',');
    accepted.any(|range| {
        let media_type = range.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case("text/html")
    })
}

//! The answers where there is nothing: for a browser a page with a way back, for anybody else a line.

use hyper::StatusCode;

use super::{App, internal_error, json};
use crate::web::api;
use crate::web::pages::absent;
use crate::web::paths::{self, SVG};
use crate::web::server::{Request, Response};
use mail::text;

/// Below this, everything is JSON.
const API: &str = "/api/";

impl App {
    /// No page has this path of a request.
    pub(super) fn nothing_here(&self, request: &Request) -> Response {
        let home = self.mount.links();
        self.no_page(request, &format!("{home}/ links to those that exist"))
    }

    /// No page has this path; `hint` says where there are some.
    pub(super) fn no_page(&self, request: &Request, hint: &str) -> Response {
        let path = text::shown(request.path.as_bytes());
        let words = format!("There is no page {path}; {hint}");
        self.missing(request, &format!("no such page; {hint}"), &words, last_part(&request.path))
    }

    /// The path needs the name of a target; `hint` says how, and begins in lower case.
    pub(super) fn unnamed(&self, request: &Request, hint: &str) -> Response {
        let (first, rest) = hint.split_at_checked(1).unwrap_or(("", hint));
        let words = format!("{}{rest}", first.to_uppercase());
        let name = last_part(request.path.strip_suffix(SVG).unwrap_or(&request.path));
        self.missing(request, hint, &words, name)
    }

    /// No target has this name.
    pub(super) fn nobody(&self, request: &Request, name: &str) -> Response {
        let words = format!("There is no target {}", text::shown(name.as_bytes()));
        self.missing(request, &self.no_target(name), &words, Some(name.to_owned()))
    }

    /// For programs a line, and below [`API`] JSON; for a browser a page with a way back, and to the targets
    /// whose names are like `name`.
    fn missing(
        &self,
        request: &Request,
        line: &str,
        words: &str,
        name: Option<String>,
    ) -> Response {
        if request.path.starts_with(API) {
            return json(StatusCode::NOT_FOUND, &api::Problem::new(line.to_owned()));
        }
        if !prefers_html(request) {
            return Response::not_found(format!("{line}\n"));
        }
        let config = self.supervisor.config();
        let likes = name.map(|name| config.targets_like(name.trim_end_matches('/')));
        match absent::page(self.links(request), words, &likes.unwrap_or_default()) {
            Ok(page) => Response::html(StatusCode::NOT_FOUND, page),
            Err(error) => internal_error(&error),
        }
    }
}

/// What stands behind the last slash: perhaps a name was typed without what stands before it.
fn last_part(path: &str) -> Option<String> {
    let (parent, _) = path.split_at_checked(path.rfind('/')? + 1)?;
    paths::target_name(path, parent)
}

/// Whether a person reads the answer: browsers ask for HTML by name, and programs do not.
fn prefers_html(request: &Request) -> bool {
    let mut accepted = request.accept.as_deref().unwrap_or_default().split(',');
    accepted.any(|range| {
        let media_type = range.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case("text/html")
    })
}

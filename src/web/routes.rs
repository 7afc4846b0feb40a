//! The endpoints: from a request to a response, without a socket.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | the status page: every target with its measures; `search`, `state`, `sort` and `page` choose |
//! | `GET /targets/NAME` | the page of one target; 404 with the nearest names for an unknown one, as a page for browsers |
//! | `GET /assets/NAME` | what the pages load: style, script and icon |
//! | `GET /api/targets`, `GET /api/targets/NAME` | the same as JSON |
//! | `GET /api/targets/NAME/history` | how one target was over the latest hours and days, as JSON |
//! | `GET /api/history?name=NAME` | the same, also for names that no path can hold |
//! | `GET /badge/NAME.svg` | a small picture of that; `range` and `side` choose |
//! | `GET /metrics` | the metrics of all targets and of the exporter; `--web.telemetry-path` moves it |
//! | `GET /metrics?targets=none` | those of the exporter alone |
//! | `GET /probe?target=NAME` | those of one target alone, from memory; 404 for an unknown one |
//! | `GET /runbook` | what to do about each alert |
//! | `GET /docs`, `GET /docs/NAME` | the documentation; `search` finds sections |
//! | `GET /sd` | the targets for `http_sd_configs` of Prometheus |
//! | `GET /config` | the running configuration without its secrets, not for everybody |
//! | `GET /-/healthy` | 200: the process answers |
//! | `GET /-/ready` | 200: the targets are being tested |
//! | `POST`, `PUT /-/reload` | reads the configuration again, with `--web.enable-lifecycle` |
//!
//! All of them are below the prefix of [`Mount::routes`], to which `/` leads.
//!
//! HEAD is answered wherever GET is. Every answer comes from memory; none waits for a mail server.

use std::sync::Arc;
use std::time::SystemTime;

use hyper::header::{self, HeaderValue};
use hyper::{Method, StatusCode};
use tracing::error;

use super::api::{self, discovery::TargetGroup, history::HistoryReport, listing::Listing};
use super::badge;
use super::elsewhere::Elsewhere;
use super::mount::Mount;
use super::pages::{assets, docs, runbook, status, target};
use super::paths::{self, BADGES, HISTORY_BY_NAME, SVG, TARGET_PAGES, TARGET_REPORTS};
use super::server::negotiation::Format;
use super::server::{Request, Response};
use crate::metrics::{self, ExporterFacts};
use crate::supervisor::{Supervisor, Views};
use mail::text;
use mail::threads;

/// Answers over more targets than this are made off the threads that also send and look for mail.
const MANY_TARGETS: usize = 500;

/// The same of the status page, which takes more time for each.
const MANY_ROWS: usize = 50;

/// The paths that are read with GET, beside the metrics and the targets.
const PAGES: [&str; 10] = [
    "/",
    "/probe",
    "/sd",
    "/runbook",
    docs::DOCS,
    "/config",
    "/-/healthy",
    "/-/ready",
    ALL_TARGETS,
    HISTORY_BY_NAME,
];

/// The most outstanding mails of a target that are listed one by one.
const OUTSTANDING: usize = 20;

/// All targets as JSON.
const ALL_TARGETS: &str = "/api/targets";

/// What answers requests. There is one only while a supervisor runs, so it is always ready.
pub struct App {
    /// The targets.
    pub supervisor: Arc<Supervisor>,
    /// Where the pages are.
    pub mount: Mount,
    /// Where else there is something to see of a target.
    pub elsewhere: Elsewhere,
    /// The path of the metrics, as `/metrics`; not the path of another page.
    pub telemetry_path: String,
    /// Whether `/-/reload` reloads.
    pub enable_lifecycle: bool,
    /// Whether `/config` and transcripts are shown to everybody.
    pub enable_details: bool,
}

impl App {
    /// Answers one request.
    pub async fn answer(&self, mut request: Request) -> Response {
        let Some(path) = self.mount.route(&request.path) else { return self.outside(&request) };
        request.path = path.to_owned();
        self.inside(request).await
    }

    /// The answer where the path does not begin with the prefix: a way to what does.
    fn outside(&self, request: &Request) -> Response {
        let home = format!("{}/", self.mount.routes());
        match (&request.method, request.path.as_str()) {
            (&Method::GET, "/") => match HeaderValue::from_str(&home) {
                Ok(location) => Response::text(StatusCode::FOUND, format!("see {home}\n"))
                    .with_header(header::LOCATION, location),
                Err(error) => internal_error(&error),
            },
            (_, "/") => Response::method_not_allowed("GET, HEAD"),
            _ => self.no_page(request, &format!("all pages are below {home}")),
        }
    }

    /// The answer to a request whose path has lost its prefix.
    async fn inside(&self, request: Request) -> Response {
        match (&request.method, request.path.as_str()) {
            (&Method::GET, "/") => self.status(&request).await,
            (&Method::GET, "/probe") => self.probe(&request),
            (&Method::GET, "/sd") => self.discovery().await,
            (&Method::GET, "/runbook") => self.runbook(&request),
            (&Method::GET, path) if is_documentation(path) => self.documentation(&request),
            (&Method::GET, "/config") => self.config(&request),
            (&Method::GET, "/-/healthy") => Response::text(StatusCode::OK, "healthy\n"),
            (&Method::GET, "/-/ready") => Response::text(StatusCode::OK, "ready\n"),
            (&Method::GET, ALL_TARGETS) => self.listing().await,
            (&Method::GET, path) if path == self.telemetry_path => self.metrics(&request).await,
            (&Method::GET, HISTORY_BY_NAME) => {
                self.history(request.parameter("name").map(str::to_owned))
            }
            (&Method::GET, path) if path.starts_with(assets::ASSETS) => {
                assets::answer(path).unwrap_or_else(|| self.nothing_here(&request))
            }
            (&Method::GET, path) if path.starts_with(TARGET_PAGES) => self.target(&request),
            (&Method::GET, path) if path.starts_with(BADGES) => self.badge(&request),
            (&Method::GET, path) if path.starts_with(TARGET_REPORTS) => {
                match paths::without_history(path) {
                    Some(parent) => self.history(paths::target_name(parent, TARGET_REPORTS)),
                    None => self.report(&request),
                }
            }
            (&Method::POST | &Method::PUT, "/-/reload") => self.reload().await,
            (_, "/-/reload") => Response::method_not_allowed("POST, PUT"),
            (_, path) if path == self.telemetry_path || is_page(path) => {
                Response::method_not_allowed("GET, HEAD")
            }
            _ => self.nothing_here(&request),
        }
    }

    async fn status(&self, request: &Request) -> Response {
        let (mount, telemetry_path) = (self.mount.clone(), self.telemetry_path.clone());
        let shows_config = self.shows_details(request);
        let query = status::Query::of(request);
        self.compute(MANY_ROWS, move |supervisor| {
            let base = mount.links();
            let links = status::Links { base, telemetry_path: &telemetry_path, shows_config };
            match status::page(supervisor, links, &query, SystemTime::now()) {
                Ok(page) => Response::html(StatusCode::OK, page),
                Err(error) => internal_error(&error),
            }
        })
        .await
    }

    async fn metrics(&self, request: &Request) -> Response {
        let has_targets = match request.parameter("targets") {
            None | Some("all") => true,
            Some("none") => false,
            Some(_) => {
                let text = "the parameter `targets` is `all` or `none`\n";
                return Response::text(StatusCode::BAD_REQUEST, text);
            }
        };
        let (accept, mount) = (request.accept.clone(), self.mount.clone());
        self.compute(MANY_TARGETS, move |supervisor| {
            let views = if has_targets { supervisor.views() } else { Views::default() };
            let facts = ExporterFacts::of(supervisor, mount.external_url());
            metrics_response(accept.as_deref(), views, Some(facts))
        })
        .await
    }

    fn probe(&self, request: &Request) -> Response {
        let Some(name) = request.parameter("target") else {
            let base = self.mount.links();
            let hint =
                format!("name a target, as {base}/probe?target=NAME; the status page lists them");
            return self.unnamed(request, &hint);
        };
        let Some(view) = self.supervisor.view(name) else {
            return self.nobody(request, name);
        };
        metrics_response(request.accept.as_deref(), [view].into_iter().collect(), None)
    }

    /// The targets for Prometheus to find.
    async fn discovery(&self) -> Response {
        self.compute(MANY_TARGETS, |supervisor| {
            let config = supervisor.config();
            let groups: Vec<_> =
                config.targets.values().map(|target| TargetGroup::new(target)).collect();
            json(StatusCode::OK, &groups)
        })
        .await
    }

    /// The page of one target.
    fn target(&self, request: &Request) -> Response {
        let Some(name) = target_name(request, TARGET_PAGES) else {
            let base = self.mount.links();
            let hint = format!("name a target, as {base}/targets/NAME; {base}/ lists them");
            return self.unnamed(request, &hint);
        };
        let Some(details) = self.supervisor.details(&name, OUTSTANDING) else {
            return self.nobody(request, &name);
        };
        let setting = target::Setting {
            links: self.links(request),
            elsewhere: &self.elsewhere,
            shows_transcripts: self.shows_details(request),
            lately: self.supervisor.lag().lately(),
        };
        match target::page(&details, setting, SystemTime::now()) {
            Ok(page) => Response::html(StatusCode::OK, page),
            Err(error) => internal_error(&error),
        }
    }

    fn runbook(&self, request: &Request) -> Response {
        match runbook::page(self.links(request)) {
            Ok(page) => Response::html(StatusCode::OK, page),
            Err(error) => internal_error(&error),
        }
    }

    /// The list of all documents, or one of them.
    fn documentation(&self, request: &Request) -> Response {
        let links = self.links(request);
        let page = match request.path.trim_end_matches('/') {
            docs::DOCS => docs::contents(links, request.parameter("search").unwrap_or_default()),
            path => match docs::page(links, path) {
                Some(page) => page,
                None => {
                    let base = self.mount.links();
                    return self.no_page(request, &format!("{base}/docs lists the documents"));
                }
            },
        };
        match page {
            Ok(page) => Response::html(StatusCode::OK, page),
            Err(error) => internal_error(&error),
        }
    }

    /// One target as JSON.
    fn report(&self, request: &Request) -> Response {
        let Some(name) = target_name(request, TARGET_REPORTS) else {
            let base = self.mount.links();
            let problem = api::Problem::new(format!("name a target, as {base}/api/targets/NAME"));
            return json(StatusCode::NOT_FOUND, &problem);
        };
        let Some(details) = self.supervisor.details(&name, OUTSTANDING) else {
            return json(StatusCode::NOT_FOUND, &api::Problem::new(self.no_target(&name)));
        };
        let (base, shows_transcripts) = (self.mount.links(), self.shows_details(request));
        let report = api::Report::new(&details, base, shows_transcripts, SystemTime::now());
        json(StatusCode::OK, &report)
    }

    /// How a target was, as JSON.
    fn history(&self, name: Option<String>) -> Response {
        let Some(name) = name else {
            let base = self.mount.links();
            let problem = format!("name a target, as {base}/api/targets/NAME/history");
            return json(StatusCode::NOT_FOUND, &api::Problem::new(problem));
        };
        let Some(availability) = self.supervisor.availability(&name) else {
            return json(StatusCode::NOT_FOUND, &api::Problem::new(self.no_target(&name)));
        };
        let now = SystemTime::now();
        json(StatusCode::OK, &HistoryReport::new(&name, &availability, now))
    }

    /// The badge of one target. It may be shown by another page for a while.
    fn badge(&self, request: &Request) -> Response {
        let path = request.path.strip_suffix(SVG);
        let Some(name) = path.and_then(|path| paths::target_name(path, BADGES)) else {
            let base = self.mount.links();
            return self.unnamed(request, &format!("name a target, as {base}/badge/NAME.svg"));
        };
        let choice = match badge::Choice::of(request) {
            Ok(choice) => choice,
            Err(text) => return Response::text(StatusCode::BAD_REQUEST, text),
        };
        let known = self.supervisor.view(&name).zip(self.supervisor.availability(&name));
        let Some((view, availability)) = known else {
            return self.nobody(request, &name);
        };
        match badge::picture(&view, &availability, choice, SystemTime::now()) {
            Ok(picture) => Response::svg(picture),
            Err(error) => internal_error(&error),
        }
    }

    /// All targets as JSON.
    async fn listing(&self) -> Response {
        let mount = self.mount.clone();
        self.compute(MANY_TARGETS, move |supervisor| {
            let lately = supervisor.lag().lately();
            let listing = Listing::new(supervisor.views(), lately, mount.links().clone());
            Response::in_pieces("application/json", listing)
        })
        .await
    }

    /// The answer to a request for an unknown target.
    fn no_target(&self, name: &str) -> String {
        let config = self.supervisor.config();
        let likes: Vec<String> =
            config.targets_like(name).into_iter().map(|like| format!("`{like}`")).collect();
        let name = text::shown(name.as_bytes());
        match likes.as_slice() {
            [] => format!("there is no target `{name}`; the status page lists them"),
            likes => format!("there is no target `{name}`; did you mean {}?", likes.join(" or ")),
        }
    }

    fn config(&self, request: &Request) -> Response {
        if self.shows_details(request) {
            return Response::text(StatusCode::OK, self.supervisor.config().to_yaml());
        }
        let text = "the configuration is shown only to clients on this machine; to show it to \
                    others, set up users (--web.config.file) or start the exporter with \
                    --web.enable-details\n";
        Response::text(StatusCode::FORBIDDEN, text)
    }

    async fn reload(&self) -> Response {
        if !self.enable_lifecycle {
            let text = "reloading over HTTP is disabled: start the exporter with \
                        --web.enable-lifecycle, or send it SIGHUP\n";
            return Response::text(StatusCode::FORBIDDEN, text);
        }
        match self.supervisor.reload().await {
            Ok(()) => Response::text(StatusCode::OK, "the configuration was reloaded\n"),
            Err(problem) => {
                let text = format!("{problem}\nthe previous configuration stays in force\n");
                Response::text(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        }
    }

    /// Whether this client may see transcripts and the configuration.
    fn shows_details(&self, request: &Request) -> bool {
        self.enable_details || request.is_loopback || request.is_authenticated
    }

    /// What the pages link to for this client.
    fn links(&self, request: &Request) -> status::Links<'_> {
        status::Links {
            base: self.mount.links(),
            telemetry_path: &self.telemetry_path,
            shows_config: self.shows_details(request),
        }
    }

    /// An answer about all targets, made elsewhere if they are more than `most_here`.
    async fn compute(
        &self,
        most_here: usize,
        work: impl FnOnce(&Supervisor) -> Response + Send + 'static,
    ) -> Response {
        if self.supervisor.config().targets.len() <= most_here {
            return work(&self.supervisor);
        }
        let supervisor = Arc::clone(&self.supervisor);
        let answer = threads::run_or_here(move |_| work(&supervisor)).await;
        answer.unwrap_or_else(|error| internal_error(&error))
    }
}

/// The metrics of these targets, and of the exporter where its facts are given, in the format that `accept` prefers.
fn metrics_response(
    accept: Option<&str>,
    views: Views,
    exporter: Option<ExporterFacts>,
) -> Response {
    let format = Format::negotiate(accept);
    let pieces = metrics::pieces(views, exporter, format.syntax());
    Response::in_pieces(format.content_type(), pieces)
}

/// Whether something else than the metrics is, or may come to be, at this path.
pub fn is_taken(path: &str) -> bool {
    let families =
        [TARGET_PAGES, TARGET_REPORTS, BADGES].map(|family| family.trim_end_matches('/'));
    is_page(path)
        || families.contains(&path)
        || ["/-/", "/api/"].iter().any(|it| path.starts_with(it))
}

/// Whether a page is read with GET at this path, beside the metrics.
fn is_page(path: &str) -> bool {
    PAGES.contains(&path)
        || is_documentation(path)
        || [assets::ASSETS, TARGET_PAGES, TARGET_REPORTS, BADGES]
            .iter()
            .any(|it| path.starts_with(it))
}

fn is_documentation(path: &str) -> bool {
    path.strip_prefix(docs::DOCS).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The name of a target in the path, or, for those that no path can hold, in the query.
fn target_name(request: &Request, parent: &str) -> Option<String> {
    if request.path == parent {
        return request.parameter("name").map(str::to_owned);
    }
    paths::target_name(&request.path, parent)
}

fn json(status: StatusCode, answer: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(answer) {
        Ok(body) => Response::new(status, "application/json", body),
        Err(error) => internal_error(&error),
    }
}

fn internal_error(error: &dyn std::error::Error) -> Response {
    error!(error = %error, "page could not be rendered");
    Response::text(StatusCode::INTERNAL_SERVER_ERROR, "internal error, see the log\n")
}

mod nothing;
#[cfg(test)]
mod tests;

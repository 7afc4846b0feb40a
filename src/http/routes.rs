//! The endpoints: from a request to a response, without a socket.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | the status page: every target with its measures |
//! | `GET /metrics` | the metrics of all targets; `--web.telemetry-path` moves it |
//! | `GET /probe?target=NAME` | the metrics of one target, from memory; 404 for an unknown one |
//! | `GET /config` | the running configuration without its secrets, not for everybody |
//! | `GET /-/healthy` | 200: the process answers |
//! | `GET /-/ready` | 200: the targets are being tested |
//! | `POST`, `PUT /-/reload` | reads the configuration again, with `--web.enable-lifecycle` |
//!
//! HEAD is answered wherever GET is. Every answer comes from memory; none waits for a mail server.

use std::sync::Arc;
use std::time::SystemTime;

use hyper::{Method, StatusCode};
use tracing::error;

use super::encoding::metrics_response;
use super::message::{Request, Response};
use super::status;
use crate::mail::text;
use crate::metrics::{self, ExporterFacts};
use crate::supervisor::Supervisor;

/// Pages over more targets than this are made off the threads that also send and look for mail.
const MANY_TARGETS: usize = 500;

/// The paths that are read with GET, beside the metrics.
const PAGES: [&str; 5] = ["/", "/probe", "/config", "/-/healthy", "/-/ready"];

/// What answers requests. There is one only while a supervisor runs, so it is always ready.
pub struct App {
    /// The targets.
    pub supervisor: Arc<Supervisor>,
    /// The path of the metrics, as `/metrics`; not the path of another page.
    pub telemetry_path: String,
    /// Whether `/-/reload` reloads.
    pub enable_lifecycle: bool,
    /// Whether `/config` is shown to everybody.
    pub enable_details: bool,
}

impl App {
    /// Answers one request.
    pub async fn answer(&self, request: Request) -> Response {
        match (&request.method, request.path.as_str()) {
            (&Method::GET, "/") => self.status(&request).await,
            (&Method::GET, "/probe") => self.probe(&request),
            (&Method::GET, "/config") => self.config(&request),
            (&Method::GET, "/-/healthy") => Response::text(StatusCode::OK, "healthy\n"),
            (&Method::GET, "/-/ready") => Response::text(StatusCode::OK, "ready\n"),
            (&Method::GET, path) if path == self.telemetry_path => self.metrics(&request).await,
            (&Method::POST | &Method::PUT, "/-/reload") => self.reload().await,
            (_, "/-/reload") => Response::method_not_allowed("POST, PUT"),
            (_, path) if PAGES.contains(&path) || path == self.telemetry_path => {
                Response::method_not_allowed("GET, HEAD")
            }
            _ => Response::not_found("there is no such page; / has links to those that exist\n"),
        }
    }

    async fn status(&self, request: &Request) -> Response {
        let telemetry_path = self.telemetry_path.clone();
        let shows_config = self.shows_details(request);
        self.compute(move |supervisor| {
            let links = status::Links { telemetry_path: &telemetry_path, shows_config };
            match status::page(supervisor, links, SystemTime::now()) {
                Ok(page) => Response::html(StatusCode::OK, page),
                Err(error) => internal_error(&error),
            }
        })
        .await
    }

    async fn metrics(&self, request: &Request) -> Response {
        let accept = request.accept.clone();
        self.compute(move |supervisor| {
            let page = metrics::encode(&supervisor.views(), &ExporterFacts::of(supervisor));
            metrics_response(accept.as_deref(), page)
        })
        .await
    }

    fn probe(&self, request: &Request) -> Response {
        let Some(name) = request.parameter("target") else {
            let text = "name a target, as /probe?target=NAME; the status page lists them\n";
            return Response::not_found(text);
        };
        let Some(view) = self.supervisor.view(name) else {
            let name = text::shown(name.as_bytes());
            let text = format!("there is no target `{name}`; the status page lists them\n");
            return Response::not_found(text);
        };
        let page = metrics::encode(&[view], &ExporterFacts::of(&self.supervisor));
        metrics_response(request.accept.as_deref(), page)
    }

    fn config(&self, request: &Request) -> Response {
        if self.shows_details(request) {
            return Response::text(StatusCode::OK, self.supervisor.config().to_yaml());
        }
        let text = "the configuration is shown to clients of this machine only; for others the \
                    exporter needs users (--web.config.file) or --web.enable-details\n";
        Response::text(StatusCode::FORBIDDEN, text)
    }

    async fn reload(&self) -> Response {
        if !self.enable_lifecycle {
            let text = "reloading by HTTP is off: start the exporter with --web.enable-lifecycle, \
                        or send it SIGHUP\n";
            return Response::text(StatusCode::FORBIDDEN, text);
        }
        match self.supervisor.reload().await {
            Ok(()) => Response::text(StatusCode::OK, "the configuration was reloaded\n"),
            Err(problem) => {
                let text = format!("{problem}\nnothing has changed\n");
                Response::text(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        }
    }

    /// Whether this client may see what is not for everybody.
    fn shows_details(&self, request: &Request) -> bool {
        self.enable_details || request.is_loopback || request.is_authenticated
    }

    /// An answer about all targets.
    async fn compute(
        &self,
        work: impl FnOnce(&Supervisor) -> Response + Send + 'static,
    ) -> Response {
        if self.supervisor.config().targets.len() <= MANY_TARGETS {
            return work(&self.supervisor);
        }
        let supervisor = Arc::clone(&self.supervisor);
        let answer = tokio::task::spawn_blocking(move || work(&supervisor)).await;
        answer.unwrap_or_else(|error| internal_error(&error))
    }
}

fn internal_error(error: &dyn std::error::Error) -> Response {
    error!(error = %error, "a page could not be made");
    Response::text(StatusCode::INTERNAL_SERVER_ERROR, "internal error, see the log\n")
}

#[cfg(test)]
mod tests;

//! `oauth2` as written: checked, its files read.

use std::sync::Arc;

use mail::options::without_final_dot;

use super::reference::Home;
use super::section::{Report, Section};
use super::side::ca_file;
use super::source::Sources;
use super::{OAuth2, SecretSource, TlsOptions, TokenUrl, value, written};
use crate::config::yaml::Node;

/// The provider of a side; `None` with a problem reported. `section` is `oauth2` itself.
pub(super) fn provider(
    section: &Section<'_>,
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> Option<Arc<OAuth2>> {
    section.check_keys(Home::OAuth2, report);
    let token_url =
        section.require("token_url", "the provider's token endpoint", report, token_url);
    let client_id = section.require(
        "client_id",
        "the name of this client at the provider",
        report,
        value::line,
    );
    let scope = section.read("scope", report, value::line);
    let ca_file = ca_file(section, sources, report);
    let mut secret = |key: &str, report: &mut Report| -> Option<SecretSource> {
        let found = section.find(key)?;
        let read = |path: &str| sources.password_file(&found.place, path);
        report.accept(&found.place, written::path_of_secret(found.node).and_then(read))
    };
    let client_secret = secret("client_secret_file", report);
    let refresh_token = secret("refresh_token_file", report);
    if ["client_secret_file", "refresh_token_file"].iter().all(|key| section.find(key).is_none()) {
        let advice = "the secret of the client, or `refresh_token_file` for a client without one";
        section.miss("client_secret_file", advice, report);
        return None;
    }
    let tls_options = TlsOptions { ca_file, ..TlsOptions::default() };
    let (token_url, client_id) = (token_url?, client_id?);
    Some(Arc::new(OAuth2 {
        token_url,
        client_id,
        client_secret,
        scope,
        refresh_token,
        tls_options,
    }))
}

fn token_url(node: &Node) -> Result<TokenUrl, String> {
    let text = value::line(node)?;
    let form = || "must be written as https://host/path".to_owned();
    let Some((scheme, rest)) = text.split_once("://") else { return Err(form()) };
    if !scheme.eq_ignore_ascii_case("https") {
        return Err("must begin with https://: the secret of the client is sent there".to_owned());
    }
    let split = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(split).ok_or_else(form)?;
    if authority.contains('@') || path.contains('#') {
        return Err("must hold neither a user name nor a fragment".to_owned());
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must be ASCII without spaces; write other characters as %xx".to_owned());
    }
    let port_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port_digits(port) && (!host.contains(':') || host.ends_with(']')) => {
            let port = port.parse().ok().filter(|port| *port > 0);
            (host, port.ok_or("has no valid port")?)
        }
        _ => (authority, 443),
    };
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let host = value::parse_host(host)?;
    Ok(TokenUrl { host: without_final_dot(&host).to_owned(), port, path })
}

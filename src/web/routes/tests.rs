use std::path::Path;
use std::time::Duration;

use hyper::header::{self, HeaderMap};

use super::*;
use crate::config::{Config, TargetName};
use crate::probing::lag::Part;
use crate::probing::send::Origin;
use ledger::Token;

/// An exporter of two targets on a port where nobody listens.
async fn app() -> App {
    app_with("").await
}

/// The same with more at the top of its configuration.
async fn app_with(more: &str) -> App {
    let yaml = "state_dir: /nowhere\ndefaults: {host: 127.0.0.1, from: a@b.example, \
                to: a@b.example, receive: {protocol: imap, port: 9, username: u, \
                password: swordfish}, send: {port: 9}}\ntargets: [{name: one}, {name: 'b & c'}]\n";
    let config = Config::parse(&format!("{more}{yaml}"), Path::new("test.yml")).unwrap();
    let origin = Origin { instance: Token::random(), host: None };
    let supervisor = Supervisor::start(config, None, origin).await.unwrap();
    App {
        supervisor,
        mount: Mount::default(),
        elsewhere: Elsewhere::default(),
        telemetry_path: "/metrics".to_owned(),
        enable_lifecycle: false,
        enable_details: false,
    }
}

/// A request of a client on this machine.
fn request(method: Method, uri: &str) -> Request {
    let peer = "127.0.0.1:5".parse().unwrap();
    Request::new(&method, &uri.parse().unwrap(), &HeaderMap::new(), peer, false)
}

/// A request of another machine.
fn from_elsewhere(uri: &str) -> Request {
    Request { is_loopback: false, ..request(Method::GET, uri) }
}

fn body(response: &Response) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

fn content_type(response: &Response) -> &str {
    response.headers()[header::CONTENT_TYPE].to_str().unwrap()
}

async fn get(app: &App, uri: &str) -> Response {
    app.answer(request(Method::GET, uri)).await
}

#[tokio::test]
async fn the_status_page_lists_every_target_and_links_to_what_there_is() {
    let app = app().await;
    let page = get(&app, "/").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(content_type(&page).starts_with("text/html"));
    assert!(page.headers().contains_key(header::CONTENT_SECURITY_POLICY));
    for expected in ["one", "b &#38; c", "href=\"/metrics\"", "href=\"/config\""] {
        assert!(body(&page).contains(expected), "{expected} is missing in {}", body(&page));
    }
    let page = app.answer(from_elsewhere("/")).await;
    assert!(!body(&page).contains("href=\"/config\""), "a link that would be refused is shown");
}

#[tokio::test]
async fn metrics_of_all_targets_come_in_the_format_that_is_asked_for() {
    let app = app().await;
    let page = get(&app, "/metrics").await;
    assert!(content_type(&page).starts_with("text/plain; version=0.0.4"));
    assert!(body(&page).contains("mailtrip_target_info{"));
    let openmetrics = Some("application/openmetrics-text;version=1.0.0".to_owned());
    let page =
        app.answer(Request { accept: openmetrics, ..request(Method::GET, "/metrics") }).await;
    assert!(content_type(&page).starts_with("application/openmetrics-text"));
    for name in ["target=\"one\"", "target=\"b & c\"", "# EOF"] {
        assert!(body(&page).contains(name), "{name} is missing");
    }
}

#[tokio::test]
async fn from_where_it_tests_is_told_everywhere_if_the_configuration_says() {
    let (there, nowhere) = (app_with("location: <fra>\n").await, app().await);
    for (path, words) in [
        ("/", "from &#60;fra&#62;</span>"),
        ("/targets/one", "from &#60;fra&#62;</span>"),
        ("/api/targets", "\"location\":\"<fra>\""),
        ("/api/targets/one", "\"location\":\"<fra>\""),
        ("/sd", "\"__meta_mailtrip_label_location\":\"<fra>\""),
        ("/metrics", "mailtrip_interval_seconds{target=\"one\",location=\"<fra>\"}"),
        ("/probe?target=one", "location=\"<fra>\""),
        ("/metrics", "mailtrip_config_targets{location=\"<fra>\"} 2"),
    ] {
        let page = get(&there, path).await;
        assert!(body(&page).contains(words), "{path}: no {words}: {}", body(&page));
        assert!(!body(&get(&nowhere, path).await).contains(words), "{path}");
    }
    assert!(body(&get(&nowhere, "/api/targets").await).contains("\"location\":null"));
}

#[tokio::test]
async fn that_the_exporter_itself_was_late_is_told_where_its_values_are_read() {
    let (late, in_time) = (app().await, app().await);
    for _ in 0..200 {
        late.supervisor.lag().observe(Part::Timer, Duration::from_secs(1));
        in_time.supervisor.lag().observe(Part::Timer, Duration::from_millis(1));
    }
    for path in ["/", "/targets/one", "/api/targets"] {
        let words =
            "The exporter itself was late: in the latest 5 minutes its timers went off more";
        let page = get(&late, path).await;
        assert!(body(&page).contains(words), "{path}: {}", body(&page));
        assert!(!body(&get(&in_time, path).await).contains(words), "{path}");
    }
}

#[tokio::test]
async fn the_telemetry_path_moves_the_metrics() {
    let app = App { telemetry_path: "/mail/metrics".to_owned(), ..app().await };
    assert_eq!(get(&app, "/mail/metrics").await.status(), StatusCode::OK);
    assert_eq!(get(&app, "/metrics").await.status(), StatusCode::NOT_FOUND);
    assert!(body(&get(&app, "/").await).contains("href=\"/mail/metrics\""));
    let wrong = app.answer(request(Method::POST, "/mail/metrics")).await;
    assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED);
}

/// The series of a page.
fn series(page: &Response) -> impl Iterator<Item = &str> {
    body(page).lines().filter(|line| !line.starts_with('#'))
}

#[tokio::test]
async fn probe_has_one_target_and_nothing_else() {
    let app = app().await;
    let page = get(&app, "/probe?target=b+%26+c").await;
    assert_eq!(page.status(), StatusCode::OK);
    let count = series(&page).count();
    let of_target = series(&page).filter(|line| line.contains("target=\"b & c\"")).count();
    assert!(count > 10 && of_target == count, "{}", body(&page));
}

#[tokio::test]
async fn metrics_without_targets_are_those_of_the_exporter() {
    let app = app().await;
    let page = get(&app, "/metrics?targets=none").await;
    for name in ["mailtrip_build_info", "process_start_time_seconds"] {
        assert!(series(&page).any(|line| line.starts_with(name)), "no {name}: {}", body(&page));
    }
    assert!(!body(&page).contains("target=\"") && !body(&page).contains("ability"));
    assert!(body(&get(&app, "/metrics?targets=all").await).contains("target=\"one\""));
    let wrong = get(&app, "/metrics?targets=one").await;
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    assert!(body(&wrong).contains("`all` or `none`"), "{}", body(&wrong));
}

#[tokio::test]
async fn discovery_has_every_target_with_what_its_configuration_says() {
    let yaml = "defaults: {from: a@b.example, to: a@b.example, receive: {protocol: pop3, username: \
                u, password: swordfish}}\ntargets:\n- {name: 'b & \"c\"/%', host: mx.example, \
                interval: 90s, passive: true, cluster: corp, labels: {site: \"f\\\"r\\\\a\", \
                empty: ''}}\n- {name: a, host: mx.example, receive: {host: '::1'}}\n";
    let config = Config::parse(yaml, Path::new("test.yml")).unwrap();
    let origin = Origin { instance: Token::random(), host: None };
    let supervisor = Supervisor::start(config, None, origin).await.unwrap();
    let app = App { supervisor, ..app().await };
    let found = get(&app, "/sd").await;
    assert_eq!(found.status(), StatusCode::OK);
    let expected = serde_json::json!([
        {"targets": ["a"], "labels": {
            "__meta_mailtrip_interval": "5m",
            "__meta_mailtrip_passive": "false",
            "__meta_mailtrip_protocol": "pop3",
            "__meta_mailtrip_receive_host": "::1",
            "__meta_mailtrip_send_host": "mx.example",
        }},
        {"targets": ["b & \"c\"/%"], "labels": {
            "__meta_mailtrip_interval": "1m30s",
            "__meta_mailtrip_label_site": "f\"r\\a",
            "__meta_mailtrip_mail_cluster": "corp",
            "__meta_mailtrip_passive": "true",
            "__meta_mailtrip_protocol": "pop3",
            "__meta_mailtrip_receive_host": "mx.example",
            "__meta_mailtrip_send_host": "mx.example",
        }},
    ]);
    assert_eq!(json(&found), expected);
    assert_eq!(body(&found), body(&get(&app, "/sd").await), "always in the same order");
}

#[tokio::test]
async fn probe_of_no_target_says_what_to_do() {
    let app = app().await;
    let unknown = get(&app, "/probe?target=two%0a%1b[31m").await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    let expected = "there is no target `two\\u{a}\\u{1b}[31m`; the status page lists them\n";
    assert_eq!(body(&unknown), expected);
    for uri in ["/probe", "/probe?name=one"] {
        let missing = get(&app, uri).await;
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
        assert!(body(&missing).contains("/probe?target=NAME"), "{}", body(&missing));
    }
}

#[tokio::test]
async fn a_running_exporter_is_healthy_and_ready() {
    let app = app().await;
    for uri in ["/-/healthy", "/-/ready"] {
        assert_eq!(get(&app, uri).await.status(), StatusCode::OK, "{uri}");
    }
}

#[tokio::test]
async fn the_configuration_is_shown_without_its_secrets_and_not_to_everybody() {
    let app = app().await;
    let page = get(&app, "/config").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(content_type(&page).starts_with("text/plain"));
    assert!(body(&page).contains("name: one") && body(&page).contains("<secret>"));
    assert!(!body(&page).contains("swordfish"));
    let refused = app.answer(from_elsewhere("/config")).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(body(&refused).contains("--web.enable-details"), "{}", body(&refused));
    assert!(!body(&refused).contains("one"));
    let known = Request { is_authenticated: true, ..from_elsewhere("/config") };
    assert_eq!(app.answer(known).await.status(), StatusCode::OK);
    let open = App { enable_details: true, ..app };
    assert_eq!(open.answer(from_elsewhere("/config")).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_reload_needs_the_flag_and_the_right_method() {
    let app = app().await;
    for method in [Method::POST, Method::PUT] {
        let refused = app.answer(request(method, "/-/reload")).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        assert!(body(&refused).contains("--web.enable-lifecycle"), "{}", body(&refused));
    }
    for method in [Method::GET, Method::DELETE] {
        let wrong = app.answer(request(method, "/-/reload")).await;
        assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(wrong.headers()[header::ALLOW], "POST, PUT");
    }
    assert!(app.supervisor.reload_state().is_successful, "a refused reload is none");
}

#[tokio::test]
async fn a_reload_that_fails_says_why() {
    let app = App { enable_lifecycle: true, ..app().await };
    let failed = app.answer(request(Method::POST, "/-/reload")).await;
    assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(body(&failed).contains("there is no configuration file to reload"));
    assert!(body(&get(&app, "/").await).contains("The configuration could not be reloaded"));
}

#[tokio::test]
async fn other_methods_and_paths_are_told_so() {
    let app = app().await;
    for uri in
        ["/", "/metrics", "/probe", "/sd", "/runbook", "/docs", "/config", "/-/healthy", "/-/ready"]
    {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let wrong = app.answer(request(method, uri)).await;
            assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED, "{uri}");
            assert_eq!(wrong.headers()[header::ALLOW], "GET, HEAD", "{uri}");
        }
    }
    for uri in ["/metrics/", "//", "/index.html", "/-/quit", "/%6detrics"] {
        assert_eq!(get(&app, uri).await.status(), StatusCode::NOT_FOUND, "{uri}");
    }
}

#[tokio::test]
async fn everything_is_below_the_prefix_and_links_begin_with_the_external_path() {
    let (url, prefix) = ("https://h.test/out".parse().unwrap(), "/in/side".parse().unwrap());
    let app = App { mount: Mount::new(Some(&url), Some(&prefix)), ..app().await };
    let paths = [
        "/",
        "/metrics",
        "/targets/one",
        "/api/targets",
        "/sd",
        "/runbook",
        "/docs/install",
        "/-/healthy",
    ];
    for path in paths {
        let page = get(&app, &format!("/in/side{path}")).await;
        assert_eq!(page.status(), StatusCode::OK, "{path}");
        for attribute in ["href", "src", "action"] {
            let begin = format!(" {attribute}=\"");
            let mut links = body(&page).split(&begin).skip(1);
            let lost = |link: &&str| !link.starts_with("/out/") && !link.starts_with('#');
            assert_eq!(links.find(lost), None, "{path}");
        }
        if path != "/" {
            let outside = get(&app, path).await;
            assert_eq!(outside.status(), StatusCode::NOT_FOUND, "{path}");
            assert!(body(&outside).contains("all pages are below /in/side/"));
        }
    }
    assert_eq!(get(&app, "/in/side").await.status(), StatusCode::OK);
    let home = get(&app, "/").await;
    assert_eq!(
        (home.status(), &home.headers()[header::LOCATION]),
        (StatusCode::FOUND, &HeaderValue::from_static("/in/side/"))
    );
    let wrong = app.answer(request(Method::POST, "/")).await;
    assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED);
    let listing = json(&get(&app, "/in/side/api/targets").await);
    assert_eq!(listing["targets"][1]["path"], "/out/api/targets/one");
    for (path, hint) in [
        ("/in/side/nowhere", "/out/ links to"),
        ("/in/side/probe", "/out/probe?target=NAME"),
        ("/in/side/targets/", "/out/targets/NAME"),
        ("/in/side/api/targets/", "/out/api/targets/NAME"),
    ] {
        assert!(body(&get(&app, path).await).contains(hint), "{path}");
    }
    for path in ["/in/side/metrics", "/in/side/metrics?targets=none"] {
        let info = "\nmailtrip_web_info{external_url=\"https://h.test/out\"} 1";
        assert!(body(&get(&app, path).await).contains(info), "{path}");
    }
    let probe = get(&app, "/in/side/probe?target=one").await;
    assert!(!body(&probe).contains("mailtrip_web_info"));
}

#[tokio::test]
async fn without_an_absolute_address_none_is_reported() {
    let url = "/out".parse().unwrap();
    for mount in [Mount::default(), Mount::new(Some(&url), None)] {
        let path = format!("{}/metrics", mount.routes());
        let app = App { mount, ..app().await };
        assert!(!body(&get(&app, &path).await).contains("mailtrip_web_info"));
    }
}

/// An exporter of targets with these names.
async fn app_of(names: &[&str]) -> App {
    let mut yaml = "defaults: {host: 127.0.0.1, from: a@b.example, to: a@b.example, receive: \
                    {protocol: imap, port: 9, username: u, password: swordfish}, send: {port: 9}}\n\
                    targets:\n"
        .to_owned();
    for name in names {
        yaml += &format!("- {{name: '{}'}}\n", name.replace('\'', "''"));
    }
    let config = Config::parse(&yaml, Path::new("test.yml")).unwrap();
    let origin = Origin { instance: Token::random(), host: None };
    App { supervisor: Supervisor::start(config, None, origin).await.unwrap(), ..app().await }
}

fn json(response: &Response) -> serde_json::Value {
    assert_eq!(content_type(response), "application/json");
    serde_json::from_slice(response.body()).unwrap()
}

#[tokio::test]
async fn every_name_that_a_target_may_have_leads_to_its_page() {
    let names = [
        "plain",
        "a b",
        "a/b",
        "a%2Fb",
        "100 %",
        "what?",
        "a#b",
        "a+b",
        "<b>\"x\"</b> & 'y'",
        "Grüße 👋",
        "..",
        ".",
        "a;b=c",
        "\u{202e}gnp",
    ];
    let app = app_of(&names).await;
    let listing = json(&get(&app, "/api/targets").await);
    let status = get(&app, "/").await;
    for name in names {
        let name = TargetName::new(name).unwrap();
        let link = paths::of_target(TARGET_PAGES, &name);
        assert!(body(&status).contains(&format!("<a href=\"{link}\">")), "no link to {name}");
        assert_eq!(get(&app, &link).await.status(), StatusCode::OK, "{link}");
        let of_name = |one: &&serde_json::Value| one["name"] == name.as_str();
        let entry = listing["targets"].as_array().unwrap().iter().find(of_name).unwrap();
        let report = get(&app, entry["path"].as_str().unwrap()).await;
        assert_eq!(report.status(), StatusCode::OK, "{entry}");
        assert_eq!(json(&report)["name"], name.as_str());
    }
}

#[tokio::test]
async fn a_target_that_is_not_there_is_answered_with_the_nearest_names() {
    let app = app_of(&["mailserver", "mailserver-2", "relay"]).await;
    let expected = "there is no target `mailservr`; did you mean `mailserver`";
    let page = get(&app, "/targets/mailservr").await;
    assert_eq!(page.status(), StatusCode::NOT_FOUND);
    assert!(body(&page).starts_with(expected), "{}", body(&page));
    let report = get(&app, "/api/targets/mailservr").await;
    assert_eq!(report.status(), StatusCode::NOT_FOUND);
    assert!(json(&report)["error"].as_str().unwrap().starts_with(expected));
    for (uri, words) in [
        ("/targets/zzz%0a%1b%5b31m", "`zzz\\u{a}\\u{1b}[31m`; the status page lists them"),
        ("/targets/", "/targets/NAME"),
        ("/targets/%ff", "/targets/NAME"),
        ("/targets/?name=relais", "did you mean `relay`?"),
    ] {
        let page = get(&app, uri).await;
        assert_eq!(page.status(), StatusCode::NOT_FOUND, "{uri}");
        assert!(body(&page).contains(words), "{uri}: {}", body(&page));
    }
    let long = format!("/targets/{}", "x".repeat(10_000));
    assert!(body(&get(&app, &long).await).len() < 700, "what is echoed is cut");
}

#[tokio::test]
async fn transcripts_are_not_for_everybody() {
    let app = app().await;
    let refused = "Transcripts are shown only to clients on the exporter&#39;s own machine";
    let is_shown = |page: &Response| !body(page).contains(refused);
    let own = get(&app, "/targets/one").await;
    assert!(is_shown(&own) && json(&get(&app, "/api/targets/one").await)["transcripts"].is_array());
    let page = app.answer(from_elsewhere("/targets/one")).await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(!is_shown(&page) && body(&page).contains("--web.enable-details"), "{}", body(&page));
    let report = app.answer(from_elsewhere("/api/targets/one")).await;
    assert!(json(&report)["transcripts"].is_null());
    let known = Request { is_authenticated: true, ..from_elsewhere("/targets/one") };
    assert!(is_shown(&app.answer(known).await));
    let open = App { enable_details: true, ..app };
    assert!(is_shown(&open.answer(from_elsewhere("/targets/one")).await));
    let report = open.answer(from_elsewhere("/api/targets/one")).await;
    assert!(json(&report)["transcripts"].is_array());
}

#[tokio::test]
async fn what_was_not_measured_is_null() {
    let app = app_of(&["one"]).await;
    let report = json(&get(&app, "/api/targets/one").await);
    for field in ["send_ability_percent", "roundtrip_seconds", "delivery_seconds", "cluster"] {
        assert!(report[field].is_null(), "{field}: {report}");
    }
    assert_eq!(report["roundtrip_absence"], "no_mail_yet");
    assert_eq!(report["late_messages"], 0);
    assert_eq!(report["interval_seconds"], 300.0);
    assert_eq!((&report["passive"], &report["send"]["port"]), (&false.into(), &9.into()));
    for method in [Method::POST, Method::DELETE] {
        for uri in ["/targets/one", "/api/targets", "/api/targets/one"] {
            let wrong = app.answer(request(method.clone(), uri)).await;
            assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED, "{uri}");
        }
    }
}

#[tokio::test]
async fn the_page_of_a_target_links_to_its_alerts_and_its_dashboard() {
    let plain = app().await;
    let page = get(&plain, "/targets/b%20%26%20c").await;
    assert!(!body(&page).contains("Alerts") && !body(&page).contains("Dashboard"));
    let elsewhere = Elsewhere {
        alerts: "https://a.test/#/alerts?filter={t=\"{target}\"}".parse().ok(),
        dashboard: "https://g.test/d/x?var-target={target}".parse().ok(),
    };
    let page = get(&App { elsewhere, ..plain }, "/targets/b%20%26%20c").await;
    for link in [
        "<a href=\"https://a.test/#/alerts?filter={t=&#34;b%20%26%20c&#34;}\">Alerts</a>",
        "<a href=\"https://g.test/d/x?var-target=b%20%26%20c\">Dashboard</a>",
    ] {
        assert!(body(&page).contains(link), "{link} is missing in {}", body(&page));
    }
}

#[tokio::test]
async fn the_history_of_a_target_is_json_and_unknown_ones_are_not_found() {
    let app = app().await;
    for (uri, name) in [
        ("/api/targets/one/history", "one"),
        ("/api/targets/b%20%26%20c/history", "b & c"),
        ("/api/history?name=one", "one"),
    ] {
        let answer = get(&app, uri).await;
        assert_eq!((answer.status(), content_type(&answer)), (StatusCode::OK, "application/json"));
        let history: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
        assert_eq!(history["name"], name);
        let ranges: Vec<_> = history["ranges"].as_array().unwrap().iter().collect();
        let names: Vec<_> = ranges.iter().map(|range| range["range"].as_str().unwrap()).collect();
        assert_eq!(names, ["24h", "7d", "30d"]);
        assert!(history["hours"].is_array() && history["outages"].is_array());
    }
    for uri in [
        "/api/targets/two/history",
        "/api/targets//history?name=one",
        "/api/targets/history",
        "/api/history",
        "/api/history?name=two",
    ] {
        let answer = get(&app, uri).await;
        assert_eq!(
            (answer.status(), content_type(&answer)),
            (StatusCode::NOT_FOUND, "application/json")
        );
    }
    let answer = app.answer(request(Method::POST, "/api/targets/one/history")).await;
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_badge_shows_name_and_state_and_nothing_that_runs() {
    let app = app().await;
    let badge = get(&app, "/badge/b%20%26%20c.svg").await;
    assert_eq!((badge.status(), content_type(&badge)), (StatusCode::OK, "image/svg+xml"));
    for expected in ["<title>b &#38; c: ", "aria-label=\"b &#38; c: ", ">b &#38; c</text>"] {
        assert!(body(&badge).contains(expected), "{expected} is missing in {}", body(&badge));
    }
    assert!(badge.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("'none'"));
    assert_eq!(badge.headers()[header::CACHE_CONTROL], "private, max-age=60");
    for (uri, status) in [
        ("/badge/one.svg?range=7d&side=receive", StatusCode::OK),
        ("/badge/one.svg?range=24h&side=both", StatusCode::BAD_REQUEST),
        ("/badge/one.svg?range=1y", StatusCode::BAD_REQUEST),
        ("/badge/one.svg?side=left", StatusCode::BAD_REQUEST),
        ("/badge/two.svg", StatusCode::NOT_FOUND),
        ("/badge/one", StatusCode::NOT_FOUND),
        ("/badge/.svg", StatusCode::NOT_FOUND),
        ("/badge/", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(get(&app, uri).await.status(), status, "{uri}");
    }
    assert!(is_taken("/badge") && is_taken("/badge/x.svg"), "no place for the metrics");
    let answer = app.answer(request(Method::POST, "/badge/one.svg")).await;
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
}

/// A request of a browser.
async fn browse(app: &App, uri: &str) -> Response {
    let accept = Some("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8".to_owned());
    app.answer(Request { accept, ..request(Method::GET, uri) }).await
}

#[tokio::test]
async fn a_browser_finds_the_way_back_from_where_there_is_nothing() {
    let mount = Mount::new(Some(&"/mail".parse().unwrap()), Some(&"/in".parse().unwrap()));
    let app = App { mount, ..app_of(&["mailserver", "a/b"]).await };
    for (path, words) in [
        ("/in/targets/mailsrver", "There is no target mailsrver."),
        ("/in/targets/?name=mailsrver", "There is no target mailsrver."),
        ("/in/probe?target=mailsrver", "There is no target mailsrver."),
        ("/in/targets/mailserver/", "There is no target mailserver/."),
        ("/in/badge/mailsrver.svg", "There is no target mailsrver."),
        ("/in/mailsrver", "There is no page /mailsrver; /mail/ links to those that exist."),
        ("/in/assets/none", "There is no page /assets/none; /mail/ links"),
        ("/in/probe", "Name a target, as /mail/probe?target=NAME; the status page lists them."),
        ("/in/badge/", "Name a target, as /mail/badge/NAME.svg."),
        ("/in/targets/%3Cb%3E", "There is no target &#60;b&#62;."),
        ("/in/targets/", "Name a target, as /mail/targets/NAME; /mail/ lists them."),
        ("/mailserver", "There is no page /mailserver; all pages are below /in/."),
    ] {
        let page = browse(&app, path).await;
        let text = body(&page);
        assert_eq!(
            (page.status(), content_type(&page)),
            (StatusCode::NOT_FOUND, "text/html; charset=utf-8")
        );
        assert!(text.contains(words) && text.contains("href=\"/mail/\""), "{path}: {text}");
        let is_meant =
            text.contains("Did you mean <a href=\"/mail/targets/mailserver\">mailserver</a>?");
        assert_eq!(is_meant, path.contains("mails"), "{path}: {text}");
        assert!(content_type(&get(&app, path).await).starts_with("text/plain"), "{path}");
    }
    for path in ["/in/api/targets/mailsrver", "/in/api/nothing", "/in/api/targets/"] {
        let answer = browse(&app, path).await;
        let kind = (answer.status(), content_type(&answer));
        assert_eq!(kind, (StatusCode::NOT_FOUND, "application/json"), "{path}");
    }
}

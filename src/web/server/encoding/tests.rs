use std::io::Read;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::{CounterWithExemplar, HistogramWithExemplars};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::*;

#[test]
fn prometheus_gets_openmetrics() {
    let accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                  application/openmetrics-text;version=0.0.1;q=0.5,\
                  text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                  text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    assert_eq!(Format::negotiate(Some(accept)), Format::OpenMetrics);
}

#[test]
fn the_format_follows_the_weights() {
    use Format::{OpenMetrics, Text};
    for (accept, expected) in [
        ("", Text),
        ("*/*", Text),
        ("text/html, */*;q=0.8", Text),
        ("application/openmetrics-text", OpenMetrics),
        ("application/openmetrics-text; version=0.0.1", OpenMetrics),
        ("Application/OpenMetrics-Text; Version=\"1.0.0\"; Q=0.2", OpenMetrics),
        ("application/openmetrics-text; version=2.0.0", Text),
        ("application/openmetrics-text;q=0", Text),
        ("application/openmetrics-text;q=0.0,text/plain;q=0", Text),
        ("application/openmetrics-text;q=x", Text),
        ("application/openmetrics-text;q=0.4,text/plain;q=0.5", Text),
        ("application/openmetrics-text;q=0.5,text/plain;q=0.499", OpenMetrics),
        ("application/openmetrics-text,text/plain", Text),
        ("application/openmetrics-text,text/plain;version=1.0.0", OpenMetrics),
        ("application/openmetrics-text,*/*", OpenMetrics),
        ("application/openmetrics-text;q=0.5,*/*", Text),
        ("text/plain;q=0.1,*/*,application/openmetrics-text;q=0.5", OpenMetrics),
    ] {
        assert_eq!(Format::negotiate(Some(accept)), expected, "{accept}");
    }
    assert_eq!(Format::negotiate(None), Text);
}

#[test]
fn gzip_is_sent_only_where_it_is_allowed() {
    for (accept, expected) in [
        (Some("gzip"), true),
        (Some("deflate, GZIP;q=0.1"), true),
        (Some("x-gzip"), true),
        (Some("*"), true),
        (Some("gzip;q=0, *"), false),
        (Some("gzip;q=0"), false),
        (Some("br, deflate"), false),
        (Some("*;q=0"), false),
        (Some(""), false),
        (None, false),
    ] {
        assert_eq!(accepts_gzip(accept), expected, "{accept:?}");
    }
}

#[tokio::test]
async fn a_compressed_body_is_the_same_body() {
    for length in [COMPRESS_FROM + 1, COMPRESS_ASIDE_FROM + 1] {
        let body = "mailtrip ".repeat(length / 9 + 1);
        let plain = Response::text(StatusCode::OK, body.clone());
        let response = compress(plain, Some("gzip")).await;
        assert_eq!(response.headers[header::CONTENT_ENCODING], "gzip");
        assert!(response.body.len() < body.len() / 10);
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&response.body[..]).read_to_string(&mut unpacked).unwrap();
        assert!(unpacked == body);
    }
}

#[tokio::test]
async fn a_short_body_and_an_encoded_one_stay_as_they_are() {
    let short = Response::text(StatusCode::OK, "x".repeat(COMPRESS_FROM));
    assert_eq!(compress(short, Some("gzip")).await.body.len(), COMPRESS_FROM);
    let encoded = Response::text(StatusCode::OK, "x".repeat(COMPRESS_FROM * 2))
        .with_header(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    assert_eq!(compress(encoded, Some("gzip")).await.headers[header::CONTENT_ENCODING], "br");
}

#[test]
fn what_the_library_writes_becomes_the_classic_format() {
    let mut registry = Registry::default();
    let sent = Family::<Vec<(String, String)>, Counter>::default();
    registry.register("sent", "Mails sent", sent.clone());
    sent.get_or_create(&vec![("target".into(), "a # {b=\"c\"} \\ \n}_created".into())]).inc();
    let age = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
    age.set(f64::NAN);
    registry.register_with_unit("age", "Age # of it", Unit::Seconds, age);
    registry.register("build", "The build", Info::new(vec![("version", "1.0")]));
    let marked = CounterWithExemplar::<Vec<(String, String)>>::default();
    marked.inc_by(3, Some(vec![("trace".into(), "x # y".into())]), None);
    registry.register("marked", "With an exemplar", marked);
    let delay = HistogramWithExemplars::<Vec<(String, String)>>::new([1.0].into_iter());
    delay.observe(0.5, Some(vec![("trace".into(), "z".into())]), None);
    registry.register("delay", "A histogram", delay);
    let mut openmetrics = String::new();
    encode(&mut openmetrics, &registry).unwrap();
    assert!(openmetrics.contains("# {trace="), "the exemplars are there: {openmetrics}");

    assert_eq!(
        classic_text(&openmetrics),
        "# HELP sent_total Mails sent.\n\
         # TYPE sent_total counter\n\
         sent_total{target=\"a # {b=\\\"c\\\"} \\\\ \\n}_created\"} 1\n\
         # HELP age_seconds Age # of it.\n\
         # TYPE age_seconds gauge\n\
         age_seconds NaN\n\
         # HELP build_info The build.\n\
         # TYPE build_info gauge\n\
         build_info{version=\"1.0\"} 1\n\
         # HELP marked_total With an exemplar.\n\
         # TYPE marked_total counter\n\
         marked_total 3\n\
         # HELP delay A histogram.\n\
         # TYPE delay histogram\n\
         delay_sum 0.5\n\
         delay_count 1\n\
         delay_bucket{le=\"1.0\"} 1\n\
         delay_bucket{le=\"+Inf\"} 1\n"
    );
}

#[test]
fn creation_times_go_and_names_that_only_look_so_stay() {
    let openmetrics = "# TYPE a counter\n\
                       a_total 1\n\
                       a_created 17.5\n\
                       a_created{x=\"}\"} 17.5\n\
                       # TYPE b_created gauge\n\
                       b_created 1\n\
                       # TYPE b gauge\n\
                       b_created 2\n\
                       # HELP c Of no type\n\
                       # TYPE c unknown\n\
                       c 1\n\
                       # EOF\n";
    assert_eq!(
        classic_text(openmetrics),
        "# TYPE a_total counter\n\
         a_total 1\n\
         # TYPE b_created gauge\n\
         b_created 1\n\
         # TYPE b gauge\n\
         b_created 2\n\
         # HELP c Of no type\n\
         # TYPE c untyped\n\
         c 1\n"
    );
}

#[test]
fn the_answer_to_a_scrape_says_its_format() {
    let openmetrics = || "# TYPE a counter\na_total 1\n# EOF\n".to_owned();
    let response = metrics_response(Some("application/openmetrics-text"), openmetrics());
    assert_eq!(
        response.headers[header::CONTENT_TYPE],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert_eq!(response.body, openmetrics());
    let response = metrics_response(None, openmetrics());
    assert_eq!(response.headers[header::CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(response.body, "# TYPE a_total counter\na_total 1\n");
}

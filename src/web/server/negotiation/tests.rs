use super::*;

/// What the answer to this header Accept says that it is.
fn answered(accept: &str) -> &'static str {
    Format::negotiate(Some(accept)).content_type()
}

/// The headers as the programs send them.
#[test]
fn each_scraper_gets_the_format_that_it_prefers() {
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    for (scraper, accept, expected) in [
        (
            "Prometheus 2.30",
            "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text; version=0.0.1; charset=utf-8".to_owned(),
        ),
        (
            "Prometheus 2.42",
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
             version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            format!("{OPENMETRICS}; escaping=underscores"),
        ),
        (
            "Prometheus 2.53",
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;\
             version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            format!("{OPENMETRICS}; escaping=underscores"),
        ),
        (
            "Prometheus 3.5",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,\
             */*;q=0.2",
            format!("{OPENMETRICS}; escaping=allow-utf-8"),
        ),
        (
            "Prometheus 3.5 that scrapes native histograms",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited;q=0.6,\
             application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=1.0.0;escaping=underscores;q=0.3,text/plain;version=0.0.4;q=0.2,\
             */*;q=0.1",
            format!("{OPENMETRICS}; escaping=underscores"),
        ),
        ("VictoriaMetrics", "text/plain;version=0.0.4;q=1,*/*;q=0.1", TEXT.to_owned()),
        ("curl", "*/*", TEXT.to_owned()),
        (
            "a browser",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,\
             image/apng,*/*;q=0.8",
            TEXT.to_owned(),
        ),
    ] {
        assert_eq!(answered(accept), expected, "{scraper}");
    }
    assert_eq!(Format::negotiate(None).content_type(), TEXT, "no header");
}

#[test]
fn the_format_follows_the_weights() {
    use Format::{OpenMetrics0, Text0};
    const OPENMETRICS: Format = Format::OpenMetrics1(Escaping::Underscores);
    const TEXT1: Format = Format::Text1(Escaping::Underscores);
    for (accept, expected) in [
        ("", Text0),
        ("text/html, */*;q=0.8", Text0),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text; version=0.0.1", OpenMetrics0),
        ("Application/OpenMetrics-Text; Version=\"1.0.0\"; Q=0.2", OPENMETRICS),
        ("application/openmetrics-text; version=2.0.0", Text0),
        ("application/openmetrics-text;q=0", Text0),
        ("application/openmetrics-text;q=0.0,text/plain;q=0", Text0),
        ("application/openmetrics-text;q=x", Text0),
        ("application/openmetrics-text;q=0.4,text/plain;q=0.5", Text0),
        ("application/openmetrics-text;q=0.5,text/plain;q=0.499", OPENMETRICS),
        ("application/openmetrics-text,text/plain", OPENMETRICS),
        ("text/plain,application/openmetrics-text", Text0),
        ("application/openmetrics-text;q=0.3,text/plain;version=1.0.0", TEXT1),
        ("text/plain;version=2.0.0", Text0),
        ("application/openmetrics-text,*/*", OPENMETRICS),
        ("application/openmetrics-text;q=0.5,*/*", Text0),
        ("text/plain;version=1.0.0;q=0.5,text/*", Text0),
        ("text/plain;q=0.1,*/*,application/openmetrics-text;q=0.5", OPENMETRICS),
    ] {
        assert_eq!(Format::negotiate(Some(accept)), expected, "{accept}");
    }
}

#[test]
fn the_answer_names_the_escaping_that_is_true_of_it() {
    for (asked, answer) in [
        ("", "underscores"),
        (";escaping=allow-utf-8", "allow-utf-8"),
        (";escaping=allow-utf8", "allow-utf-8"),
        (";escaping=underscores", "underscores"),
        (";escaping=values", "values"),
        // It would double the underscores of every name.
        (";escaping=dots", "underscores"),
        (";escaping=x\";q=1", "underscores"),
    ] {
        for kind in ["application/openmetrics-text", "text/plain"] {
            let answer = format!("{kind}; version=1.0.0; charset=utf-8; escaping={answer}");
            assert_eq!(answered(&format!("{kind};version=1.0.0{asked}")), answer, "{asked}");
        }
    }
    let older = answered("text/plain;version=0.0.4;escaping=values");
    assert_eq!(older, "text/plain; version=0.0.4; charset=utf-8");
}

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

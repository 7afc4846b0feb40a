use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::*;

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
    let delay = Histogram::new([1.0]);
    delay.observe(0.5);
    registry.register("delay", "A histogram", delay);
    let mut openmetrics = String::new();
    encode(&mut openmetrics, &registry).unwrap();

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

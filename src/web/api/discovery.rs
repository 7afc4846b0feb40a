//! The targets for the `http_sd_configs` of Prometheus. The names of the labels are public and
//! stable.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::Target;
use ledger::durations::Written;

/// What Prometheus shows of a target before relabelling begins with this.
const META: &str = "__meta_mailtrip_";

/// A target with what its configuration says of it.
#[derive(Serialize)]
pub(in crate::web) struct TargetGroup<'a> {
    targets: [&'a str; 1],
    labels: BTreeMap<String, Cow<'a, str>>,
}

impl<'a> TargetGroup<'a> {
    pub(in crate::web) fn new(target: &'a Target) -> Self {
        let receive = target.receive.as_ref();
        let own = [
            ("passive", if target.passive { "true" } else { "false" }.into()),
            ("mail_cluster", target.cluster.as_deref().unwrap_or_default().into()),
            ("protocol", receive.map_or("", |side| side.protocol.label()).into()),
            ("send_host", target.send.endpoint.name().into()),
            ("receive_host", receive.map_or("", |side| side.endpoint.name()).into()),
            ("interval", Written(target.interval).to_string().into()),
        ];
        let own = own.into_iter().map(|(name, value)| (format!("{META}{name}"), value));
        let configured = target.labels.iter();
        let configured = configured
            .map(|(name, value)| (format!("{META}label_{name}"), Cow::Borrowed(value.as_str())));
        Self {
            targets: [target.name.as_str()],
            // An empty label is none to Prometheus.
            labels: own.chain(configured).filter(|(_, value)| !value.is_empty()).collect(),
        }
    }
}

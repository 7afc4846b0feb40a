// The rules of ../prometheus and the dashboards of ../../grafana as a monitoring mixin. It reads those files: nothing
// is written here a second time.

local rules = import 'rules.libsonnet';

local alerting = rules.parse(importstr '../prometheus/mailtrip.alerts.rules.yml');
local hosts = rules.parse(importstr '../prometheus/mailtrip.host.rules.yml');
local recording = rules.parse(importstr '../prometheus/mailtrip.recording.rules.yml');

{
  _config+:: {
    // The layers of the mail hosts, for which agents run there: see "The host's own layers" in ../README.md.
    hostLayers: true,
    // Other limits for the alerts: the name of a recording rule and its expression, as in
    // { 'mailtrip:roundtrip_limit:seconds': 'vector(300)' }. The colours of the dashboards do not follow them.
    limits: {},
    dashboardTags: ['mail', 'mailtrip'],
    dashboardRefresh: '1m',
    dashboardFrom: 'now-6h',
  },

  local unknown = std.setDiff(std.objectFields($._config.limits), rules.records(alerting + hosts + recording)),
  assert unknown == [] : 'no such limit: ' + std.join(', ', unknown),

  // Recording rules that stand in a group of alerts stay there: the rules of a group are evaluated in their order.
  prometheusAlerts+:: {
    groups+: rules.withLimits($._config.limits, alerting + if $._config.hostLayers then hosts else []),
  },

  prometheusRules+:: {
    groups+: rules.withLimits($._config.limits, recording),
  },

  local dashboard(file) = file {
    tags: $._config.dashboardTags,
    refresh: $._config.dashboardRefresh,
    time+: { from: $._config.dashboardFrom },
  },

  grafanaDashboards+:: {
    'mail-servers.json': dashboard(import '../../grafana/mail-servers.json'),
    'mail-server.json': dashboard(import '../../grafana/mail-server.json'),
  },
}

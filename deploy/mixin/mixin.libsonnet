// The rules of ../prometheus and the dashboards of ../../grafana as a monitoring mixin. It reads those files: nothing
// is written here a second time.

local rules = import 'rules.libsonnet';

local alerting = rules.parse('mailtrip.alerts.rules.yml', importstr '../prometheus/mailtrip.alerts.rules.yml');
local hosts = rules.parse('mailtrip.host.rules.yml', importstr '../prometheus/mailtrip.host.rules.yml');
local recording = rules.parse('mailtrip.recording.rules.yml', importstr '../prometheus/mailtrip.recording.rules.yml');

{
  _config+:: {
    // The layers of the mail hosts, for which agents run there: see "The host's own layers" in ../README.md.
    hostLayers: true,
    // Other limits for the alerts: the name of a recording rule and its expression, as in
    // { 'mailtrip:roundtrip_limit:seconds': 'vector(300)' }. Only those of the groups of limits, and those of the
    // hosts with `hostLayers` only. The colours of the dashboards do not follow them.
    limits: {},
    dashboardTags: ['mail', 'mailtrip'],
    dashboardRefresh: '1m',
    dashboardFrom: 'now-6h',
  },

  local loadedHosts = if $._config.hostLayers then hosts else [],
  local unknown = std.setDiff(std.objectFields($._config.limits), rules.limits(loadedHosts + recording)),
  assert unknown == [] : 'no such limit: ' + std.join(', ', unknown),

  // Recording rules that stand in a group of alerts stay there: the rules of a group are evaluated in their order.
  prometheusAlerts+:: {
    groups+: rules.withLimits($._config.limits, alerting + loadedHosts),
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

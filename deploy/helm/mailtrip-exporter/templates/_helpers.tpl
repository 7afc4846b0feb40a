{{- define "mailtrip.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- /* Room is left for what is added to it: -config, -dashboard-mail-servers, and the number of a pod. */}}
{{- define "mailtrip.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "mailtrip.selectorLabels" -}}
app.kubernetes.io/name: {{ include "mailtrip.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mailtrip.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "mailtrip.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The metadata of an object that a list (object, suffix of its name, labels, annotations, namespace) describes. */}}
{{- define "mailtrip.metadata" -}}
{{- $ := index . 0 -}}
name: {{ include "mailtrip.fullname" $ }}{{ index . 1 }}
namespace: {{ index . 4 | default $.Release.Namespace }}
labels:
  {{- include "mailtrip.labels" $ | nindent 2 }}
  {{- with index . 2 }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with index . 3 }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "mailtrip.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "mailtrip.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "mailtrip.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "mailtrip.configFile" -}}
/etc/mailtrip_exporter/config/{{ if or .Values.existingConfig.configMap .Values.existingConfig.secret }}{{ .Values.existingConfig.key }}{{ else }}mailtrip.yml{{ end }}
{{- end }}

{{- /* What every path begins with: empty, or /path. */}}
{{- define "mailtrip.prefix" -}}
{{- $prefix := .Values.web.routePrefix }}
{{- if not $prefix }}{{ $prefix = (urlParse .Values.web.externalUrl).path }}{{ end }}
{{- $prefix | trimSuffix "/" }}
{{- end }}

{{- define "mailtrip.hasWebConfig" -}}
{{- if or .Values.web.config .Values.web.existingSecret }}true{{ end }}
{{- end }}

{{- /* HTTP, HTTPS or Exec. */}}
{{- define "mailtrip.probeScheme" -}}
{{- $tls := .Values.web.config.tls_server_config | default dict }}
{{- if .Values.web.probeScheme }}{{ .Values.web.probeScheme }}
{{- else if or .Values.web.config.basic_auth_users .Values.web.config.rate_limit (hasPrefix "Require" ($tls.client_auth_type | default "")) }}Exec
{{- else if $tls }}HTTPS
{{- else if .Values.web.existingSecret }}Exec
{{- else }}HTTP
{{- end }}
{{- end }}

{{- /* http or https, for those who scrape. */}}
{{- define "mailtrip.scheme" -}}
{{- if .Values.web.scheme }}{{ .Values.web.scheme }}
{{- else if or .Values.web.config.tls_server_config (eq .Values.web.probeScheme "HTTPS") }}https
{{- else }}http
{{- end }}
{{- end }}

{{- /* The flags by which the program knows where it listens and who may ask. */}}
{{- define "mailtrip.webArguments" -}}
{{- with .Values.web -}}
- --web.listen-address=:{{ .port }}
{{- if include "mailtrip.hasWebConfig" $ }}
- --web.config.file=/etc/mailtrip_exporter/web/{{ if .existingSecret }}{{ .existingSecretKey }}{{ else }}web-config.yml{{ end }}
{{- end }}
{{- with .externalUrl }}
- --web.external-url={{ . }}
{{- end }}
{{- with .routePrefix }}
- --web.route-prefix={{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- /* A probe of the list (object, path, defaults, changes). */}}
{{- define "mailtrip.probe" -}}
{{- $ := index . 0 }}
{{- $scheme := include "mailtrip.probeScheme" $ }}
{{- $probe := index . 2 }}
{{- if eq $scheme "Exec" }}
{{- $_ := set $probe "exec" (dict "command" (concat (list "mailtrip_exporter" "healthcheck") (include "mailtrip.webArguments" $ | fromYamlArray))) }}
{{- else }}
{{- $_ := set $probe "httpGet" (dict "path" (printf "%s%s" (include "mailtrip.prefix" $) (index . 1)) "port" "http" "scheme" $scheme) }}
{{- end }}
{{- toYaml (mergeOverwrite $probe (deepCopy (index . 3))) }}
{{- end }}

{{- /* How one pod is called from within the cluster, of the list (object, its number). */}}
{{- define "mailtrip.podAddress" -}}
{{- $ := index . 0 }}
{{- $name := include "mailtrip.fullname" $ }}
{{- printf "%s-%d.%s-pods.%s.svc:%d" $name (int (index . 1)) $name $.Release.Namespace (int $.Values.web.port) }}
{{- end }}

{{- /* How a scrape proves who it is, of the values of the object that describes it; may be empty. */}}
{{- define "mailtrip.scrapeLogin" -}}
{{- $login := dict }}
{{- range $key := list "tlsConfig" "basicAuth" "authorization" }}
{{- with get $ $key }}{{ $_ := set $login $key . }}{{ end }}
{{- end }}
{{- with $login }}{{ toYaml . }}{{ end }}
{{- end }}

{{- define "mailtrip.volumeMounts" -}}
- name: config
  mountPath: /etc/mailtrip_exporter/config
  readOnly: true
{{- if or .Values.secrets.existing .Values.secrets.files }}
- name: secrets
  mountPath: /etc/mailtrip_exporter/secrets
  readOnly: true
{{- end }}
{{- if include "mailtrip.hasWebConfig" . }}
- name: web-config
  mountPath: /etc/mailtrip_exporter/web
  readOnly: true
{{- end }}
{{- if .Values.web.tlsSecret }}
- name: tls
  mountPath: /etc/mailtrip_exporter/tls
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "mailtrip.volumes" -}}
- name: config
{{- if .Values.existingConfig.configMap }}
  configMap:
    name: {{ .Values.existingConfig.configMap }}
{{- else if .Values.existingConfig.secret }}
  secret:
    secretName: {{ .Values.existingConfig.secret }}
    defaultMode: 0440
{{- else if eq .Values.configKind "Secret" }}
  secret:
    secretName: {{ include "mailtrip.fullname" . }}-config
    defaultMode: 0440
{{- else }}
  configMap:
    name: {{ include "mailtrip.fullname" . }}-config
{{- end }}
{{- if or .Values.secrets.existing .Values.secrets.files }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- if .Values.secrets.files }}
      - secret:
          name: {{ include "mailtrip.fullname" . }}-secrets
      {{- end }}
      {{- range .Values.secrets.existing }}
      - secret:
          {{- if kindIs "string" . }}
          name: {{ . }}
          {{- else }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
      {{- end }}
{{- end }}
{{- if include "mailtrip.hasWebConfig" . }}
- name: web-config
  secret:
    secretName: {{ .Values.web.existingSecret | default (printf "%s-web" (include "mailtrip.fullname" .)) }}
    defaultMode: 0440
{{- end }}
{{- if .Values.web.tlsSecret }}
- name: tls
  secret:
    secretName: {{ .Values.web.tlsSecret }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "mailtrip.podSecurityContext" -}}
{{- $context := deepCopy .Values.podSecurityContext }}
{{- if and .Values.allowPing (not .Values.hostNetwork) }}
{{- $group := int ($context.runAsGroup | default 65532) }}
{{- $ping := dict "name" "net.ipv4.ping_group_range" "value" (printf "%d %d" $group $group) }}
{{- $_ := set $context "sysctls" (append ($context.sysctls | default list) $ping) }}
{{- end }}
{{- toYaml $context }}
{{- end }}

{{- /* What of the values contradicts itself, and the schema cannot say in words. */}}
{{- define "mailtrip.validate" -}}
{{- $existing := .Values.existingConfig }}
{{- if and $existing.configMap $existing.secret }}
{{- fail "existingConfig: name a configMap or a secret, not both" }}
{{- end }}
{{- if and .Values.config (or $existing.configMap $existing.secret) }}
{{- fail "config and existingConfig: the configuration comes from one of them; leave the other out" }}
{{- end }}
{{- if not (or .Values.config $existing.configMap $existing.secret) }}
{{- fail "no configuration: write the targets below `config`, or name what holds them in existingConfig" }}
{{- end }}
{{- if and (kindIs "map" .Values.config) .Values.config (not (or .Values.config.targets .Values.config.include)) }}
{{- fail "config: it has no `targets`" }}
{{- end }}
{{- if and .Values.web.config .Values.web.existingSecret }}
{{- fail "web.config and web.existingSecret: leave one of them out" }}
{{- end }}
{{- if and .Values.scrapeConfig.enabled (not .Values.serviceMonitor.enabled) }}
{{- fail "scrapeConfig.enabled: switch serviceMonitor.enabled on too; the exporter's own metrics are scraped by it" }}
{{- end }}
{{- if and .Values.hostNetwork (gt (int .Values.shards) 1) }}
{{- fail "hostNetwork and shards: with the name of its node a pod does not know which part is its own" }}
{{- end }}
{{- end }}

//! The dashboards for Grafana that are shipped: every expression of theirs is answered by a real
//! Prometheus that scrapes the exporter on the servers of the demo, and they are whole: every panel
//! explained, with its unit, nothing that was not measured shown as 0, thresholds as in the alerts.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::Method;
use ledger::{Reason, Side, Step};
use mailtrip_exporter::config::Shard;
use mailtrip_exporter::demo::Demo;
use mailtrip_exporter::supervisor::Supervisor;
use mailtrip_exporter::web::elsewhere::Elsewhere;
use mailtrip_exporter::web::mount::Mount;
use mailtrip_exporter::web::routes::App;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::DropGuard;

use crate::shipped::rules;
use crate::support::prometheus::Release;
use crate::support::{http, origin, serve_app};

/// The longest wait until every expression has an answer: the demo is at work within seconds, the
/// machine may be busy.
const DEADLINE: Duration = Duration::from_secs(120);

/// What stands for the variables of the dashboards and of Grafana, with a test period of a second.
/// A longer name comes before its beginning.
const VARIABLES: [(&str, &str); 11] = [
    ("$__from", "0"),
    ("$__rate_interval", "10s"),
    ("$__interval", "1s"),
    ("$__range", "30s"),
    ("$window", "20s"),
    ("$mail_cluster", ".*"),
    ("$target", ".*"),
    ("$bad", ".*"),
    ("$label", "instance"),
    ("$value", ".*"),
    ("$job", ".*"),
];

/// Metrics that only targets with something beyond the round trip have, which the demo does not.
const OF_WANTS: [&str; 4] = [
    "mailtrip_dnsbl_listed",
    "mailtrip_hop_usual_delay_seconds",
    "mailtrip_domain_check_passed",
    "mailtrip_expectation_met",
];

fn is_of_a_want(expression: &str) -> bool {
    OF_WANTS.iter().any(|name| expression.contains(name))
}

/// The host's layers, as the shipped rules make them where other exporters run beside the mail server.
const HOST_RULES: &str = "groups:
- name: host
  rules:
  - record: target:mailtrip_host_layer_state
    expr: 1 + 0 * mailtrip_interval_seconds
    labels: {layer: host}
  - record: target:mailtrip_host_layer_state
    expr: 0 * mailtrip_interval_seconds
    labels: {layer: processes}
";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

struct Dashboard {
    name: &'static str,
    json: Value,
}

impl Dashboard {
    fn all() -> [Self; 2] {
        ["mail-servers", "mail-server"].map(|name| {
            let file = repository().join("grafana").join(format!("{name}.json"));
            let text = fs::read_to_string(&file).unwrap();
            Self { name, json: serde_json::from_str(&text).unwrap() }
        })
    }

    fn panels(&self) -> &[Value] {
        self.json["panels"].as_array().unwrap()
    }

    fn panel(&self, title: &str) -> &Value {
        self.panels()
            .iter()
            .find(|it| it["title"] == title)
            .unwrap_or_else(|| panic!("{}: no panel {title}", self.name))
    }

    fn place(&self, panel: &Value) -> String {
        format!("{}: {}", self.name, text(&panel["title"]))
    }

    /// Every expression with its place: panels, annotations and variables.
    fn expressions(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for panel in self.panels() {
            for target in panel["targets"].as_array().unwrap() {
                found.push((self.place(panel), text(&target["expr"]).to_owned()));
            }
        }
        for annotation in self.json["annotations"]["list"].as_array().unwrap() {
            let place = format!("{}: annotation {}", self.name, annotation["name"]);
            found.push((place, text(&annotation["expr"]).to_owned()));
        }
        for variable in self.json["templating"]["list"].as_array().unwrap() {
            if variable["type"] != "query" {
                continue;
            }
            let query = text(&variable["query"]["query"]).strip_suffix(')').unwrap();
            let place = format!("{}: variable {}", self.name, variable["name"]);
            if let Some(selector) = query.strip_prefix("label_names(") {
                found.push((place, selector.to_owned()));
                continue;
            }
            if let Some(expression) = query.strip_prefix("query_result(") {
                found.push((place, expression.to_owned()));
                continue;
            }
            let inner = query.strip_prefix("label_values(").unwrap();
            let (selector, label) = inner.rsplit_once(", ").unwrap();
            found.push((place, format!("group by ({label}) ({selector})")));
        }
        found
    }

    /// Every place to which it links.
    fn links(&self) -> Vec<String> {
        let mut found = Vec::new();
        collect(&self.json, "url", &mut |url| found.extend(url.as_str().map(str::to_owned)));
        found
    }

    /// The steps of the thresholds of a panel, or of a column of it, without the lowest.
    fn thresholds(&self, panel: &str, column: Option<&str>) -> Vec<f64> {
        let config = &self.panel(panel)["fieldConfig"];
        let thresholds = match column {
            None => &config["defaults"]["thresholds"],
            Some(column) => {
                let overrides = config["overrides"].as_array().unwrap();
                let of_column = overrides
                    .iter()
                    .find(|it| text(&it["matcher"]["options"]).contains(column))
                    .unwrap_or_else(|| panic!("{column}"));
                let properties = of_column["properties"].as_array().unwrap();
                &properties.iter().find(|it| it["id"] == "thresholds").unwrap()["value"]
            }
        };
        thresholds["steps"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|it| it["value"].as_f64())
            .collect()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Calls `take` with the value of every member of this name.
fn collect<'a>(value: &'a Value, name: &str, take: &mut impl FnMut(&'a Value)) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                if member == name {
                    take(value);
                }
                collect(value, name, take);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, name, take)),
        _ => {}
    }
}

fn with_variables(expression: &str) -> String {
    let put = |text: String, (name, value): &(&str, &str)| text.replace(name, value);
    let expression = VARIABLES.iter().fold(expression.to_owned(), put);
    assert!(!expression.contains('$'), "an unknown variable in {expression}");
    expression
}

/// The demo, the exporter at work on it, and a Prometheus that scrapes it.
struct World {
    prometheus: String,
    exporter: String,
    _prometheus: Child,
    _demo: Demo,
    _folder: TempDir,
    _shutdown: DropGuard,
}

impl World {
    async fn start(release: Release) -> Self {
        let demo = Demo::start_with(Duration::from_secs(1)).await.unwrap();
        // One shard has all of the targets.
        let config = demo.config().part_of(Shard::parse("0/1", "").ok());
        let supervisor = Supervisor::start(config, None, origin()).await.unwrap();
        let address = "https://mailtrip.test".parse().unwrap();
        let app = App {
            supervisor,
            mount: Mount::new(Some(&address), None),
            elsewhere: Elsewhere::default(),
            telemetry_path: "/metrics".to_owned(),
            enable_lifecycle: false,
            enable_details: false,
        };
        let (exporter, shutdown) = serve_app(app).await;
        let exporter = exporter.to_string();
        let folder = tempfile::tempdir().unwrap();
        let (child, prometheus) = start_prometheus(release, folder.path(), &exporter).await;
        Self {
            exporter,
            prometheus,
            _prometheus: child,
            _demo: demo,
            _folder: folder,
            _shutdown: shutdown,
        }
    }

    /// What Prometheus answers: how many series, or why it cannot tell.
    async fn answer(&self, expression: &str) -> Result<usize, String> {
        let query: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("query", expression)
            .finish();
        let Some(body) = get(&self.prometheus, &format!("/api/v1/query?{query}")).await else {
            return Ok(0);
        };
        let body: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
        match body["status"].as_str() {
            Some("success") => Ok(body["data"]["result"].as_array().map_or(0, Vec::len)),
            Some(_) => Err(body["error"].to_string()),
            None => Ok(0),
        }
    }
}

/// Starts a Prometheus on a free port; with the shipped rules, each evaluated every second.
async fn start_prometheus(release: Release, folder: &Path, exporter: &str) -> (Child, String) {
    let mut config = "global: {scrape_interval: 1s, evaluation_interval: 1s}\n".to_owned();
    fs::write(folder.join("host.rules.yml"), HOST_RULES).unwrap();
    config += "rule_files:\n- host.rules.yml\n";
    for file in rules::rule_files() {
        writeln!(config, "- '{}'", file.display()).unwrap();
    }
    write!(
        config,
        "scrape_configs:\n- job_name: mailtrip\n  static_configs: [{{targets: ['{exporter}']}}]\n"
    )
    .unwrap();
    fs::write(folder.join("prometheus.yml"), config).unwrap();
    let log = fs::File::create(folder.join("log")).unwrap();
    let mut child = Command::new(release.program("prometheus"))
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
        .arg("--web.listen-address=127.0.0.1:0")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("prometheus is needed (`make test` installs it): {error}"));
    let ready = async {
        loop {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            let address = log
                .lines()
                .find_map(|line| line.split_once("\"Listening on\"")?.1.split_once("address="));
            if let Some((_, address)) = address
                && get(address, "/-/ready").await.is_some()
            {
                return address.to_owned();
            }
            assert!(child.try_wait().unwrap().is_none(), "Prometheus ended: {log}");
            sleep(Duration::from_millis(50)).await;
        }
    };
    let address = timeout(DEADLINE, ready).await.expect("Prometheus is ready");
    (child, address)
}

/// The body of an answer with status 200 or 400.
async fn get(address: &str, path: &str) -> Option<String> {
    let answer = timeout(DEADLINE, http::ask(address, Method::GET, path, &[])).await.ok()?.ok()?;
    [200, 400].contains(&answer.status).then(|| answer.text().to_owned())
}

#[tokio::test]
async fn every_expression_is_answered_by_a_prometheus_that_scrapes_the_exporter() {
    every_expression_is_answered(Release::Installed).await;
}

#[tokio::test]
async fn every_expression_is_answered_by_a_newer_prometheus() {
    every_expression_is_answered(Release::Newer).await;
}

async fn every_expression_is_answered(release: Release) {
    let world = World::start(release).await;
    let mut open: Vec<(String, String)> = Vec::new();
    for dashboard in Dashboard::all() {
        let all = dashboard.expressions().into_iter();
        open.extend(all.map(|(place, expression)| (place, with_variables(&expression))));
    }
    assert!(open.len() > 60, "only {} expressions", open.len());
    let deadline = Instant::now() + DEADLINE;
    while !open.is_empty() {
        let mut unanswered = Vec::new();
        for (place, expression) in open {
            match world.answer(&expression).await {
                Err(error) => panic!("{place}: {error}: {expression}"),
                Ok(0) if !is_of_a_want(&expression) => unanswered.push((place, expression)),
                Ok(_) => {}
            }
        }
        assert!(unanswered.is_empty() || Instant::now() < deadline, "no data: {unanswered:#?}");
        open = unanswered;
        sleep(Duration::from_millis(250)).await;
    }

    shows_no_failure_before_the_time_shown(&world).await;
    shows_servers_that_were_bad_the_worst_first(&world).await;

    // `or` answers for a metric that does not exist: each has to be there by its name.
    let page = get(&world.exporter, "/metrics").await.unwrap();
    let families: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let used = Dashboard::all().map(|it| it.json.to_string()).concat();
    for name in rules::metrics_in(&used).into_iter().filter(|name| !is_of_a_want(name)) {
        let ends = ["_total", "_bucket"].iter().find_map(|end| name.strip_suffix(end));
        let known =
            families.contains(name.as_str()) || ends.is_some_and(|it| families.contains(it));
        assert!(known, "there is no metric {name} on /metrics");
    }
}

/// The date of the latest failure stays after the failure.
async fn shows_no_failure_before_the_time_shown(world: &World) {
    let [_, one] = Dashboard::all();
    let expression = text(&one.panel("Latest failures")["targets"][0]["expr"]);
    let tomorrow = SystemTime::now() + Duration::from_secs(86400);
    let tomorrow = tomorrow.duration_since(UNIX_EPOCH).unwrap().as_millis().to_string();
    let from_tomorrow = expression.replace("$__from", &tomorrow);
    assert_ne!(world.answer(&with_variables(expression)).await, Ok(0));
    assert_eq!(world.answer(&with_variables(&from_tomorrow)).await, Ok(0));
}

/// Among the servers of the demo one refuses every login, and others are good all the time.
async fn shows_servers_that_were_bad_the_worst_first(world: &World) {
    let [fleet, _] = Dashboard::all();
    let expression = fleet.panel("Mail servers that were bad")["targets"][0]["expr"].as_str();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let query: String = form_urlencoded::Serializer::new(String::new())
        .append_pair("query", &with_variables(expression.unwrap()))
        .append_pair("start", &(now - 30).to_string())
        .append_pair("end", &now.to_string())
        .append_pair("step", "1")
        .finish();
    let body = get(&world.prometheus, &format!("/api/v1/query_range?{query}")).await.unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    let rows = body["data"]["result"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["metric"]["target"] == "refuses-logins"), "{body}");
    for row in rows {
        let mut values = row["values"].as_array().unwrap().iter().map(|it| text(&it[1]));
        assert!(values.any(|value| value != "9" && value != "NaN"), "never bad: {row}");
    }
    let ranks: Vec<&str> = rows.iter().map(|row| text(&row["metric"]["rank"])).collect();
    assert!(ranks.is_sorted() && ranks.iter().all(|it| it.len() == 6), "{ranks:?}");
    let bad_for = |row: &Value| 999_999 - text(&row["metric"]["rank"]).parse::<u32>().unwrap();
    assert!(bad_for(&rows[0]) > 5, "the first was not bad for long: {ranks:?}");
}

#[test]
fn every_panel_of_the_fleet_shows_the_chosen_servers_only() {
    let [fleet, _] = Dashboard::all();
    let of_exporters = ["Exporters", "Shared mail servers", "Exporter lateness"];
    let is_of_servers = |panel: &&Value| !of_exporters.contains(&text(&panel["title"]));
    for panel in fleet.panels().iter().filter(is_of_servers) {
        for target in panel["targets"].as_array().unwrap() {
            let expression = text(&target["expr"]);
            for chosen in [
                "job=~\"$job\"",
                "target=~\"$target\"",
                "$label=~\"$value\"",
                "mail_cluster=~\"$mail_cluster",
            ] {
                assert!(expression.contains(chosen), "{}: no {chosen}", fleet.place(panel));
            }
        }
        if panel["type"] == "table" {
            let pages = &panel["options"]["footer"]["enablePagination"];
            assert_eq!(pages, true, "{}: 500 rows in one", fleet.place(panel));
        }
    }
}

/// Its timeline is computed for those that were bad only: Grafana puts their names, or nothing where none was bad.
#[test]
fn the_timeline_asks_for_the_servers_that_were_bad() {
    let [fleet, _] = Dashboard::all();
    let variables = fleet.json["templating"]["list"].as_array().unwrap();
    let bad = variables.iter().find(|it| it["name"] == "bad").unwrap();
    assert!(!text(&bad["query"]["query"]).contains('\n'), "Grafana reads one line");
    assert_eq!((&bad["includeAll"], &bad["multi"]), (&true.into(), &true.into()));
    assert!(bad["allValue"].is_null(), "every server where none was bad");
    let expression = text(&fleet.panel("Mail servers that were bad")["targets"][0]["expr"]);
    for selector in expression.split("layer_state{").skip(1) {
        assert!(selector.split('}').next().unwrap().contains("target=~\"$bad\""), "{selector}");
    }
}

/// What tells nobody, and only holds other alerts back, has the severity none.
#[test]
fn no_alert_that_tells_nobody_is_shown() {
    let rules = rules::text(&rules::rule_files());
    let helper = rules.split("- alert: MailtripLayerBad\n").nth(1).unwrap();
    let helper = helper.split("- alert: ").next().unwrap();
    assert!(helper.contains("severity: none"), "MailtripLayerBad has another severity");
    for dashboard in Dashboard::all() {
        for (place, expression) in dashboard.expressions() {
            for selector in expression.split("ALERTS").skip(1) {
                let selector = selector.split('}').next().unwrap();
                assert!(selector.contains("severity!=\"none\""), "{place}: {selector}");
            }
        }
    }
}

#[test]
fn every_panel_is_explained_and_shows_what_is_not_measured_as_such() {
    for dashboard in Dashboard::all() {
        assert_eq!(dashboard.json["schemaVersion"], 41);
        for panel in dashboard.panels() {
            let place = dashboard.place(panel);
            let defaults = &panel["fieldConfig"]["defaults"];
            assert!(text(&panel["description"]).len() > 40, "{place}: no description");
            assert!(!text(&defaults["unit"]).is_empty(), "{place}: no unit");
            let mut mappings = vec![&defaults["mappings"]];
            collect(&panel["fieldConfig"]["overrides"], "properties", &mut |properties| {
                let properties = properties.as_array().unwrap().iter();
                mappings
                    .extend(properties.filter(|it| it["id"] == "mappings").map(|it| &it["value"]));
            });
            for mapping in mappings {
                let special = &mapping[0]["options"];
                assert_eq!(special["match"], "null+nan", "{place}");
                assert_eq!(special["result"]["text"], "n/a", "{place}");
                assert_eq!(special["result"]["color"], "#808080", "{place}");
            }
        }
    }
}

#[test]
fn no_panel_lies_upon_another_and_every_id_is_its_own() {
    for dashboard in Dashboard::all() {
        let (mut cells, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for panel in dashboard.panels() {
            let place = dashboard.place(panel);
            assert!(ids.insert(panel["id"].as_u64()), "{place}: its id is another's");
            let [x, y, w, h] =
                ["x", "y", "w", "h"].map(|it| panel["gridPos"][it].as_u64().unwrap());
            assert!(x + w <= 24, "{place}: beyond the grid");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(cells.insert(cell), "{place}: lies upon another");
            }
            let mut refs = BTreeSet::new();
            for target in panel["targets"].as_array().unwrap() {
                assert!(refs.insert(text(&target["refId"])), "{place}: {}", target["refId"]);
            }
        }
    }
}

#[test]
fn every_source_is_the_variable_and_never_a_fixed_one() {
    for dashboard in Dashboard::all() {
        collect(&dashboard.json, "datasource", &mut |source| {
            assert_eq!(source["uid"], "${datasource}", "{}", dashboard.name);
        });
        let variables = dashboard.json["templating"]["list"].as_array().unwrap();
        for name in ["datasource", "job", "mail_cluster", "label", "value", "target", "runbook"] {
            assert!(variables.iter().any(|it| it["name"] == name), "{}: {name}", dashboard.name);
        }
    }
}

#[test]
fn every_link_leads_to_a_dashboard_or_a_heading_of_the_runbook() {
    // Each alert has its heading in the runbook, and no other is there.
    let headings: BTreeSet<String> = rules::alerts().iter().map(|it| it.to_lowercase()).collect();
    let dashboards = Dashboard::all();
    let paths: Vec<String> =
        dashboards.iter().map(|it| format!("/d/{}/{}?", text(&it.json["uid"]), it.name)).collect();
    let mut linked = BTreeSet::new();
    for dashboard in &dashboards {
        for link in dashboard.links() {
            for name in ["value.raw", "field.labels.target", "field.labels.job", "data.fields.job"]
            {
                assert!(!link.contains(&format!("__{name}}}")), "{link}: {name} as it is");
            }
            if let Some(place) = link.strip_prefix("${runbook}/runbook") {
                let heading = place.strip_prefix('#');
                assert!(
                    place.is_empty() || heading.is_some_and(|it| headings.contains(it)),
                    "{link}"
                );
                linked.extend(heading.map(str::to_owned));
            } else if link.starts_with("${__data.fields.external_url}/targets/") {
                linked.insert("a page of the exporter".to_owned());
            } else {
                assert!(paths.iter().any(|path| link.starts_with(path)), "{link}");
            }
        }
        let other = paths.iter().find(|path| !path.contains(&format!("/{}?", dashboard.name)));
        let links = dashboard.links();
        assert!(links.iter().any(|link| link.starts_with(other.unwrap())), "{}", dashboard.name);
        assert!(links.iter().any(|link| link == "${runbook}/runbook"), "{}", dashboard.name);
    }
    for place in [
        "mailtripcannotsend",
        "mailtripcannotreceive",
        "mailtripmailoverdue",
        "a page of the exporter",
    ] {
        assert!(linked.contains(place), "nothing links to {place}");
    }
}

#[test]
fn thresholds_are_those_of_the_alerts() {
    let rules = rules::text(&rules::rule_files());
    let limit = |name: &str| {
        let rest =
            rules.split(&format!("- record: {name}\n")).nth(1).unwrap_or_else(|| panic!("{name}"));
        let product = rest.split("vector(").nth(1).unwrap().split(')').next().unwrap();
        product.split(" * ").map(|factor| factor.parse::<f64>().unwrap()).product::<f64>()
    };
    let in_a_row = rules.split("mailtrip_consecutive_failures{side=\"send\"} >= ").nth(1).unwrap();
    let in_a_row: f64 = in_a_row.lines().next().unwrap().trim().parse().unwrap();
    let (roundtrip, certificate, objective) = (
        limit("mailtrip:roundtrip_limit:seconds"),
        limit("mailtrip:certificate_warning:seconds"),
        limit("mailtrip:slo_objective:ratio"),
    );
    let [fleet, one] = Dashboard::all();
    for (thresholds, expected) in [
        (fleet.thresholds("State", Some("Failed in a row")), vec![1.0, in_a_row]),
        (fleet.thresholds("State", Some("Round trip")), vec![roundtrip]),
        (fleet.thresholds("State", Some("Certificate ends in")), vec![0.0, certificate]),
        (fleet.thresholds("State", Some("Overdue by")), vec![0.0]),
        (fleet.thresholds("Worst round trips", None), vec![roundtrip]),
        (fleet.thresholds("Certificates expiring first", None), vec![0.0, certificate]),
        (fleet.thresholds("Error budget", Some("Accepted")), vec![objective]),
        (one.thresholds("Round trip", None), vec![roundtrip]),
        (one.thresholds("Round trip: quantiles", None), vec![roundtrip]),
        (one.thresholds("Certificates expire in", None), vec![0.0, certificate]),
        (one.thresholds("Overdue by", None), vec![0.0]),
        (one.thresholds("Failed in a row", None), vec![1.0, in_a_row]),
        (one.thresholds("Error budget", Some("Accepted")), vec![objective]),
    ] {
        assert_eq!(thresholds, expected);
    }
    for (title, part) in [
        ("Cannot send", format!(">= bool {in_a_row}")),
        ("Cannot receive", format!(">= bool {in_a_row}")),
        ("Certificates expiring soon", format!("< bool {certificate}")),
    ] {
        assert!(fleet.panel(title)["targets"].to_string().contains(&part), "{title}: no {part}");
    }
    // What is left of it is (share - objective) / (1 - objective).
    let budget = fleet.panel("Error budget")["transformations"].to_string();
    let allowed = format!("{:.2}", 1.0 - objective);
    for (operator, number) in [("-", objective.to_string()), ("/", allowed)] {
        let part = format!("\"operator\":\"{operator}\",\"right\":{{\"fixed\":\"{number}\"}}");
        assert_eq!(budget.matches(&part).count(), 2, "{part}");
    }
    let budget = one.panel("Error budget")["targets"].to_string();
    assert_eq!(budget.matches(&format!("(1 - {objective})")).count(), 2);
}

/// The names that the series and the columns of a panel can have.
fn names(panel: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for target in panel["targets"].as_array().unwrap() {
        let legend = text(&target["legendFormat"]);
        for side in Side::ALL {
            let legend = legend.replace("{{side}}", side.label());
            for step in Step::of(side) {
                let legend = legend.replace("{{step}}", step.label());
                let of_side = Reason::of(side).iter();
                names.extend(of_side.map(|it| legend.replace("{{reason}}", it.label())));
            }
        }
        // "Bad mail servers" counts the layers by their numbers.
        names.extend((1..=7).map(|layer| legend.replace("{{layer}}", &layer.to_string())));
    }
    for transformation in panel["transformations"].as_array().into_iter().flatten() {
        let options = &transformation["options"];
        names.extend(options["alias"].as_str().map(str::to_owned));
        names.extend(
            options["renameByName"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|it| text(it.1).to_owned()),
        );
        names.extend(
            options["indexByName"].as_object().into_iter().flatten().map(|it| it.0.clone()),
        );
    }
    names
}

/// Whether the matcher of an override takes a name; of regular expressions it knows the two forms in use.
fn takes(matcher: &Value, name: &str) -> bool {
    let options = text(&matcher["options"]);
    if matcher["id"] == "byName" {
        return name == options;
    }
    assert_eq!(matcher["id"], "byRegexp");
    let pattern = options.strip_prefix('/').and_then(|it| it.strip_suffix("$/")).unwrap();
    match pattern.strip_prefix("^(").and_then(|it| it.strip_suffix(')')) {
        Some(alternatives) => alternatives.split('|').any(|it| it == name),
        None => {
            assert!(!pattern.contains(['^', '(', '[', '.', '?', '*', '+']), "{options}");
            name.ends_with(pattern)
        }
    }
}

#[test]
fn every_override_is_for_a_name_that_its_panel_can_have() {
    for dashboard in Dashboard::all() {
        for panel in dashboard.panels() {
            let names = names(panel);
            for one in panel["fieldConfig"]["overrides"].as_array().unwrap() {
                let matcher = &one["matcher"];
                let place = dashboard.place(panel);
                assert!(
                    names.iter().any(|it| takes(matcher, it)),
                    "{place}: {matcher} of {names:?}"
                );
            }
        }
    }
}

#[test]
fn every_reason_of_a_failure_has_one_colour_of_its_own() {
    for dashboard in Dashboard::all() {
        let panel = dashboard.panel("Failures by step and reason");
        let overrides = panel["fieldConfig"]["overrides"].as_array().unwrap();
        let colours: BTreeSet<String> =
            overrides.iter().map(|it| it["properties"].to_string()).collect();
        assert_eq!(colours.len(), overrides.len(), "{}: a colour twice", dashboard.name);
        for name in names(panel).iter().filter(|it| !it.contains("{{")) {
            let coloured = overrides.iter().filter(|it| takes(&it["matcher"], name));
            assert_eq!(coloured.count(), 1, "{}: {name}", dashboard.name);
        }
    }
}

/// Has both releases of Prometheus compute an expression over made-up series: what it gives after ten minutes.
async fn assert_gives(
    expression: &str,
    variables: &[(&str, &str)],
    series: &[(&str, &str)],
    expected: Value,
) {
    let put = |text: String, (name, value): &(&str, &str)| text.replace(name, value);
    let expression = with_variables(&variables.iter().fold(expression.to_owned(), put));
    let series: Vec<Value> = series
        .iter()
        .map(|(series, values)| serde_json::json!({"series": series, "values": values}))
        .collect();
    let test = serde_json::json!({"evaluation_interval": "1m", "tests": [{
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [{"expr": expression, "eval_time": "10m", "exp_samples": expected}],
    }]});
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.json");
    fs::write(&file, test.to_string()).unwrap();
    rules::run("promtool", &["test", "rules", &file.to_string_lossy()]).await;
}

#[tokio::test]
async fn a_server_whose_exporter_is_gone_still_counts_as_bad_in_the_time_shown() {
    let [fleet, _] = Dashboard::all();
    let targets = &fleet.panel("In the time shown")["targets"];
    let series = [
        ("mailtrip_target_info{job=\"j\",instance=\"a\",target=\"t\"}", "1 1 1 stale"),
        (
            "mailtrip_layer_state{job=\"j\",instance=\"a\",target=\"t\",layer=\"send\"}",
            "0 0 0 stale",
        ),
    ];
    let hour = [("$__range", "1h")];
    let one = serde_json::json!([{"labels": "{}", "value": 1}]);
    assert_gives(text(&targets[0]["expr"]), &hour, &series, one.clone()).await;
    assert_gives(text(&targets[0]["expr"]), &hour, &[], serde_json::json!([])).await;
    let timeline = text(&fleet.panel("Mail servers that were bad")["targets"][0]["expr"]);
    let chosen = timeline.split_once("count_values").unwrap().1;
    assert_gives(&format!("count(count_values{chosen})"), &hour, &series, one).await;
}

/// Three servers at one place and at another, or at none: a mean for each, of what was measured.
#[tokio::test]
async fn places_are_compared_and_without_any_there_is_one_line() {
    let [fleet, _] = Dashboard::all();
    let roundtrip = text(&fleet.panel("Round trip by place")["targets"][0]["expr"]);
    let ability = text(&fleet.panel("Ability by place")["targets"][0]["expr"]);
    let places = [("fra", "0.01", "100"), ("nyc", "0.03", "0")];
    let series = |place: &str, minutes: &str, percent: &str| {
        let of = |target: &str, value: &str| {
            let location = if place.is_empty() { "" } else { ",location=" };
            let place = if place.is_empty() { String::new() } else { format!("\"{place}\"") };
            let labels = format!("job=\"j\",instance=\"i\",target=\"{target}\"{location}{place}");
            // promtool knows no repetition of NaN.
            let value = if value == "NaN" { [value; 11].join(" ") } else { format!("{value}x10") };
            [
                (format!("mailtrip_target_info{{{labels}}}"), "1x10".to_owned()),
                (format!("mailtrip_roundtrip_minutes{{{labels}}}"), value),
                (
                    format!("mailtrip_send_ability_percent{{{labels}}}"),
                    if target == "a" { format!("{percent}x10") } else { "100x10".to_owned() },
                ),
            ]
        };
        [of("a", minutes), of("b", minutes), of("standby", "NaN")].concat()
    };
    let given = |rows: &[(String, String)], expression: &str, expected: Value| {
        let (rows, expression) = (rows.to_vec(), expression.to_owned());
        async move {
            let series: Vec<(&str, &str)> =
                rows.iter().map(|it| (it.0.as_str(), it.1.as_str())).collect();
            assert_gives(&expression, &[], &series, expected).await;
        }
    };
    let all: Vec<_> =
        places.iter().flat_map(|(place, one, other)| series(place, one, other)).collect();
    let expected = |figures: [f64; 2]| {
        let labels = ["{location=\"fra\"}", "{location=\"nyc\"}"];
        let samples = labels.iter().zip(figures);
        samples
            .map(|(labels, value)| serde_json::json!({"labels": labels, "value": value}))
            .collect()
    };
    given(&all, &format!("round({roundtrip}, 0.01)"), expected([0.6, 1.8])).await;
    given(&all, &format!("round({ability})"), expected([100.0, 67.0])).await;
    let none = serde_json::json!([{"labels": "{location=\"no location\"}", "value": 0.6}]);
    given(&series("", "0.01", "100"), &format!("round({roundtrip}, 0.01)"), none).await;
}

#[tokio::test]
async fn a_chosen_label_keeps_the_alerts_of_its_clusters_and_of_exporters() {
    let [fleet, _] = Dashboard::all();
    let list = text(&fleet.panel("Firing alerts")["targets"][0]["expr"]);
    let alerts: Vec<(String, &str)> = [
        "alertname=\"MailtripCannotSend\",target=\"here\",site=\"fra\"",
        "alertname=\"MailtripCannotSend\",target=\"there\",site=\"ber\"",
        "alertname=\"MailtripClusterDown\",mail_cluster=\"corp\"",
        "alertname=\"MailtripClusterDown\",mail_cluster=\"other\"",
        "alertname=\"MailtripExporterDown\",instance=\"a\"",
    ]
    .iter()
    .flat_map(|labels| {
        let labels = format!("{labels},job=\"j\",severity=\"critical\"");
        [
            (format!("ALERTS{{{labels},alertstate=\"firing\"}}"), "1x10"),
            (format!("ALERTS_FOR_STATE{{{labels}}}"), "0x10"),
        ]
    })
    .collect();
    let mut series: Vec<(&str, &str)> = alerts.iter().map(|it| (it.0.as_str(), it.1)).collect();
    series.extend([
        (
            "mailtrip_target_info{job=\"j\",target=\"here\",site=\"fra\",mail_cluster=\"corp\"}",
            "1x10",
        ),
        (
            "mailtrip_target_info{job=\"j\",target=\"there\",site=\"ber\",mail_cluster=\"other\"}",
            "1x10",
        ),
    ]);
    let chosen = [("$label", "site"), ("$value", "fra"), ("$__range", "1h")];
    let marks = text(&fleet.json["annotations"]["list"][0]["expr"]);
    for expression in [list, marks] {
        let expression = format!("count by (alertname) ({expression})");
        let expected = ["CannotSend", "ClusterDown", "ExporterDown"].map(
            |alert| serde_json::json!({"labels": format!("{{alertname=\"Mailtrip{alert}\"}}"), "value": 1}),
        );
        assert_gives(&expression, &chosen, &series, expected.to_vec().into()).await;
    }
}

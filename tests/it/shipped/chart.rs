//! The Helm chart that is shipped: what Helm makes of it is what Kubernetes and the Prometheus operator take, pods keep to
//! the standard `restricted`, the rules and dashboards in it are ours, wrong values are told in words, and the program runs
//! with the files and the command line of the pod.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use testserver::{Options, Protocol, Server};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::lab::certificates::{CA_FILE, SERVER_FILE, write_certificates};
use crate::lab::claim::write_file;
use crate::shipped::mixin::groups;
use crate::shipped::rules::{self, deploy};
use crate::support::http;
use crate::support::program::{Running, is_at_least, post, program, target};

/// An object that the user of the chart has: kind, name, and its files with their contents.
type Given<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

/// Where everything is mounted in a pod.
const MOUNTED: &str = "/etc/mailtrip_exporter";

fn chart() -> PathBuf {
    deploy().join("helm/mailtrip-exporter")
}

fn tool(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/chart-tools/bin").join(name);
    assert!(
        path.exists(),
        "{name} is not in target/chart-tools: run `scripts/install-tools chart`"
    );
    path
}

async fn output(command: &mut Command, input: &[u8]) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).await.unwrap();
    timeout(rules::LIMIT, child.wait_with_output()).await.expect("it ends").unwrap()
}

/// What helm makes of the chart and these flags, or what it says is wrong.
async fn template(flags: &[&str]) -> Result<Vec<u8>, String> {
    let mut helm = Command::new(tool("helm"));
    helm.args(["template", "release", "--namespace=mail"]).arg(chart()).args(flags);
    let output = output(&mut helm, b"").await;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

/// The objects that it makes, each checked against its schema.
async fn objects(flags: &[&str]) -> Vec<Value> {
    let written = template(flags).await.unwrap_or_else(|error| panic!("{flags:?}: {error}"));
    checked(&written, &format!("{flags:?}")).await
}

async fn checked(written: &[u8], made_by: &str) -> Vec<Value> {
    let mut python = Command::new(tool("python"));
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/shipped/chart/objects.py"));
    let output = output(&mut python, written).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{made_by}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The flag for a file of values in `ci`.
fn values(name: &str) -> String {
    format!("--values={}", chart().join("ci").join(name).display())
}

fn all_values() -> Vec<String> {
    let files = rules::files(&chart().join("ci"), ".yaml");
    files.iter().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

fn the<'a>(objects: &'a [Value], kind: &'a str) -> &'a Value {
    let mut found = of_kind(objects, kind);
    let only = found.next().unwrap_or_else(|| panic!("there is no {kind}"));
    assert!(found.next().is_none(), "more than one {kind}");
    only
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[tokio::test]
async fn helm_finds_nothing_to_blame_in_the_chart() {
    for name in all_values() {
        let mut helm = Command::new(tool("helm"));
        helm.args(["lint", "--strict"]).arg(chart()).arg(values(&name));
        let output = output(&mut helm, b"").await;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {said}");
        assert!(!said.contains("[WARNING]") && !said.contains("[ERROR]"), "{name}: {said}");
    }
}

/// Why a pod is refused by the Pod Security Standard `restricted`.
fn against_restricted(pod: &Value) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut expect = |holds: bool, what: &str| {
        if !holds {
            reasons.push(what.to_owned());
        }
    };
    let context = &pod["securityContext"];
    expect(context["runAsNonRoot"] == true, "it may run as root");
    expect(context["runAsUser"].as_u64().is_some_and(|user| user > 0), "its user is root");
    expect(context["seccompProfile"]["type"] == "RuntimeDefault", "no filter of system calls");
    expect(pod["hostPID"].is_null() && pod["hostIPC"].is_null(), "it sees the node's processes");
    for sysctl in list(&context["sysctls"]) {
        expect(sysctl["name"] == "net.ipv4.ping_group_range", "a sysctl that is not safe");
    }
    for volume in list(&pod["volumes"]) {
        let kinds = ["configMap", "secret", "projected", "emptyDir", "persistentVolumeClaim"];
        expect(kinds.iter().any(|kind| volume.get(kind).is_some()), "a volume of another kind");
    }
    for container in list(&pod["containers"]) {
        let context = &container["securityContext"];
        expect(context["allowPrivilegeEscalation"] == false, "it may gain rights");
        expect(context["capabilities"] == json!({"drop": ["ALL"]}), "it has capabilities");
        expect(context["privileged"].is_null(), "it is privileged");
    }
    reasons
}

#[tokio::test]
async fn what_it_makes_is_valid_and_every_pod_is_restricted() {
    for name in all_values() {
        let objects = objects(&[&values(&name)]).await;
        let stateful = the(&objects, "StatefulSet");
        let running = &stateful["spec"]["template"]["spec"];
        for pod in of_kind(&objects, "Pod").map(|pod| &pod["spec"]).chain([running]) {
            assert_eq!(against_restricted(pod), Vec::<String>::new(), "{name}");
            assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
            for container in list(&pod["containers"]) {
                let read_only = &container["securityContext"]["readOnlyRootFilesystem"];
                assert_eq!(read_only, true, "{name}");
            }
        }
        let may_use_host = name == "without-operator.yaml";
        assert_eq!(running["hostNetwork"] == true, may_use_host, "{name}");
        for object in &objects {
            let length = object.to_string().len();
            assert!(length < 500_000, "{name}: {} has {length} bytes", object["kind"]);
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/instance"], "release", "{name}: {object}");
        }
    }
}

#[tokio::test]
async fn every_installation_in_the_documents_is_one_that_helm_makes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    symlink(root.join("deploy"), folder.path().join("deploy")).unwrap();
    let page = read("docs/kubernetes.md");
    let values = page.split("`my-values.yaml`:\n\n```yaml\n").nth(1).unwrap();
    let values = values.split("```").next().unwrap();
    fs::write(folder.path().join("my-values.yaml"), values).unwrap();
    for path in [
        "README.md",
        "docs/install.md",
        "docs/kubernetes.md",
        "deploy/helm/mailtrip-exporter/README.md",
    ] {
        let text = read(path);
        let commands = text.split("helm install mailtrip ").skip(1);
        let commands = commands.map(|rest| rest.split(['\n', '`']).next().unwrap());
        let commands: Vec<_> = commands.collect();
        assert!(!commands.is_empty(), "{path} does not install the chart");
        for command in commands {
            let mut helm = Command::new(tool("helm"));
            helm.args(["template", "mailtrip"]).args(command.split(' '));
            let output = output(helm.current_dir(folder.path()), b"").await;
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{path}: {command}: {said}");
        }
    }
}

/// What `kubectl kustomize` makes of `deploy/kustomize`. It asks for Helm 3, but calls nothing that 4 does otherwise.
#[tokio::test]
async fn the_base_for_kustomize_is_the_chart_with_the_targets_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let helm = folder.path().join("helm");
    let real = tool("helm");
    let text = "#!/bin/sh\nif [ \"$1\" = version ]; then echo v3.8.0; else exec ";
    write_file(&helm, format!("{text}{} \"$@\"; fi\n", real.display()), 0o755);
    let mut kubectl = Command::new(tool("kubectl"));
    kubectl.arg("kustomize").arg(deploy().join("kustomize")).arg("--helm-command").arg(helm);
    kubectl.args(["--enable-helm", "--load-restrictor=LoadRestrictionsNone"]);
    let made = output(&mut kubectl, b"").await;
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
    let objects = checked(&made.stdout, "kustomize").await;
    let targets = fs::read_to_string(deploy().join("kustomize/mailtrip.yml")).unwrap();
    let config = the(&objects, "ConfigMap");
    assert_eq!(config["metadata"]["name"], "mailtrip-config");
    assert_eq!(config["data"]["mailtrip.yml"], targets.as_str());
    let pod = &the(&objects, "StatefulSet")["spec"]["template"]["spec"];
    let volume = list(&pod["volumes"]).iter().find(|volume| volume["name"] == "config").unwrap();
    assert_eq!(volume["configMap"]["name"], "mailtrip-config");
}

#[tokio::test]
async fn its_rules_and_dashboards_are_those_that_are_shipped() {
    let all = objects(&[&values("everything.yaml")]).await;
    let made = &the(&all, "PrometheusRule")["spec"];
    let mut shipped: Vec<Value> = ["recording", "alerts", "host"].map(groups).concat();
    assert_eq!(rules::rule_files().len(), 3, "a file of rules that the chart does not read");
    assert_eq!(shipped[0]["rules"][0]["record"], "mailtrip:roundtrip_limit:seconds");
    // The one limit that the values change.
    shipped[0]["rules"][0]["expr"] = "vector(300)".into();
    assert_eq!(made["groups"], Value::Array(shipped));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.json");
    fs::write(&file, made.to_string()).unwrap();
    rules::run("promtool", &["check", "rules", &file.to_string_lossy()]).await;

    let mut found = BTreeMap::new();
    for object in of_kind(&all, "ConfigMap") {
        if object["metadata"]["labels"]["grafana_dashboard"] == "1" {
            for (name, text) in object["data"].as_object().unwrap() {
                let text: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
                found.insert(name.clone(), text);
            }
        }
    }
    let files = rules::files(&deploy().join("../grafana"), ".json");
    let shipped = files.iter().map(|file| {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        (name, serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap())
    });
    assert_eq!(found, shipped.collect::<BTreeMap<String, Value>>());
}

#[tokio::test]
async fn wrong_values_are_told_with_what_to_do() {
    let minimal = values("minimal.yaml");
    for (flags, expected) in [
        (&["--set=config=null"][..], "no configuration: write the targets below `config`"),
        (&["--set-json=config={\"defaults\":{}}"], "config: it has no `targets`"),
        (&["--set=existingConfig.secret=mine"], "config and existingConfig: the configuration"),
        (&["--set=shards=2,hostNetwork=true"], "hostNetwork and shards: with the name of its node"),
        (&["--set=shards=0"], "at '/shards': minimum: got 0, want 1"),
        (&["--set=serviceMonitr.enabled=true"], "additional properties 'serviceMonitr' not"),
        (&["--set=log.level=loud"], "at '/log/level': value must be one of 'error', 'warn'"),
        (&["--set=configReload.interval=30"], "at '/configReload/interval': got number"),
        (&["--set=scrapeConfig.enabled=true"], "switch serviceMonitor.enabled on too"),
        (&["--set=web.existingSecret=a,web.config.b=c"], "web.config and web.existingSecret: le"),
        (
            &["--set=prometheusRule.enabled=true,prometheusRule.limits.slow=1"],
            "prometheusRule.limits: there is no limit slow; there are mailtrip:certificate_warn",
        ),
    ] {
        let mut all = vec![minimal.as_str()];
        all.extend(flags);
        let said = template(&all).await.expect_err(expected);
        assert!(said.contains(expected), "{flags:?}: {said}");
    }
}

/// Every path of the values that a person may set, by their schema.
fn described(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        assert!(below["description"].is_string(), "{path} has no description");
        if below["properties"].is_object() {
            described(below, &path, found);
        } else {
            found.insert(path);
        }
    }
}

#[tokio::test]
async fn every_value_is_described_and_the_version_is_that_of_the_program() {
    let to_json = "import json, sys, yaml; print(json.dumps([yaml.safe_load(open(f)) for f in sys.argv[1:]]))";
    let mut python = Command::new(tool("python"));
    python.args(["-c", to_json, "values.yaml", "Chart.yaml"]).current_dir(chart());
    let read: Value = serde_json::from_slice(&output(&mut python, b"").await.stdout).unwrap();
    let schema = fs::read_to_string(chart().join("values.schema.json")).unwrap();
    let mut known = BTreeSet::new();
    described(&serde_json::from_str(&schema).unwrap(), "", &mut known);
    known.remove(".global");
    for path in &known {
        let pointer = path.replace('.', "/");
        assert!(read[0].pointer(&pointer).is_some(), "{path} is not in values.yaml");
    }
    for field in ["version", "appVersion"] {
        assert_eq!(read[1][field], env!("CARGO_PKG_VERSION"), "{field} in Chart.yaml");
    }
}

/// The files of a pod, in a folder in place of its root, as the kubelet lays them out.
struct Pod {
    root: TempDir,
    containers: Vec<Value>,
}

impl Pod {
    /// The pod of the release, or that of its test. `given` are the objects that the user has.
    fn new(pod: &Value, objects: &[Value], given: &[Given<'_>]) -> Self {
        let made = Self {
            root: tempfile::tempdir().unwrap(),
            containers: list(&pod["containers"]).to_vec(),
        };
        for mount in made.containers.iter().flat_map(|container| list(&container["volumeMounts"])) {
            let folder = made.path(mount["mountPath"].as_str().unwrap());
            fs::create_dir_all(&folder).unwrap();
            let volume = list(&pod["volumes"]).iter().find(|it| it["name"] == mount["name"]);
            let files = volume.map(|volume| files_of(volume, objects, given)).unwrap_or_default();
            made.write(&folder, &files, 1);
        }
        made
    }

    /// Where a file of the pod is.
    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// Its text with the paths that it has in this folder.
    fn moved(&self, text: &str) -> String {
        text.replace(MOUNTED, self.path(MOUNTED).to_str().unwrap())
    }

    /// All files at once, by the swap of a link.
    fn write(&self, folder: &Path, files: &BTreeMap<String, String>, version: u32) {
        let data = folder.join(format!("..version_{version}"));
        fs::create_dir_all(&data).unwrap();
        for (name, text) in files {
            fs::write(data.join(name), self.moved(text)).unwrap();
            let link = folder.join(name);
            if !link.is_symlink() {
                symlink(Path::new("..data").join(name), link).unwrap();
            }
        }
        let (new, old) = (folder.join("..data_tmp"), folder.join("..data"));
        symlink(data.file_name().unwrap(), &new).unwrap();
        fs::rename(new, old).unwrap();
    }

    /// The arguments of a container, but where it listens.
    fn arguments(&self, container: &str) -> Vec<String> {
        let container = self.containers.iter().find(|it| it["name"] == container).unwrap();
        let words = list(&container["args"]).iter().map(|word| self.moved(word.as_str().unwrap()));
        // The name of this host has no number.
        let words = words.map(|word| word.replace("--shard=hostname/", "--shard=0/"));
        words.filter(|word| !word.starts_with("--web.listen-address=")).collect()
    }

    /// The exit code and the words of the program, run in it.
    async fn run(&self, arguments: &[String]) -> (Option<i32>, String) {
        let mut command = program(self.root.path());
        let command = command.args(arguments).env("RECEIVETEST", "five").output();
        let output = timeout(http::LIMIT, command).await.expect("it ends").unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said.into_owned())
    }
}

/// The files in a volume.
fn files_of(volume: &Value, objects: &[Value], given: &[Given<'_>]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut add = |kind: &str, name: &Value, items: &Value| {
        for (key, text) in content(kind, name.as_str().unwrap(), objects, given) {
            let item = list(items).iter().find(|item| item["key"] == key.as_str());
            match item {
                Some(item) => _ = files.insert(item["path"].as_str().unwrap().to_owned(), text),
                None if items.is_null() => _ = files.insert(key, text),
                None => {}
            }
        }
    };
    if let Some(secret) = volume.get("secret") {
        add("Secret", &secret["secretName"], &Value::Null);
    }
    if let Some(map) = volume.get("configMap") {
        add("ConfigMap", &map["name"], &Value::Null);
    }
    for source in list(&volume["projected"]["sources"]) {
        add("Secret", &source["secret"]["name"], &source["secret"]["items"]);
    }
    files
}

fn content(
    kind: &str,
    name: &str,
    objects: &[Value],
    given: &[Given<'_>],
) -> Vec<(String, String)> {
    let text = |(key, text): (&str, &str)| (key.to_owned(), text.to_owned());
    if let Some((.., files)) = given.iter().find(|it| (it.0, it.1) == (kind, name)) {
        return files.iter().copied().map(text).collect();
    }
    let object = of_kind(objects, kind).find(|object| object["metadata"]["name"] == name);
    let object = object.unwrap_or_else(|| panic!("nobody makes the {kind} {name}"));
    let fields = ["data", "stringData"].iter().filter_map(|field| object[field].as_object());
    fields.flatten().map(|(key, value)| text((key, value.as_str().unwrap()))).collect()
}

#[tokio::test]
async fn the_configuration_of_every_values_file_is_good() {
    let folder = tempfile::tempdir().unwrap();
    write_certificates(folder.path(), "mail-probes");
    let certificate = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let (authority, server) = (certificate(CA_FILE), certificate(SERVER_FILE));
    let mail = fs::read_to_string(chart().join("ci/minimal.yaml")).unwrap();
    let mail = mail.split("config:\n").nth(1).unwrap().split("secrets:").next().unwrap();
    let mail = mail.lines().map(|line| line.strip_prefix("  ").unwrap_or(line));
    let mail = mail.collect::<Vec<_>>().join("\n");
    let given: &[Given<'_>] = &[
        ("ConfigMap", "authorities", &[("ca.crt", &authority)]),
        ("Secret", "mailtrip-tls", &[("tls.crt", &server), ("tls.key", &server)]),
        ("Secret", "mail-passwords", &[("sendtest", "one"), ("receivetest", "two")]),
        ("Secret", "other-passwords", &[("password", "three"), ("receivetest", "four")]),
        ("Secret", "mailtrip-config", &[("main.yml", &mail)]),
        ("Secret", "mailtrip-web", &[("web.yml", "{}")]),
    ];
    for name in all_values() {
        let objects = objects(&[&values(&name), "--set=tests.enabled=true"]).await;
        let test = Pod::new(&the(&objects, "Pod")["spec"], &objects, given);
        let (status, said) = test.run(&test.arguments("check")).await;
        assert!(status == Some(0) && said.contains("1 target"), "{name}: {said}");

        let stateful = the(&objects, "StatefulSet");
        let pod = Pod::new(&stateful["spec"]["template"]["spec"], &objects, given);
        let mut arguments = pod.arguments("exporter");
        arguments.push("--config.check".to_owned());
        let (status, said) = pod.run(&arguments).await;
        assert_eq!(status, Some(0), "{name}: {said}");

        // Nobody listens yet, so it is ill: but it has understood how it is asked.
        if let [program, words @ ..] = list(&pod.containers[0]["livenessProbe"]["exec"]["command"])
        {
            assert_eq!(program, "mailtrip_exporter");
            let words: Vec<String> =
                words.iter().map(|word| pod.moved(word.as_str().unwrap())).collect();
            let (status, said) = pod.run(&words).await;
            assert!(status == Some(1) && said.contains("is not healthy"), "{name}: {said}");
        }
    }
}

#[tokio::test]
async fn a_pod_measures_takes_over_a_changed_config_map_and_is_tested() {
    let post = post();
    let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
    let imap = Options::new().clear_text_login();
    let imap = Server::start(Protocol::Imap, &post, imap).await.unwrap();
    let entry = |name: &str| {
        target(name, smtp.port(), imap.port())
            .replace("password: secret-of-b", &format!("password_file: {MOUNTED}/secrets/b"))
    };
    let values = tempfile::tempdir().unwrap();
    let file = values.path().join("values.yaml");
    let config = entry("one").replace('\n', "\n    ");
    let text = format!(
        "config:\n  targets:\n    {config}\nsecrets:\n  files: {{b: secret-of-b}}\n\
         configReload: {{interval: 100ms}}\nweb: {{externalUrl: 'https://monitor.test/mail'}}\n"
    );
    fs::write(&file, text).unwrap();
    let objects = objects(&[&format!("--values={}", file.display())]).await;
    let stateful = the(&objects, "StatefulSet");
    let pod = Pod::new(&stateful["spec"]["template"]["spec"], &objects, &[]);
    let state = pod.path(pod.containers[0]["workingDir"].as_str().unwrap());
    let arguments = pod.arguments("exporter");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let running = Running::start(&state, &arguments).await;
    let received = "mailtrip_probes_received_total{target=\"one\"}";
    running.until("/mail/metrics", |page| is_at_least(page, received, 1.0)).await;
    assert!(state.join("mailtrip-state").is_dir(), "what is kept is in the volume");
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let path = pod.containers[0][probe]["httpGet"]["path"].as_str().unwrap();
        assert_eq!(http::get(&running.address, path).await.status, 200, "{path}");
    }

    let test = Pod::new(&the(&objects, "Pod")["spec"], &objects, &[]);
    let service = "release-mailtrip-exporter:9925";
    let asks = test.arguments("measured");
    let asks: Vec<String> =
        asks.iter().map(|word| word.replace(service, &running.address)).collect();
    assert!(asks.iter().any(|word| word.contains(&running.address)), "{asks:?}");
    let (status, said) = test.run(&asks).await;
    assert_eq!(status, Some(0), "{said}");

    let changed = format!("targets:\n{}{}", entry("one"), entry("two"));
    let files = BTreeMap::from([("mailtrip.yml".to_owned(), changed)]);
    pod.write(&pod.path(MOUNTED).join("config"), &files, 2);
    let received = "mailtrip_probes_received_total{target=\"two\"}";
    running.until("/mail/metrics", |page| is_at_least(page, received, 1.0)).await;
}

#[tokio::test]
async fn the_package_holds_what_its_links_lead_to_and_is_small() {
    let folder = tempfile::tempdir().unwrap();
    let mut helm = Command::new(tool("helm"));
    helm.arg("package").arg(chart()).arg("--destination").arg(folder.path());
    let packed = output(&mut helm, b"").await;
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let package = &rules::files(folder.path(), ".tgz")[0];
    // Helm keeps it with all that it makes in one Secret, of a megabyte at most.
    assert!(fs::metadata(package).unwrap().len() < 200_000);
    let listed = Command::new("tar").arg("tzf").arg(package).output().await.unwrap().stdout;
    let listed = String::from_utf8(listed).unwrap();
    let ours: BTreeSet<&str> =
        listed.lines().filter_map(|name| name.strip_prefix("mailtrip-exporter/files/")).collect();
    let expected = BTreeSet::from([
        "grafana/mail-server.json",
        "grafana/mail-servers.json",
        "prometheus/mailtrip.alerts.rules.yml",
        "prometheus/mailtrip.host.rules.yml",
        "prometheus/mailtrip.recording.rules.yml",
    ]);
    assert_eq!(ours, expected);
    assert!(!listed.contains("/ci/"), "{listed}");
}

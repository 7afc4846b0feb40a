//! A real Chromium, driven over the DevTools protocol through a pair of pipes: no port, no driver
//! program. It ends with its [`Browser`], and so does its profile.

use std::collections::VecDeque;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};

/// The longest wait for anything in the browser.
const DEADLINE: Duration = Duration::from_secs(60);

/// The browser reads commands from descriptor 3 and writes answers to descriptor 4.
const ON_PIPES: &str = "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";

const SWITCHES: [&str; 13] = [
    "--headless",
    // It needs a namespace of its own, which root and many a container cannot give; the pages are ours.
    "--no-sandbox",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--lang=en",
];

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    events: VecDeque<Value>,
    complaints: Vec<String>,
    session: Option<String>,
    newest: u64,
    _profile: TempDir,
}

impl Browser {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", ON_PIPES, "sh", "chromium"]).args(SWITCHES);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        // Reports of crashes, caches and certificates go into the home, whatever the profile.
        command.env("HOME", profile.path());
        for name in ["CACHE", "CONFIG", "DATA", "STATE"] {
            command.env_remove(format!("XDG_{name}_HOME"));
        }
        command.arg("about:blank").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut browser = Self {
            child,
            commands,
            answers,
            events: VecDeque::new(),
            complaints: Vec::new(),
            session: None,
            newest: 0,
            _profile: profile,
        };
        browser.attach().await;
        browser
    }

    async fn attach(&mut self) {
        let target = self.ask("Target.createTarget", json!({"url": "about:blank"})).await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.ask("Target.attachToTarget", attach).await;
        self.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.ask(&format!("{domain}.enable"), json!({})).await;
        }
    }

    /// Sends a command and waits for its answer.
    pub(crate) async fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.newest += 1;
        let id = self.newest;
        let mut command = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&command).unwrap();
        bytes.push(0);
        self.commands.write_all(&bytes).await.unwrap_or_else(|error| {
            panic!("chromium does not take commands ({error}): scripts/install-prerequisites test")
        });
        loop {
            let message = self.read(method).await;
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message:#}");
                return message["result"].clone();
            }
        }
    }

    /// The next message; an event is kept.
    async fn read(&mut self, awaited: &str) -> Value {
        let mut bytes = Vec::new();
        let read = self.answers.read_until(0, &mut bytes);
        let read = timeout(DEADLINE, read).await.unwrap_or_else(|_| panic!("no {awaited}"));
        assert!(read.unwrap() > 0, "chromium has ended: scripts/install-prerequisites test");
        bytes.pop();
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        match message["method"].as_str() {
            Some("Log.entryAdded") => {
                let entry = &message["params"]["entry"];
                let words =
                    ["level", "text", "url"].map(|it| entry[it].as_str().unwrap_or_default());
                self.complaints.push(words.join(" "));
            }
            Some("Runtime.exceptionThrown" | "Runtime.consoleAPICalled") => {
                self.complaints.push(message["params"].to_string());
            }
            Some(_) => self.events.push_back(message.clone()),
            None => {}
        }
        message
    }

    /// Opens an address and waits until it is loaded.
    pub(crate) async fn open(&mut self, address: &str) {
        self.events.clear();
        let navigation = self.ask("Page.navigate", json!({"url": address})).await;
        assert!(navigation["errorText"].is_null(), "{address}: {navigation}");
        self.loaded().await;
    }

    /// Waits until a page that is on its way is loaded.
    pub(crate) async fn loaded(&mut self) {
        let is_loaded = |event: &Value| event["method"] == "Page.loadEventFired";
        while !self.events.iter().any(is_loaded) {
            self.read("Page.loadEventFired").await;
        }
        self.events.clear();
    }

    /// What an expression is worth on the page.
    pub(crate) async fn value(&mut self, expression: &str) -> Value {
        let evaluate =
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.ask("Runtime.evaluate", evaluate).await;
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer:#}");
        answer["result"]["value"].clone()
    }

    /// The same as text.
    pub(crate) async fn text(&mut self, expression: &str) -> String {
        match self.value(expression).await {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    /// Waits until an expression is true.
    pub(crate) async fn wait_for(&mut self, expression: &str) {
        let deadline = Instant::now() + DEADLINE;
        while self.value(expression).await != json!(true) {
            if Instant::now() >= deadline {
                let page = self.text("document.body.innerText").await;
                panic!("never true: {expression}\n{page}");
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Clicks the middle of the first element that a selector names, as a mouse does.
    pub(crate) async fn click(&mut self, selector: &str) {
        let selector = json!(selector);
        let place = self
            .value(&format!(
                "(() => {{ const it = document.querySelector({selector}); \
                 it.scrollIntoView({{block: 'center'}}); const box = it.getBoundingClientRect(); \
                 return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
            ))
            .await;
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": place[0], "y": place[1], "button": "left",
                "clickCount": 1});
            self.ask("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Types into what has the focus.
    pub(crate) async fn type_text(&mut self, text: &str) {
        self.ask("Input.insertText", json!({"text": text})).await;
    }

    /// Presses a key such as `Tab`, of this virtual code.
    pub(crate) async fn press(&mut self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let event =
                json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
            self.ask("Input.dispatchKeyEvent", event).await;
        }
        if key == "Enter" {
            let event = json!({"type": "char", "text": "\r"});
            self.ask("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Takes this size.
    pub(crate) async fn resize(&mut self, width: u32, height: u32, scale: f64) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": scale,
            "mobile": width < 600});
        self.ask("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Prefers `light` or `dark`.
    pub(crate) async fn prefer(&mut self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.ask("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    /// Runs no script of a page from the next one on.
    pub(crate) async fn forbid_scripts(&mut self) {
        self.ask("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    }

    /// What the console has told so far: errors, and what a policy forbade.
    pub(crate) fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// Ends it, and waits until it has left its profile.
    pub(crate) async fn end(mut self) {
        self.session = None;
        self.ask("Browser.close", json!({})).await;
        if timeout(DEADLINE, self.child.wait()).await.is_err() {
            self.child.kill().await.unwrap();
        }
    }
}

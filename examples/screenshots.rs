//! `make screenshots`: runs the demo and draws its pages, as README.md shows them, into `docs/images`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ledger::Token;
use mailtrip_exporter::demo::Demo;
use mailtrip_exporter::probing::send::Origin;
use mailtrip_exporter::supervisor::Supervisor;
use mailtrip_exporter::web::elsewhere::Elsewhere;
use mailtrip_exporter::web::mount::Mount;
use mailtrip_exporter::web::routes::App;
use mailtrip_exporter::web::server::{self, WebConfig};
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

#[path = "../tests/it/support"]
mod it {
    #[allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]
    pub(crate) mod browser;
}

use it::browser::Browser;

/// Long enough for the demo to show what it has: late and lost mail, and a standby that was up and
/// is down again.
const SETTLE: Duration = Duration::from_secs(100);

/// A picture: its file, the page, the width, the most height, and the colours.
const PICTURES: [(&str, &str, u32, u32, &str); 5] = [
    ("status-light", "/", 1280, 1000, "light"),
    ("status-dark", "/", 1280, 1000, "dark"),
    ("status-phone", "/", 360, 900, "light"),
    ("target-light", "/targets/loses-mail", 1280, 1640, "light"),
    ("target-dark", "/targets/refuses-logins", 1280, 1640, "dark"),
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let demo = Demo::start().await?;
    let origin = Origin { instance: Token::random(), host: None };
    let supervisor = Supervisor::start(demo.config(), None, origin).await?;
    let app = Arc::new(App {
        supervisor: Arc::clone(&supervisor),
        mount: Mount::default(),
        elsewhere: Elsewhere::default(),
        telemetry_path: "/metrics".to_owned(),
        enable_lifecycle: false,
        enable_details: false,
    });
    let listeners = server::bind("127.0.0.1:0").await?;
    let address = listeners.first().ok_or("no listener")?.local_addr()?;
    let shutdown = CancellationToken::new();
    let answer = move |request| {
        let app = Arc::clone(&app);
        async move { app.answer(request).await }
    };
    tokio::spawn(server::serve(listeners, WebConfig::none(), answer, shutdown.clone()));
    println!("the demo runs for {} s", SETTLE.as_secs());
    sleep(SETTLE).await;
    draw(&format!("http://{address}")).await?;
    shutdown.cancel();
    supervisor.stop().await;
    Ok(())
}

async fn draw(exporter: &str) -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    let mut browser = Browser::start().await;
    for (name, page, width, height, scheme) in PICTURES {
        browser.prefer(scheme).await;
        browser.resize(width, 900, if width < 600 { 2.0 } else { 1.0 }).await;
        browser.open(&format!("{exporter}{page}")).await;
        let file = folder.join(format!("{name}.png"));
        std::fs::write(&file, picture(&mut browser, width, height).await?)?;
        println!("{}", file.display());
    }
    browser.end().await;
    Ok(())
}

/// The upper part of the page as PNG, at most so high.
async fn picture(
    browser: &mut Browser,
    width: u32,
    most_height: u32,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let height = browser.value("document.documentElement.scrollHeight").await;
    let height = height.as_u64().ok_or("a page without a height")?.min(most_height.into());
    let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
    let command = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
    let answer = browser.ask("Page.captureScreenshot", command).await;
    let data = answer.get("data").and_then(|data| data.as_str()).ok_or("no picture")?;
    Ok(BASE64_STANDARD.decode(data)?)
}

use std::sync::Arc;
use mailtrip_exporter::{demo, http, supervisor::Supervisor, target::{send::Origin, message::Token}};
#[tokio::main]
async fn main() {
    let d = demo::Demo::start().await.unwrap();
    let l = demo::bind(&[]).await.unwrap();
    println!("{}", d.introduction(l[0].local_addr().unwrap(), "/metrics"));
    let s = Supervisor::start(d.config(), Some(d.config_file().to_owned()), Origin { instance: Token::random(), host: None }).await.unwrap();
    let app = Arc::new(http::routes::App { supervisor: s, telemetry_path: "/metrics".into(), enable_lifecycle: true, enable_details: false });
    http::serve(l, http::WebConfig::none(), move |r| { let a = Arc::clone(&app); async move { a.answer(r).await } }, Default::default()).await;
}

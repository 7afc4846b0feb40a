//! What the rows of JMAP mean.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use testserver::faults::{Alteration, Fault, Faults, HttpAnswer, WELL_KNOWN};

use super::{endless, series};
use testserver::faults::Series;

/// An answer whose body ends only where the client goes away.
const WITHOUT_LENGTH: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
const OF_500_MB: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 500000000\r\n\r\n";
const IN_CHUNKS: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

/// A fault of HTTP or JSON, or of a call, or a lie.
pub(super) fn fault(does: &str, faults: &Faults) -> Option<Fault> {
    let of_http = status(does).or_else(|| body(does)).or_else(|| json_of(does));
    of_http.or_else(|| lies(does, faults)).or_else(|| events(does))
}

fn status(does: &str) -> Option<Fault> {
    if let Some(status) = does.strip_prefix("answers ") {
        return status.parse().ok().map(Fault::status);
    }
    let limit = r#"{"type":"urn:ietf:params:jmap:error:limit","limit":"maxConcurrentRequests"}"#;
    let fault = match does {
        "says that a limit is reached" => Fault::Http(HttpAnswer::new(400).body(limit)),
        "redirects to another server" => {
            Fault::Http(HttpAnswer::redirect("https://evil.example/jmap/session"))
        }
        "redirects in circles" => Fault::Http(HttpAnswer::redirect("/.well-known/jmap")),
        "redirects" => Fault::Http(HttpAnswer::redirect("/jmap/session")),
        _ => return None,
    };
    Some(fault)
}

/// Bodies and heads that are too long, or none.
fn body(does: &str) -> Option<Fault> {
    let fault = match does {
        "announces a body of 500 MB" => Fault::RawThenHang(OF_500_MB.to_vec()),
        "sends a body of 500 MB" => endless(OF_500_MB, b"x"),
        "sends a body without end" => endless(WITHOUT_LENGTH, b"[[[["),
        "sends chunks without end" => endless(IN_CHUNKS, b"4\r\n    \r\n"),
        "sends one chunk without end" => endless(IN_CHUNKS, b"f"),
        "sends trailers without end" => {
            endless(&[IN_CHUNKS, b"0\r\n"].concat(), b"X-Field: value\r\n")
        }
        "sends a chunk beyond 64 bits" => {
            Fault::Raw([IN_CHUNKS, b"10000000000000000\r\n"].concat())
        }
        "sends fields without end" => endless(b"HTTP/1.1 200 OK\r\n", b"X-Field: value\r\n"),
        "sends interim answers without end" => endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        "tells two lengths" => Fault::Raw(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\n{}".to_vec(),
        ),
        "compresses its answer" => Fault::Raw(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}".to_vec(),
        ),
        "is cut short" => Fault::Cut(150),
        _ => return None,
    };
    Some(fault)
}

/// JSON of other shapes.
fn json_of(does: &str) -> Option<Fault> {
    let body = match does {
        "answers with a web page" => "<html><script>alert(1)</script></html>".to_owned(),
        "answers with nothing" => String::new(),
        "answers with an empty object" => "{}".to_owned(),
        "answers with an empty list" => "[]".to_owned(),
        "answers no call" => r#"{"methodResponses":[]}"#.to_owned(),
        "answers with numbers" => r#"{"methodResponses":[1,2,3],"apiUrl":7}"#.to_owned(),
        "answers with 100000 nested lists" => "[".repeat(100_000),
        "answers with 100000 nested objects" => r#"{"a":"#.repeat(100_000),
        "answers with 900 KB of empty objects" => {
            format!(r#"{{"methodResponses":[["Email/get",{{"list":[{}"#, "{},".repeat(300_000))
        }
        "answers with a number of 900 KB" => "9".repeat(900_000),
        _ => return None,
    };
    Some(Fault::Http(HttpAnswer::new(200).body(body)))
}

/// What is not so, and errors of calls.
fn lies(does: &str, faults: &Faults) -> Option<Fault> {
    let fault = match does {
        "shows what it has destroyed" => {
            faults.pretend_to_destroy();
            Fault::None
        }
        "refuses to destroy" => altered(|answer| {
            let ids = answer["destroyed"].take();
            let error = json!({"type": "forbidden", "description": "\u{1b}[31mno"});
            let ids = ids.as_array().cloned().unwrap_or_default();
            let ids = ids.iter().filter_map(Value::as_str);
            answer["notDestroyed"] = ids.map(|id| (id.to_owned(), error.clone())).collect();
        }),
        "tells nothing of what it was to destroy" => {
            faults.pretend_to_destroy();
            altered(|answer| answer["destroyed"] = Value::Null)
        }
        "shows each mail twice" => altered(|answer| {
            let Some(list) = answer["list"].as_array_mut() else { return };
            list.extend(list.clone());
        }),
        "shows no mail" => altered(|answer| answer["list"] = json!([])),
        "has a state that jumps" => {
            let times = AtomicU64::new(1);
            altered(move |answer| {
                let state = 1_000_000_007 * times.fetch_add(1, Ordering::Relaxed);
                answer["newState"] = json!(state.to_string());
            })
        }
        "has more changes without end" => altered(|answer| answer["hasMoreChanges"] = json!(true)),
        "has its calls elsewhere" => elsewhere("apiUrl"),
        "has its events elsewhere" => elsewhere("eventSourceUrl"),
        "is an account without mail" => whole(|resource| {
            resource["primaryAccounts"] = json!({});
            resource["accounts"] = json!({});
        }),
        _ => Fault::call_error(does.strip_prefix("fails by ")?),
    };
    Some(fault)
}

fn events(does: &str) -> Option<Fault> {
    let state = "event: state\ndata: {\"changed\":{\"a72697461\":{\"Email\":\"x{n}\"}}}\n\n";
    let fault = match does {
        "ends its events" => Fault::Http(HttpAnswer::new(200)),
        "sends an event without end" => endless(STREAM, b"data: x\n"),
        "sends a line without end" => endless(STREAM, b"data: x"),
        "sends pings without end" => endless(STREAM, b"event: ping\ndata: {}\n\n"),
        "sends a state and pings without end" => {
            let first = [STREAM, state.replace("{n}", "").as_bytes()].concat();
            endless(&first, b"event: ping\ndata: {}\n\n")
        }
        "tells of a delivery, then of others' mail without end" => {
            let delivery = state.replace("\"Email\"", "\"EmailDelivery\":\"1\",\"Email\"");
            series(
                &format!("{}{delivery}", String::from_utf8_lossy(STREAM)),
                state,
                Series::ENDLESS,
                "",
            )
        }
        "sends states without end" => {
            series(&String::from_utf8_lossy(STREAM), state, Series::ENDLESS, "")
        }
        _ => return None,
    };
    Some(fault)
}

fn elsewhere(url: &'static str) -> Fault {
    whole(move |resource| resource[url] = json!("https://evil.example/jmap/"))
}

/// The proper answer, changed.
fn whole(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Fault {
    Fault::Alter(Alteration::new(move |body| {
        let Ok(mut answer) = serde_json::from_slice(&body) else { return body };
        change(&mut answer);
        answer.to_string().into_bytes()
    }))
}

/// The proper answers of all calls of a request, changed.
fn altered(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Fault {
    whole(move |answer| {
        let calls = answer["methodResponses"].as_array_mut();
        calls.into_iter().flatten().for_each(|call| change(&mut call[1]));
    })
}

/// Where a fault at `at` is written.
pub(super) fn point(at: &str) -> &str {
    if at == "well-known" { WELL_KNOWN } else { at }
}

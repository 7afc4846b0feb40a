//! What the words of the table mean: each is a script for one of the embedded servers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use testserver::faults::{Alteration, Fault, Faults, GREETING, HttpAnswer, Series};

use super::table::{Kind, Row};

mod jmap;

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_secs(1);
const HEADER: &str = "From: a@b.example\r\nSubject: hello\r\n\r\n";
/// A fatal alert: handshake_failure.
const ALERT: &[u8] = b"\x15\x03\x01\x00\x02\x02\x28";

/// Has a server do what the row says.
///
/// # Panics
/// If there are words in the table that nobody knows.
pub(crate) fn write(row: &Row, faults: &Faults) {
    let (does, at) = (row.does.as_str(), row.at.as_str());
    if row.server == Kind::Imap && at == "CAPABILITY" {
        // One whose greeting does not tell is asked.
        faults.on(GREETING, Fault::reply("* OK ready"));
    }
    if let Some(uid_next) = does.strip_prefix("UIDNEXT ") {
        return faults.tell_uid_next(uid_next.parse().unwrap_or_else(|_| panic!("{does}")));
    }
    if does == "STAT and UIDL of a million" {
        faults.on("STAT", Fault::reply("+OK 1000000 99999999"));
    }
    let fault = any(row).or_else(|| match row.server {
        Kind::Smtp => smtp(does, at),
        Kind::Imap => imap(does, at),
        Kind::Pop3 => pop3(does, faults),
        Kind::Jmap => jmap::fault(does, faults),
    });
    faults.on(
        jmap::point(at),
        fault.unwrap_or_else(|| panic!("the table does not say how: {}", row.name())),
    );
}

/// What every kind of server can do.
fn any(row: &Row) -> Option<Fault> {
    let fault = match row.does.as_str() {
        "behaves" | "STARTTLS: behaves" | "STARTTLS: stripped" => Fault::None,
        "is silent" | "TLS: is silent" | "STARTTLS: is silent" => Fault::Hang,
        "closes" => Fault::Close,
        // Not before the client knows that it is connected.
        "resets" => Fault::After(MOMENT, Box::new(Fault::Reset)),
        "a byte a second" => Fault::Trickle(b"*".to_vec(), SECOND),
        "lines, a byte a second" => Fault::Trickle(still_here(row.server).to_vec(), SECOND),
        "an endless line" => endless(b"", b"x"),
        "NUL bytes" => endless(b"", b"\0"),
        "random bytes" => endless(b"", &random_bytes()),
        "TLS: garbage" => Fault::RawThenHang(b"\x16\x03\x01\x02\x00garbage".repeat(30)),
        "TLS: an alert" => Fault::RawThenHang(ALERT.to_vec()),
        "STARTTLS: an alert" => after_a_moment(ALERT.to_vec()),
        "TLS: endless garbage" => {
            endless(b"", &[b"\x16\x03\x03\x40\x00".as_slice(), &[0; 0x4000]].concat())
        }
        "STARTTLS: half a ServerHello" => after_a_moment(half_a_server_hello()),
        "STARTTLS: refused" => Fault::reply(match row.server {
            Kind::Smtp => "454 4.7.0 no",
            Kind::Imap => "{tag} NO no",
            Kind::Pop3 | Kind::Jmap => "-ERR no",
        }),
        "STARTTLS: injects plaintext" => Fault::Append(injected(row.server).to_owned()),
        "ANSI and HTML" if row.server == Kind::Jmap => {
            Fault::Raw(ansi_and_html(row.server).as_bytes().to_vec())
        }
        "ANSI and HTML" => Fault::reply(ansi_and_html(row.server)),
        "echoes the password" if row.server == Kind::Jmap => {
            Fault::Http(HttpAnswer::new(401).body(echoes(row.server)))
        }
        "echoes the password" => Fault::reply(echoes(row.server)),
        _ => return None,
    };
    Some(fault)
}

fn still_here(server: Kind) -> &'static [u8] {
    match server {
        Kind::Smtp => b"250-still here\r\n",
        Kind::Imap => b"* OK still here\r\n",
        Kind::Pop3 => b"+OK still\r\n",
        Kind::Jmap => b"HTTP/1.1 102 Processing\r\n\r\n",
    }
}

fn injected(server: Kind) -> &'static str {
    match server {
        Kind::Smtp => "250-evil.test\r\n250 AUTH PLAIN",
        Kind::Imap => "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nM3 OK injected",
        Kind::Pop3 | Kind::Jmap => "+OK\r\nSASL PLAIN\r\n.",
    }
}

fn ansi_and_html(server: Kind) -> &'static str {
    match server {
        Kind::Smtp => "550 5.7.1 \x1b[31m<script>alert(1)</script>\x07 \"q\" \u{202e}",
        Kind::Imap => "{tag} NO \x1b[31m<script>alert(1)</script> \u{202e}",
        Kind::Pop3 => "-ERR \x1b[31m<script>alert(1)</script> \u{202e}",
        Kind::Jmap => {
            "HTTP/1.1 403 \x1b[31m<script>alert(1)</script>\r\nContent-Length: 55\r\n\r\n\
             {\"detail\":\"\\u001b[31m\\u202e <script>alert(1)</script>\"}"
        }
    }
}

fn echoes(server: Kind) -> &'static str {
    match server {
        Kind::Smtp => "535 5.7.8 {user} said {password}, {base64}, in {line}",
        Kind::Imap => "* OK {password}\r\n{tag} NO {user} said {password}, {base64}, in {line}",
        Kind::Pop3 => "-ERR [AUTH] {user} said {password}, {base64}, in {line}",
        Kind::Jmap => r#"{"detail":"{user} said {password}, {base64}, in {line}"}"#,
    }
}

fn smtp(does: &str, at: &str) -> Option<Fault> {
    let code = if at == GREETING { "220" } else { "250" };
    let fault = match does {
        "10000 lines" => {
            let tail = format!("{code} ok");
            series("", &format!("{code}-x\r\n"), 10_000, &tail)
        }
        "endless lines" => endless(b"", b"250-ok ok\r\n"),
        "answers before the mail" => Fault::RawThenHang(b"354 go\r\n250 ok\r\n".to_vec()),
        "code 999" => Fault::reply("999 what is this"),
        _ => return None,
    };
    Some(fault)
}

fn imap(does: &str, at: &str) -> Option<Fault> {
    imap_floods(does).or_else(|| imap_numbers(does, at)).or_else(|| imap_lies(does))
}

/// Answers of great length.
fn imap_floods(does: &str) -> Option<Fault> {
    let fetched = format!("BODY[HEADER] {{{}}}\r\n{HEADER})\r\n", HEADER.len());
    let fault = match does {
        "announces a literal of 500 MB" => {
            Fault::RawThenHang(b"* 1 FETCH (UID 1 BODY[HEADER] {500000000}\r\n".to_vec())
        }
        "sends a literal of 500 MB" => {
            endless(b"* 1 FETCH (UID 1 BODY[HEADER] {500000000}\r\n", b"x")
        }
        "sends a literal of 60 MB" => {
            endless(b"* 1 FETCH (UID 1 BODY[HEADER] {60000000}\r\n", b"x")
        }
        "a literal of 60 MB" => endless(b"* CAPABILITY {60000000}\r\n", b"x"),
        "100000 nested parentheses" => answer(&format!(
            "* 1 FETCH (UID 1 X {}{})\r\n",
            "(".repeat(100_000),
            ")".repeat(100_000)
        )),
        "1 MB of parentheses" => answer(&format!("* 1 FETCH {}\r\n", "(".repeat(1_000_000))),
        "endless lines of 1 MB of parentheses" => {
            endless(b"", format!("* 1 FETCH {}\r\n", "(".repeat(1_000_000)).as_bytes())
        }
        "8 MB of parentheses and literals" => {
            let part = format!("{}{{0}}\r\n ", "(".repeat(900_000));
            answer(&format!("* 1 FETCH {}\r\n", part.repeat(8)))
        }
        "endless empty literals" => endless(b"* 1 FETCH ({0}\r\n", b" {0}\r\n"),
        "endless untagged OK" => endless(b"", b"* OK fine\r\n"),
        "endless untagged FETCH" => endless(b"", b"* 1 FETCH (FLAGS (\\Seen))\r\n"),
        "endless LIST" => endless(b"", b"* LIST () \"/\" folder\r\n"),
        "LIST of 7 MB" => answer(&"* LIST () \"/\" f\r\n".repeat(400_000)),
        "endless SEARCH" => endless(b"", b"* SEARCH 1 2 3 4 5 6 7\r\n"),
        "the same FETCH without end" => {
            endless(b"", format!("* 1 FETCH (UID 77 {fetched}").as_bytes())
        }
        "FETCH of rising UIDs without end" => {
            series("", &format!("* {{n}} FETCH (UID {{n}} {fetched}"), Series::ENDLESS, "")
        }
        "FETCH without header, without end" => {
            series("", "* {n} FETCH (UID {n} FLAGS ())\r\n", Series::ENDLESS, "")
        }
        "endless EXISTS" => endless(b"+ idling\r\n", b"* 1 EXISTS\r\n"),
        "endless OK" => endless(b"+ idling\r\n", b"* OK x\r\n"),
        _ => return None,
    };
    Some(fault)
}

/// Numbers and lists beyond all measure.
fn imap_numbers(does: &str, at: &str) -> Option<Fault> {
    let ranges = format!("* ESEARCH UID ALL {}\r\n", vec!["1:4294967295"; 75_000].join(","));
    let opened = "* OK [UIDVALIDITY 7] v\r\n* OK [UIDNEXT 1] n\r\n";
    let fault = match does {
        "capabilities of 1 MB" => {
            series("* CAPABILITY IMAP4rev1 AUTH=PLAIN", " A{n}", 150_000, "\r\n{tag} OK done")
        }
        "capabilities, 7 lines of 1 MB" => {
            answer(&format!("* CAPABILITY {}\r\n", "A ".repeat(500_000)).repeat(7))
        }
        "EXISTS 4294967295" | "EXISTS 4294967296" => exists(does),
        "a million EXISTS" => {
            series("", "* {n} EXISTS\r\n", 1_000_000, &format!("{opened}{{tag}} OK done"))
        }
        // Where a folder is opened it is no answer at all.
        "ESEARCH of endless ranges" if at == "SELECT" => Fault::Before(ranges),
        "ESEARCH of endless ranges" => answer(&ranges),
        "COPYUID of endless ranges" => {
            let all = vec!["1:4294967295"; 1_000].join(",");
            Fault::reply(format!("{{tag}} OK [COPYUID 7 {all} {all}] done"))
        }
        _ => return None,
    };
    Some(fault)
}

/// What is not so.
fn imap_lies(does: &str) -> Option<Fault> {
    let foreign = format!("* 5 FETCH (UID 999 BODY[HEADER] {{{}}}\r\n{HEADER})\r\n", HEADER.len());
    let fault = match does {
        "a mail that was not asked for" => answer(&foreign),
        "UIDs that go down" => renumbered(|uid| vec![1_000_000_u64.saturating_sub(uid)]),
        "UIDs that repeat" => renumbered(|_| vec![5]),
        "each mail under two UIDs" => renumbered(|uid| vec![uid, uid + 500]),
        "says OK and does nothing" => answer(""),
        "UIDVALIDITY new each time" => new_validity(),
        "BYE, then OK" => answer("* BYE going down \x1b[1m\r\n"),
        "garbage in between" => {
            Fault::Before("garbage line\r\n\r\nmore {12}\r\n* 7 FOO BAR\r\n\0\0\0".to_owned())
        }
        "a wrong tag" => Fault::RawThenHang(b"ZZZ9 OK not yours\r\n".to_vec()),
        "refuses" => Fault::reply("{tag} NO no"),
        _ => return None,
    };
    Some(fault)
}

fn pop3(does: &str, faults: &Faults) -> Option<Fault> {
    let fault = match does {
        "STAT and UIDL of a million" => series("+OK\r\n", "{n} u{n}\r\n", 1_000_000, "."),
        "200000 ids of 490 bytes" => {
            faults.on("TOP", Fault::reply(format!("+OK\r\n{HEADER}.")));
            let each = format!("{{n}} {}{{n}}\r\n", "u".repeat(480));
            series("+OK\r\n", &each, 199_990, ".")
        }
        "endless listing in one line" => endless(b"+OK\r\n1 ", b"x"),
        "a header without end" => endless(b"+OK\r\n", b"X-Header: value value value\r\n"),
        "a header in one endless line" => endless(b"+OK\r\n", b"x"),
        "500 mails, each after 0.5 s" => {
            faults.on("STAT", Fault::reply("+OK 500 99999"));
            faults.on("UIDL", series("+OK\r\n", "{n} a{n}\r\n", 500, "."));
            let header = Fault::reply(format!("+OK\r\n{HEADER}."));
            Fault::After(Duration::from_millis(500), Box::new(header))
        }
        "endless capabilities" => endless(b"+OK\r\n", b"X-CAP\r\n"),
        "LOGIN-DELAY 999999999999" => Fault::reply(
            "+OK\r\nTOP\r\nUIDL\r\nUSER\r\nSASL PLAIN\r\nLOGIN-DELAY 999999999999\r\n.",
        ),
        "counts beyond 64 bits" => Fault::reply("+OK 18446744073709551616 99"),
        "one id for all" => Fault::Alter(Alteration::new(one_id)),
        "says OK and does nothing" => Fault::reply("+OK"),
        _ => return None,
    };
    Some(fault)
}

/// These responses, then the tagged OK; nothing is done.
fn answer(untagged: &str) -> Fault {
    Fault::Series(Series {
        head: untagged.as_bytes().to_vec(),
        each: String::new(),
        count: 0,
        tail: "{tag} OK done".to_owned(),
    })
}

fn endless(first: &[u8], pattern: &[u8]) -> Fault {
    Fault::Flood(first.to_vec(), pattern.to_vec())
}

fn series(head: &str, each: &str, count: u64, tail: &str) -> Fault {
    let (head, each, tail) = (head.as_bytes().to_vec(), each.to_owned(), tail.to_owned());
    Fault::Series(Series { head, each, count, tail })
}

/// No protocol, and the same in each run (a linear congruential generator).
fn random_bytes() -> Vec<u8> {
    let mut state = 5_u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..1 << 16).map(|_| next()).collect()
}

/// Not in one segment with what stands before it, which would be another fault.
fn after_a_moment(bytes: Vec<u8>) -> Fault {
    Fault::After(MOMENT, Box::new(Fault::RawThenHang(bytes)))
}

fn half_a_server_hello() -> Vec<u8> {
    [b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03".as_slice(), &[0x11; 20]].concat()
}

/// The proper answer of FETCH, in which each mail has other UIDs than its own, or several.
fn renumbered(uids: impl Fn(u64) -> Vec<u64> + Send + Sync + 'static) -> Fault {
    Fault::Alter(Alteration::new(move |answer| {
        let text = String::from_utf8_lossy(&answer).into_owned();
        // The header of a mail holds no such line.
        let mut parts = text.split("* ");
        let mut altered = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let uid = part.split_once("(UID ").and_then(|(head, rest)| {
                let digits = rest.chars().take_while(char::is_ascii_digit).count();
                let (uid, tail) = rest.split_at(digits);
                Some((head, uid.parse().ok()?, tail))
            });
            let Some((head, uid, tail)) = uid else {
                altered.push_str(&format!("* {part}"));
                continue;
            };
            // What ends the command stands behind the last of them.
            let (own, end) = tail.rsplit_once(")\r\n").unwrap_or((tail, ""));
            for uid in uids(uid) {
                altered.push_str(&format!("* {head}(UID {uid}{own})\r\n"));
            }
            altered.push_str(end);
        }
        altered.into_bytes()
    }))
}

/// The proper answer of SELECT, in which another number of mails exists.
fn exists(instead: &str) -> Fault {
    let number = instead.trim_start_matches("EXISTS ").to_owned();
    Fault::Alter(Alteration::new(move |answer| {
        let text = String::from_utf8_lossy(&answer).into_owned();
        let lines = text.lines().map(|line| {
            if line.ends_with(" EXISTS") {
                format!("* {number} EXISTS\r\n")
            } else {
                format!("{line}\r\n")
            }
        });
        lines.collect::<String>().into_bytes()
    }))
}

fn new_validity() -> Fault {
    let times = AtomicU64::new(1);
    Fault::Alter(Alteration::new(move |answer| {
        let text = String::from_utf8_lossy(&answer).into_owned();
        let Some((head, rest)) = text.split_once("[UIDVALIDITY ") else { return answer };
        let (_, tail) = rest.split_once(']').unwrap_or_default();
        let validity = times.fetch_add(1, Ordering::Relaxed);
        format!("{head}[UIDVALIDITY {validity}]{tail}").into_bytes()
    }))
}

fn one_id(answer: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8_lossy(&answer).into_owned();
    let lines = text.lines().map(|line| match line.split_once(' ') {
        Some((number, _)) if number.parse::<u32>().is_ok() => format!("{number} same\r\n"),
        _ => format!("{line}\r\n"),
    });
    lines.collect::<String>().into_bytes()
}

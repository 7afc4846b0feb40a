//! The file in which a domain says where its mail servers are, as mail programs for people read it: `clientConfig`
//! 1.1 (draft-ietf-mailmaint-autoconfig), over verified TLS only.
//!
//! No third party is asked, for it would learn who asks; no redirect is followed.

use std::fmt;
use std::time::Duration;

use hyper::Request;
use hyper::header::{ACCEPT, HeaderValue};
use lettre::Address;
use roxmltree::{Document, Node, ParsingOptions};
use tokio::time::Instant;

use super::{MailProtocol, Offer, host_name};
use crate::http;
use crate::net::tls::{self, TlsClients};
use crate::options::{Endpoint, TlsMode, TlsOptions};
use crate::text::{is_unsafe, shown};
use crate::{Fault, Reason};

/// The longest file that is read.
const BYTES: usize = 64 << 10;
/// The most nodes of its tree.
const NODES: u32 = 4096;
/// The most signs of an attribute: the parser compares each of an element with all of them.
const ATTRIBUTES: usize = 1000;
/// The most servers that are taken from it.
const SERVERS: usize = 16;
/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// A place where the file may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    host: String,
    path: String,
}

/// For people: the address, without the query.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "https://{}{path}", self.host)
    }
}

/// Where the file of an address may be, the first place first. `domain` is that of the address, in ASCII.
pub fn places(address: &Address, domain: &str) -> [Place; 2] {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("emailaddress", address.as_ref());
    let path = format!("/mail/config-v1.1.xml?{}", query.finish());
    let known = "/.well-known/autoconfig/mail/config-v1.1.xml".to_owned();
    [
        Place { host: format!("autoconfig.{domain}"), path },
        Place { host: domain.to_owned(), path: known },
    ]
}

/// Asks for the file, and gives the servers in it that are protected by TLS, in its order.
///
/// # Errors
/// Why there is none: the connection's reasons, and [`Reason::Protocol`] for what is no such file. The message is fit
/// to be shown.
pub async fn ask(
    place: &Place,
    address: &Address,
    tls_options: &TlsOptions,
    clients: &TlsClients,
) -> Result<Vec<Offer>, Fault> {
    fetch(place, address, tls_options, clients).await.map_err(|fault| {
        let message = shown(fault.message.as_bytes());
        Fault { message, ..fault }
    })
}

async fn fetch(
    place: &Place,
    address: &Address,
    tls_options: &TlsOptions,
    clients: &TlsClients,
) -> Result<Vec<Offer>, Fault> {
    let client = clients.client(tls_options).map_err(|error| {
        Fault::new(Reason::Other, format!("cannot begin TLS: {}", tls::words(&error)))
    })?;
    let endpoint = Endpoint {
        tls_options: tls_options.clone().into(),
        ..Endpoint::new(&place.host, 443, TlsMode::Implicit).with_timeout(PATIENCE)
    };
    let mut request = http::question(&endpoint, 443, Request::get(&place.path), String::new())?;
    let kinds = HeaderValue::from_static("application/xml, text/xml;q=0.9, */*;q=0.1");
    request.headers_mut().insert(ACCEPT, kinds);
    let deadline = Instant::now() + PATIENCE;
    let (status, body) = http::ask(&endpoint, Some(&client), request, BYTES, deadline).await?;
    if !status.is_success() {
        let redirect = if status.is_redirection() { " (redirects are not followed)" } else { "" };
        let message = format!("HTTP status {}{redirect}", status.as_u16());
        return Err(Fault::new(Reason::Rejected, message));
    }
    read(&body, address).map_err(|message| Fault::new(Reason::Protocol, message))
}

/// The servers in such a file that are protected by TLS, in its order, sixteen at most.
///
/// # Errors
/// That it is no such file.
pub fn read(xml: &[u8], address: &Address) -> Result<Vec<Offer>, String> {
    let text = xml.get(..BYTES.min(xml.len())).and_then(|xml| std::str::from_utf8(xml).ok());
    let text = text.ok_or("the file is not UTF-8")?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.bytes().filter(|byte| *byte == b'=').count() > ATTRIBUTES {
        return Err("the file has too many attributes".to_owned());
    }
    // A DTD, and with it every entity of its own, is refused.
    let options = ParsingOptions { nodes_limit: NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options)
        .map_err(|_| "the file is no XML, or has a DTD".to_owned())?;
    let root = document.root_element();
    if root.tag_name().name() != "clientConfig" {
        return Err("the file is XML, but no clientConfig".to_owned());
    }
    let servers = root.descendants().filter(Node::is_element);
    Ok(servers.filter_map(|server| offer(server, address)).take(SERVERS).collect())
}

/// The server of an element, if it is one that can be used.
fn offer(server: Node<'_, '_>, address: &Address) -> Option<Offer> {
    let protocol = match (server.tag_name().name(), server.attribute("type")?) {
        ("incomingServer", "imap") => MailProtocol::Imap,
        ("incomingServer", "pop3") => MailProtocol::Pop3,
        ("outgoingServer", "smtp") => MailProtocol::Smtp,
        _ => return None,
    };
    let tls = match text_of(server, "socketType")?.to_ascii_uppercase().as_str() {
        "SSL" | "TLS" => TlsMode::Implicit,
        "STARTTLS" => TlsMode::StartTls,
        _ => return None,
    };
    let host = host_name(&filled(text_of(server, "hostname")?, address)?)?;
    let port = text_of(server, "port")?.parse().ok().filter(|port| *port != 0)?;
    let username = text_of(server, "username").and_then(|name| filled(name, address));
    let mut ways = children(server, "authentication").filter_map(|way| way.text()).peekable();
    let takes_no_password =
        ways.peek().is_some() && ways.all(|way| way.trim().eq_ignore_ascii_case("OAuth2"));
    Some(Offer { username, takes_no_password, ..Offer::new(protocol, host, port, tls) })
}

fn children<'a, 'input: 'a>(
    node: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

fn text_of<'a>(node: Node<'a, '_>, name: &'static str) -> Option<&'a str> {
    let text = children(node, name).next()?.text()?.trim();
    (!text.is_empty()).then_some(text)
}

/// The text with the parts of the address in it; `None` where it asks for something that only a person knows, or is
/// no line.
fn filled(text: &str, address: &Address) -> Option<String> {
    let filled = text
        .replace("%EMAILADDRESS%", address.as_ref())
        .replace("%EMAILLOCALPART%", address.user())
        .replace("%EMAILDOMAIN%", address.domain());
    let is_left = |word: &str| filled.contains(word);
    let fits = filled.len() <= 254 && !filled.chars().any(is_unsafe);
    (fits && !["%EMAIL", "%REALNAME%", "%USERNAME%"].into_iter().any(is_left)).then_some(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Address {
        "rita@example.com".parse().unwrap()
    }

    fn found(servers: &str) -> Vec<String> {
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<clientConfig version=\"1.1\">\n\
             <emailProvider id=\"example.com\"><domain>example.com</domain>{servers}</emailProvider>\n\
             </clientConfig>"
        );
        let offers = read(xml.as_bytes(), &address()).unwrap();
        let shown = |offer: Offer| {
            let name = offer.username.as_deref().unwrap_or("-").to_owned();
            format!("{offer} {name}{}", if offer.takes_no_password { " token" } else { "" })
        };
        offers.into_iter().map(shown).collect()
    }

    fn server(kind: &str, inner: &str) -> String {
        let element = if kind == "smtp" { "outgoingServer" } else { "incomingServer" };
        format!("<{element} type=\"{kind}\">{inner}</{element}>")
    }

    const USUAL: &str = "<hostname>Mail.%EMAILDOMAIN%</hostname><port>993</port>\
        <socketType>SSL</socketType><username>%EMAILLOCALPART%</username>\
        <authentication>password-cleartext</authentication>";

    #[test]
    fn servers_are_read_with_the_parts_of_the_address() {
        let pop3 = USUAL.replace("993", " 110 ").replace("SSL", "STARTTLS");
        let smtp = USUAL.replace("993", "465").replace("%EMAILLOCALPART%", "%EMAILADDRESS%");
        let all = [server("imap", USUAL), server("pop3", &pop3), server("smtp", &smtp)].concat();
        assert_eq!(
            found(&all),
            [
                "imap mail.example.com:993, TLS rita",
                "pop3 mail.example.com:110, STARTTLS rita",
                "smtp mail.example.com:465, TLS rita@example.com",
            ]
        );
    }

    #[test]
    fn what_is_not_protected_or_not_understood_is_left_out() {
        for broken in [
            USUAL.replace("SSL", "plain"),
            USUAL.replace("993", "0"),
            USUAL.replace("993", "70000"),
            USUAL.replace("Mail.%EMAILDOMAIN%", "192.0.2.1"),
            USUAL.replace("Mail.%EMAILDOMAIN%", "a b"),
            USUAL.replace("<port>993</port>", ""),
        ] {
            assert_eq!(found(&server("imap", &broken)), [""; 0], "{broken}");
        }
        assert_eq!(found(&server("exchange", USUAL)), [""; 0]);
        assert_eq!(found(&server("imap", USUAL).repeat(40)).len(), SERVERS);
        let asks = USUAL.replace("%EMAILLOCALPART%", "%REALNAME%");
        assert_eq!(found(&server("imap", &asks)), ["imap mail.example.com:993, TLS -"]);
    }

    #[test]
    fn a_server_for_access_tokens_alone_is_known() {
        let token = USUAL.replace("password-cleartext", "OAuth2");
        assert_eq!(found(&server("imap", &token)), ["imap mail.example.com:993, TLS rita token"]);
        let both = format!("{token}<authentication>password-cleartext</authentication>");
        assert_eq!(found(&server("imap", &both)), ["imap mail.example.com:993, TLS rita"]);
    }

    #[test]
    fn what_is_no_such_file_is_told() {
        for (xml, words) in [
            ("<html></html>", "no clientConfig"),
            ("not at all", "no XML"),
            ("<clientConfig>", "no XML"),
            ("<!DOCTYPE a [<!ENTITY b \"c\">]><clientConfig>&b;</clientConfig>", "DTD"),
            ("\u{0}", "no XML"),
        ] {
            let message = read(xml.as_bytes(), &address()).unwrap_err();
            assert!(message.contains(words), "{xml}: {message}");
        }
        assert!(read(b"\xff<clientConfig/>", &address()).unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn the_address_is_escaped_in_the_question() {
        let address = "r+b@example.com".parse().unwrap();
        let [first, second] = places(&address, "example.com");
        assert_eq!(first.path, "/mail/config-v1.1.xml?emailaddress=r%2Bb%40example.com");
        assert_eq!(first.to_string(), "https://autoconfig.example.com/mail/config-v1.1.xml");
        assert!(!second.path.contains("r%2Bb"), "{second:?}");
    }
}

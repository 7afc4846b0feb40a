//! The keys themselves.

use super::Default::{Boolean as Is, Nothing, Required, Text as Word, Told};
use super::Kind::{
    Address, Boolean, Folders, Host, Labels, List, Map, Name, Path, Paths, Ports, Switch, Text,
    Url, Verbatim,
};
use super::{Default, Home, Key, Kind, words};
use crate::config::wants::{dnsbl, domain_checks, expect, reply};
use crate::config::{file, layers, login, side, target, value};

pub(super) const fn key(
    name: &'static str,
    kind: Kind,
    default: Default,
    meaning: &'static str,
) -> Key {
    Key { name, kind, default, meaning }
}

const PORT: Kind = Kind::Number(*value::PORTS.start() as u64, *value::PORTS.end() as u64);
const MESSAGES: Kind =
    Kind::Number(*target::MESSAGES.start() as u64, *target::MESSAGES.end() as u64);
const OUTSTANDING: Kind =
    Kind::Number(*target::OUTSTANDING.start() as u64, *target::OUTSTANDING.end() as u64);
const CONNECTIONS: Kind =
    Kind::Number(*side::CONNECTIONS.start() as u64, *side::CONNECTIONS.end() as u64);
const CONCURRENT_PROBES: Kind =
    Kind::Number(*file::CONCURRENT_PROBES.start() as u64, *file::CONCURRENT_PROBES.end() as u64);
const PACKETS: Kind =
    Kind::Number(*layers::PACKET_COUNTS.start() as u64, *layers::PACKET_COUNTS.end() as u64);
const SIZE: Kind = Kind::Number(*layers::SIZES.start() as u64, *layers::SIZES.end() as u64);

const IP_FAMILIES: Kind = Kind::Word(&words(&side::IP_FAMILIES));
const TLS_MODES: Kind = Kind::Word(&words(&side::TLS_MODES));
const MECHANISMS: Kind = Kind::Word(&words(&login::MECHANISMS));
const PROTOCOLS: Kind = Kind::Word(&words(&side::PROTOCOLS));
const MATCHES: Kind = Kind::Word(&words(&reply::MATCHES));
const OUTCOMES: Kind = Kind::Word(&words(&expect::OUTCOMES));
const REFUSED_AT: Kind = Kind::Word(&words(&expect::PLACES));
const TLS_VERSIONS: Kind = Kind::Word(&words(&side::TLS_VERSIONS));

pub(super) const MAIN: &[Key] = &[
    key(
        "state_dir",
        Path,
        Word(file::DEFAULT_STATE_DIR),
        "The folder for what outlives the process, made with mode 0700",
    ),
    key(
        "location",
        Text,
        Nothing,
        "From where this exporter tests, the label `location` of all targets: to compare exporters at several places",
    ),
    key(
        "max_concurrent_probes",
        CONCURRENT_PROBES,
        Told("100 for each core"),
        "The most test mails of all targets that begin at one time; one that takes longer than a second no longer counts",
    ),
    key(
        "include",
        Paths,
        Nothing,
        "More files, each with `targets` alone; a pattern may match nothing, a plain path must exist",
    ),
    key(
        "defaults",
        Map(Home::Defaults),
        Nothing,
        "Any key of a target but `name`; the value of a target takes precedence, and maps merge key by key",
    ),
    key(
        "targets",
        List(Home::Target),
        Nothing,
        "The mail servers to test; an empty list begins without any",
    ),
];

pub(super) const INCLUDED: &[Key] = &[key(
    "targets",
    List(Home::Target),
    Nothing,
    "The mail servers to test, with the defaults of the main file",
)];

pub(super) const TARGET: &[Key] = &[
    key("name", Name, Required, "A unique name of 1 to 100 characters, the label `target`"),
    key(
        "host",
        Host,
        Nothing,
        "The server, for both sides and the checks; with a final dot no search domain is used",
    ),
    key(
        "interval",
        Kind::Duration(target::INTERVALS),
        Default::Duration(target::INTERVAL),
        "The test period",
    ),
    key("messages", MESSAGES, Default::Number(1), "Test mails in each period"),
    key(
        "late_after",
        Kind::Duration(target::AGES),
        Told("the interval"),
        "The age at which a mail that was not seen is late",
    ),
    key(
        "lost_after",
        Kind::Duration(target::AGES),
        Told("24h, with expect the interval, 15m at least; or late_after if that is longer"),
        "The age at which it is given up; not before late_after",
    ),
    key(
        "max_outstanding",
        OUTSTANDING,
        Default::Number(target::MAX_OUTSTANDING as u64),
        "The most mails kept as outstanding; beyond it the oldest are lost",
    ),
    key(
        "passive",
        Boolean,
        Is(false),
        "The standby node of a cluster: while it is down, it has no values and raises no alarm",
    ),
    key("cluster", Text, Nothing, "The cluster that this node belongs to"),
    key("labels", Labels, Nothing, "Labels that stand on every series of the target"),
    key("from", Address, Required, "The sender of the test mails"),
    key(
        "to",
        Address,
        Required,
        "Their recipient; it may be an alias or a forward that ends in the mailbox of `receive`",
    ),
    key(
        "timeout",
        Kind::Duration(target::TIMEOUTS),
        Default::Duration(target::TIMEOUT),
        "The longest wait for one reply",
    ),
    key(
        "ip_family",
        IP_FAMILIES,
        Word("any"),
        "Which addresses of a host are used; with any it is the one that answers first",
    ),
    key(
        "ssl",
        Boolean,
        Nothing,
        "One switch for both sides in place of `tls`: true is implicit, false is none",
    ),
    key("send", Map(Home::Send), Nothing, "The SMTP server that takes the test mail in"),
    key(
        "receive",
        Map(Home::Receive),
        Required,
        "The mailbox in which the mail arrives; with `expect: refused` it may be left out",
    ),
    key(
        "sender_mailbox",
        Map(Home::SenderMailbox),
        Nothing,
        "The sender's own mailbox, where bounces come in and sent mail is kept; only what is ours is removed",
    ),
    key(
        "match",
        MATCHES,
        Word("test_mail"),
        "What is the arrival of a test mail: the mail itself, or with reply the answer that somebody's responder sends to `from`",
    ),
    key("mail", Map(Home::Mail), Nothing, "What the test mail is like"),
    key(
        "expect",
        OUTCOMES,
        Word("delivered"),
        "What must become of the test mail; all but delivered are for mail that must not pass",
    ),
    key(
        "refused_at",
        REFUSED_AT,
        Told("recipient; message where the mail has a sample"),
        "How far the test of a refusal goes: to a login without a password, to RCPT without a mail, or to the end of the mail",
    ),
    key(
        "inspect",
        Switch(Home::Inspect),
        Is(true),
        "Whether the header of each arrived mail is read for hops, SPF, DKIM, DMARC, spam score and TLS; a map says what else",
    ),
    key(
        "authserv_id",
        Text,
        Told("that of the last receiving server"),
        "Whose Authentication-Results are trusted",
    ),
    key(
        "ping",
        Switch(Home::Ping),
        Is(false),
        "Whether the network is checked too, by ICMP echo; a map says how",
    ),
    key(
        "ports",
        Ports,
        Nothing,
        "More TCP ports to check, beside those of both sides: port, name:port or name:host:port",
    ),
    key("port_checks", Boolean, Is(true), "Whether TCP ports are checked at all"),
    key(
        "port_timeout",
        Kind::Duration(layers::PORT_TIMEOUTS),
        Default::Duration(layers::PORT_TIMEOUT),
        "The longest wait for a TCP port",
    ),
    key(
        "dnsbl",
        Switch(Home::Dnsbl),
        Is(false),
        "Lists by DNS on which the addresses from which the mail goes out are looked up",
    ),
    key(
        "domain_checks",
        Switch(Home::DomainChecks),
        Is(false),
        "Checks of what the domains of `from` and `to` publish about their mail",
    ),
];

const TLS_MEANING: &str = "How the connection is protected: STARTTLS, which is then required, TLS from the first byte, or not";
const USERNAME_MEANING: &str = "The account to log in with";
const FAMILY_MEANING: &str = "Which addresses of the host are used";
const AUTH_MEANING: &str =
    "The mechanism of the login; auto is the strongest that the server offers";

const HOST: Key = key("host", Host, Told("the host of the target"), "The server");
const TLS: Key =
    key("tls", TLS_MODES, Told("starttls; with port 465, 993 or 995 implicit"), TLS_MEANING);
const TLS_OPTIONS_KEY: Key = key(
    "tls_options",
    Map(Home::TlsOptions),
    Nothing,
    "What is accepted and shown in the TLS handshake",
);
const IP_FAMILY: Key = key("ip_family", IP_FAMILIES, Told("that of the target"), FAMILY_MEANING);
const PASSWORD: Key = key(
    "password",
    Verbatim,
    Nothing,
    "The password itself, for everyone to see who reads the file",
);
const PASSWORD_FILE: Key = key(
    "password_file",
    Path,
    Nothing,
    "A file that holds the password alone, read again when it has changed; it may begin with ${CREDENTIALS_DIRECTORY}/",
);
const PASSWORD_ENV: Key =
    key("password_env", Text, Nothing, "The environment variable that holds the password");
const OAUTH2_KEY: Key = key(
    "oauth2",
    Map(Home::OAuth2),
    Nothing,
    "Where access tokens come from, in place of a password",
);
const AUTH: Key = key("auth", MECHANISMS, Word("auto"), AUTH_MEANING);

pub(super) const SEND: &[Key] = &[
    HOST,
    key(
        "mx",
        Boolean,
        Is(false),
        "Send to the hosts of the MX records of the domain in `to`, in place of `host` and without a login",
    ),
    key("port", PORT, Told("25; with tls: implicit 465"), "The TCP port"),
    TLS,
    TLS_OPTIONS_KEY,
    IP_FAMILY,
    key("username", Text, Told("none, which means no login"), USERNAME_MEANING),
    PASSWORD,
    PASSWORD_FILE,
    PASSWORD_ENV,
    OAUTH2_KEY,
    AUTH,
    key("ehlo", Text, Told("the full name of this machine, else its address"), "The name in EHLO"),
    key(
        "max_connections",
        CONNECTIONS,
        Default::Number(side::DEFAULT_MAX_CONNECTIONS.get() as u64),
        "The most connections at one time to this host, port and user",
    ),
];

pub(super) const RECEIVE: &[Key] = &[
    key("protocol", PROTOCOLS, Required, "How the mailbox is read"),
    HOST,
    key(
        "port",
        PORT,
        Told("imap 143, pop3 110; with tls: implicit 993 and 995; jmap 443"),
        "The TCP port",
    ),
    TLS,
    TLS_OPTIONS_KEY,
    IP_FAMILY,
    key("username", Text, Required, USERNAME_MEANING),
    PASSWORD,
    PASSWORD_FILE,
    PASSWORD_ENV,
    OAUTH2_KEY,
    AUTH,
    key(
        "folders",
        Folders,
        Told(r"INBOX and \Junk; of sender_mailbox also \Sent"),
        "The folders to look into, not with pop3; a name that begins with a backslash is found by SPECIAL-USE",
    ),
    key(
        "min_look_interval",
        Kind::Duration(side::LOOK_INTERVALS),
        Default::Duration(*side::LOOK_INTERVALS.start()),
        "The least time between two looks for mail",
    ),
];

const CA_FILE: Key = key(
    "ca_file",
    Path,
    Told("the authorities of the system"),
    "The certificate authorities to trust, in PEM",
);

pub(super) const TLS_OPTIONS: &[Key] = &[
    CA_FILE,
    key("server_name", Host, Told("the host"), "The name in the certificate, and in SNI"),
    key("insecure_skip_verify", Boolean, Is(false), "Accept any certificate"),
    key(
        "min_version",
        TLS_VERSIONS,
        Word("1.2"),
        "The oldest TLS to accept; below 1.2 also small keys, SHA-1 and old renegotiation",
    ),
    key("cert_file", Path, Nothing, "An own certificate with its chain, in PEM; needs `key_file`"),
    key("key_file", Path, Nothing, "Its private key, in PEM without a pass phrase"),
];

pub(super) const OAUTH2: &[Key] = &[
    key("token_url", Url, Required, "The token endpoint of the provider"),
    key("client_id", Text, Required, "The name of this client at the provider"),
    key("client_secret_file", Path, Nothing, "A file that holds the secret of the client"),
    key("scope", Text, Nothing, "The scope to ask for"),
    key(
        "refresh_token_file",
        Path,
        Nothing,
        "A file that holds a refresh token; without it the client shows its own credentials",
    ),
    CA_FILE,
];

pub(super) const INSPECT: &[Key] = &[key(
    "usual",
    Boolean,
    Is(false),
    "Whether it is learned how long each hop usually takes, to tell a slow one from one that is always as slow",
)];

pub(super) const PING: &[Key] = &[
    key("packets", PACKETS, Default::Number(layers::PACKETS as u64), "Requests in each period"),
    key("size", SIZE, Default::Number(layers::SIZE as u64), "Bytes of data in each"),
    key(
        "interval",
        Kind::Duration(layers::PING_TIMES),
        Default::Duration(layers::PING_INTERVAL),
        "The time from one request to the next",
    ),
    key(
        "timeout",
        Kind::Duration(layers::PING_TIMES),
        Default::Duration(layers::PING_TIMEOUT),
        "The longest wait for a reply; one that comes later does not count",
    ),
];

pub(super) const DNSBL: &[Key] = &[
    key("lists", Kind::Zones(Home::DnsblList), Required, "The zones of the lists, 1 to 10"),
    key(
        "addresses",
        Kind::IpAddresses,
        Told("that from which the receiver had the newest mail, by its header"),
        "The addresses from which the mail goes out",
    ),
    key(
        "interval",
        Kind::Duration(dnsbl::INTERVALS),
        Default::Duration(dnsbl::INTERVAL),
        "The time from one question to the next",
    ),
];

pub(super) const DNSBL_LIST: &[Key] = &[
    key("name", Text, Required, "What the list is called, the label `dnsbl`"),
    key(
        "zone_file",
        Path,
        Required,
        "A file that holds the zone alone, as one with a key in it that nobody may see; read again when it has changed",
    ),
];

pub(super) const DOMAIN_CHECKS: &[Key] = &[
    key("checks", Kind::Words(&domain_checks::WORDS), Told("all of them"), "What is checked"),
    key(
        "sending_domain",
        Kind::Domain,
        Told("that of `from`"),
        "The domain of spf, dkim and dmarc",
    ),
    key(
        "receiving_domain",
        Kind::Domain,
        Told("that of `to`"),
        "The domain of mx, mta_sts, tls_rpt and dane",
    ),
    key(
        "addresses",
        Kind::IpAddresses,
        Told(
            "those of `dnsbl`, else that from which the receiver had the newest mail, by its header",
        ),
        "The addresses from which the mail goes out, of ptr",
    ),
    key(
        "interval",
        Kind::Duration(dnsbl::INTERVALS),
        Default::Duration(domain_checks::INTERVAL),
        "The time from one check to the next",
    ),
];

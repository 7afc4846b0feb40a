//! A configuration written down again: as YAML for the page of the running configuration, as
//! sentences for an operator who checks it.

use std::fmt::{self, Write};
use std::net::IpAddr;

use super::side::PORTS_WITH_TLS;
use super::wants::doubts;
use super::{
    Config, Credentials, Endpoint, Expected, LOCATION, Login, OAuth2, PingCheck, Protocol,
    ReceiveSide, Secret, SendSide, Target,
};
use super::{TlsMode, TlsVersion};
use ledger::durations::Written;

mod form;
mod wants;

impl Config {
    /// The configuration in force, with every default written out and each password as
    /// `<secret>`: YAML that loads again once the passwords are put back. Paths of certificates
    /// are absolute. Always in the same order.
    pub fn to_yaml(&self) -> String {
        let mut yaml = Yaml::default();
        yaml.line(0, "state_dir", Text(&self.state_dir.to_string_lossy()));
        if let Some(location) = &self.location {
            yaml.line(0, LOCATION, Text(location));
        }
        yaml.line(0, "max_concurrent_probes", self.max_concurrent_probes);
        match self.targets.is_empty() {
            true => yaml.text.push_str("targets: []\n"),
            false => yaml.head(0, "targets"),
        }
        for target in self.targets.values() {
            yaml.target(target);
        }
        yaml.text
    }

    /// What is allowed and yet worth a look: protection that was turned off or lowered, ports of
    /// another service, times that cannot work, keys without effect, includes without files.
    pub fn warnings(&self) -> Vec<String> {
        let unmatched = self.unmatched_includes.iter();
        let mut warnings: Vec<String> =
            unmatched.map(|pattern| format!("include `{pattern}` matches no file")).collect();
        warnings.extend(self.remarks.iter().map(ToString::to_string));
        if self.targets.is_empty() && self.in_other_shards == 0 {
            warnings.push("no mail server is tested: write a target, then reload".to_owned());
        }
        for target in self.targets.values() {
            warn_target(target, &mut warnings);
        }
        warnings.extend(super::provider::target_warnings(self));
        warnings.extend(self.slow_starts());
        match self.shard {
            None => warnings.extend(self.server_warnings()),
            Some(_) => warnings.extend(self.shared_warnings.iter().cloned()),
        }
        warnings
    }

    /// What all targets together ask of mail servers beyond what these allow.
    pub(super) fn server_warnings(&self) -> Vec<String> {
        let mut warnings = super::provider::account_warnings(self);
        warnings.extend(super::server_defaults::warnings(self));
        warnings
    }

    /// Told where too few sends may begin at one time for those that are due.
    fn slow_starts(&self) -> Option<String> {
        let targets = self.targets.values();
        let due: f64 = targets.map(|target| target.interval.as_secs_f64().recip()).sum();
        // A sum of fractions may be a hair more than the whole number.
        let due = (due - 1e-6).ceil();
        let most = self.max_concurrent_probes;
        (f64::from(most.get()) < due).then(|| {
            format!(
                "`max_concurrent_probes` is {most}: where servers take a second or longer to answer, {most} test periods \
                 begin in a second, and {due:.0} are due: raise it; of targets that share the connections of an account \
                 (`max_connections`) fewer are tested, for each connection waits for its place"
            )
        })
    }

    /// One line a target: what will be probed.
    pub fn describe(&self) -> Vec<String> {
        self.targets.values().map(|target| describe(target)).collect()
    }
}

/// YAML as it is being written.
#[derive(Default)]
struct Yaml {
    text: String,
}

impl Yaml {
    fn target(&mut self, target: &Target) {
        let start = self.text.len();
        self.line(2, "name", Text(target.name.as_str()));
        // The first key stands behind the dash of the list.
        self.text.replace_range(start..start + 4, "  - ");
        self.line(2, "interval", Written(target.interval));
        self.line(2, "messages", target.messages);
        self.line(2, "late_after", Written(target.late_after));
        self.line(2, "lost_after", Written(target.lost_after));
        self.line(2, "max_outstanding", target.max_outstanding);
        self.line(2, "passive", target.passive);
        if let Some(cluster) = &target.cluster {
            self.line(2, "cluster", Text(cluster));
        }
        let own = target.labels.iter().filter(|(name, _)| *name != LOCATION);
        let labels: Vec<String> =
            own.map(|(name, value)| format!("{name}: {}", Text(value))).collect();
        self.line(2, "labels", format_args!("{{{}}}", labels.join(", ")));
        self.line(2, "from", Text(target.from.as_ref()));
        self.line(2, "to", Text(target.to.as_ref()));
        self.line(2, "timeout", Written(target.send.endpoint.timeout));
        self.send(&target.send);
        target.receive.iter().for_each(|side| self.mailbox("receive", side));
        if let Some(side) = &target.sender_mailbox {
            self.mailbox("sender_mailbox", side);
        }
        if target.takes_replies() {
            self.line(2, "match", "reply");
        }
        if let Some(form) = target.form() {
            self.mail(form);
        }
        target.expected().into_iter().for_each(|expected| self.expected(expected));
        match target.usual {
            true => {
                self.head(2, "inspect");
                self.line(3, "usual", true);
            }
            false => self.line(2, "inspect", target.inspect),
        }
        if let Some(id) = &target.authserv_id {
            self.line(2, "authserv_id", Text(id));
        }
        match &target.ping {
            Some(ping) => self.ping(ping),
            None => self.line(2, "ping", false),
        }
        let ports: Vec<String> =
            target.ports.iter().map(|check| format!("'{}:{check}'", check.name)).collect();
        if target.checks_ports {
            self.line(2, "ports", format_args!("[{}]", ports.join(", ")));
        }
        if !target.checks_ports {
            self.line(2, "port_checks", false);
        }
        self.line(2, "port_timeout", Written(target.port_timeout));
        target.dnsbl().into_iter().for_each(|dnsbl| self.dnsbl(dnsbl));
        target.domain_checks().into_iter().for_each(|checks| self.domain_checks(checks));
        // The sides have theirs; this is that of the checks.
        let families = target.ports.iter().map(|check| check.ip_family);
        if let Some(family) = families.chain(target.ping.iter().map(|ping| ping.ip_family)).next() {
            self.line(2, "ip_family", family.label());
        }
    }

    fn ping(&mut self, ping: &PingCheck) {
        self.line(2, "host", Text(&ping.host));
        self.head(2, "ping");
        self.line(3, "packets", ping.packets);
        self.line(3, "size", ping.size);
        self.line(3, "interval", Written(ping.interval));
        self.line(3, "timeout", Written(ping.timeout));
    }

    fn send(&mut self, send: &SendSide) {
        self.head(2, "send");
        if send.endpoint.mx {
            self.line(3, "mx", true);
        }
        self.endpoint(&send.endpoint);
        match &send.login {
            Some(login) => self.login(login),
            None => self.line(3, "username", "none"),
        }
        if let Some(ehlo) = &send.ehlo {
            self.line(3, "ehlo", Text(ehlo));
        }
        self.line(3, "max_connections", send.max_connections);
    }

    fn mailbox(&mut self, key: &str, receive: &ReceiveSide) {
        self.head(2, key);
        self.line(3, "protocol", receive.protocol.label());
        self.endpoint(&receive.endpoint);
        self.login(&receive.login);
        if let Protocol::Imap { folders } | Protocol::Jmap { folders } = &receive.protocol {
            let folders: Vec<String> =
                folders.iter().map(|folder| Text(&folder.to_string()).to_string()).collect();
            self.line(3, "folders", format_args!("[{}]", folders.join(", ")));
        }
        self.line(3, "min_look_interval", Written(receive.min_look_interval));
    }

    fn endpoint(&mut self, endpoint: &Endpoint) {
        if !endpoint.mx {
            self.line(3, "host", Text(&endpoint.host));
        }
        self.line(3, "port", endpoint.port);
        self.line(3, "tls", endpoint.tls.label());
        if endpoint.tls != TlsMode::None {
            self.tls_options(endpoint);
        }
        self.line(3, "ip_family", endpoint.ip_family.label());
    }

    fn tls_options(&mut self, endpoint: &Endpoint) {
        let options = &endpoint.tls_options;
        self.head(3, "tls_options");
        if let Some(file) = &options.ca_file {
            self.line(4, "ca_file", Text(&file.path.to_string_lossy()));
        }
        if let Some(name) = &options.server_name {
            self.line(4, "server_name", Text(name));
        }
        self.line(4, "insecure_skip_verify", options.insecure_skip_verify);
        self.line(4, "min_version", format_args!("'{}'", options.min_version.label()));
        if let Some(identity) = &options.identity {
            self.line(4, "cert_file", Text(&identity.cert_file.path.to_string_lossy()));
            self.line(4, "key_file", Text(&identity.key_file.path.to_string_lossy()));
        }
    }

    fn login(&mut self, login: &Login) {
        self.line(3, "username", Text(&login.username));
        match &login.credentials {
            Credentials::Password(_) => self.line(3, "password", Secret::SHOWN),
            Credentials::OAuth2(provider) => self.oauth2(provider),
        }
        self.line(3, "auth", login.auth.label());
    }

    fn oauth2(&mut self, provider: &OAuth2) {
        self.head(3, "oauth2");
        self.line(4, "token_url", Text(&provider.token_url.to_string()));
        self.line(4, "client_id", Text(&provider.client_id));
        if provider.client_secret.is_some() {
            self.line(4, "client_secret_file", Secret::SHOWN);
        }
        if let Some(scope) = &provider.scope {
            self.line(4, "scope", Text(scope));
        }
        if provider.refresh_token.is_some() {
            self.line(4, "refresh_token_file", Secret::SHOWN);
        }
        if let Some(file) = &provider.tls_options.ca_file {
            self.line(4, "ca_file", Text(&file.path.to_string_lossy()));
        }
    }

    fn head(&mut self, depth: usize, key: &str) {
        self.put(format_args!("{:1$}{key}:\n", "", depth * 2));
    }

    fn line(&mut self, depth: usize, key: &str, value: impl fmt::Display) {
        self.put(format_args!("{:1$}{key}: {value}\n", "", depth * 2));
    }

    fn put(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(text);
    }
}

/// A text in YAML: in quotes unless nothing in it could be taken for anything else.
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = ["true", "false", "null", "yes", "no", "on", "off", "none"];
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '@');
        let plain = self.0.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
            && self.0.chars().all(word)
            && !words.contains(&self.0.to_ascii_lowercase().as_str());
        if plain {
            return f.write_str(self.0);
        }
        if self.0.chars().all(|c| c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ') {
            return write!(f, "'{}'", self.0.replace('\'', "''"));
        }
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ' => f.write_char(c)?,
                c => write!(f, "\\U{:08X}", u32::from(c))?,
            }
        }
        f.write_char('"')
    }
}

fn warn_target(target: &Target, warnings: &mut Vec<String>) {
    let mut warn = |message: &str| warnings.push(format!("target `{}`: {message}", target.name));
    if let Some(longest) = target.ping.as_ref().map(PingCheck::longest)
        && longest > target.interval
    {
        let longest = Written(longest);
        warn(&format!("`ping` may take {longest}, more than `interval`: it is cut off there"));
    }
    if target.authserv_id.is_some() && !target.inspect {
        warn("`authserv_id` is not used: `inspect` is false");
    }
    if target.interval > target.lost_after {
        warn("`lost_after` is shorter than `interval`: a mail is given up before the next is sent");
    }
    if let Some(message) = warn_ehlo(target) {
        warn(&message);
    }
    for message in doubts(target) {
        warn(&message);
    }
    let logs_in = target.send.login.is_some();
    for message in warn_endpoint("send", &target.send.endpoint, logs_in) {
        warn(&message);
    }
    let sender_mailbox =
        target.sender_mailbox.as_deref().into_iter().map(|side| ("sender_mailbox", side));
    let receive = target.receive.iter().map(|side| ("receive", side));
    for (key, side) in receive.chain(sender_mailbox) {
        for message in warn_mailbox(key, side) {
            warn(&message);
        }
    }
}

fn warn_mailbox(key: &str, side: &ReceiveSide) -> Vec<String> {
    let ports_of_others: &[u16] = match side.protocol {
        Protocol::Imap { .. } => &[110, 995],
        Protocol::Pop3 => &[143, 993],
        Protocol::Jmap { .. } => &[110, 143, 993, 995],
    };
    let mut warnings = Vec::new();
    if ports_of_others.contains(&side.endpoint.port) {
        warnings.push(format!("`{key}.port` is that of another protocol"));
    }
    warnings.extend(warn_endpoint(key, &side.endpoint, true));
    warnings
}

/// What is worth a look in one side.
fn warn_endpoint(side: &str, endpoint: &Endpoint, logs_in: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |message: String| warnings.push(message);
    if endpoint.tls == TlsMode::None {
        if logs_in && !is_loopback(endpoint.name()) {
            warn(format!("`{side}.tls` is none: the password is sent in the clear"));
        }
    } else {
        if endpoint.tls_options.insecure_skip_verify {
            warn(format!("`{side}.tls_options.insecure_skip_verify` accepts any certificate"));
        }
        if endpoint.tls_options.min_version < TlsVersion::Tls12 {
            let version = endpoint.tls_options.min_version.label();
            warn(format!("`{side}.tls_options.min_version` allows TLS {version}, which is broken"));
        }
    }
    let begins_with_tls = PORTS_WITH_TLS.contains(&endpoint.port);
    if begins_with_tls != (endpoint.tls == TlsMode::Implicit)
        && (begins_with_tls || [25, 587, 143, 110].contains(&endpoint.port))
    {
        let tls = if begins_with_tls { "implicit" } else { "starttls" };
        warn(format!("`{side}.port` {} usually goes with `tls: {tls}`", endpoint.port));
    }
    warnings
}

/// Many servers refuse a name that is not a full one, some of them only at RCPT.
fn warn_ehlo(target: &Target) -> Option<String> {
    let name = target.send.ehlo.as_deref()?;
    let is_full = name.starts_with('[') || name.trim_end_matches('.').contains('.');
    (!is_full).then(|| {
        format!("`send.ehlo` {name} has no dot: many servers take a full name only, as {name}.example.com")
    })
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn describe(target: &Target) -> String {
    let mails = match target.messages.get() {
        1 => "one mail".to_owned(),
        count => format!("{count} mails"),
    };
    let Target { name, from, to, send, receive, sender_mailbox, .. } = target;
    let interval = Written(target.interval);
    let mut line = format!("{name}: every {interval} {mails} from {from} to {to} through smtp://");
    if let Some(login) = &send.login {
        line += &format!("{}@", login.username);
    }
    line += &format!("{} ({})", send.endpoint, protection(&send.endpoint));
    if let Some(receive) = receive {
        let found = if target.takes_replies() { "its answer found" } else { "found" };
        line += &format!(", {found} by {}", describe_mailbox(receive));
    }
    if let Some(side) = sender_mailbox {
        line += &format!("; bounces and sent copies by {}", describe_mailbox(side));
    }
    if let Some(mail) = target.mail_in_words() {
        line += &format!("; the mail is {mail}");
    }
    line += &format!("; late after {}", Written(target.late_after));
    if target.expected().and_then(Expected::stops_at).is_none() {
        line += &format!(", lost after {}", Written(target.lost_after));
    }
    if let Some(ping) = &target.ping {
        line += &format!("; pings {}", ping.host);
    }
    if !target.ports.is_empty() {
        let ports: Vec<String> = target.ports.iter().map(ToString::to_string).collect();
        line += &format!("; checks {}", ports.join(", "));
    }
    if let Some(expected) = target.expected() {
        line += &format!("; expects {}{}", expected.words(), expected.ending());
    }
    line += &wants::described(target);
    match (target.passive, &target.cluster) {
        (true, Some(cluster)) => line += &format!("; passive node of cluster {cluster}"),
        (true, None) => line += "; passive",
        (false, Some(cluster)) => line += &format!("; node of cluster {cluster}"),
        (false, None) => {}
    }
    line
}

fn describe_mailbox(side: &ReceiveSide) -> String {
    let text = format!("{} ({})", side.mailbox_id(), protection(&side.endpoint));
    let folders: Vec<String> = side.protocol.folders().iter().map(ToString::to_string).collect();
    if folders.is_empty() { text } else { format!("{text} in {}", folders.join(", ")) }
}

fn protection(endpoint: &Endpoint) -> String {
    let Endpoint { tls, port, .. } = endpoint;
    match tls {
        TlsMode::None => "no TLS".to_owned(),
        TlsMode::Implicit if PORTS_WITH_TLS.contains(port) => {
            format!("implicit, the default of port {port}")
        }
        other => other.label().to_owned(),
    }
}

//! What the system says about looking up names: `resolv.conf`, the hosts file and `nsswitch.conf`, read
//! again as soon as one of them has changed.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::resolv::stub::conf::ResolvConf;

use super::Trouble;
use ledger::Shortage;

/// The most of one of these files that is read.
const MOST_BYTES: u64 = 16 << 20;
/// As many name servers are asked as the C library asks (`MAXNS`).
const MOST_SERVERS: usize = 3;
/// The most search domains.
const MOST_DOMAINS: usize = 16;

/// Where the settings are.
#[derive(Debug, Clone)]
pub(in crate::net) struct Files {
    pub(in crate::net) resolv_conf: PathBuf,
    pub(in crate::net) hosts: PathBuf,
    pub(in crate::net) nsswitch: PathBuf,
    /// The port of the name servers.
    pub(in crate::net) port: u16,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            resolv_conf: "/etc/resolv.conf".into(),
            hosts: "/etc/hosts".into(),
            nsswitch: "/etc/nsswitch.conf".into(),
            port: 53,
        }
    }
}

/// What they say.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// Never empty.
    pub(crate) servers: Vec<SocketAddr>,
    /// The domains in which a name is looked for, without a final dot.
    pub(crate) search: Vec<String>,
    /// So many dots make a name that is first looked up as it stands.
    pub(crate) ndots: usize,
    /// How long the first answer of a name server is waited for.
    pub(crate) timeout: Duration,
    /// How often each name server is asked.
    pub(crate) attempts: u32,
    /// Each question begins with another name server.
    pub(crate) rotates: bool,
    /// Questions go over TCP.
    pub(crate) uses_tcp: bool,
    /// Questions say that long answers are understood (EDNS, RFC 6891).
    pub(crate) uses_edns: bool,
    /// The word of the name servers that an answer was validated is believed: they are all on this
    /// machine, or `trust-ad` says so (resolv.conf(5)). Anybody on the way can set that bit.
    pub(crate) trusts_validation: bool,
    /// One family is asked for after the other.
    pub(crate) asks_singly: bool,
    /// A name without a dot is looked for in the search domains only.
    pub(crate) tries_no_tld: bool,
    /// Whether the system knows other sources than the hosts file and name servers, as mDNS or LDAP.
    pub(crate) has_other_sources: bool,
    hosts: HashMap<String, Vec<IpAddr>>,
}

impl Settings {
    /// The addresses of a host in the hosts file, in its order.
    pub(super) fn in_hosts_file(&self, host: &str) -> &[IpAddr] {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        self.hosts.get(&host).map_or(&[], Vec::as_slice)
    }

    /// The names that a host may be meant by, each with a final dot, in the order in which they are
    /// looked up (resolv.conf(5)).
    pub(crate) fn candidates(&self, host: &str) -> Vec<String> {
        if host.ends_with('.') {
            return vec![host.to_owned()];
        }
        let dots = host.matches('.').count();
        let mut names: Vec<String> =
            self.search.iter().map(|domain| format!("{host}.{domain}.")).collect();
        if dots >= self.ndots {
            names.insert(0, format!("{host}."));
        } else if dots > 0 || names.is_empty() || !self.tries_no_tld {
            names.push(format!("{host}."));
        }
        names
    }

    /// What asks this name server alone.
    pub(super) fn with_one(&self, server: SocketAddr) -> Self {
        Self {
            servers: vec![server],
            timeout: self.timeout,
            attempts: self.attempts,
            uses_tcp: self.uses_tcp,
            uses_edns: self.uses_edns,
            ..Self::default()
        }
    }

    /// # Errors
    /// This process is short of what it takes to read a file.
    fn read(files: &Files) -> Result<Self, (Shortage, io::Error)> {
        let text = contents(&files.resolv_conf)?;
        let environment = ["LOCALDOMAIN", "RES_OPTIONS"].map(|name| std::env::var(name).ok());
        let [search, options] = environment;
        let mut settings = Self::of_resolv_conf(&text, search.as_deref(), options.as_deref());
        for server in &mut settings.servers {
            server.set_port(files.port);
        }
        settings.has_other_sources = names_other_sources(&contents(&files.nsswitch)?);
        settings.hosts = hosts(&contents(&files.hosts)?);
        Ok(settings)
    }

    /// `search` and `options` are those of the environment, which win.
    pub(crate) fn of_resolv_conf(text: &str, search: Option<&str>, options: Option<&str>) -> Self {
        let mut conf = ResolvConf::new();
        let mut told_search = false;
        let mut trust = false;
        for line in text.lines() {
            told_search |= take_line(&mut conf, line);
            trust |= trusts(line);
        }
        for (keyword, words) in [("search", search), ("options", options)] {
            if let Some(words) = words {
                let line = format!("{keyword} {words}");
                told_search |= take_line(&mut conf, &line);
                trust |= trusts(&line);
            }
        }
        if !told_search && let Some(domain) = own_domain() {
            take_line(&mut conf, &format!("search {domain}"));
        }
        conf.servers.truncate(MOST_SERVERS);
        // As the C library does: 127.0.0.1 where no server is named.
        conf.finalize();
        let options = &conf.options;
        let domains = options.search.as_slice().iter().map(ToString::to_string);
        Self {
            servers: conf.servers.iter().map(|server| server.addr).collect(),
            search: domains
                .map(|domain| domain.trim_end_matches('.').to_owned())
                .filter(|domain| !domain.is_empty())
                .take(MOST_DOMAINS)
                .collect(),
            // The bounds are those of the C library.
            ndots: options.ndots.min(15),
            timeout: options.timeout.clamp(Duration::from_secs(1), Duration::from_secs(30)),
            attempts: u32::try_from(options.attempts).unwrap_or(5).clamp(1, 5),
            rotates: options.rotate,
            uses_tcp: options.use_vc,
            uses_edns: options.use_edns0,
            trusts_validation: trust
                || conf.servers.iter().all(|server| server.addr.ip().to_canonical().is_loopback()),
            asks_singly: options.single_request || options.single_request_reopen,
            tries_no_tld: options.no_tld_query,
            ..Self::default()
        }
    }
}

/// Takes in one line, and says whether it sets the search list. The parser of the crate gives up at the
/// first line that it does not know, and with a word in a line the rest of it: here each stands alone.
fn take_line(conf: &mut ResolvConf, line: &str) -> bool {
    let line = line.split(['#', ';']).next().unwrap_or_default();
    let mut words = line.split_whitespace();
    match words.next() {
        Some("nameserver") => {
            // Anything else than a literal it would look up.
            if let Some(server) = words.next().filter(|word| is_literal(word)) {
                let _ = conf.parse(&mut format!("nameserver {server}").as_bytes());
            }
            false
        }
        Some("options") => {
            for word in words {
                let _ = conf.parse(&mut format!("options {word}").as_bytes());
            }
            false
        }
        Some("search" | "domain") => conf.parse(&mut line.trim_start().as_bytes()).is_ok(),
        _ => false,
    }
}

/// Whether the line has the option `trust-ad`, which the parser of the crate does not know.
fn trusts(line: &str) -> bool {
    let line = line.split(['#', ';']).next().unwrap_or_default();
    let mut words = line.split_whitespace();
    words.next() == Some("options") && words.any(|word| word == "trust-ad")
}

/// Whether it is an address, perhaps of one interface.
fn is_literal(word: &str) -> bool {
    match word.split_once('%') {
        Some((address, _)) => address.parse::<Ipv6Addr>().is_ok(),
        None => word.parse::<IpAddr>().is_ok(),
    }
}

/// The domain of this machine, where names are looked for if no search list is given.
fn own_domain() -> Option<String> {
    let name = hostname::get().ok()?.into_string().ok()?;
    let (_, domain) = name.split_once('.')?;
    (!domain.is_empty()).then(|| domain.to_owned())
}

/// Whether the line `hosts:` of `nsswitch.conf` names more than the hosts file and name servers.
pub(crate) fn names_other_sources(text: &str) -> bool {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("hosts:"));
    let line = line.unwrap_or_default().split('#').next().unwrap_or_default();
    let mut is_action = false;
    line.replace('[', " [").split_whitespace().any(|word| {
        is_action |= word.starts_with('[');
        let is_source = !is_action && !matches!(word, "files" | "dns");
        is_action &= !word.ends_with(']');
        is_source
    })
}

/// The addresses of each name in a hosts file (hosts(5)), in lower case.
pub(crate) fn hosts(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
        for name in words {
            let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            let addresses = hosts.entry(name).or_default();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    hosts
}

/// What can be read of a file; nothing, if it is not there.
fn contents(path: &Path) -> Result<String, (Shortage, io::Error)> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
    match read {
        // It is there all the same: it must not be taken for an empty one.
        Err(error) if let Some(shortage) = Shortage::of(&error) => Err((shortage, error)),
        _ => Ok(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// What distinguishes one state of a file from another: its device, inode, length, and when it was written and
/// changed, to the nanosecond.
type Stamp = Option<[i128; 5]>;

/// The settings as they are now.
#[derive(Debug)]
pub(super) struct Current {
    files: Files,
    known: Mutex<Option<([Stamp; 3], Arc<Settings>)>>,
}

impl Current {
    pub(super) fn new(files: Files) -> Self {
        Self { files, known: Mutex::default() }
    }

    /// Those of a system that has this name server and no files.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn of_server(server: SocketAddr) -> Self {
        let text = format!("nameserver {}\nsearch .\noptions timeout:2 attempts:1", server.ip());
        let mut settings = Settings::of_resolv_conf(&text, None, None);
        settings.servers = vec![server];
        let [resolv_conf, hosts, nsswitch] = ["", "", ""].map(PathBuf::from);
        let files = Files { resolv_conf, hosts, nsswitch, port: server.port() };
        Self { files, known: Mutex::new(Some(([None; 3], Arc::new(settings)))) }
    }

    /// Three calls of `stat`, and the files only if one has changed.
    ///
    /// # Errors
    /// [`Trouble::Short`], if this process is too short of something to read them.
    pub(super) fn settings(&self) -> Result<Arc<Settings>, Trouble> {
        let Files { resolv_conf, hosts, nsswitch, .. } = &self.files;
        // Before the files are read: a change meanwhile is seen the next time.
        let stamps = [resolv_conf, hosts, nsswitch].map(|path| stamp(path));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((seen, settings)) if *seen == stamps => Ok(Arc::clone(settings)),
            _ => {
                let settings = Settings::read(&self.files).map_err(|(shortage, error)| {
                    let message = format!("what the system says about names: {error}");
                    Trouble::Short(shortage, message)
                })?;
                let settings = Arc::new(settings);
                *known = Some((stamps, Arc::clone(&settings)));
                Ok(settings)
            }
        }
    }
}

fn stamp(path: &Path) -> Stamp {
    let data = fs::metadata(path).ok()?;
    let nanoseconds =
        |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    Some([
        data.dev().into(),
        data.ino().into(),
        data.len().into(),
        nanoseconds(data.mtime(), data.mtime_nsec()),
        nanoseconds(data.ctime(), data.ctime_nsec()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Settings {
        Settings::of_resolv_conf(text, None, None)
    }

    #[test]
    fn each_line_counts_whatever_stands_in_the_others() {
        let settings = of("# made by hand\nlookup file bind\nnameserver 192.0.2.1 # the first\n\
            nameserver dns.example\nnameserver 2001:db8::53\nsearch a.example b.example.\n\
            options ndots:2 colour:blue timeout:3 attempts:4 rotate edns0 use-vc single-request\n\
            nameserver 192.0.2.3\nnameserver 192.0.2.4\n");
        let servers: Vec<String> = settings.servers.iter().map(|it| it.ip().to_string()).collect();
        assert_eq!(servers, ["192.0.2.1", "2001:db8::53", "192.0.2.3"]);
        assert_eq!(settings.search, ["a.example", "b.example"]);
        assert_eq!((settings.ndots, settings.attempts), (2, 4));
        assert_eq!(settings.timeout, Duration::from_secs(3));
        let Settings { rotates, uses_edns, uses_tcp, asks_singly, .. } = settings;
        assert!(rotates && uses_edns && uses_tcp && asks_singly);
    }

    #[test]
    fn without_a_word_all_is_as_in_the_c_library() {
        let settings = of("search .\n");
        assert_eq!(settings.servers, ["127.0.0.1:53".parse().unwrap()]);
        assert_eq!((settings.ndots, settings.attempts), (1, 2));
        assert_eq!(settings.timeout, Duration::from_secs(5));
        assert!(settings.search.is_empty());
        let settings = of("options ndots:99 timeout:999 attempts:0\n");
        assert_eq!((settings.ndots, settings.attempts), (15, 1));
        assert_eq!(settings.timeout, Duration::from_secs(30));
        let settings = Settings::of_resolv_conf(
            "search a.example\noptions ndots:3\n",
            Some("b.example"),
            Some("ndots:4"),
        );
        assert_eq!((settings.search, settings.ndots), (vec!["b.example".to_owned()], 4));
    }

    #[test]
    fn only_a_name_server_of_this_machine_or_trust_ad_is_believed_that_it_validated() {
        for (text, expected) in [
            ("", true),
            ("nameserver 127.0.0.53", true),
            ("nameserver ::1\nnameserver 127.0.0.1", true),
            ("nameserver 192.0.2.1", false),
            ("nameserver 127.0.0.1\nnameserver 192.0.2.1", false),
            ("nameserver 192.0.2.1\noptions edns0 trust-ad # ours", true),
            ("nameserver 192.0.2.1\n# options trust-ad", false),
        ] {
            assert_eq!(of(text).trusts_validation, expected, "{text}");
        }
        let text = "nameserver 192.0.2.1";
        assert!(Settings::of_resolv_conf(text, None, Some("trust-ad")).trusts_validation);
    }

    #[test]
    fn ndots_says_when_a_name_is_first_taken_as_it_stands() {
        let settings = of("search a.example b.example\noptions ndots:2\n");
        let of = |host: &str| settings.candidates(host);
        assert_eq!(of("mx"), ["mx.a.example.", "mx.b.example.", "mx."]);
        assert_eq!(of("mx.x"), ["mx.x.a.example.", "mx.x.b.example.", "mx.x."]);
        assert_eq!(of("mx.x.y"), ["mx.x.y.", "mx.x.y.a.example.", "mx.x.y.b.example."]);
        assert_eq!(of("mx."), ["mx."]);
        let settings = super::Settings { tries_no_tld: true, ..settings };
        assert_eq!(settings.candidates("mx"), ["mx.a.example.", "mx.b.example."]);
    }

    #[test]
    fn only_other_sources_are_asked_for_what_name_servers_do_not_know() {
        for (line, expected) in [
            ("hosts: files dns", false),
            ("hosts:\tfiles [!UNAVAIL=return NOTFOUND = return] dns # ldap", false),
            ("hosts: files mdns4_minimal [NOTFOUND=return] dns", true),
            ("passwd: files ldap\nhosts: files dns[TRYAGAIN=continue] myhostname", true),
            ("passwd: files ldap", false),
        ] {
            assert_eq!(names_other_sources(line), expected, "{line}");
        }
    }

    #[test]
    fn the_hosts_file_knows_names_whatever_their_case() {
        let settings = Settings {
            hosts: hosts("192.0.2.1 Mail.example mail # ours\n2001:db8::1 mail.example\nx y\n"),
            ..Settings::default()
        };
        let expected: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert_eq!(settings.in_hosts_file("mail.EXAMPLE."), expected);
        assert_eq!(settings.in_hosts_file("mail"), &expected[..1]);
        assert!(settings.in_hosts_file("ours").is_empty());
    }

    #[test]
    fn a_name_server_is_an_address_and_no_name_to_look_up() {
        let text = "nameserver localhost\nnameserver 192.0.2.1\n";
        let servers = Settings::of_resolv_conf(text, Some("a.example"), None).servers;
        assert_eq!(servers, ["192.0.2.1:53".parse().unwrap()]);
    }

    #[test]
    fn no_file_is_read_beyond_its_bound() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(MOST_BYTES + 10).unwrap();
        assert_eq!(contents(file.path()).unwrap().len() as u64, MOST_BYTES);
    }
}

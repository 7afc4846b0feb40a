//! Which targets of a configuration this exporter tests, where several exporters share them.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::{Config, Endpoint, MailboxId, ReceiveSide, Target};

/// One of several exporters with the same configuration, each of which tests its own part of the targets.
///
/// A mailbox belongs to the exporter with the highest score for it (rendezvous hashing): with another number of
/// exporters only those mailboxes move that must, and all targets of a mailbox move together. Nothing else decides: a
/// `sender_mailbox` and an account that sends may be used by several exporters at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0 to `count` - 1.
    index: u32,
    count: NonZeroU32,
}

/// What is wrong with the words for a shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoShard {
    /// Not two parts, or no numbers.
    #[error(
        "write it as I/N: the number of this exporter from 0 on, and how many there are, as 0/3"
    )]
    Form,
    /// So many that somebody must have mistyped.
    #[error("there are {most} shards at most", most = Shard::MOST)]
    TooMany,
    /// More than there are.
    #[error("of {count} shards the last is {last}: they are numbered from 0 on", last = count.get() - 1)]
    Beyond {
        /// How many there are.
        count: NonZeroU32,
    },
    /// The name of this host has no number at its end.
    #[error(
        "the name of this host, `{0}`, does not end with a hyphen and a number, as that of a pod of a StatefulSet does"
    )]
    HostName(String),
    /// This host has no name, or none that is text.
    #[error(
        "the name of this host is not known, or is not UTF-8: write the number in place of `hostname`"
    )]
    NoHostName,
}

impl Shard {
    /// The word in place of the number that stands for the one at the end of the host's name.
    pub const BY_HOST_NAME: &'static str = "hostname";

    /// The most that there can be: for each mailbox every one is tried.
    pub const MOST: u32 = 1000;

    /// Reads `I/N`, or `hostname/N` on a host with that name: then I is the number after its last hyphen. An empty
    /// name is none.
    ///
    /// # Errors
    /// See [`NoShard`].
    pub fn parse(words: &str, host_name: &str) -> Result<Self, NoShard> {
        let (index, count) = words.split_once('/').ok_or(NoShard::Form)?;
        let count: NonZeroU32 = number(count).ok_or(NoShard::Form)?;
        if count.get() > Self::MOST {
            return Err(NoShard::TooMany);
        }
        let index = if index == Self::BY_HOST_NAME {
            if host_name.is_empty() {
                return Err(NoShard::NoHostName);
            }
            let no_number = || NoShard::HostName(host_name.to_owned());
            let (_, ordinal) = host_name.rsplit_once('-').ok_or_else(no_number)?;
            number(ordinal).ok_or_else(no_number)?
        } else {
            number(index).ok_or(NoShard::Form)?
        };
        if index >= count.get() {
            return Err(NoShard::Beyond { count });
        }
        Ok(Self { index, count })
    }

    /// Its number, from 0 on.
    pub fn index(self) -> u32 {
        self.index
    }

    /// How many there are.
    pub fn count(self) -> u32 {
        self.count.get()
    }

    /// Whether the mailbox, with all that is delivered to it, is this exporter's.
    fn has(self, mailbox: &MailboxId) -> bool {
        let name = mailbox.to_string();
        let owner = (0..self.count.get()).max_by_key(|index| score(*index, &name));
        owner == Some(self.index)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// Digits only: `+3` is a mistake.
fn number<T: FromStr>(digits: &str) -> Option<T> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// The same on every machine and in every version: exporters of different builds must agree on it.
fn score(index: u32, mailbox: &str) -> [u8; 32] {
    openssl::sha::sha256(format!("{index} {mailbox}").as_bytes())
}

/// By what it is dealt out: its mailbox, which targets may share, else its SMTP server.
fn whereabouts(target: &Target) -> MailboxId {
    let Endpoint { host, port, .. } = &target.send.endpoint;
    let server =
        || MailboxId { protocol: "smtp", host: host.clone(), port: *port, user: String::new() };
    target.receive.as_ref().map_or_else(server, ReceiveSide::mailbox_id)
}

impl Config {
    /// The part of it that `shard` tests; all of it for `None`.
    #[must_use]
    pub fn part_of(mut self, shard: Option<Shard>) -> Self {
        self.shard = shard;
        let Some(shard) = shard else { return self };
        // The limits of a server and of an account hold for all shards together.
        self.shared_warnings = self.server_warnings();
        let all = self.targets.len();
        self.targets.retain(|_, target| shard.has(&whereabouts(target)));
        self.in_other_shards += all - self.targets.len();
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    fn mailbox(user: usize) -> MailboxId {
        let host = format!("mail{}.example", user % 7);
        MailboxId { protocol: "imap", host, port: 993, user: format!("user{user}") }
    }

    /// The shards of a thousand mailboxes.
    fn owners(count: u32) -> Vec<u32> {
        let shards: Vec<Shard> = (0..count)
            .map(|index| Shard::parse(&format!("{index}/{count}"), "").unwrap())
            .collect();
        (0..1000)
            .map(|user| {
                let owners: Vec<&Shard> =
                    shards.iter().filter(|shard| shard.has(&mailbox(user))).collect();
                assert_eq!(owners.len(), 1, "each mailbox has one owner");
                owners[0].index()
            })
            .collect()
    }

    #[test]
    fn every_mailbox_has_one_owner_and_each_about_as_many() {
        for count in [1, 2, 3, 10] {
            let mut counts = BTreeMap::new();
            for owner in owners(count) {
                *counts.entry(owner).or_insert(0_u32) += 1;
            }
            let even = 1000 / count;
            assert_eq!(counts.len(), count as usize);
            assert!(counts.values().all(|it| it.abs_diff(even) <= even / 3), "{counts:?}");
        }
    }

    #[test]
    fn another_shard_takes_from_each_and_nothing_else_moves() {
        let moved: Vec<(u32, u32)> = owners(2)
            .into_iter()
            .zip(owners(3))
            .filter(|(before, after)| before != after)
            .collect();
        assert!(moved.iter().all(|(_, after)| *after == 2), "only to the new one");
        assert!((250..420).contains(&moved.len()), "{} of 1000 moved", moved.len());
    }

    #[test]
    fn exporters_of_other_builds_agree() {
        let first: String = owners(3).iter().take(24).map(ToString::to_string).collect();
        // By a program of its own: the greatest SHA-256 of "0 imap://user0@mail0.example:993", "1 imap..." and so on.
        assert_eq!(first, "022011222011110012022202");
    }

    #[test]
    fn targets_of_a_mailbox_stay_together_and_none_is_lost() {
        let target = |name: usize| {
            format!(
                "- {{name: t{name}, host: h, from: a@b.example, to: a@b.example, receive: {{protocol: \
                 imap, username: user{}, password: p}}}}\n",
                name / 2
            )
        };
        let yaml = format!("targets:\n{}", (0..40).map(target).collect::<String>());
        let config = Config::parse(&yaml, Path::new("test.yml")).unwrap();
        assert_eq!(config.clone().part_of(None), config);
        let mut names = Vec::new();
        for words in ["0/3", "1/3", "2/3"] {
            let shard = Shard::parse(words, "").unwrap();
            let part = config.clone().part_of(Some(shard));
            assert_eq!(part.targets.len() + part.in_other_shards, 40);
            assert!(part.targets.len().is_multiple_of(2));
            assert_eq!(part.shard.map(|it| it.to_string()).as_deref(), Some(words));
            names.extend(part.targets.into_keys());
        }
        names.sort();
        assert_eq!(names, config.targets.into_keys().collect::<Vec<_>>());
    }

    #[test]
    fn each_part_tells_what_all_parts_together_ask_of_a_server() {
        let target = |number: usize| {
            format!(
                "- {{name: t{number}, host: smtp.gmail.com, interval: 1h, from: a@b.example, to: a@b.example, send: \
                 {{username: sam, password: p}}, sender_mailbox: {{protocol: imap, host: imap.gmail.com, username: \
                 sam, password: p}}, receive: {{protocol: imap, host: mail.example, username: u{number}, password: \
                 p}}}}\n"
            )
        };
        let yaml = format!("targets:\n{}", (0..30).map(target).collect::<String>());
        let config = Config::parse(&yaml, Path::new("test.yml")).unwrap();
        for words in ["0/2", "1/2"] {
            let part = config.clone().part_of(Some(Shard::parse(words, "").unwrap()));
            assert!(part.targets.len() <= 20, "{}", part.targets.len());
            let warnings = part.warnings().join("\n");
            assert!(warnings.contains("sends 720 mails a day"), "{warnings}");
            assert!(warnings.contains("up to 30 connections at the same time"), "{warnings}");
        }
    }

    #[test]
    fn the_number_may_come_from_the_name_of_a_pod() {
        let parse = |words, host| Shard::parse(words, host).map(|it| (it.index(), it.count()));
        assert_eq!(parse("2/3", "anything"), Ok((2, 3)));
        assert_eq!(parse("hostname/3", "mailtrip-exporter-1"), Ok((1, 3)));
        assert_eq!(parse("hostname/12", "mailtrip-11"), Ok((11, 12)));
        for host in ["mailtrip", "mailtrip-", "mailtrip-a", "mail3"] {
            assert_eq!(parse("hostname/3", host), Err(NoShard::HostName(host.to_owned())));
        }
        assert_eq!(parse("hostname/3", ""), Err(NoShard::NoHostName));
        assert_eq!(parse("999/1000", ""), Ok((999, 1000)));
        assert_eq!(parse("0/1001", ""), Err(NoShard::TooMany));
        let three = NonZeroU32::new(3).unwrap();
        assert_eq!(parse("hostname/3", "mailtrip-3"), Err(NoShard::Beyond { count: three }));
        assert_eq!(parse("3/3", ""), Err(NoShard::Beyond { count: three }));
        for words in [
            "",
            "/",
            "1",
            "1/",
            "/3",
            "0/0",
            "-1/3",
            "+1/3",
            "1/3/3",
            "a/3",
            " 1/3",
            "1/99999999999",
        ] {
            assert_eq!(parse(words, ""), Err(NoShard::Form), "{words:?}");
        }
    }
}

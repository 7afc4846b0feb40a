//! The man page of the configuration, mailtrip.yml(5).

use clap_mangen::roff::{Roff, bold, roman};

use super::man::{self, Page};
use super::sections::Block::{Term, Text};
use super::sections::{CREDENTIALS_DIRECTORY, Section};
use crate::config::reference::{Default, Home, Key};

const NAME: &str = "mailtrip.yml";

/// The least that runs.
pub(super) const EXAMPLE: &str = "\
targets:
  - name: mailserver
    host: mail.example.com
    from: sendtest@example.com
    to: receivetest@example.com
    send:
      port: 587
      username: sendtest@example.com
      password_file: /run/secrets/sendtest
    receive:
      protocol: imap
      username: receivetest@example.com
      password_file: /run/secrets/receivetest
";

const DESCRIPTION: Section = Section {
    heading: "DESCRIPTION",
    blocks: &[
        Text(
            "The configuration of mailtrip_exporter(1): the mail servers and how to test them, in YAML. \
             mailtrip_exporter-check(1) lists everything that is wrong with it, by file, line and key. Unknown keys \
             are errors; those at the top of a file that begin with x- are free for anchors.",
        ),
        Text(
            "Durations are written 500ms, 30s, 5m, 24h, 1h30m or 7d. Put a value in 'single quotes' if it begins with a \
             special character or holds \": \" or \" #\". No variable is expanded but ${CREDENTIALS_DIRECTORY} \
             at the beginning of a path. Relative paths start from the \
             folder of the file that they are written in, that of state_dir from the working directory.",
        ),
        Text(
            "The file is read at the start and at each reload: by SIGHUP, by POST /-/reload with \
             --web.enable-lifecycle, or by itself with --config.enable-auto-reload. If anything is wrong, the \
             previous configuration stays in force. Files of passwords are read again once they have changed.",
        ),
    ],
};

const AFTER: [Section; 2] = [
    Section {
        heading: "FILES",
        blocks: &[
            Term("mailtrip.yml", "In the working directory, where no --config.file is given."),
            Term("/etc/mailtrip_exporter/mailtrip.yml", "That of the service that systemd starts."),
            Term(
                "/etc/mailtrip_exporter/credentials",
                "The secrets of that service, each in a file: password_file: ${CREDENTIALS_DIRECTORY}/mailtrip_NAME.",
            ),
        ],
    },
    Section { heading: "ENVIRONMENT", blocks: &[CREDENTIALS_DIRECTORY] },
];

/// The page.
pub(super) fn page(date: &str) -> Page {
    let mut roff = Roff::new();
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{NAME} - configuration of mailtrip_exporter"))]);
    man::add_section(&mut roff, &DESCRIPTION);
    for home in Home::ALL {
        add_keys(&mut roff, home);
    }
    AFTER.iter().for_each(|section| man::add_section(&mut roff, section));
    roff.control("SH", ["EXAMPLES"]);
    roff.text([roman("The least that is needed:")]);
    man::add_verbatim(&mut roff, EXAMPLE);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(man::see_also(NAME))]);
    Page::new(NAME, "5", ("File Formats", date), &roff.render())
}

/// The keys of a map under a heading. What has the keys of another map is told in a sentence.
fn add_keys(roff: &mut Roff, home: Home) {
    let heading = format!("KEYS OF {}", home.name().to_uppercase());
    roff.control("SH", [heading.as_str()]);
    let same = match home {
        Home::Defaults => Some("Those of a target but name."),
        Home::SenderMailbox => Some("Those of receive."),
        _ => None,
    };
    match same {
        Some(same) => {
            roff.text([roman(same)]);
        }
        None => home.keys().iter().for_each(|key| add_key(roff, key)),
    }
}

fn add_key(roff: &mut Roff, key: &Key) {
    roff.control("TP", []);
    roff.text([bold(key.name)]);
    roff.text([roman(format!("{}.", key.meaning.replace('`', "")))]);
    roff.control("br", []);
    let allowed = capitalised(&key.kind.to_string());
    roff.text([roman(match key.default {
        Default::Required => format!("{allowed}; required."),
        Default::Nothing => format!("{allowed}."),
        default => format!("{allowed}; default: {default}."),
    })]);
}

/// With a capital letter at the beginning.
pub(super) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

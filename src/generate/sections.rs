//! What the man pages say beyond the help texts.

/// A section of a man page.
pub(super) struct Section {
    /// In capitals, as is the custom.
    pub(super) heading: &'static str,
    pub(super) blocks: &'static [Block],
}

/// A piece of a section.
pub(super) enum Block {
    /// A paragraph.
    Text(&'static str),
    /// A word and what it means.
    Term(&'static str, &'static str),
}

use Block::{Term, Text};

/// The sections of a page, by the name of the page.
pub(super) fn of(page: &str) -> &'static [Section] {
    match page.strip_prefix(env!("CARGO_PKG_NAME")).unwrap_or(page) {
        "" => EXPORTER,
        "-check" => CHECK,
        "-probe" => PROBE,
        "-demo" => DEMO,
        "-healthcheck" => HEALTHCHECK,
        "-init" => INIT,
        "-generate-man" => GENERATE_MAN,
        "-generate" | "-generate-completions" | "-generate-schema" => GENERATE,
        // A new command: the test of the pages misses its exit codes.
        _ => &[],
    }
}

const EXPORTER: &[Section] = &[
    Section {
        heading: "SIGNALS",
        blocks: &[
            Term(
                "SIGHUP",
                "Read the configuration again. If anything is wrong with it, the log tells, and the previous \
                 one stays in force.",
            ),
            Term(
                "SIGTERM, SIGINT",
                "End, within five seconds. Mails under way are remembered in state_dir and found after the \
                 next start.",
            ),
        ],
    },
    Section {
        heading: "EXIT STATUS",
        blocks: &[
            Term("0", "Ended by a signal; with --config.check: the configuration is good."),
            Term("1", "Could not start; the configuration is wrong, or an address is in use."),
            Term("2", "The command line is wrong."),
        ],
    },
    Section {
        heading: "FILES",
        blocks: &[
            Term(
                "mailtrip.yml",
                "The configuration unless --config.file names another; see mailtrip.yml(5). Where it is missing, \
                 check and probe take that of the service.",
            ),
            Term(
                "./mailtrip-state",
                "What outlives the process, unless state_dir in the configuration names another folder.",
            ),
            Term(
                "/etc/mailtrip_exporter/mailtrip.yml, /var/lib/mailtrip_exporter",
                "The configuration and the state of the service that systemd starts.",
            ),
            Term(
                "/etc/mailtrip_exporter/credentials",
                "The secrets of that service, each in a file that only root can read; the file sam is \
                 ${CREDENTIALS_DIRECTORY}/mailtrip_sam in its configuration. systemd passes them when it starts the \
                 service.",
            ),
            Term(
                "/etc/default/mailtrip_exporter",
                "Further flags of that service: ARGS=\"--log.level=debug\".",
            ),
        ],
    },
    Section {
        heading: "ENVIRONMENT",
        blocks: &[
            Text(
                "The configuration names variables that hold passwords; these have a meaning of their own:",
            ),
            CREDENTIALS_DIRECTORY,
            SSL_CERT,
            RESOLVER,
            Term("LISTEN_PID, LISTEN_FDS", "With --web.systemd-socket: the sockets to serve on."),
        ],
    },
];

pub(super) const CREDENTIALS_DIRECTORY: Block = Term(
    "CREDENTIALS_DIRECTORY",
    "The folder that a path of a secret may begin with, as ${CREDENTIALS_DIRECTORY}/name. systemd sets it for \
     LoadCredential=. Where it is not set, as for check and probe by hand, mailtrip_NAME in it is credentials/NAME \
     beside the configuration.",
);
const SSL_CERT: Block = Term(
    "SSL_CERT_FILE, SSL_CERT_DIR",
    "A file, and folders, of certificate authorities to trust, each instead of the system's of that kind; set \
     both to trust nothing else.",
);
const RESOLVER: Block = Term(
    "LOCALDOMAIN, RES_OPTIONS",
    "Search domains and options of the resolver; see resolv.conf(5).",
);

const CHECK: &[Section] = &[
    Section {
        heading: "EXIT STATUS",
        blocks: &[
            Term("0", "The configuration is good; there may be warnings."),
            Term("1", "Something is wrong, and the exporter would not start."),
            Term("2", "The command line is wrong."),
        ],
    },
    Section { heading: "ENVIRONMENT", blocks: &[CREDENTIALS_DIRECTORY] },
];

const PROBE: &[Section] = &[
    Section {
        heading: "EXIT STATUS",
        blocks: &[
            Text("With --output=text and --output=json, for one target:"),
            Term("0", "The mail was sent, received and removed."),
            Term("1", "It was not, or the configuration is wrong."),
            Term("2", "The command line is wrong."),
            Text("With --output=nagios, and with --all, where the worst target counts:"),
            Term("0", "OK."),
            Term(
                "1",
                "WARNING: the mail arrived, but late or as junk, or it could not be removed.",
            ),
            Term("2", "CRITICAL: it did not arrive."),
            Term("3", "UNKNOWN: nothing was tested to the end, or the command line is wrong."),
        ],
    },
    Section {
        heading: "ENVIRONMENT",
        blocks: &[
            CREDENTIALS_DIRECTORY,
            SSL_CERT,
            RESOLVER,
            Term("NO_COLOR", "If it is set and not empty, a terminal gets no colour."),
            Term("TERM", "If it is dumb, a terminal gets plain lines."),
        ],
    },
];

const HEALTHCHECK: &[Section] = &[Section {
    heading: "EXIT STATUS",
    blocks: &[
        Term("0", "The exporter is healthy."),
        Term("1", "It is not, or it does not answer."),
        Term("2", "The command line is wrong."),
    ],
}];

const INIT: &[Section] = &[
    Section {
        heading: "EXIT STATUS",
        blocks: &[
            Term("0", "The configuration was written, and the probe was successful."),
            Term(
                "1",
                "Nothing was written, and the message says why; or it was, and the verdict of the probe says what \
                 is wrong.",
            ),
            Term("2", "The command line is wrong."),
        ],
    },
    Section {
        heading: "FILES",
        blocks: &[
            Term(
                "mailtrip.yml, secrets/NAME.password",
                "What is written, in --folder; the second with mode 0600. Neither may be there.",
            ),
            Term(
                "targets.d/NAME.yml, credentials/NAME",
                "The same where that folder has mailtrip.yml and targets.d, as that of the service has.",
            ),
        ],
    },
    Section { heading: "ENVIRONMENT", blocks: &[SSL_CERT, RESOLVER] },
];

const DEMO: &[Section] = &[Section {
    heading: "EXIT STATUS",
    blocks: &[
        Term("0", "Ended by SIGTERM or SIGINT."),
        Term("1", "Could not start."),
        Term("2", "The command line is wrong."),
    ],
}];

const GENERATE: &[Section] = &[GENERATED];

const GENERATE_MAN: &[Section] = &[
    GENERATED,
    Section {
        heading: "ENVIRONMENT",
        blocks: &[Term(
            "SOURCE_DATE_EPOCH",
            "The date in the pages, in seconds since 1970; without it they have none.",
        )],
    },
];

const GENERATED: Section = Section {
    heading: "EXIT STATUS",
    blocks: &[
        Term("0", "All was written."),
        Term("1", "Something could not be written."),
        Term("2", "The command line is wrong."),
    ],
};

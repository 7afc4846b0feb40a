//! One small file for each rule, and exactly what is said about it.

/// Files of `tests/testdata/config` and their problems, without the folder.
pub(super) const BAD_FILES: &[(&str, &[&str])] = &[
    (
        "bad-address-in-other-forms.yml",
        &[
            "bad-address-in-other-forms.yml:4: targets[0].from: is not a mail address such as user@example.com; write it without a name and without < >",
            "bad-address-in-other-forms.yml:5: targets[0].to: is not a mail address such as user@example.com; write it without the final dot",
        ],
    ),
    (
        "bad-address-internationalised.yml",
        &[
            "bad-address-internationalised.yml:5: targets[0].to: is not a name that the DNS can know (IDNA, RFC 5890)",
        ],
    ),
    (
        "bad-address.yml",
        &[
            "bad-address.yml:4: targets[0].from: is not a mail address such as user@example.com; write it without a name and without < >",
            "bad-address.yml:5: targets[0].to: is not a mail address such as user@example.com",
        ],
    ),
    (
        "bad-authserv-id.yml",
        &[
            "bad-authserv-id.yml:6: targets[0].authserv_id: must be the first word of the receiver's Authentication-Results, as mx.example.com",
            "bad-authserv-id.yml:10: targets[1].inspect: must be true or false",
            "bad-authserv-id.yml:11: targets[1].authserv_id: must be a text, not a list",
        ],
    ),
    (
        "bad-booleans.yml",
        &[
            "bad-booleans.yml:6: targets[0].passive: must be true or false; yes, no, on and off are texts (YAML 1.2)",
            "bad-booleans.yml:7: targets[0].inspect: must be true or false; yes, no, on and off are texts (YAML 1.2)",
            "bad-booleans.yml:8: targets[0].ping: has no value; write one, or leave the key out",
        ],
    ),
    (
        "bad-byte-order-mark-within.yml",
        &[
            "bad-byte-order-mark-within.yml:6: is not YAML: a byte order mark must not appear inside a document; a byte order mark (U+FEFF) stands in line 6: write a blank, or nothing, in its place",
        ],
    ),
    (
        "bad-defaults-tls-options.yml",
        &[
            "bad-defaults-tls-options.yml:1: defaults.send.tls_options.min_version: must be one of 1.0, 1.1, 1.2, 1.3",
        ],
    ),
    (
        "bad-defaults.yml",
        &[
            "bad-defaults.yml:1: defaults.from: is not a mail address such as user@example.com",
            "bad-defaults.yml:1: defaults.interval: has no unit; write one, as in 500ms, 30s, 5m, 24h, 1h30m or 7d",
            "bad-defaults.yml:1: defaults.labels.a-b: is not a label name: letters, digits and underscores only, no digit first",
            "bad-defaults.yml:1: defaults.ports[0]: must be port, name:port or name:host:port, as 25, imap:143, web:host:80, web:[2001:db8::1]:80, with a port from 1 to 65535 and a name of letters, digits, - and _",
            "bad-defaults.yml:1: defaults.receive.tls: must be one of starttls, implicit, none",
            "bad-defaults.yml:1: defaults.send.password_file: cannot be read: No such file or directory (os error 2); a relative path starts from the folder of the file that names it",
            "bad-defaults.yml:3: targets[0].send.username: is missing: `defaults` has a password for it; `none` for no login",
            "bad-defaults.yml:8: targets[1].send.username: is missing: `defaults` has a password for it; `none` for no login",
        ],
    ),
    (
        "bad-dnsbl.yml",
        &[
            "bad-dnsbl.yml:9: targets[0].dnsbl.lists[0]: holds the key of its owner, which would stand in a label; write {name: .., zone_file: ..}, and the zone alone into that file",
            "bad-dnsbl.yml:11: targets[0].dnsbl.lists[2]: has the same name as another list; keep one",
            "bad-dnsbl.yml:12: targets[0].dnsbl.lists[3].zone: is not a key; write a zone without a key as a text",
            "bad-dnsbl.yml:12: targets[0].dnsbl.lists[3].zone_file: cannot be read: No such file or directory (os error 2); a relative path starts from the folder of the file that names it",
            "bad-dnsbl.yml:13: targets[0].dnsbl.lists[4].name: must be 1 to 100 letters, digits, dots, hyphens and underscores",
            "bad-dnsbl.yml:14: targets[0].dnsbl.lists[4].zone_file: names a file of several lines; the password must stand there alone",
            "bad-dnsbl.yml:15: targets[0].dnsbl.lists[5]: must be the zone of a list, as bl.example.org",
            "bad-dnsbl.yml:16: targets[0].dnsbl.addresses[1]: is of one network or host alone; lists know public addresses",
            "bad-dnsbl.yml:16: targets[0].dnsbl.addresses[2]: must be an IP address, as 198.51.100.7 or 2001:db8::25",
            "bad-dnsbl.yml:17: targets[0].dnsbl.interval: must be from 10m to 7d",
            "bad-dnsbl.yml:24: targets[1].dnsbl.addresses: is missing: `inspect: false` reads no header that could show it",
            "bad-dnsbl.yml:25: targets[2].dnsbl.lists: is missing: the zones to ask, as [bl.example.org]",
            "bad-dnsbl.yml:36: targets[3].dnsbl.addresses: must hold 1 to 32 addresses",
            "bad-dnsbl.yml:36: targets[3].dnsbl.lists: must hold 1 to 10 lists",
        ],
    ),
    (
        "bad-document-is-a-list.yml",
        &["bad-document-is-a-list.yml:1: must be a map of keys, not a list"],
    ),
    (
        "bad-domain-checks.yml",
        &[
            "bad-domain-checks.yml:8: targets[0].domain_checks.checks[1]: must be one of mx, spf, dkim, dmarc, mta_sts, tls_rpt, dane, ptr",
            "bad-domain-checks.yml:9: targets[0].domain_checks.sending_domain: must be a domain, as example.com",
            "bad-domain-checks.yml:10: targets[0].domain_checks.receiving_domain: must be a domain, as example.com",
            "bad-domain-checks.yml:11: targets[0].domain_checks.addresses[0]: is of one network or host alone; lists know public addresses",
            "bad-domain-checks.yml:12: targets[0].domain_checks.interval: must be from 10m to 7d",
            "bad-domain-checks.yml:18: targets[1].domain_checks.checks: must name one check at least; `domain_checks: false` is none",
        ],
    ),
    (
        "bad-duplicate-name-included.yml",
        &[
            "targets.d/same-name.yml:2: targets[0].name: is also the name of the target at bad-duplicate-name-included.yml:3",
        ],
    ),
    (
        "bad-duplicate-name.yml",
        &[
            "bad-duplicate-name.yml:7: targets[1].name: is also the name of the target at bad-duplicate-name.yml:2",
        ],
    ),
    (
        "bad-duration-ranges.yml",
        &[
            "bad-duration-ranges.yml:6: targets[0].interval: must be from 1s to 7d",
            "bad-duration-ranges.yml:7: targets[0].late_after: must be from 1ms to 365d",
            "bad-duration-ranges.yml:8: targets[0].lost_after: must be from 1ms to 365d",
            "bad-duration-ranges.yml:9: targets[0].timeout: must be from 100ms to 10m",
            "bad-duration-ranges.yml:10: targets[0].receive.min_look_interval: must be from 0s to 24h",
        ],
    ),
    (
        "bad-durations.yml",
        &[
            "bad-durations.yml:6: targets[0].interval: has no unit; write one, as in 500ms, 30s, 5m, 24h, 1h30m or 7d",
            "bad-durations.yml:7: targets[0].late_after: has no unit; write one, as in 500ms, 30s, 5m, 24h, 1h30m or 7d",
            "bad-durations.yml:8: targets[0].lost_after: is not a duration; write it as 500ms, 30s, 5m, 24h, 1h30m or 7d",
            "bad-durations.yml:9: targets[0].timeout: is not a duration; write it as 500ms, 30s, 5m, 24h, 1h30m or 7d",
        ],
    ),
    ("bad-empty-password.yml", &["bad-empty-password.yml:6: targets[0].send.password: is empty"]),
    (
        "bad-empty-values.yml",
        &[
            "bad-empty-values.yml:1: state_dir: has no value; write one, or leave the key out (a value that begins with a special character needs quotes)",
            "bad-empty-values.yml:2: include: has no value; write one, or leave the key out",
            "bad-empty-values.yml:3: defaults: has no value; write one, or leave the key out",
            "bad-empty-values.yml:9: targets[0].interval: has no value; write one, or leave the key out (a value that begins with a special character needs quotes)",
            "bad-empty-values.yml:10: targets[0].messages: has no value; write one, or leave the key out",
            "bad-empty-values.yml:11: targets[0].labels: has no value; write one, or leave the key out",
            "bad-empty-values.yml:12: targets[0].ports: has no value; write one, or leave the key out",
            "bad-empty-values.yml:13: targets[0].send: has no value; write one, or leave the key out",
            "bad-empty-values.yml:14: targets[0].receive.folders: has no value; write one, or leave the key out",
        ],
    ),
    ("bad-empty.yml", &["bad-empty.yml: is empty; write at least `targets`"]),
    (
        "bad-enumerations.yml",
        &[
            "bad-enumerations.yml:6: targets[0].ip_family: must be one of any, 4, 6",
            "bad-enumerations.yml:7: targets[0].send.auth: must be one of auto, plain, login, cram-md5, scram-sha-1, scram-sha-256, xoauth2, oauthbearer",
            "bad-enumerations.yml:7: targets[0].send.tls: must be one of starttls, implicit, none",
            "bad-enumerations.yml:8: targets[0].receive.protocol: must be one of imap, pop3, jmap",
            "bad-enumerations.yml:8: targets[0].receive.tls: must be one of starttls, implicit, none",
        ],
    ),
    (
        "bad-folders-empty.yml",
        &["bad-folders-empty.yml:6: targets[0].receive.folders: needs at least one folder"],
    ),
    (
        "bad-folders-with-pop3.yml",
        &[
            "bad-folders-with-pop3.yml:6: targets[0].receive.folders: folders exist only with protocol imap or jmap",
        ],
    ),
    (
        "bad-folders.yml",
        &[
            "bad-folders.yml:6: targets[0].receive.folders[1]: is in the list already",
            "bad-folders.yml:6: targets[0].receive.folders[3]: is in the list already",
            r#"bad-folders.yml:6: targets[0].receive.folders[4]: is not a SPECIAL-USE attribute such as '\Junk'"#,
            "bad-folders.yml:6: targets[0].receive.folders[5]: is empty",
        ],
    ),
    (
        "bad-host-brackets.yml",
        &[
            "bad-host-brackets.yml:3: targets[0].host: is not an IPv6 address in brackets",
            "bad-host-brackets.yml:6: targets[0].send.ehlo: must be a host name such as monitor.example.com, or an address literal such as [192.0.2.1] or [IPv6:2001:db8::1]",
            "bad-host-brackets.yml:6: targets[0].send.host: is not a host name such as mail.example.com, nor an address",
        ],
    ),
    (
        "bad-host-with-port.yml",
        &[
            "bad-host-with-port.yml:3: targets[0].host: must be a host alone; the port goes to `port` under `send` or `receive` (an IPv6 address is written as 2001:db8::1)",
            "bad-host-with-port.yml:6: targets[0].send.host: must be a host alone; the port goes to `port` under `send` or `receive` (an IPv6 address is written as 2001:db8::1)",
            "bad-host-with-port.yml:7: targets[0].receive.host: must be a host alone, not a URL; `protocol`, `port` and `username` have keys of their own",
        ],
    ),
    (
        "bad-host.yml",
        &[
            "bad-host.yml:3: targets[0].host: is not a host name such as mail.example.com, nor an address",
            "bad-host.yml:6: targets[0].send.host: is not an IPv4 address such as 192.168.10.1",
            "bad-host.yml:7: targets[0].receive.host: is not a name that the DNS can know (IDNA, RFC 5890)",
        ],
    ),
    (
        "bad-include-missing.yml",
        &[
            "bad-include-missing.yml:1: include[0]: does not exist below FOLDER",
            "bad-include-missing.yml:1: include[1]: is not a file pattern: invalid range pattern",
            "bad-include-missing.yml:1: include[2]: does not exist below FOLDER",
        ],
    ),
    (
        "bad-include-with-more-keys.yml",
        &[
            "targets.d/more-keys.yml:1: state_dir: is not a key; it belongs in the main file",
            "targets.d/more-keys.yml:2: include: is not a key; it belongs in the main file",
        ],
    ),
    (
        "bad-invisible-characters.yml",
        &[
            "bad-invisible-characters.yml:2: targets[0].name: holds a zero width space (U+200B), which cannot be seen; leave it out, or put the value in quotes if it belongs there",
            "bad-invisible-characters.yml:3: targets[0].host: is not a name that the DNS can know (IDNA, RFC 5890); it holds a no-break space (U+00A0)",
            "bad-invisible-characters.yml:6: targets[0].?: is not a key; did you mean `messages`?; a soft hyphen (U+00AD) stands in it",
            "bad-invisible-characters.yml:7: targets[0].send.password: holds an invisible character or begins with a typographic quotation mark; write it anew, or in quotes if that belongs to the password",
            "bad-invisible-characters.yml:7: targets[0].send.port: must be a whole number from 1 to 65535; it holds a no-break space (U+00A0)",
            "bad-invisible-characters.yml:7: targets[0].send.username: holds a word joiner (U+2060), which cannot be seen; leave it out, or put the value in quotes if it belongs there",
            "bad-invisible-characters.yml:8: targets[0].receive.folders[0]: holds a narrow no-break space (U+202F), which cannot be seen; leave it out, or put the value in quotes if it belongs there",
        ],
    ),
    (
        "bad-jmap.yml",
        &[
            "bad-jmap.yml:6: targets[0].receive.auth: by jmap there are plain (Basic, with a password) and oauthbearer (Bearer); `auto` fits either",
            "bad-jmap.yml:6: targets[0].receive.tls: jmap begins with TLS or has none: implicit or none",
            "bad-jmap.yml:11: targets[1].receive.username: holds a colon, which ends the user name in HTTP Basic (RFC 7617)",
        ],
    ),
    (
        "bad-labels.yml",
        &[
            "bad-labels.yml:6: targets[0].labels.1a: is not a label name: letters, digits and underscores only, no digit first",
            "bad-labels.yml:6: targets[0].labels.__a: is not a label name: Prometheus keeps those that begin with __",
            "bad-labels.yml:6: targets[0].labels.a-b: is not a label name: letters, digits and underscores only, no digit first",
            "bad-labels.yml:6: targets[0].labels.list: must be a text, not a list",
            "bad-labels.yml:6: targets[0].labels.mail_cluster: is a label that the exporter sets itself; choose another name",
            "bad-labels.yml:6: targets[0].labels.passive: is a label that the exporter sets itself; choose another name",
            "bad-labels.yml:6: targets[0].labels.protocol: is a label that the exporter sets itself; choose another name",
            "bad-labels.yml:6: targets[0].labels.receive_host: is a label that the exporter sets itself; choose another name",
            "bad-labels.yml:6: targets[0].labels.send_host: is a label that the exporter sets itself; choose another name",
            "bad-labels.yml:6: targets[0].labels.target: is a label that the exporter sets itself; choose another name",
            "bad-labels.yml:7: targets[0].labels.exporter: is a label that the alerts set themselves; choose another name",
            "bad-labels.yml:7: targets[0].labels.exporter_replica: is a label that the alerts set themselves; choose another name",
            "bad-labels.yml:7: targets[0].labels.instance: is a label that Prometheus sets itself; choose another name",
            "bad-labels.yml:7: targets[0].labels.job: is a label that Prometheus sets itself; choose another name",
            "bad-labels.yml:7: targets[0].labels.le: is a label that the exporter sets itself; choose another name",
            "bad-labels.yml:7: targets[0].labels.location: is the label of the key `location` at the top of the file: write there from where this exporter tests; for where a server is choose another name, such as `site`",
            "bad-labels.yml:7: targets[0].labels.long: must be at most 200 characters",
            "bad-labels.yml:7: targets[0].labels.quantile: is a label that Prometheus sets itself; choose another name",
            "bad-labels.yml:7: targets[0].labels.severity: is a label that the alerts set themselves; choose another name",
            "bad-labels.yml:7: targets[0].labels.side: is a label that the exporter sets itself; choose another name",
            "bad-labels.yml:7: targets[0].labels.version: is a label that the exporter sets itself; choose another name",
        ],
    ),
    (
        "bad-leading-zero.yml",
        &[
            "bad-leading-zero.yml:6: targets[0].messages: must be a whole number from 1 to 100, without a zero before it",
            "bad-leading-zero.yml:7: targets[0].max_outstanding: must be a whole number from 1 to 100000",
            "bad-leading-zero.yml:8: targets[0].ports[0]: must be port, name:port or name:host:port, as 25, imap:143, web:host:80, web:[2001:db8::1]:80, with a port from 1 to 65535 and a name of letters, digits, - and _",
            "bad-leading-zero.yml:9: targets[0].send.max_connections: must be a whole number from 1 to 1000",
            "bad-leading-zero.yml:9: targets[0].send.port: must be a whole number from 1 to 65535, without a zero before it",
        ],
    ),
    (
        "bad-lost-before-late.yml",
        &[
            "bad-lost-before-late.yml:7: targets[0].lost_after: must be at least `late_after`, here 2h",
        ],
    ),
    (
        "bad-mail.yml",
        &[
            "bad-mail.yml:7: targets[0].mail.subject: has a { that begins none of {token}, {target} and {time}; a brace itself is written {{",
            "bad-mail.yml:9: targets[0].mail.headers.X-Mailtrip: is a field that the exporter itself or a server on the way writes; choose another (`subject` has a key of its own)",
            "bad-mail.yml:10: targets[0].mail.headers.content-type: is a field that the exporter itself or a server on the way writes; choose another (`subject` has a key of its own)",
            "bad-mail.yml:11: targets[0].mail.headers.?: is no name of a field: it must be 1 to 76 printable ASCII characters without a colon",
            "bad-mail.yml:12: targets[0].mail.headers.Auto-Submitted: cannot be auto-replied: an automatic answer is never taken for the test mail",
            "bad-mail.yml:15: targets[0].mail.body_file: stands beside `body`; keep that or `body_file`",
            "bad-mail.yml:17: targets[0].mail.attachment.name: must be at most 100 printable ASCII characters without quotes, slashes and backslashes",
            "bad-mail.yml:17: targets[0].mail.attachment.size: must be from 1 to 36MB",
            "bad-mail.yml:18: targets[0].mail.dkim.key_file: is missing: the file of the private key",
            "bad-mail.yml:19: targets[0].mail.sise: is not a key; did you mean `size`?",
            "bad-mail.yml:26: targets[1].mail.size: must be at least 1370122, for the rest of the mail",
            "bad-mail.yml:27: targets[1].mail.attachment.file: stands beside `size`; keep that or `file`",
            "bad-mail.yml:33: targets[2].mail.body_file: cannot be read: No such file or directory (os error 2); a relative path starts from the folder of the file that names it",
            "bad-mail.yml:33: targets[2].mail.dkim.selector: must be a name such as s1 or 2026.mail, of letters, digits, - and dots",
            "bad-mail.yml:39: targets[3].mail.size: must be from 2kB to 50MB",
            "bad-mail.yml:45: targets[4].mail.attachment.size: is missing: write it, or `file`, or `mail.size`, which the attachment then fills",
            "bad-mail.yml:51: targets[5].mail.dkim.key_file: names a file that holds no private key in PEM form without a pass phrase",
        ],
    ),
    (
        "bad-mailbox-two-families.yml",
        &[
            "bad-mailbox-two-families.yml:11: targets[1].receive.ip_family: differs between target `b` here and target `a` at bad-mailbox-two-families.yml:6, which share the mailbox imap://u@mail.example.com:143; write the same",
        ],
    ),
    (
        "bad-mailbox-two-mechanisms.yml",
        &[
            "bad-mailbox-two-mechanisms.yml:11: targets[1].receive.auth: differs between target `b` here and target `a` at bad-mailbox-two-mechanisms.yml:6, which share the mailbox imap://u@mail.example.com:143; write the same",
        ],
    ),
    (
        "bad-mailbox-two-passwords.yml",
        &[
            "bad-mailbox-two-passwords.yml:11: targets[1].receive.password: differs between target `b` here and target `a` at bad-mailbox-two-passwords.yml:6, which share the mailbox imap://u@mail.example.com:143; write the same",
        ],
    ),
    (
        "bad-mailbox-two-tls-modes.yml",
        &[
            "bad-mailbox-two-tls-modes.yml:11: targets[1].receive.tls: differs between target `b` here and target `a` at bad-mailbox-two-tls-modes.yml:6, which share the mailbox imap://u@mail.example.com:143; write the same",
        ],
    ),
    (
        "bad-mailbox-two-tls-options.yml",
        &[
            "bad-mailbox-two-tls-options.yml:11: targets[1].receive.tls_options: differs between target `b` here and target `a` at bad-mailbox-two-tls-options.yml:6, which share the mailbox imap://u@mail.example.com:143; write the same",
        ],
    ),
    (
        "bad-match.yml",
        &[
            "bad-match.yml:6: targets[0].match: must be one of test_mail, reply",
            "bad-match.yml:14: targets[1].dnsbl.addresses: is missing: with `match: reply` the header that is read shows the addresses of the other side",
        ],
    ),
    (
        "bad-missing-host-of-a-port.yml",
        &[
            "bad-missing-host-of-a-port.yml:2: targets[0].host: is missing: `targets[0].ports[0]` needs it; or write name:host:port there",
        ],
    ),
    (
        "bad-missing-host-of-one-side.yml",
        &[
            "bad-missing-host-of-one-side.yml:6: targets[0].receive.host: is missing: write it here, or on the target for both sides",
        ],
    ),
    (
        "bad-missing-keys.yml",
        &[
            "bad-missing-keys.yml:2: targets[0].from: is missing: the sender of the test mails",
            "bad-missing-keys.yml:2: targets[0].name: is missing: the nick name, the label `target`",
            "bad-missing-keys.yml:2: targets[0].receive: is missing: the mailbox, at least with `protocol`, `username` and a password",
            "bad-missing-keys.yml:2: targets[0].send.host: is missing: write it here, or on the target for both sides",
            "bad-missing-keys.yml:2: targets[0].to: is missing: the recipient of the test mails",
            "bad-missing-keys.yml:3: targets[1].from: is missing: the sender of the test mails",
            "bad-missing-keys.yml:3: targets[1].host: is missing: write it here, or under `send` and under `receive`",
            "bad-missing-keys.yml:3: targets[1].to: is missing: the recipient of the test mails",
            "bad-missing-keys.yml:5: targets[1].receive.password: is missing: write `password_file`, `password_env` or `password` beside `username`, or `oauth2`",
            "bad-missing-keys.yml:5: targets[1].receive.protocol: is missing: imap, pop3 or jmap",
            "bad-missing-keys.yml:5: targets[1].receive.username: is missing: the account that reads the mailbox",
        ],
    ),
    (
        "bad-months.yml",
        &[
            "bad-months.yml:6: targets[0].interval: is not a duration; write it as 500ms, 30s, 5m, 24h, 1h30m or 7d",
            "bad-months.yml:7: targets[0].late_after: is not a duration; write it as 500ms, 30s, 5m, 24h, 1h30m or 7d",
            "bad-months.yml:8: targets[0].lost_after: is not a duration; write it as 500ms, 30s, 5m, 24h, 1h30m or 7d",
        ],
    ),
    (
        "bad-mx.yml",
        &[
            "bad-mx.yml:5: targets[0].send.mx: contradicts `host` on line 5; keep one",
            "bad-mx.yml:5: targets[0].send.mx: does not go with `username`: an MX takes mail for its own users without a login",
            "bad-mx.yml:10: targets[1].send.mx: needs a domain in `to`; [192.0.2.1] is none",
            "bad-mx.yml:15: targets[2].send.mx: must be true or false",
            "bad-mx.yml:21: targets[3].receive.host: is missing: write it here, or on the target for both sides",
        ],
    ),
    (
        "bad-name.yml",
        &[
            "bad-name.yml:2: targets[0].name: must be 1 to 100 characters, without spaces around and control characters",
        ],
    ),
    (
        "bad-no-targets.yml",
        &[
            "bad-no-targets.yml: has no targets; write at least one under `targets`, or `targets: []` to begin without",
        ],
    ),
    (
        "bad-number-ranges.yml",
        &[
            "bad-number-ranges.yml:6: targets[0].messages: must be a whole number from 1 to 100",
            "bad-number-ranges.yml:7: targets[0].max_outstanding: must be a whole number from 1 to 100000",
            "bad-number-ranges.yml:8: targets[0].send.max_connections: must be a whole number from 1 to 1000",
            "bad-number-ranges.yml:8: targets[0].send.port: must be a whole number from 1 to 65535",
            "bad-number-ranges.yml:9: targets[0].receive.port: must be a whole number from 1 to 65535",
        ],
    ),
    (
        "bad-password-credentials-directory.yml",
        &[
            "bad-password-credentials-directory.yml:6: targets[0].send.password_file: needs the environment variable CREDENTIALS_DIRECTORY, which systemd sets for a service with LoadCredential=",
        ],
    ),
    (
        "bad-password-env-unset.yml",
        &[
            "bad-password-env-unset.yml:6: targets[0].send.password_env: names an environment variable that is not set",
        ],
    ),
    (
        "bad-password-file-is-a-folder.yml",
        &[
            "bad-password-file-is-a-folder.yml:6: targets[0].send.password_file: cannot be read: it is a folder; name the file in it; a relative path starts from the folder of the file that names it",
        ],
    ),
    (
        "bad-password-file-lines.yml",
        &[
            "bad-password-file-lines.yml:6: targets[0].send.password_file: names a file of several lines; the password must stand there alone",
        ],
    ),
    (
        "bad-password-file-missing.yml",
        &[
            "bad-password-file-missing.yml:6: targets[0].send.password_file: cannot be read: No such file or directory (os error 2); a relative path starts from the folder of the file that names it",
        ],
    ),
    (
        "bad-password-line-break.yml",
        &[
            "bad-password-line-break.yml:6: targets[0].send.password: is a password with a line break or a NUL, which no login can carry",
        ],
    ),
    (
        "bad-password-of-defaults-without-username.yml",
        &[
            "bad-password-of-defaults-without-username.yml:3: targets[0].send.username: is missing: `defaults` has a password for it; `none` for no login",
        ],
    ),
    (
        "bad-password-twice.yml",
        &[
            "bad-password-twice.yml:6: targets[0].send.password_env: stands beside another password on line 6; keep one of password, password_file, password_env, oauth2",
            "bad-password-twice.yml:6: targets[0].send.password_file: stands beside another password on line 6; keep one of password, password_file, password_env, oauth2",
        ],
    ),
    (
        "bad-password-with-username-none.yml",
        &[
            "bad-password-with-username-none.yml:6: targets[0].send.password: is a password without a `username`; write one, or leave both out",
        ],
    ),
    (
        "bad-password-without-username.yml",
        &[
            "bad-password-without-username.yml:6: targets[0].send.password: is a password without a `username`; write one, or leave both out",
        ],
    ),
    (
        "bad-ping.yml",
        &[
            "bad-ping.yml:2: targets[0].host: is missing: `ping` needs it",
            "bad-ping.yml:6: targets[0].ping.packets: must be a whole number from 1 to 100",
            "bad-ping.yml:7: targets[0].ping.size: must be a whole number from 16 to 9000",
            "bad-ping.yml:8: targets[0].ping.interval: has no unit; write one, as in 500ms, 30s, 5m, 24h, 1h30m or 7d",
            "bad-ping.yml:9: targets[0].ping.timeout: must be from 10ms to 1m",
            "bad-ping.yml:10: targets[0].ping.count: is not a key; the keys here are packets, size, interval, timeout",
            "bad-ping.yml:17: targets[1].ping: must be true or false, without quotes",
        ],
    ),
    (
        "bad-ports.yml",
        &[
            "bad-ports.yml:6: targets[0].ports[0]: must be port, name:port or name:host:port, as 25, imap:143, web:host:80, web:[2001:db8::1]:80, with a port from 1 to 65535 and a name of letters, digits, - and _",
            "bad-ports.yml:6: targets[0].ports[1]: must be port, name:port or name:host:port, as 25, imap:143, web:host:80, web:[2001:db8::1]:80, with a port from 1 to 65535 and a name of letters, digits, - and _",
            "bad-ports.yml:6: targets[0].ports[2]: must be port, name:port or name:host:port, as 25, imap:143, web:host:80, web:[2001:db8::1]:80, with a port from 1 to 65535 and a name of letters, digits, - and _",
            "bad-ports.yml:6: targets[0].ports[3]: must be port, name:port or name:host:port, as 25, imap:143, web:host:80, web:[2001:db8::1]:80, with a port from 1 to 65535 and a name of letters, digits, - and _",
            "bad-ports.yml:6: targets[0].ports[4]: must be port, name:port or name:host:port, as 25, imap:143, web:host:80, web:[2001:db8::1]:80, with a port from 1 to 65535 and a name of letters, digits, - and _",
            "bad-ports.yml:6: targets[0].ports[5]: is not a host name such as mail.example.com, nor an address",
            "bad-ports.yml:6: targets[0].ports[7]: has the same name as another entry; give it a \
             name of its own, as web:80",
            "bad-ports.yml:6: targets[0].ports[8]: must be a text, not a map",
            "bad-ports.yml:6: targets[0].ports[9]: `send` and `receive` are reserved for the ports \
             of both sides, which are checked without being listed; choose another name",
            "bad-ports.yml:7: targets[0].port_timeout: must be from 100ms to 1m",
        ],
    ),
    (
        "bad-receive-username-none.yml",
        &[
            "bad-receive-username-none.yml:6: targets[0].receive.username: cannot be `none`: a mailbox needs a login",
        ],
    ),
    (
        "bad-receive-without-login.yml",
        &[
            "bad-receive-without-login.yml:6: targets[0].receive.password: is missing: write `password_file`, `password_env` or `password` beside `username`, or `oauth2`",
            "bad-receive-without-login.yml:6: targets[0].receive.username: is missing: the account that reads the mailbox",
        ],
    ),
    (
        "bad-section-not-a-map.yml",
        &[
            "bad-section-not-a-map.yml:6: targets[0].send: must be a map of keys, not a single value",
            "bad-section-not-a-map.yml:7: targets[0].receive: must be a map of keys, not a list",
        ],
    ),
    (
        "bad-sender-mailbox.yml",
        &[
            "bad-sender-mailbox.yml:7: targets[0].sender_mailbox.password: differs between target `a` here and target `a` at bad-sender-mailbox.yml:6, which share the mailbox imap://u@mail.example.com:143; write the same",
            "bad-sender-mailbox.yml:13: targets[1].sender_mailbox.ehlo: is not a key; it belongs under `send`",
            "bad-sender-mailbox.yml:13: targets[1].sender_mailbox.folders: folders exist only with protocol imap or jmap",
            "bad-sender-mailbox.yml:13: targets[1].sender_mailbox.interval: is not a key; it belongs to the target, not under `sender_mailbox`",
            "bad-sender-mailbox.yml:13: targets[1].sender_mailbox.password: is missing: write `password_file`, `password_env` or `password` beside `username`, or `oauth2`",
            "bad-sender-mailbox.yml:13: targets[1].sender_mailbox.username: is missing: the account that reads the mailbox",
        ],
    ),
    (
        "bad-several.yml",
        &[
            "bad-several.yml:1: state_dir: must be a text, not a list",
            "bad-several.yml:5: targets[0].host: must be a host alone; the port goes to `port` under `send` or `receive` (an IPv6 address is written as 2001:db8::1)",
            "bad-several.yml:6: targets[0].from: is not a mail address such as user@example.com",
            "bad-several.yml:8: targets[0].interval: has no unit; write one, as in 500ms, 30s, 5m, 24h, 1h30m or 7d",
            "bad-several.yml:9: targets[0].intervall: is not a key; did you mean `interval`?",
            "bad-several.yml:10: targets[0].send.port: must be a whole number from 1 to 65535",
            "targets.d/more-keys.yml:1: state_dir: is not a key; it belongs in the main file",
            "targets.d/more-keys.yml:2: include: is not a key; it belongs in the main file",
        ],
    ),
    (
        "bad-ssl-and-tls-in-defaults.yml",
        &[
            "bad-ssl-and-tls-in-defaults.yml:1: defaults.send.tls: contradicts `ssl` on line 1; keep one",
        ],
    ),
    (
        "bad-ssl-and-tls.yml",
        &["bad-ssl-and-tls.yml:7: targets[0].send.tls: contradicts `ssl` on line 6; keep one"],
    ),
    ("bad-ssl-value.yml", &["bad-ssl-value.yml:6: targets[0].ssl: must be true or false"]),
    (
        "bad-targets-by-name.yml",
        &["bad-targets-by-name.yml:1: targets: must be a list: begin each target with `- name:`"],
    ),
    (
        "bad-targets-in-place-of-a-map.yml",
        &[
            "bad-targets-in-place-of-a-map.yml:1: targets: must be a list, as [a, b], not a single value",
        ],
    ),
    (
        "bad-tls-identity-files.yml",
        &[
            "bad-tls-identity-files.yml:6: targets[0].send.tls_options.cert_file: cannot be read: No such file or directory (os error 2); a relative path starts from the folder of the file that names it",
            "bad-tls-identity-files.yml:6: targets[0].send.tls_options.key_file: cannot be read: No such file or directory (os error 2); a relative path starts from the folder of the file that names it",
            "bad-tls-identity-files.yml:7: targets[0].receive.tls_options.cert_file: names a file without a certificate in PEM form",
        ],
    ),
    (
        "bad-tls-identity-half.yml",
        &[
            "bad-tls-identity-half.yml:6: targets[0].send.tls_options.cert_file: needs both `cert_file` and `key_file`",
            "bad-tls-identity-half.yml:7: targets[0].receive.tls_options.key_file: needs both `cert_file` and `key_file`",
        ],
    ),
    (
        "bad-tls-options-without-tls.yml",
        &[
            "bad-tls-options-without-tls.yml:6: targets[0].send.tls_options: means nothing without TLS; leave it out, or use TLS",
        ],
    ),
    (
        "bad-tls-options.yml",
        &[
            "bad-tls-options.yml:6: targets[0].send.tls_options.ca_file: names a file without a certificate in PEM form",
            "bad-tls-options.yml:6: targets[0].send.tls_options.insecure_skip_verify: must be true or false",
            "bad-tls-options.yml:6: targets[0].send.tls_options.min_version: must be one of 1.0, 1.1, 1.2, 1.3",
            "bad-tls-options.yml:6: targets[0].send.tls_options.server_name: must be a host alone; the port goes to `port` under `send` or `receive` (an IPv6 address is written as 2001:db8::1)",
            "bad-tls-options.yml:6: targets[0].send.tls_options.verify: is not a key; the keys here are ca_file, server_name, insecure_skip_verify, min_version, cert_file, key_file",
        ],
    ),
    (
        "bad-two-documents.yml",
        &["bad-two-documents.yml:7: a second document begins here; write one only"],
    ),
    (
        "bad-typographic-quotes.yml",
        &[
            r#"bad-typographic-quotes.yml:2: targets[0].name: begins with a typographic quotation mark; write ' or ", or put all of it in quotes if the mark belongs there"#,
            r#"bad-typographic-quotes.yml:3: targets[0].host: begins with a typographic quotation mark; write ' or ", or put all of it in quotes if the mark belongs there"#,
            "bad-typographic-quotes.yml:6: targets[0].messages: must be a whole number from 1 to 100; it begins with a typographic quotation mark",
            "bad-typographic-quotes.yml:7: targets[0].receive.password: holds an invisible character or begins with a typographic quotation mark; write it anew, or in quotes if that belongs to the password",
        ],
    ),
    (
        "bad-unknown-key-elsewhere.yml",
        &[
            "bad-unknown-key-elsewhere.yml:6: targets[0].port: is not a key; it belongs under `send` or `receive`",
            "bad-unknown-key-elsewhere.yml:7: targets[0].SendPort: is not a key; did you mean `send.port`?",
            "bad-unknown-key-elsewhere.yml:8: targets[0].send.folders: is not a key; it belongs under `receive`",
            "bad-unknown-key-elsewhere.yml:8: targets[0].send.ssl: is not a key; it belongs to the target; the key here is `tls`",
            "bad-unknown-key-elsewhere.yml:9: targets[0].receive.interval: is not a key; it belongs to the target, not under `receive`",
        ],
    ),
    (
        "bad-unknown-key-in-defaults.yml",
        &[
            "bad-unknown-key-in-defaults.yml:1: defaults.colour: is not a key; the keys here are host, interval, messages, late_after, lost_after, max_outstanding, passive, cluster, labels, from, to, timeout, ip_family, ssl, send, receive, sender_mailbox, match, mail, expect, refused_at, inspect, authserv_id, ping, ports, port_checks, port_timeout, dnsbl, domain_checks",
            "bad-unknown-key-in-defaults.yml:1: defaults.name: is not a key; each target has a name of its own",
        ],
    ),
    (
        "bad-unknown-key-is-a-password.yml",
        &[
            "bad-unknown-key-is-a-password.yml:6: targets[0].send.?: is not a key; the keys here are host, mx, port, tls, tls_options, ip_family, username, password, password_file, password_env, oauth2, auth, ehlo, max_connections",
            "bad-unknown-key-is-a-password.yml:6: targets[0].send.password: is missing: write `password_file`, `password_env` or `password` beside `username`, or `oauth2`",
        ],
    ),
    (
        "bad-unknown-key-spelling.yml",
        &[
            "bad-unknown-key-spelling.yml:1: State-Dir: is not a key; did you mean `state_dir`?",
            "bad-unknown-key-spelling.yml:3: targets[0].Name: is not a key; did you mean `name`?",
            "bad-unknown-key-spelling.yml:3: targets[0].name: is missing: the nick name, the label `target`",
            "bad-unknown-key-spelling.yml:7: targets[0].lateAfter: is not a key; did you mean `late_after`?",
            "bad-unknown-key-spelling.yml:8: targets[0].LOST-AFTER: is not a key; did you mean `lost_after`?",
            "bad-unknown-key-spelling.yml:9: targets[0].max-outstanding: is not a key; did you mean `max_outstanding`?",
            "bad-unknown-key-spelling.yml:10: targets[0].send.Max_Connections: is not a key; did you mean `max_connections`?",
            "bad-unknown-key-spelling.yml:10: targets[0].send.tlsOptions: is not a key; did you mean `tls_options`?",
            "bad-unknown-key-spelling.yml:11: targets[0].receive.min__look_interval: is not a key; did you mean `min_look_interval`?",
            "bad-unknown-key-spelling.yml:11: targets[0].receive.password: is missing: write `password_file`, `password_env` or `password` beside `username`, or `oauth2`",
            "bad-unknown-key-spelling.yml:11: targets[0].receive.passwordFile: is not a key; did you mean `password_file`?",
        ],
    ),
    (
        "bad-unknown-key.yml",
        &[
            "bad-unknown-key.yml:6: targets[0].intervall: is not a key; did you mean `interval`?",
            "bad-unknown-key.yml:8: stat_dir: is not a key; did you mean `state_dir`?",
        ],
    ),
    (
        "bad-username-without-password.yml",
        &[
            "bad-username-without-password.yml:6: targets[0].send.password: is missing: write `password_file`, `password_env` or `password` beside `username`, or `oauth2`",
        ],
    ),
    (
        "bad-variables.yml",
        &[
            "bad-variables.yml:3: targets[0].host: names a variable, and none is expanded here; write the value itself ('in single quotes' if it is meant as it stands)",
            "bad-variables.yml:6: targets[0].cluster: names a variable, and none is expanded here; write the value itself ('in single quotes' if it is meant as it stands)",
            "bad-variables.yml:7: targets[0].labels.site: names a variable, and none is expanded here; write the value itself ('in single quotes' if it is meant as it stands)",
            "bad-variables.yml:10: targets[0].send.password: looks like a variable, and none is expanded here; name the variable in `password_env` or a file in `password_file` (a password that is meant as it stands goes in 'single quotes')",
            "bad-variables.yml:14: targets[0].receive.password: looks like a variable, and none is expanded here; name the variable in `password_env` or a file in `password_file` (a password that is meant as it stands goes in 'single quotes')",
            "bad-variables.yml:18: targets[0].sender_mailbox.password_file: names a variable, and none is expanded here; write the value itself ('in single quotes' if it is meant as it stands); only `${CREDENTIALS_DIRECTORY}/`, at the beginning, is",
            "bad-variables.yml:23: targets[1].send.password_env: takes the name of a variable alone, without `$`",
            "bad-variables.yml:24: targets[1].receive.password_env: takes the name of a variable alone, without `$`",
        ],
    ),
    (
        "bad-words-of-other-programs.yml",
        &[
            "bad-words-of-other-programs.yml:6: targets[0].send.tls: must be one of starttls, implicit, none; implicit is TLS from the first byte on",
            "bad-words-of-other-programs.yml:7: targets[0].receive.protocol: must be one of imap, pop3, jmap; TLS from the first byte on is `tls: implicit` beside it",
            "bad-words-of-other-programs.yml:7: targets[0].receive.tls: must be one of starttls, implicit, none; none is the one without TLS",
        ],
    ),
    (
        "bad-wrong-type-password.yml",
        &[
            "bad-wrong-type-password.yml:6: targets[0].receive.password: must be a text, not a list",
            "bad-wrong-type-password.yml:7: targets[1]: must be a map of keys, not a single value",
        ],
    ),
    (
        "bad-wrong-type.yml",
        &[
            "bad-wrong-type.yml:6: targets[0].passive: must be true or false",
            "bad-wrong-type.yml:7: targets[0].ping: must be true or false, without quotes",
            "bad-wrong-type.yml:8: targets[0].messages: must be a whole number from 1 to 100",
            "bad-wrong-type.yml:9: targets[0].labels: must be a map of keys, not a list",
            "bad-wrong-type.yml:10: targets[0].cluster: must be a text, not a map",
            "bad-wrong-type.yml:11: targets[0].ports: must be a list, as [a, b], not a single value",
            "bad-wrong-type.yml:12: targets[0].receive.folders: must be a list, as [a, b], not a single value",
        ],
    ),
    (
        "bad-yaml-after-block.yml",
        &[
            "bad-yaml-after-block.yml:8: is not YAML: mapping values are not allowed in this context; a value that holds `: ` needs quotes",
        ],
    ),
    (
        "bad-yaml-after-quoted-label.yml",
        &[
            "bad-yaml-after-quoted-label.yml:5: is not YAML: mapping values are not allowed in this context; a value that holds `: ` needs quotes",
        ],
    ),
    (
        "bad-yaml-after-quoted-password.yml",
        &[
            "bad-yaml-after-quoted-password.yml:9: is not YAML: mapping values are not allowed in this context; a value that holds `: ` needs quotes",
        ],
    ),
    (
        "bad-yaml-alias-bomb.yml",
        &[
            "bad-yaml-alias-bomb.yml:7: g[0]: the file holds more than 2000000 values, aliases written out",
        ],
    ),
    (
        "bad-yaml-alias-nesting.yml",
        &["bad-yaml-alias-nesting.yml:64: a63[0]: is nested deeper than 64 levels"],
    ),
    (
        "bad-yaml-alias-recursive.yml",
        &["bad-yaml-alias-recursive.yml:2: targets[0]: the alias stands inside what it names"],
    ),
    (
        "bad-yaml-alias-unknown.yml",
        &[
            "bad-yaml-alias-unknown.yml:6: is not YAML: while parsing node, found unknown anchor; a value that begins with `*` needs quotes",
        ],
    ),
    (
        "bad-yaml-bracket-open-password.yml",
        &[
            "bad-yaml-bracket-open-password.yml:9: is not YAML: the `[` here is not closed, or a comma is missing, up to line 10; a value that begins with `[` needs quotes",
        ],
    ),
    (
        "bad-yaml-bracket-open.yml",
        &[
            "bad-yaml-bracket-open.yml:6: is not YAML: the `{` here is not closed, or a comma is missing, up to line 7; a value that begins with `{` needs quotes",
        ],
    ),
    (
        "bad-yaml-duplicate-key.yml",
        &[
            "bad-yaml-duplicate-key.yml:7: targets[0].interval: is written twice; the first is on line 6",
        ],
    ),
    (
        "bad-yaml-escape.yml",
        &[
            r#"bad-yaml-escape.yml:6: is not YAML: while parsing a quoted scalar, found unknown escape character; write a backslash in single quotes, as '\Junk'"#,
        ],
    ),
    (
        "bad-yaml-merge.yml",
        &[
            "bad-yaml-merge.yml:6: targets[0].<<: must be a map or a list of maps, as in `<<: *name`",
        ],
    ),
    (
        "bad-yaml-nesting.yml",
        &["bad-yaml-nesting.yml:1: targets[0][0][0][0][0][0][0]: is nested deeper than 64 levels"],
    ),
    (
        "bad-yaml-no-break-space.yml",
        &[
            "bad-yaml-no-break-space.yml:10: is not YAML: while parsing a block mapping, did not find expected key; a no-break space (U+00A0) stands in line 7: write a blank, or nothing, in its place",
        ],
    ),
    (
        "bad-yaml-null-password.yml",
        &[
            "bad-yaml-null-password.yml:6: targets[0].receive.password: has no value; write one, or leave the key out (a value that begins with a special character needs quotes)",
        ],
    ),
    (
        "bad-yaml-quote-open-to-the-end.yml",
        &[
            "bad-yaml-quote-open-to-the-end.yml:9: is not YAML: invalid indentation in quoted scalar; the quote that begins here is not closed",
        ],
    ),
    (
        "bad-yaml-quote-open.yml",
        &[
            r#"bad-yaml-quote-open.yml:6: is not YAML: the quote that begins here is not closed in this line; within 'quotes' write '' for ', within "quotes" \" for ""#,
        ],
    ),
    (
        "bad-yaml-special-character.yml",
        &[
            "bad-yaml-special-character.yml:4: a value cannot begin with this character; put it in quotes",
        ],
    ),
    (
        "bad-yaml-syntax.yml",
        &[
            "bad-yaml-syntax.yml:3: is not YAML: the `{` here is not closed, or a comma is missing, up to line 4; a value that begins with `{` needs quotes",
        ],
    ),
    (
        "bad-yaml-tab.yml",
        &[
            "bad-yaml-tab.yml:2: is not YAML: while scanning a plain scalar, found a tab; indent with spaces, not with tabs",
        ],
    ),
    (
        "bad-yaml-tag.yml",
        &[
            "bad-yaml-tag.yml:6: targets[0].receive.password: has no value; write one, or leave the key out (a value that begins with a special character needs quotes)",
            "bad-yaml-tag.yml:6: targets[0].receive.password: tags mean nothing here; a value that begins with `!` needs quotes",
        ],
    ),
    (
        "bad-yaml-template.yml",
        &[
            "bad-yaml-template.yml:3: targets[0].host: must be a text, not a map",
            "bad-yaml-template.yml:3: targets[0].host.?: a key must be a word; a value that begins with `{` or `[`, as templates do, needs quotes",
        ],
    ),
    (
        "bad-yaml-values-without-quotes.yml",
        &[
            "bad-yaml-values-without-quotes.yml:9: is not YAML: mapping values are not allowed in this context; a value that holds `: ` needs quotes",
        ],
    ),
];

//! The keys of `mail`.

use super::Default::{Nothing, Required, Told};
use super::Kind::{Bytes, Fields, Host, Lines, Map, Path, Text, Word};
use super::table::key;
use super::{Home, Key, Kind, words};
use crate::config::wants::form::{ATTACHED_SIZES, SAMPLES, SIZES};

const SIZE: Kind = Bytes(*SIZES.start(), *SIZES.end());
const ATTACHED_SIZE: Kind = Bytes(*ATTACHED_SIZES.start(), *ATTACHED_SIZES.end());

pub(super) const MAIL: &[Key] = &[
    key(
        "subject",
        Text,
        Told("Mail round-trip test {token}"),
        "The Subject; {token}, {target} and {time} stand for those of the mail, {{ for a brace",
    ),
    key(
        "headers",
        Fields,
        Nothing,
        "Fields of the header with their values, which may hold the same; an empty value leaves a field out",
    ),
    key(
        "body",
        Lines,
        Told("a text that says what the mail is and how to stop it"),
        "The text, which may hold the same",
    ),
    key("body_file", Path, Nothing, "A file with the text, in UTF-8, 256 kB at most"),
    key("size", SIZE, Told("what the mail needs"), "The size to which the mail is padded"),
    key("attachment", Map(Home::Attachment), Nothing, "A file that is attached"),
    key(
        "sample",
        Word(&words(&SAMPLES)),
        Nothing,
        "A sample that filters are to find: the test virus of EICAR as an attachment, or GTUBE, the test of spam filters",
    ),
    key("dkim", Map(Home::Dkim), Nothing, "Who signs the mail; with send.mx only"),
];

pub(super) const ATTACHMENT: &[Key] = &[
    key(
        "name",
        Text,
        Told("that of the file, or attachment.bin"),
        "The name of the file that the mail shows, by which many filters go",
    ),
    key(
        "size",
        ATTACHED_SIZE,
        Told("what fills the size of the mail"),
        "The size of meaningless content before it is encoded, which makes it larger by 37%",
    ),
    key("file", Path, Nothing, "A file with the content, 1 MB at most, in place of `size`"),
];

pub(super) const DKIM: &[Key] = &[
    key("domain", Host, Required, "The domain that signs"),
    key("selector", Text, Required, "The name of its key below `_domainkey`"),
    key(
        "key_file",
        Path,
        Required,
        "The private key, RSA or Ed25519, in PEM without a pass phrase",
    ),
];

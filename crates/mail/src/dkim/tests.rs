use std::time::Duration;

use openssl::rsa::Rsa;
use openssl::sign::Verifier;

use super::*;

pub(crate) fn rsa() -> Signer {
    signer(&PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap())
}

pub(crate) fn ed25519() -> Signer {
    signer(&PKey::generate_ed25519().unwrap())
}

fn signer(key: &PKey<Private>) -> Signer {
    of(&key.private_key_to_pem_pkcs8().unwrap()).unwrap()
}

fn of(pem: &[u8]) -> Result<Signer, BadKey> {
    let file = PemFile { path: "s1.pem".into(), pem: pem.into() };
    Signer::new("football.example.com".to_owned(), "s1".to_owned(), file)
}

fn signed(signer: &Signer, content: &Content) -> String {
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let content = runtime.block_on(signer.sign(content.clone(), now)).unwrap();
    String::from_utf8(content.to_vec()).unwrap()
}

/// The example of RFC 8463, appendix A.
const EXAMPLE: &str = "From: Joe SixPack <joe@football.example.com>\r\n\
    To: Suzie Q <suzie@shopping.example.net>\r\n\
    Subject: Is dinner ready?\r\n\
    Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n\
    Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\
    \r\n\
    Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";

#[test]
fn the_example_of_the_rfc_is_signed_as_there() {
    let seed = STANDARD.decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=").unwrap();
    let key = PKey::private_key_from_raw_bytes(&seed, Id::ED25519).unwrap();
    let own = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n \
        d=football.example.com; i=@football.example.com;\r\n \
        q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n \
        subject : date : message-id : from : subject : date;\r\n \
        bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=";
    let names = ["from", "to", "subject", "date", "message-id", "from", "subject", "date"];
    let (header, body) = EXAMPLE.split_once("\r\n\r\n").unwrap();
    let header = format!("{header}\r\n");
    let signature = signer(&key).signature(header.as_bytes(), &names, own).unwrap();
    assert_eq!(
        STANDARD.encode(signature),
        "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
    );
    for at in 0..body.len() {
        let mut hash = RelaxedBody::default();
        let (first, second) = body.split_at(at);
        hash.take(first.as_bytes());
        hash.take(second.as_bytes());
        let hash = STANDARD.encode(hash.finish());
        assert_eq!(hash, "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=", "{at}");
    }
}

#[test]
fn space_and_empty_lines_count_as_the_rfc_says() {
    let hash = |body: &str| {
        let mut hash = RelaxedBody::default();
        hash.take(body.as_bytes());
        hash.finish()
    };
    // Of section 3.4.5.
    assert_eq!(hash(" C \r\nD \t E\r\n\r\n\r\n"), sha256(b" C\r\nD E\r\n"));
    assert_eq!(hash("\r\n \r\n"), sha256(b""), "an empty body is one without its lines");
    assert_eq!(hash("\r\n\r\na"), sha256(b"\r\n\r\na\r\n"));
    let fields = unfolded(b"A: X\r\nB : Y\t\r\n\tZ  \r\n");
    let fields: Vec<Vec<u8>> = fields.iter().map(|(name, value)| relaxed(name, value)).collect();
    assert_eq!(fields, [b"a:X".to_vec(), b"b:Y Z".to_vec()]);
}

#[test]
fn the_signature_holds_and_stands_first_in_lines_that_are_short() {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let signer = signer(&key);
    let mail = signed(&signer, &EXAMPLE.as_bytes().into());
    let (field, rest) = mail.split_at(signer.field_size());
    assert_eq!(rest, EXAMPLE);
    assert!(field.starts_with(
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n\td=football.example.com; s=s1;"
    ));
    assert!(field.ends_with("=\r\n") && field.lines().all(|line| line.len() < 998), "{field}");
    let (start, signature) = field.split_once("\tb=").unwrap();
    let signature = STANDARD.decode(signature.replace(['\r', '\n', '\t'], "")).unwrap();
    let signed = "from:Joe SixPack <joe@football.example.com>\r\n\
                  to:Suzie Q <suzie@shopping.example.net>\r\nsubject:Is dinner ready?\r\n\
                  date:Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n\
                  message-id:<20030712040037.46341.5F8J@football.example.com>\r\n\
                  dkim-signature:"
        .to_owned()
        + &format!("{}\tb=", &start["DKIM-Signature: ".len()..]).replace("\r\n\t", " ");
    let mut verifier = Verifier::new(MessageDigest::sha256(), &key).unwrap();
    assert!(verifier.verify_oneshot(&signature, signed.as_bytes()).unwrap(), "{signed}");
}

#[test]
fn a_signature_leaves_no_line_of_nothing_but_space() {
    let signer = ed25519();
    for pieces in 1..=3 {
        let whole = "s".repeat(pieces * PIECE);
        let field = signer.field("hash", &whole, UNIX_EPOCH);
        assert_eq!(
            field.matches('s').count(),
            signer.field("hash", "", UNIX_EPOCH).matches('s').count() + whole.len()
        );
        assert!(field.lines().all(|line| !line.trim().is_empty() && line.len() <= 78), "{field}");
    }
}

#[test]
fn what_people_see_cannot_be_added_to() {
    let signer = ed25519();
    let field = signer.field("hash", "", UNIX_EPOCH);
    let names = field.split_once("h=").unwrap().1.split_once(';').unwrap().0;
    for seen in ["From", "Reply-To", "To", "Subject", "Date"] {
        let such = names.split(':').filter(|name| name.trim() == seen).count();
        assert_eq!(such, 2, "{seen}");
        let twice = format!("{seen}: another\r\n{EXAMPLE}");
        let sign = |mail: &str| signer.signature(mail.as_bytes(), &SIGNED, &field).unwrap();
        assert_ne!(sign(&twice), sign(EXAMPLE), "{seen}");
    }
}

#[test]
fn keys_that_sign_for_nobody_are_refused() {
    let pem = |key: PKey<Private>| key.private_key_to_pem_pkcs8().unwrap();
    let small = PKey::from_rsa(Rsa::generate(512).unwrap()).unwrap();
    let other = PKey::generate_ed448().unwrap();
    assert_eq!(of(&pem(small)).unwrap_err(), BadKey::Small);
    assert_eq!(of(&pem(other)).unwrap_err(), BadKey::Kind);
    assert_eq!(of(b"hunter2").unwrap_err(), BadKey::NoKey);
    assert_eq!(rsa().rsa_bits(), Some(1024));
    assert_eq!(ed25519().rsa_bits(), None);
    assert!(!format!("{:?}", rsa()).contains("PRIVATE"));
}

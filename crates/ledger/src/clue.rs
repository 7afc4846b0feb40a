//! What a failure shows beyond its reason: from codes and from what the session saw, never from words.

/// A clue to the cause of a failure, for the advice: which key or which setting of the server to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Clue {
    /// The server wants TLS before the command: 530 or 451 5.7.3 to a connection in the clear that offers
    /// STARTTLS (RFC 3207 section 4), 538 or x.7.11 (RFC 4954 section 6), `[PRIVACYREQUIRED]`, or a login
    /// that is not offered in the clear where TLS is.
    TlsFirst,
    /// The server wants a login before the command: 530, or 535 where no login was under way.
    LoginFirst,
    /// One of both: 530 to a connection in the clear that offers STARTTLS and a login (RFC 3207 section 4
    /// and RFC 4954 section 6 have the same code).
    TlsOrLoginFirst,
    /// The server offers no login on this connection, which has what protection there is.
    NoLogin,
    /// The server has switched off logins by SMTP for the account: 535 5.7.139.
    LoginSwitchedOff,
    /// The name in EHLO is refused: the reply names it, or is 504 5.5.2, and the name has no dot.
    EhloName,
    /// 504 5.5.2: the name in EHLO or the domain of an address is not a full one.
    EhloNameOrAddress,
    /// 450 4.7.1: the name in EHLO has no address, or a greylist.
    EhloNameOrGreylist,
    /// The domain of the sender is refused: x.1.7, x.1.8, x.7.23 or x.7.27 (RFC 3463, RFC 7372, RFC 7505).
    SenderDomain,
    /// A refusal of something that no address or content of the mail would mend: of the command (500 to 504, 555), of
    /// the name of the client's address (x.7.25), or of a domain that takes no mail from anybody (556, RFC 7505).
    AnotherMatter,
    /// The server has no room for any mail: x.3.1 (RFC 3463 section 3.4).
    NoRoom,
    /// The mail is larger than the server takes: x.3.4, or x.2.3 for the mailbox (RFC 3463 sections 3.3 and 3.4).
    TooLarge,
    /// Too many connections of the account at one time: 432 4.3.2.
    Connections,
    /// The server refuses the connection before a word of ours: it knows the address only.
    AddressOnly,
    /// A digest of the password was refused, where the password itself may be taken: under this `auth`.
    OtherAuth(&'static str),
    /// A TLS alert on the certificate of the client, or the lack of it (RFC 8446 section 6.2).
    ClientCertificate,
    /// The server left in answer to the first words under TLS 1.3, as one does that wants a certificate.
    LeftAfterTls,
    /// No common cipher or version, or the lack of a certificate: the alert `handshake_failure`.
    HandshakeFailure,
    /// The TLS alert `unrecognized_name`: the server knows no service of that name (RFC 6066 section 3).
    ServerName,
    /// The server left during the handshake, in which no name was told as the host is an address.
    NoServerName,
    /// What came in answer to the first words of TLS is no TLS.
    NotTls,
    /// The server knows older versions or weaker keys of TLS only than the policy allows.
    OldTls,
    /// The server offers TLS and then cannot do it.
    TlsBroken,
    /// A keyword of X in the place of STARTTLS: a firewall between rewrites the reply to EHLO.
    StartTlsMasked,
    /// The name server refuses an answer for its DNSSEC, and gives it where nothing is validated.
    Bogus,
    /// The login was taken, and then the first command about the mailbox is BAD.
    NoMailbox,
    /// The server sends its client to another one (JMAP), which is not asked.
    Elsewhere,
    /// The server has no JMAP where it is looked for: 404.
    NoJmap,
    /// The server greets as one of another protocol: this one.
    OtherProtocol(&'static str),
    /// The time for all of the dialogue is over, not that for one reply.
    PeriodOver,
}

impl Clue {
    /// That no login is offered, where TLS `could` be asked for first, or not.
    pub fn no_login(could: bool) -> Self {
        if could { Clue::TlsFirst } else { Clue::NoLogin }
    }
}

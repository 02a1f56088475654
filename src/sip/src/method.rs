//! Methods.

/// A request's method.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Method {
    /// RFC 3261 §13.
    Invite,
    /// RFC 3261 §13.2.2.4, §17.1.1.3.
    Ack,
    /// RFC 3261 §15.
    Bye,
    /// RFC 3261 §9.
    Cancel,
    /// RFC 3261 §11.
    Options,
    /// RFC 3261 §10.
    Register,
    /// RFC 3262.
    Prack,
    /// RFC 3311.
    Update,
    /// RFC 6086.
    Info,
    /// RFC 3428.
    Message,
    /// RFC 6665.
    Subscribe,
    /// RFC 6665.
    Notify,
    /// RFC 3515.
    Refer,
    /// RFC 3903.
    Publish,
    /// Any other token.
    Other,
}

impl Method {
    /// The methods that have a name of their own.
    pub const KNOWN: [Method; 14] = [
        Method::Invite,
        Method::Ack,
        Method::Bye,
        Method::Cancel,
        Method::Options,
        Method::Register,
        Method::Prack,
        Method::Update,
        Method::Info,
        Method::Message,
        Method::Subscribe,
        Method::Notify,
        Method::Refer,
        Method::Publish,
    ];

    /// The method of this name. Case counts (RFC 3261 §7.1).
    #[must_use]
    pub fn of(name: &[u8]) -> Method {
        match name {
            b"INVITE" => Method::Invite,
            b"ACK" => Method::Ack,
            b"BYE" => Method::Bye,
            b"CANCEL" => Method::Cancel,
            b"OPTIONS" => Method::Options,
            b"REGISTER" => Method::Register,
            b"PRACK" => Method::Prack,
            b"UPDATE" => Method::Update,
            b"INFO" => Method::Info,
            b"MESSAGE" => Method::Message,
            b"SUBSCRIBE" => Method::Subscribe,
            b"NOTIFY" => Method::Notify,
            b"REFER" => Method::Refer,
            b"PUBLISH" => Method::Publish,
            _ => Method::Other,
        }
    }

    /// The method whose name the bytes begin with, and the length of that. Whoever asks looks
    /// whether the name ends there.
    #[inline]
    #[rustfmt::skip] // a table
    pub(crate) fn leading(bytes: &[u8]) -> Option<(Method, usize)> {
        Some(match bytes {
            [b'I', b'N', b'V', b'I', b'T', b'E', ..]             => (Method::Invite, 6),
            [b'A', b'C', b'K', ..]                               => (Method::Ack, 3),
            [b'B', b'Y', b'E', ..]                               => (Method::Bye, 3),
            [b'C', b'A', b'N', b'C', b'E', b'L', ..]             => (Method::Cancel, 6),
            [b'O', b'P', b'T', b'I', b'O', b'N', b'S', ..]       => (Method::Options, 7),
            [b'R', b'E', b'G', b'I', b'S', b'T', b'E', b'R', ..] => (Method::Register, 8),
            [b'P', b'R', b'A', b'C', b'K', ..]                   => (Method::Prack, 5),
            [b'U', b'P', b'D', b'A', b'T', b'E', ..]             => (Method::Update, 6),
            [b'I', b'N', b'F', b'O', ..]                         => (Method::Info, 4),
            [b'M', b'E', b'S', b'S', b'A', b'G', b'E', ..]       => (Method::Message, 7),
            [b'N', b'O', b'T', b'I', b'F', b'Y', ..]             => (Method::Notify, 6),
            [b'R', b'E', b'F', b'E', b'R', ..]                   => (Method::Refer, 5),
            _ => return None,
        })
    }

    /// The name; empty for [`Method::Other`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Method::Invite => "INVITE",
            Method::Ack => "ACK",
            Method::Bye => "BYE",
            Method::Cancel => "CANCEL",
            Method::Options => "OPTIONS",
            Method::Register => "REGISTER",
            Method::Prack => "PRACK",
            Method::Update => "UPDATE",
            Method::Info => "INFO",
            Method::Message => "MESSAGE",
            Method::Subscribe => "SUBSCRIBE",
            Method::Notify => "NOTIFY",
            Method::Refer => "REFER",
            Method::Publish => "PUBLISH",
            Method::Other => "",
        }
    }
}

//! Header fields that have an identity, found by length and first letter.

macro_rules! headers {
    ($($(#[$doc:meta])* $id:ident $name:literal $list:literal;)*) => {
        /// A header field that something in trunkline asks for; every other name is `Other`.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum HeaderId {
            $(#[doc = $name] $id,)*
            /// A header that is only carried.
            Other,
        }

        impl HeaderId {
            /// How many there are, `Other` included.
            pub const COUNT: usize = HeaderId::Other as usize + 1;
            /// All but `Other`.
            pub const KNOWN: &'static [HeaderId] = &[$(HeaderId::$id,)*];

            /// The name in its long form; empty for `Other`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(HeaderId::$id => $name,)* HeaderId::Other => "" }
            }

            /// Whether a comma separates values, so that one line can hold several.
            #[must_use]
            pub const fn is_list(self) -> bool {
                match self { $(HeaderId::$id => $list,)* HeaderId::Other => false }
            }
        }
    };
}

headers! {
    Via "Via" true;
    From "From" false;
    To "To" false;
    CallId "Call-ID" false;
    CSeq "CSeq" false;
    MaxForwards "Max-Forwards" false;
    Route "Route" true;
    RecordRoute "Record-Route" true;
    Contact "Contact" true;
    ContentLength "Content-Length" false;
    ContentType "Content-Type" false;
    Require "Require" true;
    ProxyRequire "Proxy-Require" true;
    Supported "Supported" true;
    Unsupported "Unsupported" true;
    MaxBreadth "Max-Breadth" false;
    Timestamp "Timestamp" false;
    Expires "Expires" false;
    MinExpires "Min-Expires" false;
    Reason "Reason" true;
    RetryAfter "Retry-After" false;
    Allow "Allow" true;
    PAssertedIdentity "P-Asserted-Identity" true;
    PPreferredIdentity "P-Preferred-Identity" true;
    PChargingVector "P-Charging-Vector" false;
    Diversion "Diversion" true;
    HistoryInfo "History-Info" true;
    Privacy "Privacy" false;
    RAck "RAck" false;
    RSeq "RSeq" false;
    UserAgent "User-Agent" false;
    Server "Server" false;
    Warning "Warning" true;
    Identity "Identity" false;
    Date "Date" false;
    Subject "Subject" false;
    Event "Event" false;
    AllowEvents "Allow-Events" true;
    ReferTo "Refer-To" false;
    ReferredBy "Referred-By" false;
    Replaces "Replaces" false;
    Join "Join" false;
    SessionExpires "Session-Expires" false;
    MinSe "Min-SE" false;
    Accept "Accept" true;
    AcceptContact "Accept-Contact" true;
    RejectContact "Reject-Contact" true;
    RequestDisposition "Request-Disposition" true;
    ContentEncoding "Content-Encoding" true;
    ContentDisposition "Content-Disposition" false;
    Authorization "Authorization" false;
    WwwAuthenticate "WWW-Authenticate" false;
    ProxyAuthenticate "Proxy-Authenticate" false;
    ProxyAuthorization "Proxy-Authorization" false;
    Path "Path" true;
    ServiceRoute "Service-Route" true;
    ResourcePriority "Resource-Priority" true;
}

impl HeaderId {
    /// The header of this name, long or compact, in any case.
    #[must_use]
    #[rustfmt::skip] // a table
    pub fn of(name: &[u8]) -> HeaderId {
        use HeaderId::*;
        let Some(&first) = name.first() else { return Other };
        let initial = first | 0x20;
        if name.len() == 1 {
            return HeaderId::of_compact(initial);
        }
        let candidates: &[HeaderId] = match (name.len(), initial) {
            (2, b't') => &[To],
            (3, b'v') => &[Via],
            (4, b'f') => &[From],
            (4, b'c') => &[CSeq],
            (4, b'r') => &[RAck, RSeq],
            (4, b'd') => &[Date],
            (4, b'p') => &[Path],
            (4, b'j') => &[Join],
            (5, b'r') => &[Route],
            (5, b'a') => &[Allow],
            (5, b'e') => &[Event],
            (6, b'r') => &[Reason],
            (6, b's') => &[Server],
            (6, b'a') => &[Accept],
            (6, b'm') => &[MinSe],
            (7, b'c') => &[CallId, Contact],
            (7, b'r') => &[Require],
            (7, b'e') => &[Expires],
            (7, b'w') => &[Warning],
            (7, b'p') => &[Privacy],
            (7, b's') => &[Subject],
            (8, b'i') => &[Identity],
            (8, b'r') => &[ReferTo, Replaces],
            (9, b's') => &[Supported],
            (9, b't') => &[Timestamp],
            (9, b'd') => &[Diversion],
            (10, b'u') => &[UserAgent],
            (11, b'u') => &[Unsupported],
            (11, b'r') => &[RetryAfter, ReferredBy],
            (11, b'm') => &[MaxBreadth, MinExpires],
            (12, b'm') => &[MaxForwards],
            (12, b'r') => &[RecordRoute],
            (12, b'c') => &[ContentType],
            (12, b'a') => &[AllowEvents],
            (12, b'h') => &[HistoryInfo],
            (13, b'p') => &[ProxyRequire],
            (13, b'a') => &[Authorization],
            (13, b's') => &[ServiceRoute],
            (14, b'c') => &[ContentLength],
            (14, b'a') => &[AcceptContact],
            (14, b'r') => &[RejectContact],
            (15, b's') => &[SessionExpires],
            (16, b'w') => &[WwwAuthenticate],
            (16, b'c') => &[ContentEncoding],
            (17, b'r') => &[ResourcePriority],
            (17, b'p') => &[PChargingVector],
            (18, b'p') => &[ProxyAuthenticate],
            (19, b'p') => &[PAssertedIdentity, ProxyAuthorization],
            (19, b'c') => &[ContentDisposition],
            (19, b'r') => &[RequestDisposition],
            (20, b'p') => &[PPreferredIdentity],
            _ => return Other,
        };
        for &candidate in candidates {
            if name.eq_ignore_ascii_case(candidate.name().as_bytes()) {
                return candidate;
            }
        }
        Other
    }

    /// The header of this compact form (the registry of SIP header fields), in lower case.
    #[rustfmt::skip] // a table
    fn of_compact(letter: u8) -> HeaderId {
        use HeaderId::*;
        match letter {
            b'a' => AcceptContact,      b'b' => ReferredBy,     b'c' => ContentType,
            b'd' => RequestDisposition, b'e' => ContentEncoding, b'f' => From,
            b'i' => CallId,             b'j' => RejectContact,  b'k' => Supported,
            b'l' => ContentLength,      b'm' => Contact,        b'o' => Event,
            b'r' => ReferTo,            b's' => Subject,        b't' => To,
            b'u' => AllowEvents,        b'v' => Via,            b'x' => SessionExpires,
            b'y' => Identity,
            _ => Other,
        }
    }

    /// Whether its values are name-addr or addr-spec, so that a quoted string can stand in them.
    #[must_use]
    pub(crate) const fn has_name_addr(self) -> bool {
        matches!(
            self,
            HeaderId::From
                | HeaderId::To
                | HeaderId::Contact
                | HeaderId::Route
                | HeaderId::RecordRoute
                | HeaderId::PAssertedIdentity
                | HeaderId::PPreferredIdentity
                | HeaderId::Diversion
                | HeaderId::HistoryInfo
                | HeaderId::ReferTo
                | HeaderId::ReferredBy
                | HeaderId::Path
                | HeaderId::ServiceRoute
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_nothing_near_it() {
        for &id in HeaderId::KNOWN {
            let name = id.name();
            assert_eq!(HeaderId::of(name.as_bytes()), id);
            assert_eq!(HeaderId::of(name.to_ascii_lowercase().as_bytes()), id);
            assert_eq!(HeaderId::of(name.to_ascii_uppercase().as_bytes()), id);
            let mut near = name.as_bytes().to_vec();
            *near.last_mut().unwrap() = b'!';
            assert_eq!(HeaderId::of(&near), HeaderId::Other);
            assert_eq!(HeaderId::of(format!("{name}s").as_bytes()), HeaderId::Other);
        }
        for (compact, id) in [
            ("v", HeaderId::Via),
            ("F", HeaderId::From),
            ("t", HeaderId::To),
            ("I", HeaderId::CallId),
            ("m", HeaderId::Contact),
            ("L", HeaderId::ContentLength),
            ("c", HeaderId::ContentType),
            ("k", HeaderId::Supported),
            ("z", HeaderId::Other),
            ("", HeaderId::Other),
        ] {
            assert_eq!(HeaderId::of(compact.as_bytes()), id, "{compact}");
        }
    }
}

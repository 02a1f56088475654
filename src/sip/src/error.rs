//! Why bytes were refused, and what their sender is told.

use std::fmt;

/// Why a message was refused, and where in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Error {
    /// The reason.
    pub kind: ErrorKind,
    /// Where in the bytes the parser stood.
    pub offset: u32,
    answerable: bool,
}

impl Error {
    #[cold]
    pub(crate) fn new(kind: ErrorKind, offset: usize) -> Error {
        Error {
            kind,
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
            answerable: true,
        }
    }

    /// The same error found in a response, or in bytes that are no message: nobody is told.
    #[cold]
    pub(crate) fn silent(self) -> Error {
        Error {
            answerable: false,
            ..self
        }
    }

    /// The status that a request with this error is answered with; `None`: drop it silently, since
    /// it is a response or no message at all.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.answerable.then(|| self.kind.row().1)
    }

    /// The reason phrase for that status, with the cause in words.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.kind.row().2
    }

    /// The name of the error's counter.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind.row().0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at octet {}", self.reason(), self.offset)
    }
}

impl std::error::Error for Error {}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal $status:literal $reason:literal;)*) => {
        /// Each reason for which the parser refuses.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum ErrorKind { $($(#[$doc])* $kind,)* }

        impl ErrorKind {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$kind,)*];

            /// Counter name, status and reason phrase: the one table that says what a sender is told.
            const fn row(self) -> (&'static str, u16, &'static str) {
                match self { $(ErrorKind::$kind => ($name, $status, $reason),)* }
            }
        }
    };
}

kinds! {
    /// Nothing but line ends, spaces or NULs: a keep-alive.
    Empty "empty" 400 "Bad Request (empty)";
    /// Neither a request line nor a status line.
    StartLine "start_line" 400 "Bad Request (start line)";
    /// A method and a space, but then not one URI, one space and a version.
    RequestLine "request_line" 400 "Bad Request (request line)";
    /// A SIP version that is not 2.0.
    Version "version" 505 "Version Not Supported";
    /// A status that is not three digits from 100 to 699.
    StatusCode "status_code" 400 "Bad Request (status code)";
    /// A method of more than 64 octets.
    MethodTooLong "method_too_long" 400 "Bad Request (method too long)";
    /// A Request-URI in angle brackets.
    RequestUriBrackets "request_uri_brackets" 400 "Bad Request (Request-URI in angle brackets)";
    /// A Request-URI with white space inside.
    RequestUriSpace "request_uri_space" 400 "Bad Request (space in Request-URI)";
    /// A Request-URI with a headers part (RFC 3261 §19.1.1 table 1: not allowed).
    RequestUriHeaders "request_uri_headers" 400 "Bad Request (headers in Request-URI)";
    /// A URI without a scheme, or with octets that no URI has.
    Uri "uri" 400 "Bad Request (URI)";
    /// A URI of more than 2,048 octets.
    UriTooLong "uri_too_long" 414 "Request-URI Too Long";
    /// A host that is neither a name nor an address.
    Host "host" 400 "Bad Request (host)";
    /// A host of more than 255 octets.
    HostTooLong "host_too_long" 400 "Bad Request (host too long)";
    /// A port that is not a number from 1 to 65,535.
    Port "port" 400 "Bad Request (port)";
    /// A header line without a name, or without its colon.
    HeaderName "header_name" 400 "Bad Request (header name)";
    /// A carriage return without its line feed.
    BareCr "bare_cr" 400 "Bad Request (bare CR)";
    /// A line feed without its carriage return.
    BareLf "bare_lf" 400 "Bad Request (bare LF)";
    /// A NUL outside the quoted pair of a quoted string.
    Nul "nul" 400 "Bad Request (NUL)";
    /// The bytes end before the empty line does.
    Unterminated "unterminated" 400 "Bad Request (no end of header section)";
    /// More octets than a message may have.
    MessageTooLong "message_too_long" 513 "Message Too Large";
    /// More octets of headers than a message may have.
    SectionTooLong "section_too_long" 513 "Message Too Large (header section)";
    /// A start line of more than 4,096 octets.
    StartLineTooLong "start_line_too_long" 414 "Request-URI Too Long";
    /// One header line is too long.
    HeaderTooLong "header_too_long" 513 "Message Too Large (header line)";
    /// A header name is too long.
    HeaderNameTooLong "header_name_too_long" 400 "Bad Request (header name too long)";
    /// Too many header lines.
    TooManyHeaders "too_many_headers" 513 "Message Too Large (header lines)";
    /// Too many values of one list header.
    TooManyValues "too_many_values" 513 "Message Too Large (header values)";
    /// Too many Via values.
    TooManyVias "too_many_vias" 513 "Message Too Large (Via)";
    /// Too many parameters at one place.
    TooManyParams "too_many_params" 513 "Message Too Large (parameters)";
    /// A number of too many digits.
    TooManyDigits "too_many_digits" 400 "Bad Request (number too long)";
    /// No Via.
    MissingVia "missing_via" 400 "Bad Request (no Via)";
    /// No From.
    MissingFrom "missing_from" 400 "Bad Request (no From)";
    /// No To.
    MissingTo "missing_to" 400 "Bad Request (no To)";
    /// No Call-ID.
    MissingCallId "missing_call_id" 400 "Bad Request (no Call-ID)";
    /// No CSeq.
    MissingCSeq "missing_cseq" 400 "Bad Request (no CSeq)";
    /// Two From lines.
    DuplicateFrom "duplicate_from" 400 "Bad Request (two From)";
    /// Two To lines.
    DuplicateTo "duplicate_to" 400 "Bad Request (two To)";
    /// Two Call-ID lines.
    DuplicateCallId "duplicate_call_id" 400 "Bad Request (two Call-ID)";
    /// Two CSeq lines.
    DuplicateCSeq "duplicate_cseq" 400 "Bad Request (two CSeq)";
    /// Two Max-Forwards lines.
    DuplicateMaxForwards "duplicate_max_forwards" 400 "Bad Request (two Max-Forwards)";
    /// Two Content-Length lines.
    DuplicateContentLength "duplicate_content_length" 400 "Bad Request (two Content-Length)";
    /// The topmost Via does not follow the grammar.
    Via "via" 400 "Bad Request (Via)";
    /// A branch that is the magic cookie and nothing else.
    BareCookie "bare_cookie" 400 "Bad Request (branch)";
    /// A branch that is too long.
    BranchTooLong "branch_too_long" 400 "Bad Request (branch too long)";
    /// A CSeq that is not a number below 2^31 and a method.
    CSeq "cseq" 400 "Bad Request (CSeq)";
    /// The CSeq names another method than the request line.
    CSeqMethod "cseq_method" 400 "Bad Request (CSeq method)";
    /// The same, and the request line's method is not one we know: RFC 4475 §3.1.2.18 prefers 501.
    CSeqMethodUnknown "cseq_method_unknown" 501 "Not Implemented";
    /// A Call-ID that is empty or has spaces.
    CallId "call_id" 400 "Bad Request (Call-ID)";
    /// A Call-ID that is too long.
    CallIdTooLong "call_id_too_long" 400 "Bad Request (Call-ID too long)";
    /// Max-Forwards is not a number from 0 to 255.
    MaxForwards "max_forwards" 400 "Bad Request (Max-Forwards)";
    /// Content-Length is not a number.
    ContentLength "content_length" 400 "Bad Request (Content-Length)";
    /// Content-Length is more than what came.
    BodyCut "body_cut" 400 "Bad Request (body shorter than Content-Length)";
    /// A tag without a value, or two of them.
    Tag "tag" 400 "Bad Request (tag)";
    /// A tag that is too long.
    TagTooLong "tag_too_long" 400 "Bad Request (tag too long)";
    /// A quoted string without its end.
    Quote "quote" 400 "Bad Request (unterminated quoted string)";
    /// A display name that had to be quoted.
    DisplayName "display_name" 400 "Bad Request (display name)";
    /// A URI with `?` or `,` that had to be in angle brackets.
    BareUri "bare_uri" 400 "Bad Request (URI without angle brackets)";
    /// A parameter without a name, or with octets that none has.
    Param "param" 400 "Bad Request (parameter)";
    /// Something after the value of a header that has one value.
    Surplus "surplus" 400 "Bad Request (more than one value)";
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().0)
    }
}

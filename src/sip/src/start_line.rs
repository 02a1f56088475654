//! Request lines and status lines.

use crate::index::{Index, Span};
use crate::limits::{METHOD_BYTES_MAX, START_LINE_BYTES_MAX};
use crate::octets::{self, LWS, TOKEN, work};
use crate::uri::UriSpans;
use crate::{Error, ErrorKind, Method, Uri};

/// Reads the start line and returns where the next one begins.
pub(crate) fn start_line(bytes: &[u8], index: &mut Index) -> Result<usize, Error> {
    if bytes.len() >= 4 && bytes[..4].eq_ignore_ascii_case(b"SIP/") {
        return status_line(bytes, index);
    }
    let method_end = octets::run(bytes, 0, TOKEN);
    if method_end == 0 || bytes.get(method_end) != Some(&b' ') {
        let is_empty = bytes
            .iter()
            .all(|&octet| octets::is(octet, LWS) || octet == 0);
        let kind = if is_empty {
            ErrorKind::Empty
        } else {
            ErrorKind::StartLine
        };
        return Err(Error::new(kind, method_end));
    }
    let facts = &mut index.facts;
    facts.is_request = true;
    let end = first_line_end(bytes)?;
    if method_end > METHOD_BYTES_MAX {
        return Err(Error::new(ErrorKind::MethodTooLong, METHOD_BYTES_MAX));
    }
    facts.method = Method::of(&bytes[..method_end]);
    facts.method_name = Span::new(0, method_end);
    let uri_start = method_end + 1;
    let uri_end = match end.checked_sub(8) {
        Some(at) if at > uri_start && bytes[at..end].eq_ignore_ascii_case(b" SIP/2.0") => at,
        _ => return Err(bad_request_line(&bytes[..end])),
    };
    index.uri_parts = UriSpans::read_usual(bytes, uri_start)
        .filter(|&(_, at)| at == uri_end)
        .map(|(parts, _)| parts);
    if index.uri_parts.is_none() {
        request_uri(&bytes[uri_start..uri_end], uri_start)?;
    }
    let facts = &mut index.facts;
    facts.uri = Span::new(uri_start, uri_end);
    Ok(end + 2)
}

/// Checks a Request-URI that begins at `at`.
fn request_uri(uri: &[u8], at: usize) -> Result<(), Error> {
    let parsed = Uri::parse_any(uri).map_err(|error| {
        let kind = match error.kind {
            _ if uri.first() == Some(&b'<') => ErrorKind::RequestUriBrackets,
            ErrorKind::Uri if uri.iter().any(|&octet| octets::is(octet, LWS)) => {
                ErrorKind::RequestUriSpace
            }
            kind => kind,
        };
        Error::new(kind, at + error.offset as usize)
    })?;
    if parsed.has_headers() {
        return Err(Error::new(ErrorKind::RequestUriHeaders, at));
    }
    Ok(())
}

/// Tells a version that is not ours from a line that has none.
#[cold]
fn bad_request_line(line: &[u8]) -> Error {
    let last = memchr::memrchr(b' ', line).map_or(line, |at| &line[at + 1..]);
    let version = last.get(4..).unwrap_or(&[]);
    let is_version = last.len() > 4
        && last[..4].eq_ignore_ascii_case(b"SIP/")
        && version
            .iter()
            .all(|octet| octet.is_ascii_digit() || *octet == b'.')
        && version != b"2.0";
    let kind = if is_version {
        ErrorKind::Version
    } else {
        ErrorKind::RequestLine
    };
    Error::new(kind, line.len())
}

/// `SIP/2.0 SP 3DIGIT [SP reason]`
fn status_line(bytes: &[u8], index: &mut Index) -> Result<usize, Error> {
    let end = first_line_end(bytes)?;
    let line = &bytes[..end];
    if line.len() < 8 || &line[4..8] != b"2.0 " {
        return Err(Error::new(ErrorKind::Version, 4));
    }
    let digits_end = octets::find(b' ', &line[8..]).map_or(end, |offset| 8 + offset);
    let digits = &line[8..digits_end];
    let status = octets::number(digits, 699, ErrorKind::StatusCode, 8)?;
    if digits.len() != 3 || status < 100 {
        return Err(Error::new(ErrorKind::StatusCode, 8));
    }
    index.facts.status = status as u16;
    index.facts.reason = Span::new((digits_end + 1).min(end), end);
    Ok(end + 2)
}

/// Where the CRLF of the start line is.
fn first_line_end(bytes: &[u8]) -> Result<usize, Error> {
    let window = &bytes[..bytes.len().min(START_LINE_BYTES_MAX)];
    let Some(end) = memchr::memchr3(b'\r', b'\n', 0, window) else {
        let kind = if window.len() < bytes.len() {
            ErrorKind::StartLineTooLong
        } else {
            ErrorKind::Unterminated
        };
        return Err(Error::new(kind, window.len()));
    };
    work::add(end);
    match (bytes[end], bytes.get(end + 1)) {
        (b'\r', Some(b'\n')) => Ok(end),
        (b'\r', None) => Err(Error::new(ErrorKind::Unterminated, end)),
        (b'\r', _) => Err(Error::new(ErrorKind::BareCr, end)),
        (b'\n', _) => Err(Error::new(ErrorKind::BareLf, end)),
        _ => Err(Error::new(ErrorKind::Nul, end)),
    }
}

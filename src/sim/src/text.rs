//! SIP as the simulated carriers read and write it.
//!
//! On purpose a second, dull implementation over strings: what the router does to a message is
//! judged by code that shares nothing with it.

use std::fmt;

/// A message in parts. Header names are long forms; the order of lines is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Request line or status line.
    pub start: String,
    /// Header lines in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Text {
    /// Takes received bytes apart. `None` if they are no message at all.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Text> {
        let all = String::from_utf8_lossy(bytes);
        let (head, body) = all.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.starts_with([' ', '\t']) {
                let (_, value) = headers.last_mut()?;
                value.push(' ');
                value.push_str(line.trim());
            } else {
                let (name, value) = line.split_once(':')?;
                headers.push((long_name(name.trim()).to_owned(), value.trim().to_owned()));
            }
        }
        let is_message = start.starts_with("SIP/2.0 ") || start.ends_with(" SIP/2.0");
        is_message.then(|| Text {
            start,
            headers,
            body: body.to_owned(),
        })
    }

    /// The bytes, with a Content-Length that is right.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = String::with_capacity(900);
        out.push_str(&self.start);
        out.push_str("\r\n");
        for (name, value) in &self.headers {
            if !name.eq_ignore_ascii_case("Content-Length") {
                out.push_str(name);
                out.push_str(": ");
                out.push_str(value);
                out.push_str("\r\n");
            }
        }
        out.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        out.push_str(&self.body);
        out.into_bytes()
    }

    /// Whether it is a request.
    #[must_use]
    pub fn is_request(&self) -> bool {
        !self.start.starts_with("SIP/2.0 ")
    }

    /// The method of a request; of a response, the one of its CSeq.
    #[must_use]
    pub fn method(&self) -> &str {
        if self.is_request() {
            self.start.split(' ').next().unwrap_or("")
        } else {
            self.cseq().1
        }
    }

    /// The status of a response; 0 for a request.
    #[must_use]
    pub fn status(&self) -> u16 {
        let Some(rest) = self.start.strip_prefix("SIP/2.0 ") else {
            return 0;
        };
        rest.get(..3).and_then(|s| s.parse().ok()).unwrap_or(0)
    }

    /// The Request-URI.
    #[must_use]
    pub fn uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or("")
    }

    /// The value of the first line of that name; empty if there is none.
    #[must_use]
    pub fn first(&self, name: &str) -> &str {
        let mut lines = self.headers.iter();
        lines
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value)
    }

    /// Whether there is a line of that name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// All values of a name, lines and commas alike, in order.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        let lines = self.headers.iter();
        lines
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .flat_map(|(_, value)| split_values(value))
            .collect()
    }

    /// Adds a line at the end.
    pub fn add(&mut self, name: &str, value: impl Into<String>) {
        self.headers.push((name.to_owned(), value.into()));
    }

    /// Takes all lines of that name away.
    pub fn remove(&mut self, name: &str) {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    /// Puts one line in the place of the first of that name, or at the end.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        let mut lines = self.headers.iter_mut();
        match lines.find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some(line) => line.1 = value,
            None => self.add(name, value),
        }
    }

    /// The number and the method of the CSeq.
    #[must_use]
    pub fn cseq(&self) -> (u32, &str) {
        let mut parts = self.first("CSeq").split_whitespace();
        let number = parts.next().and_then(|n| n.parse().ok()).unwrap_or(0);
        (number, parts.next().unwrap_or(""))
    }

    /// The Call-ID.
    #[must_use]
    pub fn call_id(&self) -> &str {
        self.first("Call-ID")
    }

    /// The branch of the topmost Via.
    #[must_use]
    pub fn branch(&self) -> &str {
        let vias = self.values("Via");
        vias.first().map_or("", |via| param(via, "branch"))
    }

    /// The tag of From or To; empty if there is none.
    #[must_use]
    pub fn tag(&self, name: &str) -> &str {
        param(self.first(name), "tag")
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_request() {
            write!(f, "{} {}", self.method(), self.uri())
        } else {
            write!(f, "{} ({})", self.status(), self.method())
        }
    }
}

/// A parameter of a Via, a name-addr or a URI, after the address itself; empty if absent.
#[must_use]
pub fn param<'t>(value: &'t str, name: &str) -> &'t str {
    let rest = match value.rfind('>') {
        Some(end) => &value[end + 1..],
        None => value,
    };
    for piece in rest.split(';').skip(1) {
        let (n, v) = piece.split_once('=').unwrap_or((piece, ""));
        if n.trim().eq_ignore_ascii_case(name) {
            return v.trim();
        }
    }
    ""
}

/// The URI inside a name-addr.
#[must_use]
pub fn uri_of(value: &str) -> &str {
    match value.rsplit_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or(rest),
        None => value.split(';').next().unwrap_or(value).trim(),
    }
}

/// The address a SIP URI with a literal host names; port 5060 if it names none.
#[must_use]
pub fn address_of(uri: &str) -> Option<std::net::SocketAddr> {
    let rest = uri.split_once(':')?.1;
    let rest = rest.split(['?', ';']).next()?;
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let whole = host.parse().ok();
    whole.or_else(|| format!("{host}:5060").parse().ok())
}

/// A readable reason for a status; carriers write what they like.
#[must_use]
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        302 => "Moved Temporarily",
        404 => "Not Found",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        491 => "Request Pending",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => "Because",
    }
}

fn split_values(line: &str) -> Vec<&str> {
    let (mut quoted, mut angled, mut from) = (false, false, 0);
    let mut found = Vec::new();
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '<' if !quoted => angled = true,
            '>' if !quoted => angled = false,
            ',' if !quoted && !angled => {
                found.push(line[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(line[from..].trim());
    found
}

fn long_name(name: &str) -> &str {
    match name {
        "v" | "V" => "Via",
        "f" | "F" => "From",
        "t" | "T" => "To",
        "i" | "I" => "Call-ID",
        "m" | "M" => "Contact",
        "l" | "L" => "Content-Length",
        "c" | "C" => "Content-Type",
        "k" | "K" => "Supported",
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let text = "INVITE sip:1@192.0.2.1 SIP/2.0\nv: SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b\n\
                    From: \"A, <b>\" <sip:a@b;x=1>;tag=f\nTo: <sip:c@d>\nCSeq: 7 INVITE\nSubject: a\n folded\n\nbody"
            .replace('\n', "\r\n");
        let read = Text::read(text.as_bytes()).expect("a message");
        assert_eq!(read.values("Via").len(), 2);
        assert_eq!(
            (read.branch(), read.tag("From"), read.tag("To")),
            ("z9hG4bK1", "f", "")
        );
        assert_eq!(
            (read.cseq(), read.status(), read.method()),
            ((7, "INVITE"), 0, "INVITE")
        );
        assert_eq!(read.first("subject"), "a folded");
        assert_eq!(uri_of(read.first("From")), "sip:a@b;x=1");
        let again = Text::read(&read.write()).expect("its own message");
        assert_eq!(again.first("Content-Length"), "4");
        assert_eq!(again.body, read.body);
    }

    #[test]
    fn finds_addresses() {
        for (uri, want) in [
            ("sip:a@192.0.2.1:5070;lr", "192.0.2.1:5070"),
            ("sip:192.0.2.1", "192.0.2.1:5060"),
            ("sip:a@[2001:db8::1]:5062", "[2001:db8::1]:5062"),
        ] {
            assert_eq!(address_of(uri), want.parse().ok(), "{uri}");
        }
        assert_eq!(address_of("sip:a@example.com"), None);
    }
}

//! What a proxy asks of a request before it passes it on (RFC 3261 §16.3, §16.4).

use sip::{HeaderId, Message, Method, NameAddr, Scheme, Uri, Via};

use crate::{DialogNames, Keys};

/// Why a request is not passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// 416: the Request-URI has a scheme that we do not route (§16.3 step 2).
    Scheme,
    /// 483: it has been passed on too often (step 3).
    TooManyHops,
    /// 482: it was here before, and nothing changed (step 4, RFC 5393).
    Loop,
    /// 420: it asks proxies for an extension that we do not have (step 5).
    Extension,
    /// 440: it may not fork as wide as it would have to (RFC 5393 §5.3.3).
    Breadth,
    /// 403: its Route names us with a token that we did not give out.
    ForgedRoute,
    /// 400: a Route value is no name-addr.
    BadRoute,
}

impl Refusal {
    /// The status that says so.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Refusal::Scheme => 416,
            Refusal::TooManyHops => 483,
            Refusal::Loop => 482,
            Refusal::Extension => 420,
            Refusal::Breadth => 440,
            Refusal::ForgedRoute => 403,
            Refusal::BadRoute => 400,
        }
    }
}

/// What Max-Forwards a request without one is taken to have (§16.6 step 3).
pub const HOPS_DEFAULT: u8 = 70;
/// What Max-Breadth a request without one is taken to have (RFC 5393 §5.3.3).
pub const BREADTH_DEFAULT: u32 = 60;

/// Checks scheme and hops. An OPTIONS or REGISTER without hops left is refused like any other:
/// §16.3 lets us answer the OPTIONS ourselves, which the router does before it asks here.
///
/// # Errors
/// What is wrong, the first of §16.3's order.
pub fn check(message: &Message<'_>, uri: &Uri<'_>) -> Result<(), Refusal> {
    if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips | Scheme::Tel) {
        return Err(Refusal::Scheme);
    }
    if message.max_forwards() == Some(0) {
        return Err(Refusal::TooManyHops);
    }
    Ok(())
}

/// Checks for an extension that the request wants of proxies: we have none.
///
/// # Errors
/// [`Refusal::Extension`]; the tags are the values of Proxy-Require.
pub fn check_extensions(message: &Message<'_>) -> Result<(), Refusal> {
    match message.has(HeaderId::ProxyRequire) && message.method() != Method::Ack {
        true => Err(Refusal::Extension),
        false => Ok(()),
    }
}

/// Hashes what this request is routed by: all that a later visit must differ in to be a spiral and
/// not a loop (RFC 5393 §4.2.1). The trunk belongs to it, since routes hang on trunks.
#[must_use]
pub fn routed_by(message: &Message<'_>, names: &DialogNames, trunk: u32, keys: &Keys) -> u64 {
    let number = u64::from(message.cseq()) << 32 | u64::from(trunk);
    let routed = keys.routed_names(keys.routed_none(), names, number);
    let mut routed = keys.routed(routed, std::iter::once(message.uri()));
    for id in [HeaderId::Route, HeaderId::ProxyRequire] {
        if message.has(id) {
            routed = keys.routed(routed, message.line_values(id));
        }
    }
    routed
}

/// Looks for a Via of ours that was made for the same values.
///
/// # Errors
/// [`Refusal::Loop`].
#[inline]
pub fn check_loop(message: &Message<'_>, routed: u64) -> Result<(), Refusal> {
    let looped = Keys::is_loop(message.branch(), routed)
        || !message.has_one_via()
            && message.values(HeaderId::Via).skip(1).any(|value| {
                crate::token::may_hold_branch(value.bytes)
                    && Via::parse(value.bytes).is_ok_and(|via| Keys::is_loop(via.branch, routed))
            });
    if looped { Err(Refusal::Loop) } else { Ok(()) }
}

/// The Max-Breadth that a request leaves for its branches.
///
/// # Errors
/// [`Refusal::Breadth`] if it leaves none, or says so twice: the next proxy might read the other.
pub fn breadth(message: &Message<'_>) -> Result<u32, Refusal> {
    if !message.has(HeaderId::MaxBreadth) {
        return Ok(BREADTH_DEFAULT);
    }
    if message.lines_of(HeaderId::MaxBreadth).nth(1).is_some() {
        return Err(Refusal::Breadth);
    }
    let breadth = match message.header(HeaderId::MaxBreadth) {
        None => BREADTH_DEFAULT,
        Some(text) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse::<u32>().ok())
            .unwrap_or(BREADTH_DEFAULT)
            .min(BREADTH_DEFAULT),
    };
    if breadth == 0 {
        Err(Refusal::Breadth)
    } else {
        Ok(breadth)
    }
}

/// What the Route header and the Request-URI say of us (§16.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Routes<'a> {
    /// How many of the topmost Route values name us.
    pub own: usize,
    /// The last Route value became the Request-URI: a strict router before us put our own URI there.
    pub strict: bool,
    /// The token in the first of our URIs that has one.
    pub token: Option<&'a [u8]>,
    /// The first Route value behind ours.
    pub next: Option<&'a [u8]>,
    /// The Request-URI that counts: the one in the request line, or the last Route value's.
    pub uri: &'a [u8],
}

/// Reads Route and Request-URI. `is_us` says whether a URI names one of our listeners; `token_of`
/// knows a Route value that is ours to the letter, most of them, by its text alone.
///
/// # Errors
/// [`Refusal::BadRoute`] for a Route value that cannot be read.
pub fn routes<'a>(
    message: &Message<'a>,
    token_of: impl Fn(&'a [u8]) -> Option<&'a [u8]>,
    is_us: impl Fn(&Uri<'_>) -> bool,
) -> Result<Routes<'a>, Refusal> {
    let mut found = Routes {
        own: 0,
        strict: false,
        token: None,
        next: None,
        uri: message.uri(),
    };
    if !message.has(HeaderId::Route) {
        return Ok(found);
    }
    let mut lines = message.line_values(HeaderId::Route);
    let first = lines.next().and_then(&token_of);
    let mut loose = usize::MAX;
    // Our own URI has parameters. The parser has taken a usual one apart.
    if message
        .request_uri()
        .is_ok_and(|uri| !uri.params.is_empty())
    {
        let count = message.values(HeaderId::Route).count();
        read_strict(message, count, &is_us, &mut found)?;
        loose = count - usize::from(found.strict);
    }
    if let (Some(token), None, usize::MAX) = (first, lines.next(), loose) {
        // One line, our own entry and no other: what nearly all requests inside a dialog have.
        (found.own, found.token) = (1, Some(token));
        return Ok(found);
    }
    for value in message.values(HeaderId::Route).take(loose) {
        if let Some(token) = token_of(value.bytes) {
            found.own += 1;
            found.token.get_or_insert(token);
            continue;
        }
        let entry = NameAddr::parse(value.bytes).map_err(|_| Refusal::BadRoute)?;
        let uri = Uri::parse(entry.uri).map_err(|_| Refusal::BadRoute)?;
        if !is_us(&uri) {
            found.next = Some(entry.uri);
            break;
        }
        found.own += 1;
        if found.token.is_none() {
            found.token = uri.param(crate::token::ROUTE_PARAM).flatten();
        }
    }
    Ok(found)
}

/// Sees whether a strict router put our own URI into the request line (§16.4).
fn read_strict<'a>(
    message: &Message<'a>,
    count: usize,
    is_us: &impl Fn(&Uri<'_>) -> bool,
    found: &mut Routes<'a>,
) -> Result<(), Refusal> {
    if count > 0
        && let Ok(uri) = Uri::parse(message.uri())
        && let Some(Some(token)) = uri.param(crate::token::ROUTE_PARAM)
        && is_us(&uri)
    {
        let last = message
            .values(HeaderId::Route)
            .last()
            .ok_or(Refusal::BadRoute)?;
        let last = NameAddr::parse(last.bytes).map_err(|_| Refusal::BadRoute)?;
        found.strict = true;
        found.token = Some(token);
        found.uri = last.uri;
    }
    Ok(())
}

/// The URI of the element right beyond us towards the callee, as its response tells: the
/// Record-Route value before our own, or its Contact. And whether it is the former. The closures
/// are those of [`routes`].
#[must_use]
pub fn beyond_us<'a>(
    response: &Message<'a>,
    token_of: impl Fn(&'a [u8]) -> Option<&'a [u8]>,
    is_us: impl Fn(&Uri<'_>) -> bool,
) -> Option<(&'a [u8], bool)> {
    let first = response.header(HeaderId::RecordRoute);
    if first.is_none_or(|value| token_of(value).is_some()) {
        return contact(response).map(|uri| (uri, false));
    }
    let mut before = None;
    for value in response.values(HeaderId::RecordRoute) {
        if token_of(value.bytes).is_some() {
            break;
        }
        let entry = NameAddr::parse(value.bytes).ok()?;
        let uri = Uri::parse(entry.uri).ok()?;
        if is_us(&uri) {
            break;
        }
        before = Some((entry.uri, true));
    }
    before.or_else(|| contact(response).map(|uri| (uri, false)))
}

/// The URI of the element right before us towards the caller, as its request tells: the topmost
/// Record-Route value, or its Contact. And whether it is the former.
#[must_use]
pub fn before_us<'a>(request: &Message<'a>) -> Option<(&'a [u8], bool)> {
    if !request.has(HeaderId::RecordRoute) {
        return contact(request).map(|uri| (uri, false));
    }
    match request.values(HeaderId::RecordRoute).next() {
        Some(value) => NameAddr::parse(value.bytes)
            .ok()
            .map(|entry| (entry.uri, true)),
        None => contact(request).map(|uri| (uri, false)),
    }
}

/// The first Contact's URI.
#[must_use]
pub fn contact<'a>(message: &Message<'a>) -> Option<&'a [u8]> {
    // Whether it is a URI the caller will see.
    if let Some(uri) = message.lone_uri(HeaderId::Contact) {
        return Some(uri);
    }
    let value = message.values(HeaderId::Contact).next()?;
    NameAddr::parse(value.bytes).ok().map(|entry| entry.uri)
}

/// The Q.850 cause in a Reason header (RFC 3326 §2), if there is one between 1 and 127.
#[must_use]
pub fn reason_q850(message: &Message<'_>) -> Option<u8> {
    message.values(HeaderId::Reason).find_map(|value| {
        let mut parts = value
            .bytes
            .split(|&byte| byte == b';')
            .map(<[u8]>::trim_ascii);
        if !parts.next()?.eq_ignore_ascii_case(b"Q.850") {
            return None;
        }
        parts.find_map(|part| {
            let (name, cause) = part.split_at_checked(part.iter().position(|&b| b == b'=')?)?;
            if !name.trim_ascii().eq_ignore_ascii_case(b"cause") {
                return None;
            }
            let cause: u8 = std::str::from_utf8(cause[1..].trim_ascii())
                .ok()?
                .parse()
                .ok()?;
            (1..=127).contains(&cause).then_some(cause)
        })
    })
}

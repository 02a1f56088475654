//! What must hold of every datagram a router sends, whatever the carriers do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use base::Time;

use crate::gossip;
use crate::plan::{self, Borders, Plan};
use crate::text::{Text, address_of};

/// Keeps of what was sent no more than the next datagram is judged by.
#[derive(Debug)]
pub struct Watch {
    /// Where requests may go.
    known: BTreeSet<SocketAddr>,
    /// Who may be told about whom.
    borders: Option<Borders>,
    attempts_max: usize,
    /// What the callers of server transactions were told: by next hop, branch and method.
    told: BTreeMap<(SocketAddr, String, String), Told>,
    /// Branches of initial INVITEs, by router, Call-ID and CSeq.
    attempts: BTreeMap<(SocketAddr, String, u32), BTreeSet<String>>,
    /// Final responses of server transactions seen so far.
    pub finals: usize,
}

#[derive(Debug)]
enum Told {
    Provisional,
    /// Answers may be several: one for each fork.
    Answer,
    /// The very octets, which every repeat must have.
    Final(Vec<u8>),
}

impl Watch {
    /// The rules of a plan's world.
    #[must_use]
    pub fn new(plan: &Plan) -> Watch {
        let mut known: BTreeSet<SocketAddr> = (0..plan.vendors).map(plan::vendor).collect();
        known.extend([plan::CUSTOMER, plan::ROUTER]);
        if plan.has_canary {
            known.extend([plan::CANARY, plan::vendor(plan::CANARY_VENDOR)]);
        }
        if plan.routers > 1 {
            known.insert(plan::SECOND);
        }
        Watch {
            known,
            borders: plan.borders.clone(),
            attempts_max: usize::from(plan.attempts_max),
            told: BTreeMap::new(),
            attempts: BTreeMap::new(),
            finals: 0,
        }
    }

    /// A shard lost its memory: what it said before binds it no longer.
    pub fn forget(&mut self) {
        self.told.clear();
        self.attempts.clear();
    }

    /// Judges one datagram.
    ///
    /// # Errors
    /// The rule it breaks, and the datagram.
    pub fn sent(
        &mut self,
        at: Time,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
    ) -> Result<(), String> {
        self.judge(from, to, bytes).map_err(|rule| {
            format!(
                "at {} s {from} sent {to}: {rule}\n{}",
                at.0 as f64 / 1e6,
                String::from_utf8_lossy(bytes).replace('\r', "")
            )
        })
    }

    fn judge(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> Result<(), String> {
        clean(bytes)?;
        let text = Text::read(bytes).ok_or("it is no message")?;
        let length = text.first("Content-Length");
        if !length.is_empty() && length.parse() != Ok(text.body.len()) {
            return Err(format!(
                "Content-Length is {length}, the body has {}",
                text.body.len()
            ));
        }
        if let Some(borders) = &self.borders {
            gossip::judge(borders, to, &text)?;
        }
        if text.is_request() {
            self.request(from, to, &text)
        } else {
            self.response(to, &text, bytes)
        }
    }

    fn request(&mut self, from: SocketAddr, to: SocketAddr, text: &Text) -> Result<(), String> {
        if !self.known.contains(&to) {
            return Err("a request to where neither routing nor a dialog leads".to_owned());
        }
        let vias = text.values("Via");
        let top = vias.first().copied().unwrap_or("");
        let sent_by = top
            .split_whitespace()
            .nth(1)
            .unwrap_or("")
            .split(';')
            .next()
            .unwrap_or("");
        if address_of(&format!("sip:{sent_by}")) != Some(from) {
            return Err(format!("the topmost Via is not the sender's: {top}"));
        }
        let hops: Option<u32> = text.first("Max-Forwards").parse().ok();
        if hops.is_none_or(|hops| hops > 254) {
            return Err("Max-Forwards is missing or did not go down".to_owned());
        }
        if vias.len() > 80 {
            return Err(format!("{} hops", vias.len()));
        }
        if text.method() == "INVITE" && text.tag("To").is_empty() {
            let key = (from, text.call_id().to_owned(), text.cseq().0);
            // A call may pass through a router twice (a spiral): each passage has its own plan.
            let passages = 1 + vias[1..]
                .iter()
                .filter(|via| via.contains(&from.to_string()))
                .count();
            let branches = self.attempts.entry(key).or_default();
            branches.insert(text.branch().to_owned());
            if branches.len() > self.attempts_max * passages {
                return Err(format!(
                    "attempt {} of at most {}",
                    branches.len(),
                    self.attempts_max
                ));
            }
        }
        Ok(())
    }

    fn response(&mut self, to: SocketAddr, text: &Text, bytes: &[u8]) -> Result<(), String> {
        if to == plan::TRAP {
            return Err("a response into the trap".to_owned());
        }
        if text.values("Via").is_empty() {
            return Err("a response without a Via".to_owned());
        }
        if to.ip() == plan::STRANGER.ip() {
            // Refused statelessly: there is no transaction that could be of two minds.
            return Ok(());
        }
        if text.status() == 481 && text.method() != "INVITE" {
            // Said statelessly: what a request did not find may be there when it is repeated, if it
            // had overtaken what makes it known.
            return Ok(());
        }
        let key = (to, text.branch().to_owned(), text.method().to_owned());
        let status = text.status();
        let now = match (self.told.remove(&key), status) {
            (None | Some(Told::Provisional), 100..=199) => Told::Provisional,
            (_, 100..=199) => return Err("a provisional response after a final one".to_owned()),
            // A late 2xx goes up all the same (RFC 3261 §16.7 step 5): the vendor's phone is up.
            (Some(Told::Final(first)), 200..=299) if text.method() == "INVITE" => {
                Told::Final(first)
            }
            (Some(Told::Final(first)), _) if first != bytes => {
                return Err(format!(
                    "a second final response, after:\n{}",
                    String::from_utf8_lossy(&first).replace('\r', "")
                ));
            }
            (Some(Told::Answer), 300..) => return Err("a refusal after an answer".to_owned()),
            (before, 200..=299) if text.method() == "INVITE" => {
                self.finals += usize::from(before.is_none());
                Told::Answer
            }
            (before, _) => {
                self.finals += usize::from(before.is_none());
                Told::Final(bytes.to_vec())
            }
        };
        self.told.insert(key, now);
        Ok(())
    }
}

/// No CR or LF alone and no NUL may stand in a header section that we pass on.
fn clean(bytes: &[u8]) -> Result<(), String> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n");
    let head = &bytes[..end.map_or(bytes.len(), |end| end + 4)];
    for (at, &octet) in head.iter().enumerate() {
        let is_stray = match octet {
            b'\r' => head.get(at + 1) != Some(&b'\n'),
            b'\n' => at == 0 || head[at - 1] != b'\r',
            0 => true,
            _ => false,
        };
        if is_stray {
            return Err(format!("octet {octet:#04x} stands alone at {at}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, tag: &str) -> Vec<u8> {
        format!(
            "SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1\r\nTo: <sip:a>;tag={tag}\r\n\
             CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    /// Whether a sequence of responses, all of one transaction, is let through.
    fn check(sequence: &[(u16, &str)]) -> bool {
        let mut watch = Watch::new(&Plan::default());
        sequence.iter().all(|(status, tag)| {
            let bytes = response(*status, tag);
            watch
                .sent(Time::ZERO, plan::ROUTER, plan::CUSTOMER, &bytes)
                .is_ok()
        })
    }

    #[test]
    fn a_transaction_has_one_final_response() {
        for (sequence, want) in [
            (&[(100, ""), (180, "a"), (486, "a"), (486, "a")][..], true),
            (&[(200, "a"), (200, "b")], true),
            (&[(486, "a"), (486, "b")], false),
            (&[(486, "a"), (200, "a"), (486, "a")], true),
            (&[(486, "a"), (200, "a"), (487, "a")], false),
            (&[(200, "a"), (487, "a")], false),
            (&[(486, "a"), (180, "a")], false),
        ] {
            assert_eq!(check(sequence), want, "{sequence:?}");
        }
    }

    #[test]
    fn traps_strays_and_stray_octets_are_seen() {
        let mut watch = Watch::new(&Plan::default());
        let mut sent = |to, text: &str| {
            let bytes = text.replace('\n', "\r\n").replace("\\r", "\r");
            watch
                .sent(Time::ZERO, plan::ROUTER, to, bytes.as_bytes())
                .is_ok()
        };
        let good = "BYE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx\nMax-Forwards: 69\n\n";
        assert!(sent(plan::CUSTOMER, good));
        assert!(!sent(plan::TRAP, good));
        assert!(!sent(plan::CUSTOMER, &good.replace("69", "255")));
        assert!(!sent(
            plan::CUSTOMER,
            &good.replace("192.0.2.1", "192.0.2.7")
        ));
        assert!(!sent(plan::CUSTOMER, &good.replace("Max", "X: a\\rb\nMax")));
        assert!(!sent(plan::CUSTOMER, &good.replace("Max", "X: a\0b\nMax")));
        let mut invite = good.replace("BYE", "INVITE");
        for attempt in 0..4 {
            assert_eq!(sent(plan::vendor(0), &invite), attempt < 3, "{attempt}");
            invite = invite.replace("z9hG4bKx", "z9hG4bKxy");
        }
    }
}

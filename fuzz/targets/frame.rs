//! A stream: whatever the cuts, the messages are the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::frame::{Framing, Limits, frame};

fuzz_target!(|bytes: &[u8]| {
    let Some((&step, stream)) = bytes.split_first() else {
        return;
    };
    assert_eq!(
        messages(stream, stream.len().max(1)),
        messages(stream, usize::from(step) + 1)
    );
});

/// Where the messages begin and end, read in steps.
fn messages(stream: &[u8], step: usize) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let (mut start, mut end) = (0, 0);
    loop {
        match frame(&stream[start..end], Limits::default()) {
            Framing::More if end == stream.len() => return found,
            Framing::More => end = (end + step).min(stream.len()),
            Framing::Message(length) => {
                found.push((start, start + length));
                start += length;
            }
            Framing::KeepAlive { bytes, .. } => start += bytes,
            Framing::Bad(_) => return found,
        }
    }
}

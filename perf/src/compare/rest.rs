//! A smaller core for a server, so that one generator core can offer many times what it carries: the
//! rest of it is held by a thread that goes before the server, in slices ([`Holder`] says why not by a
//! quota). Figures of CPU time stay what they are; rates shrink by the share.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::load::{Holder, pin, thread::cpu};

/// The thread that holds the rest of a core. It ends with the value.
pub(crate) struct Rest {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What goes between the thread and whoever has it.
#[derive(Default)]
struct Shared {
    order: AtomicU8,
    /// Its processor time, as it leaves the core.
    held_ns: AtomicU64,
}

const HOLD: u8 = 0;
const PAUSE: u8 = 1;
const END: u8 = 2;
/// How often a thread that pauses looks whether it still is to.
const LOOK: Duration = Duration::from_micros(500);

impl Rest {
    /// Leaves `share` of a core to others.
    ///
    /// # Errors
    /// The share is none, or this user's threads may not go before others.
    pub(crate) fn new(share: f64, core: usize) -> io::Result<Rest> {
        let shared = Arc::new(Shared::default());
        let told = shared.clone();
        let (ready, is_ready) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("rest-of-core".to_owned())
            .spawn(move || {
                let began = pin(core).and_then(|()| Holder::new(share));
                let (mut holder, result) = match began {
                    Ok(holder) => (Some(holder), Ok(())),
                    Err(error) => (None, Err(error)),
                };
                let _waits_for_it = ready.send(result);
                while let Some(holder) = &mut holder {
                    match told.order.load(Relaxed) {
                        HOLD => {
                            holder.hold();
                            told.held_ns.store(cpu().as_nanos() as u64, Relaxed);
                        }
                        PAUSE => thread::sleep(LOOK),
                        _ => return,
                    }
                }
            })?;
        let rest = Rest {
            shared,
            thread: Some(thread),
        };
        let ended = |_| io::Error::other("the thread that holds the core has ended");
        is_ready.recv().map_err(ended)??;
        Ok(rest)
    }

    /// How long it has held the core.
    pub(crate) fn held(&self) -> Duration {
        Duration::from_nanos(self.shared.held_ns.load(Relaxed))
    }

    /// Lets others have all of the core, until [`Rest::resume`].
    pub(crate) fn pause(&self) {
        self.shared.order.store(PAUSE, Relaxed);
    }

    /// Holds it again.
    pub(crate) fn resume(&self) {
        self.shared.order.store(HOLD, Relaxed);
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.shared.order.store(END, Relaxed);
        let _it_has_ended = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn what_is_no_share_is_refused() {
        for share in [0.0, 0.05, 1.0, 2.0] {
            assert!(Rest::new(share, 0).is_err(), "{share}");
        }
    }

    /// What a thread gets of a core whose rest is held; it can only be seen where threads may go
    /// before others.
    #[test]
    fn the_rest_of_a_core_is_held_and_let_go() {
        let rest = match Rest::new(0.2, 0) {
            Ok(rest) => rest,
            Err(error) => {
                eprintln!("not seen here: {error}");
                return;
            }
        };
        let got = |for_ms: u64| {
            thread::spawn(move || {
                pin(0).expect("there is a first core");
                let (began, before) = (Instant::now(), crate::load::thread::cpu());
                while began.elapsed() < Duration::from_millis(for_ms) {
                    std::hint::spin_loop();
                }
                (crate::load::thread::cpu() - before).as_secs_f64() / began.elapsed().as_secs_f64()
            })
            .join()
            .expect("it ends")
        };
        let share = got(300);
        assert!(share < 0.5, "{share} of the core and not about 0.2");
        let held = rest.held();
        assert!(!held.is_zero(), "what it held is counted");
        rest.pause();
        let before = share;
        let share = got(300);
        assert!(share > before, "{share} when paused, {before} before");
    }
}

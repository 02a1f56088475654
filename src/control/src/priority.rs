//! Which threads go first where shards and others share a processor.

use rustix::process::{getpriority_process, setpriority_process};

/// The nice value of threads that carry no calls. One of them that always wants to run still gets a
/// tenth of a processor beside a shard that does, which is several times what records take.
const NICE: i32 = 10;

/// From now on the calling thread, and those that it starts, leave the processor to the shards.
///
/// Call it when the shards have been started. It is a wish: where it cannot be had, calls are
/// carried all the same, only less evenly.
pub(crate) fn give_way() {
    // Linux takes "this process" for the calling thread. Who is nicer already stays so.
    let is_nicer = getpriority_process(None).is_ok_and(|nice| nice >= NICE);
    if !is_nicer && let Err(error) = setpriority_process(None, NICE) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_thread_that_asks_gives_way() {
        let nice = || getpriority_process(None).expect("a thread has a priority");
        let before = nice();
        let other = std::thread::spawn(move || {
            give_way();
            give_way();
            let inherited = std::thread::spawn(nice).join();
            (nice(), inherited.expect("no panic"))
        });
        let (after, inherited) = other.join().expect("no panic");
        assert_eq!((after, inherited), (before.max(NICE), before.max(NICE)));
        assert_eq!(nice(), before);
    }
}

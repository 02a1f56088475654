//! Which threads go first, and where the others run.
//!
//! Two things hurt a call when something else needs a processor: that its shard has to wait for it,
//! and that it then finds the caches full of another's data. A nice value helps against the first.
//! Against the second only staying away does: a table of ten million prices that is built on a
//! shard's core, even if only while the shard sleeps, makes its messages up to a third dearer.

use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The nice value of threads that carry no calls. One of them that always wants to run still gets a
/// tenth of a processor beside a shard that does, which is several times what records take.
const NICE: i32 = 10;

/// The nice value of those that have time, such as who reads a million prices. Beside a shard that
/// always wants to run they still get a seventieth.
const NICE_MOST: i32 = 19;

/// Where the control plane runs: on the processors that no shard has, if there are any. Not the
/// writer of records: it must have its turn on whichever processor has one, or calls are refused
/// that could not be billed, and what it works on is small.
#[derive(Debug)]
pub(crate) struct Beside {
    shards: Vec<usize>,
}

impl Beside {
    /// `cpus` are those that shards are pinned to; `None` stands for one that is not.
    pub(crate) fn shards(cpus: &[Option<usize>]) -> Beside {
        let known = cpus.iter().flatten().filter(|&&cpu| cpu < CpuSet::MAX_CPU);
        Beside {
            shards: known.copied().collect(),
        }
    }

    /// From now on the calling thread, and those that it starts, give way and keep off the shards'
    /// processors.
    ///
    /// Call it when the shards have been started. It is a wish: where it cannot be had, calls are
    /// carried all the same, only less evenly.
    pub(crate) fn settle(&self) {
        give_way();
        let moved = sched_getaffinity(None).and_then(|mut others| {
            self.shards.iter().for_each(|&cpu| others.unset(cpu));
            match others.count() {
                0 => Ok(()),
                _ => sched_setaffinity(None, &others),
            }
        });
        if let Err(error) = moved {
            tracing::debug!(%error, "a thread stays on the shards' processors");
        }
    }
}

/// From now on the calling thread, and those that it starts, leave the processor to the shards.
pub(crate) fn give_way() {
    raise_nice(NICE);
}

/// From now on the calling thread, and those that it starts, let all others go first: who reads or
/// compares a million prices on a machine that carries calls.
pub fn let_all_go_first() {
    raise_nice(NICE_MOST);
}

fn raise_nice(nice: i32) {
    // Linux takes "this process" for the calling thread. Who is nicer already stays so.
    let is_nicer = getpriority_process(None).is_ok_and(|already| already >= nice);
    if !is_nicer && let Err(error) = setpriority_process(None, nice) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nice() -> i32 {
        getpriority_process(None).expect("a thread has a priority")
    }

    fn allowed() -> Vec<usize> {
        let allowed = sched_getaffinity(None).expect("a thread has processors");
        let all = 0..CpuSet::MAX_CPU;
        all.filter(|&cpu| allowed.is_set(cpu)).collect()
    }

    /// What a thread that settles, and one that it starts, may use then.
    fn settled(beside: Beside) -> [Vec<usize>; 2] {
        let other = std::thread::spawn(move || {
            beside.settle();
            let inherited = std::thread::spawn(allowed).join();
            [allowed(), inherited.expect("no panic")]
        });
        other.join().expect("no panic")
    }

    #[test]
    fn only_the_thread_that_asks_gives_way() {
        let before = nice();
        let other = std::thread::spawn(move || {
            give_way();
            give_way();
            let inherited = std::thread::spawn(nice).join().expect("no panic");
            let settled = nice();
            let_all_go_first();
            give_way();
            [settled, inherited, nice()]
        });
        let after = other.join().expect("no panic");
        let (usual, last) = (before.max(NICE), before.max(NICE_MOST));
        assert_eq!(after, [usual, usual, last]);
        assert_eq!(nice(), before);
    }

    #[test]
    fn others_keep_off_the_shards_processors_if_there_are_more() {
        let all = allowed();
        let (first, rest) = all.split_first().expect("a test runs somewhere");
        // With one processor there is nowhere else.
        let expected = match rest {
            [] => all.clone(),
            rest => rest.to_vec(),
        };
        let beside = Beside::shards(&[Some(*first), None]);
        assert_eq!(settled(beside), [expected.clone(), expected]);
        assert_eq!(allowed(), all, "the thread that did not ask");
    }

    #[test]
    fn they_stay_where_they_are_if_shards_have_every_processor_or_none() {
        let all = allowed();
        let everywhere: Vec<_> = all.iter().copied().map(Some).collect();
        for cpus in [&everywhere[..], &[None, None], &[Some(usize::MAX)]] {
            assert_eq!(settled(Beside::shards(cpus)), [all.clone(), all.clone()]);
        }
    }
}

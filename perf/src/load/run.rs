//! A run from its plan to its report: threads are started, watched, stopped and added up.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use super::cores::CoreTimes;
use super::schedule::mixed;
use super::tally::{Outcome, Tally};
use super::thread::{Part, Thread};
use super::{Moment, Plan, Progress, Report, Window};

/// How often the main thread looks whether all attempts are made.
const LOOK: Duration = Duration::from_millis(5);
/// Between the last socket's opening and the first attempt.
const HEAD_START: Duration = Duration::from_millis(20);

/// Plays a plan to its end and says what it has shown. `progress` is called when all is ready, when
/// counting begins and ends, and every second.
///
/// # Errors
/// The plan cannot work, an address is taken, a core is not there, or a truth log cannot be
/// written.
pub fn run(plan: &Plan, progress: &mut dyn FnMut(Progress)) -> io::Result<Report> {
    plan.check()?;
    let plan = Arc::new(plan.clone());
    let stop = Arc::new(AtomicBool::new(false));
    let mut crew = Crew::start(&plan, &stop)?;
    let sinks = crew.addresses(plan.sinks.len())?;
    let targets = match plan.targets.is_empty() {
        true => sinks.clone(),
        false => plan.targets.clone(),
    };
    crew.tell(&Word::CallFrom(targets));
    let sources = crew.addresses(plan.sources.len())?;
    let mut watch = Watch {
        plan: &plan,
        tallies: crew.hands.iter().map(|hand| hand.tally.clone()).collect(),
        started: Instant::now(),
        sources,
        sinks,
        cpu_us: vec![0; crew.hands.len()],
    };
    progress(watch.progress(Moment::Ready));
    let wall = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        + HEAD_START;
    watch.started = Instant::now() + HEAD_START;
    crew.tell(&Word::Play(watch.started, wall.as_micros() as u64));
    let (window, busy) = watch.follow(&crew.cores(), progress);
    stop.store(true, Relaxed);
    let outcomes = crew.finish()?;
    let mut report = super::sum::report(&plan, outcomes, window, &busy)?;
    report.started_unix_ms = wall.as_millis() as u64;
    Ok(report)
}

/// As [`run`]; when `moment` comes, `event` happens beside it.
///
/// # Errors
/// As [`run`], or those of the event. If the moment never came, the load says why.
pub fn run_beside<T>(
    plan: &Plan,
    moment: Moment,
    event: impl FnOnce() -> io::Result<T>,
) -> io::Result<(Report, T)> {
    let (comes, has_come) = channel();
    std::thread::scope(|scope| {
        let load = scope.spawn(move || {
            run(plan, &mut |progress| {
                if progress.moment == moment {
                    let _nobody_listens = comes.send(());
                }
            })
        });
        let outcome = has_come.recv().ok().map(|()| event());
        let report = load
            .join()
            .map_err(|_| io::Error::other("the generator fell"))??;
        let never = || Err(io::Error::other("the load ended before its moment came"));
        Ok((report, outcome.unwrap_or_else(never)?))
    })
}

/// What threads are told, in this order.
#[derive(Clone)]
enum Word {
    CallFrom(Vec<SocketAddr>),
    Play(Instant, u64),
}

/// What a thread has opened, with places in the plan.
type Opened = io::Result<Vec<(usize, SocketAddr)>>;

struct Crew {
    hands: Vec<Hand>,
}

struct Hand {
    core: Option<usize>,
    words: Sender<Word>,
    opened: Receiver<Opened>,
    thread: JoinHandle<io::Result<Outcome>>,
    tally: Arc<Tally>,
}

impl Crew {
    fn start(plan: &Arc<Plan>, stop: &Arc<AtomicBool>) -> io::Result<Crew> {
        let mut crew = Crew { hands: Vec::new() };
        for part in deal(plan) {
            let (words, heard) = channel();
            let (tell, opened) = channel();
            let tally = Arc::new(Tally::default());
            let core = part.core;
            let (plan, stop, shared) = (plan.clone(), stop.clone(), tally.clone());
            let thread = std::thread::Builder::new()
                .name(format!("load-{}", part.number))
                .spawn(move || serve(plan, part, shared, &heard, &tell, &stop))?;
            crew.hands.push(Hand {
                core,
                words,
                opened,
                thread,
                tally,
            });
        }
        Ok(crew)
    }

    /// What all threads have opened, in the plan's order.
    fn addresses(&mut self, count: usize) -> io::Result<Vec<SocketAddr>> {
        let gone = |_| io::Error::other("a thread of the generator is gone");
        let mut all = Vec::with_capacity(count);
        for hand in &self.hands {
            all.extend(hand.opened.recv().map_err(gone)??);
        }
        all.sort_by_key(|(place, _)| *place);
        Ok(all.into_iter().map(|(_, address)| address).collect())
    }

    fn tell(&self, word: &Word) {
        for hand in &self.hands {
            // A thread that is gone says so when it is joined.
            let _gone = hand.words.send(word.clone());
        }
    }

    fn cores(&self) -> Vec<Option<usize>> {
        self.hands.iter().map(|hand| hand.core).collect()
    }

    fn finish(self) -> io::Result<Vec<Outcome>> {
        let join = |hand: Hand| {
            let result = hand.thread.join();
            result.unwrap_or_else(|_| Err(io::Error::other("a thread of the generator failed")))
        };
        self.hands.into_iter().map(join).collect()
    }
}

/// The life of a thread.
fn serve(
    plan: Arc<Plan>,
    part: Part,
    tally: Arc<Tally>,
    heard: &Receiver<Word>,
    tell: &Sender<Opened>,
    stop: &AtomicBool,
) -> io::Result<Outcome> {
    let gone = || io::Error::other("the run ended before it began");
    let (sources, sinks) = (part.sources.clone(), part.sinks.clone());
    // If nobody listens any more, the run has failed elsewhere and says why there.
    let mut thread = match Thread::open(plan, part, tally) {
        Ok((thread, addresses)) => {
            let _gone = tell.send(Ok(sinks.into_iter().zip(addresses).collect()));
            thread
        }
        Err(error) => {
            let _gone = tell.send(Err(error));
            return Err(gone());
        }
    };
    let Ok(Word::CallFrom(targets)) = heard.recv() else {
        return Err(gone());
    };
    let _gone = match thread.call_from(&targets) {
        Ok(addresses) => tell.send(Ok(sources.into_iter().zip(addresses).collect())),
        Err(error) => tell.send(Err(error)),
    };
    let Ok(Word::Play(started, wall_us)) = heard.recv() else {
        return Err(gone());
    };
    thread.play(started, wall_us, stop)
}

/// Deals sources and sinks out to threads in turn.
fn deal(plan: &Plan) -> Vec<Part> {
    let threads = plan.cores.len().max(1);
    let every = |count: usize, number: usize| (number..count).step_by(threads).collect();
    let total: f64 = plan.sources.iter().map(|s| f64::from(s.weight)).sum();
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let salt = mixed(since_epoch.as_nanos() as u64 ^ u64::from(std::process::id()) << 40);
    let mut dealt = 0;
    let mut parts = Vec::new();
    for number in 0..threads {
        let sources: Vec<usize> = every(plan.sources.len(), number);
        let weights = sources.iter().map(|&at| f64::from(plan.sources[at].weight));
        let share = weights.sum::<f64>() / total.max(1.0);
        // Rounded so that all threads together make exactly as many as were asked for.
        let upto = |share: f64| {
            plan.attempts_max
                .map(|max| (max as f64 * share).round() as u64)
        };
        let before: f64 = parts.iter().map(|part: &Part| part.rate).sum::<f64>() / plan.rate;
        let attempts_max = upto(before + share).map(|upto| upto.saturating_sub(dealt));
        dealt += attempts_max.unwrap_or(0);
        parts.push(Part {
            number,
            core: plan.cores.get(number).copied(),
            sources,
            sinks: every(plan.sinks.len(), number),
            rate: plan.rate * share,
            phase: number as f64 / threads as f64,
            attempts_max,
            run: (mixed(salt ^ number as u64) >> 32) as u32,
        });
    }
    parts
}

/// The main thread's view of a run.
struct Watch<'p> {
    plan: &'p Plan,
    tallies: Vec<Arc<Tally>>,
    started: Instant,
    sources: Vec<SocketAddr>,
    sinks: Vec<SocketAddr>,
    cpu_us: Vec<u64>,
}

impl Watch<'_> {
    /// Follows the run until all calls are over, or may be. Returns what passed while it counted,
    /// and what the cores did meanwhile.
    fn follow(
        &mut self,
        cores: &[Option<usize>],
        progress: &mut dyn FnMut(Progress),
    ) -> (Window, Vec<Option<CoreTimes>>) {
        let plan = self.plan;
        let ms = Duration::from_millis;
        let mut second = 1;
        self.until(ms(plan.warm_up_ms), &mut second, &mut |_| false, progress);
        let (before, opened) = (self.total(), Instant::now());
        let times = |core: &Option<usize>| core.and_then(CoreTimes::now);
        let busy: Vec<_> = cores.iter().map(times).collect();
        progress(self.progress(Moment::WindowOpens));
        let all_made = |watch: &Watch<'_>| match watch.plan.sources.is_empty() {
            true => {
                let offered = watch.total().attempts;
                watch.plan.attempts_max.is_some_and(|max| offered >= max)
            }
            false => watch.tallies.iter().all(|tally| tally.has_ended_attempts()),
        };
        self.until(
            ms(plan.offered_ms()),
            &mut second,
            &mut |watch| all_made(watch),
            progress,
        );
        let window = difference(&self.total(), &before, opened.elapsed());
        let spent = |(core, before): (&Option<usize>, Option<CoreTimes>)| {
            Some(times(core)?.since(&before?))
        };
        let busy = cores.iter().zip(busy).map(spent).collect();
        progress(self.progress(Moment::WindowCloses));
        // Attempts that were due in the last instant are still to be made.
        let settled = |watch: &Watch<'_>| {
            let is_over = plan.sources.is_empty() || all_made(watch);
            is_over && watch.total().active == 0
        };
        let last = self.started.elapsed() + ms(plan.drain_ms);
        self.until(last, &mut second, &mut |watch| settled(watch), progress);
        // What the callees were told last is still on its way to them.
        std::thread::sleep(LOOK * 4);
        (window, busy)
    }

    /// Waits until a time after the start, or until it is `enough`; tells every second.
    fn until(
        &mut self,
        end: Duration,
        second: &mut u64,
        enough: &mut dyn FnMut(&Watch<'_>) -> bool,
        progress: &mut dyn FnMut(Progress),
    ) {
        loop {
            let now = Instant::now().saturating_duration_since(self.started);
            if now >= end || enough(self) {
                return;
            }
            if now >= Duration::from_secs(*second) {
                *second = now.as_secs() + 1;
                progress(self.progress(Moment::Second));
            }
            let begins_in = self.started.saturating_duration_since(Instant::now());
            std::thread::sleep(LOOK.min(end - now + begins_in));
        }
    }

    fn total(&self) -> Window {
        let mut total = Window::default();
        for tally in &self.tallies {
            tally.add_to(&mut total);
        }
        total
    }

    fn progress(&mut self, moment: Moment) -> Progress {
        let elapsed = Instant::now().saturating_duration_since(self.started);
        let mut total = self.total();
        total.seconds = elapsed.as_secs_f64();
        let worst = |per_mille| {
            let quantile = |tally: &Arc<Tally>| tally.setup.quantile_us(per_mille);
            self.tallies.iter().map(quantile).max().unwrap_or(0)
        };
        let (setup_p50_us, setup_p99_us) = (worst(500), worst(990));
        let mut own_share_max = 0.0;
        for (before, tally) in self.cpu_us.iter_mut().zip(&self.tallies) {
            let now_us = tally.cpu_us.get();
            if moment == Moment::Second {
                own_share_max = f64::max(own_share_max, (now_us - *before) as f64 / 1e6);
                *before = now_us;
            }
        }
        Progress {
            moment,
            elapsed_ms: elapsed.as_millis() as u64,
            total,
            failed: self.tallies.iter().map(|tally| tally.failed.get()).sum(),
            retransmissions: self.tallies.iter().map(|tally| tally.again.get()).sum(),
            setup_p50_us,
            setup_p99_us,
            own_share_max,
            sources: self.sources.clone(),
            sinks: self.sinks.clone(),
        }
    }
}

fn difference(after: &Window, before: &Window, elapsed: Duration) -> Window {
    Window {
        seconds: elapsed.as_secs_f64(),
        attempts: after.attempts - before.attempts,
        established: after.established - before.established,
        completed: after.completed - before.completed,
        refused: after.refused - before.refused,
        asked: after.asked - before.asked,
        received: after.received - before.received,
        sent: after.sent - before.sent,
        active: after.active,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Sink, Source};

    #[test]
    fn the_work_is_dealt_out_whole() {
        let source = |port, weight| Source {
            address: SocketAddr::from(([192, 0, 2, 1], port)),
            weight,
        };
        let plan = Plan {
            sources: vec![source(1, 20), source(2, 1), source(3, 1)],
            sinks: (1..=4)
                .map(|n| Sink::new(SocketAddr::from(([192, 0, 2, 2], n))))
                .collect(),
            cores: vec![3, 5],
            rate: 1000.0,
            attempts_max: Some(1001),
            ..Plan::default()
        };
        let parts = deal(&plan);
        assert_eq!(parts.len(), 2);
        assert_eq!((parts[0].core, parts[1].core), (Some(3), Some(5)));
        assert_eq!(
            (&parts[0].sources[..], &parts[1].sources[..]),
            (&[0, 2][..], &[1][..])
        );
        assert_eq!(
            (&parts[0].sinks[..], &parts[1].sinks[..]),
            (&[0, 2][..], &[1, 3][..])
        );
        assert!((parts.iter().map(|part| part.rate).sum::<f64>() - 1000.0).abs() < 1e-6);
        assert_eq!(
            parts
                .iter()
                .filter_map(|part| part.attempts_max)
                .sum::<u64>(),
            1001
        );
        assert_ne!(parts[0].run, parts[1].run);
    }
}

//! What a seed draws.

use base::Time;

use crate::dice::Dice;
use crate::plan::{Balance, Below, Block, Borders, Cap, Hours, Link, Order, Plan, PriceRow};

/// A world, ready to be played.
#[derive(Debug, Clone)]
pub struct Draw {
    /// Routers and routing.
    pub plan: Plan,
    /// The network.
    pub link: Link,
    /// How many calls are placed.
    pub calls: usize,
    /// How many the canary places in the same time.
    pub canaries: usize,
    /// Within which time.
    pub span_us: u64,
    /// What the customer is like.
    pub caller: CallerHabits,
    /// What the vendors are like; taken in turn.
    pub vendors: Vec<VendorHabits>,
    /// What happens besides.
    pub accidents: Vec<Accident>,
    /// How often a forger replays something, in a thousand datagrams.
    pub forgeries: u32,
}

/// How often the customer does what, in a thousand calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallerHabits {
    /// Cancels after a while.
    pub cancels: u32,
    /// Sends its CANCEL even if nothing provisional came.
    pub is_rude: bool,
    /// Sends BYE in an early dialog.
    pub early_byes: u32,
    /// Never acknowledges an answer.
    pub no_acks: u32,
    /// Sends re-INVITE, UPDATE or INFO in the call.
    pub mid_call: u32,
    /// Leaves it to the callee to hang up, and to the longest duration if that does not.
    pub never_hangs_up: u32,
    /// Sends every request eleven times.
    pub is_stormy: bool,
    /// Writes an address into its Via that is not its own.
    pub wrong_vias: u32,
    /// Sends MESSAGE and OPTIONS besides calls.
    pub others: u32,
    /// The longest time it talks.
    pub talk_us_max: u64,
    /// All its Call-IDs belong to this shard of the router, as if it knew the key.
    pub aims_at: Option<u16>,
}

/// How often a vendor does what; weights among each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorHabits {
    /// Rings and answers.
    pub answers: u32,
    /// Answers at once, without 1xx.
    pub answers_at_once: u32,
    /// 486.
    pub busy: u32,
    /// 503 or 500.
    pub fails: u32,
    /// 404, 480 or 603.
    pub refuses: u32,
    /// Nothing at all.
    pub silent: u32,
    /// 180 and then nothing.
    pub rings_for_ever: u32,
    /// 100 and then nothing.
    pub tries_for_ever: u32,
    /// Several phones ring, and some of them answer.
    pub forks: u32,
    /// 302 to another gateway, to a stranger, or to nowhere.
    pub redirects: u32,
    /// 183 with Require: 100rel first.
    pub reliable: u32,
    /// Out of a thousand CANCELs, how many are crossed by a late 200.
    pub late_answers: u32,
    /// Out of a thousand CANCELs, how many are ignored.
    pub deaf_to_cancel: u32,
    /// Out of a thousand answered calls, how many it ends itself.
    pub hangs_up: u32,
    /// Out of a thousand OPTIONS, how many it leaves unanswered.
    pub unprobed: u32,
}

impl VendorHabits {
    /// Answers at once, always.
    pub const AT_ONCE: VendorHabits = VendorHabits {
        answers: 0,
        answers_at_once: 1,
        ..VendorHabits::PROPER
    };
    /// Rings and never answers.
    pub const RINGS_FOR_EVER: VendorHabits = VendorHabits {
        answers: 0,
        rings_for_ever: 1,
        ..VendorHabits::PROPER
    };
    /// Rings and answers, always.
    pub const PROPER: VendorHabits = VendorHabits {
        answers: 1,
        answers_at_once: 0,
        busy: 0,
        fails: 0,
        refuses: 0,
        silent: 0,
        rings_for_ever: 0,
        tries_for_ever: 0,
        forks: 0,
        redirects: 0,
        reliable: 0,
        late_answers: 0,
        deaf_to_cancel: 0,
        hangs_up: 300,
        unprobed: 0,
    };
}

/// Something that happens to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accident {
    /// A shard loses its memory.
    Restart {
        /// When.
        at: Time,
        /// Which.
        shard: u16,
    },
    /// The routing world is published anew.
    Reload {
        /// When.
        at: Time,
    },
    /// A vendor vanishes.
    CutOff {
        /// When.
        at: Time,
        /// Which.
        vendor: usize,
    },
    /// It comes back.
    Join {
        /// When.
        at: Time,
        /// Which.
        vendor: usize,
    },
}

impl Accident {
    /// When it happens.
    #[must_use]
    pub fn at(&self) -> Time {
        match *self {
            Accident::Restart { at, .. }
            | Accident::Reload { at }
            | Accident::CutOff { at, .. }
            | Accident::Join { at, .. } => at,
        }
    }
}

impl Default for Draw {
    /// A clean network, proper carriers, a hundred calls in ten seconds.
    fn default() -> Draw {
        Draw {
            plan: Plan::default(),
            link: Link::CLEAN,
            calls: 100,
            canaries: 0,
            span_us: 10_000_000,
            caller: CallerHabits {
                talk_us_max: 5_000_000,
                ..CallerHabits::default()
            },
            vendors: vec![VendorHabits::PROPER],
            accidents: Vec::new(),
            forgeries: 0,
        }
    }
}

/// Draws the world of a seed.
#[must_use]
pub fn draw(seed: u64) -> Draw {
    let mut dice = Dice::new(seed);
    let span_us = dice.between(5, 40) * 1_000_000;
    let mut plan = draw_plan(seed, &mut dice);
    price(&mut plan);
    limit(&mut plan);
    cap(&mut plan);
    share(&mut plan, span_us);
    part(&mut plan);
    block(&mut plan, span_us);
    let vendors = (0..plan.vendors).map(|_| draw_vendor(&mut dice)).collect();
    Draw {
        link: draw_link(&mut dice),
        calls: dice.between(5, 40) as usize,
        canaries: 0,
        span_us,
        caller: draw_caller(&mut dice),
        vendors,
        accidents: draw_accidents(&plan, span_us, &mut dice),
        forgeries: if dice.chance(250) { 200 } else { 0 },
        plan,
    }
}

fn draw_plan(seed: u64, dice: &mut Dice) -> Plan {
    let words = ["408", "4xx", "5xx", "timeout", "no-answer", "486"];
    let advance = match dice.chance(300) {
        true => words
            .iter()
            .filter(|_| dice.chance(500))
            .map(|w| (*w).to_owned())
            .collect(),
        false => Vec::new(),
    };
    Plan {
        seed,
        shards: dice.between(1, 4) as u16,
        is_steered: seed.is_multiple_of(2),
        vendors: dice.between(1, 5) as usize,
        order: dice.weighted(&[(5, Order::List), (3, Order::Weight), (2, Order::Parallel)]),
        advance,
        attempts_max: dice.between(1, 5) as u8,
        no_response_ms: dice.between(300, 6_000) as u32,
        ring_ms: dice.between(2_000, 60_000) as u32,
        follows_redirects: dice.chance(400),
        refuses_strangers: dice.chance(500),
        max_call_seconds: dice.between(20, 120) as u32,
        down_after: if dice.chance(300) {
            dice.between(1, 5) as u16
        } else {
            1_000
        },
        hold_down_ms: dice.between(1_000, 30_000) as u32,
        probe_ms: if dice.chance(300) {
            dice.between(1_000, 10_000) as u32
        } else {
            0
        },
        ..Plan::default()
    }
}

/// Gives a third of the worlds prices. By dice of their own: what the seeds mean that found something
/// once must not change, and those stay without.
fn price(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed ^ 0x7072_6963_6573);
    if !dice.chance(330) || super::kept_seeds().contains(&plan.seed) {
        return;
    }
    let cents = |dice: &mut Dice| dice.between(0, 8) as i64 * 1_000_000;
    plan.prices.sold = dice.chance(700).then(|| cents(&mut dice));
    // Codes of all lengths that the called numbers may begin with, and some that they do not.
    for vendor in 0..plan.vendors {
        for code in ["1", "12", "1202", "1202555", "44", "9"] {
            if dice.chance(400) {
                plan.prices.rows.push(PriceRow {
                    vendor,
                    code: code.to_owned(),
                    price: (!dice.chance(150)).then(|| cents(&mut dice)),
                });
            }
        }
    }
    if dice.chance(700) {
        plan.order = Order::Cost;
    }
    // Without rows there are no decks to order by.
    if plan.prices.rows.is_empty() {
        plan.order = Order::List;
    }
}

/// Gives a quarter of the worlds limits on calls, as [`price`] gives prices.
fn limit(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed ^ 0x6c69_6d69_7473);
    if !dice.chance(250) || super::kept_seeds().contains(&plan.seed) {
        return;
    }
    let mut some = |most: u64| dice.chance(600).then(|| dice.between(1, most) as u32);
    plan.max_calls = some(10);
    plan.calls_per_second = some(5);
    plan.vendor_calls = some(4);
}

/// Gives a third of the worlds caps, as [`price`] gives prices.
fn cap(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed ^ 0x6361_7073);
    if !dice.chance(330) || super::kept_seeds().contains(&plan.seed) {
        return;
    }
    for _ in 0..dice.between(1, 3) {
        let mut some = |share, most: u64| {
            let is_there = dice.chance(share);
            is_there.then(|| dice.between(1, most) as u32)
        };
        let (calls, window_calls) = (some(700, 6), some(300, 40));
        let (window_minutes, seconds) = (some(300, 5), some(200, 60));
        let prefixes = ["1", "1202", "12025", "44"];
        let prefixes = prefixes.iter().filter(|_| dice.chance(400));
        plan.caps.push(Cap {
            prefixes: prefixes.map(|it| (*it).to_owned()).collect(),
            is_of_vendors: dice.chance(400),
            is_apart: dice.chance(500),
            calls,
            window_calls,
            window_minutes,
            max_call_seconds: seconds.unwrap_or(0),
            only_tells: dice.chance(200),
        });
    }
}

/// Gives a third of the worlds vendors that stand side by side, and a third vendors whose quality counts, a third vendors
/// with hours, as
/// [`price`] gives prices.
fn share(plan: &mut Plan, span_us: u64) {
    let mut dice = Dice::new(plan.seed ^ 0x0073_6861_7265);
    if super::kept_seeds().contains(&plan.seed) {
        return;
    }
    if dice.chance(330) {
        plan.balance = dice.one_of(&[
            Balance::Weighted,
            Balance::LeastCalls,
            Balance::Caller,
            Balance::Called,
            Balance::CallId,
            Balance::Fastest,
        ]);
        if plan.prices.rows.is_empty() {
            plan.order = Order::Balanced;
        }
    }
    if dice.chance(330) {
        plan.quality = Some(dice.one_of(&[Below::Behind, Below::Skip]));
        if dice.chance(300) && plan.prices.rows.is_empty() {
            plan.order = Order::Quality;
        }
    }
    if dice.chance(330) {
        for vendor in 0..plan.vendors {
            let opens_s = dice.below(span_us / 1_000_000) as u32;
            if dice.chance(600) {
                plan.hours.push(Hours {
                    vendor,
                    opens_s,
                    closes_s: opens_s + dice.between(1, 20) as u32,
                    is_inverted: dice.chance(500),
                });
            }
        }
    }
}

/// Gives a third of the worlds carriers who talk about people, and borders, as [`price`] gives prices.
fn part(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed ^ 0x626f_7264_6572);
    if !dice.chance(330) || super::kept_seeds().contains(&plan.seed) {
        return;
    }
    plan.borders = Some(Borders {
        customer: dice.chance(600),
        vendors: (0..plan.vendors).map(|_| dice.chance(500)).collect(),
        // A contact of a vendor is called as the vendor wrote it.
        rewrites: !plan.follows_redirects && dice.chance(500),
    });
}

/// Gives a quarter of the worlds blocks, as [`price`] gives prices.
fn block(plan: &mut Plan, span_us: u64) {
    let mut dice = Dice::new(plan.seed ^ 0x0062_6c6f_636b);
    if !dice.chance(250) || plan.has_canary || super::kept_seeds().contains(&plan.seed) {
        return;
    }
    for _ in 0..dice.between(1, 3) {
        let from_s = dice.below(span_us / 1_000_000) as u32;
        let prefixes = ["1", "1202", "12025", "44"];
        let prefixes = prefixes.iter().filter(|_| dice.chance(400));
        let prefixes = prefixes.map(|it| (*it).to_owned()).collect();
        plan.blocks.push(Block {
            vendor: dice
                .chance(700)
                .then(|| dice.below(plan.vendors as u64) as usize),
            prefixes,
            from_s,
            until_s: from_s + dice.between(1, 20) as u32,
        });
    }
}

fn draw_link(dice: &mut Dice) -> Link {
    if dice.chance(300) {
        return Link::CLEAN;
    }
    let delay_us_min = dice.between(100, 30_000);
    Link {
        loss: if dice.chance(500) {
            dice.one_of(&[10, 50, 100, 300])
        } else {
            0
        },
        duplication: if dice.chance(500) {
            dice.one_of(&[10, 50, 300])
        } else {
            0
        },
        delay_us_min,
        delay_us_max: delay_us_min + dice.one_of(&[0, 1_000, 10_000, 200_000]),
    }
}

/// One in three features is on, and then it is frequent.
fn sometimes(dice: &mut Dice) -> u32 {
    if dice.chance(330) {
        dice.between(50, 600) as u32
    } else {
        0
    }
}

fn draw_caller(dice: &mut Dice) -> CallerHabits {
    CallerHabits {
        cancels: sometimes(dice),
        is_rude: dice.chance(100),
        early_byes: sometimes(dice) / 4,
        no_acks: sometimes(dice) / 4,
        mid_call: sometimes(dice),
        never_hangs_up: sometimes(dice) / 2,
        is_stormy: dice.chance(100),
        wrong_vias: sometimes(dice),
        others: sometimes(dice),
        talk_us_max: dice.between(100_000, 30_000_000),
        aims_at: None,
    }
}

fn draw_vendor(dice: &mut Dice) -> VendorHabits {
    VendorHabits {
        answers: 500,
        answers_at_once: sometimes(dice),
        busy: sometimes(dice),
        fails: sometimes(dice),
        refuses: sometimes(dice),
        silent: sometimes(dice),
        rings_for_ever: sometimes(dice) / 2,
        tries_for_ever: sometimes(dice) / 4,
        forks: sometimes(dice) / 2,
        redirects: sometimes(dice) / 2,
        reliable: sometimes(dice) / 2,
        late_answers: sometimes(dice),
        deaf_to_cancel: sometimes(dice) / 4,
        hangs_up: dice.between(0, 1_000) as u32,
        unprobed: sometimes(dice),
    }
}

fn draw_accidents(plan: &Plan, span_us: u64, dice: &mut Dice) -> Vec<Accident> {
    let mut accidents = Vec::new();
    let at = |dice: &mut Dice| Time(dice.below(span_us + 10_000_000));
    if dice.chance(120) {
        for _ in 0..dice.between(1, 2) {
            let shard = dice.below(u64::from(plan.shards)) as u16;
            accidents.push(Accident::Restart {
                at: at(dice),
                shard,
            });
        }
    }
    if dice.chance(250) {
        for _ in 0..dice.between(1, 5) {
            accidents.push(Accident::Reload { at: at(dice) });
        }
    }
    if dice.chance(200) {
        let vendor = dice.below(plan.vendors as u64) as usize;
        let from = at(dice);
        let until = Time(from.0 + dice.between(1, 20) * 1_000_000);
        accidents.push(Accident::CutOff { at: from, vendor });
        accidents.push(Accident::Join { at: until, vendor });
    }
    accidents
}

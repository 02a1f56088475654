//! The world as the shards see it: immutable, shared, swapped whole.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base::{GatewayId, ListenerId, Money, Time, Transport, TrunkId};
use sip::Uri;
use translation::Role;

use crate::balance::Scales;
use crate::block;
use crate::calendar::{Calendar, When};
use crate::ingress::{Egress, Ingress};
use crate::marks::{self, Marks, Verdicts};
use crate::number::{normalise, normalise_rewritten};
use crate::order::{Order, order};
use crate::pricing::{AskedOfAll, Prices, Pricing};
use crate::rewrite::rewrite;
use crate::split::Split;
use crate::{
    AdvanceTable, Balance, Blocked, Candidate, Candidates, CapRule, ClassId, Coalesce, DeckId,
    Gateway, Health, Margin, Mark, Measure, Mode, Moment, NoRoute, Number, NumberBuffer,
    NumberError, Prefixes, Price, QualitySpec, Rewritten, Scene, Side, SkipReason, Trunk, Turns,
    UnknownSource, Verdict,
};

/// A route: one prefix of one snapshot. Means nothing in another snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RouteId(pub(crate) u32);

/// What happens to the calls of a route. Routes with the same plan share one.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) targets: Box<[Target]>,
    pub(crate) mode: Mode,
    pub(crate) balance: Balance,
    pub(crate) quality: Option<ClassId>,
    /// By target, what its lots are drawn from, if a key of the call decides.
    pub(crate) seeds: Box<[u64]>,
    pub(crate) advance: AdvanceTable,
    pub(crate) attempts_max: usize,
    pub(crate) ring_ms: u32,
    pub(crate) setup_ms: u32,
    /// What its gateways ask.
    pub(crate) pricing: Pricing,
    /// Whether the calls of all trunks go to its gateways as they are written: none has a price, a
    /// share or hours, and nobody asks for its quality.
    pub(crate) is_plain: bool,
    /// Its number among the plans with exact shares.
    pub(crate) turn: Option<u32>,
}

impl Plan {
    /// Puts whoever is owed most first, of the good ones, if there are any; of a balanced plan, of those
    /// of the first priority that has somebody. The others stay as they are.
    fn divide(&self, split: &mut Split, verdicts: &Verdicts, marks: &Marks, places: &mut Order) {
        let may_try = |at: &usize| verdicts[*at] == Verdict::Try;
        let fit = (0..self.targets.len()).filter(may_try);
        let rank = |at: usize| (marks.is_behind(at), self.rank_of(at));
        let best = fit.map(rank).min().unwrap_or_default();
        let share = |at: usize| match verdicts[at] {
            Verdict::Try if rank(at) == best => self.targets[at].weight,
            Verdict::Try | Verdict::Skip(_) => 0,
        };
        let first = split.give(share);
        let place = first.and_then(|first| places.iter().position(|&at| usize::from(at) == first));
        places[..=place.unwrap_or(0)].rotate_right(1);
    }

    /// Which of its targets stand side by side: those with the same number.
    fn rank_of(&self, at: usize) -> u16 {
        match self.mode {
            Mode::Balanced => self.targets[at].priority,
            Mode::Weighted | Mode::Ordered | Mode::Cost | Mode::Quality | Mode::Parallel => 0,
        }
    }
}

/// What happens to the calls of one route.
#[derive(Clone, Copy, Debug)]
pub struct Route<'s> {
    /// Its prefix: digits, or `*` for the catch-all route.
    pub prefix: &'s str,
    /// Its gateways, in the order of the file.
    pub targets: &'s [Target],
    /// How they are ordered for a call.
    pub mode: Mode,
    /// How those that stand side by side take turns.
    pub balance: Balance,
    /// What makes a call go on to the next gateway.
    pub advance: AdvanceTable,
    /// The most gateways tried for one call.
    pub attempts_max: usize,
    /// How long a gateway may ring; 0 for until Timer C.
    pub ring_ms: u32,
    /// How long after its INVITE a call may go on to another gateway; 0 for always.
    pub setup_ms: u32,
    /// What must be left, where both prices of a call are known.
    pub margin: Margin,
    /// The length of a call that prices are compared by, in milliseconds.
    pub length_ms: u64,
}

impl<'s> Route<'s> {
    /// Whether all its gateways are asked at once.
    #[must_use]
    pub fn is_parallel(&self) -> bool {
        self.mode == Mode::Parallel
    }

    /// Whether it says how gateways that stand side by side take turns.
    #[must_use]
    pub fn takes_turns(&self) -> bool {
        match self.mode {
            Mode::Balanced => true,
            Mode::Cost | Mode::Quality => self.balance != Balance::Weighted,
            Mode::Ordered | Mode::Weighted | Mode::Parallel => false,
        }
    }

    /// The prefix as records write it.
    #[must_use]
    pub const fn prefix_text(&self) -> &'s [u8] {
        self.prefix.as_bytes()
    }
}

/// One gateway of a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// Which.
    pub gateway: GatewayId,
    /// Its share, if the route is weighted.
    pub weight: u32,
    /// 0 comes first, if the route is balanced or by cost.
    pub priority: u16,
    /// When it may be tried.
    pub(crate) when: Option<When>,
    /// Whether the operator took its gateway out: kept here too, so that those that may be tried are
    /// told from their targets alone.
    pub(crate) is_in_maintenance: bool,
}

/// A call that asks where it may go.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Where it comes from.
    pub trunk: TrunkId,
    /// Whom it is for.
    pub number: &'a Number<'a>,
    /// When, on the axis of the gateways' health.
    pub now: Time,
    /// When, as prices have it.
    pub at: Moment,
    /// A random number: one for each call is enough.
    pub dice: u64,
}

/// One prefix: where its digits stand in the text of all, and which plan it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) start: u32,
    pub(crate) length: u8,
    pub(crate) plan: u32,
}

/// A name that the process knows, with the carrier that it had last.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) name: Arc<str>,
    pub(crate) carrier: Arc<str>,
}

/// By id, all that the process ever knew.
pub(crate) type Names = Box<[Known]>;

/// What a call brings and what it would cost with each gateway of a plan.
#[derive(Default)]
pub(crate) struct AskedPlan {
    /// What the customer pays, if its trunk has a deck.
    pub(crate) sold: Option<Price>,
    /// What it pays for a call of the plan's length, in the common currency.
    pub(crate) income: Option<Money>,
    pub(crate) targets: AskedOfAll,
}

/// The whole routing world, read-only. Lives in an `Arc` that every shard holds; built and freed
/// outside the shards.
pub struct Snapshot {
    pub(crate) generation: u64,
    pub(crate) unknown_source: UnknownSource,
    pub(crate) gateways_max: usize,
    /// By listener.
    pub(crate) coalesce: Box<[Coalesce]>,
    pub(crate) coalesces: bool,
    pub(crate) has_borders: bool,
    pub(crate) trunks: Box<[Option<Trunk>]>,
    pub(crate) trunk_names: Names,
    pub(crate) gateways: Box<[Option<Gateway>]>,
    pub(crate) gateway_names: Names,
    pub(crate) ingress: Ingress,
    pub(crate) egress: Egress,
    pub(crate) prefixes: Prefixes,
    pub(crate) rows: Box<[Row]>,
    pub(crate) digits: Box<str>,
    pub(crate) catch_all: Option<RouteId>,
    pub(crate) plans: Box<[Plan]>,
    pub(crate) calendars: Box<[Calendar]>,
    /// By class.
    pub(crate) qualities: Box<[Option<QualitySpec>]>,
    pub(crate) quality_names: Names,
    /// By cell.
    pub(crate) caps: Box<[Option<CapRule>]>,
    pub(crate) cap_names: Names,
    /// Whether any plan asks how fast gateways answer.
    pub(crate) measures_trips: bool,
    pub(crate) prices: Prices,
}

impl Snapshot {
    /// The number of the file it was built from: counted up by each reload.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What a request from an unknown source gets.
    #[must_use]
    pub fn unknown_source(&self) -> UnknownSource {
        self.unknown_source
    }

    /// The trunk that requests from this address belong to: the most specific network decides,
    /// then the port, then the transport. `::ffff:a.b.c.d` is `a.b.c.d`.
    #[must_use]
    pub fn ingress(&self, peer: SocketAddr, transport: Transport) -> Option<TrunkId> {
        self.ingress.find(peer, transport)
    }

    /// The gateway that a message from this address comes from.
    #[must_use]
    pub fn egress(&self, peer: SocketAddr, transport: Transport) -> Option<GatewayId> {
        self.egress.find(peer, transport)
    }

    /// Whether any trunk or gateway has a border that not all may cross as it is.
    #[must_use]
    #[inline]
    pub fn has_borders(&self) -> bool {
        self.has_borders
    }

    /// Whether datagrams for anybody travel together.
    #[must_use]
    pub fn coalesces(&self) -> bool {
        self.coalesces
    }

    /// How datagrams for this peer travel together: as its gateway says, or the listener that they
    /// leave through.
    #[must_use]
    pub fn coalesce(&self, listener: ListenerId, peer: SocketAddr) -> Coalesce {
        let gateway = (self.egress(peer, Transport::Udp)).and_then(|id| self.gateway(id));
        let of_listener = || self.coalesce.get(usize::from(listener.0)).copied();
        let said = gateway.and_then(|gateway| gateway.coalesce);
        said.or_else(of_listener).unwrap_or_default()
    }

    /// Whether any trunk may send from the address, whatever the port.
    #[must_use]
    pub fn is_trunk_address(&self, address: IpAddr) -> bool {
        self.ingress.knows(address)
    }

    /// Whether the address is of a trunk or a gateway: in-dialog requests of calls that were lost
    /// go nowhere else.
    #[must_use]
    pub fn is_known_address(&self, address: SocketAddr) -> bool {
        self.ingress.knows(address.ip()) || self.egress.knows(address.ip())
    }

    /// A trunk of this snapshot.
    #[must_use]
    pub fn trunk(&self, id: TrunkId) -> Option<&Trunk> {
        self.trunks.get(id.0 as usize)?.as_ref()
    }

    /// A gateway of this snapshot.
    #[must_use]
    pub fn gateway(&self, id: GatewayId) -> Option<&Gateway> {
        self.gateways.get(id.0 as usize)?.as_ref()
    }

    /// The name of a trunk, of a removed one too; empty if there never was one.
    #[must_use]
    pub fn trunk_name(&self, id: TrunkId) -> &str {
        self.trunk_names
            .get(id.0 as usize)
            .map_or("", |it| &it.name)
    }

    /// The name of a gateway, of a removed one too; empty if there never was one.
    #[must_use]
    pub fn gateway_name(&self, id: GatewayId) -> &str {
        self.gateway_names
            .get(id.0 as usize)
            .map_or("", |it| &it.name)
    }

    /// Name and carrier of a trunk, of a removed one too, as records write them.
    #[must_use]
    pub fn trunk_names(&self, id: TrunkId) -> (&[u8], &[u8]) {
        name_and_carrier(&self.trunk_names, id.0)
    }

    /// Name and carrier of a gateway, of a removed one too, as records write them.
    #[must_use]
    pub fn gateway_names(&self, id: GatewayId) -> (&[u8], &[u8]) {
        name_and_carrier(&self.gateway_names, id.0)
    }

    /// All gateways, in the order of their ids.
    pub fn gateways(&self) -> impl Iterator<Item = &Gateway> {
        self.gateways.iter().flatten()
    }

    /// All trunks, in the order of their ids.
    pub fn trunks(&self) -> impl Iterator<Item = &Trunk> {
        self.trunks.iter().flatten()
    }

    /// A trunk by name. Walks them all: for people, not for calls.
    #[must_use]
    pub fn trunk_named(&self, name: &str) -> Option<&Trunk> {
        self.trunks().find(|trunk| &*trunk.name == name)
    }

    /// A gateway by name. Walks them all: for people, not for calls.
    #[must_use]
    pub fn gateway_named(&self, name: &str) -> Option<&Gateway> {
        self.gateways().find(|gateway| &*gateway.name == name)
    }

    /// How many gateway names were ever known: ids are below it. Removed ones are counted.
    #[must_use]
    pub fn gateways_known(&self) -> usize {
        self.gateway_names.len()
    }

    /// How many trunk names were ever known: ids are below it. Removed ones are counted.
    #[must_use]
    pub fn trunks_known(&self) -> usize {
        self.trunk_names.len()
    }

    /// The most gateway names that there may ever be: the capacity that [`Health`] needs.
    #[must_use]
    pub fn gateways_max(&self) -> usize {
        self.gateways_max
    }

    /// A class of quality of this snapshot.
    #[must_use]
    pub fn quality(&self, class: ClassId) -> Option<&QualitySpec> {
        self.qualities.get(usize::from(class.0))?.as_ref()
    }

    /// The name of a class of quality, of a removed one too; empty if there never was one.
    #[must_use]
    pub fn quality_name(&self, class: ClassId) -> &str {
        let known = self.quality_names.get(usize::from(class.0));
        known.map_or("", |it| &it.name)
    }

    /// A class of quality by name.
    #[must_use]
    pub fn quality_named(&self, name: &str) -> Option<ClassId> {
        let at = self.quality_names.iter().position(|it| &*it.name == name)?;
        let class = ClassId(at as u16);
        self.quality(class).map(|_| class)
    }

    /// Whether any route asks how fast gateways answer.
    #[must_use]
    pub fn measures_trips(&self) -> bool {
        self.measures_trips
    }

    /// How many routes there are, the catch-all one included.
    #[must_use]
    pub fn routes_len(&self) -> usize {
        self.rows.len()
    }

    /// The called number, rewritten by the translation rules of the trunk and normalised.
    ///
    /// # Errors
    /// Why the number is refused.
    pub fn number<'b>(
        &self,
        trunk: TrunkId,
        uri: &Uri<'_>,
        buffer: &'b mut NumberBuffer,
    ) -> Result<Number<'b>, NumberError> {
        self.number_of(trunk, Role::Called, uri, buffer)
    }

    /// As [`Snapshot::number`], of any role.
    ///
    /// # Errors
    /// Why it is no number that calls have.
    #[inline]
    pub fn number_of<'b>(
        &self,
        trunk: TrunkId,
        role: Role,
        uri: &Uri<'_>,
        buffer: &'b mut NumberBuffer,
    ) -> Result<Number<'b>, NumberError> {
        let trunk = self.trunk(trunk).ok_or(NumberError::UnknownTrunk)?;
        let rules = trunk.rules.of(role);
        match rules.is_empty() {
            true => normalise(&trunk.number, uri, buffer),
            false => normalise_rewritten(rules, &trunk.number, uri, buffer),
        }
    }

    /// What the translation rules of a trunk make of a user part, if any is for it.
    #[must_use]
    #[inline]
    pub fn rewrite(&self, trunk: TrunkId, role: Role, user: &[u8]) -> Option<Rewritten> {
        let rules = self.trunk(trunk)?.rules.of(role);
        match rules.is_empty() {
            true => None,
            false => rewrite(rules, user),
        }
    }

    /// Whether the lists of a trunk ask who calls.
    #[must_use]
    pub fn asks_who_calls(&self, trunk: TrunkId) -> bool {
        self.trunk(trunk)
            .is_some_and(|trunk| trunk.screen.asks_who_calls())
    }

    /// Why a trunk's call may not be made by one of its numbers: the list or the block that has it.
    #[must_use]
    pub fn blocks(
        &self,
        trunk: TrunkId,
        side: Side,
        number: &Number<'_>,
        at: Moment,
    ) -> Option<Blocked> {
        let trunk = self.trunk(trunk)?;
        if side == Side::Called
            && let Some(block) = block::refusing(&trunk.blocks, number.digits(), at)
        {
            return Some(Blocked::Block(Arc::clone(block)));
        }
        trunk.screen.blocks(side, number.digits())
    }

    /// Whether a trunk's calls to these digits may go to a gateway at all, whatever its route says.
    #[must_use]
    pub fn may_go(&self, trunk: TrunkId, gateway: GatewayId, digits: &[u8], at: Moment) -> bool {
        let Some(trunk) = self.trunk(trunk) else {
            return true;
        };
        trunk.excluded.binary_search(&gateway).is_err()
            && block::barring(&trunk.blocks, gateway, digits, at).is_none()
    }

    /// The route of a number: that of its longest prefix, or else the catch-all one.
    ///
    /// # Errors
    /// Why there is none.
    pub fn find_route(&self, number: &Number<'_>) -> Result<RouteId, NoRoute> {
        if number.is_raw() {
            return self.catch_all.ok_or(NoRoute::NoPrefix);
        }
        let found = self.prefixes.longest(number.text());
        let found = found.map(|(row, _)| RouteId(row));
        found.or(self.catch_all).ok_or(NoRoute::NoPrefix)
    }

    /// Fills `out` with the gateways for a call in the order to try, and says by which route.
    ///
    /// All candidates may come out as [`Verdict::Skip`]; then nothing can be tried.
    ///
    /// # Errors
    /// Why nobody is asked.
    pub fn candidates(
        &self,
        ask: &Ask<'_>,
        health: &Health,
        turns: &mut Turns,
        scene: &impl Scene,
        out: &mut Candidates,
    ) -> Result<RouteId, NoRoute> {
        out.clear();
        let trunk = self.trunk(ask.trunk).ok_or(NoRoute::NoPrefix)?;
        let id = self.find_route(ask.number)?;
        let plan = self.plan(id);
        if !plan.is_plain || trunk.is_choosy() {
            self.choose(plan, trunk, ask, health, turns, scene, out)?;
            return Ok(id);
        }
        for target in &plan.targets {
            out.push(Candidate {
                gateway: target.gateway,
                verdict: self.verdict(target, ask, health),
            });
        }
        Ok(id)
    }

    pub(crate) fn plan(&self, id: RouteId) -> &Plan {
        &self.plans[self.rows[id.0 as usize].plan as usize]
    }

    #[inline]
    fn verdict(&self, target: &Target, ask: &Ask<'_>, health: &Health) -> Verdict {
        match !target.is_in_maintenance && health.is_up(target.gateway) {
            true => Verdict::Try,
            false => self.verdict_in_trouble(target, ask, health),
        }
    }

    /// As [`Snapshot::verdict`], where a look at two flags is not enough.
    #[inline(never)]
    fn verdict_in_trouble(&self, target: &Target, ask: &Ask<'_>, health: &Health) -> Verdict {
        let gateway = self.gateway(target.gateway);
        let gateway = gateway.expect("a route names gateways of its own snapshot");
        health.verdict(gateway, ask.now, ask.dice)
    }

    /// As [`Snapshot::candidates`], where there are prices, shares or hours.
    #[inline(never)]
    fn choose(
        &self,
        plan: &Plan,
        trunk: &Trunk,
        ask: &Ask<'_>,
        health: &Health,
        turns: &mut Turns,
        scene: &impl Scene,
        out: &mut Candidates,
    ) -> Result<(), NoRoute> {
        let mut asked = AskedPlan::default();
        self.ask_all(plan, trunk, ask, &mut asked)?;
        out.sold = asked.sold;
        let asked = &asked.targets[..];
        let mut verdicts = marks::all_fit(plan.targets.len());
        for ((verdict, target), asked) in verdicts.iter_mut().zip(&plan.targets).zip(asked) {
            *verdict = match asked.unfit {
                Some(reason) => Verdict::Skip(reason),
                None => match target.when {
                    Some(when) if !turns.is_open(self, when, ask.at) => {
                        Verdict::Skip(SkipReason::OutOfHours)
                    }
                    _ => self.verdict(target, ask, health),
                },
            };
        }
        if !trunk.excluded.is_empty() {
            trunk.exclude(&plan.targets, &mut verdicts);
        }
        if !trunk.blocks.is_empty() {
            trunk.bar(&plan.targets, ask, &mut verdicts);
        }
        let marks = self.judge(plan, ask, scene, &mut verdicts, out);
        // Whoever may not be tried comes last of his priority.
        let cost = |at: usize| match asked[at].unfit {
            Some(_) => Money::from_parts(i64::MAX),
            None if plan.mode == Mode::Quality => Money::from_parts(marks.badness(at)),
            None => asked[at].cost,
        };
        let scales = Scales::new(
            plan.balance,
            (&plan.targets, &plan.seeds),
            ask,
            health,
            scene,
        );
        let turn = |at: usize| scales.weigh(at);
        let mut places = order(plan.mode, &plan.targets, ask.dice, cost, turn);
        marks.move_back(&mut places);
        if let Some(turn) = plan.turn {
            plan.divide(turns.of(self, turn), &verdicts, &marks, &mut places);
        }
        let (targets, verdicts) = (&plan.targets[..], &verdicts[..]);
        out.fill(places.iter().map(|&at| Candidate {
            gateway: targets[usize::from(at)].gateway,
            verdict: verdicts[usize::from(at)],
        }));
        Ok(())
    }

    /// How good the targets of a plan are. Those that are not, and are not asked on trial, are left out
    /// or come last, as the class says.
    fn judge(
        &self,
        plan: &Plan,
        ask: &Ask<'_>,
        scene: &impl Scene,
        verdicts: &mut Verdicts,
        out: &mut Candidates,
    ) -> Marks {
        let mut marks = Marks::default();
        let class = plan.quality.and_then(|id| Some((id, self.quality(id)?)));
        let (Some((id, class)), Some(quality)) = (class, scene.quality()) else {
            return marks;
        };
        let measure = Measure::new(id, class.digits, ask.number);
        out.measure = Some(measure);
        for (at, target) in plan.targets.iter().enumerate() {
            let mark = quality.mark(measure, target.gateway);
            marks.badness.push(mark.badness());
            if verdicts[at] != Verdict::Try || mark.admits(target.gateway, ask.dice) {
                continue;
            }
            match class.skips {
                true => verdicts[at] = Verdict::Skip(SkipReason::Poor),
                false => marks.behind |= 1 << at,
            }
        }
        marks
    }

    /// What the judge says of a gateway of a route for such a call, if the route asks for it.
    pub(crate) fn mark(
        &self,
        route: RouteId,
        place: usize,
        ask: &Ask<'_>,
        scene: &impl Scene,
    ) -> Option<Mark> {
        let plan = self.plan(route);
        let (id, quality) = (plan.quality?, scene.quality()?);
        let measure = Measure::new(id, self.quality(id)?.digits, ask.number);
        Some(quality.mark(measure, plan.targets[place].gateway))
    }

    /// What the customer pays for a call, and what each gateway of a plan asks for it.
    fn ask_all(
        &self,
        plan: &Plan,
        trunk: &Trunk,
        ask: &Ask<'_>,
        out: &mut AskedPlan,
    ) -> Result<(), NoRoute> {
        // What the customer pays is found on the way to what the gateways ask: one walk serves both.
        let is_asked = trunk.deck.is_some() || plan.pricing.length().is_some();
        let digits = if is_asked { ask.number.digits() } else { b"" };
        let codes = self.prices.rates.codes(digits);
        if let Some(deck) = trunk.deck {
            let price = self.prices.of_codes(deck, &codes, ask.at);
            let price = price.ok_or(NoRoute::NotSold)?;
            out.income = self.prices.income(deck, &price, plan.pricing.length_ms);
            out.sold = Some(price);
        }
        (plan.pricing).ask(&self.prices, &codes, ask.at, out.income, &mut out.targets);
        Ok(())
    }

    /// What [`Snapshot::candidates`] knew of prices when it ordered the targets of a route.
    pub(crate) fn asked(&self, id: RouteId, ask: &Ask<'_>) -> Result<AskedPlan, NoRoute> {
        let trunk = self.trunk(ask.trunk).ok_or(NoRoute::NoPrefix)?;
        let mut asked = AskedPlan::default();
        self.ask_all(self.plan(id), trunk, ask, &mut asked)?;
        Ok(asked)
    }

    /// The name of a gateway's or a trunk's deck.
    pub(crate) fn deck_name(&self, deck: DeckId) -> &str {
        &self.prices.decks[usize::from(deck.0)].name
    }

    /// What a gateway asks for a number at a moment, if it has a deck with a price for it.
    #[must_use]
    pub fn price(&self, gateway: GatewayId, number: &Number<'_>, at: Moment) -> Option<Price> {
        let deck = self.gateway(gateway)?.deck?;
        self.prices.of(deck, number.digits(), at)
    }

    /// What happens to the calls of a route.
    ///
    /// # Panics
    /// If the id is of another snapshot and not in this one.
    #[must_use]
    pub fn route(&self, id: RouteId) -> Route<'_> {
        let plan = self.plan(id);
        Route {
            prefix: self.prefix(id),
            targets: &plan.targets,
            mode: plan.mode,
            balance: plan.balance,
            advance: plan.advance,
            attempts_max: plan.attempts_max,
            ring_ms: plan.ring_ms,
            setup_ms: plan.setup_ms,
            margin: plan.pricing.margin,
            length_ms: plan.pricing.length_ms,
        }
    }

    /// The prefix of a route as records write it.
    ///
    /// # Panics
    /// If the id is of another snapshot and not in this one.
    #[must_use]
    #[inline]
    pub fn prefix(&self, id: RouteId) -> &str {
        let row = self.rows[id.0 as usize];
        match &self.digits[row.start as usize..][..usize::from(row.length)] {
            "" => "*",
            digits => digits,
        }
    }
}

fn name_and_carrier(names: &[Known], id: u32) -> (&[u8], &[u8]) {
    names
        .get(id as usize)
        .map_or((&[], &[]), |it| (it.name.as_bytes(), it.carrier.as_bytes()))
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("generation", &self.generation)
            .field("trunks", &self.trunks().count())
            .field("gateways", &self.gateways().count())
            .field("routes", &self.rows.len())
            .finish_non_exhaustive()
    }
}

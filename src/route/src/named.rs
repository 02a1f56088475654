//! Gateways that somebody else names: a caller by a Route of his own (RFC 3261 §16.4), a vendor by a
//! 3xx. What routing has to say about that all the same.
//!
//! Whoever chooses the gateway still may not choose the price. A gateway of the number's route is held
//! against what the customer pays and the margin of the plan, as if it had been found; one beside the
//! route, of which nobody can say whether it is a loss, is for calls without a price.

use base::GatewayId;

use crate::snapshot::AskedPlan;
use crate::{Ask, Candidates, NoRoute, Price, Snapshot};

/// Why a call may not go to the gateway that it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotThere {
    /// The customer pays nothing for the number, or there is no route to say what may be paid for it.
    NoRoute(NoRoute),
    /// The trunk or a block keeps its calls from there, or the price does.
    Kept,
}

impl Snapshot {
    /// The gateway that a call names as its only candidate, with what the customer pays for it.
    ///
    /// # Errors
    /// Why it may not go there.
    pub fn named(&self, ask: &Ask<'_>, gateway: GatewayId) -> Result<Candidates, NotThere> {
        if !self.may_go(ask.trunk, gateway, ask.number.digits(), ask.at) {
            return Err(NotThere::Kept);
        }
        let is_sold = self
            .trunk(ask.trunk)
            .is_some_and(|trunk| trunk.deck.is_some());
        let asked = match self.find_route(ask.number) {
            Ok(route) => self.asked(route, ask).map(|asked| (Some(route), asked)),
            Err(_) if !is_sold => Ok((None, AskedPlan::default())),
            Err(why) => Err(why),
        };
        let (route, asked) = asked.map_err(NotThere::NoRoute)?;
        let targets = route.map_or(&[][..], |route| &self.plan(route).targets);
        let place = targets.iter().position(|it| it.gateway == gateway);
        let is_fit = match place {
            Some(place) => asked.targets[place].unfit.is_none(),
            None => self.is_no_loss_beside(asked.sold, gateway),
        };
        if !is_fit {
            return Err(NotThere::Kept);
        }
        let mut only = Candidates::only(gateway);
        only.sold = asked.sold;
        Ok(only)
    }

    /// Whether a call may be led to a gateway that a vendor names: not to one that its own route left
    /// out for its price, nor to one beside the route of which nobody has asked whether it is a loss.
    #[must_use]
    pub fn may_follow(&self, candidates: &Candidates, gateway: GatewayId) -> bool {
        match candidates.iter().find(|it| it.gateway == gateway) {
            Some(candidate) => !candidate.is_forbidden(),
            None => self.is_no_loss_beside(candidates.sold, gateway),
        }
    }

    /// Whether a call may go to a gateway that is not of its route.
    fn is_no_loss_beside(&self, sold: Option<Price>, gateway: GatewayId) -> bool {
        let has_deck = self.gateway(gateway).is_some_and(|it| it.deck.is_some());
        sold.is_none() || !has_deck
    }
}

//! Calls that name their gateway themselves, by a Route of their own (RFC 3261 §16.4): what routing
//! has to say about it all the same.
//!
//! Whoever chooses the gateway still may not choose the price. A gateway of the number's route is held
//! against what the customer pays and the margin of the plan, as if it had been found; one beside the
//! route, of which nobody can say whether it is a loss, is for calls without a price.

use base::GatewayId;

use crate::snapshot::AskedPlan;
use crate::{Ask, Candidates, NoRoute, Snapshot};

/// Why a call may not go to the gateway that it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotThere {
    /// The customer pays nothing for the number, or there is no route to say what may be paid for it.
    NoRoute(NoRoute),
    /// The trunk or a block keeps its calls from there, or the price does.
    Kept,
}

impl Snapshot {
    /// Fills `out` with the gateway that a call names, and with what the customer pays for it.
    ///
    /// # Errors
    /// Why it may not go there.
    pub fn named(
        &self,
        ask: &Ask<'_>,
        gateway: GatewayId,
        out: &mut Candidates,
    ) -> Result<(), NotThere> {
        *out = Candidates::only(gateway);
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
            None => !is_sold || self.gateway(gateway).is_some_and(|it| it.deck.is_none()),
        };
        out.sold = asked.sold;
        is_fit.then_some(()).ok_or(NotThere::Kept)
    }
}

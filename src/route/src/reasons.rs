//! Why a gateway of a route stands where it stands, in words: for people, not for calls.

use crate::balance::Scales;
use crate::block;
use crate::snapshot::Target;
use crate::{Ask, Balance, Health, Mark, Mode, Moment, RouteId, Scene, Snapshot};

impl Snapshot {
    /// What put the target at `place` of a route where it is, beside its price: a sentence for each
    /// reason.
    pub(crate) fn reasons(
        &self,
        route: RouteId,
        place: usize,
        (ask, health): (&Ask<'_>, &Health),
        scene: &impl Scene,
    ) -> Vec<String> {
        let plan = self.plan(route);
        let target = &plan.targets[place];
        let mut told = Vec::new();
        let trunk = self.trunk(ask.trunk);
        let barred = trunk.and_then(|trunk| {
            block::barring(&trunk.blocks, target.gateway, ask.number.digits(), ask.at)
        });
        told.extend(barred.map(|block| block.to_string()));
        told.extend(self.hours(target, ask.at));
        let has_ranks = matches!(plan.mode, Mode::Balanced | Mode::Cost | Mode::Quality);
        if has_ranks
            && plan
                .targets
                .iter()
                .any(|it| it.priority != plan.targets[0].priority)
        {
            told.push(format!("priority {}", target.priority));
        }
        if has_ranks {
            let scales = Scales::new(
                plan.balance,
                (&plan.targets, &plan.seeds),
                ask,
                health,
                scene,
            );
            told.extend(scales.told(place));
        }
        told.extend(
            self.mark(route, place, ask, scene)
                .map(|mark| mark_told(&mark)),
        );
        told
    }

    /// `business-hours is closed, for 13 h 20 min more`
    fn hours(&self, target: &Target, at: Moment) -> Option<String> {
        let when = target.when?;
        let calendar = &self.calendars[usize::from(when.calendar)];
        let span = calendar.span(at);
        let state = if span.is_open { "open" } else { "closed" };
        let wanted = if when.is_open {
            ""
        } else {
            ", as it has to be"
        };
        let wanted = if span.is_open == when.is_open {
            wanted
        } else {
            ""
        };
        let until = match span.until {
            Moment::LAST => "and no change is known".to_owned(),
            until => format!("for {} more", length(until.0 - at.0)),
        };
        Some(format!("{} is {state}{wanted}, {until}", calendar.name))
    }
}

impl<S: Scene> Scales<'_, S> {
    /// What counts for a target, in words.
    fn told(&self, place: usize) -> Option<String> {
        let target = &self.targets[place];
        let weight = target.weight;
        let lot = || f64::from_bits(self.weigh(place));
        Some(match self.balance {
            Balance::Weighted => return None,
            Balance::LeastCalls => {
                let up = self.scene.calls_up(target.gateway);
                format!("{up} calls up for a weight of {weight}")
            }
            Balance::Caller => format!("drew {:.4} for the caller, the least is first", lot()),
            Balance::Called => {
                format!(
                    "drew {:.4} for the called number, the least is first",
                    lot()
                )
            }
            Balance::CallId => format!("drew {:.4} for the Call-ID, the least is first", lot()),
            Balance::Fastest => match self.health.round_trip(target.gateway, self.now) {
                Some(us) => format!("answers within {}.{} ms", us / 1_000, us / 100 % 10),
                None => "nobody knows how fast it answers".to_owned(),
            },
        })
    }
}

/// `gets 50 of 1,000 calls in its place: ASR 12.0 %, NER 30.0 %, PDD 3200 ms`
fn mark_told(mark: &Mark) -> String {
    let share = |name: &str, share: Option<u16>| {
        share.map(|it| format!("{name} {}.{} %", it / 10, it % 10))
    };
    let figures = [
        share("ASR", mark.asr),
        share("NER", mark.ner),
        mark.acd_s.map(|it| format!("ACD {it} s")),
        mark.pdd_ms.map(|it| format!("PDD {it} ms")),
        share("short", mark.short),
    ];
    let figures: Vec<String> = figures.into_iter().flatten().collect();
    let standing = match mark.admit_per_mille {
        1_000 => "good".to_owned(),
        admitted => format!("gets {admitted} of 1,000 calls in its place"),
    };
    match figures.is_empty() {
        true => format!("{standing}: too few calls to say more"),
        false => format!("{standing}: {}", figures.join(", ")),
    }
}

/// A time in the two largest of its units.
fn length(seconds: u32) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {seconds} s"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::length;

    #[test]
    fn lengths_in_their_two_largest_units() {
        let told = [0, 59, 60, 3_599, 3_600, 86_399, 86_400, 900_000].map(length);
        let want = [
            "0 s",
            "59 s",
            "1 min 0 s",
            "59 min 59 s",
            "1 h 0 min",
            "23 h 59 min",
            "1 d 0 h",
            "10 d 10 h",
        ];
        assert_eq!(told, want);
    }
}

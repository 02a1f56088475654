//! The configuration as the routing world and the shards want it.
//!
//! Pure mapping: what is checked is checked by `config` before and by `route::build` after.

use std::collections::HashMap;
use std::sync::Arc;

use config::{Apart, Balance, CalledStyle, CapSide, Config, Mode, PlainRule, Plan, UnknownSource};
use route::{
    AdvanceTable, BlockSpec, Bounds, CapRule, CapSpec, CarrierSpec, EgressFormat, EgressStyle,
    GatewaySpec, HeaderNames, HeaderRules, HealthRules, ListenerSpec, Margin, Moment, NumberFormat,
    Passes, PlanSpec, Probe, Profile, QualitySpec, Refuse, RouteSpec, ScreenSpec, Spec, TargetSpec,
    TrunkSpec, WhenSpec,
};

use crate::deck_files::Library;
use crate::list_files::Lists;

/// What a snapshot is built from, out of a configuration and the decks that it names.
///
/// # Errors
/// Currencies of which nobody says what they are worth.
pub fn spec(config: &Config, library: &Library, lists: &Lists) -> Result<Spec, Vec<String>> {
    Ok(Spec {
        listeners: config.listeners.iter().map(listener).collect(),
        coalesce: (config.listeners.iter())
            .map(|listener| coalesce(listener.coalesce))
            .collect(),
        trunks: config.trunks.iter().map(trunk).collect(),
        gateways: config.gateways.iter().map(gateway).collect(),
        routes: routes(&config.routes),
        decks: library.specs(config)?,
        rates: Arc::clone(&library.rates),
        lists: lists.specs(),
        qualities: config.qualities.iter().map(quality).collect(),
        carriers: config.carriers.iter().map(carrier).collect(),
        blocks: config.blocks.iter().map(block).collect(),
        caps: config.caps.iter().map(cap).collect(),
        caps_max: config.limits.caps_max,
        calendars: crate::hours::specs(&config.calendars, crate::now()),
        screen: screen(&config.screen),
        profiles: config.profiles.iter().map(profile).map(Arc::new).collect(),
        unknown_source: match config.sources.unknown {
            UnknownSource::Refuse => route::UnknownSource::Refuse,
            UnknownSource::Drop => route::UnknownSource::Drop,
        },
        gateways_max: config.limits.gateways_max,
    })
}

/// The bounds of each shard, out of a configuration; what it does not name keeps its default.
#[must_use]
pub fn shard_limits(config: &Config) -> shards::Limits {
    let limits = &config.limits;
    shards::Limits {
        inbox: limits.inbox,
        inbox_large: limits.inbox_large,
        packets: limits.packets,
        timers: limits.timers,
        sends: limits.sends,
        records: limits.records,
        notices: limits.notices,
        connections: limits.connections,
        connections_per_peer: limits.connections_per_peer,
        stream_buffer_bytes: limits.stream_buffer_bytes,
        stream_writes: limits.stream_writes,
        stream_packets: limits.stream_packets,
        message_bytes_max: limits.message_bytes_max,
        header_deadline_ms: limits.header_deadline_ms,
        idle_ms: limits.idle_ms,
        evict_idle_ms: limits.evict_idle_ms,
        connect_ms: limits.connect_ms,
        linger_ms: limits.linger_ms,
        batch: config.io.batch,
        busy_poll_us: config.io.busy_poll_us,
        gather_us: config.io.gather_us,
        huge_pages: config.node.huge_pages,
        receive_trains: config.io.receive_coalesced,
        ..shards::Limits::default()
    }
}

fn listener(listener: &config::Listener) -> ListenerSpec {
    ListenerSpec {
        name: listener.name.clone(),
        transport: listener.transport,
        address: listener.address,
    }
}

fn trunk(trunk: &config::Trunk) -> TrunkSpec {
    let numbers = &trunk.numbers;
    TrunkSpec {
        name: trunk.name.clone(),
        carrier: trunk.carrier.clone(),
        sources: trunk.sources.iter().map(source).collect(),
        number: NumberFormat {
            country_code: numbers.country_code.clone(),
            national_prefix: numbers.national_prefix.clone(),
            international_prefixes: numbers.international_prefixes.clone(),
            tech_prefixes: numbers.tech_prefixes.clone(),
            tech_prefix_required: numbers.tech_prefix_required,
            plain: match numbers.plain {
                PlainRule::International => route::PlainRule::International,
                PlainRule::National => route::PlainRule::National,
                PlainRule::Refuse => route::PlainRule::Refuse,
            },
        },
        rules: trunk.rules.clone(),
        profile: trunk.profile.clone(),
        allow: trunk.allow.clone(),
        max_call_seconds: trunk.max_call_seconds,
        limits: route::CallLimits {
            calls: trunk.max_calls,
            per_second: trunk.calls_per_second,
        },
        refuse: refuse(trunk.refuse),
        follow_redirects: trunk.follow_redirects,
        redirects: trunk.redirect,
        overload_weight: trunk.overload_weight,
        deck: trunk.deck.clone(),
        screen: screen(&trunk.screen),
        exclude: trunk.exclude.clone(),
        only: trunk.only.clone(),
    }
}

fn carrier(carrier: &config::Carrier) -> CarrierSpec {
    CarrierSpec {
        name: carrier.name.clone(),
        screen: screen(&carrier.screen),
    }
}

fn refuse(refuse: config::Refuse) -> Refuse {
    Refuse {
        status: refuse.status,
        retry_after_s: refuse.retry_after_s,
    }
}

fn block(block: &config::Block) -> BlockSpec {
    let (until, told) = match &block.until {
        Some((seconds, text)) => (Moment::at(*seconds), format!(", until {text}")),
        None => (Moment::LAST, String::new()),
    };
    BlockSpec {
        name: block.name.clone(),
        trunks: block.trunks.clone(),
        gateways: block.gateways.clone(),
        prefixes: block.prefixes.clone(),
        lists: block.lists.clone(),
        from: block.from.map_or(Moment::FIRST, Moment::at),
        until,
        words: format!("{} ({}{told})", block.reason, block.owner),
    }
}

fn cap(cap: &config::Cap) -> CapSpec {
    CapSpec {
        name: cap.name.clone(),
        side: match cap.side {
            CapSide::Trunks => route::CapSide::Trunks,
            CapSide::Gateways => route::CapSide::Gateways,
        },
        peers: cap.peers.clone(),
        lists: cap.lists.clone(),
        prefixes: cap.prefixes.clone(),
        apart: cap.apart.map(|apart| match apart {
            Apart::Peer => route::Apart::Peer,
            Apart::Carrier => route::Apart::Carrier,
        }),
        by_prefix: cap.by_prefix,
        rule: CapRule {
            limits: route::CallLimits {
                calls: cap.max_calls,
                per_second: cap.calls_per_second,
            },
            window_s: cap.window_s,
            window_calls: cap.window_calls,
            window_minutes: cap.window_minutes,
            window_cost: cap.window_cost,
            max_call_seconds: cap.max_call_seconds,
            only_tells: cap.only_tells,
            refuse: refuse(cap.refuse),
            tell_per_mille: cap.tell_at,
        },
    }
}

fn screen(screen: &config::Screen) -> ScreenSpec {
    ScreenSpec {
        block_called: screen.block_called.clone(),
        permit_called: screen.permit_called.clone(),
        block_calling: screen.block_calling.clone(),
        permit_calling: screen.permit_calling.clone(),
    }
}

fn profile(profile: &config::Profile) -> Profile {
    Profile {
        name: profile.name.clone(),
        is_trusted: profile.trusted,
        assert: profile.assert.as_ref().map(|assert| match assert {
            config::Assert::From => route::Assert::From,
            config::Assert::Uri(uri) => route::Assert::Uri(uri.clone()),
        }),
        passes: Passes {
            remote_party_id: profile.remote_party_id,
            diversion: profile.diversion,
            history_info: profile.history_info,
            identity: profile.identity,
        },
        headers: HeaderRules {
            deny: HeaderNames::new(&profile.deny),
            allow: profile.allow.as_deref().map(HeaderNames::new),
            set_from: profile.set_from.clone(),
            set_to: profile.set_to.clone(),
        },
    }
}

fn source(source: &config::Source) -> route::Source {
    route::Source {
        network: source.network.address,
        bits: source.network.bits,
        port: source.port,
        transport: source.transport,
    }
}

fn gateway(gateway: &config::Gateway) -> GatewaySpec {
    GatewaySpec {
        name: gateway.name.clone(),
        carrier: gateway.carrier.clone(),
        address: gateway.address,
        transport: gateway.transport,
        listener: gateway.listener.clone(),
        domain: gateway.domain.clone(),
        called: EgressFormat {
            style: match gateway.format {
                CalledStyle::E164Plus => EgressStyle::E164Plus,
                CalledStyle::E164 => EgressStyle::E164,
                CalledStyle::Dialled => EgressStyle::Dialled,
            },
            strip: gateway.strip,
            prefix: gateway.prefix.clone(),
        },
        keep_parameters: gateway.keep_parameters.clone(),
        rules: gateway.rules.clone(),
        profile: gateway.profile.clone(),
        maintenance: gateway.maintenance,
        probe: gateway.probe.map(|probe| Probe {
            interval_ms: probe.interval_ms,
            jitter_percent: probe.jitter_percent,
            timeout_ms: probe.timeout_ms,
            down_after: probe.down_after,
            up_after: probe.up_after,
        }),
        health: HealthRules {
            down_after: gateway.health.down_after,
            hold_down_ms: gateway.health.hold_down_ms,
            slow_return_ms: gateway.health.slow_return_ms,
        },
        no_response_ms: gateway.no_response_ms,
        coalesce: gateway.coalesce.map(coalesce),
        overload_control: gateway.overload_control,
        limits: route::CallLimits {
            calls: gateway.max_calls,
            per_second: gateway.calls_per_second,
        },
        deck: gateway.deck.clone(),
    }
}

fn quality(class: &config::Quality) -> QualitySpec {
    QualitySpec {
        name: class.name.clone(),
        bounds: Bounds {
            asr_min: class.min_asr,
            ner_min: class.min_ner,
            acd_s_min: class.min_acd_s,
            pdd_ms_max: class.max_pdd_ms,
            short_max: class.max_short,
            short_s: class.short_s,
        },
        digits: class.digits,
        window_s: class.window_s,
        sample: class.sample,
        trial_per_mille: class.trial,
        return_s: class.return_s,
        skips: class.below == config::Below::Skip,
    }
}

fn coalesce(word: config::Coalesce) -> route::Coalesce {
    match word {
        config::Coalesce::Off => route::Coalesce::Off,
        config::Coalesce::OwnParameters => route::Coalesce::OwnParameters,
        config::Coalesce::Trailing => route::Coalesce::Trailing,
    }
}

/// Routes that share a plan in the configuration share one here: a deck of a million rows has few.
fn routes(routes: &[config::Route]) -> Vec<RouteSpec> {
    let mut plans: HashMap<*const Plan, Arc<PlanSpec>> = HashMap::new();
    let route = |route: &config::Route| {
        let plan = plans
            .entry(Arc::as_ptr(&route.plan))
            .or_insert_with(|| Arc::new(plan(&route.plan)));
        RouteSpec {
            prefix: route.prefix.clone(),
            plan: Arc::clone(plan),
        }
    };
    routes.iter().map(route).collect()
}

fn plan(plan: &Plan) -> PlanSpec {
    let target = |target: &config::Target| TargetSpec {
        gateway: target.gateway.clone(),
        weight: target.weight,
        priority: target.priority,
        when: target.when.as_ref().map(|when| WhenSpec {
            calendar: when.calendar.clone(),
            is_open: when.is_open,
        }),
    };
    let advance = plan.advance.as_deref().map(AdvanceTable::from_words);
    PlanSpec {
        targets: plan.targets.iter().map(target).collect(),
        mode: match plan.mode {
            Mode::Ordered => route::Mode::Ordered,
            Mode::Weighted => route::Mode::Weighted,
            Mode::Cost => route::Mode::Cost,
            Mode::Balanced => route::Mode::Balanced,
            Mode::Quality => route::Mode::Quality,
            Mode::Parallel => route::Mode::Parallel,
        },
        balance: match plan.balance {
            Balance::Weighted => route::Balance::Weighted,
            Balance::LeastCalls => route::Balance::LeastCalls,
            Balance::Caller => route::Balance::Caller,
            Balance::Called => route::Balance::Called,
            Balance::CallId => route::Balance::CallId,
            Balance::Fastest => route::Balance::Fastest,
        },
        quality: plan.quality.clone(),
        advance: advance.map_or_else(AdvanceTable::default, |table| {
            table.expect("the configuration has checked the words")
        }),
        attempts_max: plan.attempts_max,
        ring_ms: plan.ring_ms,
        setup_ms: plan.setup_ms,
        margin: match plan.margin {
            config::Margin::Permille(parts) => Margin::Permille(parts),
            config::Margin::Amount(amount) => Margin::Amount(amount),
            config::Margin::Any => Margin::Any,
        },
        call_seconds: plan.call_seconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Loaded;

    const HEAD: &str = "[[listener]]\nname = \"udp\"\naddress = \"192.0.2.1\"\n\
                        [[gateway]]\nname = \"a\"\naddress = \"192.0.2.2\"\n\
                        [[gateway]]\nname = \"b\"\naddress = \"192.0.2.3\"\n";

    fn parsed(tables: &str) -> Config {
        let text = format!("{HEAD}{tables}");
        Config::parse("world.toml", &text).unwrap_or_else(|errors| panic!("{errors:#?}"))
    }

    #[test]
    fn defaults_of_both_sides_agree() {
        let config = parsed(
            "[[gateway]]\nname = \"c\"\naddress = \"192.0.2.4\"\nprobe = {}\n\
             [[trunk]]\nname = \"t\"\nsources = [\"192.0.2.0/24\"]\n\
             [[route]]\nprefix = \"49\"\ngateways = [\"a\"]\n",
        );
        assert_eq!(shard_limits(&config), shards::Limits::default());
        let spec = spec(&config, &Library::default(), &Lists::default()).unwrap();
        let address = "192.0.2.4:5060".parse().unwrap();
        let want = GatewaySpec {
            probe: Some(Probe::default()),
            ..GatewaySpec::new("c", address)
        };
        assert_eq!(spec.gateways[2], want);
        assert_eq!(*spec.routes[0].plan, PlanSpec::ordered(&["a"]));
        let want = TrunkSpec::new("t", route::Source::parse("192.0.2.0/24").unwrap());
        let number = NumberFormat {
            international_prefixes: vec!["00".to_owned()],
            ..want.number
        };
        assert_eq!(spec.trunks[0], TrunkSpec { number, ..want });
    }

    #[test]
    fn bounds_of_both_sides_agree() {
        assert_eq!(config::TARGETS_MAX, route::limits::TARGETS_MAX);
        assert_eq!(config::WEIGHT_MAX, route::limits::WEIGHT_MAX);
        assert_eq!(config::PRIORITY_MAX, route::limits::PRIORITY_MAX);
        assert_eq!(config::DIGITS_MAX, route::limits::DIGITS_MAX);
        assert_eq!(
            config::DESTINATION_DIGITS_MAX,
            route::DESTINATION_DIGITS_MAX
        );
        assert_eq!(config::CALENDARS_MAX, route::limits::CALENDARS_MAX);
        assert_eq!(
            config::TECH_PREFIX_BYTES_MAX,
            route::limits::TECH_PREFIX_BYTES_MAX
        );
    }

    #[test]
    fn every_advance_word_is_known_to_both_sides() {
        let config = parsed(
            "[[route]]\nprefix = \"49\"\ngateways = [{ name = \"a\", weight = 3 }, \"b\"]\n\
             advance = [\"404\", \"486\", \"3xx\", \"4xx\", \"5xx\", \"6xx\", \"699\", \"timeout\", \"no-answer\"]\n",
        );
        let plan = &spec(&config, &Library::default(), &Lists::default())
            .unwrap()
            .routes[0]
            .plan;
        assert_eq!(plan.mode, route::Mode::Weighted);
        assert!(plan.advance.advances(486) && plan.advance.advances_on_no_answer());
        assert!(!plan.advance.advances(603));
    }

    #[test]
    fn routes_of_one_plan_share_it() {
        let config =
            parsed("[[route]]\nprefix = [\"49\", \"43\", \"*\"]\ngateways = [\"a\", \"b\"]\n");
        let routes = spec(&config, &Library::default(), &Lists::default())
            .unwrap()
            .routes;
        assert!(
            routes
                .iter()
                .all(|route| Arc::ptr_eq(&route.plan, &routes[0].plan))
        );
    }

    #[test]
    fn every_sample_builds() {
        for sample in ["demo", "bench", "example"] {
            let path = format!("{}/../../config/{sample}.toml", env!("CARGO_MANIFEST_DIR"));
            let config = Config::load(&path).unwrap_or_else(|errors| panic!("{errors:#?}"));
            let built = Loaded::from_config(config, 1, None);
            assert!(built.is_ok(), "{sample}: {:?}", built.err());
        }
    }
}

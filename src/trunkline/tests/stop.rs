//! Stopping under load: what was answered is in the CDRs.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use std::path::PathBuf;
use std::time::Duration;

use harness::{Gateway, PATIENCE, Router, Scene, tables, wait_for};
use perf::Figures;
use perf::peers::{Caller, CallerSpec, Habit, Vendor, VendorSpec};
use perf::truth::{Strictness, Truth, Verdict, read_truth};

const RATE: u32 = 100;

/// The router was stopped while calls were up; the machine may be busy.
const CUT: Strictness = Strictness {
    tolerance_us: 1_000_000,
    is_cut: true,
};

/// A router that carries calls, and if wanted one that rings for ever, for which a drain waits.
struct Traffic {
    caller: Caller,
    truth: PathBuf,
    router: Router,
    _ringing: Option<Caller>,
    _vendors: [Vendor; 2],
    _scene: Scene,
}

impl Traffic {
    /// Calls of length `hold`, of which `up` were answered when this returns.
    fn start(hold: Duration, drain_ms: u32, up: u64, is_one_ringing: bool) -> Traffic {
        let scene = Scene::new();
        let [customer, at, vendor, patient] = [(); 4].map(|()| scene.address());
        let drain = format!("[drain]\ndeadline_ms = {drain_ms}\n\n");
        let tables = tables(customer.ip(), &[Gateway::udp("first", vendor)], "");
        let ringing = format!(
            "[[gateway]]\nname = \"patient\"\naddress = \"{patient}\"\ntransport = \"udp\"\n\n\
             [[route]]\nprefix = \"44\"\ngateways = [\"patient\"]\n"
        );
        let router = scene.router(&format!("{}{drain}{tables}{ringing}", scene.head(&[at])));
        let vendors = [(vendor, 20), (patient, 3_600_000)].map(|(bind, answer_ms)| {
            let ring = Duration::from_millis(5);
            let answer = Duration::from_millis(answer_ms);
            Vendor::start(VendorSpec::new(bind, Habit::Answers { ring, answer })).unwrap()
        });
        let ringing = is_one_ringing.then(|| {
            let mut spec = CallerSpec::new(scene.port_of(customer.ip()), at, 1);
            spec.numbers = vec!["+442079460000".to_owned()];
            spec.calls_max = 1;
            spec.patience = Duration::from_secs(3600);
            let caller = Caller::start(spec).unwrap();
            wait_for("it rings", PATIENCE, || {
                (vendors[1].figures().active > 0).then_some(())
            });
            caller
        });
        let truth = scene.path("caller.truth");
        let mut spec = CallerSpec::new(customer, at, RATE);
        spec.hold = hold;
        spec.truth = Some(truth.clone());
        let caller = Caller::start(spec).unwrap();
        wait_for("calls are up", PATIENCE, || {
            (caller.figures().answered >= up).then_some(())
        });
        Traffic {
            caller,
            truth,
            router,
            _ringing: ringing,
            _vendors: vendors,
            _scene: scene,
        }
    }

    /// Once the router is gone: each call that was answered has its one CDR.
    fn check(mut self) -> (Figures, Truth, Verdict, Vec<serde_json::Value>) {
        let status = self.router.wait_exit(PATIENCE);
        assert!(status.success(), "{status}");
        let figures = self.caller.stop(Duration::ZERO).unwrap();
        let mut truth = Truth::new();
        read_truth(&self.truth, &mut truth).unwrap();
        let mut cdrs = self.router.cdrs();
        // The call that rang is not in the truth of the other caller.
        let told = self.truth.with_extension("all");
        let mut text = std::fs::read_to_string(&self.truth).unwrap();
        for cdr in cdrs.iter().filter(|cdr| cdr["egress_gateway"] == "patient") {
            let call_id = cdr["call_id"].as_str().unwrap();
            text.push_str(&format!("failed {call_id} 0 0 503\n"));
        }
        std::fs::write(&told, text).unwrap();
        let verdict = self.router.judge(&[&told], CUT);
        assert_eq!(verdict.answered, figures.answered, "{figures:?}");
        cdrs.retain(|cdr| cdr["egress_gateway"] != "patient");
        (figures, truth, verdict, cdrs)
    }
}

#[test]
fn term_under_load_loses_no_answered_call() {
    let traffic = Traffic::start(Duration::from_secs(1), 20_000, 200, false);
    traffic.router.signal("TERM");
    let (_, _, verdict, cdrs) = traffic.check();
    assert!(verdict.answered >= 200);
    // Requests that were taken are finished; calls that are up do not hold the process.
    for cdr in cdrs.iter().filter(|cdr| cdr["answered"].is_null()) {
        assert_ne!(cdr["cause"], "shutdown", "{cdr}");
    }
}

#[test]
fn while_it_drains_calls_end_and_none_begins() {
    let traffic = Traffic::start(Duration::from_secs(1), 3_000, 200, true);
    traffic.router.signal("TERM");
    let (figures, truth, _, cdrs) = traffic.check();
    for cdr in &cdrs {
        assert_ne!(cdr["cause"], "shutdown", "its BYE came in time: {cdr}");
    }
    assert!(figures.failed > 0, "{figures:?}");
    for seen in truth.values() {
        assert!(matches!(seen.failed, None | Some(503)), "{seen:?}");
    }
}

#[test]
fn calls_that_are_up_at_the_end_are_closed_by_it() {
    let traffic = Traffic::start(Duration::from_secs(3600), 1_000, 100, true);
    traffic.router.signal("TERM");
    let (_, _, _, cdrs) = traffic.check();
    let mut closed = 0;
    for cdr in cdrs.iter().filter(|cdr| !cdr["answered"].is_null()) {
        assert_eq!(cdr["cause"], "shutdown", "{cdr}");
        assert_eq!(cdr["hung_up"], "router", "{cdr}");
        closed += 1;
    }
    assert!(closed >= 100, "{closed}");
}

#[test]
fn a_second_term_does_not_wait() {
    let traffic = Traffic::start(Duration::from_secs(3600), 3_600_000, 100, true);
    traffic.router.signal("TERM");
    // It lives on: new calls are refused, and the call that rings holds it.
    wait_for("refusals", PATIENCE, || {
        (traffic.caller.figures().failed >= 10).then_some(())
    });
    traffic.router.signal("TERM");
    let (_, _, verdict, _) = traffic.check();
    assert!(verdict.answered >= 100);
}

//! What caps counted is kept over a restart, and told before it is too late.
//!
//! Once a second what is in the windows is written beside the file that it replaces, and put in its
//! place: a node that is killed forgets a second of it at most. Calls at a time begin with none, as the
//! calls themselves do.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Money;
use jiff::Timestamp;
use route::{CapId, CapRule, Kept, Snapshot, Used, Windows};
use serde_json::{Value, json};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::task::spawn_blocking;

use crate::view::{Cell, View};

/// What of a cap's cell is up at the moment.
pub type CapsUp = Arc<dyn Fn(CapId) -> u32 + Send + Sync>;

/// What the shards count of caps.
#[derive(Clone)]
pub struct Caps {
    /// What was used in the windows.
    pub windows: Arc<Windows>,
    /// Calls at a time.
    pub up: CapsUp,
}

impl std::fmt::Debug for Caps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caps").finish_non_exhaustive()
    }
}

/// One cell as it stands.
#[derive(Clone, Debug)]
pub(crate) struct CapRow {
    pub(crate) name: String,
    pub(crate) rule: CapRule,
    pub(crate) up: u32,
    pub(crate) used: Used,
    pub(crate) refused: u64,
    pub(crate) told: u64,
}

impl Caps {
    /// All cells of a world, by name.
    pub(crate) fn rows(&self, world: &Snapshot) -> Vec<CapRow> {
        let now = self.windows.now();
        let mut rows: Vec<CapRow> = world
            .caps()
            .map(|(id, rule)| {
                let (refused, told) = self.windows.exceeded(id);
                CapRow {
                    name: world.cap_name(id).to_owned(),
                    rule: *rule,
                    up: (self.up)(id),
                    used: self.windows.used(id, now),
                    refused,
                    told,
                }
            })
            .collect();
        rows.sort_by(|one, other| one.name.cmp(&other.name));
        rows
    }
}

impl CapRow {
    /// Of each of its bounds, how much of it is used, in thousandths.
    fn shares(&self) -> [Option<u64>; BOUNDS.len()] {
        let share = |used: u64, most: Option<u64>| {
            let most = most.filter(|&most| most > 0)?;
            Some(used.saturating_mul(1_000) / most)
        };
        let rule = &self.rule;
        let wide = |it: Option<u32>| it.map(u64::from);
        let parts = |money: Money| u64::try_from(money.parts()).unwrap_or(0);
        let talked_ms = u64::try_from(self.used.talked_ms).unwrap_or(0);
        let minutes = rule.window_minutes.map(|it| u64::from(it) * 60_000);
        [
            share(self.up.into(), wide(rule.limits.calls)),
            share(self.used.calls, wide(rule.window_calls)),
            share(talked_ms, minutes),
            share(parts(self.used.cost()), rule.window_cost.map(parts)),
        ]
    }

    /// The largest of these.
    fn fullest(&self) -> u64 {
        self.shares().into_iter().flatten().max().unwrap_or(0)
    }

    /// Its numbers for the metrics.
    pub(crate) fn cells(&self) -> Vec<(Cell, u64)> {
        let talked_s = u64::try_from(self.used.talked_ms).unwrap_or(0) / 1_000;
        let micros = u64::try_from(self.used.cost().parts()).unwrap_or(0) / 100;
        vec![
            (
                ("calls", "Calls that the cap counts at the moment.", true),
                self.up.into(),
            ),
            (
                ("window_calls", "Calls that began in its window.", true),
                self.used.calls,
            ),
            (
                (
                    "window_seconds",
                    "Seconds that calls talked in its window.",
                    true,
                ),
                talked_s,
            ),
            (
                (
                    "window_cost_micros",
                    "What calls cost in its window, in millionths of the common currency.",
                    true,
                ),
                micros,
            ),
            (
                (
                    "used_permille",
                    "The largest share of one of its bounds that is used.",
                    true,
                ),
                self.fullest(),
            ),
            (
                ("refused", "Calls and attempts that it refused.", false),
                self.refused,
            ),
            (
                (
                    "told",
                    "Calls and attempts beyond it that it let through.",
                    false,
                ),
                self.told,
            ),
        ]
    }

    /// As the stats write it.
    pub(crate) fn report(&self) -> Value {
        json!({
            "cap": self.name,
            "allows": self.rule.to_string(),
            "calls": self.up,
            "window_calls": self.used.calls,
            "window_seconds": self.used.talked_ms / 1_000,
            "window_cost": self.used.cost().to_string(),
            "used_permille": self.fullest(),
            "refused": self.refused,
            "told": self.told,
        })
    }
}

/// Tells when a cap is nearly used up, and when it refuses.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seen: BTreeMap<String, Seen>,
}

/// What a cap bounds, for people.
const BOUNDS: [&str; 4] = [
    "calls at a time",
    "calls in the window",
    "minutes in the window",
    "money in the window",
];

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// By bound.
    is_near: [bool; BOUNDS.len()],
    exceeded: u64,
    /// The look at which it was told last, if that is not long ago.
    told_at: Option<u64>,
}

/// How many looks go by before the same cap is told of again.
const QUIET_LOOKS: u64 = 60;

/// What is to be told of a cap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Alarm {
    /// So many thousandths of one of its bounds are used, and of which.
    Near(String, u64, &'static str),
    /// So many calls and attempts went beyond it since it was told last.
    Beyond(String, u64),
}

impl Watch {
    /// Looks at all caps, once a second: `look` counts up.
    pub(crate) fn look(&mut self, rows: &[CapRow], look: u64) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        let mut before = std::mem::take(&mut self.seen);
        for row in rows {
            let mut seen = before.remove(&row.name).unwrap_or_default();
            let near = u64::from(row.rule.tell_per_mille);
            for (at, share) in row.shares().into_iter().enumerate() {
                let (is_near, share) = (&mut seen.is_near[at], share.unwrap_or(0));
                if !*is_near && share >= near {
                    alarms.push(Alarm::Near(row.name.clone(), share, BOUNDS[at]));
                }
                // It has to fall a tenth below before it is told again.
                *is_near = share >= near || *is_near && share * 10 >= near * 9;
            }
            let exceeded = row.refused + row.told;
            let is_quiet = seen.told_at.is_some_and(|at| look < at + QUIET_LOOKS);
            if exceeded > seen.exceeded && !is_quiet {
                alarms.push(Alarm::Beyond(row.name.clone(), exceeded - seen.exceeded));
                seen = Seen {
                    exceeded,
                    told_at: Some(look),
                    ..seen
                };
            }
            self.seen.insert(row.name.clone(), seen);
        }
        alarms
    }
}

/// Writes what is to be told into the log.
pub(crate) fn tell(alarms: Vec<Alarm>) {
    for alarm in alarms {
        match alarm {
            Alarm::Near(cap, share, what) => {
                let share = format!("{}.{} %", share / 10, share % 10);
                tracing::warn!(cap, share, "cap: nearly used up: {what}");
            }
            Alarm::Beyond(cap, count) => {
                tracing::warn!(cap, count, "cap: calls went beyond it, see their records");
            }
        }
    }
}

/// The file in which windows are kept.
#[derive(Debug)]
pub(crate) struct Keeper {
    path: Option<PathBuf>,
    writing: Option<oneshot::Receiver<io::Result<()>>>,
    written: Value,
    is_failing: bool,
}

const FILE: &str = "caps.json";
const FORMAT: u64 = 1;

impl Keeper {
    pub(crate) fn new(folder: Option<&Path>) -> Keeper {
        Keeper {
            path: folder.map(|folder| folder.join(FILE)),
            writing: None,
            written: Value::Null,
            is_failing: false,
        }
    }

    /// Keeps what is in the windows, if that has changed and the last time is done.
    pub(crate) fn keep(&mut self, view: &View) {
        match self.writing.as_mut().map(oneshot::Receiver::try_recv) {
            Some(Err(TryRecvError::Empty)) => return,
            Some(Ok(done)) => self.note(done),
            Some(Err(TryRecvError::Closed)) | None => {}
        }
        self.writing = None;
        if let Some((path, text)) = self.next(view) {
            let (done, writing) = oneshot::channel();
            spawn_blocking(move || done.send(replace(&path, &text)));
            self.writing = Some(writing);
        }
    }

    /// The same, at the end of the node.
    pub(crate) fn keep_last(&mut self, view: &View) {
        if let Some((path, text)) = self.next(view) {
            let done = replace(&path, &text);
            self.note(done);
        }
    }

    fn next(&mut self, view: &View) -> Option<(PathBuf, String)> {
        let path = self.path.clone()?;
        let caps = kept(&view.caps_table().windows, &view.snapshot());
        if caps == self.written || self.written.is_null() && caps == json!({}) {
            return None;
        }
        let whole =
            json!({ "format": FORMAT, "saved": Timestamp::now().to_string(), "caps": caps });
        self.written = caps;
        Some((path, whole.to_string()))
    }

    fn note(&mut self, done: io::Result<()>) {
        if let Err(error) = &done
            && !self.is_failing
        {
            let path = self
                .path
                .as_deref()
                .unwrap_or(Path::new(FILE))
                .display()
                .to_string();
            tracing::error!(path, %error, "caps: what their windows used cannot be kept; a restart would forget it");
        }
        if done.is_err() {
            self.written = Value::Null;
        }
        self.is_failing = done.is_err();
    }
}

fn kept(windows: &Windows, world: &Snapshot) -> Value {
    let with_window = world.caps().filter(|(_, rule)| rule.has_window());
    let rows = with_window.filter_map(|(id, rule)| {
        let kept = windows.keep(id, rule)?;
        let since: Vec<_> = (kept.since.iter())
            .map(|used| json!([used.calls, used.talked_ms, used.spent]))
            .collect();
        let row = json!({ "window_s": kept.window_s, "since": since });
        Some((world.cap_name(id).to_owned(), row))
    });
    Value::Object(rows.collect())
}

/// A reader finds the old file or the new one, whole.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, text)?;
    fs::rename(&beside, path)
}

/// Takes up what was kept when the node ran last. What cannot be read is told, and counts from nothing.
pub(crate) fn resume(folder: Option<&Path>, windows: &Windows, world: &Snapshot) {
    let Some(path) = folder.map(|folder| folder.join(FILE)) else {
        return;
    };
    let told = match fs::read_to_string(&path) {
        Ok(text) => resume_text(&text, windows, world, Timestamp::now()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => Err(error.to_string()),
    };
    let path = path.display().to_string();
    match told {
        Ok(0) => {}
        Ok(count) => tracing::info!(path, count, "caps: their windows go on where they were"),
        Err(error) => {
            tracing::error!(
                path,
                error,
                "caps: what their windows used is not to be read; they begin with nothing"
            );
        }
    }
}

fn resume_text(
    text: &str,
    windows: &Windows,
    world: &Snapshot,
    now: Timestamp,
) -> Result<usize, String> {
    let file: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if file["format"] != FORMAT {
        return Err(format!("its format is {}, not {FORMAT}", file["format"]));
    }
    let saved = file["saved"].as_str().unwrap_or_default();
    let saved: Timestamp = saved.parse().map_err(|error| format!("`saved`: {error}"))?;
    let ago_ms = now.as_millisecond().saturating_sub(saved.as_millisecond());
    let ago_ms = u64::try_from(ago_ms).unwrap_or(0);
    let rows = file["caps"].as_object().ok_or("it has no `caps`")?;
    let mut count = 0;
    for (id, rule) in world.caps() {
        let Some(row) = rows.get(world.cap_name(id)) else {
            continue;
        };
        let kept = read_kept(row).ok_or_else(|| format!("`{}`", world.cap_name(id)))?;
        windows.resume(id, rule, &kept, ago_ms);
        count += 1;
    }
    Ok(count)
}

fn read_kept(row: &Value) -> Option<Kept> {
    let used = |row: &Value| {
        Some(Used {
            calls: row[0].as_u64()?,
            talked_ms: row[1].as_i64()?,
            spent: row[2].as_i64()?,
        })
    };
    let since = row["since"].as_array()?.iter().map(used);
    Some(Kept {
        window_s: u32::try_from(row["window_s"].as_u64()?).ok()?,
        since: since.collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use route::{CallLimits, CapSpec, Source, Spec, TrunkSpec, build};

    fn row(up: u32, refused: u64) -> CapRow {
        CapRow {
            name: "premium".to_owned(),
            rule: CapRule {
                limits: CallLimits {
                    calls: Some(10),
                    per_second: None,
                },
                ..CapRule::default()
            },
            up,
            used: Used::default(),
            refused,
            told: 0,
        }
    }

    #[test]
    fn a_cap_is_told_once_until_it_has_fallen() {
        let mut watch = Watch::default();
        let mut look = |at: u64, up: u32, refused: u64| watch.look(&[row(up, refused)], at);
        let near = |share| Alarm::Near("premium".to_owned(), share, "calls at a time");
        let beyond = |count| Alarm::Beyond("premium".to_owned(), count);
        assert_eq!(look(0, 7, 0), []);
        assert_eq!(look(1, 8, 0), [near(800)]);
        assert_eq!(look(2, 10, 3), [beyond(3)]);
        // It wavers, and goes on refusing.
        assert_eq!(look(3, 8, 5), []);
        assert_eq!(look(62, 10, 9), [beyond(6)]);
        assert_eq!(look(63, 7, 9), []);
        assert_eq!(look(64, 9, 9), [near(900)]);
    }

    fn world(names: &[&str]) -> Snapshot {
        let cap = |name: &&str| CapSpec {
            name: (*name).to_owned(),
            side: route::CapSide::Trunks,
            peers: Vec::new(),
            lists: Vec::new(),
            prefixes: Vec::new(),
            apart: None,
            by_prefix: false,
            rule: CapRule {
                window_calls: Some(100),
                ..CapRule::default()
            },
        };
        let source = Source::parse("192.0.2.0/24").unwrap();
        let spec = Spec {
            trunks: vec![TrunkSpec::new("t", source)],
            caps: names.iter().map(cap).collect(),
            ..Spec::default()
        };
        build(&spec, 1, None).expect("a world")
    }

    #[test]
    fn windows_go_on_after_a_restart() {
        let used = |calls| Used {
            calls,
            talked_ms: 5_000,
            spent: -3,
        };
        let (before, after) = (world(&["a", "b"]), world(&["b", "c"]));
        let windows = Windows::new(1, 8);
        let kept = Kept {
            window_s: 3_600,
            since: vec![used(7); route::STEPS],
        };
        let (id, rule) = before.caps().nth(1).expect("two cells");
        windows.resume(id, rule, &kept, 0);
        let text = json!({ "format": 1, "saved": "2026-11-22T10:00:00Z", "caps": super::kept(&windows, &before) });
        let next = Windows::new(1, 8);
        let at: Timestamp = "2026-11-22T10:00:01Z".parse().unwrap();
        assert_eq!(resume_text(&text.to_string(), &next, &after, at), Ok(1));
        let (id, _) = after
            .caps()
            .find(|(id, _)| after.cap_name(*id) == "b")
            .unwrap();
        assert_eq!(next.used(id, next.now()), used(7));
        for (bad, want) in [
            ("", "EOF"),
            ("{}", "its format is null"),
            (r#"{"format":1}"#, "`saved`"),
            (
                r#"{"format":1,"saved":"2026-11-22T10:00:00Z"}"#,
                "it has no `caps`",
            ),
            (
                r#"{"format":1,"saved":"2026-11-22T10:00:00Z","caps":{"b":{"since":[1]}}}"#,
                "`b`",
            ),
        ] {
            let why = resume_text(bad, &next, &after, at).expect_err(bad);
            assert!(why.contains(want), "{bad}: {why}");
        }
    }
}

//! Line charts as SVG text: no script, no font, no file beside it.

use std::fmt::Write as _;

use crate::compare::median::number;

/// A chart.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
    /// Horizontal lines with a word: a floor, a goal.
    pub(crate) lines: Vec<(f64, String)>,
}

/// An axis: what it shows, and on which scale.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) label: String,
    pub(crate) scale: Scale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From 0.
    Linear,
    /// By powers of ten; values of 0 and less are left out.
    Log,
}

/// One line of the chart.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) label: String,
    pub(crate) style: Style,
    pub(crate) dots: Vec<Dot>,
}

/// How a line is drawn: by class, so that the page's colours decide (light and dark).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// `s0` to `s7` of the page's palette.
    pub(crate) colour: usize,
    /// Whether the line is dashed.
    pub(crate) is_dashed: bool,
}

/// A reading with its spread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dot {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

const WIDTH: f64 = 1058.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = 300.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 52.0;
const PLOT_HEIGHT: f64 = 340.0;
const LEGEND_STEP: f64 = 22.0;

/// The values an axis spans, and its ticks.
struct Range {
    scale: Scale,
    from: f64,
    to: f64,
    ticks: Vec<f64>,
}

impl Range {
    fn of(scale: Scale, values: &[f64]) -> Range {
        let usable = |x: &&f64| x.is_finite() && (scale == Scale::Linear || **x > 0.0);
        let greatest = values.iter().filter(usable).copied().fold(0.0, f64::max);
        let least = values
            .iter()
            .filter(usable)
            .copied()
            .fold(f64::MAX, f64::min);
        match scale {
            Scale::Linear => {
                let step = step(greatest.max(f64::MIN_POSITIVE) / 6.0);
                let count = (greatest / step).ceil().max(1.0);
                let ticks = (0..=count as usize).map(|n| n as f64 * step).collect();
                let to = count * step;
                Range {
                    scale,
                    from: 0.0,
                    to,
                    ticks,
                }
            }
            Scale::Log => {
                let greatest = if greatest > 0.0 { greatest } else { 10.0 };
                let least = least.min(greatest);
                let ticks = log_ticks(least, greatest);
                let (from, to) = (ticks[0], ticks[ticks.len() - 1]);
                Range {
                    scale,
                    from,
                    to,
                    ticks,
                }
            }
        }
    }

    /// 0 at the axis' beginning, 1 at its end; none for what it cannot show.
    fn place(&self, value: f64) -> Option<f64> {
        let place = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log if value <= 0.0 => return None,
            Scale::Log => (value / self.from).ln() / (self.to / self.from).ln(),
        };
        (place.is_finite() && (-0.001..=1.001).contains(&place)).then_some(place)
    }
}

/// The next of 1, 2, 5 times a power of ten.
fn step(raw: f64) -> f64 {
    let power = 10_f64.powf(raw.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let factor = factors
        .iter()
        .find(|factor| **factor * power >= raw * 0.999);
    factor.unwrap_or(&10.0) * power
}

/// 1, 2, 5 times powers of ten around the values; powers of ten alone if that were too many.
fn log_ticks(least: f64, greatest: f64) -> Vec<f64> {
    let (low, high) = (least.log10().floor() as i32, greatest.log10().ceil() as i32);
    let factors: &[f64] = if high - low > 4 {
        &[1.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    let all: Vec<f64> = (low..=high)
        .flat_map(|power| {
            factors
                .iter()
                .map(move |factor| factor * 10_f64.powi(power))
        })
        .collect();
    let first = all
        .iter()
        .rposition(|tick| *tick <= least * 1.0001)
        .unwrap_or(0);
    let last = all.iter().position(|tick| *tick >= greatest * 0.9999);
    let last = last
        .unwrap_or(all.len() - 1)
        .max(first + 1)
        .min(all.len() - 1);
    all[first..=last].to_vec()
}

impl Chart {
    /// The chart as one `<svg>` element.
    pub(crate) fn svg(&self) -> String {
        let dots = || self.series.iter().flat_map(|series| &series.dots);
        let xs: Vec<f64> = dots().map(|dot| dot.x).collect();
        let mut ys: Vec<f64> = dots().flat_map(|dot| [dot.least, dot.greatest]).collect();
        ys.extend(self.lines.iter().map(|(y, _)| *y));
        let (x, y) = (Range::of(self.x.scale, &xs), Range::of(self.y.scale, &ys));
        let legend = self.series.len() as f64 * LEGEND_STEP + TOP;
        let height = (TOP + PLOT_HEIGHT + BOTTOM).max(legend);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n",
            escape(&self.title)
        );
        self.axes(&mut svg, &x, &y);
        for (value, word) in &self.lines {
            let Some(at) = y.place(*value).map(y_at) else {
                continue;
            };
            let (right, word_x) = (WIDTH - RIGHT, WIDTH - RIGHT - 6.0);
            let word = escape(word);
            put(
                &mut svg,
                &format!(
                    "<line class=\"mark\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\"/>\
                 <text class=\"markword\" x=\"{word_x}\" y=\"{:.1}\" text-anchor=\"end\">{word}</text>",
                    at - 5.0
                ),
            );
        }
        for (place, series) in self.series.iter().enumerate() {
            series.draw(&mut svg, &x, &y);
            series.explain(&mut svg, place);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn axes(&self, svg: &mut String, x: &Range, y: &Range) {
        let (right, floor) = (WIDTH - RIGHT, TOP + PLOT_HEIGHT);
        for tick in &y.ticks {
            let Some(at) = y.place(*tick).map(y_at) else {
                continue;
            };
            put(
                svg,
                &format!(
                    "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                    LEFT - 8.0,
                    at + 4.0,
                    tick_label(*tick)
                ),
            );
        }
        for tick in &x.ticks {
            let Some(at) = x.place(*tick).map(x_at) else {
                continue;
            };
            put(
                svg,
                &format!(
                    "<line class=\"grid\" x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{floor}\"/>\
                 <text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                    floor + 18.0,
                    tick_label(*tick)
                ),
            );
        }
        let middle = (LEFT + right) / 2.0;
        let (x_word, y_word) = (escape(&self.x.label), escape(&self.y.label));
        put(
            svg,
            &format!(
                "<text class=\"axis\" x=\"{middle}\" y=\"{:.1}\" text-anchor=\"middle\">{x_word}</text>\
             <text class=\"axis\" transform=\"translate(16 {:.1}) rotate(-90)\" \
             text-anchor=\"middle\">{y_word}</text>",
                floor + 42.0,
                TOP + PLOT_HEIGHT / 2.0
            ),
        );
    }
}

impl Series {
    fn draw(&self, svg: &mut String, x: &Range, y: &Range) {
        let colour = self.style.colour;
        let dash = if self.style.is_dashed { " dashed" } else { "" };
        let mut path = String::new();
        let mut marks = String::new();
        for dot in &self.dots {
            let (Some(px), Some(py)) = (x.place(dot.x), y.place(dot.y)) else {
                continue;
            };
            let (px, py) = (x_at(px), y_at(py));
            let verb = if path.is_empty() { 'M' } else { 'L' };
            let _infallible = write!(path, "{verb}{px:.1} {py:.1}");
            if dot.greatest > dot.least
                && let (Some(low), Some(high)) = (y.place(dot.least), y.place(dot.greatest))
            {
                let (low, high) = (y_at(low), y_at(high));
                put(
                    &mut marks,
                    &format!(
                        "<line class=\"whisker s{colour}\" x1=\"{px:.1}\" y1=\"{low:.1}\" \
                         x2=\"{px:.1}\" y2=\"{high:.1}\"/>"
                    ),
                );
            }
            let words = format!(
                "{}: {} [{}..{}] at {}",
                self.label,
                number(dot.y),
                number(dot.least),
                number(dot.greatest),
                number(dot.x)
            );
            put(
                &mut marks,
                &format!(
                    "<circle class=\"dot s{colour}\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3.6\">\
                 <title>{}</title></circle>",
                    escape(&words)
                ),
            );
        }
        put(
            svg,
            &format!("<path class=\"line s{colour}{dash}\" d=\"{path}\"/>"),
        );
        svg.push_str(&marks);
    }

    fn explain(&self, svg: &mut String, place: usize) {
        let colour = self.style.colour;
        let dash = if self.style.is_dashed { " dashed" } else { "" };
        let (x, y) = (
            WIDTH - RIGHT + 22.0,
            TOP + 12.0 + place as f64 * LEGEND_STEP,
        );
        put(
            svg,
            &format!(
                "<line class=\"line s{colour}{dash}\" x1=\"{x}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\"/>\
             <circle class=\"dot s{colour}\" cx=\"{}\" cy=\"{y}\" r=\"3.6\"/>\
             <text class=\"legend\" x=\"{}\" y=\"{}\">{}</text>",
                x + 26.0,
                x + 13.0,
                x + 34.0,
                y + 4.0,
                escape(&self.label)
            ),
        );
    }
}

fn x_at(place: f64) -> f64 {
    LEFT + place * (WIDTH - LEFT - RIGHT)
}

fn y_at(place: f64) -> f64 {
    TOP + (1.0 - place) * PLOT_HEIGHT
}

fn put(svg: &mut String, element: &str) {
    svg.push_str(element);
    svg.push('\n');
}

/// A tick as people read it: no more digits than it has.
fn tick_label(value: f64) -> String {
    if value >= 100.0 || value.fract() == 0.0 {
        return match value {
            0.0 => "0".to_owned(),
            _ if value < 100.0 => format!("{value:.0}"),
            _ => number(value),
        };
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text for the inside of an element or of an attribute.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ticks_are_round_and_reach_beyond_the_values() {
        let range = Range::of(Scale::Linear, &[3.0, 437.0]);
        assert_eq!(range.ticks, [0.0, 100.0, 200.0, 300.0, 400.0, 500.0]);
        assert_eq!(range.place(250.0), Some(0.5));
        assert!(Range::of(Scale::Linear, &[]).to > 0.0);
    }

    #[test]
    fn log_ticks_enclose_the_values() {
        let range = Range::of(Scale::Log, &[0.0, 30.0, 4_000.0]);
        assert_eq!(
            range.ticks,
            [20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0]
        );
        assert_eq!(range.place(0.0), None);
        assert!(Range::of(Scale::Log, &[7.0]).ticks.len() >= 2);
        assert!(Range::of(Scale::Log, &[]).ticks.len() >= 2);
    }

    #[test]
    fn a_chart_draws_each_dot_and_escapes_words() {
        let dots = [1.0, 2.0, 3.0].map(|x| Dot {
            x,
            y: x,
            least: x,
            greatest: x + 1.0,
        });
        let axis = |label: &str| Axis {
            label: label.to_owned(),
            scale: Scale::Linear,
        };
        let series = Series {
            label: "a < b".to_owned(),
            style: Style {
                colour: 2,
                is_dashed: true,
            },
            dots: dots.to_vec(),
        };
        let chart = Chart {
            title: "\"t\"".to_owned(),
            x: axis("x"),
            y: axis("y"),
            series: vec![series],
            lines: vec![(2.0, "goal".to_owned())],
        };
        let svg = chart.svg();
        assert_eq!(svg.matches("<title>").count(), 3);
        assert_eq!(svg.matches("whisker").count(), 3);
        assert!(svg.contains("a &lt; b") && !svg.contains("a < b"));
        assert!(svg.contains("goal") && svg.contains("aria-label=\"&quot;t&quot;\""));
    }

    #[test]
    fn labels_have_no_needless_digits() {
        for (value, want) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (2.0, "2"),
            (0.05, "0.05"),
            (2_000.0, "2,000"),
            (2.5, "2.5"),
        ] {
            assert_eq!(tick_label(value), want);
        }
    }
}

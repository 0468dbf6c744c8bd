//! The distribution of propagation times as an SVG.

use std::fmt::Write;
use std::path::PathBuf;

use crate::Result;
use crate::propagation::Propagation;
use crate::report::target;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 830.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = 390.0;

/// One curve: its name, its colour, and what its p99 should be below, in milliseconds.
pub(crate) struct Curve<'a> {
    pub(crate) name: &'static str,
    pub(crate) colour: &'static str,
    pub(crate) bar: f64,
    pub(crate) measured: &'a Propagation,
}

/// Writes `multi_node.svg` to the target directory.
pub(crate) fn write(title: &str, curves: &[Curve<'_>]) -> Result<PathBuf> {
    let mut svg = String::new();
    draw(&mut svg, title, curves)?;
    let path = target()?.join("multi_node.svg");
    std::fs::write(&path, svg)?;
    Ok(path)
}

fn draw(svg: &mut String, title: &str, curves: &[Curve<'_>]) -> std::fmt::Result {
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#333\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>"
    )?;
    text(svg, LEFT, 28.0, "start", "font-size=\"17\" font-weight=\"bold\"", title)?;
    let all = curves.iter().flat_map(|curve| &curve.measured.times);
    let (least, most) = all
        .fold((f64::INFINITY, 0.0_f64), |(least, most), time| (least.min(*time), most.max(*time)));
    let bars = curves.iter().map(|curve| curve.bar).fold(0.0, f64::max);
    let scale = Scale {
        first: least.clamp(0.1, 10.0).log10().floor(),
        last: most.max(bars).clamp(100.0, 1e6).log10().ceil(),
    };
    axes(svg, &scale)?;
    for curve in curves {
        draw_curve(svg, &scale, curve)?;
    }
    svg.push_str("</svg>\n");
    Ok(())
}

/// Decades of milliseconds.
struct Scale {
    first: f64,
    last: f64,
}

impl Scale {
    fn x(&self, millis: f64) -> f64 {
        let decade = millis.log10().max(self.first);
        LEFT + (RIGHT - LEFT) * (decade - self.first) / (self.last - self.first)
    }
}

fn y(share: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * share
}

fn axes(svg: &mut String, scale: &Scale) -> std::fmt::Result {
    for percent in [0.0, 25.0, 50.0, 75.0, 100.0] {
        let y = y(percent / 100.0);
        line(svg, (LEFT, y), (RIGHT, y), "stroke=\"#e2e2e2\"")?;
        text(svg, LEFT - 8.0, y + 4.0, "end", "", &format!("{percent} %"))?;
    }
    let mut decade = scale.first;
    while decade <= scale.last {
        let x = scale.x(10_f64.powf(decade));
        line(svg, (x, TOP), (x, BOTTOM), "stroke=\"#e2e2e2\"")?;
        let label = match 10_f64.powf(decade) {
            millis if millis >= 1_000.0 => format!("{} s", millis / 1_000.0),
            millis => format!("{} ms", (millis * 10.0).round() / 10.0),
        };
        text(svg, x, BOTTOM + 20.0, "middle", "", &label)?;
        decade += 1.0;
    }
    line(svg, (LEFT, BOTTOM), (RIGHT, BOTTOM), "stroke=\"#777\"")?;
    let middle = f64::midpoint(LEFT, RIGHT);
    let label = "from the acknowledged revoke to a node's first refusal (log scale)";
    text(svg, middle, BOTTOM + 46.0, "middle", "", label)?;
    text(svg, LEFT, TOP - 14.0, "start", "fill=\"#666\"", "share of revokes seen, over all nodes")
}

fn draw_curve(svg: &mut String, scale: &Scale, curve: &Curve<'_>) -> std::fmt::Result {
    let Curve { name, colour, bar, measured } = curve;
    let x = scale.x(*bar);
    let dashed = format!("stroke=\"{colour}\" stroke-dasharray=\"5 4\" opacity=\"0.7\"");
    line(svg, (x, TOP), (x, BOTTOM), &dashed)?;
    let fill = format!("fill=\"{colour}\"");
    text(svg, x, TOP - 6.0, "middle", &fill, &format!("p99 below {bar} ms"))?;

    let mut points = format!("{:.1},{BOTTOM}", scale.x(measured.quantile(0)));
    let count = u32::try_from(measured.times.len()).unwrap_or(u32::MAX);
    for (seen, time) in (0..count).zip(&measured.times) {
        let (below, above) = (share(seen, count), share(seen + 1, count));
        let x = scale.x(*time);
        write!(points, " {x:.1},{:.1} {x:.1},{:.1}", y(below), y(above))?;
    }
    writeln!(
        svg,
        "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
    )?;
    for (per_mille, share) in [(500, 0.5), (990, 0.99)] {
        let (x, y) = (scale.x(measured.quantile(per_mille)), y(share));
        writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" {fill}/>")?;
    }
    let [p50, p99] = [500, 990].map(|per_mille| measured.quantile(per_mille));
    let (x, y) = (scale.x(p50) - 24.0, y(0.75));
    let bold = format!("{fill} font-weight=\"bold\"");
    text(svg, x, y, "end", &bold, name)?;
    text(svg, x, y + 18.0, "end", &fill, &format!("p50 {p50:.1} ms"))?;
    text(svg, x, y + 36.0, "end", &fill, &format!("p99 {p99:.1} ms"))
}

fn share(part: u32, whole: u32) -> f64 {
    f64::from(part) / f64::from(whole)
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), style: &str) -> std::fmt::Result {
    let ((x1, y1), (x2, y2)) = (from, to);
    writeln!(svg, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" {style}/>")
}

fn text(
    svg: &mut String,
    x: f64,
    y: f64,
    anchor: &str,
    style: &str,
    words: &str,
) -> std::fmt::Result {
    writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {style}>{words}</text>")
}

//! Grouped bars as SVG, one panel for each trace.

use std::fmt::Write;

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mark {
    /// A bar.
    Bar,
    /// A line across the group: what the bars are measured against.
    Line,
}

/// One policy.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Series {
    /// How the legend calls it.
    pub name: &'static str,
    /// Any colour that SVG knows.
    pub color: &'static str,
    /// How it is drawn.
    pub mark: Mark,
}

impl Series {
    /// Joins name, colour and mark.
    #[must_use]
    pub const fn new(name: &'static str, color: &'static str, mark: Mark) -> Self {
        Self { name, color, mark }
    }
}

/// One trace: a title, and groups of values from 0 to 100, one for each series.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Panel {
    /// What stands above it.
    pub title: String,
    /// Label and values.
    pub groups: Vec<(String, Vec<f64>)>,
}

impl Panel {
    /// Joins a title and groups.
    #[must_use]
    pub const fn new(title: String, groups: Vec<(String, Vec<f64>)>) -> Self {
        Self { title, groups }
    }
}

const COLUMNS: usize = 2;
const WIDTH: f64 = 500.0;
const HEIGHT: f64 = 240.0;
const MARGIN: f64 = 56.0;
const TOP: f64 = 96.0;

/// Returns a picture of all panels, two in a row.
#[must_use]
pub fn draw(title: &str, axes: [&str; 2], series: &[Series], panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(COLUMNS);
    let width = COLUMNS as f64 * (WIDTH + MARGIN) + MARGIN;
    let height = TOP + rows as f64 * (HEIGHT + 1.6 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(
        &mut svg,
        [width / 2.0, 32.0],
        "middle",
        "font-size=\"20\" font-weight=\"bold\"",
        title,
    );
    legend(&mut svg, series);
    for (at, panel) in panels.iter().enumerate() {
        let x = MARGIN + (at % COLUMNS) as f64 * (WIDTH + MARGIN);
        let y = TOP + 0.4 * MARGIN + (at / COLUMNS) as f64 * (HEIGHT + 1.6 * MARGIN);
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">");
        frame(&mut svg, axes, &panel.title);
        for (place, group) in panel.groups.iter().enumerate() {
            let share = WIDTH / panel.groups.len() as f64;
            bars(&mut svg, place as f64 * share, share, series, group);
        }
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

fn text(svg: &mut String, [x, y]: [f64; 2], anchor: &str, style: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {style}>{text}</text>"
    );
}

fn rect(svg: &mut String, [x, y]: [f64; 2], [width, height]: [f64; 2], color: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
         fill=\"{color}\"/>"
    );
}

fn legend(svg: &mut String, series: &[Series]) {
    let mut x = MARGIN;
    for one in series {
        let thickness = if one.mark == Mark::Bar { 14.0 } else { 3.0 };
        rect(
            svg,
            [x, 65.0 - thickness / 2.0],
            [18.0, thickness],
            one.color,
        );
        text(svg, [x + 24.0, 69.5], "start", "", one.name);
        x += 54.0 + 7.4 * one.name.len() as f64;
    }
}

/// Draws title, grid and the names of the axes.
fn frame(svg: &mut String, [horizontal, vertical]: [&str; 2], title: &str) {
    text(svg, [0.0, -10.0], "start", "font-weight=\"bold\"", title);
    for percent in (0..=100).step_by(20) {
        let y = HEIGHT * (1.0 - f64::from(percent) / 100.0);
        rect(svg, [0.0, y - 0.5], [WIDTH, 1.0], "#ddd");
        text(
            svg,
            [-6.0, y + 4.0],
            "end",
            "fill=\"#555\"",
            &percent.to_string(),
        );
    }
    text(
        svg,
        [WIDTH / 2.0, HEIGHT + 40.0],
        "middle",
        "fill=\"#555\"",
        horizontal,
    );
    let turned = format!(
        "fill=\"#555\" transform=\"rotate(-90 -36 {})\"",
        HEIGHT / 2.0
    );
    text(svg, [-36.0, HEIGHT / 2.0], "middle", &turned, vertical);
}

fn bars(svg: &mut String, x: f64, share: f64, series: &[Series], group: &(String, Vec<f64>)) {
    let (label, values) = group;
    let count = series.iter().filter(|one| one.mark == Mark::Bar).count();
    let (gap, width) = (0.1 * share, 0.8 * share / count as f64);
    let mut place = 0.0;
    for (one, value) in series.iter().zip(values) {
        let height = HEIGHT * value / 100.0;
        match one.mark {
            Mark::Bar => {
                let left = x + gap + place * width;
                rect(
                    svg,
                    [left, HEIGHT - height],
                    [width - 2.0, height],
                    one.color,
                );
                place += 1.0;
            }
            Mark::Line => {
                let left = x + gap / 2.0;
                rect(
                    svg,
                    [left, HEIGHT - height - 1.0],
                    [share - gap, 2.0],
                    one.color,
                );
            }
        }
    }
    text(svg, [x + share / 2.0, HEIGHT + 20.0], "middle", "", label);
}

#[cfg(test)]
mod tests {
    use super::{Mark, Panel, Series, draw};

    #[test]
    fn every_value_has_a_shape_and_text_is_escaped() {
        let series = [
            Series::new("bar", "#123456", Mark::Bar),
            Series::new("line", "#654321", Mark::Line),
        ];
        let groups = vec![
            ("1 %".into(), vec![50.0, 75.0]),
            ("10 %".into(), vec![60.0, 85.0]),
        ];
        let svg = draw(
            "a < b",
            ["x", "y"],
            &series,
            &[Panel::new("p & q".into(), groups)],
        );
        // One in the legend and one in each group.
        assert_eq!(svg.matches("#123456").count(), 3);
        assert_eq!(svg.matches("#654321").count(), 3);
        assert!(svg.contains("a &lt; b") && svg.contains("p &amp; q"));
        assert!(svg.contains("height=\"120.0\" fill=\"#123456\""));
    }
}

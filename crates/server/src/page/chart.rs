//! Charts, drawn on the server as SVG without fonts or styles of its own. Colours are markers that the stylesheet gives their
//! meaning to, so a chart is light or dark as the page is.

use std::time::Duration;

use hookit_contract::Timestamp;
use maud::{Markup, PreEscaped, html};
use plotters::prelude::*;

/// The markers; `style.css` knows them.
const TEXT: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(1, 1, 2);
const AXIS: RGBColor = RGBColor(1, 1, 3);
const SERIES: [RGBColor; 2] = [RGBColor(1, 2, 1), RGBColor(1, 2, 2)];

/// The size that a chart is drawn at; it is shown as wide as there is room.
const SIZE: (u32, u32) = (420, 150);
const SPARK_SIZE: (u32, u32) = (120, 28);

/// A line of a chart.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    /// What it is.
    pub name: &'a str,
    /// Moments and values, upwards. Where two are further apart than `gap` of the chart, nothing is drawn between them.
    pub points: Vec<(Timestamp, f64)>,
}

/// What is around the lines.
#[derive(Clone, Copy, Debug)]
pub struct Axes {
    /// The first moment that is shown.
    pub from: Timestamp,
    /// The last one.
    pub to: Timestamp,
    /// Two points that are further apart are not joined.
    pub gap: Duration,
    /// The bottom of the chart.
    pub least: f64,
    /// The top is at least here.
    pub most: f64,
}

/// A chart of at most two lines with its title. `say` writes a value.
pub fn chart(title: &str, axes: Axes, series: &[Series<'_>], say: &dyn Fn(f64) -> String) -> Markup {
    let newest = |series: &Series<'_>| series.points.last().map(|(_, value)| say(*value));
    html! {
        figure.chart.panel {
            figcaption {
                b { (title) }
                @for (i, one) in series.iter().take(SERIES.len()).enumerate() {
                    span class=(if i == 0 { "key" } else { "key second" }) {
                        (one.name) @if let Some(newest) = newest(one) { " " span.quiet { (newest) } }
                    }
                }
            }
            @if series.iter().all(|one| one.points.is_empty()) {
                p.empty { "Nothing was measured in this time." }
            } @else {
                // Drawn from numbers alone.
                (PreEscaped(labelled(&drawn(axes, series, say), title)))
            }
        }
    }
}

/// A small line without axes, for a row of a table.
pub fn spark(label: &str, axes: Axes, points: &[(Timestamp, f64)]) -> Markup {
    let mut svg = String::new();
    let series = [Series { name: "", points: points.to_vec() }];
    {
        let area = SVGBackend::with_string(&mut svg, SPARK_SIZE).into_drawing_area();
        let most = top(axes, &series);
        let built = ChartBuilder::on(&area).margin(2).build_cartesian_2d(span(axes), axes.least..most);
        if let Ok(mut built) = built {
            for stretch in stretches(&series[0].points, axes.gap) {
                let _ = built.draw_series(LineSeries::new(stretch, SERIES[0].stroke_width(1)));
            }
        }
        let _ = area.present();
    }
    PreEscaped(labelled(&svg, label).replacen("<svg ", "<svg class=\"spark\" ", 1))
}

fn span(axes: Axes) -> std::ops::Range<i64> {
    axes.from.as_millis()..axes.to.as_millis().max(axes.from.as_millis() + 1)
}

/// What is asked for where everything is below it, else a little above the largest value.
fn top(axes: Axes, series: &[Series<'_>]) -> f64 {
    let values = series.iter().flat_map(|one| one.points.iter().map(|(_, value)| *value));
    let largest = values.filter(|value| value.is_finite()).fold(axes.least, f64::max);
    let above = if largest <= axes.most { axes.most } else { axes.least + (largest - axes.least) * 1.1 };
    above.max(axes.least + f64::EPSILON)
}

/// The points between which a line is drawn.
fn stretches(points: &[(Timestamp, f64)], gap: Duration) -> Vec<Vec<(i64, f64)>> {
    let mut stretches: Vec<Vec<(i64, f64)>> = Vec::new();
    let mut last: Option<Timestamp> = None;
    for (at, value) in points.iter().filter(|(_, value)| value.is_finite()) {
        let follows = last.is_some_and(|last| at.since(last) <= gap);
        match stretches.last_mut().filter(|_| follows) {
            Some(stretch) => stretch.push((at.as_millis(), *value)),
            None => stretches.push(vec![(at.as_millis(), *value)]),
        }
        last = Some(*at);
    }
    stretches
}

fn drawn(axes: Axes, series: &[Series<'_>], say: &dyn Fn(f64) -> String) -> String {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    // Drawing into a text fails for no input.
    let _ = draw(&area, axes, series, say);
    let _ = area.present();
    drop(area);
    svg
}

type Failed<'s> = DrawingAreaErrorKind<<SVGBackend<'s> as DrawingBackend>::ErrorType>;

fn draw<'s>(
    area: &DrawingArea<SVGBackend<'s>, plotters::coord::Shift>,
    axes: Axes,
    series: &[Series<'_>],
    say: &dyn Fn(f64) -> String,
) -> Result<(), Failed<'s>> {
    let text = ("sans-serif", 11).into_font().color(&TEXT);
    let mut built = ChartBuilder::on(area)
        .margin_top(6)
        .margin_right(14)
        .x_label_area_size(20)
        .y_label_area_size(56)
        .build_cartesian_2d(span(axes), axes.least..top(axes, series))?;
    let is_long = axes.to.since(axes.from) > Duration::from_secs(2 * 86_400);
    let when = |millis: &i64| {
        let text = Timestamp::from_millis(*millis).to_string();
        // The day, or the time of the day, of RFC 3339.
        text.get(if is_long { 5..10 } else { 11..16 }).unwrap_or_default().to_owned()
    };
    built
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(AXIS)
        .x_labels(6)
        .y_labels(4)
        .x_label_formatter(&when)
        .y_label_formatter(&|value| say(*value))
        .label_style(text)
        .draw()?;
    for (one, colour) in series.iter().zip(SERIES) {
        for stretch in stretches(&one.points, axes.gap) {
            if let [alone] = stretch[..] {
                built.draw_series([Circle::new(alone, 2, colour.filled())])?;
            }
            built.draw_series(LineSeries::new(stretch, colour.stroke_width(2)))?;
        }
    }
    Ok(())
}

/// Says to who does not see it what it is.
fn labelled(svg: &str, label: &str) -> String {
    let label = html! { (label) }.into_string().replace('"', "&quot;");
    svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{label}\" "), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000).plus(Duration::from_secs(60 * minutes))
    }

    const GAP: Duration = Duration::from_secs(90);

    #[test]
    fn a_chart_has_its_lines_its_gaps_and_no_style_or_colour_of_its_own() {
        let axes = Axes { from: at(0), to: at(60), gap: GAP, least: 0.0, most: 1.0 };
        let points = [0, 1, 2, 10, 11, 30].map(|minute| (at(minute), minute as f64)).to_vec();
        assert_eq!(stretches(&points, GAP).iter().map(Vec::len).collect::<Vec<_>>(), [3, 2, 1]);
        let series =
            [Series { name: "events", points }, Series { name: "<&>", points: vec![(at(5), f64::NAN)] }];
        let drawn =
            chart("Events \"a\" second", axes, &series, &|value| format!("{value:.0}/s")).into_string();
        assert!(drawn.matches("<polyline").count() >= 2, "{drawn}");
        assert!(
            drawn.contains("aria-label=\"Events &quot;a&quot; second\"") && drawn.contains("&lt;&amp;&gt;")
        );
        assert!(drawn.contains(">30/s<") && !drawn.contains("style="), "{drawn}");
        for colour in drawn.split("=\"#").skip(1).map(|rest| &rest[..6]) {
            assert!(
                ["010101", "010102", "010103", "010201", "010202"].contains(&colour),
                "{colour}: {drawn}"
            );
        }
        let nothing =
            chart("Nothing", axes, &[Series { name: "events", points: vec![] }], &|_| String::new());
        assert!(nothing.into_string().contains("Nothing was measured in this time."));
    }

    #[test]
    fn a_spark_is_a_line_alone() {
        let axes = Axes { from: at(0), to: at(60), gap: GAP, least: 0.0, most: 0.0 };
        let drawn = spark("Backlog", axes, &[(at(0), 0.0), (at(1), 5.0)]).into_string();
        assert!(drawn.starts_with("<svg class=\"spark\" role=\"img\" aria-label=\"Backlog\" "), "{drawn}");
        assert!(drawn.contains("<polyline") && !drawn.contains("<text"), "{drawn}");
        assert!(spark("Nothing", axes, &[]).into_string().contains("<svg"));
    }
}

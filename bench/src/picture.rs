//! The picture for the docs: requests a second and p99 over the number of clients, both on logarithmic scales.

use std::error::Error;
use std::path::Path;

use plotters::coord::combinators::{IntoLogRange, LogCoord};
use plotters::prelude::*;

use crate::results::Results;
use crate::sample::Sample;

const SIZE: (u32, u32) = (1100, 470);
const COLORS: [RGBColor; 8] = [
    RGBColor(150, 150, 150),
    RGBColor(0, 90, 181),
    RGBColor(214, 39, 40),
    RGBColor(255, 127, 14),
    RGBColor(140, 86, 75),
    RGBColor(148, 103, 189),
    RGBColor(44, 160, 44),
    RGBColor(23, 170, 190),
];

/// Draws it.
pub fn draw(results: &Results, path: &Path) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (left, right) = area.split_horizontally(SIZE.0 * 46 / 100);
    chart(results, &left, "Requests a second", false, |sample| sample.rate)?;
    chart(results, &right, "p99, microseconds", true, |sample| sample.p99)?;
    area.present()?;
    Ok(())
}

fn chart(
    results: &Results,
    area: &DrawingArea<SVGBackend, plotters::coord::Shift>,
    title: &str,
    legend: bool,
    figure: fn(&Sample) -> f64,
) -> Result<(), Box<dyn Error>> {
    let lines = lines(results, figure);
    let points = || lines.iter().flat_map(|(_, points)| points);
    let (least, most) = points().fold((f64::MAX, f64::MIN), |(least, most), (_, y)| {
        (least.min(*y), most.max(*y))
    });
    let clients = |pick: fn(f64, f64) -> f64, start| points().fold(start, |at, (x, _)| pick(at, *x));
    let x: LogCoord<f64> = (clients(f64::min, f64::MAX)..clients(f64::max, f64::MIN) * 1.02)
        .log_scale()
        .base(4.0)
        .into();
    let y: LogCoord<f64> = (least / 1.3..most * 1.3).log_scale().into();
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .margin_right(if legend { 220 } else { 12 })
        .x_label_area_size(38)
        .y_label_area_size(62)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .x_desc("clients")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .light_line_style(BLACK.mix(0.06))
        .bold_line_style(BLACK.mix(0.15))
        .draw()?;
    for (n, (title, points)) in lines.into_iter().enumerate() {
        let color = COLORS[n % COLORS.len()];
        let style = color.stroke_width(if n == 1 { 4 } else { 2 });
        chart.draw_series(LineSeries::new(points.clone(), style))?;
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, color.filled())))?;
        if legend {
            // Beside the chart, so that it hides nothing.
            let (width, _) = area.dim_in_pixel();
            let (x, y) = (width as i32 - 205, 70 + 24 * n as i32);
            area.draw(&PathElement::new(vec![(x, y), (x + 22, y)], style))?;
            area.draw(&Text::new(title, (x + 30, y - 7), ("sans-serif", 14)))?;
        }
    }
    Ok(())
}

type Line = (String, Vec<(f64, f64)>);

fn lines(results: &Results, figure: fn(&Sample) -> f64) -> Vec<Line> {
    let Some(first) = results.many.first() else {
        return Vec::new();
    };
    first
        .rows
        .iter()
        .map(|row| {
            let points = results.many.iter().filter_map(|setting| {
                let y = setting.named(row.name)?.median(figure);
                Some((setting.clients as f64, y))
            });
            (row.title.to_owned(), points.collect())
        })
        .collect()
}

//! Whether an answer is the one that a page shows, though points in time differ, and the rest of a time runs down.

/// How far a time that runs down may be from the page's: a busy machine is slow.
const SLACK_SECONDS: f64 = 20.0;

/// Whether the rows are those of the page. A cell `…` of the page stands for anything.
pub fn agrees(rows: &[Vec<String>], page: &[Vec<String>]) -> bool {
    let same_row = |(row, page): (&Vec<String>, &Vec<String>)| {
        row.len() == page.len() && row.iter().zip(page).all(|(cell, page)| same_cell(cell, page))
    };
    rows.len() == page.len() && rows.iter().zip(page).all(same_row)
}

fn same_cell(cell: &str, page: &str) -> bool {
    if page == "…" || cell == page {
        return true;
    }
    match (seconds(cell), seconds(page)) {
        (Some(cell), Some(page)) => (cell - page).abs() < SLACK_SECONDS,
        _ => is_timestamp(cell) && is_timestamp(page),
    }
}

/// An interval of less than a day, such as `01:59:59.999`.
fn seconds(cell: &str) -> Option<f64> {
    let (sign, time) = cell.strip_prefix('-').map_or((1.0, cell), |time| (-1.0, time));
    let parts: Vec<f64> = time.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    match parts.as_slice() {
        [hours, minutes, seconds] => Some(sign * (hours * 3600.0 + minutes * 60.0 + seconds)),
        _ => None,
    }
}

/// A point in time, such as `2026-11-24 10:00:00.123+00`.
fn is_timestamp(cell: &str) -> bool {
    let shape: String = cell.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    shape.starts_with("9999-99-99 99:99:99")
}

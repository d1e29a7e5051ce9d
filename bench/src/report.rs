//! From samples to figures: a table for people, JSON for programs.

use crate::failure::Failure;
use crate::load::Sample;
use serde::Serialize;
use std::fs;
use std::path::Path;

/// Between the dearest and the cheapest sample, as a share of the median: above this somebody else was at the machine.
const WIDE: f64 = 0.15;

/// All that was measured in a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    scenario: &'static str,
    unit: &'static str,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    case: String,
    figures: Vec<Figure>,
    /// The first program over the second, round by round: the median, the smallest, the largest.
    ratio: Spread,
}

/// What one program cost in one case.
#[derive(Debug, Serialize)]
struct Figure {
    program: &'static str,
    cost: Spread,
    /// The median number of answers a second.
    rate: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

/// A program's samples, one a round.
pub(crate) type Column = (&'static str, Vec<Sample>);

impl Report {
    pub(crate) fn new(scenario: &'static str) -> Self {
        Self { scenario, unit: "microseconds of processor time an answer", rows: Vec::new() }
    }

    /// Adds a case. The ratio is the first column over the second.
    pub(crate) fn add(&mut self, case: String, columns: &[Column]) {
        let figure = |(program, samples): &Column| Figure {
            program,
            cost: Spread::of(samples.iter().map(Sample::cost)),
            rate: Spread::of(samples.iter().map(Sample::rate)).median,
        };
        let ratio = match columns {
            [(_, first), (_, second), ..] => {
                Spread::of(first.iter().zip(second).map(|(first, second)| first.cost() / second.cost()))
            }
            _ => Spread::of([]),
        };
        self.rows.push(Row { case, figures: columns.iter().map(figure).collect(), ratio });
    }

    /// The table, with a warning for every figure that is not steady.
    pub(crate) fn print(&self) {
        let Some(first) = self.rows.first() else { return };
        println!("{}: µs of processor time an answer, median (min–max)\n", self.scenario);
        print!("{:24}", "");
        first.figures.iter().for_each(|figure| print!("{:>24}", figure.program));
        println!("{:>24}", "first/second");
        for row in &self.rows {
            print!("{:24}", row.case);
            row.figures.iter().for_each(|figure| print!("{:>24}", figure.cost.shown(1)));
            println!("{:>24}", row.ratio.shown(2));
        }
        println!();
        for row in &self.rows {
            for figure in row.figures.iter().filter(|figure| figure.cost.is_wide()) {
                println!("warning: {}, {}: the samples lie far apart", row.case, figure.program);
            }
        }
    }

    /// Whether the median ratio of every row is at most this.
    pub(crate) fn stays_within(&self, ratio: f64) -> bool {
        self.rows.iter().all(|row| row.ratio.median <= ratio)
    }

    pub(crate) fn write(&self, file: &Path) -> Result<(), Failure> {
        let failed = || Failure::system(file.display().to_string());
        let text = serde_json::to_string_pretty(self).map_err(|error| failed()(error.into()))?;
        fs::write(file, text + "\n").map_err(failed())
    }
}

impl Spread {
    fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            at(middle)
        } else {
            (at(middle.saturating_sub(1)) + at(middle)) / 2.0
        };
        Self { median, min: at(0), max: at(values.len().saturating_sub(1)) }
    }

    fn is_wide(&self) -> bool {
        self.max - self.min > self.median * WIDE
    }

    fn shown(&self, digits: usize) -> String {
        format!("{:.digits$} ({:.digits$}–{:.digits$})", self.median, self.min, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn samples(costs: &[u64]) -> Vec<Sample> {
        let sample = |cost: &u64| Sample {
            answers: 1000,
            elapsed: Duration::from_secs(1),
            processor: Duration::from_micros(cost * 1000),
        };
        costs.iter().map(sample).collect()
    }

    #[test]
    fn medians_need_no_order() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert!(Spread::of([]).median.is_nan());
    }

    #[test]
    fn programs_are_compared_round_by_round() {
        let mut report = Report::new("test");
        // The machine was twice as slow in the second round, for both.
        report.add("case".to_owned(), &[("a", samples(&[6, 12, 6])), ("b", samples(&[10, 20, 10]))]);
        let ratio = report.rows[0].ratio;
        assert!((ratio.min - 0.6).abs() < 1e-9 && (ratio.max - 0.6).abs() < 1e-9);
        assert!(report.stays_within(0.65) && !report.stays_within(0.5));
        assert!(report.rows[0].figures[0].cost.is_wide());
    }
}

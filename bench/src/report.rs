//! From samples to figures: a table for people, JSON for programs.

use crate::failure::Failure;
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
}

/// What was measured of one program in one case.
#[derive(Debug, Serialize)]
struct Figure {
    program: &'static str,
    measured: Spread,
    /// The first program's figure over this one's, round by round.
    ratio: Spread,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

/// A program's name and its figures, one a round.
pub(crate) type Column = (&'static str, Vec<f64>);

impl Report {
    pub(crate) fn new(scenario: &'static str, unit: &'static str) -> Self {
        Self { scenario, unit, rows: Vec::new() }
    }

    pub(crate) fn scenario(&self) -> &'static str {
        self.scenario
    }

    /// Adds a case. All are compared with the first column.
    pub(crate) fn add(&mut self, case: String, columns: &[Column]) {
        let Some((_, first)) = columns.first() else { return };
        let figure = |(program, figures): &Column| Figure {
            program,
            measured: Spread::of(figures.iter().copied()),
            ratio: Spread::of(first.iter().zip(figures).map(|(first, other)| first / other)),
        };
        self.rows.push(Row { case, figures: columns.iter().map(figure).collect() });
    }

    /// The table, with a warning for every figure that is not steady.
    pub(crate) fn print(&self) {
        let Some(first) = self.rows.first() else { return };
        println!("{}: {}: median (min–max)\n", self.scenario, self.unit);
        print!("{:22}", "");
        first.figures.iter().for_each(|figure| print!("{:>22}", figure.program));
        println!();
        for row in &self.rows {
            print!("{:22}", row.case);
            row.figures.iter().for_each(|figure| print!("{:>22}", figure.measured.shown(1)));
            println!();
        }
        if first.figures.len() > 1 {
            self.print_ratios(first);
        }
        println!();
        for row in &self.rows {
            for figure in row.figures.iter().filter(|figure| figure.measured.is_wide()) {
                println!("warning: {}, {}: the samples lie far apart", row.case, figure.program);
            }
        }
    }

    fn print_ratios(&self, first: &Row) {
        println!(
            "\n{} in proportion, round by round",
            first.figures.first().map_or("", |figure| figure.program)
        );
        for row in &self.rows {
            print!("{:22}", row.case);
            row.figures.iter().for_each(|figure| print!("{:>22}", figure.ratio.shown(2)));
            println!();
        }
    }

    /// The largest median ratio to a program, over all cases.
    pub(crate) fn worst_ratio(&self, program: &str) -> f64 {
        let figures = self.rows.iter().flat_map(|row| &row.figures);
        let ratios = figures.filter(|figure| figure.program == program).map(|figure| figure.ratio.median);
        ratios.fold(0.0, f64::max)
    }

    /// The first program's median in a case.
    pub(crate) fn median(&self, case: &str) -> f64 {
        let row = self.rows.iter().find(|row| row.case == case);
        row.and_then(|row| row.figures.first()).map_or(f64::NAN, |figure| figure.measured.median)
    }

    /// A program's median in a case.
    pub(crate) fn figure(&self, case: &str, program: &str) -> f64 {
        let row = self.rows.iter().find(|row| row.case == case);
        let figure = row.and_then(|row| row.figures.iter().find(|figure| figure.program == program));
        figure.map_or(f64::NAN, |figure| figure.measured.median)
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

    #[test]
    fn medians_need_no_order() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert!(Spread::of([]).median.is_nan());
    }

    #[test]
    fn programs_are_compared_round_by_round() {
        let mut report = Report::new("test", "units");
        // The machine was twice as slow in the second round, for both.
        report.add("case".to_owned(), &[("a", vec![6.0, 12.0, 6.0]), ("b", vec![10.0, 20.0, 10.0])]);
        let ratio = report.rows[0].figures[1].ratio;
        assert!((ratio.min - 0.6).abs() < 1e-9 && (ratio.max - 0.6).abs() < 1e-9);
        assert!((report.worst_ratio("b") - 0.6).abs() < 1e-9);
        assert!(report.rows[0].figures[0].measured.is_wide());
    }
}

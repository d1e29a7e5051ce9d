//! What all comparisons with peers are told, and where they put their figures.

use crate::failure::Failure;
use crate::peer::this_program;
use crate::processor;
use crate::report::Report;
use std::path::PathBuf;

/// The load's core, the origin's too.
const LOAD: usize = 0;
/// The core of the programs under test, who have nothing to do while another one is loaded.
pub(crate) const TESTED: usize = 1;

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The node's program [default: `selvedge` beside this program]
    #[arg(long, value_name = "FILE")]
    node: Option<PathBuf>,
    /// How often each program is measured in each case [default: 7, of `memory` 1]
    #[arg(long)]
    rounds: Option<usize>,
    /// Where the figures go as JSON [default: `bench-<scenario>.json` beside this program]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Run {
    /// How often each program is measured in each case.
    pub(crate) fn rounds(&self, default: usize) -> usize {
        self.rounds.unwrap_or(default)
    }

    /// The node's program.
    pub(crate) fn node(&self) -> Result<PathBuf, Failure> {
        let node = match &self.node {
            Some(node) => node.clone(),
            None => this_program()?.with_file_name("selvedge"),
        };
        // Absolute: a bare name would be looked for in PATH.
        std::path::absolute(&node).map_err(Failure::system(node.display().to_string()))
    }

    /// Keeps load and origin away from the core of what is tested.
    pub(crate) fn stay_on_the_load_core() -> Result<(), Failure> {
        if processor::cores() < 2 {
            return Err(Failure::Setup(
                "two cores are needed: one for the load, one for what is loaded".to_owned(),
            ));
        }
        processor::stay_on(LOAD)
    }

    /// Prints the table and writes the figures.
    pub(crate) fn tell(&self, report: &Report) -> Result<(), Failure> {
        report.print();
        let json = match &self.json {
            Some(json) => json.clone(),
            None => this_program()?.with_file_name(format!("bench-{}.json", report.scenario())),
        };
        report.write(&json)?;
        println!("figures: {}", json.display());
        Ok(())
    }
}

/// Whether a goal was reached, as a line for people.
pub(crate) fn verdict(what: &str, reached: f64, goal: f64) {
    let verdict = if reached <= goal { "reached" } else { "missed" };
    println!("{what}: at most {goal}: {verdict}, {reached:.2}");
}

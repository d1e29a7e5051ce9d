//! The guest's own figures.

use crate::bindings::selvedge::edge::metrics;
use crate::state::CallState;

impl metrics::Host for CallState {
    fn count(&mut self, name: String, by: u64) -> wasmtime::Result<()> {
        self.own.figures.count(&name, by);
        Ok(())
    }

    fn observe(&mut self, name: String, value: f64) -> wasmtime::Result<()> {
        self.own.figures.observe(&name, value);
        Ok(())
    }
}

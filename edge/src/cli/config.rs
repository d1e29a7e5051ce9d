//! `selvedge config`: what the config means.

use super::{Exit, Form, Reading, data, talk};
use crate::config::{Loaded, effective_json, effective_toml, schema};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    reading: Reading,
    /// Print every setting in force, defaults marked (this is what is printed if nothing else is asked for)
    #[arg(long, conflicts_with = "schema")]
    effective: bool,
    /// Print the JSON Schema of config files, for editors
    #[arg(long)]
    schema: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    if arguments.schema {
        data(&schema());
        return Exit::Ok;
    }
    let loaded = match arguments.reading.load() {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    match effective(&loaded, arguments.reading.form()) {
        Ok(text) => {
            data(&text);
            Exit::Ok
        }
        Err(error) => {
            talk(&format!("{}: cannot be printed: {error}", arguments.reading.file.display()));
            Exit::Failed
        }
    }
}

fn effective(loaded: &Loaded, form: Form) -> Result<String, serde_json::Error> {
    match form {
        Form::Text => effective_toml(loaded),
        Form::Json => effective_json(loaded).map(|value| format!("{value:#}")),
    }
}

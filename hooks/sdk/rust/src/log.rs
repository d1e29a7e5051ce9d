//! Lines for the hook's log. What is printed to stdout and stderr goes the same way.

use std::fmt::Arguments;

use crate::bindings::selvedge::edge::log as raw;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For the author, while something is looked for.
    Debug,
    /// What happens as it should.
    Info,
    /// What somebody should know.
    Warn,
    /// What somebody must do something about.
    Error,
}

/// Writes a line; the macros [`debug!`](crate::debug), [`info!`](crate::info), [`warn!`](crate::warn) and
/// [`error!`](crate::error) are shorter.
pub fn write(level: Level, line: Arguments<'_>) {
    let level = match level {
        Level::Debug => raw::Level::Debug,
        Level::Info => raw::Level::Info,
        Level::Warn => raw::Level::Warn,
        Level::Error => raw::Level::Error,
    };
    match line.as_str() {
        Some(text) => raw::log(level, text),
        None => raw::log(level, &line.to_string()),
    }
}

/// A line for the author: `debug!("bucket {bucket}")`.
#[macro_export]
macro_rules! debug {
    ($($line:tt)+) => { $crate::log::write($crate::log::Level::Debug, ::std::format_args!($($line)+)) };
}

/// A line about what happens as it should: `info!("{count} rules")`.
#[macro_export]
macro_rules! info {
    ($($line:tt)+) => { $crate::log::write($crate::log::Level::Info, ::std::format_args!($($line)+)) };
}

/// A line about what somebody should know: `warn!("no rule for {path}")`.
#[macro_export]
macro_rules! warn {
    ($($line:tt)+) => { $crate::log::write($crate::log::Level::Warn, ::std::format_args!($($line)+)) };
}

/// A line about what somebody must do something about: `error!("the key {name} is gone")`.
#[macro_export]
macro_rules! error {
    ($($line:tt)+) => { $crate::log::write($crate::log::Level::Error, ::std::format_args!($($line)+)) };
}

//! The node: everything between a viewer's connection and the origin's, in the order of [`pipeline`].
//!
//! Start reading there. The rooms (`cache`, `origin-shield`, `signing`, `hooks`, `geo`, `certs`) decide; this crate acts.
#![forbid(unsafe_code)]

pub mod admin;
pub mod body;
pub mod chosen;
pub mod cli;
pub mod component;
pub mod compress;
pub mod config;
pub mod demo;
pub mod derive;
pub mod edges;
pub mod error;
pub mod events;
pub mod explain;
pub mod facts;
pub mod fetched;
pub mod headers;
pub mod hook_cases;
pub mod interim;
pub mod invalidate;
pub mod listener;
pub mod loops;
pub mod node;
pub mod observe;
pub mod outside;
pub mod pages;
pub mod parts;
pub mod pipeline;
pub mod process;
pub mod range;
pub mod respond;
pub mod route;
pub mod signed;
pub mod slices;
pub mod turn;
pub mod upgrade;
pub mod upload;
pub mod visit;
pub mod withheld;

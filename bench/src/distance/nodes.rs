//! The programs that stand on the way: edges near the viewer, a shield beside the origin.

use super::place::{Place, Program};
use crate::failure::Failure;
use crate::peer::is_installed;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// An edge alone, where it is installed.
pub(crate) const NGINX: &str = "nginx alone";

pub(crate) fn has_nginx() -> bool {
    is_installed("nginx")
}

/// The variable that holds what edges sign with.
pub(crate) const KEY: &str = "BENCH_EDGE_KEY";

/// A running program with its folder.
#[derive(Debug)]
pub(crate) struct Node {
    _program: Program,
    _folder: TempDir,
}

/// A Selvedge node in a place. `settings` are lines of its `[node]`, `origin` those of what lies behind its only site.
pub(crate) fn selvedge(
    place: &Place,
    program: &Path,
    address: SocketAddr,
    settings: &str,
    origin: &str,
) -> Result<Node, Failure> {
    // A name of its own: a shield that heard its own would take the edge for a loop.
    let name = address.to_string().replace([':', '.'], "-");
    // One thread: connections to an origin belong to a thread, and a viewer who comes once meets any of them.
    let config = format!(
        "[node]\nname = \"{name}\"\nlisten = [\"http://{address}\"]\nadmin = \"off\"\nstate = \"state\"\nthreads = 1\n\
         {settings}\n\n[origin.far]\n{origin}\n\n[site.\"*\"]\norigin = \"far\"\n"
    );
    start(
        place,
        address,
        |_| config,
        |file| {
            let mut command = place.command(program);
            command
                .arg("run")
                .arg("--config")
                .arg(file)
                .env(KEY, "known to the edges and shields of one run");
            command
        },
    )
}

/// nginx as most guides set it up: a cache, and kept connections to its origin.
pub(crate) fn nginx(place: &Place, address: SocketAddr, origin: SocketAddr) -> Result<Node, Failure> {
    start(
        place,
        address,
        |folder| nginx_config(folder, address, origin),
        |file| {
            let mut command = place.command(Path::new("nginx"));
            command.arg("-p").arg(file.with_file_name("")).arg("-c").arg(file);
            command
        },
    )
}

/// A far origin whose answers are sent as this algorithm has it.
pub(crate) fn origin(place: &Place, address: SocketAddr, congestion: &str) -> Result<Node, Failure> {
    let mut part = place.part("far")?;
    part.args(["--address", &address.to_string(), "--congestion", congestion]);
    start(place, address, |_| String::new(), |_| part)
}

fn start(
    place: &Place,
    address: SocketAddr,
    config: impl FnOnce(&Path) -> String,
    command: impl FnOnce(&Path) -> Command,
) -> Result<Node, Failure> {
    let folder = tempfile::Builder::new().prefix("bench-distance-").tempdir();
    let folder = folder.map_err(Failure::system("a folder for a program under test"))?;
    let file = folder.path().join("config");
    fs::write(&file, config(folder.path())).map_err(Failure::system(file.display().to_string()))?;
    let program = place.start(command(&file), address.port(), &folder.path().join("log"))?;
    Ok(Node { _program: program, _folder: folder })
}

/// One process, so that it ends whole. Everything that is not said here is as shipped, buffers included.
fn nginx_config(folder: &Path, address: SocketAddr, origin: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
master_process off;
user root;
pid {folder}/pid;
error_log stderr error;
events {{}}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=bench:16m use_temp_path=off;
    upstream origin {{ server {origin}; keepalive 16; keepalive_timeout 600s; }}
    server {{
        listen {address};
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_cache bench;
        }}
    }}
}}
"
    )
}

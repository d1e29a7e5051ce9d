//! `selvedge demo`: a whole node with origins of its own, for somebody who has just arrived.
//!
//! Everything is real: the node is configured by `assets/demo.toml` like any other, its origins are reached over sockets, and
//! killing one closes its port. Only the state folder is made up: it goes when the demo ends.

mod assets;
mod control;
mod folder;
mod guide;
mod origin;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;

use signing::{PrivateKey, SigningError};
use tokio::runtime;

use crate::config::{Config, ConfigErrors};
use crate::process::Ready;
use control::Control;
use folder::Folder;
use guide::{Guide, Signer};
use origin::Member;

/// The demo's config, with the addresses that stand for its origins until those have ports.
pub const CONFIG: &str = include_str!("demo/assets/demo.toml");
const PRIMARY: &str = "127.0.0.1:9001";
const SECONDARY: &str = "127.0.0.1:9002";
const CONTROL: &str = "127.0.0.1:9003";

/// Why there is no demo; the machine is at fault.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Its files.
    #[error("cannot write the demo's files to {0}: {1}; TMPDIR names another folder")]
    Folder(String, #[source] io::Error),
    /// Its origins.
    #[error("cannot start the demo's origins on loopback: {0}")]
    Origin(#[source] io::Error),
    /// Its key.
    #[error("cannot make a key: {0}")]
    Key(#[from] SigningError),
    /// Its config.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
}

/// Origins that run, a folder that is filled, and the config of the node before them. The folder goes when this is dropped.
pub struct Demo {
    /// What to run.
    pub config: Config,
    folder: Folder,
    signer: Arc<Signer>,
    guide: Arc<OnceLock<Guide>>,
}

impl Demo {
    /// Starts the origins and fills the folder. Nothing listens for viewers yet.
    ///
    /// # Errors
    /// [`DemoError`] names what the machine refused.
    pub fn prepare() -> Result<Self, DemoError> {
        let folder = Folder::new().map_err(|error| refused(&std::env::temp_dir(), error))?;
        let signer = Arc::new(Signer::new(PrivateKey::generate_rsa()?));
        let guide = Arc::new(OnceLock::new());
        let addresses = start_origins(Arc::clone(&signer), Arc::clone(&guide)).map_err(DemoError::Origin)?;
        let text = config_text(&addresses);
        fill(&folder, &signer, &text)?;
        let config = Config::parse(&text, "demo.toml", folder.path())?;
        Ok(Self { config, folder, signer, guide })
    }

    /// What to tell the person who started it, once the node is ready: links and commands, as lines that a shell takes.
    pub fn introduce(&self, ready: &Ready) -> String {
        self.guide.get_or_init(|| Guide::new(ready, self.folder.path())).text(&self.signer)
    }
}

/// Where the origins answer.
struct Addresses {
    primary: SocketAddr,
    secondary: SocketAddr,
    control: SocketAddr,
}

fn config_text(addresses: &Addresses) -> String {
    let Addresses { primary, secondary, control } = addresses;
    [(PRIMARY, primary), (SECONDARY, secondary), (CONTROL, control)]
        .into_iter()
        .fold(CONFIG.to_owned(), |text, (name, address)| text.replace(name, &address.to_string()))
}

fn fill(folder: &Folder, signer: &Signer, config: &str) -> Result<(), DemoError> {
    let files = [
        ("demo.toml", config.to_owned().into_bytes()),
        ("places.mmdb", geo::DEMO_DATABASE.to_vec()),
        ("keys/public.pem", signer.public_pem()?.into_bytes()),
        ("keys/private.pem", signer.private_pem()?.into_bytes()),
    ];
    for (name, contents) in files {
        folder.write(name, &contents).map_err(|error| refused(&folder.path().join(name), error))?;
    }
    Ok(())
}

fn refused(path: &Path, error: io::Error) -> DemoError {
    DemoError::Folder(path.display().to_string(), error)
}

/// A thread and runtime of their own: the origins are other machines, as far as the node is concerned.
fn start_origins(signer: Arc<Signer>, guide: Arc<OnceLock<Guide>>) -> io::Result<Addresses> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let addresses = runtime.block_on(async {
        let members = [Arc::new(Member::reserve("primary")?), Arc::new(Member::reserve("secondary")?)];
        for member in &members {
            member.revive().await?;
        }
        let [primary, secondary] = [members[0].address, members[1].address];
        let control = Control { members, signer, guide };
        io::Result::Ok(Addresses { primary, secondary, control: control::start(control).await? })
    })?;
    thread::Builder::new().name("origins".into()).spawn(move || {
        runtime.block_on(std::future::pending::<()>());
    })?;
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_names_each_origin_where_its_address_is_put() {
        for name in [PRIMARY, SECONDARY, CONTROL] {
            assert_eq!(CONFIG.matches(name).count(), 1, "{name}");
        }
    }

    #[test]
    fn a_prepared_demo_leaves_nothing_behind() {
        let demo = Demo::prepare().unwrap();
        let path = demo.folder.path().to_owned();
        assert!(path.join("keys/public.pem").exists());
        assert_eq!(demo.config.node.name, "demo");
        drop(demo);
        assert!(!path.exists(), "{}", path.display());
    }
}

//! Answers DNS for the steering names of a TOML file (the `[dns]` table alone), over the demo database:
//! `cargo run -p geo --example answer -- geo/examples/answer.toml`, then ask it with the `dig` lines that it prints.

use std::{error::Error, future::pending, sync::Arc};

use geo::{Answerer, DEMO_DATABASE, DnsSettings, Locator};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: answer FILE.toml")?;
    let settings: DnsSettings = toml::from_str(&std::fs::read_to_string(file)?)?;
    let locator = Locator::from_bytes(DEMO_DATABASE.to_vec())?;
    let bound = Answerer::bind(&settings, Arc::new(locator)).await?;
    for address in bound.local_addresses() {
        for name in settings.steer.keys() {
            println!("dig @{} -p {} {name} +subnet=192.0.2.0/24       # Korea", address.ip(), address.port());
            println!("dig @{} -p {} {name} +subnet=198.51.100.0/24    # China", address.ip(), address.port());
        }
    }
    bound.run(pending()).await?;
    Ok(())
}

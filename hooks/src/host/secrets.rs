//! Secrets for the guest: handles are places in the hook's own list, so the guest holds nothing.

use aws_lc_rs::{constant_time, hmac};
use wasmtime::component::Resource;

use crate::bindings::selvedge::edge::secrets::{Host, HostSecret, Secret};
use crate::host::crypto::bounded;
use crate::secrets;
use crate::state::CallState;

impl Host for CallState {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<Resource<Secret>>> {
        Ok(self.own.secrets.find(&name).map(|handle| self.hand(handle)))
    }
}

impl HostSecret for CallState {
    fn reveal(&mut self, secret: Resource<Secret>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.secret(&secret)?.bytes().to_vec())
    }

    fn hmac_sha256(&mut self, secret: Resource<Secret>, data: Vec<u8>) -> wasmtime::Result<Vec<u8>> {
        Ok(hmac_sha256(self.secret(&secret)?, bounded(&data)?).as_ref().to_vec())
    }

    fn verify_hmac_sha256(
        &mut self,
        secret: Resource<Secret>,
        data: Vec<u8>,
        mac: Vec<u8>,
    ) -> wasmtime::Result<bool> {
        let made = hmac_sha256(self.secret(&secret)?, bounded(&data)?);
        Ok(constant_time::verify_slices_are_equal(made.as_ref(), &mac).is_ok())
    }

    fn drop(&mut self, _: Resource<Secret>) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }
}

impl CallState {
    fn secret(&self, handle: &Resource<Secret>) -> wasmtime::Result<&secrets::Secret> {
        self.own.secrets.get(handle.rep()).ok_or_else(|| wasmtime::Error::msg("that secret is gone"))
    }
}

fn hmac_sha256(secret: &secrets::Secret, data: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.bytes()), data)
}

//! Key-value stores for the guest: handles are places in the hook's own list, so the guest holds nothing.

use std::sync::Arc;

use wasmtime::component::Resource;

use crate::bindings::selvedge::edge::kv::{Host, HostStore, KvError, Store};
use crate::kv::{self, Refusal};
use crate::state::CallState;

/// Keys of one answer.
const MAX_KEYS: u32 = 1000;

impl Host for CallState {
    fn open(&mut self, name: String) -> wasmtime::Result<Result<Resource<Store>, KvError>> {
        let place = self.own.stores.iter().position(|(known, _)| *known == name);
        let handle = place.and_then(|place| u32::try_from(place).ok());
        Ok(handle.map(|handle| self.hand(handle)).ok_or(KvError::Denied))
    }
}

impl HostStore for CallState {
    fn get(
        &mut self,
        store: Resource<Store>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, KvError>> {
        if !kv::is_key(&key) {
            return Ok(Err(KvError::InvalidKey));
        }
        let found = self.store(&store)?.get(&key, self.facts.later());
        Ok(Ok(found.map(Vec::from)))
    }

    fn set(
        &mut self,
        store: Resource<Store>,
        key: String,
        value: Vec<u8>,
        ttl: Option<u32>,
    ) -> wasmtime::Result<Result<(), KvError>> {
        Ok(self.store(&store)?.set(&key, value, ttl, self.facts.later()).map_err(KvError::from))
    }

    fn delete(&mut self, store: Resource<Store>, key: String) -> wasmtime::Result<Result<bool, KvError>> {
        if !kv::is_key(&key) {
            return Ok(Err(KvError::InvalidKey));
        }
        Ok(Ok(self.store(&store)?.delete(&key, self.facts.later())))
    }

    fn increment(
        &mut self,
        store: Resource<Store>,
        key: String,
        by: i64,
        ttl: Option<u32>,
    ) -> wasmtime::Result<Result<i64, KvError>> {
        Ok(self.store(&store)?.increment(&key, by, ttl, self.facts.later()).map_err(KvError::from))
    }

    fn keys(
        &mut self,
        store: Resource<Store>,
        prefix: String,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<String>, KvError>> {
        let limit = limit.min(MAX_KEYS) as usize;
        Ok(Ok(self.store(&store)?.keys(&prefix, limit, self.facts.later())))
    }

    fn drop(&mut self, _: Resource<Store>) -> wasmtime::Result<()> {
        self.take_back();
        Ok(())
    }
}

impl CallState {
    fn store(&self, handle: &Resource<Store>) -> wasmtime::Result<&Arc<kv::Store>> {
        let found = self.own.stores.get(handle.rep() as usize).map(|(_, store)| store);
        found.ok_or_else(|| wasmtime::Error::msg("that store is gone"))
    }
}

impl From<Refusal> for KvError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::InvalidKey => KvError::InvalidKey,
            Refusal::TooLarge => KvError::TooLarge,
            Refusal::NotANumber => KvError::NotANumber,
        }
    }
}

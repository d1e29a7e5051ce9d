//! What is stored in one place: the variants of a primary key, and what was learnt about it.

use crate::entry::Entry;
use crate::key::Key;
use http::HeaderMap;
use std::sync::Arc;
use std::time::SystemTime;

/// Variants under one primary key; the oldest leaves.
pub(crate) const MAX_VARIANTS: usize = 64;

/// What Moka needs beside an object: its own nodes, counters and table slots. Measured with a million objects, rounded up.
const SLOT: usize = 280;

/// What a list of variants and marks costs, and each of them.
const LIST: usize = 96;
const ITEM: usize = 32;

/// Nearly all objects are one response: they need no list.
#[derive(Debug, Clone)]
pub(crate) enum Object {
    One(Arc<Entry>),
    Several(Arc<Several>),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Several {
    variants: Vec<Arc<Entry>>,
    /// Keys whose answers could not be shared, by [`Key::check`]: until then nobody waits for anybody. Stored variants stay good.
    marks: Vec<(u32, SystemTime)>,
}

impl Object {
    pub(crate) fn variants(&self) -> &[Arc<Entry>] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Several(several) => &several.variants,
        }
    }

    /// The variant for a request.
    pub(crate) fn variant(&self, key: &Key, request: &HeaderMap) -> Option<&Arc<Entry>> {
        self.variants().iter().find(|entry| entry.is_under(key) && entry.matches(request))
    }

    /// The latest variant of a key: what it was selected by says what tells requests apart.
    pub(crate) fn latest(&self, key: &Key) -> Option<&Arc<Entry>> {
        self.variants().iter().rev().find(|entry| entry.is_under(key))
    }

    /// Whether answers under this key could not be shared lately.
    pub(crate) fn is_marked(&self, key: &Key, now: SystemTime) -> bool {
        match self {
            Self::One(_) => false,
            Self::Several(several) => {
                several.marks.iter().any(|(check, until)| *check == key.check() && now < *until)
            }
        }
    }

    /// The object with an entry more, in the place of the variant that it replaces. What is known of its key by now is that
    /// it can be shared.
    pub(crate) fn with(known: Option<&Self>, entry: Arc<Entry>, key: &Key) -> Self {
        let Some(known) = known else { return Self::One(entry) };
        let mut several = known.several();
        several.marks.retain(|(check, _)| *check != key.check());
        several.variants.retain(|other| !entry.replaces(other));
        if several.variants.len() >= MAX_VARIANTS {
            several.variants.remove(0);
        }
        if several.variants.is_empty() && several.marks.is_empty() {
            return Self::One(entry);
        }
        several.variants.push(entry);
        Self::Several(Arc::new(several))
    }

    /// The object without some of its entries; `None` when nothing is left.
    pub(crate) fn without(&self, gone: impl Fn(&Arc<Entry>) -> bool) -> Option<Self> {
        let mut several = self.several();
        several.variants.retain(|entry| !gone(entry));
        let is_empty = several.variants.is_empty() && several.marks.is_empty();
        (!is_empty).then(|| Self::Several(Arc::new(several)))
    }

    /// The object with the mark that answers under a key cannot be shared.
    pub(crate) fn marked(known: Option<&Self>, key: &Key, until: SystemTime) -> Self {
        let mut several = known.map(Self::several).unwrap_or_default();
        several.marks.retain(|(check, _)| *check != key.check());
        if several.marks.len() >= MAX_VARIANTS {
            several.marks.remove(0);
        }
        several.marks.push((key.check(), until));
        Self::Several(Arc::new(several))
    }

    fn several(&self) -> Several {
        match self {
            Self::One(entry) => Several { variants: vec![Arc::clone(entry)], marks: Vec::new() },
            Self::Several(several) => (**several).clone(),
        }
    }

    /// Bytes that it takes, with what Moka needs for it.
    pub(crate) fn weight(&self) -> usize {
        let list = match self {
            Self::One(_) => 0,
            Self::Several(several) => LIST + ITEM * (several.variants.len() + several.marks.len()),
        };
        SLOT + list + self.variants().iter().map(|entry| entry.weight()).sum::<usize>()
    }
}

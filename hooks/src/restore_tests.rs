use wasmtime::Engine;
use wasmtime::component::Linker;

use super::*;
use pages::watch;

/// Bytes of the memory of [`TEXT`].
const MEMORY: usize = 5 << 16;

/// A component whose memory and globals callers can change as they like. It begins within the second page, with a hole.
const MODULE: &str = r#"
    (memory (export "memory") 5)
    (data (i32.const 5000) "first")
    (data (i32.const 100000) "\01\02\03\04\05\06\07\08")
    (data (i32.const 100002) "over")
    (global $count (mut i32) (i32.const 7))
    (global $wide (mut i64) (i64.const -2))
    (global $float (mut f32) (f32.const 1.5))
    (global $double (mut f64) (f64.const -0.25))
    (global $fixed i32 (i32.const 3))
    (table 2 funcref)
    (elem (i32.const 0) func $step)
    (func $step (global.set $count (i32.add (global.get $count) (i32.const 1))))
    (func (export "poke") (param $at i32) (param $length i32) (param $value i32)
        (memory.fill (local.get $at) (local.get $value) (local.get $length)))
    (func (export "step")
        (call_indirect (i32.const 0))
        (global.set $wide (i64.mul (global.get $wide) (i64.const 3)))
        (global.set $float (f32.add (global.get $float) (f32.const 1)))
        (global.set $double (f64.mul (global.get $double) (f64.const 3))))
    (func (export "told") (result i64)
        (i64.add
            (i64.add (i64.extend_i32_u (global.get $count)) (global.get $wide))
            (i64.add (i64.trunc_f32_s (global.get $float)) (i64.reinterpret_f64 (global.get $double)))))
    (func (export "all") (result i32)
        (i32.store (i32.const 0) (i32.const 8))
        (i32.store (i32.const 4) (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 8)))
        (i32.const 0))
"#;

const LIFTED: &str = r#"
    (core instance $i (instantiate $m))
    (func (export "poke") (param "at" u32) (param "length" u32) (param "value" u32)
        (canon lift (core func $i "poke")))
    (func (export "step") (canon lift (core func $i "step")))
    (func (export "told") (result u64) (canon lift (core func $i "told")))
    (func (export "all") (result (list u8)) (canon lift (core func $i "all") (memory $i "memory")))
"#;

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {text})")).unwrap()
}

fn whole() -> Vec<u8> {
    component(&format!("(core module $m {MODULE}) {LIFTED}"))
}

/// An instance that can be put back, and what it was.
struct Subject {
    component: Component,
    store: Store<()>,
    instance: Instance,
    restorer: Restorer,
    restoring: Option<Restoring>,
    memory: Vec<u8>,
    told: u64,
}

impl Subject {
    async fn new(binary: &[u8]) -> Self {
        let mut pristine = Self::untold(binary).await;
        let (memory, told) = (pristine.all().await, pristine.told().await);
        // Another one: what was read counts as written where the component says nothing.
        Self { memory, told, ..Self::untold(binary).await }
    }

    async fn untold(binary: &[u8]) -> Self {
        let engine = Engine::new(&crate::engine::config(1)).unwrap();
        let restorable = restorable(binary).unwrap().unwrap();
        let component = Component::from_binary(&engine, &restorable.bytes).unwrap();
        let restorer = Restorer::of(&component, restorable.shape).unwrap();
        let (store, instance) = made(&component).await;
        Self { component, store, instance, restorer, restoring: None, memory: Vec::new(), told: 0 }
    }

    /// Another instance in the only place of the pool.
    async fn again(&mut self) {
        self.store = Store::new(self.component.engine(), ());
        self.restoring = None;
        (self.store, self.instance) = made(&self.component).await;
    }

    async fn poke(&mut self, at: usize, length: usize, value: u8) {
        let poke = self.instance.get_typed_func::<(u32, u32, u32), ()>(&mut self.store, "poke").unwrap();
        let numbers = (u32::try_from(at).unwrap(), u32::try_from(length).unwrap(), value.into());
        poke.call_async(&mut self.store, numbers).await.unwrap();
    }

    async fn step(&mut self) {
        let step = self.instance.get_typed_func::<(), ()>(&mut self.store, "step").unwrap();
        step.call_async(&mut self.store, ()).await.unwrap();
    }

    async fn told(&mut self) -> u64 {
        let told = self.instance.get_typed_func::<(), (u64,)>(&mut self.store, "told").unwrap();
        told.call_async(&mut self.store, ()).await.unwrap().0
    }

    async fn all(&mut self) -> Vec<u8> {
        let all = self.instance.get_typed_func::<(), (Vec<u8>,)>(&mut self.store, "all").unwrap();
        all.call_async(&mut self.store, ()).await.unwrap().0
    }

    async fn put_back(&mut self, new: NewPages) {
        let Self { store, instance, restorer, restoring, .. } = self;
        assert!(restorer.put_back(store, instance, restoring, new).await.unwrap());
    }

    async fn is_as_it_was(&mut self) -> bool {
        self.told().await == self.told && self.all().await == self.memory
    }
}

async fn made(component: &Component) -> (Store<()>, Instance) {
    let mut store = Store::new(component.engine(), ());
    store.set_epoch_deadline(1);
    let instance = Linker::new(component.engine()).instantiate_async(&mut store, component).await.unwrap();
    (store, instance)
}

fn run(story: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(story);
}

#[test]
fn whatever_was_written_is_as_it_was() {
    run(async {
        let mut subject = Subject::new(&whole()).await;
        let mut random = fastrand::Rng::with_seed(7);
        let mut has_known = false;
        for round in 0..500 {
            if round % 100 == 0 {
                subject.again().await;
            }
            let ((), new) = watch(async {
                for _ in 0..random.usize(..4) {
                    let at = random.usize(..MEMORY);
                    let length = random.usize(..=MEMORY - at) >> random.usize(..16);
                    subject.poke(at, length, random.u8(..)).await;
                }
                subject.step().await;
            })
            .await;
            has_known |= new == NewPages::None;
            subject.put_back(new).await;
            assert!(subject.is_as_it_was().await);
        }
        assert!(has_known, "once all pages are written, none is new");
    });
}

#[test]
fn a_page_that_is_written_first_is_seen() {
    run(async {
        let mut subject = Subject::new(&whole()).await;
        subject.put_back(NewPages::Maybe).await;
        // The ends of the image and beyond them. On the first page is what the host was told.
        for page in [1, 24, 25, 79] {
            assert_eq!(watch(subject.poke(page * PAGE, 1, 9)).await.1, NewPages::Maybe, "{page}");
        }
        subject.put_back(NewPages::Maybe).await;
        assert!(subject.is_as_it_was().await);
    });
}

#[test]
fn the_system_makes_no_huge_pages_of_what_is_to_be_told() {
    assert!(pages::can_be_told());
    assert!(nix::sys::prctl::get_thp_disable().unwrap());
}

#[test]
fn too_much_is_not_put_back() {
    run(async {
        let large = whole_with("(memory (export \"memory\") 5)", "(memory (export \"memory\") 80)");
        for (usual, most) in [(MOST_WRITTEN, MOST_WRITTEN), (FEW, FEW + TIMES_USUAL * FEW)] {
            let mut subject = Subject::new(&large).await;
            subject.poke(0, usual * PAGE, 1).await;
            subject.put_back(NewPages::Maybe).await;
            subject.poke(0, most * PAGE, 1).await;
            subject.put_back(NewPages::Maybe).await;
            subject.poke(0, (most + 1) * PAGE, 1).await;
            let Subject { store, instance, restorer, restoring, .. } = &mut subject;
            assert!(!restorer.put_back(store, instance, restoring, NewPages::Maybe).await.unwrap());
        }
    });
}

/// The component with something else instead.
fn whole_with(before: &str, after: &str) -> Vec<u8> {
    let module = MODULE.replace(before, after);
    assert_ne!(module, MODULE);
    component(&format!("(core module $m {module}) {LIFTED}"))
}

#[test]
fn what_cannot_be_put_back_is_left_as_it_is() {
    let is_left = |binary: &[u8]| restorable(binary).unwrap().is_none();
    assert!(!is_left(&whole()));
    for (before, after) in [
        ("(table 2 funcref)", "(table 2 funcref) (func (table.set (i32.const 1) (ref.null func)))"),
        (
            "(table 2 funcref)",
            "(table 2 funcref) (table $more 1 funcref) (func (table.set $more (i32.const 0) (ref.null func)))",
        ),
        ("(table 2 funcref)", "(table 2 funcref) (func (drop (table.grow (ref.null func) (i32.const 1))))"),
        (
            "(table 2 funcref)",
            "(table 2 funcref) (func (table.fill (i32.const 0) (ref.null func) (i32.const 1)))",
        ),
        (
            "(table 2 funcref)",
            "(table 2 funcref) (func (table.copy (i32.const 0) (i32.const 1) (i32.const 1)))",
        ),
        (
            "(table 2 funcref)",
            "(table 2 funcref) (elem $e func $step) (func (table.init $e (i32.const 0) (i32.const 0) (i32.const 1)))",
        ),
        ("(table 2 funcref)", "(table 2 funcref) (elem $e func $step) (func (elem.drop $e))"),
        ("(data (i32.const 5000) \"first\")", "(data $d \"first\") (func (data.drop $d))"),
        ("(global $fixed i32 (i32.const 3))", "(global $fixed (mut funcref) (ref.null func))"),
        ("(global $fixed i32 (i32.const 3))", "(global $fixed (mut funcref) (ref.func $step))"),
        ("(global $fixed i32 (i32.const 3))", "(func $begin) (start $begin)"),
        ("(memory (export \"memory\") 5)", "(memory (export \"memory\") 1025)"),
        ("(memory (export \"memory\") 5)", "(memory (export \"memory\") 5) (memory 1)"),
        ("(table 2 funcref)", "(table 2 funcref) (table 1 (ref func) (ref.func $step))"),
    ] {
        assert!(is_left(&whole_with(before, after)), "{after}");
    }
}

#[test]
fn constants_may_be_whatever_they_are() {
    let constants =
        "(global $fixed i32 (i32.const 3)) (global $sum i32 (i32.add (global.get $fixed) (i32.const 1)))
        (global $function funcref (ref.func $step)) (global $none externref (ref.null extern))";
    let whole = whole_with("(global $fixed i32 (i32.const 3))", constants);
    assert!(restorable(&whole).unwrap().is_some());
}

#[test]
fn a_component_with_more_state_than_one_module_has_is_left_as_it_is() {
    let with = |more: &str| component(&format!("(core module $m {MODULE}) {LIFTED} {more}"));
    let is_left = |more: &str| restorable(&with(more)).unwrap().is_none();
    for harmless in [
        "",
        "(core module $other (func) (table 1 funcref)) (core instance (instantiate $other))",
        "(component (type (func)))",
    ] {
        assert!(!is_left(harmless), "{harmless}");
    }
    for more in [
        "(core instance (instantiate $m))",
        "(core module $other (memory 1)) (core instance (instantiate $other))",
        "(core module $other (global (mut i32) (i32.const 0))) (core instance (instantiate $other))",
        "(core module $other (import \"m\" \"memory\" (memory 1)))
         (core instance (instantiate $other (with \"m\" (instance $i))))",
        "(component (core module))",
        "(type $r (resource (rep i32))) (core func (canon resource.new $r))",
        "(export \"named\" (core module $m))",
        "(import \"f\" (func $f)) (core func (canon lower (func $f) async))",
    ] {
        assert!(is_left(more), "{more}");
    }
}

#[test]
fn what_is_added_fits_whatever_the_component_has() {
    // Imports, exports, types and functions move the numbers of what is added.
    let text = format!(
        r#"(component
            (import "none" (instance $none (export "f" (func)) (export "t" (type (sub resource)))))
            (import "g" (func $g))
            (type $unused (record (field "a" u8)))
            (alias export $none "f" (func $f))
            (alias export $none "t" (type $t))
            (core func $lowered (canon lower (func $f)))
            (core func $drop (canon resource.drop $t))
            (core module $m {MODULE})
            {LIFTED}
            (export "again" (func $g))
            (export "named" (type $unused)))"#
    );
    let restorable = restorable(&wat::parse_str(text).unwrap()).unwrap().unwrap();
    wasmparser::Validator::new().validate_all(&restorable.bytes).unwrap();
}

#[test]
fn bytes_know_where_they_were() {
    let before = whole();
    let restorable = restorable(&before).unwrap().unwrap();
    /// Of the module and its six sections, and how many items are in those, in two bytes each.
    const NUMBERS: usize = 2 * (1 + 6 + 6);
    let origins = restorable
        .bytes
        .iter()
        .enumerate()
        .filter_map(|(at, byte)| Some((*byte, *before.get(restorable.moves.origin(at)?)?)));
    let (same, other): (Vec<_>, Vec<_>) = origins.partition(|(now, then)| now == then);
    assert!(same.len() + NUMBERS >= before.len(), "{} of {}", same.len(), before.len());
    assert!(other.len() <= NUMBERS, "{other:?}");
}

#[test]
fn pages_side_by_side_are_one_region_and_none_is_half_in_the_image() {
    let region = |first: u64, pages: u64| pages << FIRST_BITS | first;
    let calls = calls(&[0..3, 7..8], &(1..2));
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (calls[0].0, calls[0].1),
        (region(0, 1) | region(1, 1) << 32, region(2, 1) | region(7, 1) << 32)
    );
    assert_eq!((calls[0].2, calls[0].15), (0, 0));
    let scattered: Vec<_> = (0..33).map(|number| 2 * number..2 * number + 1).collect();
    assert_eq!(super::calls(&scattered, &(0..0)).len(), 2);
}

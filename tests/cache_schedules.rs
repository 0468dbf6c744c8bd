//! Random schedules of more threads over the cache's own sources than every interleaving
//! can be looked at for (see `cache_interleavings.rs`): readers, nodes' own changes, passes
//! over the log and other histories, all at once.
//!
//! 500 schedules of each kind by default, times `KEYWARD_TEST_SCALE`.

mod schedules;

/// The modules that threads meet in, over the scheduler's atomics and locks.
#[path = "../src/cache"]
mod cache {
    #![allow(dead_code, reason = "the sources are used in part")]

    mod sync {
        pub(super) use std::sync::PoisonError;

        pub(super) use shuttle::hint::spin_loop;
        pub(super) use shuttle::sync::atomic::{
            AtomicI64, AtomicU64, AtomicUsize, Ordering, fence,
        };
        pub(super) use shuttle::sync::{Mutex, MutexGuard, RwLock};
    }

    mod entry {
        /// The version of a record.
        #[derive(Clone)]
        pub(super) struct Entry(pub(super) u64);

        impl Entry {
            pub(super) fn version(&self) -> u64 {
                self.0
            }
        }
    }

    mod fence;
    mod freshness;
    mod shelf;
    mod table;

    use std::sync::Arc;

    use shuttle::rand::{Rng, thread_rng};
    use shuttle::sync::Mutex;
    use shuttle::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use self::entry::Entry;
    use self::fence::Fence;
    use self::freshness::{Fresh, Freshness, Instant};
    use self::shelf::Shelf;
    use crate::schedules::{check, must_find, run};

    /// Two on one counter of the fence, and one on another.
    const IDS: [[u8; 10]; 3] = [[7; 10], [7, 7, 7, 7, 7, 7, 7, 7, 7, 8], [8; 10]];

    /// The database: the version of each record, and the log of what was changed.
    #[derive(Default)]
    struct Database {
        versions: [AtomicU64; 3],
        log: Mutex<Vec<usize>>,
    }

    impl Database {
        /// Commits a change of another node's, and what it has become.
        fn change(&self, which: usize) -> u64 {
            let mut log = self.log.lock().unwrap();
            log.push(which);
            self.versions[which].fetch_add(1, SeqCst) + 1
        }

        /// What the database says, which has been on the way for a while: the others went on.
        fn read(&self, which: usize) -> u64 {
            let version = self.versions[which].load(SeqCst);
            (0..20).for_each(|_| shuttle::thread::yield_now());
            version
        }
    }

    /// One node.
    struct Node {
        shelf: Shelf,
        freshness: Freshness,
        database: Database,
        /// One pass at a time: how much of the log has been applied.
        applied: Mutex<usize>,
    }

    /// When a filler notes the counter of the fence.
    #[derive(Clone, Copy, PartialEq)]
    enum Noted {
        BeforeReading,
        AfterReading,
    }

    impl Node {
        /// A full table makes room after few entries.
        fn new() -> Arc<Self> {
            Arc::new(Self {
                shelf: Shelf::with_fence(5, Fence::with(2)),
                freshness: Freshness::new(),
                database: Database::default(),
                applied: Mutex::new(0),
            })
        }

        fn fill(&self, which: usize, when: Noted) {
            let early = self.shelf.note(&IDS[which]);
            let version = self.database.read(which);
            let noted = match when {
                Noted::BeforeReading => early,
                Noted::AfterReading => self.shelf.note(&IDS[which]),
            };
            self.shelf.fill(&IDS[which], noted, Entry(version));
        }

        fn found(&self, which: usize, heard: Fresh) -> Option<u64> {
            self.shelf.with(heard, &IDS[which], |entry| entry.0)
        }

        /// A change of this node's own, after which it finds nothing older.
        fn change(&self, which: usize) {
            self.shelf.begin_change(&IDS[which]);
            let version = self.database.change(which);
            self.shelf.end_change(&IDS[which]);
            let found = self.found(which, self.freshness.read());
            assert!(found.is_none_or(|found| found >= version), "found from before its own change");
        }

        /// Catches up with the log.
        fn pass(&self) {
            let mut applied = self.applied.lock().unwrap();
            let entries = self.database.log.lock().unwrap().clone();
            for which in &entries[*applied..] {
                self.shelf.evict(&IDS[*which]);
            }
            *applied = entries.len();
            self.freshness.publish(fresh(entries.len() as u64 + 1));
        }

        /// Whatever is found has every change that the pass seen before it has applied.
        fn verify(&self, which: usize) {
            let pass = self.freshness.read();
            let whole = if pass.pass == 0 { Fresh::NOTHING } else { fresh(pass.pass) };
            assert_eq!(pass, whole, "read in pieces");
            let found = self.found(which, pass);
            self.judge(which, pass, found);
        }

        fn judge(&self, which: usize, pass: Fresh, found: Option<u64>) {
            let heard = usize::try_from(pass.pass).unwrap().saturating_sub(1);
            let log = self.database.log.lock().unwrap();
            let least = log[..heard].iter().filter(|changed| **changed == which).count() as u64;
            assert!(found.is_none_or(|found| found >= least), "fresh, and from before");
        }
    }

    fn fresh(number: u64) -> Fresh {
        let wall = i64::try_from(number).unwrap();
        Fresh { at: Instant { wall, monotonic: number }, bound: number, pass: number }
    }

    fn times(node: &Arc<Node>, count: usize, act: fn(&Node, usize)) -> Box<dyn FnOnce() + Send> {
        let node = Arc::clone(node);
        Box::new(move || {
            for _ in 0..count {
                act(&node, thread_rng().gen_range(0..IDS.len()));
            }
        })
    }

    fn a_busy_node(when: Noted) {
        let node = Node::new();
        let fill: fn(&Node, usize) = match when {
            Noted::BeforeReading => |node, which| node.fill(which, Noted::BeforeReading),
            Noted::AfterReading => |node, which| node.fill(which, Noted::AfterReading),
        };
        run(vec![
            times(&node, 4, fill),
            times(&node, 4, fill),
            times(&node, 2, Node::change),
            times(&node, 3, |node, which| {
                let _ = node.database.change(which);
            }),
            times(&node, 3, |node, _| node.pass()),
            times(&node, 5, Node::verify),
            times(&node, 1, |node, _| node.shelf.clear()),
        ]);
        // Once everything has been heard, nothing that is kept is old.
        node.pass();
        for which in 0..IDS.len() {
            let version = node.database.versions[which].load(SeqCst);
            let found = node.found(which, node.freshness.read());
            assert!(found.is_none_or(|found| found == version), "kept from before");
        }
    }

    #[test]
    fn seven_threads_never_find_what_was_before_a_change() {
        check(|| a_busy_node(Noted::BeforeReading));
    }

    #[test]
    #[should_panic(expected = "from before")]
    fn the_schedules_find_a_note_that_is_taken_too_late() {
        must_find(|| a_busy_node(Noted::AfterReading));
    }

    fn readers_beside_passes(freshness_first: bool) {
        let node = Node::new();
        let reader: fn(&Node, usize) = if freshness_first {
            Node::verify
        } else {
            |node, which| {
                let found = node.found(which, Fresh::NOTHING);
                node.judge(which, node.freshness.read(), found);
            }
        };
        for which in 0..IDS.len() {
            node.fill(which, Noted::BeforeReading);
        }
        run(vec![
            times(&node, 4, reader),
            times(&node, 4, reader),
            times(&node, 4, reader),
            times(&node, 3, |node, which| {
                let _ = node.database.change(which);
            }),
            times(&node, 2, |node, _| node.pass()),
            times(&node, 2, |node, _| node.pass()),
        ]);
    }

    #[test]
    fn six_threads_who_see_a_pass_find_nothing_that_it_removed() {
        check(|| readers_beside_passes(true));
    }

    #[test]
    #[should_panic(expected = "fresh, and from before")]
    fn the_schedules_find_a_reader_that_looks_into_the_table_first() {
        must_find(|| readers_beside_passes(false));
    }
}

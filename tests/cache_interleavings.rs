//! Every interleaving of a few threads over the cache's own sources, by a model checker:
//! a value that was read before a change is not found after it, and who sees that a pass
//! has ended finds nothing that the pass removed.

/// The modules that threads meet in, over the checker's atomics and locks.
#[path = "../src/cache"]
mod cache {
    #![allow(dead_code, reason = "the sources are used in part")]

    mod sync {
        pub(super) use std::sync::PoisonError;

        pub(super) use loom::hint::spin_loop;
        pub(super) use loom::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering, fence};
        pub(super) use loom::sync::{Mutex, MutexGuard, RwLock};
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

    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use loom::thread;

    use self::entry::Entry;
    use self::fence::Fence;
    use self::freshness::{Fresh, Freshness, Instant};
    use self::shelf::Shelf;

    const ID: [u8; 10] = [7; 10];
    /// A neighbour in the table, on the same counter of the fence.
    const OTHER: [u8; 10] = [7, 7, 7, 7, 7, 7, 7, 7, 7, 8];

    /// A node: what it keeps, how far it has heard, and the version in the database.
    struct Node {
        shelf: Shelf,
        freshness: Freshness,
        database: AtomicU64,
    }

    impl Node {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                shelf: Shelf::with_fence(4, Fence::with(1)),
                freshness: Freshness::new(),
                database: AtomicU64::new(1),
            })
        }

        fn read_and_fill(&self) {
            let noted = self.shelf.note(&ID);
            let version = self.database.load(SeqCst);
            self.shelf.fill(&ID, noted, Entry(version));
        }

        fn found(&self) -> Option<u64> {
            self.found_having(self.freshness.read())
        }

        fn found_having(&self, heard: Fresh) -> Option<u64> {
            self.shelf.with(heard, &ID, |entry| entry.0)
        }
    }

    fn fresh(number: u64) -> Fresh {
        let wall = i64::try_from(number).unwrap();
        Fresh { at: Instant { wall, monotonic: number }, bound: number, pass: number }
    }

    /// With at most three switches between threads, which finds nearly every fault and
    /// ends; a run without that limit is for before a release.
    fn check(model: impl Fn() + Sync + Send + 'static) {
        let mut checker = loom::model::Builder::new();
        checker.preemption_bound = match std::env::var("KEYWARD_TEST_SCALE") {
            Ok(scale) if scale.parse::<u32>().is_ok_and(|scale| scale >= 100) => None,
            _ => Some(3),
        };
        checker.check(model);
    }

    #[test]
    fn a_value_from_before_a_change_is_not_kept_after_it() {
        check(|| {
            let node = Node::new();
            let filling = Arc::clone(&node);
            let filler = thread::spawn(move || filling.read_and_fill());
            let changing = Arc::clone(&node);
            let changer = thread::spawn(move || {
                changing.shelf.begin_change(&ID);
                changing.database.store(2, SeqCst);
                changing.shelf.end_change(&ID);
                assert_ne!(changing.found(), Some(1), "seen after its own change");
            });
            filler.join().unwrap();
            changer.join().unwrap();
            assert_ne!(node.found(), Some(1));
        });
    }

    #[test]
    fn a_value_from_before_an_event_is_not_kept_after_it() {
        check(|| {
            let node = Node::new();
            let filling = Arc::clone(&node);
            let filler = thread::spawn(move || filling.read_and_fill());
            let writing = Arc::clone(&node);
            let pass = thread::spawn(move || {
                writing.database.store(2, SeqCst);
                writing.shelf.evict(&ID);
                writing.freshness.publish(fresh(1));
            });
            filler.join().unwrap();
            pass.join().unwrap();
            assert_ne!(node.found(), Some(1));
        });
    }

    #[test]
    fn a_value_from_before_everything_was_emptied_is_not_kept() {
        check(|| {
            let node = Node::new();
            let filling = Arc::clone(&node);
            let filler = thread::spawn(move || filling.read_and_fill());
            node.database.store(2, SeqCst);
            node.shelf.clear();
            filler.join().unwrap();
            assert_ne!(node.found(), Some(1));
        });
    }

    fn reads_beside_a_pass(freshness_first: bool) {
        check(move || {
            let node = Node::new();
            node.read_and_fill();
            let writing = Arc::clone(&node);
            let pass = thread::spawn(move || {
                writing.shelf.evict(&ID);
                writing.freshness.publish(fresh(1));
            });
            let (pass_seen, found) = if freshness_first {
                let fresh = node.freshness.read();
                (fresh.pass, node.found_having(fresh))
            } else {
                let found = node.found_having(Fresh::NOTHING);
                (node.freshness.read().pass, found)
            };
            assert!(pass_seen == 0 || found.is_none(), "fresh, and from before");
            pass.join().unwrap();
        });
    }

    #[test]
    fn who_sees_that_a_pass_has_ended_finds_nothing_that_it_removed() {
        reads_beside_a_pass(true);
    }

    #[test]
    #[should_panic(expected = "fresh, and from before")]
    fn the_checker_finds_a_reader_that_looks_into_the_table_first() {
        reads_beside_a_pass(false);
    }

    #[test]
    #[should_panic(expected = "kept from before")]
    fn the_checker_finds_a_note_that_is_taken_too_late() {
        check(|| {
            let node = Node::new();
            let filling = Arc::clone(&node);
            let filler = thread::spawn(move || {
                let version = filling.database.load(SeqCst);
                let noted = filling.shelf.note(&ID);
                filling.shelf.fill(&ID, noted, Entry(version));
            });
            node.database.store(2, SeqCst);
            node.shelf.evict(&ID);
            filler.join().unwrap();
            assert_ne!(node.found(), Some(1), "kept from before");
        });
    }

    #[test]
    fn how_far_a_node_has_heard_is_read_in_one_piece() {
        check(|| {
            let freshness = Arc::new(Freshness::new());
            freshness.publish(fresh(1));
            let writing = Arc::clone(&freshness);
            let writer = thread::spawn(move || {
                writing.publish(fresh(2));
                writing.publish(fresh(3));
            });
            let seen = freshness.read();
            assert_eq!(seen, fresh(seen.pass));
            writer.join().unwrap();
        });
    }

    /// The table makes room by another generation while it is read.
    #[test]
    fn a_full_table_loses_no_removal() {
        check(|| {
            let node = Node::new();
            node.read_and_fill();
            for round in 1..4 {
                node.shelf.fill(&OTHER, node.shelf.note(&OTHER), Entry(round));
            }
            let writing = Arc::clone(&node);
            let writer = thread::spawn(move || {
                // The fifth cell of four.
                writing.shelf.fill(&OTHER, writing.shelf.note(&OTHER), Entry(4));
                writing.shelf.evict(&ID);
                writing.freshness.publish(fresh(1));
            });
            let heard = node.freshness.read();
            let found = node.found_having(heard);
            assert!(heard.pass == 0 || found.is_none());
            assert!(
                node.shelf.with(heard, &OTHER, |entry| entry.0).is_some_and(|version| version >= 3)
            );
            writer.join().unwrap();
            assert_eq!(node.found(), None);
        });
    }
}

//! Equal reads that have not begun become one. Whoever asks while such a read is already under way gets
//! the next one, which begins when that one has ended and is shared by all who ask until then: an answer
//! is never older than its question, and of equal reads at most one is in the database at a time.

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;
use shardline_daemon::sabotage::is_planted;
use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

/// Reads by what they ask for. Each asker may give up: the others go on, and a read that nobody waits
/// for any more ends.
pub(crate) struct Coalesce<K, V> {
    latest: Mutex<Latest<K, V>>,
}

struct Latest<K, V> {
    reads: HashMap<K, Read<V>>,
    next_number: u64,
}

/// The latest read of a key.
struct Read<V> {
    number: u64,
    has_begun: bool,
    answer: WeakShared<BoxFuture<'static, V>>,
}

impl<K, V> Coalesce<K, V>
where
    K: Eq + Hash + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new() -> Arc<Coalesce<K, V>> {
        let latest = Latest { reads: HashMap::new(), next_number: 0 };
        Arc::new(Coalesce { latest: Mutex::new(latest) })
    }

    /// What `read` gives, or an equal one that begins after this call.
    pub(crate) async fn read(
        self: &Arc<Self>,
        key: K,
        read: impl Future<Output = V> + Send + 'static,
    ) -> V {
        self.join(key, read).await
    }

    fn join(
        self: &Arc<Self>,
        key: K,
        read: impl Future<Output = V> + Send + 'static,
    ) -> Shared<BoxFuture<'static, V>> {
        let mut latest = self.latest.lock();
        let number = latest.next_number;
        let mut before = None;
        if let Some(known) = latest.reads.get(&key)
            && let Some(answer) = known.answer.upgrade()
        {
            if !known.has_begun || is_planted("joins-a-read-that-began") {
                return answer;
            }
            before = Some(answer);
        }
        latest.next_number += 1;
        let entry = Entry { of: Arc::clone(self), key: key.clone(), number };
        let answer = async move {
            if let Some(before) = before {
                before.await;
            }
            entry.begin();
            let value = read.await;
            drop(entry);
            value
        };
        let answer = answer.boxed().shared();
        if let Some(weak) = answer.downgrade() {
            latest.reads.insert(key, Read { number, has_begun: false, answer: weak });
        }
        answer
    }
}

/// A read's place among the latest, given up with it.
struct Entry<K: Eq + Hash, V> {
    of: Arc<Coalesce<K, V>>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash, V> Entry<K, V> {
    /// From here on others who ask get the next one.
    fn begin(&self) {
        if let Some(read) = self.of.latest.lock().reads.get_mut(&self.key)
            && read.number == self.number
        {
            read.has_begun = true;
        }
    }
}

impl<K: Eq + Hash, V> Drop for Entry<K, V> {
    fn drop(&mut self) {
        let mut latest = self.of.latest.lock();
        if latest.reads.get(&self.key).is_some_and(|read| read.number == self.number) {
            latest.reads.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::sync::Semaphore;

    type Reads = Arc<Coalesce<&'static str, u64>>;

    /// A read takes its number when it begins, and ends when the gate lets it.
    #[derive(Clone)]
    struct Bench {
        reads: Reads,
        begun: Arc<AtomicU64>,
        gate: Arc<Semaphore>,
    }

    impl Bench {
        fn new() -> Bench {
            let gate = Arc::new(Semaphore::new(0));
            Bench { reads: Coalesce::new(), begun: Arc::default(), gate }
        }

        fn ask(&self, key: &'static str) -> tokio::task::JoinHandle<u64> {
            let Bench { reads, begun, gate } = self.clone();
            #[allow(clippy::disallowed_methods)]
            tokio::spawn(async move {
                let read = async move {
                    let number = begun.fetch_add(1, Ordering::SeqCst) + 1;
                    gate.acquire().await.expect("open").forget();
                    number
                };
                reads.read(key, read).await
            })
        }

        fn begun(&self) -> u64 {
            self.begun.load(Ordering::SeqCst)
        }
    }

    /// Until every task waits for another.
    async fn rest() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_asks_during_a_read_shares_the_next_one() {
        let bench = Bench::new();
        let first = bench.ask("a");
        rest().await;
        let later: Vec<_> = (0..50).map(|_| bench.ask("a")).collect();
        let other = bench.ask("b");
        rest().await;
        assert_eq!(bench.begun(), 2, "a once, b once");
        bench.gate.add_permits(3);
        assert_eq!(first.await.expect("ends"), 1);
        assert_eq!(other.await.expect("ends"), 2);
        for one in later {
            assert_eq!(one.await.expect("ends"), 3);
        }
        assert_eq!(bench.reads.latest.lock().reads.len(), 0);
    }

    #[tokio::test]
    async fn askers_who_give_up_hold_up_nobody_and_leave_nothing() {
        let bench = Bench::new();
        let first = bench.ask("a");
        rest().await;
        let (second, third) = (bench.ask("a"), bench.ask("a"));
        rest().await;
        first.abort();
        second.abort();
        rest().await;
        bench.gate.add_permits(2);
        assert_eq!(third.await.expect("ends"), 2);

        let alone = bench.ask("b");
        rest().await;
        alone.abort();
        rest().await;
        assert_eq!(bench.reads.latest.lock().reads.len(), 0);
    }
}

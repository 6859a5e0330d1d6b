//! What every store must do. The same checks run against each of them.

use std::future::Future;
use std::sync::Arc;

use super::*;

/// Runs every check, each with a store of its own that `make` gives it.
pub(super) async fn check<S: Store, F: Future<Output = S>>(make: impl Fn() -> F) {
    values_read_back_with_their_revision(make().await).await;
    guards_decide(make().await).await;
    a_refused_transaction_changes_nothing(make().await).await;
    only_the_latest_leader_writes(make().await).await;
    listings_come_in_pages(make().await).await;
    limits_are_enforced(make().await).await;
    commits_happen_in_the_order_of_the_calls(make().await).await;
    of_many_that_want_one_key_one_gets_it(make().await).await;
    exports_can_be_imported(make().await, make().await).await;
    an_export_is_of_one_revision(make().await).await;
}

fn put(key: &str, value: &str) -> Op {
    Op::Put { key: key.to_owned(), value: value.as_bytes().to_vec() }
}

fn delete(key: &str) -> Op {
    Op::Delete { key: key.to_owned() }
}

fn txn(guards: &[Guard], ops: &[Op]) -> Txn {
    Txn { guards: guards.to_vec(), ops: ops.to_vec() }
}

async fn value<S: Store>(store: &S, key: &str) -> Option<String> {
    store.get(key).await.unwrap().map(|entry| String::from_utf8(entry.value).unwrap())
}

async fn values_read_back_with_their_revision<S: Store>(store: S) {
    let first = store.commit(txn(&[], &[put("a", "1"), put("b", "2")])).await.unwrap();
    let second = store.commit(txn(&[], &[put("a", "3"), delete("b"), delete("never")])).await.unwrap();
    assert!(second > first);
    let found = store.get("a").await.unwrap().unwrap();
    assert_eq!((found.key.as_str(), &found.value[..], found.mod_rev), ("a", &b"3"[..], second));
    assert_eq!(store.get("b").await.unwrap(), None);
    store.commit(txn(&[], &[put("empty", "")])).await.unwrap();
    assert_eq!(value(&store, "empty").await.as_deref(), Some(""));
}

async fn guards_decide<S: Store>(store: S) {
    let first = store.commit(txn(&[Guard::Absent("a".into())], &[put("a", "1")])).await.unwrap();
    let taken = store.commit(txn(&[Guard::Absent("a".into())], &[put("a", "2")])).await;
    assert!(matches!(taken, Err(StoreError::Conflict(Guard::Absent(_)))));
    let second = store.commit(txn(&[Guard::ModRev("a".into(), first)], &[put("a", "3")])).await.unwrap();
    let late = store.commit(txn(&[Guard::ModRev("a".into(), first)], &[put("a", "4")])).await;
    assert!(matches!(late, Err(StoreError::Conflict(Guard::ModRev(_, _)))));
    assert_eq!(value(&store, "a").await.as_deref(), Some("3"));
    // What was removed has no revision, not even its last one.
    store.commit(txn(&[Guard::ModRev("a".into(), second)], &[delete("a")])).await.unwrap();
    let gone = store.commit(txn(&[Guard::ModRev("a".into(), second)], &[put("a", "5")])).await;
    assert!(matches!(gone, Err(StoreError::Conflict(_))));
    store.commit(txn(&[Guard::Absent("a".into())], &[put("a", "6")])).await.unwrap();
    // Guards alone only ask.
    assert!(store.commit(txn(&[Guard::Absent("b".into())], &[])).await.is_ok());
    assert!(store.commit(txn(&[Guard::Absent("a".into())], &[])).await.is_err());
}

async fn a_refused_transaction_changes_nothing<S: Store>(store: S) {
    store.commit(txn(&[], &[put("a", "1"), put("b", "1")])).await.unwrap();
    let guards = [Guard::Absent("c".into()), Guard::Absent("a".into())];
    assert!(store.commit(txn(&guards, &[put("c", "1"), put("b", "2"), delete("a")])).await.is_err());
    assert_eq!(value(&store, "c").await, None);
    assert_eq!(value(&store, "b").await.as_deref(), Some("1"));
    assert_eq!(value(&store, "a").await.as_deref(), Some("1"));
}

async fn only_the_latest_leader_writes<S: Store>(store: S) {
    let first = store.campaign("decider").await.unwrap();
    let other = store.campaign("other").await.unwrap();
    store.commit(txn(&[Guard::Fence(first.clone())], &[put("a", "1")])).await.unwrap();
    let second = store.campaign("decider").await.unwrap();
    assert!(second.term > first.term);
    let late = store.commit(txn(&[Guard::Fence(first)], &[put("a", "2")])).await.unwrap_err();
    assert!(late.is_fenced(), "{late}");
    store.commit(txn(&[Guard::Fence(second), Guard::Fence(other)], &[put("a", "3")])).await.unwrap();
    let never = Leadership { name: "nobody".into(), term: Term(1) };
    assert!(store.commit(txn(&[Guard::Fence(never)], &[put("a", "4")])).await.unwrap_err().is_fenced());
    assert_eq!(value(&store, "a").await.as_deref(), Some("3"));
}

async fn listings_come_in_pages<S: Store>(store: S) {
    let leader = store.campaign("p").await.unwrap();
    for key in ["p", "p/1", "p/2", "p/3", "p0", "o/9", "q/1"] {
        store.commit(txn(&[Guard::Fence(leader.clone())], &[put(key, key)])).await.unwrap();
    }
    let keys = |listing: &Listing| listing.entries.iter().map(|it| it.key.clone()).collect::<Vec<_>>();
    let first = store.list("p/", Page { after: None, limit: 2 }).await.unwrap();
    assert_eq!((keys(&first), first.next.as_deref()), (vec!["p/1".into(), "p/2".into()], Some("p/2")));
    let rest = store.list("p/", Page { after: first.next, limit: 2 }).await.unwrap();
    assert_eq!((keys(&rest), rest.next), (vec!["p/3".to_owned()], None));
    let exact = store.list("p/", Page { after: None, limit: 3 }).await.unwrap();
    assert_eq!((exact.entries.len(), exact.next), (3, None));
    assert_eq!(store.list("", Page::default()).await.unwrap().entries.len(), 7);
    // A place before the prefix is the beginning; one after it is the end.
    assert_eq!(store.list("p/", Page { after: Some("a".into()), limit: 0 }).await.unwrap().entries.len(), 3);
    assert_eq!(store.list("p/", Page { after: Some("z".into()), limit: 0 }).await.unwrap().entries.len(), 0);
}

async fn limits_are_enforced<S: Store>(store: S) {
    let many: Vec<Op> = (0..=TXN_OPS_MAX).map(|n| put(&format!("k{n}"), "")).collect();
    assert!(matches!(store.commit(txn(&[], &many)).await, Err(StoreError::TooManyOps { .. })));
    store.commit(txn(&[], &many[1..])).await.unwrap();
    let large = |bytes| Op::Put { key: "large".into(), value: vec![7; bytes] };
    store.commit(txn(&[], &[large(VALUE_MAX)])).await.unwrap();
    assert_eq!(store.get("large").await.unwrap().unwrap().value.len(), VALUE_MAX);
    assert!(matches!(store.commit(txn(&[], &[large(VALUE_MAX + 1)])).await, Err(StoreError::ValueTooLarge { .. })));
    let both = [large(VALUE_MAX), Op::Put { key: "too".into(), value: vec![7; VALUE_MAX] }];
    assert!(matches!(store.commit(txn(&[], &both)).await, Err(StoreError::TxnTooLarge { .. })));
    for key in ["", "a\nb", &"x".repeat(KEY_MAX + 1)] {
        assert!(matches!(store.commit(txn(&[], &[put(key, "")])).await, Err(StoreError::BadKey { .. })), "{key:?}");
    }
    let twice = [put("a", "1"), delete("a")];
    assert!(matches!(store.commit(txn(&[], &twice)).await, Err(StoreError::BadKey { .. })));
}

async fn commits_happen_in_the_order_of_the_calls<S: Store>(store: S) {
    let pending: Vec<Pending> = (0..200).map(|n| store.commit(txn(&[], &[put("n", &n.to_string())]))).collect();
    let mut last = Revision(0);
    // Waited for from the back: the order of the calls is what counts.
    let mut revisions = Vec::new();
    for commit in pending.into_iter().rev() {
        revisions.push(commit.await.unwrap());
    }
    for revision in revisions.into_iter().rev() {
        assert!(revision > last);
        last = revision;
    }
    let found = store.get("n").await.unwrap().unwrap();
    assert_eq!((&found.value[..], found.mod_rev), (&b"199"[..], last));
}

async fn of_many_that_want_one_key_one_gets_it<S: Store>(store: S) {
    let store = Arc::new(store);
    let mut tasks = Vec::new();
    for n in 0..32 {
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            store.commit(txn(&[Guard::Absent("token".into())], &[put("token", &n.to_string())])).await.is_ok()
        }));
    }
    let mut winners = 0;
    for task in tasks {
        winners += usize::from(task.await.unwrap());
    }
    assert_eq!(winners, 1);
}

async fn exports_can_be_imported<S: Store>(store: S, fresh: S) {
    let led = store.campaign("decider").await.unwrap();
    store.commit(txn(&[], &[put("a", "1"), Op::Put { key: "b".into(), value: vec![0, 255, 10] }])).await.unwrap();
    let export = store.export().await.unwrap();
    let read = super::export::decode(&super::export::encode(&export)).unwrap();
    assert_eq!(read, export);
    let revision = fresh.import(read).await.unwrap();
    assert!(revision > export.revision, "revisions must not repeat");
    assert_eq!(fresh.get("b").await.unwrap().unwrap().value, vec![0, 255, 10]);
    // The leaders of before are known, so a new one is above them.
    assert!(fresh.campaign("decider").await.unwrap().term > led.term);
    assert!(matches!(fresh.import(export).await, Err(StoreError::NotEmpty)));
}

async fn an_export_is_of_one_revision<S: Store>(store: S) {
    for n in 0..300 {
        store.commit(txn(&[], &[put(&format!("x{n:04}"), "0"), put(&format!("y{n:04}"), "0")])).await.unwrap();
    }
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..300 {
                let value = n.to_string();
                let (x, y) = (put(&format!("x{n:04}"), &value), put(&format!("y{n:04}"), &value));
                store.commit(txn(&[], &[x, y])).await.unwrap();
            }
        })
    };
    for _ in 0..10 {
        let export = store.export().await.unwrap();
        for n in 0..300 {
            let (x, y) = (&export.entries[&format!("x{n:04}")], &export.entries[&format!("y{n:04}")]);
            assert_eq!(x, y, "half of a transaction is in the export of revision {}", export.revision.0);
        }
    }
    writer.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_conforms() {
    check(|| async { MemoryStore::new() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sled_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicU32::new(0);
    check(|| async {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        SledStore::open(&dir.path().join(n.to_string())).unwrap()
    })
    .await;
}

//! The lease, and what becomes of a run that loses it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::doc;
use edulearn_migrate::engine::{CallContext, unlock};
use edulearn_migrate::error::Error;
use edulearn_migrate::observe::{Event, Kind, Observer, Reporter, Silent, Stop};
use edulearn_migrate::run::worker::Workers;
use edulearn_migrate::run::{self, handle::Run};
use tokio::sync::Notify;

use crate::support::{Fixture, LOCK_TIMEOUT, with_database};

async fn open(fixture: &Fixture, timeout: Duration) -> Result<Run, Error> {
    run::open(&fixture.server, "apply", timeout, Workers::default(), &Reporter::new(Arc::new(Silent)), &Stop::new())
        .await
}

#[test]
fn one_run_at_a_time_and_the_next_waits_no_longer_than_told() {
    with_database(async |fixture| {
        let first = open(&fixture, LOCK_TIMEOUT).await.expect("the lease");
        let begun = Instant::now();
        let Err(Error::LockHeld { message, owner }) = open(&fixture, Duration::from_millis(500)).await else {
            panic!("the lease was given twice");
        };
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        assert_eq!(owner.pid, i64::from(std::process::id()));
        assert!(message.contains(&owner.host) && message.contains("since 20"), "{message}");
        let token = first.lease.token();
        first.close().await;
        let second = open(&fixture, Duration::ZERO).await.expect("the lease is free");
        assert!(second.lease.token() > token);
        second.close().await;
    });
}

/// Holds the run up in the middle of a chunked update until told to go on.
struct HoldUp {
    reached: Notify,
    go_on: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Observer for HoldUp {
    fn notify(&self, event: &Event) {
        if event.kind == Kind::Progress {
            self.reached.notify_one();
            let _ = self.go_on.lock().expect("unpoisoned").recv();
        }
    }
}

#[test]
fn a_run_whose_lock_was_broken_writes_nothing_more() {
    with_database(async |fixture| {
        fixture.insert("c", (0..5_000).map(|i| doc! {"_id": i, "n": 0}).collect()).await;
        fixture.write(
            1,
            r#"{"type": "update_documents", "collection": "c", "filter": {}, "update": {"$inc": {"n": 1}}}"#,
            "",
        );
        let (go_on, held) = std::sync::mpsc::channel();
        let observer = Arc::new(HoldUp { reached: Notify::new(), go_on: std::sync::Mutex::new(held) });
        let run = tokio::spawn({
            let (fixture, observer) = (fixture.clone(), observer.clone());
            async move { fixture.apply_with(observer, Stop::new()).await }
        });
        observer.reached.notified().await;
        let verb = CallContext::new(Arc::new(Silent), Stop::new());
        assert!(matches!(unlock::unlock(&fixture.engine(), &verb, false).await, Err(Error::LockHeld { .. })));
        assert!(unlock::unlock(&fixture.engine(), &verb, true).await.expect("breaks").broken);
        let done = fixture.count("c", doc! {"n": 1}).await;
        let record = fixture.record("migration_1").await;
        let history = fixture.count("migrations_history", doc! {}).await;
        drop(go_on);
        let failed = run.await.expect("joins").expect_err("stops");
        assert!(matches!(failed.error, Error::LeaseLost(_)), "{failed}");
        assert_eq!(fixture.count("c", doc! {"n": 1}).await, done);
        assert_eq!(fixture.record("migration_1").await, record);
        assert_eq!(fixture.count("migrations_history", doc! {}).await, history);
        fixture.apply().await.expect("carries on");
        assert_eq!(fixture.count("c", doc! {"n": 1}).await, 5_000);
    });
}

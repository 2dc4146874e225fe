//! A database for each test, and migrations from text.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bson::{Document, RawDocumentBuf, doc};
use edulearn_migrate::engine::selection::{ApplyOptions, RollbackOptions};
use edulearn_migrate::engine::{CallContext, Engine, scripts};
use edulearn_migrate::error::Failed;
use edulearn_migrate::mongo::server::Server;
use edulearn_migrate::names::Names;
use edulearn_migrate::observe::{Observer, Silent, Stop};
use edulearn_migrate::run::report::RunReport;

pub const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// A database and a migrations directory of a test's own.
pub struct Fixture {
    pub server: Server,
    pub uri: String,
    pub directory: tempfile::TempDir,
}

impl Fixture {
    pub fn engine(&self) -> Engine {
        let directory = Some(self.directory.path().to_path_buf());
        Engine::new(&self.uri, self.server.database(), directory, Names::default()).expect("an engine")
    }

    pub fn write(&self, number: u32, up: &str, down: &str) -> PathBuf {
        let text =
            format!(r#"{{"name": "m{number}", "up": {{"operations": [{up}]}}, "down": {{"operations": [{down}]}}}}"#);
        let path = self.directory.path().join(format!("migration_{number}_m{number}.json"));
        std::fs::write(&path, text).expect("writes");
        path
    }

    pub async fn apply(&self) -> Result<RunReport, Failed<RunReport>> {
        self.apply_with(Arc::new(Silent), Stop::new()).await
    }

    pub async fn apply_with(&self, observer: Arc<dyn Observer>, stop: Stop) -> Result<RunReport, Failed<RunReport>> {
        let verb = CallContext::new(observer, stop);
        scripts::apply(&self.engine(), &verb, ApplyOptions::default(), LOCK_TIMEOUT).await
    }

    pub async fn rollback(&self) -> Result<RunReport, Failed<RunReport>> {
        let verb = CallContext::new(Arc::new(Silent), Stop::new());
        scripts::rollback(&self.engine(), &verb, RollbackOptions::default(), LOCK_TIMEOUT).await
    }

    pub async fn insert(&self, collection: &str, documents: Vec<Document>) {
        for part in documents.chunks(5_000) {
            self.server.run(doc! {"insert": collection, "documents": part.to_vec()}, None).await.expect("inserts");
        }
    }

    pub async fn find(&self, collection: &str, filter: Document) -> Vec<RawDocumentBuf> {
        let command = doc! {"find": collection, "filter": filter, "sort": {"_id": 1}};
        self.server.find_all(command).await.expect("finds")
    }

    pub async fn count(&self, collection: &str, filter: Document) -> i32 {
        let reply = self.server.run(doc! {"count": collection, "query": filter}, None).await.expect("counts");
        reply.get_i32("n").expect("n")
    }

    pub async fn record(&self, id: &str) -> Document {
        let found = self.find("migrations", doc! {"_id": id}).await;
        Document::try_from(found.first().expect("a record").as_ref()).expect("decodes")
    }
}

/// Runs `test` with a fixture, and drops its database.
pub fn with_database<F: Future<Output = ()>>(test: impl FnOnce(Arc<Fixture>) -> F) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let uri = std::env::var("EDULEARN_TEST_URI").expect(
        "EDULEARN_TEST_URI names no server: run `make test`, or set it to a replica set that tests may write to",
    );
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let name = format!("engine_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let server = Server::connect(&uri, &name, Names::default()).await.expect("a server").without_lease();
        let fixture = Arc::new(Fixture { server, uri, directory: tempfile::tempdir().expect("a directory") });
        test(fixture.clone()).await;
        fixture.server.run(doc! {"dropDatabase": 1}, None).await.expect("drops");
    });
}

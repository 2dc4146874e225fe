//! Every long wait for the server says what is waited for.
//!
//! [`reporting`] sets the reporter of a verb that runs, [`Waits::during`] watches one command: after five seconds it asks
//! the server, beside the command, what that waits for, and tells it in one line.

use std::fmt::Write as _;
use std::pin::pin;
use std::time::Duration;

use bson::{Document, RawDocument, doc};
use mongodb::Client;
use tokio::time::{Instant, timeout};

use crate::observe::{Kind, Level, Reporter};

/// How long a wait may last unexplained.
const FIRST: Duration = Duration::from_secs(5);
/// How long it may go on before it is told again.
const AGAIN: Duration = Duration::from_secs(60);
/// How long the server may take to explain it.
const EXPLAINING: Duration = Duration::from_secs(3);

tokio::task_local! {
    static LISTENS: Reporter;
}

/// Tells `reporter` what commands wait for, as long as `work` goes on.
pub async fn reporting<T>(reporter: Reporter, work: impl Future<Output = T>) -> T {
    LISTENS.scope(reporter, work).await
}

/// One command that may have to wait.
pub struct Waits {
    /// What is waited for, in words.
    what: String,
    /// The namespace it concerns, where it concerns one.
    namespace: Option<String>,
    /// Whether members of the replica set may be what it waits for.
    members: bool,
}

impl Waits {
    /// A command on `database`.
    pub fn of(database: &str, command: &RawDocument) -> Self {
        let (name, collection) = match command.iter().flatten().next() {
            Some((name, value)) => (name.as_str().to_owned(), value.as_str()),
            None => (String::new(), None),
        };
        let what = match (name.as_str(), collection) {
            ("hello", _) => "the server to answer".to_owned(),
            ("createIndexes", Some(on)) => format!("an index on {on:?} to be built"),
            (_, Some(on)) => format!("the answer to `{name}` on {on:?}"),
            (_, None) => format!("the answer to `{name}`"),
        };
        let namespace = collection.map(|it| if it.contains('.') { it.to_owned() } else { format!("{database}.{it}") });
        let members = name == "createIndexes" || command.get("writeConcern").is_ok_and(|it| it.is_some());
        Self { what, namespace, members }
    }

    /// A commit.
    pub fn of_commit() -> Self {
        Self { what: "a commit to reach a majority of the members".to_owned(), namespace: None, members: true }
    }

    /// Does `work`, and tells what is waited for where it takes long.
    pub async fn during<T>(self, client: &Client, work: impl Future<Output = T>) -> T {
        let Ok(reporter) = LISTENS.try_with(Clone::clone) else { return work.await };
        let begun = Instant::now();
        let mut work = pin!(work);
        let mut pause = FIRST;
        loop {
            if let Ok(answer) = timeout(pause, &mut work).await {
                return answer;
            }
            pause = AGAIN;
            let told = async {
                let reason = self.reason(client).await;
                let seconds = begun.elapsed().as_secs();
                let message = format!("Waiting for {} (for {seconds} s so far). {reason}", self.what);
                reporter.tell(Kind::Waiting, Level::Warning, message.trim_end());
            };
            tokio::select! {
                biased;
                answer = &mut work => return answer,
                () = told => {}
            }
        }
    }

    /// Why it takes so long, as far as the server says.
    async fn reason(&self, client: &Client) -> String {
        timeout(EXPLAINING, self.explained(client)).await.unwrap_or_else(|_| "The server does not answer.".to_owned())
    }

    async fn explained(&self, client: &Client) -> String {
        let mut reason = String::new();
        if let Some(namespace) = &self.namespace {
            let waits = doc! {"ns": namespace, "waitingForLock": true};
            if !operations(client, doc! {}, waits).await.is_empty() {
                reason.push_str("Another operation holds a lock on the collection");
                if let Some(transaction) = transaction(client).await {
                    let _ = write!(reason, "; {transaction}");
                }
                reason.push('.');
            }
        }
        if reason.is_empty() && self.members {
            let down = members_down(client).await;
            if !down.is_empty() {
                let _ = write!(reason, "Not available: {}.", down.join(", "));
            }
        }
        reason
    }
}

/// Operations of the server; none where it does not show them.
async fn operations(client: &Client, options: Document, filter: Document) -> Vec<Document> {
    let command = doc! {
        "aggregate": 1, "pipeline": [{"$currentOp": options}, {"$match": filter}], "cursor": {},
    };
    let reply = client.database("admin").run_command(command).await.unwrap_or_default();
    let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    batch.map(|batch| batch.iter().filter_map(|each| each.as_document().cloned()).collect()).unwrap_or_default()
}

/// The transaction that has been open for the longest time, in words.
async fn transaction(client: &Client) -> Option<String> {
    let options = doc! {"allUsers": true, "idleSessions": true};
    let open = operations(client, options, doc! {"transaction.timeOpenMicros": {"$gt": 1_000_000}}).await;
    let age = |of: &Document| of.get_document("transaction").and_then(|it| it.get_i64("timeOpenMicros")).unwrap_or(0);
    let oldest = open.iter().max_by_key(|each| age(each))?;
    let whose = oldest.get_str("appName").or_else(|_| oldest.get_str("client")).unwrap_or("an unknown client");
    Some(format!("a transaction of {whose} has been open for {} s", age(oldest) / 1_000_000))
}

/// Members of the replica set that hold no current data.
async fn members_down(client: &Client) -> Vec<String> {
    let status = client.database("admin").run_command(doc! {"replSetGetStatus": 1}).await.unwrap_or_default();
    let Ok(members) = status.get_array("members") else { return Vec::new() };
    let well = ["PRIMARY", "SECONDARY", "ARBITER"];
    let down = members.iter().filter_map(|member| {
        let member = member.as_document()?;
        let (name, state) = (member.get_str("name").ok()?, member.get_str("stateStr").ok()?);
        (!well.contains(&state)).then(|| format!("{name} ({state})"))
    });
    down.collect()
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[test]
    fn commands_in_words() {
        let index = Waits::of("school", &rawdoc! {"createIndexes": "users", "writeConcern": {"w": "majority"}});
        assert_eq!(index.what, "an index on \"users\" to be built");
        assert_eq!(index.namespace.as_deref(), Some("school.users"));
        assert!(index.members);
        let find = Waits::of("school", &rawdoc! {"find": "users"});
        assert_eq!(find.what, "the answer to `find` on \"users\"");
        assert!(!find.members);
        let rename = Waits::of("admin", &rawdoc! {"renameCollection": "school.a", "to": "school.b"});
        assert_eq!(rename.namespace.as_deref(), Some("school.a"));
        assert_eq!(Waits::of("admin", &rawdoc! {"serverStatus": 1}).what, "the answer to `serverStatus`");
    }
}

//! Fencing: a run that takes over makes sure that earlier owners of the lease write nothing more.

use bson::{Bson, Document, doc};

use super::foreign;
use super::sessions::end_sessions;
use super::transaction::with_majority;
use crate::error::{Error, Result};
use crate::mongo::retry::{Retry, retry};
use crate::mongo::server::Server;
use crate::names::Names;
use crate::observe::{Reporter, Stop};

/// Makes sure that earlier owners write nothing more.
pub(super) async fn fence(
    server: &Server,
    run: &str,
    token: i64,
    retired: Vec<Bson>,
    reporter: &Reporter,
    stop: &Stop,
) -> Result<()> {
    // Those that were told of have been tried once.
    end_sessions(server, retired, None).await;
    raise_token(server, token, reporter, stop).await?;
    let mut retry = Retry::new(reporter, stop);
    let command = doc! {
        "update": server.names().lock(),
        "updates": [{"q": {"_id": "lock", "owner.run": run}, "u": {"$set": {"retired": []}}}],
        "writeConcern": {"w": "majority"},
    };
    retry!(retry, server.run(command.clone(), None)).map(drop).map_err(Error::server("Taking over the lock"))
}

/// Raises the fencing token in the record of every unfinished migration.
async fn raise_token(server: &Server, token: i64, reporter: &Reporter, stop: &Stop) -> Result<()> {
    let command = with_majority(raise_token_command(server.names(), token));
    let mut retry = Retry::new(reporter, stop);
    retry!(retry, server.run(command.clone(), None)).map(drop).map_err(Error::server("Fencing the earlier run"))
}

/// The command that raises the fencing token in the record of every unfinished migration.
pub fn raise_token_command(names: &Names, token: i64) -> Document {
    // Another tool's documents may stand beside ours, and have such a status, too.
    let mut unfinished = foreign::of_ours();
    unfinished.insert("status", doc! {"$in": ["applying", "rolling_back", "failed"]});
    doc! {
        "update": names.ledger(),
        "updates": [{
            "q": unfinished,
            "u": {"$max": {"token": token}},
            "multi": true,
        }],
    }
}

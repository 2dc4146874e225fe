//! The server sessions of runs that are gone: who takes over ends them.

use bson::{Bson, Document, doc};

use super::login;
use crate::mongo::server::Server;
use crate::observe::{Kind, Level, Reporter};

/// The server sessions of an owner: one for each of its workers.
pub fn sessions_of(owner: &Document) -> Vec<Bson> {
    let others = owner.get_array("sessions").into_iter().flatten();
    owner.get("session").into_iter().chain(others).cloned().collect()
}

/// Ends server sessions of owners that are gone. Without this, a transaction that a killed run left open
/// blocks its documents for a minute or more.
pub async fn end_sessions(server: &Server, sessions: Vec<Bson>, reporter: Option<&Reporter>) {
    let sessions = sessions.iter().filter_map(Bson::as_document);
    let own = login::of(server).await.ok().flatten().map(|login| login::digest(&login));
    // A session belongs to the database user who began it. Named without one, it is the asking user's.
    let (own, others): (Vec<&Document>, Vec<&Document>) =
        sessions.partition(|session| session.get("uid").is_none_or(|uid| own.as_ref() == Some(uid)));
    let tell = |message: String| {
        if let Some(reporter) = reporter {
            reporter.tell(Kind::Warning, Level::Warning, message);
        }
    };
    // An empty list means every session there is, to the server.
    if !own.is_empty() {
        let named: Vec<Document> = own.iter().map(|session| doc! {"id": session.get("id").cloned()}).collect();
        if let Err(e) = server.run_admin(doc! {"killSessions": named}).await {
            tell(format!(
                "The server session of the earlier run could not be ended ({e}). A transaction that it has left open may block \
                 this run until the server ends it, within two minutes."
            ));
        }
    }
    if !others.is_empty() {
        let named: Vec<Document> = others.iter().map(|session| doc! {"lsid": Document::clone(session)}).collect();
        if let Err(e) = server.run_admin(doc! {"killAllSessionsByPattern": named}).await {
            tell(format!(
                "The earlier run worked as another database user, whose session this one may not end ({}). A transaction that it \
                 has left open may block this run until the server ends it, within two minutes. The right `killAnySession` on the \
                 cluster allows it.",
                e.code_name
            ));
        }
    }
}

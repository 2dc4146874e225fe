//! What a swap sends: schema commands, each safe to be sent twice.

use bson::{Document, RawDocumentBuf, doc};

use crate::error::codes;
use crate::error::server::ServerError;
use crate::error::{ASK_FOR_RIGHTS, Error, Result, foreign};
use crate::mongo::retry::Retry;
use crate::mongo::server::Server;
use crate::observe::Stop;
use crate::run::handle::Run;
use crate::run::transaction::with_majority;

/// Sends a schema command under a proven lease, again and again while the server cannot be used: every step can be
/// taken twice. The server's errors are the inner ones.
///
/// # Errors
/// [`Error::LeaseLost`] or [`Error::Interrupted`].
pub async fn schema(run: &mut Run, command: RawDocumentBuf) -> Result<Result<Document, ServerError>> {
    let server = run.server.clone();
    send(run, &server, command).await
}

async fn send(run: &mut Run, server: &Server, command: RawDocumentBuf) -> Result<Result<Document, ServerError>> {
    let never = Stop::new();
    let reporter = run.reporter.clone();
    let mut retry = Retry::new(&reporter, &never);
    loop {
        match server.run_raw(command.clone(), None).await {
            Ok(reply) => return Ok(Ok(reply)),
            Err(e) if e.is(codes::LEASE_LOST) => return Err(run.lease_lost()),
            Err(e) => match retry.wait(e).await? {
                Ok(()) => {}
                Err(e) => return Ok(Err(e)),
            },
        }
    }
}

/// Renames a collection over whatever has the name. The server's errors are the inner ones.
///
/// # Errors
/// [`Error::LeaseLost`] or [`Error::Interrupted`].
pub async fn rename(run: &mut Run, from: &str, to: &str) -> Result<Result<Document, ServerError>> {
    let database = run.server.database();
    let command = doc! {
        "renameCollection": format!("{database}.{from}"),
        "to": format!("{database}.{to}"),
        "dropTarget": true,
    };
    let admin = run.server.with_database("admin");
    send(run, &admin, raw(&with_majority(command))?).await
}

/// [`drop_collection`]; false where the user may not.
///
/// # Errors
/// As [`drop_collection`].
pub async fn drop_if_allowed(run: &mut Run, name: &str) -> Result<bool> {
    match dropped(run, name).await? {
        Ok(()) => Ok(true),
        Err(e) if e.is(codes::UNAUTHORIZED) => Ok(false),
        Err(e) => Err(stuck(name, e)),
    }
}

async fn dropped(run: &mut Run, name: &str) -> Result<Result<(), ServerError>> {
    Ok(match schema(run, raw(&with_majority(doc! {"drop": name}))?).await? {
        Err(e) if !e.is(codes::NAMESPACE_NOT_FOUND) => Err(e),
        _ => Ok(()),
    })
}

/// A command as bytes.
///
/// # Errors
/// [`Error::Backup`] where it cannot be one.
pub fn raw(command: &Document) -> Result<RawDocumentBuf> {
    RawDocumentBuf::try_from(command)
        .map_err(|e| Error::Backup(format!("A command could not be put together: {}.", foreign::bson(&e))))
}

/// An error that leaves the swap incomplete, in words.
pub fn stuck(target: &str, error: ServerError) -> Error {
    if error.is(codes::UNAUTHORIZED) {
        let advice = error.lacking.as_ref().map_or_else(|| ASK_FOR_RIGHTS.to_owned(), |lacking| lacking.advice());
        return Error::Backup(format!(
            "{target:?} could not be put in its place: the server does not allow it: {error}. The swap is not complete. {advice}, then \
             run the command again: `restore` completes the swap first. `restore --abandon` gives it up."
        ));
    }
    if error.is_passing() || error.authentication || error.is(codes::LEASE_LOST) {
        return Error::server(format!("Putting {target:?} in its place"))(error);
    }
    Error::Backup(format!(
        "{target:?} could not be put in its place: {error}. The swap is not complete. Remove the cause and run `restore` again: it completes \
         the swap first. `restore --abandon` gives it up."
    ))
}

/// Drops a collection, time-series collection or view; one that is not there is dropped already.
///
/// # Errors
/// [`Error::LeaseLost`] or the server's.
pub async fn drop_collection(run: &mut Run, name: &str) -> Result<()> {
    dropped(run, name).await?.map_err(|e| stuck(name, e))
}

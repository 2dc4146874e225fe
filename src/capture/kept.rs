//! The one way in which documents are inserted that are kept, or were: into the captures, and back out of them.
//!
//! - A command holds at most [`DOCUMENTS`] documents and [`BYTES`] bytes, unless one document alone has more: the
//!   server takes 100,000 documents and 16 MiB.
//! - The server puts the time into a zero timestamp at the top of a document that it is sent; the zero is put back.
//! - If a unique index refuses documents, the answer names each one. Within a transaction the server aborts at the
//!   first one.

use bson::{RawArrayBuf, RawDocumentBuf, rawdoc};
use mongodb::ClientSession;

use crate::error::codes;
use crate::error::server::ServerError;
use crate::mongo::id::Id;
use crate::mongo::raw::{BINARY, Builder, DOCUMENT, depth, fields, first, has_duplicates, has_zero_timestamp};
use crate::mongo::server::Server;
use crate::run::transaction::send;

/// Documents of one command.
const DOCUMENTS: usize = 10_000;
/// Bytes of one command's documents.
const BYTES: usize = 8 * 1024 * 1024;
/// A larger document leaves no room for a wrapper.
const WRAPPABLE: usize = 15 * 1024 * 1024;
/// Deeper ones are wrapped as bytes: the server stores 180 levels.
const DEEP: usize = 150;

/// What is done about a document that a unique index bars, the one on `_id` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barred {
    /// The insert fails; the error has the document's index.
    Fails,
    /// It is passed over. In a transaction it [`Fails`](Self::Fails) like the others.
    PassedOver,
    /// An earlier attempt kept what is now an older version of it, which is replaced. In a transaction there are none.
    Renewed,
}

/// Inserts documents; answers with the indices of those that were passed over.
///
/// # Errors
/// The server's.
pub async fn insert<'d>(
    server: &Server,
    mut session: Option<&mut ClientSession>,
    collection: &str,
    documents: impl IntoIterator<Item = &'d RawDocumentBuf>,
    barred: Barred,
) -> Result<Vec<usize>, ServerError> {
    let documents: Vec<&RawDocumentBuf> = documents.into_iter().collect();
    let mut passed = Vec::new();
    for batch in batches(&documents) {
        let (start, batch) = batch;
        let taken = if session.is_some() || barred == Barred::Fails {
            let command = command(collection, batch.iter().copied(), true);
            send(server, session.as_deref_mut(), command)
                .await
                .map_err(|error| ServerError { index: error.index.map(|at| start + at), ..error })?;
            Vec::new()
        } else {
            insert_what_can_be(server, collection, batch).await?
        };
        if barred == Barred::Renewed && !taken.is_empty() {
            let old: Vec<Id> = taken.iter().filter_map(|at| Id::of_stored(batch[*at])).collect();
            let delete = rawdoc! {"q": {"_id": Id::any_of(&old)}, "limit": 0};
            send(server, None, rawdoc! {"delete": collection, "deletes": [delete]}).await?;
            let command = command(collection, taken.iter().map(|at| batch[*at]), true);
            send(server, None, command).await?;
            keep_timestamps(server, None, collection, batch.iter().copied()).await?;
            continue;
        }
        let inserted = batch.iter().enumerate().filter(|(at, _)| taken.binary_search(at).is_err());
        let inserted: Vec<&RawDocumentBuf> = inserted.map(|(_, document)| *document).collect();
        keep_timestamps(server, session.as_deref_mut(), collection, inserted.into_iter()).await?;
        passed.extend(taken.into_iter().map(|at| start + at));
    }
    Ok(passed)
}

/// Documents cut into what one command takes, each with the index of its first one.
fn batches<'b, 'd>(documents: &'b [&'d RawDocumentBuf]) -> impl Iterator<Item = (usize, &'b [&'d RawDocumentBuf])> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = documents.get(start..).filter(|rest| !rest.is_empty())?;
        let mut bytes = 0;
        let fitting = rest.iter().take(DOCUMENTS).take_while(|document| {
            bytes += document.as_bytes().len();
            bytes <= BYTES
        });
        let batch = &rest[..fitting.count().max(1)];
        let from = start;
        start += batch.len();
        Some((from, batch))
    })
}

fn command<'d>(collection: &str, documents: impl Iterator<Item = &'d RawDocumentBuf>, ordered: bool) -> RawDocumentBuf {
    let documents: RawArrayBuf = documents.cloned().collect();
    rawdoc! {
        "insert": collection, "documents": documents, "ordered": ordered, "bypassDocumentValidation": true,
    }
}

/// Inserts a batch without a transaction; the indices of those that a unique index bars.
async fn insert_what_can_be(
    server: &Server,
    collection: &str,
    batch: &[&RawDocumentBuf],
) -> Result<Vec<usize>, ServerError> {
    let mut command = command(collection, batch.iter().copied(), false);
    command.append(bson::raw::cstr!("writeConcern"), rawdoc! {"w": "majority"});
    let refused = server.write_what_can_be(command).await?;
    let mut taken = Vec::new();
    for error in refused {
        match error.index {
            Some(at) if error.is(codes::DUPLICATE_KEY) => taken.push(at),
            _ => return Err(error),
        }
    }
    taken.sort_unstable();
    Ok(taken)
}

/// Puts the zero back into zero timestamps at the top of documents that were just inserted: an insert puts the time there.
///
/// # Errors
/// The server's.
pub async fn keep_timestamps<'d>(
    server: &Server,
    mut session: Option<&mut ClientSession>,
    collection: &str,
    documents: impl Iterator<Item = &'d RawDocumentBuf>,
) -> Result<(), ServerError> {
    let odd: Vec<&RawDocumentBuf> =
        documents.filter(|document| has_zero_timestamp(document.as_bytes()) && !is_changed(document)).collect();
    for (_, batch) in batches(&odd) {
        let statements = batch.iter().filter_map(|document| {
            let id = Id::of_stored(document)?;
            Some(rawdoc! {"q": id.filter(), "u": [{"$replaceWith": {"$literal": (*document).clone()}}]})
        });
        let statements: RawArrayBuf = statements.collect();
        let command = rawdoc! {"update": collection, "updates": statements, "bypassDocumentValidation": true};
        send(server, session.as_deref_mut(), command).await?;
    }
    Ok(())
}

/// Whether no command inserts a document as it is: a zero timestamp at the top beside a name that it has twice.
pub fn is_changed(document: &RawDocumentBuf) -> bool {
    has_zero_timestamp(document.as_bytes()) && has_duplicates(document.as_bytes())
}

/// The field of a document that is kept wrapped.
const WRAPPED: &[u8] = b"migrations_whole";

/// Keeps documents whole, under their own `_id`s. One that the server would change on insert is wrapped.
///
/// # Errors
/// The server's.
pub async fn insert_whole<'d>(
    server: &Server,
    session: Option<&mut ClientSession>,
    collection: &str,
    documents: impl IntoIterator<Item = &'d RawDocumentBuf>,
) -> Result<(), ServerError> {
    let kept: Vec<RawDocumentBuf> = documents.into_iter().map(wrapped).collect();
    insert(server, session, collection, &kept, Barred::Renewed).await.map(drop).map_err(uncaptured)
}

fn wrapped(document: &RawDocumentBuf) -> RawDocumentBuf {
    let id = first(document.as_bytes()).filter(|_| has_zero_timestamp(document.as_bytes()));
    match id {
        Some(id) if document.as_bytes().len() < WRAPPABLE => {
            let mut wrapper = Builder::default();
            wrapper.push(&id);
            nest(&mut wrapper, WRAPPED, document);
            wrapper.finish()
        }
        _ => document.clone(),
    }
}

/// Appends a document to a wrapper: as bytes where it is too deep to be nested in another.
pub fn nest(wrapper: &mut Builder, name: &[u8], document: &RawDocumentBuf) {
    if depth(document.as_bytes()) <= DEEP {
        wrapper.document(name, document.as_bytes());
        return;
    }
    let length = u32::try_from(document.as_bytes().len()).unwrap_or(u32::MAX).to_le_bytes();
    wrapper.value(BINARY, name, &[&length[..], &[0], document.as_bytes()].concat());
}

/// The document that [`nest`] appended to a wrapper.
pub fn nested(wrapper: &RawDocumentBuf, name: &[u8]) -> Option<RawDocumentBuf> {
    let parts = fields(wrapper.as_bytes())?;
    let own = parts.iter().find(|part| part.name == name)?;
    let bytes = match own.kind {
        DOCUMENT => own.value,
        BINARY => own.value.get(5..)?,
        _ => return None,
    };
    RawDocumentBuf::from_bytes(bytes.to_vec()).ok()
}

/// A document that [`insert_whole`] kept.
pub fn unwrapped(kept: RawDocumentBuf) -> RawDocumentBuf {
    match fields(kept.as_bytes()).as_deref() {
        Some([_, only]) if only.name == WRAPPED => nested(&kept, WRAPPED).unwrap_or(kept),
        _ => kept,
    }
}

/// Says of an error that it is the capture that failed, not the operation.
pub fn uncaptured(error: ServerError) -> ServerError {
    if error.is_passing() || error.transient_transaction {
        return error;
    }
    let message = format!(
        "what it overwrites could not be captured: {}. \"capture\": false in the operation goes without",
        error.message
    );
    ServerError { message, index: None, written: Some(0), ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_to_both_limits() {
        let small: Vec<RawDocumentBuf> = (0..25_000).map(|n| rawdoc! {"_id": n}).collect();
        let large = rawdoc! {"_id": 1, "pad": "x".repeat(5 * 1024 * 1024)};
        let lengths = |documents: &[&RawDocumentBuf]| -> Vec<(usize, usize)> {
            batches(documents).map(|(start, batch)| (start, batch.len())).collect()
        };
        assert_eq!(lengths(&small.iter().collect::<Vec<_>>()), [(0, 10_000), (10_000, 10_000), (20_000, 5_000)]);
        assert_eq!(lengths(&[&small[0], &large, &large, &small[1]]), [(0, 2), (2, 2)]);
        assert_eq!(lengths(&[]), []);
    }

    #[test]
    fn wrappers_give_back_what_they_were_given() {
        let mut deep = rawdoc! {"end": 1};
        for _ in 0..170 {
            deep = rawdoc! {"d": deep};
        }
        let zero = bson::Timestamp { time: 0, increment: 0 };
        for document in [rawdoc! {"_id": 1, "t": zero}, rawdoc! {"_id": 1, "t": zero, "deep": deep}] {
            let kept = wrapped(&document);
            assert_ne!(kept, document);
            assert!(depth(kept.as_bytes()) <= 180);
            assert_eq!(unwrapped(kept), document);
        }
        let plain = rawdoc! {"_id": 1, "a": 1};
        assert_eq!(unwrapped(wrapped(&plain)), plain);
    }
}

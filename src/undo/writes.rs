//! The writes of one transaction of an undo, in order, in as few commands as they need.

use std::collections::{HashMap, HashSet};

use bson::{RawArrayBuf, RawDocumentBuf, rawdoc};
use mongodb::ClientSession;

use crate::error::codes;
use crate::error::server::ServerError;
use crate::mongo::id::Id;
use crate::mongo::raw::{fields, has_duplicates, has_zero_timestamp};
use crate::mongo::reply::written;
use crate::mongo::server::Server;
use crate::run::transaction::send;

/// Statements of one command, and bytes: the server takes 100,000 and 48 MB.
const STATEMENTS: usize = 25_000;
const BYTES: usize = 16 * 1024 * 1024;

/// What is written of one document.
#[derive(Debug, Clone)]
pub enum Write {
    /// These update operators, which make it `document`.
    Operators {
        /// `$set` and `$unset`.
        operators: RawDocumentBuf,
        /// The result.
        document: RawDocumentBuf,
    },
    /// It is replaced.
    Replace(RawDocumentBuf),
    /// It is deleted.
    Delete,
}

impl Write {
    /// The replacement by a document whose fields cannot be told apart by name; `None` where no command leaves
    /// it as it is: a zero timestamp at the top together with a name that it has twice.
    pub fn replacing(document: RawDocumentBuf) -> Option<Self> {
        let pipeline = needs_pipeline(&document);
        (!pipeline || !has_duplicates(document.as_bytes())).then_some(Self::Replace(document))
    }

    /// The document as it will be; `None` for one that is deleted.
    pub fn document(&self) -> Option<&RawDocumentBuf> {
        match self {
            Self::Operators { document, .. } | Self::Replace(document) => Some(document),
            Self::Delete => None,
        }
    }
}

/// A plain replacement puts the time into a zero timestamp at the top, and takes a name with `$` for an
/// operator.
fn needs_pipeline(document: &RawDocumentBuf) -> bool {
    has_zero_timestamp(document.as_bytes())
        || fields(document.as_bytes()).unwrap_or_default().iter().any(|field| field.name.starts_with(b"$"))
}

/// Writes, as they were asked for.
pub struct UndoWrites<'a> {
    collection: &'a str,
    one_by_one: bool,
    statements: Vec<UndoStatement>,
    /// Where the statement of documents that get the same operators is.
    groups: HashMap<Vec<u8>, usize>,
    /// The documents of these statements.
    grouped: HashSet<Id>,
}

struct UndoStatement {
    ids: Vec<Id>,
    write: Write,
}

impl<'a> UndoWrites<'a> {
    /// Documents that get the same values share a statement, unless each is to be written `one_by_one`.
    pub fn new(collection: &'a str, one_by_one: bool) -> Self {
        Self { collection, one_by_one, statements: Vec::new(), groups: HashMap::new(), grouped: HashSet::new() }
    }

    /// Adds one document's.
    pub fn add(&mut self, id: Id, write: Write) {
        let key = match &write {
            _ if self.one_by_one => None,
            Write::Operators { operators, .. } => Some(operators.as_bytes().to_vec()),
            Write::Delete => Some(Vec::new()),
            Write::Replace(_) => None,
        };
        // A document that is written again comes after its first write: no statement before that takes it up.
        if !self.one_by_one && !self.grouped.insert(id.clone()) {
            self.groups.clear();
            self.grouped.clear();
            self.grouped.insert(id.clone());
        }
        if let Some(at) = key.as_ref().and_then(|key| self.groups.get(key)) {
            self.statements[*at].ids.push(id);
            return;
        }
        if let Some(key) = key {
            self.groups.insert(key, self.statements.len());
        }
        self.statements.push(UndoStatement { ids: vec![id], write });
    }

    /// Sends them.
    ///
    /// # Errors
    /// The server's, with the document that it is about where it is about one.
    pub async fn send(
        &self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
    ) -> Result<(), (ServerError, Option<Id>)> {
        let mut batch: Vec<(&UndoStatement, RawDocumentBuf)> = Vec::new();
        let mut bytes = 0;
        for statement in &self.statements {
            let built = statement.build();
            let size = built.as_bytes().len();
            let other_kind = batch.first().is_some_and(|(first, _)| first.deletes() != statement.deletes());
            if other_kind || batch.len() >= STATEMENTS || (bytes + size > BYTES && !batch.is_empty()) {
                self.send_batch(server, session.as_deref_mut(), std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
            bytes += size;
            batch.push((statement, built));
        }
        self.send_batch(server, session, batch).await
    }

    async fn send_batch(
        &self,
        server: &Server,
        session: Option<&mut ClientSession>,
        batch: Vec<(&UndoStatement, RawDocumentBuf)>,
    ) -> Result<(), (ServerError, Option<Id>)> {
        let Some((head, _)) = batch.first() else { return Ok(()) };
        let owners: Vec<&UndoStatement> = batch.iter().map(|(statement, _)| *statement).collect();
        let deletes = head.deletes();
        let statements: RawArrayBuf = batch.into_iter().map(|(_, built)| built).collect();
        let command = if deletes {
            rawdoc! {"delete": self.collection, "deletes": statements}
        } else {
            rawdoc! {"update": self.collection, "updates": statements, "bypassDocumentValidation": true}
        };
        let reply = send(server, session, command).await.map_err(|error| {
            let owner = error.index.and_then(|at| owners.get(at));
            let id = owner.and_then(|statement| statement.ids.first().cloned());
            (error, id)
        })?;
        let expected: usize = owners.iter().map(|statement| statement.ids.len()).sum();
        if usize::try_from(written(&reply)) == Ok(expected) {
            return Ok(());
        }
        let message = "documents were removed between reading and writing them";
        let error = ServerError::found(codes::WRITE_CONFLICT, message);
        // Another attempt finds them gone.
        Err((ServerError { transient_transaction: true, ..error }, None))
    }
}

impl UndoStatement {
    fn deletes(&self) -> bool {
        matches!(self.write, Write::Delete)
    }

    fn build(&self) -> RawDocumentBuf {
        let filter = match self.ids.as_slice() {
            [id] => id.filter(),
            ids => rawdoc! {"_id": Id::any_of(ids)},
        };
        match &self.write {
            Write::Delete => rawdoc! {"q": filter, "limit": 0},
            Write::Operators { operators, .. } => {
                rawdoc! {"q": filter, "u": operators.clone(), "multi": self.ids.len() > 1}
            }
            Write::Replace(document) if needs_pipeline(document) => {
                rawdoc! {"q": filter, "u": [{"$replaceWith": {"$literal": document.clone()}}]}
            }
            Write::Replace(document) => rawdoc! {"q": filter, "u": document.clone()},
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_is_written_twice_is_written_in_order() {
        let id = |n: i32| Id::of(&rawdoc! {"_id": n}).expect("an id");
        let setting = |v: i32| Write::Operators { operators: rawdoc! {"$set": {"v": v}}, document: rawdoc! {"v": v} };
        let mut writes = UndoWrites::new("c", false);
        for (n, v) in [(1, 2), (2, 1), (1, 1), (3, 1), (2, 2)] {
            writes.add(id(n), setting(v));
        }
        let order: Vec<(Vec<Id>, RawDocumentBuf)> = writes
            .statements
            .iter()
            .map(|statement| (statement.ids.clone(), statement.write.document().expect("a result").clone()))
            .collect();
        assert_eq!(
            order,
            [
                (vec![id(1)], rawdoc! {"v": 2}),
                (vec![id(2)], rawdoc! {"v": 1}),
                (vec![id(1), id(3)], rawdoc! {"v": 1}),
                (vec![id(2)], rawdoc! {"v": 2}),
            ]
        );
    }
}

//! The `update` and `delete` commands of operations, all but their filters, built once and sent for each chunk.

use bson::raw::{CStr, cstr};
use bson::{Bson, Document, RawArrayBuf, RawBson, RawDocumentBuf, rawdoc};
use mongodb::ClientSession;

use super::Failure;
use crate::run::chunks::{ChunkBody, Selection};
use crate::run::report::Counts;
use crate::run::transaction::written;
use crate::script::operation::{DeleteDocuments, UpdateDocuments};
use crate::server::Server;
use crate::server_error::ServerError;

/// The `update` command of an operation, all but its filter.
pub struct Update {
    collection: String,
    update: RawBson,
    multi: bool,
    /// `upsert`, `arrayFilters`, `collation`, `hint` of the statement.
    statement: Vec<(&'static CStr, RawBson)>,
    /// `let`, `comment`, `bypassDocumentValidation` of the command.
    command: Vec<(&'static CStr, RawBson)>,
    hinted: bool,
}

impl Update {
    /// The command of an operation on `collection`.
    ///
    /// # Errors
    /// Where a value cannot be encoded.
    pub fn new(collection: &str, update: &UpdateDocuments) -> Result<Self, Failure> {
        let mut statement = Vec::new();
        if update.upsert {
            statement.push((cstr!("upsert"), RawBson::Boolean(true)));
        }
        if let Some(filters) = &update.array_filters {
            let filters = filters.iter().map(raw).collect::<Result<Vec<_>, _>>()?;
            statement.push((cstr!("arrayFilters"), RawBson::Array(filters.into_iter().collect::<RawArrayBuf>())));
        }
        push_document(&mut statement, cstr!("collation"), update.collation.as_ref())?;
        push_value(&mut statement, cstr!("hint"), update.hint.as_ref())?;
        let mut command = Vec::new();
        push_document(&mut command, cstr!("let"), update.variables.as_ref())?;
        push_value(&mut command, cstr!("comment"), update.comment.as_ref())?;
        if update.bypass_document_validation {
            command.push((cstr!("bypassDocumentValidation"), RawBson::Boolean(true)));
        }
        Ok(Self {
            collection: collection.to_owned(),
            update: raw_value(&update.update)?,
            multi: update.multi,
            statement,
            command,
            hinted: update.hint.is_some(),
        })
    }
}

impl ChunkBody for Update {
    async fn write(
        &mut self,
        server: &Server,
        session: Option<&mut ClientSession>,
        selection: &Selection,
    ) -> Result<Counts, ServerError> {
        let mut statement = rawdoc! {"q": selection.filter.clone(), "u": self.update.clone(), "multi": self.multi};
        append_all(&mut statement, &self.statement);
        hint_along_id(&mut statement, selection, self.hinted);
        let mut command = rawdoc! {"update": self.collection.as_str(), "updates": [statement]};
        append_all(&mut command, &self.command);
        let reply = send(server, session, command).await?;
        let upserted = reply.get_array("upserted").map_or(0, |all| i64::try_from(all.len()).unwrap_or(i64::MAX));
        Ok(Counts {
            matched: written(&reply) - upserted,
            modified: reply.get_i32("nModified").map_or(0, i64::from),
            upserted,
            ..Counts::default()
        })
    }
}

/// The `delete` command of an operation, all but its filter.
pub struct Delete {
    collection: String,
    statement: Vec<(&'static CStr, RawBson)>,
    command: Vec<(&'static CStr, RawBson)>,
    hinted: bool,
}

impl Delete {
    /// The command of an operation on `collection`.
    ///
    /// # Errors
    /// Where a value cannot be encoded.
    pub fn new(collection: &str, delete: &DeleteDocuments) -> Result<Self, Failure> {
        let mut statement = Vec::new();
        push_document(&mut statement, cstr!("collation"), delete.collation.as_ref())?;
        push_value(&mut statement, cstr!("hint"), delete.hint.as_ref())?;
        let mut command = Vec::new();
        push_value(&mut command, cstr!("comment"), delete.comment.as_ref())?;
        Ok(Self { collection: collection.to_owned(), statement, command, hinted: delete.hint.is_some() })
    }
}

impl ChunkBody for Delete {
    async fn write(
        &mut self,
        server: &Server,
        session: Option<&mut ClientSession>,
        selection: &Selection,
    ) -> Result<Counts, ServerError> {
        let mut statement = rawdoc! {"q": selection.filter.clone(), "limit": 0};
        append_all(&mut statement, &self.statement);
        hint_along_id(&mut statement, selection, self.hinted);
        let mut command = rawdoc! {"delete": self.collection.as_str(), "deletes": [statement]};
        append_all(&mut command, &self.command);
        let reply = send(server, session, command).await?;
        Ok(Counts { deleted: written(&reply), ..Counts::default() })
    }
}

fn append_all(document: &mut RawDocumentBuf, fields: &[(&'static CStr, RawBson)]) {
    for (key, value) in fields {
        document.append(*key, value.clone());
    }
}

/// Ranges are walked along `_id`, whatever index the planner would rather use; a hint of the operation's
/// own wins.
fn hint_along_id(statement: &mut RawDocumentBuf, selection: &Selection, hinted: bool) {
    if selection.along_id && !hinted {
        statement.append(cstr!("hint"), rawdoc! {"_id": 1});
    }
}

fn push_value(
    fields: &mut Vec<(&'static CStr, RawBson)>,
    key: &'static CStr,
    value: Option<&Bson>,
) -> Result<(), Failure> {
    if let Some(value) = value {
        fields.push((key, raw_value(value)?));
    }
    Ok(())
}

fn push_document(
    fields: &mut Vec<(&'static CStr, RawBson)>,
    key: &'static CStr,
    document: Option<&Document>,
) -> Result<(), Failure> {
    if let Some(document) = document {
        fields.push((key, RawBson::Document(raw(document)?)));
    }
    Ok(())
}

/// Sends a write, to a majority where no transaction says so.
///
/// # Errors
/// The server's.
pub async fn send(
    server: &Server,
    session: Option<&mut ClientSession>,
    mut command: RawDocumentBuf,
) -> Result<Document, ServerError> {
    if session.is_none() {
        command.append(cstr!("writeConcern"), rawdoc! {"w": "majority"});
    }
    server.run_raw(command, session).await
}

/// A document as bytes.
///
/// # Errors
/// Where it cannot be encoded.
pub fn raw(document: &Document) -> Result<RawDocumentBuf, Failure> {
    RawDocumentBuf::try_from(document)
        .map_err(|e| Failure::found(format!("a document cannot be encoded: {e}"), "Correct it in the file."))
}

fn raw_value(value: &Bson) -> Result<RawBson, Failure> {
    RawBson::try_from(value.clone())
        .map_err(|e| Failure::found(format!("a value cannot be encoded: {e}"), "Correct it in the file."))
}

//! The `update` and `delete` commands of operations, all but their filters, built once and sent for each chunk.

use bson::raw::{CStr, cstr};
use bson::{Bson, Document, RawArrayBuf, RawBson, RawDocumentBuf, rawdoc};
use mongodb::ClientSession;

use super::Failure;
use crate::capture::documents::{Does, Finds};
use crate::run::chunks::{ChunkBody, Selection};
use crate::run::id::Id;
use crate::run::report::Counts;
use crate::run::transaction::{send, written};
use crate::script::operation::{DeleteDocuments, UpdateDocuments};
use crate::server::Server;
use crate::server_error::ServerError;

type FieldList = Vec<(&'static CStr, RawBson)>;

/// What an `update` and a `delete` command have in common.
struct Writing {
    collection: String,
    /// `collation` and `hint`, of the statement and of a `find` alike.
    selecting: FieldList,
    /// `let`, of the command and of a `find` alike.
    variables: FieldList,
    /// `comment`.
    comment: FieldList,
    hinted: bool,
    collated: bool,
}

impl Writing {
    fn new(
        collection: &str,
        collation: Option<&Document>,
        hint: Option<&Bson>,
        variables: Option<&Document>,
        comment: Option<&Bson>,
    ) -> Result<Self, Failure> {
        let mut writing = Self {
            collection: collection.to_owned(),
            selecting: Vec::new(),
            variables: Vec::new(),
            comment: Vec::new(),
            hinted: hint.is_some(),
            collated: collation.is_some(),
        };
        push_document(&mut writing.selecting, cstr!("collation"), collation)?;
        push_value(&mut writing.selecting, cstr!("hint"), hint)?;
        push_document(&mut writing.variables, cstr!("let"), variables)?;
        push_value(&mut writing.comment, cstr!("comment"), comment)?;
        Ok(writing)
    }

    /// Completes `statement` and sends it in `command`'s array `statements`.
    async fn send(
        &self,
        server: &Server,
        session: Option<&mut ClientSession>,
        selection: &Selection,
        verb: (&'static CStr, &'static CStr),
        mut statement: RawDocumentBuf,
        others: &FieldList,
    ) -> Result<Document, ServerError> {
        append_all(&mut statement, &self.selecting);
        self.hint_along_id(&mut statement, selection);
        let mut command = RawDocumentBuf::new();
        command.append(verb.0, self.collection.as_str());
        command.append(verb.1, std::iter::once(statement).collect::<RawArrayBuf>());
        append_all(&mut command, &self.variables);
        append_all(&mut command, &self.comment);
        append_all(&mut command, others);
        send(server, session, command).await
    }

    fn find(&self, selection: &Selection) -> RawDocumentBuf {
        let mut command = rawdoc! {"find": self.collection.as_str(), "filter": selection.filter.clone()};
        append_all(&mut command, &self.selecting);
        self.hint_along_id(&mut command, selection);
        append_all(&mut command, &self.variables);
        command
    }

    /// Ranges are walked along `_id`, whatever index the planner would rather use; a hint of the operation's
    /// own wins.
    fn hint_along_id(&self, statement: &mut RawDocumentBuf, selection: &Selection) {
        if selection.along_id && !self.hinted {
            statement.append(cstr!("hint"), rawdoc! {"_id": 1});
        }
    }
}

/// The `update` command of an operation, all but its filter.
pub struct Update {
    writing: Writing,
    update: RawBson,
    multi: bool,
    /// `upsert` and `arrayFilters` of the statement.
    statement: FieldList,
    /// `bypassDocumentValidation` of the command.
    command: FieldList,
    upserted: Option<Id>,
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
        let mut command = Vec::new();
        if update.bypass_document_validation {
            command.push((cstr!("bypassDocumentValidation"), RawBson::Boolean(true)));
        }
        Ok(Self {
            writing: Writing::new(
                collection,
                update.collation.as_ref(),
                update.hint.as_ref(),
                update.variables.as_ref(),
                update.comment.as_ref(),
            )?,
            update: raw_value(&update.update)?,
            multi: update.multi,
            statement,
            command,
            upserted: None,
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
        let verb = (cstr!("update"), cstr!("updates"));
        let reply = self.writing.send(server, session, selection, verb, statement, &self.command).await?;
        let made = reply.get_array("upserted").ok().and_then(|all| all.first()).and_then(Bson::as_document);
        self.upserted = made.and_then(|made| made.get("_id")).and_then(id);
        let upserted = i64::from(made.is_some());
        Ok(Counts {
            matched: written(&reply) - upserted,
            modified: reply.get_i32("nModified").map_or(0, i64::from),
            upserted,
            ..Counts::default()
        })
    }
}

impl Finds for Update {
    fn collection(&self) -> &str {
        &self.writing.collection
    }

    fn find(&self, selection: &Selection) -> RawDocumentBuf {
        let mut find = self.writing.find(selection);
        if !self.multi {
            find.append(cstr!("limit"), 1);
        }
        find
    }

    fn does(&self) -> Does {
        if self.multi { Does::Update } else { Does::UpdateOne }
    }

    fn collated(&self) -> bool {
        self.writing.collated
    }

    fn upserted(&self) -> Option<Id> {
        self.upserted.clone()
    }
}

fn id(value: &Bson) -> Option<Id> {
    Id::of(&RawDocumentBuf::try_from(&bson::doc! {"_id": value.clone()}).ok()?)
}

/// The `delete` command of an operation, all but its filter.
pub struct Delete {
    writing: Writing,
}

impl Delete {
    /// The command of an operation on `collection`.
    ///
    /// # Errors
    /// Where a value cannot be encoded.
    pub fn new(collection: &str, delete: &DeleteDocuments) -> Result<Self, Failure> {
        let (collation, hint, comment) = (delete.collation.as_ref(), delete.hint.as_ref(), delete.comment.as_ref());
        Ok(Self { writing: Writing::new(collection, collation, hint, None, comment)? })
    }
}

impl ChunkBody for Delete {
    async fn write(
        &mut self,
        server: &Server,
        session: Option<&mut ClientSession>,
        selection: &Selection,
    ) -> Result<Counts, ServerError> {
        let statement = rawdoc! {"q": selection.filter.clone(), "limit": 0};
        let verb = (cstr!("delete"), cstr!("deletes"));
        let reply = self.writing.send(server, session, selection, verb, statement, &Vec::new()).await?;
        Ok(Counts { deleted: written(&reply), ..Counts::default() })
    }
}

impl Finds for Delete {
    fn collection(&self) -> &str {
        &self.writing.collection
    }

    fn find(&self, selection: &Selection) -> RawDocumentBuf {
        self.writing.find(selection)
    }

    fn does(&self) -> Does {
        Does::Delete
    }

    fn collated(&self) -> bool {
        self.writing.collated
    }

    fn upserted(&self) -> Option<Id> {
        None
    }
}

fn append_all(document: &mut RawDocumentBuf, fields: &FieldList) {
    for (key, value) in fields {
        document.append(*key, value.clone());
    }
}

fn push_value(fields: &mut FieldList, key: &'static CStr, value: Option<&Bson>) -> Result<(), Failure> {
    if let Some(value) = value {
        fields.push((key, raw_value(value)?));
    }
    Ok(())
}

fn push_document(fields: &mut FieldList, key: &'static CStr, document: Option<&Document>) -> Result<(), Failure> {
    if let Some(document) = document {
        fields.push((key, RawBson::Document(raw(document)?)));
    }
    Ok(())
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

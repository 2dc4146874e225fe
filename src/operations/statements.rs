//! The `update` and `delete` commands of operations, all but their filters, built once and sent for each chunk.

use bson::raw::cstr;
use bson::{Bson, RawArrayBuf, RawBson, RawDocumentBuf, rawdoc};
use mongodb::ClientSession;

use super::error::Failure;
use super::write_command::{FieldList, WriteCommand, append_all, raw, raw_value};
use crate::capture::documents::{Does, Finds, Rehearsal};

use crate::error::server::ServerError;
use crate::model::script::operation::{DeleteDocuments, UpdateDocuments};
use crate::mongo::id::Id;
use crate::mongo::raw::{Builder, elements};
use crate::mongo::reply::written;
use crate::mongo::server::Server;
use crate::run::line::{ChunkBody, Selection};
use crate::run::report::Counts;

/// The `update` command of an operation, all but its filter.
#[derive(Clone)]
pub struct Update {
    writing: WriteCommand,
    update: RawBson,
    multi: bool,
    /// `upsert` and `arrayFilters` of the statement.
    statement: FieldList,
    /// `bypassDocumentValidation` of the command.
    command: FieldList,
    upserts: bool,
    upserted: Option<Id>,
    /// The `_id` of a document that it makes.
    pinned: Option<Id>,
}

/// What makes the result of an update depend on the moment.
const MOMENTARY: [&[u8]; 6] = [b"$currentDate", b"$$NOW", b"$$CLUSTER_TIME", b"$rand", b"$sampleRate", b"$function"];

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
            writing: WriteCommand::new(
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
            upserts: update.upsert,
            upserted: None,
            pinned: None,
        })
    }

    /// The update, so that a document that it makes gets the `_id` that was foreseen.
    fn pinned(&self) -> RawBson {
        let Some(id) = &self.pinned else { return self.update.clone() };
        match &self.update {
            RawBson::Array(stages) => {
                let mut stages = stages.clone();
                let own = rawdoc! {"$ifNull": ["$_id", id.keyed("$literal")]};
                stages.push(rawdoc! {"$set": {"_id": own}});
                RawBson::Array(stages)
            }
            RawBson::Document(operators) => {
                let mut with_id = Builder::default();
                let mut on_insert = Builder::default();
                on_insert.extend(id.document().as_bytes());
                for operator in elements(operators.as_bytes()) {
                    if operator.name == b"$setOnInsert" {
                        on_insert.extend(operator.value);
                    } else {
                        with_id.push(&operator);
                    }
                }
                with_id.document("$setOnInsert", on_insert.finish().as_bytes());
                RawBson::Document(with_id.finish())
            }
            other => other.clone(),
        }
    }

    /// The bytes that a server may take an `_id` from, and what it is told to do.
    fn bytes(&self, filter: &RawDocumentBuf) -> Vec<u8> {
        let whole = rawdoc! {"q": filter.clone(), "u": self.update.clone()};
        let mut bytes = whole.into_bytes();
        for (_, value) in &self.writing.variables {
            bytes.extend(rawdoc! {"let": value.clone()}.into_bytes());
        }
        bytes
    }

    /// Whether it changes the element of an array that its filter found.
    fn is_positional(&self) -> bool {
        let RawBson::Document(operators) = &self.update else { return false };
        let positional = |path: &[u8]| path.split(|byte| *byte == b'.').any(|part| part == b"$");
        elements(operators.as_bytes()).any(|operator| elements(operator.value).any(|field| positional(field.name)))
    }
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    !what.is_empty() && bytes.windows(what.len()).any(|window| window == what)
}

impl ChunkBody for Update {
    async fn write(
        &mut self,
        server: &Server,
        session: Option<&mut ClientSession>,
        selection: &Selection,
    ) -> Result<Counts, ServerError> {
        let mut statement = rawdoc! {"q": selection.filter.clone(), "u": self.pinned(), "multi": self.multi};
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

    fn upserts(&self) -> bool {
        self.upserts
    }

    fn pin(&mut self, selection: &Selection, id: Option<Id>) {
        // What the script itself gives it, it gets again.
        let bytes = self.bytes(&selection.filter);
        self.pinned = id.filter(|id| !contains(&bytes, id.value()));
    }

    fn rehearsal(&self, copies: &str, selection: &Selection, upsert: bool) -> Option<Rehearsal> {
        let selects = upsert || self.is_positional();
        let filter = if selects { selection.filter.clone() } else { RawDocumentBuf::new() };
        let mut statement = rawdoc! {"q": filter, "u": self.update.clone(), "multi": !upsert};
        for (key, value) in &self.statement {
            if *key != cstr!("upsert") || upsert {
                statement.append(*key, value.clone());
            }
        }
        for (key, value) in self.writing.selecting.iter().filter(|(key, _)| *key == cstr!("collation")) {
            statement.append(*key, value.clone());
        }
        let mut command = rawdoc! {"update": copies, "updates": [statement], "bypassDocumentValidation": true};
        append_all(&mut command, &self.writing.variables);
        let bytes = self.bytes(&RawDocumentBuf::new());
        Some(Rehearsal { command, momentary: MOMENTARY.iter().any(|what| contains(&bytes, what)) })
    }
}

fn id(value: &Bson) -> Option<Id> {
    Id::of(&RawDocumentBuf::try_from(&bson::doc! {"_id": value.clone()}).ok()?)
}

/// The `delete` command of an operation, all but its filter.
#[derive(Clone)]
pub struct Delete {
    writing: WriteCommand,
}

impl Delete {
    /// The command of an operation on `collection`.
    ///
    /// # Errors
    /// Where a value cannot be encoded.
    pub fn new(collection: &str, delete: &DeleteDocuments) -> Result<Self, Failure> {
        let (collation, hint, comment) = (delete.collation.as_ref(), delete.hint.as_ref(), delete.comment.as_ref());
        Ok(Self { writing: WriteCommand::new(collection, collation, hint, None, comment)? })
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

    fn upserts(&self) -> bool {
        false
    }

    fn pin(&mut self, _: &Selection, _: Option<Id>) {}

    fn rehearsal(&self, _: &str, _: &Selection, _: bool) -> Option<Rehearsal> {
        None
    }
}

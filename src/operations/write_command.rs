//! What an `update` and a `delete` command have in common, and values of a file as bytes.

use bson::raw::{CStr, cstr};
use bson::{Bson, Document, RawArrayBuf, RawBson, RawDocumentBuf, rawdoc};
use mongodb::ClientSession;

use super::error::Failure;
use crate::error::foreign;
use crate::error::server::ServerError;
use crate::mongo::server::Server;
use crate::run::line::Selection;
use crate::run::transaction::send;

pub(super) type FieldList = Vec<(&'static CStr, RawBson)>;

/// What an `update` and a `delete` command have in common.
#[derive(Clone)]
pub(super) struct WriteCommand {
    pub(super) collection: String,
    /// `collation` and `hint`, of the statement and of a `find` alike.
    pub(super) selecting: FieldList,
    /// `let`, of the command and of a `find` alike.
    pub(super) variables: FieldList,
    /// `comment`.
    pub(super) comment: FieldList,
    pub(super) hinted: bool,
    pub(super) collated: bool,
}

impl WriteCommand {
    pub(super) fn new(
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
    pub(super) async fn send(
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

    pub(super) fn find(&self, selection: &Selection) -> RawDocumentBuf {
        let mut command = rawdoc! {"find": self.collection.as_str(), "filter": selection.filter.clone()};
        append_all(&mut command, &self.selecting);
        self.hint_along_id(&mut command, selection);
        append_all(&mut command, &self.variables);
        command
    }

    /// Ranges are walked along `_id`, whatever index the planner would rather use; a hint of the operation's
    /// own wins.
    pub(super) fn hint_along_id(&self, statement: &mut RawDocumentBuf, selection: &Selection) {
        if selection.along_id && !self.hinted {
            statement.append(cstr!("hint"), rawdoc! {"_id": 1});
        }
    }
}

pub(super) fn append_all(document: &mut RawDocumentBuf, fields: &FieldList) {
    for (key, value) in fields {
        document.append(*key, value.clone());
    }
}

pub(super) fn push_value(fields: &mut FieldList, key: &'static CStr, value: Option<&Bson>) -> Result<(), Failure> {
    if let Some(value) = value {
        fields.push((key, raw_value(value)?));
    }
    Ok(())
}

pub(super) fn push_document(
    fields: &mut FieldList,
    key: &'static CStr,
    document: Option<&Document>,
) -> Result<(), Failure> {
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
    RawDocumentBuf::try_from(document).map_err(|e| {
        Failure::found(format!("a document cannot be encoded: {}", foreign::bson(&e)), "Correct it in the file.")
    })
}

pub(super) fn raw_value(value: &Bson) -> Result<RawBson, Failure> {
    RawBson::try_from(value.clone()).map_err(|e| {
        Failure::found(format!("a value cannot be encoded: {}", foreign::bson(&e)), "Correct it in the file.")
    })
}

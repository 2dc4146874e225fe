//! The nine operations of a script, as a file writes them.

use crate::error::foreign;
use crate::hex::hex;

use bson::{Bson, Document, RawDocumentBuf};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::allow::allowances;
use super::extended::decode_first;
use super::fields::{Fields, type_name};
use super::options::{CREATE_OPTIONS, MODIFY_OPTIONS, grammar, unknown_type};

/// The operations of one direction, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Script {
    /// What to do, in order.
    pub operations: Vec<Operation>,
}

/// One operation with everything its type takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// The collection it works on.
    pub collection: String,
    /// What it does there.
    pub action: Action,
    /// Whether what it overwrites, removes or drops is captured.
    pub capture: bool,
    /// SHA-256 of the operation as written, as hexadecimal text: the same operation has the same
    /// fingerprint however the file is laid out.
    pub fingerprint: String,
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // fields are those of the file, documented in docs/reference/migration-files.md
pub enum Action {
    CreateCollection { options: Document },
    DropCollection,
    CreateIndex(CreateIndex),
    DropIndex(IndexRef),
    UpdateDocuments(Box<UpdateDocuments>),
    InsertDocuments(InsertDocuments),
    DeleteDocuments(DeleteDocuments),
    ModifyCollection { options: Document },
    RenameCollection { to: String },
}

/// `create_index`.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct CreateIndex {
    /// Keys with their directions, in order.
    pub keys: Document,
    /// The name asked for, or the one the server would make of the keys.
    pub name: String,
    /// Everything else of the index, as `createIndexes` takes it.
    pub options: Document,
    pub commit_quorum: Option<Bson>,
    pub comment: Option<Bson>,
}

/// How `drop_index` names its index.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum IndexRef {
    Name(String),
    Keys(Document),
}

/// `update_documents`.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct UpdateDocuments {
    pub filter: Document,
    /// A document of operators or a pipeline.
    pub update: Bson,
    pub multi: bool,
    pub upsert: bool,
    pub array_filters: Option<Vec<Document>>,
    pub collation: Option<Document>,
    pub hint: Option<Bson>,
    pub variables: Option<Document>,
    pub bypass_document_validation: bool,
    pub comment: Option<Bson>,
}

/// `insert_documents`.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct InsertDocuments {
    pub documents: Vec<Document>,
    pub ordered: bool,
    pub bypass_document_validation: bool,
    pub comment: Option<Bson>,
}

/// `delete_documents`.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct DeleteDocuments {
    pub filter: Document,
    pub collation: Option<Document>,
    pub hint: Option<Bson>,
    pub comment: Option<Bson>,
}

impl Script {
    /// Reads `{"operations": [...]}`.
    ///
    /// # Errors
    /// A sentence naming the operation, without the file.
    pub fn parse(value: Value) -> Result<Self, String> {
        let Value::Object(mut script) = value else {
            return Err("the script must be an object with \"operations\"".to_owned());
        };
        let operations = script.shift_remove("operations").ok_or("the script has no \"operations\"")?;
        if let Some(key) = script.keys().next() {
            return Err(format!("unknown field {key:?} beside \"operations\""));
        }
        let Value::Array(operations) = operations else {
            return Err("\"operations\" must be an array".to_owned());
        };
        let operations = operations
            .into_iter()
            .enumerate()
            .map(|(at, value)| {
                let kind = value.get("type").and_then(Value::as_str).map(|k| format!(" ({k})"));
                Operation::parse(value)
                    .map_err(|what| format!("operation {}{}: {what}", at + 1, kind.unwrap_or_default()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { operations })
    }

    /// One fingerprint over all operations.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for operation in &self.operations {
            hash.update(operation.fingerprint.as_bytes());
        }
        hex(&hash.finalize())
    }
}

impl Operation {
    /// Reads one operation of a script.
    ///
    /// # Errors
    /// A sentence without the operation's number.
    pub fn parse(mut value: Value) -> Result<Self, String> {
        // Reasons for `lint` are no part of what the operation does: they may change after it was applied.
        if let Value::Object(fields) = &mut value
            && let Some(allow) = fields.shift_remove("allow")
        {
            allowances(&allow)?;
        }
        let document = match decode_first(value)? {
            Bson::Document(document) => document,
            other => return Err(format!("must be an object, not {}", type_name(&other))),
        };
        let raw =
            RawDocumentBuf::try_from(&document).map_err(|e| format!("it cannot be stored: {}", foreign::bson(&e)))?;
        let fingerprint = hex(&Sha256::digest(raw.as_bytes()));
        let kind = match document.get("type") {
            Some(Bson::String(kind)) => kind.clone(),
            Some(other) => return Err(format!("\"type\" must be a text, not {}", type_name(other))),
            None => return Err("the field \"type\" is missing".to_owned()),
        };
        let grammar = grammar(&kind).ok_or_else(|| unknown_type(&kind))?;
        let mut fields = Fields::new(document, "field", grammar.fields)?;
        let collection = collection_name("collection", fields.text("collection")?)?;
        let options = fields.optional_document("options")?.unwrap_or_default();
        let capture = fields.boolean("capture", true)?;
        let action = match kind.as_str() {
            "create_collection" => create_collection(options)?,
            "drop_collection" => Action::DropCollection,
            "create_index" => Action::CreateIndex(CreateIndex::parse(fields.required("index")?, options)?),
            "drop_index" => Action::DropIndex(IndexRef::parse(fields.required("index")?)?),
            "update_documents" => Action::UpdateDocuments(Box::new(UpdateDocuments::parse(fields, options)?)),
            "insert_documents" => Action::InsertDocuments(InsertDocuments::parse(fields, options)?),
            "delete_documents" => Action::DeleteDocuments(DeleteDocuments::parse(fields, options)?),
            "modify_collection" => modify_collection(options)?,
            _ => {
                let to = collection_name("to", fields.text("to")?)?;
                if to == collection {
                    return Err("\"to\" is the collection's own name".to_owned());
                }
                Action::RenameCollection { to }
            }
        };
        Ok(Self { collection, action, capture, fingerprint })
    }

    /// The operation's type, as files write it.
    pub fn kind(&self) -> &'static str {
        match self.action {
            Action::CreateCollection { .. } => "create_collection",
            Action::DropCollection => "drop_collection",
            Action::CreateIndex(_) => "create_index",
            Action::DropIndex(_) => "drop_index",
            Action::UpdateDocuments(_) => "update_documents",
            Action::InsertDocuments(_) => "insert_documents",
            Action::DeleteDocuments(_) => "delete_documents",
            Action::ModifyCollection { .. } => "modify_collection",
            Action::RenameCollection { .. } => "rename_collection",
        }
    }

    /// Whether it changes documents; the others change the schema.
    pub fn writes_documents(&self) -> bool {
        matches!(self.action, Action::UpdateDocuments(_) | Action::InsertDocuments(_) | Action::DeleteDocuments(_))
    }
}

fn create_collection(options: Document) -> Result<Action, String> {
    drop(Fields::new(options.clone(), "option", CREATE_OPTIONS)?);
    if options.contains_key("pipeline") && !options.contains_key("viewOn") {
        return Err("the option \"pipeline\" goes with \"viewOn\"".to_owned());
    }
    Ok(Action::CreateCollection { options })
}

fn modify_collection(options: Document) -> Result<Action, String> {
    if options.is_empty() {
        return Err("the field \"options\" is missing: it says what to modify".to_owned());
    }
    drop(Fields::new(options.clone(), "option", MODIFY_OPTIONS)?);
    Ok(Action::ModifyCollection { options })
}

/// Refuses the names that the server would, and those that are ours.
pub fn collection_name(field: &str, name: String) -> Result<String, String> {
    let refused = if name.is_empty() {
        "is empty"
    } else if name.contains('\0') {
        "holds a NUL character"
    } else if name.contains('$') {
        "holds a $, which the server refuses"
    } else if name.starts_with('.') || name.ends_with('.') {
        "begins or ends with a dot, which the server refuses"
    } else if name.starts_with("system.") {
        "belongs to the server"
    } else if name == "migrations" || name.starts_with("migrations_") {
        "belongs to the migration tool: `migrations` and every name that begins with `migrations_` hold its state"
    } else {
        return Ok(name);
    };
    Err(format!("the {field} name {name:?} {refused}"))
}

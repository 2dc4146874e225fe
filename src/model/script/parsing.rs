//! What each type of operation takes, read from the fields and options of a file.

use bson::{Bson, Document};

use super::fields::{Fields, type_name};
use super::keys::{default_index_name, hint, index_keys};
use super::operation::{CreateIndex, DeleteDocuments, IndexRef, InsertDocuments, UpdateDocuments};
use super::options::{DELETE_OPTIONS, INDEX_OPTIONS, INSERT_OPTIONS, UPDATE_OPTIONS};

impl CreateIndex {
    pub(super) fn parse(index: Bson, options: Document) -> Result<Self, String> {
        let keys = index_keys(index)?;
        let mut fields = Fields::new(options.clone(), "option", INDEX_OPTIONS)?;
        let name = match fields.take("name") {
            None => default_index_name(&keys),
            Some(Bson::String(name)) if !name.is_empty() && name != "*" => name,
            Some(Bson::String(name)) => return Err(format!("no index can be named {name:?}")),
            Some(other) => return Err(fields.mistyped("name", "a text", &other)),
        };
        let mut options = options;
        options.remove("name");
        // Without meaning since server 4.2, and refused by none.
        options.remove("background");
        Ok(Self {
            keys,
            name,
            commit_quorum: options.remove("commitQuorum"),
            comment: options.remove("comment"),
            options,
        })
    }
}

impl IndexRef {
    /// Reads an index's name or keys.
    ///
    /// # Errors
    /// A sentence.
    pub fn parse(index: Bson) -> Result<Self, String> {
        match index {
            Bson::String(name) if name == "*" => Err("\"*\" would drop every index; name each one to drop".to_owned()),
            Bson::String(name) if name.is_empty() => Err("the index's name is empty".to_owned()),
            Bson::String(name) => Ok(Self::Name(name)),
            keys => Ok(Self::Keys(index_keys(keys)?)),
        }
    }

    /// Its name; of keys, the one that the server gives an index of them by itself.
    pub fn name(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Keys(keys) => default_index_name(keys),
        }
    }
}

impl UpdateDocuments {
    pub(super) fn parse(mut fields: Fields, options: Document) -> Result<Self, String> {
        let filter = fields.document("filter")?;
        let update = match fields.required("update")? {
            Bson::Document(update) => {
                if let Some(key) = update.keys().find(|key| !key.starts_with('$')) {
                    return Err(format!(
                        "the update's key {key:?} is no update operator; to set fields write {{\"$set\": {{…}}}}"
                    ));
                }
                if update.is_empty() {
                    return Err("the update is empty".to_owned());
                }
                Bson::Document(update)
            }
            Bson::Array(stages) => {
                if stages.is_empty() || stages.iter().any(|stage| stage.as_document().is_none()) {
                    return Err("an update pipeline must be a non-empty array of objects".to_owned());
                }
                Bson::Array(stages)
            }
            other => return Err(fields.mistyped("update", "an object or a pipeline", &other)),
        };
        let mut options = Fields::new(options, "option", UPDATE_OPTIONS)?;
        let array_filters = match options.take("array_filters") {
            None => None,
            Some(Bson::Array(items)) => Some(
                items
                    .into_iter()
                    .map(|item| match item {
                        Bson::Document(document) => Ok(document),
                        other => Err(format!("array_filters must hold objects, not {}", type_name(&other))),
                    })
                    .collect::<Result<Vec<_>, _>>()?,
            ),
            Some(other) => return Err(options.mistyped("array_filters", "an array of objects", &other)),
        };
        Ok(Self {
            filter,
            update,
            multi: options.boolean("multi", true)?,
            upsert: options.boolean("upsert", false)?,
            array_filters,
            collation: options.optional_document("collation")?,
            hint: hint(&mut options)?,
            variables: options.optional_document("let")?,
            bypass_document_validation: options.boolean("bypass_document_validation", false)?,
            comment: options.take("comment"),
        })
    }
}

impl InsertDocuments {
    pub(super) fn parse(mut fields: Fields, options: Document) -> Result<Self, String> {
        let documents = fields.documents("documents")?;
        let mut options = Fields::new(options, "option", INSERT_OPTIONS)?;
        Ok(Self {
            documents,
            ordered: options.boolean("ordered", true)?,
            bypass_document_validation: options.boolean("bypass_document_validation", false)?,
            comment: options.take("comment"),
        })
    }
}

impl DeleteDocuments {
    pub(super) fn parse(mut fields: Fields, options: Document) -> Result<Self, String> {
        let filter = fields.document("filter")?;
        let mut options = Fields::new(options, "option", DELETE_OPTIONS)?;
        Ok(Self {
            filter,
            collation: options.optional_document("collation")?,
            hint: hint(&mut options)?,
            comment: options.take("comment"),
        })
    }
}

//! Counting documents as an operation selects them.

use bson::raw::cstr;
use bson::{Document, RawBson, RawDocumentBuf, rawdoc};

use super::transaction::written;
use crate::server::Server;
use crate::server_error::ServerError;

/// How documents of a collection are selected, besides by a filter.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // the fields of commands
pub struct Query<'a> {
    pub collection: &'a str,
    pub hint: Option<&'a bson::Bson>,
    pub collation: Option<&'a Document>,
    pub variables: Option<&'a Document>,
}

impl Query<'_> {
    /// How many documents `filter` selects, counted one by one: `count` answers an empty filter from what the
    /// server remembers, which may be wrong after a crash.
    ///
    /// # Errors
    /// The server's.
    pub async fn count_exactly(&self, server: &Server, filter: RawDocumentBuf) -> Result<i64, ServerError> {
        if filter.iter().next().is_some() {
            return self.count(server, filter).await;
        }
        let none = Document::new();
        let Query { collection, hint, collation, variables } = *self;
        Query { collection, hint, collation, variables: Some(variables.unwrap_or(&none)) }.count(server, filter).await
    }

    /// How many documents `filter` selects.
    ///
    /// # Errors
    /// The server's.
    pub async fn count(&self, server: &Server, filter: RawDocumentBuf) -> Result<i64, ServerError> {
        // `count` takes filters that a pipeline refuses ($where); only a pipeline takes variables.
        let mut command = match self.variables {
            None => rawdoc! {"count": self.collection, "query": filter},
            Some(variables) => {
                let mut command = rawdoc! {
                    "aggregate": self.collection, "pipeline": [{"$match": filter}, {"$count": "n"}], "cursor": {},
                };
                command.append(cstr!("let"), raw(variables)?);
                command
            }
        };
        if let Some(hint) = self.hint.and_then(|hint| RawBson::try_from(hint.clone()).ok()) {
            command.append(cstr!("hint"), hint);
        }
        if let Some(collation) = self.collation {
            command.append(cstr!("collation"), raw(collation)?);
        }
        if self.variables.is_none() {
            return Ok(written(&server.run_raw(command, None).await?));
        }
        let counted = server.find(command).await?.next().await?;
        Ok(counted.map_or(0, |document| number(&document, "n")))
    }
}

fn number(document: &RawDocumentBuf, name: &str) -> i64 {
    document.get_i32(name).map_or_else(|_| document.get_i64(name).unwrap_or_default(), i64::from)
}

/// A document as bytes.
///
/// # Errors
/// Where it cannot be encoded.
pub fn raw(document: &Document) -> Result<RawDocumentBuf, ServerError> {
    RawDocumentBuf::try_from(document).map_err(|e| ServerError::from(mongodb::error::Error::from(e)))
}

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
        Ok(counted.and_then(|document| document.get_i32("n").ok()).map_or(0, i64::from))
    }
}

/// A document as bytes.
///
/// # Errors
/// Where it cannot be encoded.
pub fn raw(document: &Document) -> Result<RawDocumentBuf, ServerError> {
    RawDocumentBuf::try_from(document).map_err(|e| ServerError::from(mongodb::error::Error::from(e)))
}

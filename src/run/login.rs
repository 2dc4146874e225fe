//! The database user of a connection: the server's sessions are known by it.

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, doc};
use sha2::{Digest, Sha256};

use crate::error::server::{Class, ServerError};
use crate::mongo::server::Server;

/// The user that the connection has logged in as, as `user@database`; none where it has not.
///
/// # Errors
/// The server's.
pub async fn of(server: &Server) -> Result<Option<String>, ServerError> {
    let status = match server.run_admin(doc! {"connectionStatus": 1}).await {
        // A server that does not tell runs migrations all the same.
        Err(error) if error.class() == Class::Refused && !error.authentication && !error.login_missing => {
            return Ok(None);
        }
        status => status?,
    };
    let users = status.get_document("authInfo").ok().and_then(|info| info.get_array("authenticatedUsers").ok());
    let user = users.and_then(|users| users.first()).and_then(Bson::as_document);
    Ok(user.and_then(|user| Some(format!("{}@{}", user.get_str("user").ok()?, user.get_str("db").ok()?))))
}

/// The `uid` of that user's sessions.
/// Source: `getLogicalSessionUserDigestFor` in `src/mongo/db/logical_session_id_helpers.cpp` of the MongoDB server.
pub fn digest(login: &str) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: Sha256::digest(login.as_bytes()).to_vec() })
}

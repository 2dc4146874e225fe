//! What the user of a connection may do.

use bson::doc;

use super::Server;
use crate::error::codes;
use crate::error::rights::Lacking;
use crate::error::server::ServerError;
use crate::mongo::rights::{Need, Rights};

impl Server {
    /// Asks for the rights of the user.
    pub async fn rights(&self) -> Rights {
        match self.run_admin(doc! {"connectionStatus": 1, "showPrivileges": true}).await {
            Ok(status) => Rights::of_status(&status),
            Err(error) => Rights::Unknown(error.to_string()),
        }
    }

    /// The error with what the user lacks, where the server refused a command that needs `needs`.
    pub(super) async fn explained(&self, error: ServerError, needs: &[Need]) -> ServerError {
        if !error.is(codes::UNAUTHORIZED) || error.login_missing || error.lacking.is_some() || needs.is_empty() {
            return error;
        }
        // Boxed: asking goes through the same connection.
        let rights = Box::pin(self.rights()).await;
        let missing = rights.missing(needs);
        let known = !missing.is_empty();
        let needed = || needs.iter().filter_map(|Need(ways)| ways.first()).flatten().cloned().collect();
        let lacking =
            Lacking { user: rights.user().map(str::to_owned), rights: if known { missing } else { needed() }, known };
        ServerError { lacking: Some(Box::new(lacking)), ..error }
    }
}

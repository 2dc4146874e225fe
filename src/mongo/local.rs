//! One command to a server on this machine that is not yet, or not necessarily, one to work on.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use bson::{Document, doc};
use mongodb::Client;
use mongodb::error::ErrorKind;
use mongodb::options::{ClientOptions, ServerAddress};

use crate::error::{Error, Result};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs a command in `admin` of the server that listens on a port of 127.0.0.1, whatever state it is in, and returns
/// its reply; of a refusal `ok`, `code` and `errmsg`.
///
/// The connection has a runtime of its own, which ends with it: a program that only started a server can still fork.
///
/// # Errors
/// [`Error::Unavailable`] where nothing answers there.
pub fn local_command(port: u16, command: Document) -> Result<Document> {
    // The driver would wait half a second before it tries again.
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE).map_err(unavailable)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(unavailable)?;
    runtime.block_on(async {
        let host = ServerAddress::Tcp { host: Ipv4Addr::LOCALHOST.to_string(), port: Some(port) };
        let options = ClientOptions::builder()
            .hosts(vec![host])
            .direct_connection(true)
            .connect_timeout(PATIENCE)
            .server_selection_timeout(PATIENCE)
            .build();
        let client = Client::with_options(options).map_err(unavailable)?;
        match tokio::time::timeout(PATIENCE, client.database("admin").run_command(command)).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => match *error.kind {
                ErrorKind::Command(refused) => Ok(doc! { "ok": 0, "code": refused.code, "errmsg": refused.message }),
                _ => Err(unavailable(error)),
            },
            Err(_) => Err(unavailable("it did not answer")),
        }
    })
}

fn unavailable(error: impl std::fmt::Display) -> Error {
    Error::Unavailable(error.to_string())
}

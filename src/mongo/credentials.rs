//! User names that the driver does not send as the mechanisms of logging in want them.

use bson::{Bson, doc};
use mongodb::options::{AuthMechanism, Credential};

use super::server::Server;
use crate::error::{Error, Result};

/// Prepares the user name for the driver. Returns the name of a user that the server is to be asked for after the login.
///
/// SCRAM writes a comma as `=2C` and an equals sign as `=3D` (RFC 5802, section 5.1), and the driver does not. With
/// SCRAM-SHA-256 the name has no other use; with SCRAM-SHA-1 the password's digest contains it, so that an escaped name
/// would not be the same user.
///
/// With MONGODB-X509 the driver sends the name in a field that the server does not know. Without a name the server takes
/// the certificate's, so this is left to it, and compared.
///
/// # Errors
/// [`Error::Settings`] for a name with a comma and SCRAM-SHA-1.
pub fn prepare(credential: &mut Credential) -> Result<Option<String>> {
    let name = credential.username.as_deref().unwrap_or_default();
    match credential.mechanism {
        Some(AuthMechanism::MongoDbX509) => return Ok(credential.username.take()),
        None | Some(AuthMechanism::ScramSha256) if name.contains([',', '=']) => {
            credential.username = Some(name.replace('=', "=3D").replace(',', "=2C"));
            credential.mechanism = Some(AuthMechanism::ScramSha256);
        }
        // The server takes an equals sign that begins no escape as it is.
        Some(AuthMechanism::ScramSha1) if name.contains(',') => {
            return Err(Error::Settings(
                "A user name with a comma can log in with SCRAM-SHA-256 only. Take authMechanism=SCRAM-SHA-1 out of the \
                 connection string, or use a user without a comma in its name."
                    .to_owned(),
            ));
        }
        _ => {}
    }
    Ok(None)
}

/// Refuses a certificate of another user than the one that the connection string names.
///
/// # Errors
/// [`Error::Unavailable`] where it is another's, or the server's error.
pub async fn compare(server: &Server, named: &str) -> Result<()> {
    let status = server.run_admin(doc! {"connectionStatus": 1}).await.map_err(Error::server("Asking for the user"))?;
    let users = status.get_document("authInfo").ok().and_then(|info| info.get_array("authenticatedUsers").ok());
    let is = |user: &Bson| user.as_document().is_some_and(|user| user.get_str("user").is_ok_and(|own| own == named));
    if users.is_some_and(|users| users.iter().any(is)) {
        return Ok(());
    }
    Err(Error::Unavailable(format!(
        "Cannot use MongoDB at {}: the client certificate is another user's than the one that the connection string names. Take \
         the user out of the connection string, or let tlsCertificateKeyFile name that user's certificate.",
        server.target()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_sent_as_the_mechanism_wants_it() {
        let prepared = |name: &str, mechanism: Option<AuthMechanism>| {
            let mut credential = Credential::default();
            credential.username = Some(name.to_owned());
            credential.mechanism = mechanism;
            prepare(&mut credential).map(|asked| (credential.username, credential.mechanism, asked))
        };
        let name = |name: &str| Some(name.to_owned());
        let sha256 = Some(AuthMechanism::ScramSha256);
        assert_eq!(prepared("a,b=c", None).expect("taken"), (name("a=2Cb=3Dc"), sha256, None));
        assert_eq!(prepared("plain", None).expect("taken"), (name("plain"), None, None));
        let subject = "CN=a,OU=b";
        let x509 = Some(AuthMechanism::MongoDbX509);
        assert_eq!(prepared(subject, x509.clone()).expect("taken"), (None, x509, name(subject)));
        assert!(prepared("a,b", Some(AuthMechanism::ScramSha1)).is_err());
    }
}

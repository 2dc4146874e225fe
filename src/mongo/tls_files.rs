//! The files of certificates and keys that a connection string names: what is wrong with them is said before the driver
//! says it in the words of its libraries, or passes over it.

use std::path::Path;

use mongodb::options::TlsOptions;

use crate::error::{Error, Result};

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
const PRIVATE_KEY: &str = "PRIVATE KEY-----";
const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
/// What marks a key as encrypted in the way of OpenSSL before PKCS #8.
const TRADITIONALLY_ENCRYPTED: &str = "Proc-Type: 4,ENCRYPTED";

/// Checks that the files can be used. A password for a key that is not encrypted is passed over, as PyMongo does.
///
/// # Errors
/// [`Error::Settings`] with the option and the file.
pub fn check(tls: &mut TlsOptions) -> Result<()> {
    if let Some(path) = &tls.ca_file_path
        && !read("tlsCAFile", path)?.contains(CERTIFICATE)
    {
        return Err(unusable("tlsCAFile", path, "it holds no certificate in PEM form (BEGIN CERTIFICATE)"));
    }
    let Some(path) = &tls.cert_key_file_path else { return Ok(()) };
    let option = "tlsCertificateKeyFile";
    let text = read(option, path)?;
    if !text.contains(CERTIFICATE) {
        return Err(unusable(option, path, "it must hold the client's certificate besides the key, in PEM form"));
    }
    if !text.contains(PRIVATE_KEY) {
        return Err(unusable(
            option,
            path,
            "it must hold the private key besides the client's certificate, in PEM form",
        ));
    }
    if text.contains(TRADITIONALLY_ENCRYPTED) {
        let what = "its key is encrypted in the form of OpenSSL before PKCS #8. Convert it with `openssl pkcs8 -topk8 -in KEY -out \
                    NEW`, which asks for the password, and put the certificate into the new file, too";
        return Err(unusable(option, path, what));
    }
    match (text.contains(ENCRYPTED), tls.tls_certificate_key_file_password.is_some()) {
        (true, false) => {
            let what = "its key is encrypted; add tlsCertificateKeyFilePassword to the connection string";
            Err(unusable(option, path, what))
        }
        (false, true) => {
            tls.tls_certificate_key_file_password = None;
            Ok(())
        }
        _ => Ok(()),
    }
}

fn read(option: &str, path: &Path) -> Result<String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => Err(unusable(option, path, &format!("it cannot be read: {error}"))),
    }
}

fn unusable(option: &str, path: &Path, what: &str) -> Error {
    Error::Settings(format!("The file {} of the option {option} cannot be used: {what}.", path.display()))
}

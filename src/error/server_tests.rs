use super::*;
use crate::error::message::LONGEST_MESSAGE;

#[test]
fn a_failed_selection_names_servers_and_reasons_only() {
    let driver = "Server selection timeout: No available servers. Topology: { Type: Unknown, Servers: [ \
        { Address: db1:1, Type: Unknown, Error: Kind: I/O error: Connection refused (os error 111), labels: {\"X\"}, \
        source: None, server response: None }, { Address: db2:2, Type: Unknown, Error: Kind: Authentication failed., labels: {} } ] }";
    assert_eq!(
        selection(driver),
        "no server can be used (db1:1: Connection refused (os error 111); db2:2: Authentication failed)"
    );
    assert_eq!(selection("something else"), "something else");
}

#[test]
fn errors_are_classified_by_code_and_label() {
    let class = |code: i32| ServerError::found(code, "").class();
    for code in [91, 133, 134, 365, 462, 10107] {
        assert_eq!(class(code), Class::Passing, "{code}");
    }
    for code in [43, 175, 237] {
        assert_eq!(class(code), Class::CursorLost, "{code}");
    }
    for code in [112, 251, 11601] {
        assert_eq!(class(code), Class::Contended, "{code}");
    }
    for code in [257, 388, 10334] {
        assert_eq!(class(code), Class::TooLarge, "{code}");
    }
    assert_eq!(class(11000), Class::Refused);
    for label in ["SystemOverloadedError", "RetryableError", "TooManyOpenTransactions"] {
        let labels = bson::doc! {"errorLabels": [label]};
        let error = ServerError::from_reply_error(&bson::doc! {"code": 1, "errmsg": "busy"}, &labels);
        assert_eq!(error.class(), Class::Passing, "{label}");
    }
}

#[test]
fn what_a_document_says_classifies_nothing() {
    let reply = bson::doc! {"code": 11000, "errmsg": "E11000 dup key: { title: \"Authentication failed\" }"};
    let error = ServerError::from_reply_error(&reply, &bson::doc! {});
    assert!(!error.authentication);
    assert_eq!(error.class(), Class::Refused);
}

#[test]
fn a_message_quotes_no_document() {
    let message = "not authorized on shop to execute command { insert: \"users\", documents: [ { name: \"Ada\" } ], \
        lsid: { id: UUID(\"x\") } }";
    let error = ServerError::from_reply_error(&bson::doc! {"code": 13, "errmsg": message}, &bson::doc! {});
    assert_eq!(error.message, "not authorized on shop to execute the command insert on \"users\"");
    assert!(!error.login_missing);
    let message = "Cannot create field 'b' in element {a: \"secret\"}";
    let error = ServerError::from_reply_error(&bson::doc! {"code": 28, "errmsg": message}, &bson::doc! {});
    assert!(!error.message.contains("secret"), "{error}");
    let long = "x".repeat(5_000);
    let error = ServerError::from_reply_error(&bson::doc! {"code": 2, "errmsg": long}, &bson::doc! {});
    assert!(error.message.chars().count() <= LONGEST_MESSAGE + 1);
    let message = "command find requires authentication";
    let error = ServerError::from_reply_error(&bson::doc! {"code": 13, "errmsg": message}, &bson::doc! {});
    assert!(error.login_missing);
}

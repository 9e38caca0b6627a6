//! `POST /login/`: a name and a password for a token.

use domain::{Invalid, Plaintext};
use futures::executor::block_on;
use http::StatusCode;
use multer::Multipart;
use serde_json::{Map, Value, json};
use vault::{Attempt, VaultError};

use crate::{Answer, Context, Request, Trouble};

use super::{detail, invalid, only_parameters};

/// How long a token lasts that someone signs in for.
const SESSION_SECONDS: u64 = 12 * 3600;

/// What the form says.
#[derive(Default)]
struct Form {
    username: Option<String>,
    password: Option<Plaintext>,
}

/// Signs in. Clients send the form in either of its encodings, or JSON.
pub(super) fn login(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    only_parameters(request, &[])?;
    let form = read(request)?;
    let mut missing = Map::new();
    let required = json!(["This field is required."]);
    if form.username.is_none() {
        missing.insert("username".to_owned(), required.clone());
    }
    if form.password.is_none() {
        missing.insert("password".to_owned(), required);
    }
    let (Some(name), Some(password)) = (form.username, form.password) else {
        return Err(Answer::json(StatusCode::BAD_REQUEST, &Value::Object(missing)).into());
    };
    // What was sent as a name may be a password: only a user's name is written down.
    if context.vault.is_user(&name) {
        context.is_by(format!("user:{name}"));
    }
    let attempt = Attempt { name: &name, password: &password, address: context.address };
    let expires = context.now().plus_seconds(SESSION_SECONDS);
    let minted = context.vault.sign_in(&attempt);
    // Whoever is shut out between the two is told the same.
    let minted = minted.and_then(|them| context.vault.start_session(&them, expires, false));
    let minted = match minted {
        Ok(minted) => minted,
        Err(VaultError::WrongPassword) => {
            let wrong = json!({
                "non_field_errors": ["Unable to log in with provided credentials."],
            });
            return Err(Answer::json(StatusCode::BAD_REQUEST, &wrong).denied().into());
        }
        Err(other) => return Err(other.into()),
    };
    let body = json!({ "token": minted.text.as_str(), "is_new": true });
    Ok(Answer::json(StatusCode::OK, &body))
}

fn read(request: &Request) -> Result<Form, Trouble> {
    match request.media_type.as_deref() {
        Some("application/x-www-form-urlencoded") => Ok(urlencoded(&request.body)),
        Some("multipart/form-data") => multipart(request),
        Some("application/json") => from_json(request.json()?),
        _ => {
            let text = "Send the form as application/x-www-form-urlencoded or multipart/form-data.";
            Err(detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into())
        }
    }
}

fn urlencoded(body: &[u8]) -> Form {
    let mut form = Form::default();
    for (name, value) in form_urlencoded::parse(body) {
        form.take(&name, value.into_owned());
    }
    form
}

fn multipart(request: &Request) -> Result<Form, Trouble> {
    let wrong = || invalid(&Invalid::new("body", "must be a form as multipart/form-data"));
    let boundary = request.content_type.as_deref().map(multer::parse_boundary);
    let boundary = boundary.and_then(Result::ok).ok_or_else(wrong)?;
    let body = request.body.clone();
    let whole = futures::stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    let mut parts = Multipart::new(whole, boundary);
    let mut form = Form::default();
    // The body is there as a whole, so nothing here ever waits.
    while let Some(part) = block_on(parts.next_field()).map_err(|_| wrong())? {
        let name = part.name().unwrap_or_default().to_owned();
        let text = block_on(part.text()).map_err(|_| wrong())?;
        form.take(&name, text);
    }
    Ok(form)
}

fn from_json(body: Value) -> Result<Form, Trouble> {
    let Value::Object(members) = body else {
        return Err(invalid(&Invalid::new("body", "must be an object of username and password")));
    };
    let mut form = Form::default();
    for (name, value) in members {
        match value {
            Value::String(text) => form.take(&name, text),
            _ if matches!(name.as_str(), "username" | "password") => {
                return Err(invalid(&Invalid::new(name, "must be a text")));
            }
            _ => {}
        }
    }
    Ok(form)
}

impl Form {
    fn take(&mut self, name: &str, text: String) {
        match name {
            "username" => self.username = Some(text),
            "password" => self.password = Some(Plaintext::new(text.into_bytes())),
            _ => {}
        }
    }
}

/// Reads a form.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(request: &Request) -> Result<(), Trouble> {
    read(request).map(|_| ())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(content_type: &str, body: &[u8]) -> Request {
        let media_type = content_type.split(';').next().map(str::to_owned);
        let content_type = Some(content_type.to_owned());
        Request { media_type, content_type, ..Request::of_json(body) }
    }

    #[test]
    fn both_encodings_of_a_form_say_the_same() {
        let multipart = "--b\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\nal\r\n--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\np&=+ %41\r\n--b--\r\n";
        let form = read(&request("multipart/form-data; boundary=b", multipart.as_bytes()));
        let other = read(&request(
            "application/x-www-form-urlencoded",
            b"username=al&password=p%26%3D%2B+%2541",
        ));
        for form in [form, other] {
            let form = form.ok().unwrap();
            assert_eq!(form.username.as_deref(), Some("al"));
            // EXPOSE: a test compares the value.
            assert_eq!(form.password.unwrap().expose(), b"p&=+ %41");
        }
    }

    proptest! {
        #[test]
        fn no_form_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            for content_type in [
                "multipart/form-data; boundary=b",
                "multipart/form-data",
                "application/x-www-form-urlencoded",
                "application/json",
            ] {
                let _ = read(&request(content_type, &body));
            }
        }
    }
}

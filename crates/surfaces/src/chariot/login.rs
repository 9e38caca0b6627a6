//! `POST /auth/client/v2/chariot/login`: client credentials for an access token (RFC 6749 section
//! 4.4).

use domain::Plaintext;
use http::header::{PRAGMA, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use vault::{Attempt, StandIn, VaultError};

use super::say;
use crate::{Answer, Context, Request, Trouble};

/// How long an access token lasts, at most.
const SECONDS: u64 = 3600;

/// What the form says.
#[derive(Default)]
struct Form {
    client_id: Option<String>,
    client_secret: Option<Plaintext>,
    grant_type: Option<String>,
}

/// Signs in: a token of an account gives one that stands for it, a user's password a session.
pub(super) fn login(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let form = read(request)?;
    let (name, secret) = form.check()?;
    let found = match as_token(&secret) {
        Some(token) => by_token(context, &name, token),
        None => by_password(context, &name, &secret)?,
    };
    let StandIn { text, seconds } = found.ok_or_else(|| Trouble::from(invalid_client()))?;
    let body = json!({
        "access_token": text.as_str(),
        "expires_in": seconds,
        "token_type": "Bearer",
    });
    Ok(uncached(Answer::json(StatusCode::OK, &body)))
}

/// What looks like a token of ours; whether it is one is said by the vault.
fn as_token(secret: &Plaintext) -> Option<&str> {
    // EXPOSE: the text is looked at, and compared with tokens.
    let text = std::str::from_utf8(secret.expose()).ok()?;
    let is_jwt = text.starts_with("eyJ") && text.split('.').count() == 3;
    (text.starts_with("tresor_") || is_jwt).then_some(text)
}

/// The token is looked up before the name is compared, so that no name is faster than another.
fn by_token(context: &Context<'_>, name: &str, token: &str) -> Option<StandIn> {
    let actor = context.vault.authenticate(token)?;
    let account = context.vault.own_account(&actor).filter(|account| account.name == name)?;
    context.is_by(format!("{}:{}", account.kind.as_str(), account.name));
    context.vault.make_stand_in(&actor, context.now().plus_seconds(SECONDS))
}

fn by_password(
    context: &Context<'_>,
    name: &str,
    password: &Plaintext,
) -> Result<Option<StandIn>, Trouble> {
    // What was sent as a name may be a password: only a user's name is written down.
    if context.vault.is_user(name) {
        context.is_by(format!("user:{name}"));
    }
    let attempt = Attempt { name, password, address: context.address };
    let expires = context.now().plus_seconds(SECONDS);
    let minted = context.vault.sign_in(&attempt);
    // Whoever is shut out between the two is told the same.
    match minted.and_then(|them| context.vault.start_session(&them, expires, false)) {
        Ok(minted) => Ok(Some(StandIn { text: minted.text, seconds: SECONDS })),
        Err(VaultError::WrongPassword) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn read(request: &Request) -> Result<Form, Trouble> {
    if request.media_type.as_deref() != Some("application/x-www-form-urlencoded") {
        return Err(invalid_request("send a form, application/x-www-form-urlencoded"));
    }
    let mut form = Form::default();
    for (name, value) in form_urlencoded::parse(&request.body) {
        let (name, text) = (&*name, value.into_owned());
        let again = match name {
            "client_id" => form.client_id.replace(text).is_some(),
            "client_secret" => {
                form.client_secret.replace(Plaintext::new(text.into_bytes())).is_some()
            }
            "grant_type" => form.grant_type.replace(text).is_some(),
            // RFC 6749 section 3.2: others are not looked at.
            _ => false,
        };
        if again {
            return Err(invalid_request(&format!("{name} must be given once")));
        }
    }
    Ok(form)
}

impl Form {
    /// The credentials. A parameter without a value is one that was left out (RFC 6749 section 3.2).
    fn check(self) -> Result<(String, Plaintext), Trouble> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        match given(self.grant_type).as_deref() {
            Some("client_credentials") => {}
            None => return Err(invalid_request("grant_type must be given")),
            Some(_) => {
                let text = "grant_type must be client_credentials";
                return Err(refuse("unsupported_grant_type", text));
            }
        }
        let name = given(self.client_id).ok_or_else(|| invalid_request("client_id must be given"));
        let secret = self.client_secret.filter(|secret| !secret.is_empty());
        Ok((name?, secret.ok_or_else(|| invalid_request("client_secret must be given"))?))
    }
}

fn invalid_request(text: &str) -> Trouble {
    refuse("invalid_request", text)
}

fn refuse(code: &str, text: &str) -> Trouble {
    let body: Value = json!({ "error": code, "error_description": text });
    uncached(Answer::json(StatusCode::BAD_REQUEST, &body)).into()
}

/// A name that nobody has and a wrong secret look alike.
fn invalid_client() -> Answer {
    let answer = say::error(StatusCode::UNAUTHORIZED, "invalid_client");
    uncached(answer.with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")).denied())
}

/// RFC 6749 section 5.1; `Cache-Control: no-store` has every answer.
fn uncached(answer: Answer) -> Answer {
    answer.with(PRAGMA, HeaderValue::from_static("no-cache"))
}

/// Reads a form.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(request: &Request) -> Result<(), Trouble> {
    read(request).and_then(Form::check).map(|_| ())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(body: &str) -> Result<(String, Vec<u8>), String> {
        let media_type = Some("application/x-www-form-urlencoded".to_owned());
        let request = Request { media_type, ..Request::of_json(body.as_bytes()) };
        match read(&request).and_then(Form::check) {
            // EXPOSE: a test compares the value.
            Ok((name, secret)) => Ok((name, secret.expose().to_vec())),
            Err(Trouble::Said(answer)) => {
                let body: Value = serde_json::from_slice(&answer.body).unwrap();
                Err(body["error"].as_str().unwrap().to_owned())
            }
            Err(_) => Err("something else".to_owned()),
        }
    }

    #[test]
    fn a_form_is_read_as_the_standard_says() {
        let good = "grant_type=client_credentials&client_id=a%2Fb&client_secret=s%26+x&scope=all";
        assert_eq!(form(good), Ok(("a/b".to_owned(), b"s& x".to_vec())));
        for (body, error) in [
            ("", "invalid_request"),
            ("grant_type=client_credentials", "invalid_request"),
            ("grant_type=client_credentials&client_id=a", "invalid_request"),
            ("grant_type=client_credentials&client_id=&client_secret=s", "invalid_request"),
            ("client_id=a&client_secret=s", "invalid_request"),
            ("grant_type=password&client_id=a&client_secret=s", "unsupported_grant_type"),
            (&format!("{good}&client_id=b"), "invalid_request"),
            (&format!("{good}&client_secret=b"), "invalid_request"),
        ] {
            assert_eq!(form(body), Err(error.to_owned()), "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_form_makes_it_panic(body in "\\PC{0,200}") {
            let _ = form(&body);
        }
    }
}

//! `/api/v1/login` and `/api/v1/logout`

use domain::Plaintext;
use serde_json::json;
use vault::{Attempt, VaultError};

use super::body::Body;
use super::{reply, show, users, workspaces};
use crate::{Answer, Context, Request, Trouble, Unauthenticated};

/// How long a token lasts that someone signs in for.
const SESSION_SECONDS: u64 = 12 * 3600;

/// What someone signs in with.
struct Login {
    name: String,
    password: Plaintext,
}

/// Signs in. The console sends a form, other clients JSON; neither gets a cookie.
pub(super) fn login(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let Login { name, password } = read(request)?;
    // What was sent as a name may be a password: only a user's name is written down.
    if context.vault.is_user(&name) {
        context.is_by(format!("user:{name}"));
    }
    let attempt = Attempt { name: &name, password: &password, address: context.address };
    let signed_in = match context.vault.sign_in(&attempt) {
        Ok(signed_in) => signed_in,
        Err(VaultError::WrongPassword) => {
            return Err(reply::unauthenticated(Unauthenticated::BadPassword).denied().into());
        }
        Err(error) => return Err(error.into()),
    };
    let expires = context.now().plus_seconds(SESSION_SECONDS);
    let minted = context.vault.start_session(&signed_in, expires, false)?;
    let actor = context.vault.signed_in_actor(&signed_in).ok_or(VaultError::WrongPassword)?;
    let account = context.vault.own_account(&actor).ok_or(VaultError::WrongPassword)?;
    let (grants, names) = (context.vault.grants_of(&actor), workspaces::names(context, &actor)?);
    let session = json!({
        "expire": expires.unix_millis() / 1000,
        "token": minted.text.as_str(),
    });
    let body = show::with(users::own(context, &account, &grants, &names), session);
    Ok(reply::ok(&body))
}

fn read(request: &Request) -> Result<Login, Trouble> {
    let (mut name, mut password, mut kind) = (None, None, None);
    if request.media_type.as_deref() == Some("application/x-www-form-urlencoded") {
        for (key, value) in form_urlencoded::parse(&request.body) {
            match &*key {
                "name" => name = Some(value.into_owned()),
                "password" => password = Some(Plaintext::new(value.into_owned().into_bytes())),
                "type" => kind = Some(value.into_owned()),
                _ => {}
            }
        }
    } else {
        let mut body = Body::read(request, false)?;
        name = body.text("name")?;
        password = body.text("password")?.map(|text| Plaintext::new(text.into_bytes()));
        kind = body.text("type")?;
    }
    if kind.is_some_and(|kind| !kind.is_empty() && kind != "default") {
        return Err(reply::bad("type must be default, or left out"));
    }
    let name = name.filter(|name| !name.is_empty());
    let password = password.filter(|password| !password.is_empty());
    match (name, password) {
        (Some(name), Some(password)) => Ok(Login { name, password }),
        (None, _) => Err(reply::bad("the name of request is empty")),
        (_, None) => Err(reply::bad("the password of request is empty")),
    }
}

/// Ends the token that is shown, where it is one that someone signed in for or made for themselves.
pub(super) fn logout(context: &Context<'_>, _: &Request) -> Result<Answer, Trouble> {
    if let Some(actor) = context.known
        && let Some(token) = actor.token()
    {
        match context.vault.revoke_own_token(actor, token.id) {
            Ok(()) | Err(VaultError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(reply::done())
}

/// Reads what someone signs in with.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(request: &Request) -> Result<(), Trouble> {
    read(request).map(|_| ())
}

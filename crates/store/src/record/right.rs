//! A right: a role, and where it holds.

use authz::{Right, Role, Scope};
use domain::{Decoder, Encoder, Malformed, OrgName};

use super::{put_project, put_secret, take_project, take_secret};

pub(super) fn put_right(out: &mut Encoder, right: &Right) {
    out.u8(right.role().code());
    match right.scope() {
        Scope::WholeStore => {
            out.u8(0);
        }
        Scope::Org(org) => {
            out.u8(1).text(org.as_str());
        }
        Scope::Project(path) => put_project(out.u8(2), path),
        Scope::Below(path) => put_secret(out.u8(3), path),
        Scope::Secret(path, uid) => {
            put_secret(out.u8(4), path);
            out.uid(*uid);
        }
    }
}

pub(super) fn take_right(input: &mut Decoder<'_>) -> Result<Right, Malformed> {
    let role = Role::from_code(input.u8()?).ok_or(Malformed)?;
    let scope = match input.u8()? {
        0 => Scope::WholeStore,
        1 => Scope::Org(OrgName::parse(input.text()?).map_err(|_| Malformed)?),
        2 => Scope::Project(take_project(input)?),
        3 => Scope::Below(take_secret(input)?),
        4 => Scope::Secret(take_secret(input)?, input.uid()?),
        _ => return Err(Malformed),
    };
    Right::new(role, scope).map_err(|_| Malformed)
}

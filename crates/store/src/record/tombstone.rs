//! What used to be projected and is to be removed.

use domain::{Decoder, Encoder, Malformed, Namespace, Retired};

use super::{FORMAT, check_format, put_project, put_secret, take_project, take_secret};

/// The bytes of a tombstone.
pub fn encode_tombstone(retired: &Retired) -> Vec<u8> {
    let mut out = Encoder::default();
    out.u8(FORMAT);
    match retired {
        Retired::Rule { project, namespace } => {
            put_project(out.u8(1), project);
            out.text(namespace.as_str());
        }
        Retired::Secret { path, uid } => {
            put_secret(out.u8(2), path);
            out.uid(*uid);
        }
        Retired::Binding { path, uid, project } => {
            put_secret(out.u8(3), path);
            put_project(out.uid(*uid), project);
        }
    }
    out.finish()
}

/// Reads back what [`encode_tombstone`] wrote.
///
/// # Errors
/// When the bytes are not exactly such an encoding.
pub fn decode_tombstone(bytes: &[u8]) -> Result<Retired, Malformed> {
    let mut input = Decoder::new(bytes);
    check_format(&mut input)?;
    let retired = match input.u8()? {
        1 => {
            let project = take_project(&mut input)?;
            let namespace = Namespace::parse(input.text()?).map_err(|_| Malformed)?;
            Retired::Rule { project, namespace }
        }
        2 => {
            let path = take_secret(&mut input)?;
            Retired::Secret { path, uid: input.uid()? }
        }
        3 => {
            let path = take_secret(&mut input)?;
            Retired::Binding { path, uid: input.uid()?, project: take_project(&mut input)? }
        }
        _ => return Err(Malformed),
    };
    input.finish()?;
    Ok(retired)
}

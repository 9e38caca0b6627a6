//! Keys and bytes.

use std::collections::BTreeMap;

use crate::{DataKey, Decoder, Encoder, Malformed, Plaintext};

pub(super) type Values = BTreeMap<DataKey, Plaintext>;

pub(super) fn encoded_len(values: &Values) -> usize {
    let entry = |(key, value): (&DataKey, &Plaintext)| 8 + key.as_str().len() + value.len();
    4 + values.iter().map(entry).sum::<usize>()
}

pub(super) fn encode(values: &Values, out: &mut Encoder) {
    out.u32(values.len() as u32);
    for (key, value) in values {
        // EXPOSE: the encoding is plaintext too, and on its way to the seal.
        out.text(key.as_str()).bytes(value.expose());
    }
}

pub(super) fn decode(input: &mut Decoder<'_>) -> Result<Values, Malformed> {
    let mut values = Values::new();
    for _ in 0..input.u32()? {
        let key = DataKey::parse(input.text()?).map_err(|_| Malformed)?;
        if values.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(Malformed);
        }
        values.insert(key, Plaintext::new(input.bytes()?.to_vec()));
    }
    Ok(values)
}

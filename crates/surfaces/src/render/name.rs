//! What things are called in a manifest, and what is taken as it is.

use domain::Invalid;

/// The longest name of a Service: a DNS label.
const MAX_LABEL_BYTES: usize = 63;
/// The longest reference to an image that is taken.
const MAX_IMAGE_BYTES: usize = 1024;

/// A DNS label of a name that people chose: `recipe-` and the like before it, lower case, a hyphen
/// for all that is no letter or digit.
pub(crate) fn label(prefix: &str, field: &str, chosen: &str) -> Result<String, Invalid> {
    if !chosen.contains(|c: char| c.is_ascii_alphanumeric()) {
        return Err(Invalid::new(field, "must contain a letter or digit of ASCII"));
    }
    let safe = chosen.chars().map(|c| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '-',
    });
    let mut name: String = prefix.chars().chain(safe).take(MAX_LABEL_BYTES).collect();
    name.truncate(name.trim_end_matches('-').len());
    Ok(name)
}

/// A reference to an image.
pub(crate) fn image(field: String, image: &str) -> Result<String, Invalid> {
    let is_one = image.len() <= MAX_IMAGE_BYTES && image.chars().all(|c| c.is_ascii_graphic());
    let fix = "must be an image, such as docker.io/vllm/vllm-openai:v0.9.1";
    if is_one { Ok(image.to_owned()) } else { Err(Invalid::new(field, fix)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_deployment_is_called_its_name_is_a_label() {
        let recipe = |chosen: &str| label("recipe-", "deployment_name", chosen).unwrap();
        assert_eq!(recipe("vLLM Inference Deployment"), "recipe-vllm-inference-deployment");
        assert_eq!(recipe("MLCommons Finetune LORA/PEFT"), "recipe-mlcommons-finetune-lora-peft");
        assert_eq!(recipe("llama3.1-8b_x "), "recipe-llama3-1-8b-x");
        assert_eq!(recipe(&"a-".repeat(60)).len(), 62);
        for nothing in ["", "- -", "\u{e4}"] {
            assert_eq!(label("recipe-", "f", nothing).unwrap_err().field, "f");
        }
    }
}

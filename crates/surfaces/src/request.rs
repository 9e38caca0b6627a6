//! What a surface is asked.

use bytes::Bytes;
use serde_json::Value;

use crate::Trouble;

/// A request, as far as surfaces look at it.
pub struct Request {
    /// The names in the path, percent-decoded once.
    pub names: Vec<(String, String)>,
    /// The parameters of the query, decoded, in their order; none when they cannot be decoded.
    pub query: Option<Vec<(String, String)>>,
    /// The media type of the body, without parameters and in lower case.
    pub media_type: Option<String>,
    /// The media type with its parameters, as it was sent.
    pub content_type: Option<String>,
    /// The client, as it calls itself.
    pub user_agent: Option<String>,
    /// The host that the client believes to speak to, for URLs in answers to it.
    pub host: Option<String>,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// A name in the path.
    pub fn name(&self, name: &str) -> &str {
        let found = self.names.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// A parameter of the query, the first of its name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().flatten().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All parameters of a name.
    pub fn parameters<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let all = self.query.iter().flatten();
        all.filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A JSON body and nothing else.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of_json(body: &[u8]) -> Self {
        Self {
            names: Vec::new(),
            query: Some(Vec::new()),
            media_type: Some("application/json".to_owned()),
            content_type: Some("application/json".to_owned()),
            user_agent: None,
            host: None,
            body: Bytes::copy_from_slice(body),
        }
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value, Trouble> {
        serde_json::from_slice(&self.body).map_err(|error| Trouble::not_json(&error))
    }
}

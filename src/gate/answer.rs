use std::fmt;

/// A response to a request that was not let through: status, headers, body.
///
/// ```
/// use keyward::Answer;
///
/// let answer = Answer::new(401, "go away").header("content-type", "text/plain");
/// assert_eq!(answer.header_value("content-type"), Some("text/plain"));
/// assert_eq!(answer.header("x-note", "a\r\nb").header_value("x-note"), Some("a??b"));
/// ```
///
/// # Security
///
/// Values of headers are of 0x20 to 0x7E: any other character becomes `?`, so that no text
/// can end a header and begin another.
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Answer {
    /// An answer without headers.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// With this header, in the place of any of the same name. Names are in lower case.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, visible(value.into())));
        self
    }

    /// With this header, if there is a value.
    pub(super) fn header_if(self, name: &'static str, value: Option<String>) -> Self {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    /// With another body.
    pub fn with_body(self, body: impl Into<String>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// With another status.
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The headers: names in lower case, each once.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.headers.iter().map(|(name, value)| (*name, &**value))
    }

    /// The value of one header.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The body.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The body, for the response that is made of this.
    pub fn into_body(self) -> String {
        self.body
    }
}

/// `value` with `?` for all that may not stand in a header.
fn visible(value: String) -> String {
    if value.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
        return value;
    }
    value.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body", &self.body)
            .finish()
    }
}

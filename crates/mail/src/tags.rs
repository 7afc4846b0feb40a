//! Lists of tags and values, as `v=DMARC1; p=none` (RFC 6376 section 3.2), which most records of mail are.

/// The most tags of one list.
const MOST_TAGS: usize = 64;

/// The tags of a record.
#[derive(Debug)]
pub(crate) struct Tags<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Tags<'a> {
    /// Reads a list; values keep the spaces within them.
    ///
    /// # Errors
    /// What is wrong with it: a part that is no tag, a tag that stands twice, or too many.
    pub(crate) fn read(text: &'a str) -> Result<Self, String> {
        let mut tags: Vec<(&str, &str)> = Vec::new();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) =
                part.split_once('=').ok_or_else(|| format!("`{part}` is no tag with a value"))?;
            let (name, value) = (name.trim_end(), value.trim());
            let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            if name.is_empty() || !name.chars().all(is_word) {
                return Err(format!("`{name}` is no name of a tag"));
            }
            if tags.iter().any(|(known, _)| *known == name) {
                return Err(format!("`{name}` stands twice"));
            }
            if tags.len() >= MOST_TAGS {
                return Err(format!("it has more than {MOST_TAGS} tags"));
            }
            tags.push((name, value));
        }
        Ok(Self(tags))
    }

    /// The value of a tag.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// The value of a tag without any space in it.
    pub(crate) fn compact(&self, name: &str) -> Option<String> {
        Some(self.get(name)?.split_ascii_whitespace().collect())
    }

    /// Whether the value of a tag is one of these, in whatever case, or there is none.
    ///
    /// # Errors
    /// It is another one.
    pub(crate) fn is_among(&self, name: &str, words: &[&str]) -> Result<(), String> {
        let Some(value) = self.get(name) else { return Ok(()) };
        if words.iter().any(|word| word.eq_ignore_ascii_case(value)) {
            return Ok(());
        }
        Err(format!("`{name}={value}` is none of {}", words.join(", ")))
    }
}

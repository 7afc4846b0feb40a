//! What a server offers in its reply to EHLO (RFC 5321 section 4.1.1.1).

/// The lines of an EHLO reply; the first is the server's name.
#[derive(Default)]
pub(super) struct Features(pub(super) Vec<String>);

impl Features {
    /// Whether it has this keyword, in whatever case.
    pub(super) fn has(&self, keyword: &str) -> bool {
        self.0.iter().skip(1).any(|line| {
            line.split_ascii_whitespace()
                .next()
                .is_some_and(|word| word.eq_ignore_ascii_case(keyword))
        })
    }

    /// The mechanisms of `AUTH`, also in the old spelling `AUTH=`; else those that old Exchange servers
    /// offer as `X-EXPS`.
    pub(super) fn mechanisms(&self) -> Vec<String> {
        ["AUTH", "X-EXPS"].map(|keyword| self.words_of(keyword)).concat()
    }

    /// What stands behind a keyword and a space or `=`, in upper case, of all its lines.
    fn words_of(&self, keyword: &str) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for line in self.0.iter().skip(1) {
            let mut words = line.split(|c: char| c.is_ascii_whitespace() || c == '=');
            if words.next().is_some_and(|word| word.eq_ignore_ascii_case(keyword)) {
                found.extend(words.filter(|w| !w.is_empty()).map(str::to_ascii_uppercase));
            }
        }
        found
    }
}

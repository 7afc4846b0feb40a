//! What a server offers in its reply to EHLO (RFC 5321 section 4.1.1.1).

/// The lines of an EHLO reply; the first is the server's name, which some leave out.
#[derive(Default)]
pub(super) struct Features(pub(super) Vec<String>);

/// Keywords that stand alone. No server has one of them for its name.
const ALONE: [&str; 5] = ["STARTTLS", "PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"];

impl Features {
    /// Whether it has this keyword, in whatever case.
    pub(super) fn has(&self, keyword: &str) -> bool {
        self.any_keyword(|word| word.eq_ignore_ascii_case(keyword))
    }

    /// Whether one of the keywords, as they are written, is such.
    pub(super) fn any_keyword(&self, is_such: impl Fn(&str) -> bool) -> bool {
        self.lines().any(|line| line.split_ascii_whitespace().next().is_some_and(&is_such))
    }

    /// The lines with keywords: all but the first, and that too if it is no name.
    fn lines(&self) -> impl Iterator<Item = &str> {
        let mechanisms = ["PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2"];
        let is_keyword = |line: &String| {
            let line = line.trim().to_ascii_uppercase();
            let offers_login = line
                .strip_prefix("AUTH")
                .is_some_and(|rest| rest.split([' ', '=']).any(|word| mechanisms.contains(&word)));
            offers_login || ALONE.contains(&line.as_str())
        };
        let has_name = self.0.first().is_some_and(|first| !is_keyword(first));
        self.0.iter().skip(usize::from(has_name)).map(String::as_str)
    }

    /// The mechanisms of `AUTH`, also in the old spelling `AUTH=`; else those that old Exchange servers
    /// offer as `X-EXPS`.
    pub(super) fn mechanisms(&self) -> Vec<String> {
        ["AUTH", "X-EXPS"].map(|keyword| self.words_of(keyword)).concat()
    }

    /// What stands behind a keyword and a space or `=`, in upper case, of all its lines.
    fn words_of(&self, keyword: &str) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for line in self.lines() {
            let mut words = line.split(|c: char| c.is_ascii_whitespace() || c == '=');
            if words.next().is_some_and(|word| word.eq_ignore_ascii_case(keyword)) {
                found.extend(words.filter(|w| !w.is_empty()).map(str::to_ascii_uppercase));
            }
        }
        found
    }
}

//! Values that do not mean what they seem to: a variable that nobody expands, a character that nobody
//! sees. Each may be written in quotes by those who mean it.

use super::source::CREDENTIALS;
use super::value;
use crate::config::yaml::{self, Node, Quotes};

/// Refuses a text, other than a password, that was hardly meant as it stands.
pub(super) fn check(node: &Node, text: &str) -> Result<(), String> {
    if node.quotes == Quotes::None {
        if let Some(c) = yaml::invisible(text) {
            let character = yaml::shown(c);
            return Err(format!(
                "holds {character}, which cannot be seen; leave it out, or put the value in quotes \
                 if it belongs there"
            ));
        }
        if yaml::opens_typographic_quote(text) {
            let message = "begins with a typographic quotation mark; write ' or \", or put all of it \
                           in quotes if the mark belongs there";
            return Err(message.to_owned());
        }
    }
    if node.quotes != Quotes::Literal && has_braced_variable(text) {
        return Err(
            "names a variable, and none is expanded here; write the value itself ('in single \
                    quotes' if it is meant as it stands)"
                .to_owned(),
        );
    }
    Ok(())
}

/// The password that is written here. Not even the kind of a character in it is told.
pub(super) fn password(node: &Node) -> Result<&str, String> {
    let text = value::raw(node)?;
    if node.quotes != Quotes::Literal && (is_variable(text) || has_braced_variable(text)) {
        return Err("looks like a variable, and none is expanded here; name the variable in \
                    `password_env` or a file in `password_file` (a password that is meant as it \
                    stands goes in 'single quotes')"
            .to_owned());
    }
    let is_odd = yaml::invisible(text).is_some() || yaml::opens_typographic_quote(text);
    if node.quotes == Quotes::None && is_odd {
        let message = "holds an invisible character or begins with a typographic quotation mark; \
                       write it anew, or in quotes if that belongs to the password";
        return Err(message.to_owned());
    }
    check_form(node).map(|()| text)
}

/// Refuses a secret, or what names one, of which more is written than is taken.
fn check_form(node: &Node) -> Result<(), String> {
    if !node.form.is_doubtful() {
        return Ok(());
    }
    let message = "would not be taken as it stands: YAML reads its beginning as an anchor or a tag, or \
                   joins its lines; write all of it in one line and in 'single quotes'";
    Err(message.to_owned())
}

/// The name of an environment variable that holds a secret.
pub(super) fn name_of_variable(node: &Node) -> Result<&str, String> {
    let text = value::raw(node)?;
    if text.starts_with('$') {
        return Err("takes the name of a variable alone, without `$`".to_owned());
    }
    check(node, text)?;
    check_form(node).map(|()| text)
}

/// The path of a file that holds a secret; it may begin with the folder of systemd's credentials.
pub(super) fn path_of_secret(node: &Node) -> Result<&str, String> {
    let text = value::raw(node)?;
    let rest = text.strip_prefix(CREDENTIALS).unwrap_or(text);
    check(node, rest).map_err(|message| {
        if has_braced_variable(rest) {
            format!("{message}; only `{CREDENTIALS}/`, at the beginning, is")
        } else {
            message
        }
    })?;
    check_form(node).map(|()| text)
}

/// Whether `${NAME}`, with or without a default, or an expression `{{ }}` stands anywhere in the text.
fn has_braced_variable(text: &str) -> bool {
    let names_one = |rest: &str| {
        let name = rest.len() - rest.trim_start_matches(is_of_a_name).len();
        let begins = rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let after = rest.get(name..).unwrap_or_default();
        begins && after.contains('}') && after.starts_with(['}', ':', '-', '?', '+'])
    };
    text.split("${").skip(1).any(names_one)
        || text.split_once("{{").is_some_and(|(_, rest)| rest.contains("}}"))
}

/// Whether the whole text is `$NAME` or `$(command)`.
fn is_variable(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('$') else { return false };
    let is_name = !rest.is_empty()
        && rest.chars().all(is_of_a_name)
        && !rest.starts_with(|c: char| c.is_ascii_digit());
    is_name || rest.starts_with('(') && rest.ends_with(')')
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

//! How a command is named in a message.

/// How many words of a command are shown in a message, and how many characters at most.
const COMMAND_WORDS: usize = 3;
const COMMAND_CHARS: usize = 200;

/// The first words of a command. What stands in quotes is one word: a folder's name is shown whole.
pub(super) fn beginning(command: &str) -> String {
    let (mut words, mut is_quoted, mut is_escaped) = (1, false, false);
    let is_told = |character: &char| {
        match *character {
            '"' if !is_escaped => is_quoted = !is_quoted,
            ' ' if !is_quoted => words += 1,
            _ => {}
        }
        is_escaped = is_quoted && *character == '\\' && !is_escaped;
        words <= COMMAND_WORDS
    };
    command.chars().take(COMMAND_CHARS).take_while(is_told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_command_tells_a_quoted_name_whole() {
        for (command, told) in [
            ("M5 SELECT \"Inbox/Current Reporting\"", "M5 SELECT \"Inbox/Current Reporting\""),
            ("M5 SELECT \"a \\\" b c\" READ-ONLY", "M5 SELECT \"a \\\" b c\""),
            ("M5 UID FETCH 1:* (UID)", "M5 UID FETCH"),
            ("MAIL FROM:<a@b> SIZE=1 BODY=8BITMIME", "MAIL FROM:<a@b> SIZE=1"),
        ] {
            assert_eq!(beginning(command), told);
        }
        assert_eq!(beginning(&format!("X \"{}", "y ".repeat(9_000))).len(), COMMAND_CHARS);
    }
}

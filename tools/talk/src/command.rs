//! What a line says: a command, or something to be said.

/// Numbers are the ones shown: of chats in the list, of messages in their chat.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Command {
    Nothing,
    Say(String),
    Chats,
    /// A number of the list, or part of a name or title.
    Open(String),
    New(String),
    Group {
        title: String,
        names: Vec<String>,
    },
    Add(Vec<String>),
    Leave,
    More,
    /// The message, or one's latest.
    Edit {
        seq: Option<u64>,
        text: String,
    },
    Delete {
        seq: Option<u64>,
    },
    Who,
    Help,
    Quit,
    Wrong(String),
}

pub(crate) const HELP: &str = "\
/chats                 your chats, newest first
/open NUMBER or NAME   go to a chat
/new NAME              a chat with one person
/group TITLE NAME…     a chat with several; quote a title of several words
/add NAME…             people to this chat
/leave                 this chat
/more                  earlier messages
/edit [#SEQ] TEXT      your latest message, or the one with this number
/delete [#SEQ]         the same
/who                   is in this chat
/quit
Anything else is said in the open chat; //text says /text.";

impl Command {
    pub(crate) fn parse(line: &str) -> Command {
        if line.trim().is_empty() {
            return Command::Nothing;
        }
        let Some(command) = line.strip_prefix('/') else { return Command::Say(line.to_owned()) };
        if command.starts_with('/') {
            return Command::Say(command.to_owned());
        }
        let (verb, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let rest = rest.trim();
        let wants = |what: &str| Command::Wrong(format!("/{verb} wants {what}; /help tells"));
        match verb {
            "chats" | "list" => Command::Chats,
            "open" if rest.is_empty() => wants("a number or a name"),
            "open" => Command::Open(rest.to_owned()),
            "new" => match &words(rest)[..] {
                [name] => Command::New(name.clone()),
                [] => wants("a name"),
                _ => wants("one name (of several people: /group)"),
            },
            "group" => match words(rest).split_first() {
                Some((title, names)) => {
                    Command::Group { title: title.clone(), names: names.to_vec() }
                }
                None => wants("a title"),
            },
            "add" if rest.is_empty() => wants("names"),
            "add" => Command::Add(words(rest)),
            "leave" => Command::Leave,
            "more" => Command::More,
            "edit" => match numbered(rest) {
                Some((_, "")) => wants("a text"),
                Some((seq, text)) => Command::Edit { seq, text: text.to_owned() },
                None => wants("a number after #"),
            },
            "delete" => match numbered(rest) {
                Some((seq, "")) => Command::Delete { seq },
                _ => wants("a number after #, or nothing"),
            },
            "who" => Command::Who,
            "help" | "?" => Command::Help,
            "quit" | "exit" | "q" => Command::Quit,
            _ => Command::Wrong(format!("there is no /{verb}; /help tells what there is")),
        }
    }
}

/// `#12 text`, or just text. None: what stands after the # is no number.
fn numbered(rest: &str) -> Option<(Option<u64>, &str)> {
    let Some(after) = rest.strip_prefix('#') else { return Some((None, rest)) };
    let (number, text) = after.split_once(char::is_whitespace).unwrap_or((after, ""));
    Some((Some(number.parse().ok()?), text.trim()))
}

/// Words; what stands in double quotes is one.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in text.split('"').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Command) {
        assert_eq!(Command::parse(line), expected, "{line}");
    }

    #[test]
    fn what_is_no_command_is_said_verbatim() {
        check("  hi /there ", Command::Say("  hi /there ".to_owned()));
        check("//shrug", Command::Say("/shrug".to_owned()));
        check("   ", Command::Nothing);
    }

    #[test]
    fn commands_take_what_they_want() {
        check("/open 2", Command::Open("2".to_owned()));
        check("/new bob", Command::New("bob".to_owned()));
        let names = vec!["bob".to_owned(), "eve".to_owned()];
        check(
            "/group \"Our plans\" bob  eve",
            Command::Group { title: "Our plans".to_owned(), names: names.clone() },
        );
        check("/add bob eve", Command::Add(names));
        check("/edit no, this", Command::Edit { seq: None, text: "no, this".to_owned() });
        check("/edit #12 this", Command::Edit { seq: Some(12), text: "this".to_owned() });
        check("/delete", Command::Delete { seq: None });
        check("/delete #3", Command::Delete { seq: Some(3) });
    }

    #[test]
    fn what_makes_no_sense_says_so() {
        for line in
            ["/open", "/new", "/new a b", "/group", "/edit #x y", "/edit #1", "/delete 3", "/wat"]
        {
            assert!(matches!(Command::parse(line), Command::Wrong(_)), "{line}");
        }
    }
}

//! An IMAP server.

use super::{Mode, Model, Said, arguments, line};

pub(super) fn backend(model: &mut Model, input: &[u8]) -> Option<Said> {
    if let Some(literal) = model.literal(input) {
        return literal;
    }
    let (text, taken) = line(input)?;
    let (tag, had, text) = match std::mem::replace(&mut model.mode, Mode::Command) {
        Mode::Credential(tag) => {
            let again = model.consents();
            if again {
                model.mode = Mode::Credential(tag.clone());
            }
            return Some(Said(
                taken,
                if again { "+ \r\n".to_owned() } else { format!("{tag} NO no\r\n") },
            ));
        }
        Mode::Rest { tag, had } => (tag, had, text),
        _ => {
            model.commands.push(text.bytes().collect());
            let mut words = text.split_whitespace();
            let (tag, verb) =
                (words.next().unwrap_or("*").to_owned(), words.next().unwrap_or_default());
            let rest = words.collect::<Vec<_>>().join(" ");
            match verb.to_ascii_uppercase().as_str() {
                "LOGIN" => (tag, 0, rest),
                "AUTHENTICATE" if !rest.contains(' ') && model.consents() => {
                    model.mode = Mode::Credential(tag);
                    return Some(Said(taken, "+ \r\n".to_owned()));
                }
                "CAPABILITY" => {
                    return Some(Said(
                        taken,
                        format!("* CAPABILITY IMAP4rev1 LITERAL+\r\n{tag} OK\r\n"),
                    ));
                }
                _ => return Some(Said(taken, format!("{tag} BAD no\r\n"))),
            }
        }
    };
    match arguments(&text, 2 - had) {
        Some((more, Some((left, waits)))) if !waits || model.consents() => {
            model.mode = Mode::Literal { left, tag, had: had + more + 1 };
            Some(Said(taken, if waits { "+ go\r\n" } else { "" }.to_owned()))
        }
        _ => Some(Said(taken, format!("{tag} NO no\r\n"))),
    }
}

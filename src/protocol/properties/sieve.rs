//! A ManageSieve server.

use super::{Mode, Model, Said, arguments, line};

pub(super) fn backend(model: &mut Model, input: &[u8]) -> Option<Said> {
    if let Some(literal) = model.literal(input) {
        return literal;
    }
    let (text, taken) = line(input)?;
    let no = Some(Said(taken, "NO \"no\"\r\n".to_owned()));
    let (had, text, is_credential) = match std::mem::replace(&mut model.mode, Mode::Command) {
        Mode::Rest { had, .. } => (had, text, had == 2),
        Mode::Credential(_) => (1, text, true),
        _ => {
            model.commands.push(text.bytes().collect());
            let text = text.trim_start();
            let (verb, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            match verb.to_ascii_uppercase().as_str() {
                "CAPABILITY" => {
                    return Some(Said(taken, "\"SASL\" \"PLAIN\"\r\nOK\r\n".to_owned()));
                }
                "AUTHENTICATE" => (0, rest.to_owned(), false),
                _ => return no,
            }
        }
    };
    match arguments(&text, 2 - had) {
        Some((more, Some((left, _)))) => {
            model.mode = Mode::Literal { left, tag: String::new(), had: had + more + 1 };
            Some(Said(taken, String::new()))
        }
        Some((1, None)) if (had == 0 || is_credential) && model.consents() => {
            model.mode = Mode::Credential(String::new());
            Some(Said(taken, "\"\"\r\n".to_owned()))
        }
        _ => no,
    }
}

//! A POP3 server.

use super::{Mode, Model, Said, line};

pub(super) fn backend(model: &mut Model, input: &[u8]) -> Option<Said> {
    let (text, taken) = line(input)?;
    let is_credential = matches!(model.mode, Mode::Credential(_));
    model.mode = Mode::Command;
    let words: Vec<String> = text.split_whitespace().map(str::to_ascii_uppercase).collect();
    if !is_credential {
        model.commands.push(text.bytes().collect());
    }
    let answer = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["AUTH"] if !is_credential && model.consents() => "+OK\r\nPLAIN\r\n.\r\n",
        ["CAPA"] if !is_credential => "+OK\r\nUSER\r\n..\r\n.\r\n",
        ["AUTH", _] if is_credential || model.consents() => {
            model.mode = Mode::Credential(String::new());
            "+ \r\n"
        }
        _ if is_credential && model.consents() => {
            model.mode = Mode::Credential(String::new());
            "+ \r\n"
        }
        ["USER", ..] => "+OK\r\n",
        _ => "-ERR no\r\n",
    };
    Some(Said(taken, answer.to_owned()))
}

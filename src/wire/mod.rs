//! Where the protocol rooms' machines meet tokio: streams, inboxes, and the driver of dialogues.

mod announced;
mod dialogue;
mod ear;
mod inbox;
mod scratch;
mod stream;

pub use announced::{Unannounced, announced};
pub use dialogue::{Broken, converse};
pub use ear::Ear;
pub use inbox::Inbox;
pub use scratch::scratch;
pub use stream::{Client, Link, LinkTls, TlsStream, take_leave, take_leave_of_a_sender};

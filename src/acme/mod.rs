//! Certificates that come by themselves: from an authority that speaks ACME (RFC 8555).
//!
//! What is kept lies in one folder, and is written so that it can be cut off at any moment: the key of
//! the account before there is an account, the key of an order before it is finalised, and key and
//! certificate in one file, which is replaced as a whole.

mod account;
mod answers;
mod directory;
mod due;
mod folder;
mod held;
mod hook;
mod http;
mod jose;
mod keep;
mod order;
mod renewal;
mod report;
mod revoke;
mod schedule;
mod signed;
mod socket;
mod state;
mod trouble;

pub use answers::Answers;
pub use folder::{Folder, Item};
pub use keep::{Wanted, keep, needs};
pub use order::{Job, obtain};
pub use report::{findings, moment};
pub use revoke::{Account, Reason, account as open_account, rehearsal, revoke};
pub use socket::tell;
pub use state::{Entry, Phase, Source};
pub use trouble::{Kind, Trouble};

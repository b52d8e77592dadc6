//! One file per promise that the front makes; the file's name is the promise.

#[path = "../common/mod.rs"]
mod common;

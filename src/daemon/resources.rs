//! What the system has to grant.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are not a session's.
const OURS: u64 = 64;

/// Raises the limit of open files to what may be had. A session takes two of them.
pub(super) fn raise_open_files(connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let wanted = connections as u64 * 2 + OURS;
    if let Some(open_files) = getrlimit(Resource::Nofile).current.filter(|have| *have < wanted) {
        tracing::warn!(
            open_files,
            wanted,
            "limits.connections is more than open files allow: raise the limit (systemd: LimitNOFILE=) or lower it"
        );
    }
}

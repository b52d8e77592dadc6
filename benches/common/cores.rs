//! Which core does what: a front must not share its own with those that keep it busy.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The first and the last of the cores that we may use; `None` if there is but one.
pub fn two() -> Option<(usize, usize)> {
    let ours = sched_getaffinity(None).expect("our own cores can be asked for");
    let mut all = (0..CpuSet::MAX_CPU).filter(|core| ours.is_set(*core));
    Some((all.next()?, all.next_back()?))
}

/// Keeps this thread, and what it starts from now on, on one core.
pub fn stay_on(core: usize) {
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).expect("a core of our own");
}

/// Starts something on another core than ours, if there is one.
pub fn on<R>(core: Option<usize>, start: impl FnOnce() -> R) -> R {
    let Some(core) = core else { return start() };
    let ours = sched_getaffinity(None).expect("our own cores can be asked for");
    stay_on(core);
    let started = start();
    sched_setaffinity(None, &ours).expect("what we had before");
    started
}

//! Work on many things at once, on as many threads as there are cores for us.

use std::thread;

/// Below this, threads cost more than they bring.
const WORTH_IT: usize = 128;

/// What `work` makes of each item, in the items' order.
pub(super) fn map<'a, T: Sync, R: Send>(
    items: &'a [T],
    work: impl Fn(&'a T) -> R + Sync,
) -> Vec<R> {
    let threads = || thread::available_parallelism().map_or(1, usize::from);
    let threads = if items.len() < WORTH_IT { 1 } else { threads() };
    if threads == 1 {
        return items.iter().map(work).collect();
    }
    let work = &work;
    thread::scope(|scope| {
        let parts: Vec<_> = items
            .chunks(items.len().div_ceil(threads))
            .map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<R>>()))
            .collect();
        let joined = parts.into_iter().map(|part| {
            // A panic goes on in the thread that asked for the work.
            part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        joined.flatten().collect()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_order_is_kept() {
        let items: Vec<usize> = (0..1000).collect();
        assert_eq!(super::map(&items, |n| n * 2), (0..2000).step_by(2).collect::<Vec<_>>());
    }
}

//! One buffer for all intermediate values of a plan; values whose lives do not overlap share words.
//!
//! One binding serves every kernel, so the number of intermediate values is not limited by the number of bindings.

/// A value that lives from one dispatch to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub words: usize,
    pub first: usize,
    pub last: usize,
}

/// Values start at multiples of this many words, so that vectors stay aligned.
const ALIGN: usize = 64;

/// A first word for each value, and the number of words in all.
pub(super) fn place(lives: &[Life]) -> (Vec<usize>, usize) {
    let mut by_size: Vec<usize> = (0..lives.len()).collect();
    by_size.sort_by_key(|&i| (std::cmp::Reverse(lives[i].words), i));
    let mut starts = vec![0; lives.len()];
    let mut placed: Vec<usize> = vec![];
    let mut total = 0;
    for i in by_size {
        let life = lives[i];
        let overlaps = |&&other: &&usize| lives[other].first <= life.last && life.first <= lives[other].last;
        let mut taken: Vec<_> =
            placed.iter().filter(overlaps).map(|&o| (starts[o], starts[o] + lives[o].words)).collect();
        taken.sort_unstable();
        let mut start: usize = 0;
        for (from, to) in taken {
            if start + life.words <= from {
                break;
            }
            start = start.max(to.next_multiple_of(ALIGN));
        }
        starts[i] = start;
        total = total.max(start + life.words);
        placed.push(i);
    }
    (starts, total.next_multiple_of(ALIGN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_alive_together_never_overlap() {
        let lives: Vec<_> =
            (0..40).map(|i| Life { words: (i * 37) % 300 + 1, first: i / 3, last: i / 3 + (i * 7) % 5 }).collect();
        let (starts, total) = place(&lives);
        for i in 0..lives.len() {
            assert!(starts[i] + lives[i].words <= total && starts[i] % ALIGN == 0);
            for j in 0..i {
                let alive = lives[i].first <= lives[j].last && lives[j].first <= lives[i].last;
                let apart = starts[i] + lives[i].words <= starts[j] || starts[j] + lives[j].words <= starts[i];
                assert!(!alive || apart, "{i} and {j}");
            }
        }
        let sum: usize = lives.iter().map(|life| life.words).sum();
        assert!(total < sum / 2, "sharing saves memory: {total} of {sum}");
    }
}

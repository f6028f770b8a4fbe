//! How far ahead of its client a predictor may be.

/// How many prefetched files of one kind the client may not have asked for yet: `first` of them until it takes some, and
/// one more for each that counts in its favour. So the lead doubles when as many as it holds are taken, and who takes
/// none costs little.
#[derive(Debug)]
pub(super) struct Lead {
    first: usize,
    most: usize,
    open: usize,
    credit: usize,
}

impl Lead {
    pub(super) fn new(first: usize, most: usize) -> Self {
        Lead {
            first,
            most,
            open: 0,
            credit: 0,
        }
    }

    /// Whether another may be fetched.
    pub(super) fn allows(&self) -> bool {
        self.allows_beside(0)
    }

    /// Whether another may be fetched if so many places are kept for others.
    pub(super) fn allows_beside(&self, kept: usize) -> bool {
        self.open + kept < (self.first + self.credit).min(self.most)
    }

    /// Another is.
    pub(super) fn opened(&mut self) {
        self.open += 1;
    }

    /// One is not open any more.
    pub(super) fn closed(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// The client has shown that it wants such files.
    pub(super) fn earned(&mut self) {
        self.credit += 1;
    }

    /// How often it has.
    pub(super) fn credit(&self) -> usize {
        self.credit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_with_use_up_to_its_bound() {
        let mut lead = Lead::new(12, 40);
        let fill = |lead: &mut Lead| {
            let mut count = 0;
            while lead.allows() {
                lead.opened();
                count += 1;
            }
            count
        };
        assert_eq!(fill(&mut lead), 12);
        for expected in [24, 40, 40] {
            let open = lead.open;
            for _ in 0..open {
                lead.closed();
                lead.earned();
            }
            assert_eq!(fill(&mut lead), expected);
        }
        // What came to nothing makes room, and no more.
        lead.closed();
        assert_eq!(fill(&mut lead), 1);
    }
}

//! A page of a list, and where the list goes on: the rule of all lists, said once.
//!
//! A list goes on behind a page where something more was found there, or where the look ended before that could be known. So who is
//! told of nothing more has seen all of it, and an empty page is met only where looks are bounded.

/// Takes off what was read beyond a page to learn whether there is more. Gives the last one on the page, where there is.
pub fn cut<T>(items: &mut Vec<T>, limit: usize) -> Option<&T> {
    let more = items.len() > limit;
    items.truncate(limit);
    items.last().filter(|_| more)
}

/// Where a page ends at the latest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    /// So many items.
    pub(crate) limit: usize,
    /// So many things looked at.
    pub(crate) looks_max: usize,
    /// So many bytes of items, but one item in any case.
    pub(crate) bytes_max: usize,
}

impl Ends {
    /// After so many items.
    pub(crate) fn after(limit: usize) -> Self {
        Ends { limit, looks_max: usize::MAX, bytes_max: usize::MAX }
    }
}

/// A page that is filled by looking at one thing after the other.
#[derive(Debug)]
pub(crate) struct Filling<T, P> {
    ends: Ends,
    /// What of it is on the page.
    pub(crate) items: Vec<T>,
    looks: usize,
    bytes: usize,
    /// The place of what was looked at last.
    looked_to: Option<P>,
}

impl<T, P: Copy> Filling<T, P> {
    pub(crate) fn new(ends: Ends) -> Self {
        Filling { ends, items: Vec::new(), looks: 0, bytes: 0, looked_to: None }
    }

    /// Looks at the thing in a place, with its bytes where it is one of those that are listed. False where the page ends before it,
    /// and the list goes on.
    pub(crate) fn look<E>(
        &mut self,
        place: P,
        item: impl FnOnce() -> Result<Option<(T, usize)>, E>,
    ) -> Result<bool, E> {
        if self.looks >= self.ends.looks_max {
            return Ok(false);
        }
        if let Some((item, bytes)) = item()? {
            let is_over = !self.items.is_empty() && self.bytes.saturating_add(bytes) > self.ends.bytes_max;
            if is_over || self.items.len() >= self.ends.limit {
                return Ok(false);
            }
            self.bytes += bytes;
            self.items.push(item);
        }
        self.looks += 1;
        self.looked_to = Some(place);
        Ok(true)
    }

    /// Where the list goes on: behind what was looked at last.
    pub(crate) fn looked_to(&self) -> Option<P> {
        self.looked_to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(ends: Ends, things: &[Option<usize>]) -> (usize, bool, Option<usize>) {
        let mut page = Filling::new(ends);
        for (place, bytes) in things.iter().enumerate() {
            if !page.look(place, || Ok::<_, ()>(bytes.map(|bytes| (place, bytes)))).unwrap() {
                return (page.items.len(), true, page.looked_to());
            }
        }
        (page.items.len(), false, page.looked_to())
    }

    #[test]
    fn a_page_ends_before_what_does_not_fit_and_not_where_nothing_follows() {
        let ends = Ends { limit: 2, looks_max: 4, bytes_max: 10 };
        let (item, other) = (Some(1), None);
        for (things, expected) in [
            (&[item, item][..], (2, false, Some(1))),
            (&[item, item, item], (2, true, Some(1))),
            (&[item, item, other, item], (2, true, Some(2))),
            (&[item, item, other, other], (2, false, Some(3))),
            (&[other, other, other, other, other], (0, true, Some(3))),
            (&[Some(11)], (1, false, Some(0))),
            (&[Some(11), item], (1, true, Some(0))),
            (&[Some(9), item], (2, false, Some(1))),
            (&[], (0, false, None)),
        ] {
            assert_eq!(filled(ends, things), expected, "{things:?}");
        }
    }
}

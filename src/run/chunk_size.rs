//! How many documents the next chunk has.
//!
//! A chunk costs a fixed part, its round trips and its commit, and a part that grows with its documents. Only the
//! second is aimed at: over a network with 50 ms round trips the fixed part alone exceeds any aim, and a chunk that is
//! judged by the whole would shrink to one document.

use std::time::Duration;

use crate::model::number::cut;

/// How long the documents of a chunk should take: short enough for the application not to notice.
const TARGET: Duration = Duration::from_millis(200);
/// The most that is aimed at. Where round trips are long, more of it has to be work.
const LONGEST: Duration = Duration::from_secs(1);
/// How much longer than the fixed part the work of a chunk should take, so that most of the time is work.
const WORK: f64 = 3.0;
/// The largest chunk. Beyond it a transaction gains nothing and the server's cache suffers.
const LARGEST: usize = 20_000;
/// The same where round trips are long.
const LARGEST_FAR: usize = 50_000;
/// The first chunk, before anything is known.
const FIRST: usize = 1_000;
/// A first chunk holds no more than this, by the collection's average document size.
const FIRST_BYTES: i64 = 16 * 1024 * 1024;
/// Fewer documents than this make a chunk no quicker, so slowness alone never goes below it.
const FLOOR: usize = 200;
/// The factor by which a slower measurement may raise the known fixed cost.
const DRIFT: f64 = 1.25;
/// How fast a chunk grows again from what just fitted into a transaction.
const CEILING_DRIFT: f64 = 1.1;

/// What a chunk took besides its own work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Costs {
    /// Writing the journal's entry, a single document by its `_id`: as good as one round trip.
    pub entry: Duration,
    /// The commit; nothing where there are no transactions.
    pub commit: Duration,
}

/// Why a chunk is made smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Another client writes the same documents.
    Conflict,
    /// The server could not be used for a moment.
    Passing,
    /// It does not fit into one transaction.
    TooLarge,
}

impl Why {
    fn remark(self) -> &'static str {
        match self {
            Self::Conflict => "small chunks, because other clients write the same documents",
            Self::Passing => "small chunks, because the server fails now and then",
            Self::TooLarge => "small chunks, because the documents are large",
        }
    }
}

/// The size of the next chunk.
#[derive(Debug)]
pub struct Size {
    documents: usize,
    weight: usize,
    /// The lowest of what was measured lately.
    fixed: Option<Costs>,
    /// Why it was made smaller, and what it was before.
    shrunk: Option<(Why, usize)>,
    slow: bool,
    /// What fitted into one transaction, where more did not; it gives way slowly.
    ceiling: f64,
}

impl Size {
    /// The first chunk of documents of so many bytes each, which stand for `weight` documents each.
    pub fn new(average_bytes: i64, weight: usize) -> Self {
        let fitting = usize::try_from(FIRST_BYTES / average_bytes.max(1)).unwrap_or(FIRST);
        let documents = fitting.clamp(1, (FIRST / weight).max(1));
        Self { documents, weight, fixed: None, shrunk: None, slow: false, ceiling: f64::MAX }
    }

    /// How many documents the next chunk has.
    pub fn documents(&self) -> usize {
        self.documents
    }

    /// Learns from a chunk that is done: how long it took, in how many round trips besides the commit. It grows by at most four times or
    /// shrinks by half: one slow chunk is not the rule.
    pub fn took(&mut self, elapsed: Duration, round_trips: u64, costs: Costs) {
        let known = self.fixed.unwrap_or(costs);
        let fixed = Costs {
            entry: costs.entry.min(known.entry.mul_f64(DRIFT)),
            commit: costs.commit.min(known.commit.mul_f64(DRIFT)),
        };
        self.fixed = Some(fixed);
        let round_trips = u32::try_from(round_trips).unwrap_or(u32::MAX);
        let fixed = fixed.entry.saturating_mul(round_trips) + fixed.commit;
        let aim = fixed.mul_f64(WORK).clamp(TARGET, LONGEST);
        let work = elapsed.saturating_sub(fixed).as_secs_f64().max(0.001);
        let wanted = self.documents as f64 * (aim.as_secs_f64() / work).clamp(0.5, 4.0);
        let floor = self.documents.min((FLOOR / self.weight).max(1));
        let largest = LARGEST as f64 * aim.as_secs_f64() / TARGET.as_secs_f64();
        let largest = (count(largest).min(LARGEST_FAR) / self.weight).max(1);
        self.slow = self.documents == floor && work > 2.0 * aim.as_secs_f64();
        self.ceiling *= CEILING_DRIFT;
        self.documents = count(wanted.min(self.ceiling).ceil()).clamp(floor, largest.max(floor));
        self.shrunk = self.shrunk.filter(|(_, before)| self.documents < *before);
    }

    /// Makes the chunk smaller. Returns false if this reason cannot shrink it further. A server that fails now and
    /// then is asked in as few round trips by a chunk of [`FLOOR`] documents as by a smaller one.
    pub fn shrink(&mut self, why: Why) -> bool {
        let least = if why == Why::Passing { (FLOOR / self.weight).max(1) } else { 1 };
        if self.documents <= least {
            return false;
        }
        let before = self.shrunk.map_or(self.documents, |(_, before)| before.max(self.documents));
        self.shrunk = Some((why, before));
        self.documents = (self.documents / 2).max(least);
        if why == Why::TooLarge {
            self.ceiling = self.documents as f64;
        }
        true
    }

    /// Why chunks are small, if they are.
    pub fn remark(&self) -> Option<&'static str> {
        let slow = self.slow.then_some("small chunks, because each document takes long");
        self.shrunk.map(|(why, _)| why.remark()).or(slow)
    }
}

/// A number of documents, without a fraction.
fn count(documents: f64) -> usize {
    usize::try_from(cut(documents)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// Runs so many chunks of documents that take `each`, over a network with this round trip.
    fn run(size: &mut Size, chunks: usize, round_trip: Duration, each: Duration) -> Duration {
        let mut took = Duration::ZERO;
        for _ in 0..chunks {
            let costs = Costs { entry: round_trip, commit: round_trip };
            took = round_trip * 6 + each * u32::try_from(size.documents()).expect("few");
            size.took(took, 5, costs);
        }
        took
    }

    #[test]
    fn a_chunk_aims_at_its_target() {
        let mut size = Size::new(350, 1);
        assert_eq!(size.documents(), FIRST);
        let took = run(&mut size, 20, MILLISECOND / 10, Duration::from_micros(20));
        assert!((190 * MILLISECOND..210 * MILLISECOND).contains(&took), "{took:?}");
        run(&mut size, 20, MILLISECOND / 10, Duration::from_micros(1));
        assert_eq!(size.documents(), LARGEST);
        assert_eq!(Size::new(16 * 1024 * 1024, 1).documents(), 1);
    }

    #[test]
    fn round_trips_do_not_make_it_smaller() {
        for round_trip in [10, 50, 200, 1_000] {
            let mut size = Size::new(350, 1);
            let round_trip = round_trip * MILLISECOND;
            let took = run(&mut size, 20, round_trip, Duration::from_micros(20));
            let work = took - round_trip * 6;
            let least = if round_trip <= 50 * MILLISECOND { 0.6 } else { 0.1 };
            assert!(work.as_secs_f64() > least * took.as_secs_f64(), "{round_trip:?}: {size:?}");
            assert!(work <= LONGEST + MILLISECOND, "{round_trip:?}: {work:?}");
        }
    }

    #[test]
    fn slow_documents_leave_a_floor_and_a_remark() {
        let mut size = Size::new(350, 1);
        run(&mut size, 20, MILLISECOND, 50 * MILLISECOND);
        assert_eq!(size.documents(), FLOOR);
        assert_eq!(size.remark(), Some("small chunks, because each document takes long"));
        run(&mut size, 20, MILLISECOND, MILLISECOND / 100);
        assert_eq!(size.remark(), None);
    }

    #[test]
    fn conflicts_go_down_to_one_document_and_it_grows_again() {
        let mut size = Size::new(350, 1);
        while size.shrink(Why::Conflict) {}
        assert_eq!(size.documents(), 1);
        assert!(size.remark().is_some_and(|remark| remark.contains("other clients")));
        run(&mut size, 1, MILLISECOND, MILLISECOND / 100);
        assert_eq!(size.documents(), 4);
        run(&mut size, 10, MILLISECOND, MILLISECOND / 100);
        assert_eq!(size.remark(), None);
    }

    #[test]
    fn passing_errors_leave_a_floor() {
        let mut size = Size::new(350, 1);
        while size.shrink(Why::Passing) {}
        assert_eq!(size.documents(), FLOOR);
        let mut size = Size::new(350, 500);
        while size.shrink(Why::Passing) {}
        assert_eq!(size.documents(), 1);
    }
}

//! Whom to ask for one request, and in which order. Members are bits, so nothing is allocated.

use super::memory::Standing;

/// As many as there are bits.
pub(crate) const MOST_MEMBERS: usize = 64;

/// The order in which members are asked for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turns {
    first: Option<usize>,
    /// Asked next, in order.
    behind: Members,
    /// Those whose time is over and whom this request does not try out: asked after all who are known to be well.
    due: Members,
    /// Those that failed lately: asked only when nobody gave any answer at all.
    out: Members,
    /// Those that active checks find down: of the hopeless, the most hopeless.
    down: Members,
}

/// What is known of all members at one moment, as far as it matters to one request.
pub(super) struct Field<'a> {
    pub(super) count: usize,
    pub(super) standing: &'a dyn Fn(usize) -> Standing,
    /// Takes the one trial of a member that is due, if it is not taken yet.
    pub(super) claim: &'a dyn Fn(usize) -> bool,
    /// How much each member is worth as the first; `None`: order decides.
    pub(super) weights: Option<&'a [u32]>,
}

impl Turns {
    /// A group of one needs no look at anything.
    pub(super) const ALONE: Self = Self { first: Some(0), ..Self::NOBODY };
    const NOBODY: Self =
        Self { first: None, behind: Members(0), due: Members(0), out: Members(0), down: Members(0) };

    /// `draw` gives a number from 0 to below 1 each time; it is asked only where chance decides.
    pub(super) fn choose(field: &Field<'_>, mut draw: impl FnMut() -> f64) -> Self {
        let mut turns = Self::sides(field);
        let mut candidates = turns.behind.with(turns.due);
        while let Some(member) = field.first(candidates, &mut draw) {
            if !turns.due.contains(member) || (field.claim)(member) {
                turns.behind.remove(member);
                turns.due.remove(member);
                turns.first = Some(member);
                return turns;
            }
            // Somebody else is trying it out.
            candidates.remove(member);
            if !candidates.is_empty() {
                turns.due.remove(member);
                turns.out.insert(member);
            }
        }
        turns
    }

    /// Who stands where before anybody is first.
    fn sides(field: &Field<'_>) -> Self {
        let mut turns = Self::NOBODY;
        for member in 0..field.count {
            let side = match (field.standing)(member) {
                Standing::Well | Standing::Warming(_) => &mut turns.behind,
                Standing::Due => &mut turns.due,
                Standing::Out => &mut turns.out,
                Standing::Down => &mut turns.down,
            };
            side.insert(member);
        }
        // All failed lately: one may be back, and sooner one that no check finds down.
        for hopeless in [&mut turns.out, &mut turns.down] {
            if turns.behind.is_empty() && turns.due.is_empty() {
                std::mem::swap(&mut turns.behind, hopeless);
            }
        }
        turns
    }

    /// Whom to ask now.
    pub(super) fn next(&mut self) -> Option<usize> {
        let sides = [&mut self.behind, &mut self.due, &mut self.out, &mut self.down];
        self.first.take().or_else(|| sides.into_iter().find_map(Members::take_first))
    }

    /// Whether somebody who did not fail lately is left; who is due may be back, and so is worth more than a bad answer.
    pub(super) fn has_good(&self) -> bool {
        self.first.is_some() || !self.behind.is_empty() || !self.due.is_empty()
    }

    /// Whether anybody is left.
    pub(super) fn is_over(&self) -> bool {
        !self.has_good() && self.out.is_empty() && self.down.is_empty()
    }
}

impl Field<'_> {
    /// Who of these is asked first.
    fn first(&self, among: Members, draw: &mut impl FnMut() -> f64) -> Option<usize> {
        let share = |member| match (self.standing)(member) {
            Standing::Warming(share) => share,
            _ => 1.0,
        };
        let Some(weights) = self.weights else {
            let admitted = among.iter().find(|member| {
                let share = share(*member);
                share >= 1.0 || draw() < share
            });
            return admitted.or_else(|| among.iter().next());
        };
        let weight =
            |member: usize| f64::from(weights.get(member).copied().unwrap_or_default()) * share(member);
        let total: f64 = among.iter().map(weight).sum();
        let mut point = draw() * total;
        let drawn = among.iter().find(|member| {
            let weight = weight(*member);
            point -= weight;
            weight > 0.0 && point < 0.0
        });
        drawn.or_else(|| among.iter().next())
    }
}

/// A set of members, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Members(u64);

impl Members {
    pub(super) fn insert(&mut self, member: usize) {
        self.0 |= 1 << member;
    }

    pub(super) fn contains(self, member: usize) -> bool {
        self.0 & 1 << member != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn iter(mut self) -> impl Iterator<Item = usize> {
        std::iter::from_fn(move || self.take_first())
    }

    fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    fn remove(&mut self, member: usize) {
        self.0 &= !(1 << member);
    }

    fn take_first(&mut self) -> Option<usize> {
        let first = (!self.is_empty()).then(|| self.0.trailing_zeros() as usize)?;
        self.remove(first);
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Standing::{Down, Due, Out, Warming, Well};

    fn choose(standings: &[Standing], weights: Option<&[u32]>, draw: f64) -> Vec<usize> {
        choose_claiming(standings, weights, draw, true)
    }

    fn choose_claiming(
        standings: &[Standing],
        weights: Option<&[u32]>,
        draw: f64,
        is_free: bool,
    ) -> Vec<usize> {
        let field = Field {
            count: standings.len(),
            standing: &|member| standings[member],
            claim: &|_| is_free,
            weights,
        };
        let mut turns = Turns::choose(&field, || draw);
        std::iter::from_fn(|| turns.next()).collect()
    }

    #[test]
    fn in_order_and_those_who_failed_last() {
        assert_eq!(choose(&[Well, Well, Well], None, 0.0), [0, 1, 2]);
        assert_eq!(choose(&[Out, Well, Well], None, 0.0), [1, 2, 0]);
        assert_eq!(choose(&[Out, Out, Out], None, 0.0), [0, 1, 2], "all failed: all in order");
    }

    #[test]
    fn who_is_due_is_tried_by_one_request_at_a_time() {
        assert_eq!(choose_claiming(&[Due, Well], None, 0.0, true), [0, 1]);
        assert_eq!(choose_claiming(&[Due, Well], None, 0.0, false), [1, 0]);
        assert_eq!(choose_claiming(&[Due, Out], None, 0.0, false), [0, 1], "nobody else is good");
        assert_eq!(choose_claiming(&[Well, Due], None, 0.0, false), [0, 1], "a spare is not tried out");
    }

    #[test]
    fn no_request_tries_out_two_while_somebody_well_is_left() {
        assert_eq!(choose(&[Due, Due, Well], None, 0.0), [0, 2, 1]);
        assert_eq!(choose(&[Due, Due, Warming(0.5), Out], None, 0.0), [0, 2, 1, 3]);
        assert_eq!(choose(&[Well, Due, Well], None, 0.0), [0, 2, 1]);
        assert_eq!(choose(&[Due, Due], None, 0.0), [0, 1]);
        let standings = [Well, Due];
        let field =
            Field { count: 2, standing: &|member| standings[member], claim: &|_| true, weights: None };
        let mut turns = Turns::choose(&field, || 0.0);
        assert_eq!(turns.next(), Some(0));
        assert!(turns.has_good(), "who is due may answer better");
    }

    #[test]
    fn who_is_down_by_active_checks_is_asked_last_even_when_all_are_out() {
        assert_eq!(choose(&[Down, Out, Out], None, 0.0), [1, 2, 0]);
        assert_eq!(choose(&[Down, Out, Well], None, 0.0), [2, 1, 0]);
        assert_eq!(choose(&[Down, Down], None, 0.0), [0, 1]);
        assert_eq!(choose_claiming(&[Down, Due], None, 0.0, false), [1, 0]);
    }

    #[test]
    fn who_warms_up_is_first_as_often_as_its_share() {
        assert_eq!(choose(&[Warming(0.3), Well], None, 0.29), [0, 1]);
        assert_eq!(choose(&[Warming(0.3), Well], None, 0.31), [1, 0]);
        assert_eq!(choose(&[Warming(0.3), Out], None, 0.9), [0, 1]);
    }

    #[test]
    fn weights_draw_the_first_and_the_others_stand_behind_in_order() {
        let weights: &[u32] = &[80, 0, 20];
        assert_eq!(choose(&[Well, Well, Well], Some(weights), 0.79), [0, 1, 2]);
        assert_eq!(choose(&[Well, Well, Well], Some(weights), 0.81), [2, 0, 1]);
        assert_eq!(choose(&[Out, Well, Well], Some(weights), 0.01), [2, 1, 0]);
        assert_eq!(choose(&[Out, Well, Out], Some(weights), 0.5), [1, 0, 2], "no weight left");
        assert_eq!(choose(&[Warming(0.25), Well, Well], Some(weights), 0.49), [0, 1, 2], "20 to 20");
        assert_eq!(choose(&[Warming(0.25), Well, Well], Some(weights), 0.51), [2, 0, 1]);
    }

    #[test]
    fn weights_are_kept_over_many_requests() {
        let mut random = fastrand::Rng::with_seed(1);
        let standings = [Well, Well];
        let firsts = (0..10_000).filter(|_| choose(&standings, Some(&[80, 20]), random.f64())[0] == 0);
        let count = firsts.count();
        assert!((7_800..=8_200).contains(&count), "{count}");
    }

    #[test]
    fn a_group_may_have_as_many_members_as_there_are_bits() {
        let standings = [Well; MOST_MEMBERS];
        assert_eq!(choose(&standings, None, 0.0), (0..MOST_MEMBERS).collect::<Vec<_>>());
    }

    #[test]
    fn only_good_members_count_as_left() {
        let standings = [Well, Out];
        let field =
            Field { count: 2, standing: &|member| standings[member], claim: &|_| true, weights: None };
        let mut turns = Turns::choose(&field, || 0.0);
        assert!(turns.has_good());
        assert_eq!(turns.next(), Some(0));
        assert!(!turns.has_good() && !turns.is_over());
        assert_eq!(turns.next(), Some(1));
        assert!(turns.is_over());
    }
}

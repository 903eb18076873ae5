//! Medians, and how sure they are.

use fastrand::Rng;

/// How many times the bootstrap draws.
const RESAMPLES: usize = 10_000;

/// A ratio of medians with its 95 % interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ratio {
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// The middle of the values, or the mean of the two in the middle; `None` of none.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get(sorted.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// Compares two samples by their medians. The interval is the percentile bootstrap's (Efron 1979):
/// both samples are drawn anew with replacement, and the middle 95 % of the ratios is given.
pub(super) fn ratio(sample: &[f64], base: &[f64], seed: u64) -> Option<Ratio> {
    let value = median(sample)? / median(base)?;
    let mut rng = Rng::with_seed(seed);
    let mut ratios: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| Some(median(&drawn(sample, &mut rng))? / median(&drawn(base, &mut rng))?))
        .collect();
    ratios.sort_by(f64::total_cmp);
    Some(Ratio { value, low: percentile(&ratios, 25)?, high: percentile(&ratios, 975)? })
}

/// As many values as `sample` has, each drawn from all of them.
fn drawn(sample: &[f64], rng: &mut Rng) -> Vec<f64> {
    (0..sample.len()).filter_map(|_| sample.get(rng.usize(..sample.len())).copied()).collect()
}

/// The value below which `thousandths` of the sorted values lie.
fn percentile(sorted: &[f64], thousandths: usize) -> Option<f64> {
    sorted.get(sorted.len().checked_sub(1)? * thousandths / 1000).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }

    #[test]
    fn samples_without_spread_have_an_interval_without_width() {
        let ratio = ratio(&[2.2; 8], &[2.0; 8], 1).unwrap();
        assert_eq!((ratio.value, ratio.low, ratio.high), (1.1, 1.1, 1.1));
    }

    #[test]
    fn the_interval_holds_the_ratio_and_grows_with_the_spread() {
        let base = [1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 1.01, 0.99];
        let wide: Vec<f64> = base.iter().map(|t| 1.2 + (t - 1.0) * 10.0).collect();
        let narrow: Vec<f64> = base.iter().map(|t| t + 0.2).collect();
        let (narrow, wide) = (ratio(&narrow, &base, 7).unwrap(), ratio(&wide, &base, 7).unwrap());
        for found in [narrow, wide] {
            assert!(found.low < 1.2 && 1.2 < found.high, "{found:?}");
        }
        assert!(wide.high - wide.low > narrow.high - narrow.low);
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let (a, b) = ([1.0, 1.3, 1.1, 1.2], [0.9, 1.0, 1.1, 1.0]);
        let bounds = |seed| ratio(&a, &b, seed).map(|r| (r.low.to_bits(), r.high.to_bits()));
        assert_eq!(bounds(3), bounds(3));
        assert_eq!(ratio(&[], &b, 3).map(|r| r.value), None);
    }
}

//! Places shared out among weights; see [`Var::apportion`](crate::graph::Var::apportion).

/// A quota is an integer if it is one within so much of itself: the sum of weights is good to some units in the last place.
const SNAP: f64 = 64.0 * f64::EPSILON;

/// Bits behind the point. A quota has 53 significant bits, and 30 of them at most are before the point.
const POINT: u32 = 64;

/// Which weight owns each place. Sums of quotas are exact, in fixed point, so a share is floor or ceiling of its quota.
pub(super) fn reference(weights: &[f64], places: usize, offsets: &[f64]) -> Vec<f64> {
    let ends = ends(weights, places);
    let one = 1u128 << POINT;
    let all = (places as u128) << POINT;
    let end = ends.last().copied().unwrap_or(0);
    // Rounding of quotas leaves the last end beside the number of places. No offset may fall between the two.
    let (least, most) = (end.saturating_sub(all) + 1, one - all.saturating_sub(end).max(1).min(one));
    let at = |j: usize| {
        let u = offsets[if offsets.len() == 1 { 0 } else { j }];
        let point = ((j as u128) << POINT) + fixed(u.clamp(0.0, 1.0)).min(most).max(least);
        ends.partition_point(|end| *end < point).min(weights.len() - 1) as f64
    };
    (0..places).map(at).collect()
}

/// Running sums of quotas.
fn ends(weights: &[f64], places: usize) -> Vec<u128> {
    let total = sum(weights);
    let quota = |w: &f64| {
        let quota = places as f64 * (w.max(0.0) / total);
        let near = quota.round();
        fixed(if near >= 1.0 && (quota - near).abs() <= SNAP * near { near } else { quota })
    };
    let running = weights.iter().map(quota).scan(0u128, |end, quota| {
        *end = end.saturating_add(quota);
        Some(*end)
    });
    running.collect()
}

/// Kahan's sum, in Neumaier's form: good to a unit in the last place.
fn sum(terms: &[f64]) -> f64 {
    let (mut sum, mut low) = (0.0f64, 0.0f64);
    for &x in terms {
        let next = sum + x.max(0.0);
        low += if sum >= x { (sum - next) + x.max(0.0) } else { (x.max(0.0) - next) + sum };
        sum = next;
    }
    sum + low
}

fn fixed(x: f64) -> u128 {
    let whole = x.floor();
    ((whole as u128) << POINT).saturating_add(((x - whole) * 2f64.powi(POINT as i32)) as u128)
}

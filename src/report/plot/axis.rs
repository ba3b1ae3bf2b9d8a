//! Scales and tick marks: round numbers, at most one format an axis, decades on a logarithm.

/// How data become positions along an axis, 0 at its start and 1 at its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    lo: f64,
    hi: f64,
    log: bool,
}

/// A tick mark; minor ones have no label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub at: f64,
    pub label: String,
}

impl Scale {
    /// Holds all finite `values` (above 0 on a logarithm) with a little room; exactly `range` where that is given.
    pub fn fit(values: impl Iterator<Item = f64>, log: bool, range: Option<(f64, f64)>, room: f64) -> Self {
        // Twice the largest finite number would be infinite, and so would the range.
        let usable = |v: &f64| v.abs() < 1e300 && (!log || *v > 0.0);
        let (lo, hi) = range.filter(|(lo, hi)| usable(lo) && usable(hi) && lo < hi).unwrap_or_else(|| {
            let limits = |(lo, hi): (f64, f64), v: f64| (lo.min(v), hi.max(v));
            let (lo, hi) = values.filter(usable).fold((f64::INFINITY, f64::NEG_INFINITY), limits);
            roomy(if lo > hi { (if log { 0.1 } else { 0.0 }, 1.0) } else { (lo, hi) }, log, room)
        });
        Self { lo, hi, log }
    }

    /// Position of a value; `None` for what has none (NaN, or not above 0 on a logarithm). May lie outside 0 to 1.
    pub fn place(&self, value: f64) -> Option<f64> {
        let of = |v: f64| if self.log { v.ln() } else { v };
        let at = (of(value) - of(self.lo)) / (of(self.hi) - of(self.lo));
        (at.is_finite() && (!self.log || value > 0.0)).then_some(at)
    }

    /// About `count` labelled ticks, and minor ones between decades.
    pub fn ticks(&self, count: usize) -> Vec<Tick> {
        if self.log { self.log_ticks(count) } else { self.linear_ticks(count) }
    }

    fn linear_ticks(&self, count: usize) -> Vec<Tick> {
        let rough = (self.hi - self.lo) / count.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= rough * 0.999);
        let step = step.unwrap_or(power);
        // A hair of slack: 0.3 / 0.1 is a hair below 3.
        let (first, last) = ((self.lo / step - 1e-9).ceil() as i64, (self.hi / step + 1e-9).floor() as i64);
        let size = self.lo.abs().max(self.hi.abs());
        let label = |at: f64| linear_label(at, step, size);
        (first..=last).take(100).map(|i| i as f64 * step).map(|at| Tick { at, label: label(at) }).collect()
    }

    fn log_ticks(&self, count: usize) -> Vec<Tick> {
        let (first, last) = (self.lo.log10().floor() as i32, self.hi.log10().ceil() as i32);
        let decades = self.hi.log10() - self.lo.log10();
        if decades < 1.0 {
            // Too short for decades: round numbers, as on a straight axis.
            return Self { log: false, ..*self }.linear_ticks(count);
        }
        let stride = (decades / (1.6 * count.max(1) as f64)).ceil().max(1.0) as i32;
        // All labels of an axis in one format: plain numbers where all of them are short.
        let plain = self.lo > 0.9e-2 && self.hi < 1.1e4;
        let mut ticks = Vec::new();
        for (power, digit) in (first..=last).flat_map(|power| (1..10).map(move |digit| (power, digit))) {
            let at = f64::from(digit) * 10f64.powi(power);
            let labelled = power.rem_euclid(stride) == 0 && (digit == 1 || decades < 2.5 && (digit == 2 || digit == 5));
            let label = if labelled { log_label(digit, power, plain) } else { String::new() };
            let inside = (self.lo * (1.0 - 1e-9)..=self.hi * (1.0 + 1e-9)).contains(&at);
            if inside && (labelled || decades < 8.0) {
                ticks.push(Tick { at, label });
            }
        }
        ticks
    }
}

/// Widens a range; one value gets room in proportion to its size.
fn roomy((lo, hi): (f64, f64), log: bool, room: f64) -> (f64, f64) {
    if log {
        let factor = (hi / lo).powf(room).max(if lo == hi { 2.0 } else { 1.0 });
        return (lo / factor, hi * factor);
    }
    let width = if lo == hi { lo.abs().max(1.0) * 0.2 } else { hi - lo };
    let room = if lo == hi { 0.5 } else { room };
    (lo - room * width, hi + room * width)
}

/// Decimals as the step needs; powers of ten when numbers are very large or small.
fn linear_label(at: f64, step: f64, size: f64) -> String {
    if at == 0.0 || at.abs() < step * 1e-6 {
        return "0".into();
    }
    if (1e-3..1e5).contains(&size) {
        let decimals = (-(step * 1.001).log10().floor()).clamp(0.0, 9.0) as usize;
        return format!("{at:.decimals$}").replace('-', "\u{2212}");
    }
    let power = size.log10().floor() as i32;
    let (mantissa, step) = (at / 10f64.powi(power), step / 10f64.powi(power));
    let decimals = (-(step * 1.001).log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{mantissa:.decimals$}·10{}", superscript(power)).replace('-', "\u{2212}")
}

fn log_label(digit: i32, power: i32, plain: bool) -> String {
    if plain || power == 0 {
        let decimals = (-power).max(0) as usize;
        return format!("{:.decimals$}", f64::from(digit) * 10f64.powi(power));
    }
    let factor = if digit == 1 { String::new() } else { format!("{digit}·") };
    format!("{factor}10{}", superscript(power))
}

fn superscript(power: i32) -> String {
    let raised = |c: char| match c {
        '-' => '\u{207b}',
        digit => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize - '0' as usize],
    };
    power.to_string().chars().map(raised).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(lo: f64, hi: f64, log: bool) -> Vec<String> {
        let ticks = Scale { lo, hi, log }.ticks(5);
        ticks.into_iter().map(|tick| tick.label).filter(|label| !label.is_empty()).collect()
    }

    #[test]
    fn ticks_are_round_numbers_in_one_format() {
        assert_eq!(labels(0.0, 1.0, false), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(-3.0, 11.0, false), ["0", "5", "10"]);
        assert_eq!(labels(0.0, 3e6, false), ["0", "1·10⁶", "2·10⁶", "3·10⁶"]);
        assert_eq!(labels(0.0, 2e-5, false), ["0", "0.5·10⁻⁵", "1.0·10⁻⁵", "1.5·10⁻⁵", "2.0·10⁻⁵"]);
        assert_eq!(labels(12.0, 12.1, false), ["12.00", "12.02", "12.04", "12.06", "12.08", "12.10"]);
    }

    #[test]
    fn a_logarithm_has_decades() {
        assert_eq!(labels(1e-6, 1e-1, true), ["10⁻⁶", "10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²", "10⁻¹"]);
        assert_eq!(labels(10.0, 500.0, true), ["10", "20", "50", "100", "200", "500"]);
        assert_eq!(labels(1e-20, 1.0, true), ["10⁻¹⁸", "10⁻¹⁵", "10⁻¹²", "10⁻⁹", "10⁻⁶", "10⁻³", "1"]);
    }

    #[test]
    fn a_scale_holds_its_values_and_survives_odd_ones() {
        let values = [3.0, f64::NAN, -1.0, f64::INFINITY];
        let scale = Scale::fit(values.into_iter(), false, None, 0.04);
        assert!(scale.place(-1.0).unwrap() > 0.0 && scale.place(3.0).unwrap() < 1.0);
        assert_eq!(scale.place(f64::NAN), None);
        assert_eq!(Scale::fit(values.into_iter(), true, None, 0.0).place(-1.0), None);
        for odd in [&[][..], &[5.0], &[0.0], &[-2.0, -2.0]] {
            for log in [false, true] {
                let scale = Scale::fit(odd.iter().copied(), log, None, 0.04);
                assert!(scale.lo < scale.hi && !scale.ticks(5).is_empty(), "{odd:?} {log}");
            }
        }
    }
}

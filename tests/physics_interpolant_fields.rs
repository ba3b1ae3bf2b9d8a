//! Fields of paths between mixtures: known values, identities, and the two ways in which graphs compute them.
mod common;
mod interpolant_support;

use ergodic::graph::{Feeds, Graph};
use ergodic::methods::interpolant::{Gamma, GaussianMixture, MixturePath, MixtureSpec, PointFields, Schedule};
use ergodic::random::RngKey;
use interpolant_support::*;

/// Values at `(t, x)` of density, velocity, score and `v`, computed by hand in f64.
const KNOWN: [(&str, f64, f64, [f64; 4]); 9] = [
    ("linear a=1", 0.25, 1.0, [0.115229, -8.057776, -0.306993, -8.134525]),
    ("linear a=1", 0.5, -2.0, [0.152716, -3.034820, 1.201370, -3.034820]),
    ("linear a=1", 0.75, 4.0, [0.108608, 7.946395, 0.026785, 7.939699]),
    ("linear a=2", 0.25, 1.0, [0.111632, -6.926785, -0.059024, -6.956296]),
    ("trig unit", 0.25, 1.0, [0.103340, -4.364803, -0.553475, -4.641541]),
    ("trig unit", 0.75, 4.0, [0.089617, 7.641798, -0.080572, 7.682084]),
    ("enc-dec", 0.25, 1.0, [0.239203, -11.307691, 1.599350, -8.795438]),
    ("enc-dec", 0.75, 4.0, [0.057242, 16.755161, -2.666667, 20.943951]),
    ("linear 0", 0.25, 1.0, [0.135042, -9.021495, -1.367130, -9.021495]),
];

fn path(name: &str) -> MixturePath {
    let found = schedules().into_iter().find(|(own, _)| *own == name).unwrap_or_else(|| panic!("no schedule {name}"));
    one_dimensional(found.1)
}

fn four(at: &PointFields) -> [f64; 4] {
    [at.log_density.exp(), at.b[0], at.s[0], at.v[0]]
}

#[test]
fn fields_have_their_known_values() {
    for (tier, gpu) in common::gpus() {
        for (name, t, x, want) in KNOWN {
            let path = path(name);
            for (got, want) in four(&path.at(t, &[x]).unwrap()).into_iter().zip(want) {
                // Six decimals are known.
                assert!((got - want).abs() < 0.6e-6, "{name} {t} {x}: {got} {want}");
            }
            let device = on_device(&gpu, &path, &[t], &[x]);
            let field = |name: &str| device.iter().find(|(own, _)| *own == name).unwrap().1[0];
            let got = [field("log_density").exp(), field("b"), field("s"), field("v")];
            for (got, want) in got.into_iter().zip(want) {
                // Exponents up to 40 are rounded to 40 eps, which the shares of the modes feel.
                assert!((got - want).abs() < 1e-6 + 64.0 * EPS * (1.0 + want.abs()), "{tier} {name}: {got} {want}");
            }
        }
    }
    let at = path("linear a=1").at(0.25, &[1.0]).unwrap();
    assert!((at.eta_0[0] - 2.976070).abs() < 0.6e-6 && (at.eta_1[0] + 5.158455).abs() < 0.6e-6, "{at:?}");
}

#[test]
fn fields_keep_their_identities() {
    let h = 1e-4;
    for (name, schedule) in schedules() {
        let path = one_dimensional(schedule);
        for (t, x) in [(0.2, 1.3), (0.4, -2.5), (0.55, 0.2), (0.8, 4.0)] {
            let (at, c) = (path.at(t, &[x]).unwrap(), schedule.at(t));
            let (b, s, v) = (at.b[0], at.s[0], at.v[0]);
            let close = |what: &str, got: f64, want: f64| {
                let size = 1.0 + want.abs();
                assert!((got - want).abs() < 1e-12 * size, "{name} {t} {x}: {what} {got} {want}");
            };
            close("b = v - gamma gamma' s", b, v - c.gamma_gamma_dot * s);
            close("x", c.alpha * at.eta_0[0] + c.beta * at.eta_1[0] + c.gamma() * at.eta_z[0], x);
            close("v of the ends", v, c.alpha_dot * at.eta_0[0] + c.beta_dot * at.eta_1[0]);
            close("eta_z", at.eta_z[0], -c.gamma() * s);
            // The continuity equation by central differences, h^2 times third derivatives, relative to its terms.
            let density = |t: f64, x: f64| path.at(t, &[x]).unwrap().log_density.exp();
            let flux = |x: f64| density(t, x) * path.at(t, &[x]).unwrap().b[0];
            let (rate, spread) =
                ((density(t + h, x) - density(t - h, x)) / (2.0 * h), (flux(x + h) - flux(x - h)) / (2.0 * h));
            let size = rate.abs().max(density(t, x) * (1.0 + b.abs()));
            assert!((rate + spread).abs() < 1e-4 * size, "{name} {t} {x}: {rate} {spread}");
        }
    }
}

#[test]
fn the_score_is_the_gradient_of_the_log_density() {
    let [a, b, c] = full();
    let path = MixturePath::between(linear(root(1.0)), mixture(&[a, b]), mixture(&[c])).unwrap();
    let g = Graph::new();
    let (t, x) = (g.input("t", [3, 1]), g.input("x", [3, 2]));
    let fields = path.fields(theta(&g, &path), t, x).unwrap();
    let slope = ergodic::autodiff::grad(fields.log_density, x).unwrap();
    let feeds = Feeds::new().tensor("t", &[0.2, 0.5, 0.9]).tensor("x", &[0.1, -0.4, 1.0, 2.0, -1.5, 0.3]);
    let values = g.eval_f64(&[slope, fields.s], &feeds.tensor("theta", path.parameters().unwrap())).unwrap();
    for (a, b) in values[0].data.iter().zip(&values[1].data) {
        assert!((a - b).abs() < 1e-12 * (1.0 + b.abs()), "{a} {b}");
    }
}

type Mode = (f64, Vec<f64>, Vec<f64>);

/// Two modes of weight 1/2 and one of weight 1, in the plane, that share no basis.
fn full() -> [Mode; 3] {
    [
        (0.5, vec![1.0, -1.0], vec![1.0, 0.6, 0.6, 1.0]),
        (0.5, vec![-1.0, 0.5], vec![0.8, -0.3, -0.3, 0.4]),
        (1.0, vec![0.0, 2.0], vec![0.5, -0.2, -0.2, 2.0]),
    ]
}

fn mixture(modes: &[Mode]) -> GaussianMixture {
    let (weights, means, covariances): (Vec<_>, Vec<_>, Vec<_>) =
        modes.iter().cloned().fold((vec![], vec![], vec![]), |(mut w, mut m, mut c), mode| {
            w.push(mode.0);
            m.push(mode.1);
            c.push(mode.2);
            (w, m, c)
        });
    GaussianMixture::new(&weights, &means, &covariances).unwrap()
}

/// A rotation-free covariance in `d` dimensions, full, with eigenvalues of order 1.
fn wishart(d: usize, seed: u64) -> Vec<f64> {
    let mut w = vec![0f32; d * d];
    RngKey::new(seed).fill_normal(0, d, &mut w);
    let dot = |i: usize, j: usize| (0..d).map(|k| f64::from(w[k * d + i]) * f64::from(w[k * d + j])).sum::<f64>();
    (0..d * d).map(|at| dot(at / d, at % d) / d as f64 + if at / d == at % d { 0.5 } else { 0.0 }).collect()
}

/// Paths that take every way of solving with `C(t)`, with a name.
fn ways() -> Vec<(&'static str, MixturePath)> {
    let [a, b, c] = full();
    let both = || (mixture(&[a.clone(), b.clone()]), mixture(std::slice::from_ref(&c)));
    let (start, end) = both();
    let written = MixturePath::between(linear(root(1.0)), start, end).unwrap();
    let (start, end) = both();
    let generalised = MixturePath::between(Schedule::Trig { gamma: Gamma::Zero }, start, end).unwrap();
    let wide = |d: usize, seed| GaussianMixture::new(&[1.0], &[vec![0.3; d]], &[wishart(d, seed)]).unwrap();
    let noisy = Schedule::Linear { gamma: Gamma::Product };
    vec![
        ("diagonal", one_dimensional(linear(root(1.0)))),
        ("written out", written),
        ("generalised", generalised),
        ("common, d = 6", MixturePath::between(noisy, GaussianMixture::normal(6).unwrap(), wide(6, 1)).unwrap()),
        ("common, d = 20", MixturePath::between(noisy, GaussianMixture::normal(20).unwrap(), wide(20, 2)).unwrap()),
        ("one-sided", MixturePath::to(Schedule::OneSidedVp, wide(3, 3)).unwrap()),
        ("mirror", MixturePath::to(Schedule::Mirror { gamma: root(1.0) }, mixture(&[a.clone(), b.clone()])).unwrap()),
        ("generalised, d = 12", MixturePath::between(linear(Gamma::Zero), wide(12, 4), wide(12, 5)).unwrap()),
        ("written out, d = 5", MixturePath::between(noisy, wide(5, 6), wide(5, 7)).unwrap()),
        ("series, d = 10", MixturePath::between(linear(root(1.0)), wide(10, 8), wide(10, 9)).unwrap()),
        ("from a point", {
            MixturePath::from_point(Schedule::PointMass { a: 0.5 }, &[0.5, -0.5], mixture(std::slice::from_ref(&c)))
                .unwrap()
        }),
    ]
}

#[test]
fn graphs_mean_what_the_host_computes() {
    for (name, path) in ways() {
        let (d, times) = (path.d(), [0.1, 0.3, 0.5, 0.8, 0.95]);
        let mut x = vec![0f32; 5 * d];
        RngKey::new(8).fill_normal(0, d, &mut x);
        let g = Graph::new();
        let points = g.input("x", [5, d]);
        let rows = path.fields(theta(&g, &path), g.input("t", [5, 1]), points).unwrap();
        let one = path.fields(theta(&g, &path), g.input("now", []), points).unwrap();
        let feeds = Feeds::new().tensor("x", &x).tensor("t", &times).tensor("theta", path.parameters().unwrap());
        let all: Vec<_> = named(&rows).into_iter().chain(named(&one)).collect();
        let vars: Vec<_> = all.iter().map(|(_, var)| *var).collect();
        let values = g.eval_f64(&vars, &feeds.tensor("now", times[2])).unwrap();
        for row in 0..5 {
            let wide: Vec<_> = x[row * d..(row + 1) * d].iter().map(|&v| f64::from(v)).collect();
            for (t, offset) in [(times[row], 0), (times[2], 7)] {
                let at = path.at(t, &wide).unwrap();
                let want = [vec![at.log_density], at.b, at.s, at.v, at.eta_0, at.eta_1, at.eta_z];
                for (k, want) in want.iter().enumerate() {
                    let got = &values[offset + k].data[row * want.len()..(row + 1) * want.len()];
                    // Parameters are rounded to f32; solving spreads that by the condition number, below 100, and the sums of
                    // a row by d.
                    let bound = 100.0 * d as f64 * EPS * (1.0 + want.iter().fold(0.0, |m: f64, v| m.max(v.abs())));
                    for (got, want) in got.iter().zip(want) {
                        assert!((got - want).abs() < bound, "{name} {} at {t}: {got} {want}", all[k].0);
                    }
                }
            }
        }
    }
}

#[test]
fn devices_compute_what_graphs_mean() {
    for (tier, gpu) in common::gpus() {
        for (name, path) in ways() {
            let (d, n) = (path.d(), 131);
            let mut x = vec![0f32; n * d];
            RngKey::new(8).fill_normal(0, d, &mut x);
            let x: Vec<_> = x.iter().map(|&v| f64::from(v)).collect();
            let t: Vec<_> = (0..n).map(|i| f64::from(((i as f32 + 0.5) / n as f32).clamp(0.02, 0.98))).collect();
            let got = on_device(&gpu, &path, &t, &x);
            for row in 0..n {
                let at = path.at(t[row], &x[row * d..(row + 1) * d]).unwrap();
                let want = [vec![at.log_density], at.b, at.s, at.v, at.eta_0, at.eta_1, at.eta_z];
                for ((field, got), want) in got.iter().zip(&want) {
                    // Near an end a mirror's or bridge's C has condition numbers up to 100; exponents reach 100.
                    let size = 1.0 + want.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
                    let bound = 400.0 * d as f64 * EPS * size;
                    for (got, want) in got[row * want.len()..].iter().zip(want) {
                        assert!((got - want).abs() < bound, "{tier} {name} {field} at {}: {got} {want}", t[row]);
                    }
                }
            }
        }
    }
}

#[test]
fn fields_at_the_ends_are_finite_and_known() {
    let gpu = common::gpu();
    for (name, schedule) in schedules() {
        let path = one_dimensional(schedule);
        for (t, end) in [(0.0, two_modes()), (1.0, three_modes())] {
            let got = on_device(&gpu, &path, &[t], &[1.0]);
            assert!(got.iter().all(|(_, values)| values[0].is_finite()), "{name} {t}: {got:?}");
            let exact = end.log_density(&[1.0]);
            assert!((got[0].1[0] - exact).abs() < 64.0 * EPS * (1.0 + exact.abs()), "{name} {t}: {got:?} {exact}");
        }
    }
    // At a point mass the drift of its SDE is 0, and nothing is divided by 0.
    let start = MixturePath::from_point(Schedule::PointMass { a: 0.5 }, &[0.5], three_modes()).unwrap();
    let got = on_device(&gpu, &start, &[0.0], &[0.5]);
    assert!((got[1].1[0] + 0.5 * got[2].1[0]).abs() < EPS, "{got:?}");
    assert!(start.at(0.0, &[0.5]).is_err());
}

#[test]
fn the_velocity_gives_the_score_where_the_base_is_normal() {
    // N(0,1) to N(1.5, 0.25) along a quarter turn: s = 2/pi tan(pi t/2) v - x.
    let end = GaussianMixture::isotropic(&[1.0], &[vec![1.5]], &[0.25]).unwrap();
    let quarter = std::f64::consts::FRAC_PI_2;
    let of = |schedule| MixturePath::between(schedule, GaussianMixture::normal(1).unwrap(), end.clone()).unwrap();
    let (t, x) = (0.3, 0.7);
    let at = of(Schedule::Trig { gamma: Gamma::Zero }).at(t, &[x]).unwrap();
    assert!((at.s[0] + 0.022491).abs() < 0.6e-6, "{at:?}");
    assert!(((quarter * t).tan() / quarter * at.v[0] - x - at.s[0]).abs() < 1e-12);
    let at = of(linear(Gamma::Zero)).at(t, &[x]).unwrap();
    assert!(((t * at.v[0] - x) / (1.0 - t) - at.s[0]).abs() < 1e-12);
    // One-sided paths are the same densities; for the variance preserving one s = t v - x.
    let one_sided = MixturePath::to(Schedule::OneSidedTrig, end.clone()).unwrap().at(t, &[x]).unwrap();
    assert!((one_sided.b[0] - of(Schedule::Trig { gamma: Gamma::Zero }).at(t, &[x]).unwrap().b[0]).abs() < 1e-12);
    let vp = MixturePath::to(Schedule::OneSidedVp, end).unwrap().at(t, &[x]).unwrap();
    assert!((t * vp.b[0] - x - vp.s[0]).abs() < 1e-12);
}

#[test]
fn mixtures_have_their_known_moments_and_entropies() {
    let (two, three) = (two_modes(), three_modes());
    assert!((two.entropy().unwrap() - 1.418939).abs() < 0.6e-6);
    assert!((three.entropy().unwrap() - 2.101719).abs() < 0.6e-6);
    assert!((two.covariance()[0] - 9.25).abs() < 1e-12 && (three.covariance()[0] - 24.443333).abs() < 0.6e-6);
    for mixture in [two.clone(), three.clone()] {
        let sampled = mixture.entropy_sampled(20_000, RngKey::new(1));
        assert!(sampled.sigmas_from(mixture.entropy().unwrap()) < 4.0, "{sampled}");
    }
    // W_2^2 of the map that keeps order, by the midpoint rule on quantiles: 1e-5 with 4000 points that avoid the ends.
    let n = 4000;
    let cost = |k: u32| {
        let p = (f64::from(k) + 0.5) / f64::from(n);
        (two.quantile(p).unwrap() - three.quantile(p).unwrap()).powi(2)
    };
    let w2 = (0..n).map(cost).sum::<f64>() / f64::from(n);
    assert!((w2 - 6.396994).abs() < 1e-3, "{w2}");
}

#[test]
fn draws_have_the_law_of_the_mixture_on_host_and_device() {
    let n = 20_000;
    let bound = 1.63 / f64::from(n as u32).sqrt(); // one false alarm in 100, and the key is fixed
    let host: Vec<_> = three_modes().sample(n, RngKey::new(4)).into_iter().map(f64::from).collect();
    assert!(kolmogorov_smirnov(&host, &three_modes()) < bound);
    for (tier, gpu) in common::gpus() {
        let device = read(&three_modes().draw(&gpu, n, RngKey::new(4)).unwrap());
        assert!(kolmogorov_smirnov(&device, &three_modes()) < bound, "{tier}");
        // Normals agree within some ulp of 6.7; means and widths are below 8.
        let apart = device.iter().zip(&host).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 64.0 * EPS, "{tier}: {apart}");
        // The control: another mixture is told apart.
        assert!(kolmogorov_smirnov(&device, &two_modes()) > 10.0 * bound);
        let [a, b, _] = full();
        let plane = mixture(&[a, b]);
        let x = read(&plane.draw(&gpu, n, RngKey::new(5)).unwrap());
        let (mean, covariance) = (plane.mean(), plane.covariance());
        for c in 0..2 {
            let got = x.chunks(2).map(|row| row[c]).sum::<f64>() / n as f64;
            assert!((got - mean[c]).abs() < 4.0 * (covariance[3 * c] / n as f64).sqrt(), "{tier} {got}");
        }
        let cross: Vec<_> = x.chunks(2).map(|row| (row[0] - mean[0]) * (row[1] - mean[1])).collect();
        let got = cross.iter().sum::<f64>() / n as f64;
        let se = (cross.iter().map(|v| (v - got).powi(2)).sum::<f64>() / n as f64 / n as f64).sqrt();
        assert!((got - covariance[1]).abs() < 4.0 * se, "{tier} {got} {}", covariance[1]);
    }
}

#[test]
fn what_is_no_mixture_or_path_is_refused_with_its_numbers() {
    let refused = |w: &[f64], m: &[Vec<f64>], c: &[Vec<f64>]| GaussianMixture::new(w, m, c).err().unwrap().to_string();
    let (origin, unit) = (vec![0.0, 0.0], vec![1.0, 0.0, 0.0, 1.0]);
    assert_eq!(
        refused(&[0.5, 0.4], &[origin.clone(), origin.clone()], &[unit.clone(), unit.clone()]),
        "sum of the weights of a mixture is 0.9, but must be 1; divide each by their sum"
    );
    assert_eq!(
        refused(&[1.0], std::slice::from_ref(&origin), &[vec![1.0, 2.0, 2.0, 1.0]]),
        "covariance of a mode is without a Cholesky factor in mode 0, but must be positive definite: every eigenvalue above 0; \
         add a small multiple of the identity"
    );
    assert_eq!(
        refused(&[1.0], std::slice::from_ref(&origin), &[vec![1.0, 0.2, 0.1, 1.0]]),
        "covariance of a mode is 0.2 at (0, 1) and 0.1 at (1, 0) of mode 0, but must be symmetric"
    );
    assert_eq!(
        refused(&[1.5, -0.5], &[origin.clone(), origin.clone()], &[unit.clone(), unit.clone()]),
        "weight of a mode is -0.5, but must be finite and above 0; leave the mode out instead"
    );
    assert_eq!(
        refused(&[1.0], std::slice::from_ref(&origin), &[vec![1.0]]),
        "shape mismatch in `GaussianMixture`: got 1 weights, means of [2] and covariances of [1], want as many means of 2 and \
         covariances of 4 numbers, at least 1 each"
    );
    // A needle: its inverse changes by 1e10 at once, and no series follows.
    let along: Vec<f64> = (1..10).map(f64::from).collect();
    let needle = (0..81).map(|at| along[at / 9] * along[at % 9] + if at / 9 == at % 9 { 1e-10 } else { 0.0 }).collect();
    let wide = |covariance| GaussianMixture::new(&[1.0], &[vec![0.0; 9]], &[covariance]).unwrap();
    let error = MixturePath::between(linear(root(1.0)), wide(needle), wide(wishart(9, 2))).err().unwrap().to_string();
    assert_eq!(
        error,
        "covariances of a path with noise is two that do not commute, in 9 dimensions, and nearly singular at some time, but \
         must be farther from singular: add a small multiple of the identity"
    );
    assert!(MixturePath::between(Schedule::OneSidedVp, two_modes(), two_modes()).is_err());
    assert!(MixturePath::to(linear(root(1.0)), two_modes()).is_err());
    assert!(one_dimensional(linear(root(1.0))).at(1.5, &[0.0]).is_err());
    let g = Graph::new();
    let error = two_modes().draws(g.key("key"), 3, g.input("table", [4])).err().unwrap().to_string();
    assert!(error.contains("got [4], want [5], the mixture's table"), "{error}");
    let spec = "(weights: [0.5, 0.5], means: [[-3], [3]], covariances: isotropic([0.25, 0.25]))";
    let spec: MixtureSpec = ron::from_str(spec).unwrap();
    assert_eq!(GaussianMixture::try_from(&spec).unwrap(), two_modes());
}

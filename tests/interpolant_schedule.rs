//! Laws of the schedules: ends, rates, variances, and what is refused.
mod common;
#[path = "common/compare.rs"]
mod compare;

use ergodic::graph::{Feeds, Graph, Var};
use ergodic::methods::interpolant::{Coefficients, Ends, Fourier, Gamma, Schedule};

const GAMMAS: [Gamma; 6] = [
    Gamma::Zero,
    Gamma::Root { a: 1.3 },
    Gamma::Product,
    Gamma::SineSquared,
    Gamma::CosineComplement,
    Gamma::Sigmoid { f: 10.0 },
];

fn all() -> Vec<Schedule> {
    let mut all = vec![
        Schedule::OneSidedLinear,
        Schedule::OneSidedTrig,
        Schedule::OneSidedVp,
        Schedule::DiffusiveBridge { a: 0.7 },
        Schedule::PointMass { a: 0.7 },
    ];
    for gamma in GAMMAS {
        all.extend([Schedule::Linear { gamma }, Schedule::Trig { gamma }]);
        if gamma != Gamma::Zero {
            all.extend([Schedule::EncodeDecode { gamma }, Schedule::Mirror { gamma }]);
        }
        if gamma.peak() < 1.0 {
            all.push(Schedule::UnitTrig { gamma });
        }
    }
    all
}

fn list(c: &Coefficients<f64>) -> [f64; 6] {
    [c.alpha, c.beta, c.gamma2, c.alpha_dot, c.beta_dot, c.gamma_gamma_dot]
}

#[test]
fn rates_are_the_slopes_of_the_weights() {
    let h = 1e-5;
    for schedule in all() {
        for t in [0.03, 0.25, 0.4, 0.61, 0.97] {
            let (below, at, above) = (list(&schedule.at(t - h)), list(&schedule.at(t)), list(&schedule.at(t + h)));
            for (value, rate) in [(0, 3), (1, 4), (2, 5)] {
                let slope = (above[value] - below[value]) / (2.0 * h);
                let rate = if value == 2 { 2.0 * at[rate] } else { at[rate] };
                // Central differences err by h^2 f'''/6 (third derivatives below 1e4 here) and by rounding over h.
                assert!(
                    (slope - rate).abs() < h * h * 1e4 + 4.0 * f64::EPSILON / h,
                    "{schedule:?} {t}: {slope} {rate}"
                );
            }
        }
    }
}

#[test]
fn paths_begin_and_end_where_they_say() {
    for schedule in all() {
        let (start, end) = (schedule.at(0.0), schedule.at(1.0));
        let want = match schedule.ends() {
            Ends::Two => [1.0, 0.0, 0.0],
            Ends::One => [0.0, 0.0, 1.0],
            Ends::Same => [0.0, 1.0, 0.0],
        };
        for (got, want) in [(start.alpha, want[0]), (start.beta, want[1]), (start.gamma2, want[2])] {
            assert!((got - want).abs() < 1e-15, "{schedule:?} at 0: {got} {want}");
        }
        for (got, want) in [(end.alpha, 0.0), (end.beta, 1.0), (end.gamma2, 0.0)] {
            assert!((got - want).abs() < 1e-15, "{schedule:?} at 1: {got} {want}");
        }
        assert!((1..100).all(|k| schedule.at(f64::from(k) / 100.0).gamma2 > 0.0) || !schedule.has_noise());
        assert!(schedule.check().is_ok(), "{schedule:?}");
    }
}

#[test]
fn variances_that_are_said_to_be_one_are() {
    let unit = [
        Schedule::Linear { gamma: Gamma::Root { a: 2.0 } },
        Schedule::UnitTrig { gamma: Gamma::Root { a: 2.0 } },
        Schedule::UnitTrig { gamma: Gamma::Product },
        Schedule::EncodeDecode { gamma: Gamma::CosineComplement },
        Schedule::OneSidedTrig,
        Schedule::OneSidedVp,
    ];
    let square = |schedule: &Schedule, t: f64| {
        let c = schedule.at(t);
        c.alpha.powi(2) + c.beta.powi(2) + c.gamma2
    };
    for t in [0.1, 0.3, 0.5, 0.77] {
        for schedule in &unit {
            assert!((square(schedule, t) - 1.0).abs() < 1e-15, "{schedule:?} {t}");
        }
        // The control: the paper's encoder is not of unit variance.
        let printed = square(&Schedule::EncodeDecode { gamma: Gamma::SineSquared }, t);
        let exact = 1.0 - 0.5 * (2.0 * std::f64::consts::PI * t).sin().powi(2);
        assert!((printed - exact).abs() < 1e-14 && (t == 0.5 || printed < 0.99));
    }
}

#[test]
fn graphs_mean_the_same_as_numbers() {
    let times: Vec<f64> = (0..=20).map(|k| f64::from(k) / 20.0).collect();
    let gpu = common::gpu();
    for schedule in all() {
        let g = Graph::new();
        let nodes = nodes(&schedule.at(g.input("t", [21, 1])));
        let values = g.eval_f64(&nodes, &Feeds::new().tensor("t", &times[..])).unwrap();
        for (row, &t) in times.iter().enumerate() {
            for (got, want) in values.iter().zip(list(&schedule.at(t))) {
                assert!((got.data[row] - want).abs() < 1e-14, "{schedule:?} {t}: {} {want}", got.data[row]);
            }
        }
        // Noise in (-1, 1) becomes times in (0, 1).
        let g = Graph::new();
        let names = ["alpha", "beta", "gamma2", "alpha_dot", "beta_dot", "gamma_gamma_dot"];
        let at = self::nodes(&schedule.at(g.input("noise", [61, 1]) * 0.5 + 0.5));
        let outputs: Vec<_> = names.into_iter().zip(at).collect();
        // Arguments up to pi are rounded first (2 eps), slopes go up to 2 pi, and products of four of them are formed.
        compare::assert_close(&format!("{schedule:?}"), &gpu, &g, &outputs, 32.0 * f64::from(f32::EPSILON));
    }
}

fn nodes<'g>(c: &Coefficients<Var<'g>>) -> [Var<'g>; 6] {
    [c.alpha, c.beta, c.gamma2, c.alpha_dot, c.beta_dot, c.gamma_gamma_dot]
}

#[test]
fn fourier_paths_start_as_trig_and_keep_their_ends() {
    let path = Fourier::new(3, Gamma::Root { a: 1.0 }).unwrap();
    assert_eq!(path.at(&[0.0; 6], 0.3), Schedule::Trig { gamma: Gamma::Root { a: 1.0 } }.at(0.3));
    let theta = [0.5, -0.2, 0.1, 0.3, 0.7, -0.4];
    let (h, t) = (1e-5, 0.37);
    let (below, at, above) = (path.at(&theta, t - h), path.at(&theta, t), path.at(&theta, t + h));
    assert!(((above.alpha - below.alpha) / (2.0 * h) - at.alpha_dot).abs() < 1e-8);
    assert!(((above.beta - below.beta) / (2.0 * h) - at.beta_dot).abs() < 1e-8);
    assert!((path.at(&theta, 0.0).alpha - 1.0).abs() < 1e-15 && path.at(&theta, 1.0).alpha.abs() < 1e-15);
    let g = Graph::new();
    let c = path.at_parameters(g.input("theta", [6]), g.input("t", [])).unwrap();
    let feeds = Feeds::new().tensor("theta", &theta).tensor("t", t);
    let values = g.eval_f64(&[c.alpha, c.beta_dot], &feeds).unwrap();
    assert!((values[0].data[0] - at.alpha).abs() + (values[1].data[0] - at.beta_dot).abs() < 1e-14);
    let wrong = path.at_parameters(g.input("few", [5]), g.input("t", [])).err().unwrap().to_string();
    assert!(wrong.contains("got [5], want [6], one for each sine"), "{wrong}");
}

#[test]
fn presets_read_and_nonsense_is_refused() {
    let read = |text: &str| ron::from_str::<Schedule>(text).unwrap();
    assert_eq!(read("linear(gamma: root(a: 2))"), Schedule::Linear { gamma: Gamma::Root { a: 2.0 } });
    assert_eq!(read("trig()"), Schedule::Trig { gamma: Gamma::Zero });
    assert_eq!(read("one_sided_vp"), Schedule::OneSidedVp);
    assert!(ron::from_str::<Schedule>("linear(sigma: zero)").is_err());
    let refused = |schedule: Schedule| schedule.check().err().unwrap().to_string();
    assert_eq!(
        refused(Schedule::Linear { gamma: Gamma::Root { a: -1.0 } }),
        "a of gamma is -1, but must be finite and above 0"
    );
    assert_eq!(
        refused(Schedule::UnitTrig { gamma: Gamma::Root { a: 4.0 } }),
        "gamma of unit_trig is Root { a: 4.0 }, whose square reaches 1, but must be below 1 at all times: the rest is \
         divided by"
    );
    assert_eq!(
        refused(Schedule::Mirror { gamma: Gamma::Zero }),
        "gamma is zero, but must be above 0 on this path: it is all that moves"
    );
    assert_eq!(refused(Schedule::PointMass { a: 0.0 }), "diffusivity a is 0, but must be finite and above 0");
}

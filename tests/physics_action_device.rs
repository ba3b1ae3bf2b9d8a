//! Paths of least action on a device: the f64 answers, many parameter points at once.
mod common;

use common::gpu;
use ergodic::Error;
use ergodic::methods::action::{
    Climber, GinzburgLandau, LinearSde, MaierStein, Model, Path, PathOptions, Paths, Schloegl, System,
};
use std::f64::consts::PI;

/// `n eps max |theta| |d phi|` of a path whose states and momenta are of order 1.
const FLOOR: f64 = 101.0 * f32::EPSILON as f64;

#[test]
fn maier_and_steins_barriers_are_found_together() {
    let gpu = gpu();
    let known = [(1.0, 0.5), (6.0, 0.4523427), (10.0, 0.3400414)];
    let bump = |s: f64, x: usize| if x == 1 { 0.3 * (PI * s).sin() } else { 0.0 };
    let start = Path::along(&[-1.0, 0.0], &[0.0, 0.0], 101, bump).unwrap();
    let job = |(beta, _): &(f64, f64)| (Model::new(&MaierStein, &[*beta, 1.0]).unwrap(), start.clone());
    let jobs: Vec<_> = known.iter().map(job).collect();
    let climber = Climber::new(&gpu, &MaierStein, 3, 101).unwrap();
    let found = climber.climb(&jobs, &PathOptions::default()).unwrap();
    for ((beta, want), climb) in known.iter().zip(&found) {
        assert!((climb.value - want).abs() < 1e-5 * want + FLOOR, "beta {beta}: {} {want}", climb.value);
        assert!(climb.converged() && climb.h_residual() < 1e-14, "beta {beta}");
        let ratio = (climb.coarse - want) / (climb.fine - want);
        assert!((ratio - 4.0).abs() < 0.4, "beta {beta}: ratio {ratio}");
    }
}

#[test]
fn a_network_on_a_ring_changes_its_preferred_state_in_one_launch() {
    let (gpu, system) = (gpu(), Schloegl::new(8));
    let rates = |d: f64| [&[d], &Schloegl::RATES[..]].concat();
    let climber = Climber::new(&gpu, &system, 4, 61).unwrap();
    let ends = (&[0.5; 8][..], &[1.6; 8][..]);
    let options = PathOptions { max_steps: 400, ..PathOptions::default() };
    let found = climber.passages(&system, &[rates(0.4), rates(0.2)], ends, &options).unwrap();
    for (found, (up, down)) in found.iter().zip([(0.0485714, 0.0380369), (0.0336728, 0.0352468)]) {
        let found = found.as_ref().unwrap();
        // The table has the error of 101 nodes or of 201, up to 2.5e-4 of its numbers.
        assert!((found.up.value - up).abs() < 3e-4 * up, "{} {up}", found.up.value);
        assert!((found.down.value - down).abs() < 3e-4 * down, "{} {down}", found.down.value);
        assert_eq!(found.difference() < 0.0, up < down);
        assert_eq!(found.saddle.index(), 1);
    }
}

#[test]
fn sizes_that_make_no_sense_are_refused() {
    let gpu = gpu();
    let few = Paths::new(&gpu, &MaierStein, 1, 4).err().unwrap();
    assert_eq!(few.to_string(), "size of a batch is 4 nodes at 1 points, but must be at least 5 nodes at 1 point");
    struct Wide(GinzburgLandau);
    impl System for Wide {
        fn sites(&self) -> usize {
            self.0.sites()
        }
        fn parameters(&self) -> &[&str] {
            &["D", "kappa", "h"]
        }
        fn noise(&self) -> ergodic::methods::action::Noise {
            self.0.noise()
        }
        fn hamiltonian<'g>(
            &self,
            phi: ergodic::graph::Var<'g>,
            theta: ergodic::graph::Var<'g>,
            p: ergodic::methods::action::Parameters<'g>,
        ) -> ergodic::graph::Var<'g> {
            self.0.hamiltonian(phi, theta, p)
        }
    }
    let dense = Paths::new(&gpu, &Wide(GinzburgLandau::sites(9)), 1, 9).err().unwrap();
    assert!(matches!(dense, Error::LimitExceeded { needed: 9, limit: 8, .. }), "{dense}");
    let system = LinearSde::new(&[-1.0]);
    let paths = Paths::new(&gpu, &system, 1, 9).unwrap();
    let job = || (Model::new(&system, &[]).unwrap(), Path::straight(&[0.0], &[1.0], 9).unwrap());
    assert!(matches!(paths.minimise(&[job(), job()], &PathOptions::default()), Err(Error::Shape { .. })));
    assert!(matches!(paths.minimise(&[], &PathOptions::default()), Err(Error::Shape { .. })));
}

//! Laws of [`WeightedLangevin`]: free energies at any step size and with any kernel; runs that can be cut and resumed.

mod walkers;

use ergodic::dynamics::resample::{Resampling, Scheme};
use ergodic::dynamics::{Estimate, Kernel, LangevinOptions, Schedule, Start, WeightRule, WeightedLangevin};
use ergodic::gpu::Gpu;
use ergodic::graph::Graph;
use ergodic::random::RngKey;
use walkers::{Backend, device};

const N: usize = 20_000;
const KEY: u64 = 7;

fn gpu() -> Gpu {
    match device() {
        Backend::Device(gpu) => gpu,
        Backend::F64 => unreachable!("`device` gives a device"),
    }
}

/// A two-dimensional well of width `sigma`, 1 to 2 in `steps`.
fn widening(gpu: &Gpu, h: f64, steps: u32, options: LangevinOptions) -> ergodic::Result<WeightedLangevin> {
    let g = Graph::new();
    let (x, sigma) = (g.input("x", [N, 2]), g.input("sigma", []));
    let energy = x.square().sum(1) / (2.0 * sigma.square());
    let widths = (0..=steps).map(|k| 2f32.powf(k as f32 / steps as f32));
    WeightedLangevin::with_options(gpu, &energy, &x, Schedule::new(h).vary("sigma", widths), options)
}

fn widen(gpu: &Gpu, h: f64, steps: u32, options: LangevinOptions) -> Estimate {
    let sampler = widening(gpu, h, steps, options).unwrap();
    let mut state = sampler.init(RngKey::new(KEY), Start::normal(options.temperature.sqrt())).unwrap();
    sampler.step(&mut state, 0..u64::from(steps)).unwrap().log_mean_weight()
}

fn exact() -> f64 {
    2.0 * 2f64.ln() // d ln(sigma_1/sigma_0), d = 2; the same at every temperature
}

#[test]
fn weights_recover_the_gaussian_free_energy_at_any_step_size() {
    let gpu = gpu();
    for h in [0.05, 0.2, 0.5] {
        // Total time 10 for each: at time 1 the weights lose their variance and no error bar holds.
        let got = widen(&gpu, h, (10.0 / h) as u32, LangevinOptions::default());
        // Five standard errors: one false alarm in 1.7e6, and the key is fixed.
        assert!(got.sigmas_from(exact()) < 5.0, "h = {h}: {got}");
    }
}

#[test] // the control: this test must be able to fail (exact theory of the biased weight: 1.460)
fn work_alone_misses_the_free_energy_at_a_large_step_size() {
    let got = widen(&gpu(), 0.2, 50, LangevinOptions { weights: WeightRule::WorkOnly, ..LangevinOptions::default() });
    assert!(got.sigmas_from(exact()) > 8.0, "{got}");
    assert!(got.sigmas_from(1.459_658) < 5.0, "{got}");
}

#[test]
fn every_kernel_and_temperature_gives_the_same_free_energy() {
    let gpu = gpu();
    let default = LangevinOptions::default();
    let resampling = Some(Resampling { scheme: Scheme::Systematic, ess_below: 0.9 });
    for options in [
        LangevinOptions { temperature: 0.5, ..default },
        LangevinOptions { weights: WeightRule::KernelRatio, ..default },
        LangevinOptions { noise_sd: Some(0.7), ..default },
        LangevinOptions { kernel: Kernel::Mala, ..default },
        LangevinOptions { kernel: Kernel::ClippedUla { max_drift: 0.3 }, ..default },
        LangevinOptions { resampling, ..default },
        LangevinOptions { kernel: Kernel::Underdamped { friction: 1.0 }, ..default },
    ] {
        let got = widen(&gpu, 0.2, 50, options);
        // Copies made by resampling resemble each other, which the error bar leaves out: a factor of two at most here.
        let bound = if options.resampling.is_some() { 10.0 } else { 5.0 };
        assert!(got.sigmas_from(exact()) < bound, "{options:?}: {got}");
    }
}

#[test]
fn mala_reports_its_acceptance_and_resampling_its_events() {
    let gpu = gpu();
    let options = LangevinOptions {
        kernel: Kernel::Mala,
        resampling: Some(Resampling { scheme: Scheme::Residual, ess_below: 0.95 }),
        ..LangevinOptions::default()
    };
    let sampler = widening(&gpu, 0.5, 50, options).unwrap();
    let mut state = sampler.init(RngKey::new(KEY), Start::normal(1.0)).unwrap();
    let info = sampler.step(&mut state, 0..50).unwrap();
    assert!((0.8..1.0).contains(&info.acceptance), "{}", info.acceptance);
    assert!((1..50).contains(&info.resamplings), "{}", info.resamplings);
    assert!(info.ess() > 0.9 * N as f64);
}

#[test]
fn a_glance_sees_on_the_device_what_the_weights_say_in_f64() {
    let gpu = gpu();
    let resampling = Some(Resampling { scheme: Scheme::Systematic, ess_below: 0.99 });
    for options in [LangevinOptions::default(), LangevinOptions { resampling, ..LangevinOptions::default() }] {
        let sampler = widening(&gpu, 0.2, 50, options).unwrap();
        let mut state = sampler.init(RngKey::new(KEY), Start::normal(1.0)).unwrap();
        for steps in [0..20, 20..50] {
            let seen = sampler.advance_and_glance(&mut state, steps.clone()).unwrap();
            assert_eq!(seen, sampler.glance(&state).unwrap());
            let read = sampler.info(&state).unwrap();
            assert_eq!(read.resamplings > 0, options.resampling.is_some());
            // Sums of positive terms: at most some hundred roundings in a row, and one of the logarithm.
            let off = (seen.log_mean_weight - read.log_mean_weight().value).abs();
            assert!(off < 1e-5, "after {} steps: {seen:?} {off:e}", steps.end);
            assert!((seen.ess / read.ess() - 1.0).abs() < 1e-4, "after {} steps: {seen:?} {}", steps.end, read.ess());
        }
        assert!(sampler.glance(&state).unwrap().log_mean_weight.abs() > 0.1, "the control: there is something to see");
    }
}

#[test]
fn a_run_in_pieces_and_a_resumed_run_are_the_run_bit_for_bit() {
    let gpu = gpu();
    let resampling = Some(Resampling { scheme: Scheme::Systematic, ess_below: 0.9 });
    for options in [LangevinOptions::default(), LangevinOptions { resampling, ..LangevinOptions::default() }] {
        let sampler = widening(&gpu, 0.2, 50, options).unwrap();
        let init = || sampler.init(RngKey::new(KEY), Start::normal(1.0)).unwrap();
        let (mut whole, mut pieces) = (init(), init());
        let want = sampler.step(&mut whole, 0..50).unwrap();
        sampler.step(&mut pieces, 0..17).unwrap();
        let mut resumed = sampler.resume(RngKey::new(KEY), 17, &pieces.tensors().unwrap()).unwrap();
        let got = sampler.step(&mut resumed, 17..50).unwrap();
        assert_eq!(got.log_weights, want.log_weights);
        let walkers =
            |state: &ergodic::dynamics::sampler::State| state.walkers().unwrap().read::<f32>().unwrap().wait().unwrap();
        assert_eq!(walkers(&resumed), walkers(&whole));
    }
}

#[test]
fn mistakes_are_refused_with_their_numbers() {
    let gpu = gpu();
    let default = LangevinOptions::default();
    let refused = |h: f64, options| widening(&gpu, h, 5, options).err().unwrap().to_string();
    assert_eq!(refused(0.0, default), "step size is 0, but must be finite and above 0");
    let cold = LangevinOptions { temperature: -1.0, ..default };
    assert_eq!(refused(0.1, cold), "temperature is -1, but must be finite and above 0");
    let mixed = LangevinOptions { kernel: Kernel::Mala, weights: WeightRule::Aliased, ..default };
    assert_eq!(refused(0.1, mixed), "weight rule is Aliased for Mala, but must be exact, except with the kernel ula");
    let g = Graph::new();
    let x = g.input("x", [N, 2]);
    let schedule = Schedule::new(0.1).vary("sigma", [1.0, 2.0]);
    let error = WeightedLangevin::new(&gpu, &x.square().sum(1), &x, schedule).err().unwrap().to_string();
    assert_eq!(error, "schedule is for `sigma`; inputs are x, but must be for a scalar input of the energy");
    let sigma = g.input("sigma", []);
    let schedule = Schedule::new(0.1).vary("sigma", [1.0, f32::NAN]);
    let error = WeightedLangevin::new(&gpu, &(x.square().sum(1) * sigma), &x, schedule).err().unwrap().to_string();
    assert_eq!(error, "schedule is NaN in row 1 of `sigma`, but must be finite everywhere");
    let sampler = widening(&gpu, 0.1, 5, default).unwrap();
    let mut state = sampler.init(RngKey::new(KEY), Start::normal(1.0)).unwrap();
    let error = sampler.step(&mut state, 3..5).err().unwrap().to_string();
    assert_eq!(error, "range of steps is 3..5 at step 0, but must be from the state's own step on");
}

//! Random numbers: the same bits on every adapter as on the host, and the laws that they must follow.

mod common;

use common::{dispatch, gpus, kernel};
use ergodic::gpu::shader::{Defines, preprocess};
use ergodic::gpu::{Binding, Element, Gpu, Tensor};
use ergodic::random::RngKey;

/// 2^18 walkers of one block of four components: 2^20 words a draw.
const WALKERS: u32 = 1 << 18;

/// One draw of the shader library for walkers `0..WALKERS`: block and step of the counter, expression of four values.
/// Where shaders have 64-bit integers the bits are made from those, too, and must not differ.
fn draw<T: Element + PartialEq>(
    gpu: &Gpu,
    key: RngKey,
    block: u32,
    step: u32,
    scalar: &str,
    expression: &str,
) -> Vec<T> {
    let text = format!(
        "#import lib/index
#import lib/philox
@group(0) @binding(0) var<storage, read> p: array<u32, 5>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<{scalar}>>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {{
    let i = flat_index(group, groups, local, 64u);
    if (i < {WALKERS}u) {{
        let bits = philox4x32(vec4<u32>(i, p[0], p[1], p[2]), vec2<u32>(p[3], p[4]));
        out[i] = {expression};
    }}
}}"
    );
    let run = |wide: bool| {
        let wgsl = preprocess("rng_bits", &text, &Defines::new().set("WIDE_MULTIPLY", wide))?;
        let words = [block, step, key.stream, key.seed[0], key.seed[1]];
        let p = Tensor::from_slice(gpu, "p", &[5], &words)?;
        let out = Tensor::from_slice(gpu, "out", &[WALKERS as usize, 4], &vec![T::zeroed(); 4 * WALKERS as usize])?;
        let source = kernel("rng_bits", wgsl, &[Binding::Read, Binding::ReadWrite]);
        dispatch(gpu, &source, &[&p, &out], u64::from(WALKERS))?;
        out.read::<T>()?.wait()
    };
    let run = |wide| run(wide).unwrap_or_else(|error: ergodic::Error| panic!("{error}"));
    let values = run(false);
    if gpu.caps().int64 {
        assert_eq!(mismatches(&values, &run(true)), 0, "products of 64 bits and of halves");
    }
    values
}

/// Keys, blocks and steps with few, many and mixed bits set.
fn places() -> [(RngKey, u32, u32); 4] {
    let key = RngKey::new(0x0123_4567_89AB_CDEF);
    [(RngKey::new(0), 0, 0), (RngKey::new(u64::MAX), 1, u32::MAX), (key, 7, 1000), (key.fold_in(3), (1 << 30) - 1, 1)]
}

fn mismatches<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

/// The host's values of one block: rows of four.
fn host<T: Copy>(key: RngKey, block: u32, step: u32, map: impl Fn([u32; 4]) -> [T; 4]) -> Vec<T> {
    (0..WALKERS).flat_map(|i| map(key.block(i, block, step))).collect()
}

#[test]
fn bits_are_equal_on_device_and_host() {
    for (tier, gpu) in gpus() {
        for (key, block, step) in places() {
            let got: Vec<u32> = draw(&gpu, key, block, step, "u32", "bits");
            assert_eq!(mismatches(&got, &host(key, block, step, |words| words)), 0, "{tier}, {key:?}");
        }
    }
}

#[test]
fn the_zero_key_gives_the_known_answer_on_the_device() {
    for (tier, gpu) in gpus() {
        let got: Vec<u32> = draw(&gpu, RngKey::new(0), 0, 0, "u32", "bits");
        assert_eq!(got[..4], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8], "{tier}");
    }
}

#[test] // the control: the comparison sees one flipped bit of the counter or the key
fn bits_of_another_place_are_not_equal() {
    let words = |key, block, step| host(key, block, step, |words| words);
    let (a, n) = (words(RngKey::new(1), 2, 4), 4 * WALKERS as usize);
    for b in [words(RngKey::new(1), 3, 4), words(RngKey::new(1), 2, 5), words(RngKey::new(1 << 63 | 1), 2, 4)] {
        assert!(mismatches(&a, &b) > n - 8, "2^20 words coincide 2^-12 times on average");
    }
}

#[test]
fn uniforms_and_exact_normals_are_equal_to_the_bit() {
    let each = |name: &str| ["x", "y", "z", "w"].map(|c| format!("{name}(bits.{c})")).join(", ");
    for (tier, gpu) in gpus() {
        for (key, block, step) in places() {
            for (name, map) in [
                ("uniform01", ergodic::random::uniform01 as fn(u32) -> f32),
                ("normal_exact", ergodic::random::normal_exact),
            ] {
                let got: Vec<f32> = draw(&gpu, key, block, step, "f32", &format!("vec4<f32>({})", each(name)));
                let want = host(key, block, step, |words| words.map(map));
                let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(mismatches(&bits(&got), &bits(&want)), 0, "{tier}, {name}, {key:?}");
            }
        }
    }
}

/// Words at the edges of every octave, which random ones do not reach: 2^k - 1, 2^k, 2^k + 1, and with the upper bit.
#[test]
fn exact_normals_are_equal_at_the_edges_of_every_octave() {
    let edge = "((1u << (i % 32u)) + (i / 32u) % 3u - 1u) ^ ((i / 96u) << 31u)";
    let word = |i: u32| (1_u32 << (i % 32)).wrapping_add((i / 32) % 3).wrapping_sub(1) ^ ((i / 96) << 31);
    for (tier, gpu) in gpus() {
        let got: Vec<f32> = draw(&gpu, RngKey::new(0), 0, 0, "f32", &format!("vec4<f32>(normal_exact({edge}))"));
        for i in 0..192 {
            let want = ergodic::random::normal_exact(word(i));
            assert_eq!(got[4 * i as usize].to_bits(), want.to_bits(), "{tier}, word {:#x}", word(i));
        }
    }
}

/// Each side is within 4 ulp of the f64 meaning (src/random/normal.rs); the device may contract and take a worse root.
#[test]
fn box_muller_agrees_with_the_host_within_8_ulp() {
    for (tier, gpu) in gpus() {
        for (key, block, step) in places() {
            let got: Vec<f32> = draw(&gpu, key, block, step, "f32", "normal4(bits)");
            let want: Vec<f32> =
                (0..WALKERS).flat_map(|i| (0..4).map(move |c| key.normal(i, 4 * block + c, step))).collect();
            let ulps = got.iter().zip(&want).map(|(a, b)| (a.to_bits() as i32).abs_diff(b.to_bits() as i32));
            let worst = ulps.max().unwrap_or(u32::MAX);
            println!("{tier}: Box-Muller, device against host {worst} ulp");
            assert!(worst <= 8, "{tier}: {worst} ulp");
        }
    }
}

/// Draws for the statistics: 2^20 walkers of one component. Bounds are five standard errors, one false alarm in 1.7e6
/// each, and the keys are fixed.
const DRAWS: u32 = 1 << 20;

/// A normal at (walker, component, step), in either mode.
type Normal = fn(RngKey, u32, u32, u32) -> f32;
const MODES: [(&str, Normal); 2] = [("Box-Muller", RngKey::normal), ("exact", RngKey::normal_exact)];

/// Moments 1 to 4 and two tail counts of standard normals, each in standard errors of their sampling error.
fn moment_errors(draws: impl Iterator<Item = f32>) -> [f64; 6] {
    let (mut n, mut sums, mut tails) = (0.0, [0.0; 4], [0.0; 2]);
    for z in draws.map(f64::from) {
        n += 1.0;
        for (sum, power) in sums.iter_mut().zip(1..) {
            *sum += z.powi(power);
        }
        for (count, bound) in tails.iter_mut().zip([3.0, 4.0]) {
            *count += f64::from(u8::from(z.abs() > bound));
        }
    }
    // Variances of z, z^2, z^3, z^4 are 1, 2, 15, 96; P(|z| > 3) and P(|z| > 4) by erfc.
    let moment = |i: usize, mean: f64, variance: f64| (sums[i] / n - mean) / (variance / n).sqrt();
    let tail = |i: usize, bound: f64| {
        let expected = n * libm::erfc(bound / 2_f64.sqrt());
        (tails[i] - expected) / expected.sqrt()
    };
    let moments = [moment(0, 0.0, 1.0), moment(1, 1.0, 2.0), moment(2, 0.0, 15.0), moment(3, 3.0, 96.0)];
    [moments[0], moments[1], moments[2], moments[3], tail(0, 3.0), tail(1, 4.0)]
}

#[test]
fn normals_have_the_moments_and_tails_of_the_normal_law() {
    for (mode, normal) in MODES {
        for seed in 0..3 {
            let key = RngKey::new(seed).fold_in(1);
            let errors = moment_errors((0..DRAWS).map(|i| normal(key, i, seed as u32, 12)));
            assert!(errors.iter().all(|e| e.abs() < 5.0), "{mode}, seed {seed}: {errors:.1?} standard errors");
        }
    }
}

#[test] // the control: a sum of twelve uniforms has the right mean and variance, and is seen
fn a_sum_of_twelve_uniforms_is_not_normal() {
    let key = RngKey::new(1);
    let errors = moment_errors((0..DRAWS).map(|i| (0..12).map(|c| key.uniform(i, c, 0)).sum::<f32>() - 6.0));
    assert!(errors[..2].iter().all(|e| e.abs() < 5.0) && errors[3] < -8.0 && errors[5] < -5.0, "{errors:.1?}");
}

/// Correlations of `a` and `b`, and of their squares, in standard errors: each is a mean of n products of variance 1.
fn correlations(draws: impl Iterator<Item = (f32, f32)>) -> [f64; 2] {
    let (mut n, mut linear, mut square) = (0.0, 0.0, 0.0);
    for (a, b) in draws.map(|(a, b)| (f64::from(a), f64::from(b))) {
        n += 1.0;
        linear += a * b;
        square += (a * a - 1.0) * (b * b - 1.0) / 2.0;
    }
    [linear / f64::sqrt(n), square / f64::sqrt(n)]
}

#[test]
fn walkers_components_steps_and_streams_are_independent() {
    let key = RngKey::new(11);
    let [first, second] = key.split();
    let other_stream = RngKey { stream: key.stream + 1, ..key };
    // Each pair differs in one place only; components 0 and 1 share a radius, 1 and 2 a block, 3 and 4 nothing.
    type Place = (RngKey, u32, u32, u32);
    type Pair = (&'static str, fn(Place) -> Place, RngKey, RngKey);
    let same: fn(Place) -> Place = |place| place;
    let pairs: [Pair; 9] = [
        ("walkers", |(k, i, c, s)| (k, i + 1, c, s), key, key),
        ("far walkers", |(k, i, c, s)| (k, i ^ (1 << 31), c, s), key, key),
        ("a pair", |(k, i, c, s)| (k, i, c + 1, s), key, key),
        ("blocks", |(k, i, c, s)| (k, i, c + 4, s), key, key),
        ("steps", |(k, i, c, s)| (k, i, c, s + 1), key, key),
        ("streams", same, key, other_stream),
        ("parent and child", same, key, key.fold_in(0)),
        ("children", same, key.fold_in(0), key.fold_in(1)),
        ("halves of a split", same, first, second),
    ];
    for (mode, normal) in MODES {
        for (name, neighbour, left, right) in &pairs {
            let draws = (0..DRAWS / 4).map(|i| {
                let (k, walker, c, s) = neighbour((*right, i, 0, 5));
                (normal(*left, i, 0, 5), normal(k, walker, c, s))
            });
            let errors = correlations(draws);
            assert!(errors.iter().all(|e| e.abs() < 5.0), "{mode}, {name}: {errors:.1?} standard errors");
        }
    }
}

#[test] // the control: one draw in fifty shared between two streams is seen
fn a_shared_draw_in_fifty_is_a_correlation() {
    let (a, b) = (RngKey::new(1), RngKey::new(2));
    let draws = (0..DRAWS / 4).map(|i| (a.normal(i, 0, 0), if i % 50 == 0 { a } else { b }.normal(i, 0, 0)));
    assert!(correlations(draws)[0] > 5.0);
}

#[test]
fn every_bit_is_fair_and_changes_with_any_bit_of_the_place() {
    let key = RngKey::new(5);
    let word = |i: u32| key.bits(i, i % 7, i % 11);
    let n = DRAWS / 4;
    // 32 bits and 4 questions: 5.5 standard errors, one false alarm in 2e5.
    let changes: [(&str, &dyn Fn(u32) -> u32); 4] = [
        ("value", &word),
        ("walker bit", &|i| word(i) ^ key.bits(i ^ (1 << (i % 32)), i % 7, i % 11)),
        ("step bit", &|i| word(i) ^ key.bits(i, i % 7, (i % 11) ^ (1 << (i % 32)))),
        ("seed bit", &|i| word(i) ^ RngKey::new(5 ^ (1 << (i % 64))).bits(i, i % 7, i % 11)),
    ];
    for (name, change) in changes {
        let mut ones = [0_u32; 32];
        for i in 0..n {
            let bits = change(i);
            for (bit, count) in ones.iter_mut().enumerate() {
                *count += bits >> bit & 1;
            }
        }
        let error = |count: u32| (f64::from(count) - f64::from(n) / 2.0) / (f64::from(n) / 4.0).sqrt();
        assert!(ones.iter().all(|count| error(*count).abs() < 5.5), "{name}: {ones:?} of {n}");
    }
}

#[test]
fn keys_of_different_purposes_differ() {
    let root = RngKey::new(0);
    let folds = (0..20_000).map(|i| root.fold_in(i));
    let deep = (0..20_000).map(|i| root.fold_in(i).fold_in(0));
    let keys: std::collections::HashSet<_> = folds.chain(deep).chain(root.split_n(20_000)).chain([root]).collect();
    assert_eq!(keys.len(), 60_001);
    assert_eq!(root.split::<3>().to_vec(), root.split_n(3).collect::<Vec<_>>());
}

#[test]
fn filling_gives_what_single_draws_give() {
    let (key, step) = (RngKey::new(9), 3);
    for d in [0, 1, 3, 4, 7] {
        let n = 5;
        let (mut bits, mut normals) = (vec![0; n * d], vec![0.0; n * d]);
        let (mut exact, mut uniforms) = (normals.clone(), normals.clone());
        key.fill_bits(step, d, &mut bits);
        key.fill_normal(step, d, &mut normals);
        key.fill_normal_exact(step, d, &mut exact);
        key.fill_uniform(step, d, &mut uniforms);
        for (at, (i, c)) in (0..n as u32).flat_map(|i| (0..d as u32).map(move |c| (i, c))).enumerate() {
            assert_eq!(bits[at], key.bits(i, c, step));
            assert_eq!(normals[at], key.normal(i, c, step));
            assert_eq!(exact[at], key.normal_exact(i, c, step));
            assert_eq!(uniforms[at], key.uniform(i, c, step));
        }
    }
}

#[test]
fn uniforms_stay_strictly_inside_the_unit_interval() {
    let ends = [0, 1 << 9, u32::MAX].map(ergodic::random::uniform01);
    assert_eq!(ends, [0.5 / 8_388_608.0, 1.5 / 8_388_608.0, 1.0 - 0.5 / 8_388_608.0]);
    assert!(ends[2] < 1.0 && ends[0] > 0.0);
}

#[test]
fn normals_are_finite_at_the_extreme_words() {
    for a in [0, 1, u32::MAX, 1 << 31] {
        for b in [0, u32::MAX, 1 << 30, 1 << 31, 3 << 30] {
            let pair = ergodic::random::box_muller([a, b]);
            assert!(pair.iter().all(|z| z.is_finite() && z.abs() < 6.67), "{a:#x}, {b:#x}: {pair:?}");
        }
    }
    let largest = ergodic::random::box_muller([0, 0]).map(|z| f64::from(z).powi(2)).iter().sum::<f64>().sqrt();
    assert!((largest - (64.0 * 2_f64.ln()).sqrt()).abs() < 1e-5, "{largest}");
}

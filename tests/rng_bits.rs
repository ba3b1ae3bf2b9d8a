//! Random numbers: the same bits on every adapter as on the host, and the laws that they must follow.

mod common;

use common::{dispatch, gpus, kernel};
use ergodic::gpu::shader::{Defines, preprocess};
use ergodic::gpu::{Binding, Element, Gpu, Tensor};
use ergodic::random::RngKey;

/// 2^18 walkers of one block of four components: 2^20 words a draw.
const WALKERS: u32 = 1 << 18;

/// One draw of the shader library for walkers `0..WALKERS`: block and step of the counter, expression of four values.
fn draw<T: Element>(gpu: &Gpu, key: RngKey, block: u32, step: u32, scalar: &str, expression: &str) -> Vec<T> {
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
    let run = || {
        let wgsl = preprocess("rng_bits", &text, &Defines::new())?;
        let words = [block, step, key.stream, key.seed[0], key.seed[1]];
        let p = Tensor::from_slice(gpu, "p", &[5], &words)?;
        let out = Tensor::from_slice(gpu, "out", &[WALKERS as usize, 4], &vec![T::zeroed(); 4 * WALKERS as usize])?;
        let source = kernel("rng_bits", wgsl, &[Binding::Read, Binding::ReadWrite]);
        dispatch(gpu, &source, &[&p, &out], u64::from(WALKERS))?;
        out.read::<T>()?.wait()
    };
    run().unwrap_or_else(|error: ergodic::Error| panic!("{error}"))
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

//! Grids over the limit of one dimension.

mod common;

use common::{dispatch, gpus, kernel};
use ergodic::gpu::shader::{Defines, preprocess};
use ergodic::gpu::{Binding, Tensor};
use ergodic::{Error, Result};

const NUMBER: &str = "
#import lib/index
@group(0) @binding(0) var<storage, read> n: vec4<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
    let i = flat_index(group, groups, local, 64u);
    if (i < n.x) { out[i] = out[i] + i; }
}
";

#[test]
fn every_index_is_visited_once_below_at_and_above_65535_groups() -> Result<()> {
    let number = kernel("number", preprocess("number", NUMBER, &Defines::new())?, &[Binding::Read, Binding::ReadWrite]);
    for (tier, gpu) in gpus() {
        for n in [0u32, 1, 63, 64, 65, 65_535 * 64, 65_535 * 64 + 1, 65_537 * 64 + 17] {
            // A spare element, and a sentinel that an index left out or visited twice would show.
            let before = vec![1_000_000_000u32; n as usize + 1];
            let out = Tensor::from_slice(&gpu, "out", &[before.len()], &before)?;
            let count = Tensor::from_slice(&gpu, "n", &[4], &[n, 0, 0, 0])?;
            dispatch(&gpu, &number, &[&count, &out], n.into())?;
            let after = out.read::<u32>()?.wait()?;
            let wrong = (0..n).find(|&i| after[i as usize] != 1_000_000_000 + i);
            assert_eq!((wrong, after[n as usize]), (None, 1_000_000_000), "{tier}, n = {n}");
        }
    }
    Ok(())
}

#[test]
fn a_kernel_over_a_limit_of_the_device_names_both_numbers() {
    let (_, gpu) = &gpus()[0];
    let text = |n: u32| {
        let bindings = (0..n).map(|i| format!("@group(0) @binding({i}) var<storage, read_write> b{i}: array<f32>;\n"));
        bindings.collect::<String>() + "@compute @workgroup_size(64) fn main() {}"
    };
    assert!(gpu.pipeline(&kernel("eight", text(8), &[Binding::ReadWrite; 8])).is_ok());
    let nine = gpu.pipeline(&kernel("nine", text(9), &[Binding::ReadWrite; 9]));
    assert!(matches!(nine, Err(Error::LimitExceeded { needed: 9, limit: 8, .. })), "{nine:?}");
    let tile = "var<workgroup> tile: array<f32, 4097>; @compute @workgroup_size(64) fn main() { tile[0] = 1.0; }";
    let tile = gpu.pipeline(&kernel("tile", tile, &[]));
    assert!(matches!(tile, Err(Error::LimitExceeded { needed: 16_388, limit: 16_384, .. })), "{tile:?}");
}

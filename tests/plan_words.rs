//! How kernels reach memory: by words of 64 bits where that is cheaper, with the bits that they find.

mod common;

use ergodic::Result;
use ergodic::gpu::{Gpu, Tensor};
use ergodic::graph::{DType, Graph, Var};
use ergodic::plan::{Bindings, CompileOptions, Plan, Session};

/// The declaration of a storage buffer whose vectors are two words of 64 bits.
const PAIRS: &str = "array<vec2<u64>>";

fn has_pairs(gpu: &Gpu) -> bool {
    let caps = gpu.caps();
    caps.is_software() && caps.int64 && caps.backend == wgpu::Backend::Vulkan
}

#[test]
fn every_bit_pattern_survives_views_and_copies() -> Result<()> {
    let (n, d) = (6, 8);
    // Signs, subnormals, infinities and payloads of NaN among them.
    let bits: Vec<u32> =
        (0..(n * d) as u32).map(|i| i.wrapping_mul(0x9E37_79B9).rotate_left(i) ^ 0x7F80_0000).collect();
    for (tier, gpu) in common::gpus() {
        let g = Graph::new();
        let x = g.input_of("x", [n, d], DType::U32);
        let outputs = [
            ("whole", x),
            ("turned", x.t()),
            ("inner", x.narrow(1, 1, 6)), // begins within a word of 64 bits
            ("odd", x.narrow(1, 3, 5)),
            ("twice", Var::concat(&[x.narrow(1, 7, 1), x], 1).unwrap()),
        ];
        let plan = Plan::compile(&gpu, &outputs, &CompileOptions::default())?;
        let pairs = plan.dispatches().iter().any(|dispatch| dispatch.source.wgsl.contains(PAIRS));
        assert_eq!(pairs, has_pairs(&gpu), "{tier}: {}", plan.report());
        let tensor = Tensor::zeros(&gpu, "x", &[n, d], DType::U32)?;
        tensor.write(&bits)?;
        let mut session = Session::new(&plan, Bindings::new().tensor("x", &tensor))?;
        session.run(1)?;
        let at = |i: usize, j: usize| bits[i * d + j];
        let rows = |columns: &[usize]| {
            (0..n).flat_map(|i| columns.iter().map(move |&j| at(i, j)).collect::<Vec<_>>()).collect()
        };
        let want: [(&str, Vec<u32>); 5] = [
            ("whole", bits.clone()),
            ("turned", (0..d).flat_map(|j| (0..n).map(move |i| at(i, j)).collect::<Vec<_>>()).collect()),
            ("inner", rows(&[1, 2, 3, 4, 5, 6])),
            ("odd", rows(&[3, 4, 5, 6, 7])),
            ("twice", rows(&[7, 0, 1, 2, 3, 4, 5, 6, 7])),
        ];
        for (name, want) in want {
            assert_eq!(session.read::<u32>(name)?.wait()?, want, "{tier}: `{name}`");
        }
    }
    Ok(())
}

#[test]
fn a_word_that_is_stored_alone_leaves_its_neighbours_alone() -> Result<()> {
    // Rows of three numbers share words of 64 bits with the rows beside them, and each is stored by an invocation of its own.
    let (n, d) = (1000, 3);
    let data: Vec<f32> = (0..n * d).map(|i| i as f32).collect();
    for (tier, gpu) in common::gpus() {
        let g = Graph::new();
        let x = g.input("x", [n, d]);
        let plan = Plan::compile(&gpu, &[("x", x + 1.0), ("sum", x.sum(1))], &CompileOptions::default())?;
        let tensor = Tensor::from_slice(&gpu, "x", &[n, d], &data)?;
        let mut session = Session::new(&plan, Bindings::new().tensor("x", &tensor))?;
        session.run(5)?;
        session.check()?;
        let got = session.read::<f32>("x")?.wait()?;
        assert!(got.iter().zip(&data).all(|(got, x)| *got == x + 5.0), "{tier}: {:?}", &got[..12]);
    }
    Ok(())
}

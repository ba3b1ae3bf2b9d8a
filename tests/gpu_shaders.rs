//! Shader text: what the preprocessor makes of it, and what is said of text that is wrong.

mod common;

use common::{dispatch, fresh, gpu, gpus, kernel};
use ergodic::gpu::shader::{Defines, library, library_names, locate, preprocess};
use ergodic::gpu::{Binding, Caps, FaultWord, KernelSource, Tensor};
use ergodic::{Error, Fault, Result};

const BODY: &str = "@compute @workgroup_size(64) fn main() {}\n";

/// The message of a shader error.
fn message(result: Result<impl Sized>) -> String {
    match result {
        Err(Error::Shader { message, .. }) => message,
        Err(other) => panic!("not a shader error: {other}"),
        Ok(_) => panic!("no error"),
    }
}

#[test]
fn text_without_directives_is_unchanged() -> Result<()> {
    let text = "fn f() -> u32 {\n    return 1u; // # is no directive here\n}\n";
    assert_eq!(preprocess("plain", text, &Defines::new())?, text);
    Ok(())
}

#[test]
fn conditions_choose_lines_and_marks_tell_where_they_come_from() -> Result<()> {
    let text = "a\n#if FAST\nb\n#if N == 4\nc\n#else\nd\n#endif\n#else\ne\n#endif\nf\n";
    let with = |fast: bool, n: u32| preprocess("t", text, &Defines::new().set("FAST", fast).set("N", n));
    assert_eq!(with(true, 4)?, "a\n//: t:3\nb\n//: t:5\nc\n//: t:12\nf\n");
    assert_eq!(with(true, 5)?, "a\n//: t:3\nb\n//: t:7\nd\n//: t:12\nf\n");
    assert_eq!(with(false, 4)?, "a\n//: t:10\ne\n//: t:12\nf\n");
    let negated = "#if !FAST\nslow\n#endif\n#if N != 4\nodd\n#endif\n";
    assert_eq!(preprocess("t", negated, &Defines::new().set("N", 4))?, "//: t:2\nslow\n");
    Ok(())
}

#[test]
fn a_file_is_imported_once_and_splices_may_import() -> Result<()> {
    let defines =
        Defines::new().file("mine/a", "A\n").splice("io", "#import mine/a\nio").splice("rest", "#import mine/a");
    let text = preprocess("t", "#import mine/a\n#splice io\n#splice io\n#splice rest\nend\n", &defines)?;
    assert_eq!(text, "//: mine/a:1\nA\n//: splice io:2\nio\n//: splice io:2\nio\n//: t:5\nend\n");
    assert_eq!(locate("t", &text, 2), ("mine/a".into(), 1));
    assert_eq!(locate("t", &text, 6), ("splice io".into(), 2));
    assert_eq!(locate("t", &text, 8), ("t".into(), 5));
    assert_eq!(locate("t", "x\ny\n", 2), ("t".into(), 2));
    Ok(())
}

#[test]
fn every_mistake_in_a_directive_names_its_line_and_what_there_is() {
    let defines = Defines::new().set("N", 4).splice("io", "#splice io").file("x", "\n#endif");
    for (text, wanted) in [
        ("\n#splice body", "t:2: no text is given for #splice body; given are: io"),
        ("#if M == 4\n#endif", "t:1: `M` is not set; set are: N"),
        ("#if A and B\n#endif", "t:1: `#if A and B` is none of NAME, !NAME, NAME == value, NAME != value"),
        ("a\n#if N\nb", "t:2: #if without an #endif"),
        ("#else", "t:1: #else without an #if before it"),
        ("#if N\n#else\n#else\n#endif", "t:3: #else without an #if before it"),
        ("#endif", "t:1: #endif without an #if before it"),
        ("#import x", "x:2: #endif without an #if before it"),
        ("#define N 4", "t:1: #define is none of #import, #if, #else, #endif, #splice"),
        ("#splice io", "splice io:1: #splice io goes round in a circle"),
    ] {
        assert_eq!(message(preprocess("t", text, &defines)), wanted);
    }
    let unknown = message(preprocess("t", "#import lib/nothing", &Defines::new()));
    assert!(unknown.starts_with("t:1: #import lib/nothing names no shader; there are: lib/"), "{unknown}");
}

#[test]
fn every_shader_of_the_library_is_valid_alone_on_the_portable_tier() {
    for name in library_names() {
        let text = preprocess(name, library(name).unwrap_or_default(), &Defines::new()).map(|text| text + BODY);
        let source = KernelSource { name: name.into(), wgsl: text.unwrap(), bindings: vec![], workgroup_size: 64 };
        source.reflect(&Caps::portable()).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn text_that_does_not_parse_is_reported_where_it_was_written() -> Result<()> {
    let defines = Defines::new().splice("io", "fn load(i: u32) -> f32 {\n    return 1.0 }");
    let text = preprocess("demo", &format!("#import lib/index\n#splice io\n{BODY}"), &defines)?;
    let said = message(gpu().pipeline(&kernel("demo", text, &[])));
    assert!(said.starts_with("splice io:2\n"), "{said}");
    assert!(said.contains("expected `;`") && said.contains("return 1.0"), "{said}");
    Ok(())
}

#[test]
fn text_that_does_not_validate_is_reported_with_its_line() {
    let text = "fn f() -> u32 {\n    return 1.5f;\n}\n".to_string() + BODY;
    let said = message(gpu().pipeline(&kernel("wrong_type", text, &[])));
    assert!(said.starts_with("wrong_type:") && said.contains("1.5f"), "{said}");
}

#[test]
fn bindings_that_differ_from_their_declaration_are_named() {
    use Binding::{Read, ReadWrite};
    let uniform = |bytes| Binding::Uniform { dynamic_offset: false, bytes };
    let read = "@group(0) @binding(0) var<storage, read> x: array<f32>;\n";
    let uni = "@group(0) @binding(0) var<uniform> p: vec4<u32>;\n";
    let other_group = "@group(1) @binding(0) var<storage, read> x: array<f32>;\n";
    for (globals, declared, wanted) in [
        (read, &[ReadWrite][..], "@group(0) @binding(0) x is var<storage, read>, but declared as ReadWrite"),
        (uni, &[Read], "@group(0) @binding(0) p is var<uniform>, but declared as Read"),
        (uni, &[uniform(12)], "@group(0) @binding(0) p takes 16 bytes, but is declared with 12"),
        (read, &[], "@group(0) @binding(0) x is not declared; declared are 0 bindings, from 0"),
        (read, &[Read, Read], "binding 1, declared as Read, is not in the text"),
        (other_group, &[Read], "@group(1) @binding(0) x: kernels bind group 0 only"),
    ] {
        let source = kernel("k", format!("{globals}{BODY}"), declared);
        assert_eq!(message(source.reflect(&Caps::portable())), wanted);
    }
    let good = kernel("k", format!("{uni}{BODY}"), &[uniform(32)]);
    assert!(good.reflect(&Caps::portable()).is_ok(), "more bytes than the text asks for are no mistake");
}

#[test]
fn entry_point_and_workgroup_size_are_compared_too() {
    let reflect = |text: &str| kernel("k", text, &[]).reflect(&Caps::portable());
    assert_eq!(message(reflect("fn main() {}")), "it has no `@compute fn main`");
    let said = message(reflect("@compute @workgroup_size(8, 4) fn main() {}"));
    assert_eq!(said, "@workgroup_size(8, 4, 1) is declared as 64 invocations");
    assert!(reflect("@compute @workgroup_size(8, 8) fn main() {}").is_ok());
}

#[test]
fn a_feature_the_device_lacks_is_refused_before_the_driver_sees_it() {
    let text = "var<immediate> step: u32;\n@compute @workgroup_size(64) fn main() { _ = step; }";
    let said = message(kernel("k", text, &[]).reflect(&Caps::portable()));
    assert!(said.contains("IMMEDIATES"), "{said}");
    let (_, native) = &gpus()[1];
    if native.caps().immediates {
        let pipeline = native.pipeline(&kernel("k", text, &[])).unwrap();
        assert_eq!(pipeline.reflection.immediate_bytes, 4);
    }
}

#[test]
fn one_text_is_compiled_once_and_another_declaration_is_another_kernel() -> Result<()> {
    let gpu = fresh(|_| ());
    let text = format!("@group(0) @binding(0) var<uniform> p: vec4<u32>;\n{BODY}");
    let source = |bytes| kernel("k", text.clone(), &[Binding::Uniform { dynamic_offset: false, bytes }]);
    let first = gpu.pipeline(&source(16))?;
    let again = gpu.clone().pipeline(&source(16))?;
    assert!(std::sync::Arc::ptr_eq(&first, &again));
    assert_eq!((gpu.pipeline_stats().hits, gpu.pipeline_stats().misses), (1, 1));
    gpu.pipeline(&source(32))?;
    assert_eq!((gpu.pipeline_stats().hits, gpu.pipeline_stats().misses), (1, 2));
    Ok(())
}

#[test]
fn resources_that_do_not_fit_a_bind_group_are_an_error() -> Result<()> {
    let gpu = fresh(|_| ());
    let text = format!("@group(0) @binding(0) var<uniform> p: array<vec4<u32>, 4>;\n{BODY}");
    let pipeline = gpu.pipeline(&kernel("k", text, &[Binding::Uniform { dynamic_offset: false, bytes: 64 }]))?;
    let short = Tensor::from_slice(&gpu, "short", &[4], &[0u32; 4])?;
    assert!(matches!(gpu.bind_group(&pipeline, &[]), Err(Error::Shape { .. })));
    assert!(matches!(gpu.bind_group(&pipeline, &[short.binding()]), Err(Error::Refused { .. })));
    gpu.check()
}

#[test]
fn a_fault_raised_in_a_kernel_is_an_error_on_the_host_until_it_is_cleared() -> Result<()> {
    // Infinity is tested on its bits, as the fault word's users have to.
    let text = "
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> faults: array<atomic<u32>>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) i: u32) {
    if ((bitcast<u32>(x[i]) & 0x7f800000u) == 0x7f800000u) { atomicOr(&faults[0], 1u); }
}";
    for (tier, gpu) in gpus() {
        let check = kernel("check_finite", text, &[Binding::Read, Binding::ReadWrite]);
        let faults = FaultWord::new(&gpu)?;
        let mut values = [1.0f32; 64];
        for (bad, wanted) in [(1.0, 0), (f32::INFINITY, Fault::NON_FINITE), (f32::NAN, Fault::NON_FINITE)] {
            values[40] = bad;
            let x = Tensor::from_slice(&gpu, "x", &[64], &values)?;
            dispatch(&gpu, &check, &[&x, faults.tensor()], 64)?;
            let words = faults.tensor().read::<u32>()?.wait()?;
            assert_eq!(words, [wanted], "{tier}, {bad}");
            match FaultWord::check(&words, 7) {
                Ok(()) => assert_eq!(wanted, 0),
                Err(Error::Fault { word, step: 7, .. }) => assert_eq!(word, wanted),
                other => panic!("{other:?}"),
            }
            faults.clear()?;
        }
    }
    Ok(())
}

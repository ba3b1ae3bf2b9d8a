//! The presets that come with the examples: each is accepted as it is, and whatever is done to its text, the examples' own checks
//! find it acceptable or name a field; nothing panics.
#![cfg(feature = "report")]

use std::fs;
use std::path::Path;

use ergodic::report::Preset;
use ergodic::{Error, Result};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

macro_rules! problems {
    ($($module:ident $problem:ident: $path:literal, $check:expr;)*) => {
        $(#[path = $path]
        #[allow(dead_code, reason = "the example uses the rest")]
        mod $module;)*

        /// Names of the examples with what reads and checks a preset of theirs.
        const EXAMPLES: &[(&str, fn(&str) -> Result<()>)] =
            &[$((stringify!($module), |text| $check(&Preset::<$module::$problem>::parse("preset.ron", text, &[])?))),*];
    };
}

problems! {
    action_phase_transition Problem: "../examples/action_phase_transition/problem.rs",
        |preset: &Preset<action_phase_transition::Problem>| (**preset).check(&|field, ok, why| preset.check(field, ok, why));
    allen_cahn Problem: "../examples/allen_cahn/main.rs", allen_cahn::check;
    ebm_mixture Problem: "../examples/ebm_mixture/main.rs", ebm_mixture::check;
    ebm_mnist Config: "../examples/ebm_mnist/config.rs", ebm_mnist::check;
    flow_density Problem: "../examples/flow_density/problem.rs", flow_density::Problem::check;
    heat_2d Problem: "../examples/heat_2d/problem.rs",
        |preset: &Preset<heat_2d::Problem>| (**preset).check(|field, ok, why| preset.check(field, ok, why));
    interpolant_checkerboard Problem: "../examples/interpolant_checkerboard/problem.rs",
        |preset: &Preset<interpolant_checkerboard::Problem>| (**preset).check(&|field, ok, why| preset.check(field, ok, why));
    schrodinger_bridge Problem: "../examples/schrodinger_bridge/problem.rs",
        |preset: &Preset<schrodinger_bridge::Problem>| (**preset).check(&|field, ok, why| preset.check(field, ok, why));
}

/// Texts of the shipped presets of an example.
fn shipped(example: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/presets").join(example);
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        (name, fs::read_to_string(entry.path()).expect("a preset"))
    };
    let mut all: Vec<_> = fs::read_dir(folder).expect("presets").map(|entry| read(entry.expect("an entry"))).collect();
    all.sort();
    all
}

/// Places of the numbers in a text, behind its comments.
fn numbers(text: &str) -> Vec<(usize, usize)> {
    let begin = text.find("\n(").unwrap_or(0);
    let is_part = |c: u8| c.is_ascii_digit() || matches!(c, b'.' | b'-' | b'e');
    let bytes = text.as_bytes();
    let mut found = vec![];
    let mut at = begin;
    while at < bytes.len() {
        let end = (at..bytes.len()).find(|&i| !is_part(bytes[i])).unwrap_or(bytes.len());
        if bytes[at..end].iter().any(u8::is_ascii_digit)
            && !bytes[at - 1].is_ascii_alphanumeric()
            && bytes[at - 1] != b'_'
        {
            found.push((at, end));
        }
        at = end.max(at + 1);
    }
    found
}

#[test]
fn every_shipped_preset_is_accepted_as_it_is_or_asks_for_a_table() {
    for (example, check) in EXAMPLES {
        for (name, text) in shipped(example) {
            match check(&text) {
                Ok(()) => {}
                Err(error) => assert!(error.to_string().contains("--data FILE"), "{example}/{name}: {error}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4000, rng_seed: RngSeed::Fixed(8), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn any_number_in_any_place_is_accepted_or_refused_at_a_field(which in any::<(prop::sample::Index, prop::sample::Index, prop::sample::Index)>(), value in
        prop::sample::select(vec!["0", "-1", "1", "3", "0.5", "-0.0", "1e300", "1e-300", "NaN", "inf", "-inf", "4294967296", "18446744073709551615", "[]", "None"])) {
        let (example, check) = EXAMPLES[which.0.index(EXAMPLES.len())];
        let all = shipped(example);
        let (name, text) = &all[which.1.index(all.len())];
        let places = numbers(text);
        let (from, to) = places[which.2.index(places.len())];
        if let Err(error) = check(&format!("{}{value}{}", &text[..from], &text[to..])) {
            prop_assert!(matches!(error, Error::Config { .. }), "{example}/{name} {from}: {error}");
        }
    }

    #[test]
    fn any_cut_is_refused_and_any_bytes_too(which in any::<(prop::sample::Index, prop::sample::Index, prop::sample::Index)>(), junk in "\\PC{0,40}") {
        let (example, check) = EXAMPLES[which.0.index(EXAMPLES.len())];
        let all = shipped(example);
        let text = &all[which.1.index(all.len())].1;
        let body = text.find("\n(").map_or(0, |at| at + 1);
        let mut cut = body + which.2.index(text.trim_end().len() - body);
        while !text.is_char_boundary(cut) { cut -= 1; }
        prop_assert!(check(&text[..cut]).is_err(), "{example}: cut at {cut}");
        prop_assert!(check(&junk).is_err());
    }
}

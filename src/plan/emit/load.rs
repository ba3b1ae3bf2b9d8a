//! Reading and writing elements of buffers. Every buffer is an array of vectors of four words: bit patterns survive, and four
//! neighbours are one load wherever the index shows that they lie in one vector. The functions that move vectors and words are
//! the frame's, which knows what the buffer is to the device; see [`Reach`].

use super::sums::Fold;
use super::{Affine, Emitter, Val, XYZW, flatten};
use crate::graph::{DType, NodeId};

/// Parts of a sum that are added without a loop, all loads under way at once.
const FEW_PARTS: usize = 16;

/// Where a value starts in its binding: a place in the table of offsets that belongs to the dispatch, or the beginning.
///
/// Offsets stay out of the text, so that kernels which differ only in where their values lie are one pipeline.
pub type Base = Option<usize>;

/// Where a stored node's elements lie.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// One after the other.
    Words {
        /// Position of the buffer in the kernel's bindings.
        binding: usize,
        /// Where they start.
        base: Base,
    },
    /// Still in `count` parts, to be added (or, for a maximum, compared) on reading.
    Parts {
        /// Position of the buffer in the kernel's bindings.
        binding: usize,
        /// Where the first part starts.
        base: Base,
        /// Number of parts.
        count: usize,
        /// Words from one part to the next; a multiple of 4.
        stride: usize,
        /// What the parts become.
        fold: Fold,
    },
}

/// Name of a binding in generated code.
pub fn buffer_name(binding: usize) -> String {
    format!("buf{binding}")
}

/// The functions of a binding in generated code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// `(q: u32) -> vec4<u32>`: vector `q`.
    Load,
    /// `(q: u32, lane: u32) -> u32`: one word of it.
    Pick,
    /// `(q: u32, x: vec4<u32>)`: vector `q` becomes `x`.
    Store,
    /// `(q: u32, lane: u32, x: u32)`: one word of it becomes `x`.
    Put,
}

impl Reach {
    /// Its name for this binding.
    pub fn of(self, binding: usize) -> String {
        let what = match self {
            Reach::Load => "load",
            Reach::Pick => "pick",
            Reach::Store => "store",
            Reach::Put => "put",
        };
        format!("{what}_{}", buffer_name(binding))
    }

    /// Whether a text calls it for this binding.
    pub fn is_called(self, binding: usize, text: &str) -> bool {
        text.contains(&format!("{}(", self.of(binding)))
    }
}

/// An entry of the table of offsets in generated code.
pub fn offset_name(slot: usize) -> String {
    format!("offsets.at[{}].{}", slot / 4, XYZW[slot % 4])
}

impl Emitter<'_> {
    pub(super) fn stored(&mut self, node: NodeId, idx: &[Affine], source: &Source) -> Val {
        let node = self.node(node);
        self.stored_at(node.dtype, &flatten(idx, &node.shape), source)
    }

    /// The element at this place, counted along the rows.
    pub(super) fn stored_at(&mut self, dtype: DType, flat: &Affine, source: &Source) -> Val {
        match *source {
            Source::Words { binding, base } => {
                let word = flat.plus(&self.base(base));
                self.load(binding, &word, dtype)
            }
            Source::Parts { binding, base, count, stride, fold } => {
                let at = flat.plus(&self.base(base));
                if fold == Fold::Sum && count <= FEW_PARTS {
                    let part = |e: &mut Self, c: Affine| e.load(binding, &at.plus(&c.times(stride)), dtype);
                    return self.total(count, dtype, part);
                }
                self.fold_loop(fold, count, fold.neutral(dtype), |e, c| {
                    e.load(binding, &at.plus(&c.times(stride)), dtype)
                })
            }
        }
    }

    /// First word of a value: four times an entry of the table of offsets.
    pub fn base(&mut self, base: Base) -> Affine {
        let Some(slot) = base else { return Affine::default() };
        let name = offset_name(slot);
        let known = self.syms.iter().position(|sym| sym.name == name);
        match known {
            Some(at) => Affine::symbol(super::Sym(at as u32)).times(4),
            None => self.symbol(&name, 1 << 28, 0).times(4),
        }
    }

    /// One word of a binding, converted to its element type.
    fn load(&mut self, binding: usize, word: &Affine, dtype: DType) -> Val {
        let levels = word.levels(&self.syms);
        let raw = match word.div_rem(4, &self.syms) {
            Some((vector, lane)) if lane.as_constant().is_some() => {
                let key = (binding, vector.clone());
                let whole = match self.loads.get(&key) {
                    Some(val) => val.clone(),
                    None => {
                        let val = self.define_at(&self.load_of(binding, &vector), &levels);
                        self.loads.insert(key, val.clone());
                        val
                    }
                };
                format!("{whole}.{}", XYZW[lane.as_constant().unwrap_or(0)])
            }
            _ => {
                let (vector, lane) = self.div_rem(word, 4);
                format!("{}({}, {})", Reach::Pick.of(binding), self.wgsl(&vector), self.wgsl(&lane))
            }
        };
        let expr = match dtype {
            DType::F32 => format!("bitcast<f32>({raw})"),
            DType::Bool => format!("{raw} != 0u"),
            DType::U32 | DType::Key => raw,
        };
        self.define_at(&expr, &levels)
    }

    /// A vector of a binding.
    pub(super) fn load_of(&self, binding: usize, vector: &Affine) -> String {
        format!("{}({})", Reach::Load.of(binding), self.wgsl(vector))
    }

    /// The bits of a value, as they are stored.
    pub fn bits(val: &Val, dtype: DType) -> String {
        match dtype {
            DType::F32 => format!("bitcast<u32>({val})"),
            DType::Bool => format!("select(0u, 1u, {val})"),
            DType::U32 | DType::Key => val.to_string(),
        }
    }

    /// Store values at consecutive words from `word` on. Statements go to the innermost open scope.
    pub fn store(&mut self, binding: usize, word: &Affine, vals: &[Val], dtype: DType) {
        let (store, put) = (Reach::Store.of(binding), Reach::Put.of(binding));
        let level = self.level();
        let levels: Vec<_> = vals.iter().map(|v| v.level).chain(word.levels(&self.syms)).collect();
        let mut done = 0;
        while done < vals.len() {
            let at = word.offset(done);
            let aligned = at.div_rem(4, &self.syms).filter(|(_, lane)| lane.as_constant() == Some(0));
            let text = match aligned.filter(|_| vals.len() - done >= 4) {
                Some((vector, _)) => {
                    let bits: Vec<_> = vals[done..done + 4].iter().map(|v| Self::bits(v, dtype)).collect();
                    done += 4;
                    format!("{store}({}, vec4<u32>({}));", self.wgsl(&vector), bits.join(", "))
                }
                None => {
                    let bits = Self::bits(&vals[done], dtype);
                    done += 1;
                    let (vector, lane) = self.div_rem(&at, 4);
                    format!("{put}({}, {}, {bits});", self.wgsl(&vector), self.wgsl(&lane))
                }
            };
            self.statement(level, &text, &levels);
        }
    }
}

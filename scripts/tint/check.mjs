// Every text of a folder through Tint, the WGSL compiler of Chromium. Usage: node check.mjs FOLDER
// Ends with 1 if Tint refuses one, and with 2 if there is nothing to look at.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { create } from 'webgpu';

const folder = process.argv[2];
const files = readdirSync(folder).filter((name) => name.endsWith('.wgsl')).sort();

// A device that runs nothing: texts are what is looked at here. What it comes from has to outlive it, and a constant that nothing
// reads any more does not: the collector took it, and the process crashed or waited for ever.
const gpu = create(['backend=null']);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice({ requiredFeatures: ['subgroups'] });
globalThis.kept = [gpu, adapter, device];

// What Tint says of a text, each line with its number.
const complaints = async (code) => {
    device.pushErrorScope('validation');
    const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
    await device.popErrorScope();
    return messages.filter(({ type }) => type === 'error').map(({ lineNum, message }) => `${lineNum}: ${message}`);
};

// A text for a software adapter, which moves vectors as two words of 64 bits, as it is for all others: see `reaches` in
// src/plan/lower/kernel.rs.
const byWords = (code) =>
    code
        .replaceAll('array<vec2<u64>>', 'array<vec4<u32>>')
        .replace(/let x = (buf\d+)\[q\]; let low = .*;/g, 'return $1[q];')
        .replace(/return u32\((buf\d+)\[q\]\[lane .*;/g, 'return $1[q][lane];')
        .replace(/(buf\d+)\[q\] = vec2<u64>.*;/g, '$1[q] = x;');

let [taken, refused, wide] = [0, 0, 0];
for (const name of files) {
    const code = byWords(readFileSync(join(folder, name), 'utf8'));
    if (/\bu64\b/.test(code)) {
        wide += 1;
        continue;
    }
    const lines = await complaints(code);
    if (lines.length === 0) taken += 1;
    else refused += 1;
    for (const line of lines) console.log(`${name}:${line}`);
}
const left = wide > 0 ? `; ${wide} need 64-bit integers, which WGSL lacks, and were left out` : '';
console.log(`Tint took ${taken} of ${taken + refused} texts${left}`);
process.exit(refused > 0 ? 1 : taken > 0 ? 0 : 2);

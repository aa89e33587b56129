// Compiles assembly/rabin.ts to WebAssembly and writes it as base64 into src/chunker/generated/rabin-wasm.ts, so that
// running Varve needs no build step. Run with: node packages/repository/scripts/build-chunker.ts

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const room = dirname(dirname(fileURLToPath(import.meta.url)));
const generated = join(room, 'src/chunker/generated/rabin-wasm.ts');

/** The bytes of a fresh build. */
export function buildChunker(): Buffer {
  const compiler = join(
    dirname(createRequire(import.meta.url).resolve('assemblyscript/package.json')),
    'bin',
    'asc.js',
  );
  const folder = mkdtempSync(join(tmpdir(), 'varve-asc-'));
  try {
    const out = join(folder, 'rabin.wasm');
    const options = ['-O3', '--noAssert', '--runtime', 'stub', '--initialMemory', '1', '-o', out];
    execFileSync(process.execPath, [compiler, 'assembly/rabin.ts', ...options], { cwd: room, stdio: 'inherit' });
    return readFileSync(out);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function main(): void {
  const text = buildChunker().toString('base64');
  writeFileSync(
    generated,
    `// Made by scripts/build-chunker.ts from assembly/rabin.ts; do not edit.\nexport const rabinWasm =\n  '${text}';\n`,
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();

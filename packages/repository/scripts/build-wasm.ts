// Compiles the loops in assembly/ to WebAssembly and writes them as base64 into the sources, so that running Varve needs no
// build step. Run with: node packages/repository/scripts/build-wasm.ts

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const room = dirname(dirname(fileURLToPath(import.meta.url)));

/** What is compiled: its source, where it goes, the name it has there, what it asks of the machine. */
const modules = {
  rabin: { folder: 'chunker', constant: 'rabinWasm', features: [] },
  romix: { folder: 'crypto', constant: 'romixWasm', features: ['--enable', 'simd'] },
} as const;

/** The bytes of a fresh build. */
export function buildWasm(name: keyof typeof modules): Buffer {
  const compiler = join(
    dirname(createRequire(import.meta.url).resolve('assemblyscript/package.json')),
    'bin',
    'asc.js',
  );
  const folder = mkdtempSync(join(tmpdir(), 'varve-asc-'));
  try {
    const out = join(folder, `${name}.wasm`);
    const options = ['-O3', '--noAssert', '--runtime', 'stub', '--initialMemory', '1', ...modules[name].features];
    execFileSync(process.execPath, [compiler, `assembly/${name}.ts`, ...options, '-o', out], {
      cwd: room,
      stdio: 'inherit',
    });
    return readFileSync(out);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function main(): void {
  for (const name of Object.keys(modules) as (keyof typeof modules)[]) {
    const { folder, constant } = modules[name];
    const text = buildWasm(name).toString('base64');
    writeFileSync(
      join(room, 'src', folder, 'generated', `${name}-wasm.ts`),
      `// Made by scripts/build-wasm.ts from assembly/${name}.ts; do not edit.\nexport const ${constant} =\n  '${text}';\n`,
    );
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();

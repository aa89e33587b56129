// `npm run check`: formatting, types, lint with type information, room boundaries, unused code. Every part runs, then the
// exit code says whether all were clean.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { checkBoundaries } from './boundaries.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

function runTool(tool: string, ...parameters: string[]): boolean {
  const { status, error } = spawnSync(tool, parameters, { cwd: root, stdio: 'inherit' });
  if (error) console.error(`${tool}: ${error.message}`);
  return status === 0;
}

async function boundaries(): Promise<boolean> {
  const { modules, violations } = await checkBoundaries(root);
  for (const violation of violations) console.error(violation);
  console.log(`${modules} modules, ${violations.length} violations`);
  return violations.length === 0;
}

const parts: readonly (readonly [name: string, run: () => boolean | Promise<boolean>])[] = [
  ['format', () => runTool('oxfmt', '--check', '.')],
  ['types', () => runTool('tsc', '-p', 'tsconfig.json')],
  [
    'types of the web room',
    () => !existsSync(`${root}packages/web/tsconfig.json`) || runTool('tsc', '-p', 'packages/web/tsconfig.json'),
  ],
  ['lint', () => runTool('oxlint', '--type-aware', '--deny-warnings')],
  ['boundaries', boundaries],
  ['unused code', () => runTool('knip', '--no-progress')],
];

const failed: string[] = [];
for (const [name, run] of parts) {
  console.log(`\n— ${name}`);
  const startedAt = performance.now();
  const clean = await run();
  console.log(`${clean ? 'clean' : 'FAILED'} after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
  if (!clean) failed.push(name);
}
console.log(failed.length === 0 ? '\ncheck: all clean' : `\ncheck: failed: ${failed.join(', ')}`);
process.exitCode = failed.length === 0 ? 0 : 1;

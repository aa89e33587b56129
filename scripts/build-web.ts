// Builds the pages (packages/web/dist) when a source is newer than the last build; otherwise it only looks at file times.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const web = join(root, 'packages/web');
const dist = join(web, 'dist');
/** Written after a good build; its time is what sources are compared with. */
const stamp = join(dist, '.built');
const sources = [
  'packages/web/src',
  'packages/web/public',
  'packages/web/index.html',
  'packages/web/vite.config.ts',
  'packages/web/package.json',
  'packages/contract/src',
  'package-lock.json',
];

/** Newest change of a file, or of anything in a folder and of the folder itself (so that a removal counts). */
function newestChangeMs(path: string): number {
  const facts = statSync(path);
  if (!facts.isDirectory()) return facts.mtimeMs;
  const within = readdirSync(path).map((name) => newestChangeMs(join(path, name)));
  return Math.max(facts.mtimeMs, ...within);
}

const builtMs = statSync(stamp, { throwIfNoEntry: false })?.mtimeMs ?? 0;
const changedMs = Math.max(...sources.map((source) => newestChangeMs(join(root, source))));

if (changedMs > builtMs || process.argv.includes('--force')) build();

/** Builds beside the pages and then takes their place: whoever serves or builds them meanwhile never sees half of them. */
function build(): void {
  const startedAt = new Date();
  const fresh = join(web, `.varve/build-${process.pid}`);
  const vite = join(root, 'node_modules/vite/bin/vite.js');
  const options = ['--config', join(web, 'vite.config.ts'), '--outDir', fresh, '--emptyOutDir', '--logLevel', 'warn'];
  const { status, error } = spawnSync(process.execPath, [vite, 'build', web, ...options], {
    cwd: web,
    // Whoever calls may be a test: React's development build is three times as big.
    env: { ...process.env, NODE_ENV: 'production' },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (error !== undefined || status !== 0) {
    rmSync(fresh, { recursive: true, force: true });
    console.error(`The pages could not be built${error === undefined ? '' : `: ${error.message}`}.`);
    process.exit(1);
  }
  const freshStamp = join(fresh, '.built');
  writeFileSync(freshStamp, `${startedAt.toISOString()}\n`);
  // What is changed while the build runs is newer than this, and so is built the next time.
  utimesSync(freshStamp, startedAt, startedAt);
  const old = `${fresh}-old`;
  if (existsSync(dist)) renameSync(dist, old);
  renameSync(fresh, dist);
  rmSync(old, { recursive: true, force: true });
  console.log(`Pages built in ${((Date.now() - startedAt.getTime()) / 1000).toFixed(1)} s.`);
}

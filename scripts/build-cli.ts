// Bundles the command line (packages/cli/src/bundle.ts says what for) unless the bundle that is there is made of the sources as
// they are. Run by `npm ci` and `npm start`; what cannot be built is told and runs from its sources.

import { hash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Plugin } from 'rolldown';
import {
  bundlesFolder,
  bundleVersion,
  contentOf,
  factsOf,
  findBundle,
  writeManifest,
} from '../packages/cli/src/bundle.ts';

const projectRoot = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
/** Exports what the launcher calls. */
const entrySource = 'packages/cli/src/run-process.ts';
/** A running process may still load parts of an older one. */
const olderKept = 2;
/** The one package that every command needs. */
const bundledPackages = /^(\.|\/|@varve\/|commander$)/;

/** Builds when it is needed; yields whether it did. Throws what the bundler throws. */
export async function buildCli(root: string = projectRoot): Promise<boolean> {
  if (findBundle(root) !== null) return false;
  const { rolldown } = await import('rolldown');
  const folders = bundlesFolder(root);
  mkdirSync(folders, { recursive: true });
  const fresh = join(folders, `.building-${process.pid}`);
  const workers = globSync('packages/*/src/**/*-worker.ts', { cwd: root });
  const seen = new Map<string, string>();
  try {
    const build = await rolldown({
      input: Object.fromEntries([entrySource, ...workers].map((path) => [basename(path, '.ts'), join(root, path)])),
      platform: 'node',
      external: (id) => !bundledPackages.test(id),
      plugins: [sourcePlaces({ root, fresh, seen }), builtinModules()],
      logLevel: 'silent',
    });
    await build.write({
      dir: fresh,
      format: 'esm',
      entryFileNames: '[name].mjs',
      chunkFileNames: '[name]-[hash].mjs',
      comments: false,
    });
    await build.close();
    const files = inputsOf(root, seen);
    const content = contentOf(
      root,
      files.map(([path]) => path),
    );
    // A bundle that others use already stays where it is.
    const folder = hash('sha256', `${bundleVersion} ${content}`, 'hex').slice(0, 16);
    if (!existsSync(join(folders, folder))) renameSync(fresh, join(folders, folder));
    const entry = `${basename(entrySource, '.ts')}.mjs`;
    writeManifest(root, { version: bundleVersion, folder, entry, content, files });
    removeOlder(folders, folder);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return true;
}

/**
 * Modules ask for files beside them (`import.meta.url`): they find them from the bundle too, and the threads' entries in the
 * bundle. `seen` gets the facts of each file from before it is read.
 */
function sourcePlaces(options: {
  readonly root: string;
  readonly fresh: string;
  readonly seen: Map<string, string>;
}): Plugin {
  const { root, fresh, seen } = options;
  const place = /new URL\(\s*'\.\/([\w-]+-worker)\.ts',\s*import\.meta\.url,?\s*\)|import\.meta\.url/g;
  return {
    name: 'source-places',
    load(id) {
      if (id.startsWith(root)) seen.set(relative(root, id), factsOf(id));
      return null;
    },
    transform(code, id) {
      if (!id.endsWith('.ts')) return null;
      const source = JSON.stringify(relative(fresh, id));
      return code.replaceAll(place, (_, worker?: string) =>
        worker ? `new URL('./${worker}.mjs', import.meta.url)` : `new URL(${source}, import.meta.url).href`,
      );
    },
  };
}

/**
 * Takes what is imported of Node's own modules from the modules themselves: an import statement reads every one of their exports,
 * and with some of them loads further modules (node:crypto: the whole of WebCrypto).
 */
function builtinModules(): Plugin {
  const statement = /^import (?:([\w$]+)(?:, )?)?(?:\{([^}]*)\})? from "(node:[^"]+)";$/gm;
  return {
    name: 'builtin-modules',
    renderChunk: (code) =>
      code.replaceAll(statement, (text, whole?: string, names?: string, module?: string) => {
        if (names !== undefined && /\bdefault\b/.test(names)) return text;
        const taken = `process.getBuiltinModule("${module}")`;
        const parts = names === undefined ? '' : `const {${names.replaceAll(' as ', ': ')}} = ${taken};`;
        return whole === undefined ? parts : `const ${whole} = ${taken};${parts}`;
      }),
  };
}

/** What the bundle is made of, and what decides how modules are found. */
function inputsOf(root: string, seen: ReadonlyMap<string, string>): [path: string, facts: string][] {
  const manifests = ['package.json', ...globSync('packages/*/package.json', { cwd: root }), 'scripts/build-cli.ts'];
  const others = manifests.map((path): [string, string] => [path, factsOf(join(root, path))]);
  const sources = [...seen].filter(([path]) => !path.startsWith('node_modules'));
  return [...sources, ...others].toSorted(([a], [b]) => (a < b ? -1 : 1));
}

function removeOlder(folders: string, current: string): void {
  const older = readdirSync(folders, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.') && entry.name !== current)
    .map(({ name }) => ({ path: join(folders, name), changedMs: statSync(join(folders, name)).mtimeMs }))
    .toSorted((a, b) => b.changedMs - a.changedMs);
  for (const { path } of older.slice(olderKept)) rmSync(path, { recursive: true, force: true });
}

async function main(): Promise<void> {
  const startedAt = performance.now();
  try {
    if (!(await buildCli())) return;
    console.log(`Command line bundled in ${((performance.now() - startedAt) / 1000).toFixed(1)} s.`);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    console.error(`The command line was not bundled and runs from its sources, which starts slower: ${reason}`);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main();

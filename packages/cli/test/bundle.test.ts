import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test, vi } from 'vitest';
import { buildCli } from '../../../scripts/build-cli.ts';
import { bundlesFolder, bundleVersion, contentOf, factsOf, findBundle, writeManifest } from '../src/bundle.ts';

vi.setConfig({ testTimeout: 300_000 });

const project = fileURLToPath(new URL('../../..', import.meta.url));

class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'varve-bundle-'));
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A project of two sources, and something that counts as its bundle. */
function makeSmallProject(root: string): { readonly entry: string; readonly sources: readonly string[] } {
  const sources = ['a.ts', 'b.ts'];
  for (const path of sources) writeFileSync(join(root, path), `// ${path}\n`);
  const entry = join(bundlesFolder(root), 'made', 'entry.mjs');
  mkdirSync(dirname(entry), { recursive: true });
  writeFileSync(entry, '');
  const files = sources.map((path) => [path, factsOf(join(root, path))] as const);
  const content = contentOf(root, sources);
  writeManifest(root, { version: bundleVersion, folder: 'made', entry: 'entry.mjs', content, files });
  return { entry, sources };
}

function manifestText(root: string): string {
  return readFileSync(join(bundlesFolder(root), 'manifest.json'), 'utf8');
}

describe('the bundle of the program', () => {
  test('is used while nothing was written', () => {
    using folder = new Folder();
    const { entry } = makeSmallProject(folder.path);
    const before = manifestText(folder.path);
    expect(findBundle(folder.path)).toBe(entry);
    expect(manifestText(folder.path)).toBe(before);
  });

  test('is not used after a change that keeps size and time', () => {
    using folder = new Folder();
    makeSmallProject(folder.path);
    const time = new Date('2026-01-01T00:00:00Z');
    writeFileSync(join(folder.path, 'b.ts'), '// B.ts\n');
    utimesSync(join(folder.path, 'b.ts'), time, time);
    expect(findBundle(folder.path)).toBeNull();
  });

  test('is used for another copy of the same files, whose facts are then noted', () => {
    using folder = new Folder();
    const [first, copy] = [join(folder.path, 'first'), join(folder.path, 'copy')];
    mkdirSync(first);
    makeSmallProject(first);
    cpSync(first, copy, { recursive: true });
    const entry = join(bundlesFolder(copy), 'made', 'entry.mjs');
    // As if nobody could write there.
    const temporary = join(bundlesFolder(copy), `manifest.json.${process.pid}`);
    mkdirSync(temporary);
    const before = manifestText(copy);
    expect(findBundle(copy)).toBe(entry);
    expect(manifestText(copy)).toBe(before);
    rmSync(temporary, { recursive: true });
    expect(findBundle(copy)).toBe(entry);
    const noted = manifestText(copy);
    expect(noted).not.toBe(before);
    expect(findBundle(copy)).toBe(entry);
    expect(manifestText(copy)).toBe(noted);
  });

  test.each<readonly [string, (root: string) => void]>([
    ['a source is gone', (root) => rmSync(join(root, 'a.ts'))],
    ['the bundle is gone', (root) => rmSync(join(bundlesFolder(root), 'made'), { recursive: true })],
    ['its manifest is gone', (root) => rmSync(join(bundlesFolder(root), 'manifest.json'))],
    ['its manifest was cut', (root) => writeFileSync(join(bundlesFolder(root), 'manifest.json'), '{"version":1,')],
    [
      'its manifest is of another version',
      (root) => {
        const manifest = JSON.parse(manifestText(root)) as object;
        writeFileSync(join(bundlesFolder(root), 'manifest.json'), JSON.stringify({ ...manifest, version: 0 }));
      },
    ],
    [
      'it belongs to another checkout',
      (root) => {
        renameSync(join(root, 'node_modules'), join(root, 'others'));
        symlinkSync('others', join(root, 'node_modules'));
      },
    ],
  ])('is not used when %s', (_, change) => {
    using folder = new Folder();
    makeSmallProject(folder.path);
    change(folder.path);
    expect(findBundle(folder.path)).toBeNull();
  });
});

/** The sources, the launcher, and the modules by links; with a bundle. */
async function makeCheckout(root: string): Promise<void> {
  for (const name of ['package.json', 'varve', 'scripts'])
    cpSync(join(project, name), join(root, name), { recursive: true });
  for (const room of readdirSync(join(project, 'packages'))) {
    const [from, to] = [join(project, 'packages', room), join(root, 'packages', room)];
    const kept = ['src', 'package.json'].map((name) => join(from, name));
    cpSync(from, to, {
      recursive: true,
      filter: (path) => path === from || kept.some((each) => path === each || path.startsWith(`${each}/`)),
    });
  }
  linkEach(join(project, 'packages/cli/node_modules'), join(root, 'packages/cli/node_modules'));
  linkEach(join(project, 'node_modules'), join(root, 'node_modules'), ['.cache', '@varve']);
  mkdirSync(join(root, 'node_modules/@varve'));
  for (const room of readdirSync(join(root, 'packages'))) {
    symlinkSync(`../../packages/${room}`, join(root, 'node_modules/@varve', room));
  }
  expect(await buildCli(root)).toBe(true);
}

function linkEach(from: string, to: string, except: readonly string[] = []): void {
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from)) if (!except.includes(name)) symlinkSync(join(from, name), join(to, name));
}

function run(root: string, ...parameters: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { PATH: '/usr/bin:/bin', HOME: root, VARVE_DATA: join(root, 'data') };
  return spawnSync(join(root, 'varve'), parameters, { cwd: root, encoding: 'utf8', env });
}

describe('the launcher of a checkout', () => {
  test('runs the bundle, worker threads included, until a source changes', async () => {
    using folder = new Folder();
    const root = folder.path;
    await makeCheckout(root);
    const made = readdirSync(bundlesFolder(root)).find((name) => !name.includes('.')) ?? '';
    const inBundle = (name: string): string => join(bundlesFolder(root), made, name);
    // What is written here is seen only if the bundle runs.
    appendFileSync(inBundle('run-process.mjs'), "\nprocess.stderr.write('bundled program\\n');\n");
    appendFileSync(inBundle('archive-worker.mjs'), "\nprocess.stderr.write('bundled thread\\n');\n");

    expect(run(root, '--version')).toMatchObject({ status: 0, stdout: '0.1.0\n', stderr: 'bundled program\n' });
    writeFileSync(join(root, 'password'), 'secret');
    const repository = ['--repo', join(root, 'repository'), '--password-file', join(root, 'password')];
    expect(run(root, 'repo', 'init', ...repository).status).toBe(0);
    const backup = run(root, 'repo', 'backup', '-q', join(root, 'packages/base'), ...repository);
    expect(backup).toMatchObject({ status: 0, stderr: expect.stringContaining('bundled thread\n') });

    const source = join(root, 'packages/cli/src/version.ts');
    const text = readFileSync(source, 'utf8');
    writeFileSync(source, text.replace('return version;', "return 'next';"));
    expect(run(root, '--version')).toMatchObject({ status: 0, stdout: 'next\n', stderr: '' });
    expect(await buildCli(root)).toBe(true);
    expect(await buildCli(root)).toBe(false);
    expect(run(root, '--version')).toMatchObject({ status: 0, stdout: 'next\n', stderr: '' });
    // The one that a process may still be running is there.
    expect(readdirSync(bundlesFolder(root)).filter((name) => !name.includes('.'))).toHaveLength(2);
  });
});

// The program in a few files instead of some hundred, which halves the time to start: `scripts/build-cli.ts` makes them beside
// the modules, where only who installed them can write. They are used only while they are certainly made of the sources that
// are there: the same files with the same facts (size, times, inode), or, where the facts differ (a copy of the folder), with
// the same content. In every other case the sources run as they are. Loaded before everything else: few imports.

import { lstatSync, readFileSync, realpathSync, renameSync, writeFileSync } from 'node:fs';
import { join, sep } from 'node:path';

/** What `scripts/build-cli.ts` notes of the bundle that it has made. */
export interface BundleManifest {
  readonly version: number;
  /** The folder of the bundle, beside the manifest. */
  readonly folder: string;
  /** Its first module; exports what `run-process.ts` does. */
  readonly entry: string;
  /** See {@link contentOf}. */
  readonly content: string;
  /** Every file that it is made of, relative to the project, with its facts when it was last seen to have that content. */
  readonly files: readonly (readonly [path: string, facts: string])[];
}

/** To be raised when the manifest or what is made of the sources changes. */
export const bundleVersion = 2;
const manifestName = 'manifest.json';

/** Where bundles of a project are. */
export function bundlesFolder(root: string): string {
  return join(root, 'node_modules', '.cache', 'varve-cli');
}

/** What tells that a file was not written since: no program can set the time of change. */
export function factsOf(path: string): string {
  const { size, mtimeMs, ctimeMs, ino, dev } = lstatSync(path);
  return `${size} ${mtimeMs} ${ctimeMs} ${ino} ${dev}`;
}

/** A hash of the names and contents of files. */
export function contentOf(root: string, paths: readonly string[]): string {
  // An import would load more than is needed, at every start.
  const { hash } = process.getBuiltinModule('node:crypto');
  const hashes = paths.map((path) => `${path} ${hash('sha256', readFileSync(join(root, path)), 'hex')}\n`);
  return hash('sha256', hashes.join(''), 'hex');
}

/** Null when there is none that can be read, or it is of another version. */
export function readManifest(root: string): BundleManifest | null {
  try {
    const manifest = JSON.parse(readFileSync(join(bundlesFolder(root), manifestName), 'utf8')) as BundleManifest;
    return manifest.version === bundleVersion ? manifest : null;
  } catch {
    return null;
  }
}

/** Takes the place of the manifest that is there: from now on this bundle is used. */
export function writeManifest(root: string, manifest: BundleManifest): void {
  const path = join(bundlesFolder(root), manifestName);
  const fresh = `${path}.${process.pid}`;
  writeFileSync(fresh, JSON.stringify(manifest));
  renameSync(fresh, path);
}

/** The first module of the bundle; null when there is none that is made of the sources as they are. */
export function findBundle(root: string): string | null {
  const manifest = readManifest(root);
  if (!manifest) return null;
  try {
    const folder = join(bundlesFolder(root), manifest.folder);
    // Through a link to the modules of another checkout it would run that one's program.
    if (realpathSync(folder) !== folder) return null;
    const entry = join(folder, manifest.entry);
    lstatSync(entry);
    const isSame = manifest.files.every(([path, facts]) => factsOf(root + sep + path) === facts);
    return isSame || isSameContent(root, manifest) ? entry : null;
  } catch {
    // A file is gone, or cannot be read.
    return null;
  }
}

function isSameContent(root: string, manifest: BundleManifest): boolean {
  const paths = manifest.files.map(([path]) => path);
  // The facts from before the reading: what is written meanwhile has others.
  const files = paths.map((path) => [path, factsOf(join(root, path))] as const);
  if (contentOf(root, paths) !== manifest.content) return false;
  try {
    writeManifest(root, { ...manifest, files });
  } catch {
    // Nobody's loss but that of a few milliseconds: the next start reads the files again.
  }
  return true;
}

// Where the paths that a user gives are on the host, and where they go in the snapshot, by restic's rules. Paths are bytes.

import { posix } from 'node:path';
import { toBinary } from '../filesystem/glob.ts';

export interface Source {
  readonly absolute: Buffer;
  /** The folder that the first component is in. */
  readonly base: Buffer;
  /** Its place in the snapshot. */
  readonly components: readonly Buffer[];
}

/** The path functions of Node work on text; binary strings keep every byte. */
const { isAbsolute, normalize, resolve } = posix;

function toBytes(binary: string): Buffer {
  return Buffer.from(binary, 'latin1');
}

/** Each path once, in order. */
export function locateSources(paths: readonly (string | Uint8Array)[], cwd: string): Source[] {
  const folder = toBinary(cwd);
  const sources = paths.map((path) => locate(toBinary(path), folder));
  return [...new Map(sources.map((source) => [toBinary(source.absolute), source])).values()];
}

function locate(path: string, cwd: string): Source {
  const absolute = resolve(cwd, path);
  const steps = normalize(isAbsolute(path) ? absolute : path)
    .split('/')
    .filter((step) => step !== '' && step !== '.');
  const ups = isAbsolute(path) ? 0 : steps.filter((step) => step === '..').length;
  const base = isAbsolute(path) ? '/' : resolve(cwd, ...steps.slice(0, ups));
  return { absolute: toBytes(absolute), base: toBytes(base), components: steps.slice(ups).map(toBytes) };
}

/** The path of `inner` inside `outer` as a binary string (`/a/b`); undefined when it is not below it. */
export function pathBelow(outer: Source, inner: Source): string | undefined {
  const folder = toBinary(outer.absolute).replace(/\/$/, '');
  const path = toBinary(inner.absolute);
  return path !== folder && path.startsWith(`${folder}/`) && path !== '/' ? path.slice(folder.length) : undefined;
}

/** Without sources that lie in others, which bring them along. */
export function outermost(sources: readonly Source[]): Source[] {
  return sources.filter((source) => !sources.some((other) => pathBelow(other, source) !== undefined));
}

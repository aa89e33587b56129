// Files with patterns or paths in them, as restic reads them.

import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { resolve } from 'node:path';
import { AppError, messageOf } from '@varve/base';
import type { Session } from '../session.ts';

/** A name in braces, a special one, or a word; bad syntax is dropped, a lone dollar stays. */
const variable = /\$(?:\{([^}]+)\}|(\{\}?)|([*#$@!?\-0-9])|(\w+))/g;

/** The patterns of files with one a line: comments and empty lines are left out, `$NAME` is expanded, `$$` is a dollar. */
export async function readPatternFiles(session: Session, files: readonly string[]): Promise<string[]> {
  const { env } = session.io;
  const value = (name: string): string => (name === '$' ? '$' : (env[name] ?? ''));
  const expand = (line: string): string =>
    line.replaceAll(variable, (_all, braced?: string, bad?: string, special?: string, word?: string) =>
      bad === undefined ? value(braced ?? special ?? word ?? '') : '',
    );
  const patterns: string[] = [];
  for (const file of files) patterns.push(...significantLines(await readText(session, file)).map(expand));
  return patterns;
}

export interface PathLists {
  /** Patterns, one a line. */
  readonly patterns: readonly string[];
  /** Paths, one a line, as they are. */
  readonly verbatim: readonly string[];
  /** Paths, each followed by a NUL. */
  readonly raw: readonly string[];
}

/** What the lists name. A pattern without a match is told with `onUnmatched`. USAGE_INVALID for a list that cannot be read. */
export async function readPathLists(
  session: Session,
  lists: PathLists,
  onUnmatched: (pattern: string) => void,
): Promise<(string | Buffer)[]> {
  const { expandGlob } = await import('@varve/repository');
  const paths: (string | Buffer)[] = [];
  for (const file of lists.patterns) {
    for (const pattern of significantLines(await readText(session, file))) {
      const found = expandGlob(pattern, { cwd: session.io.cwd });
      if (found.length === 0) onUnmatched(pattern);
      paths.push(...found);
    }
  }
  for (const file of lists.verbatim) {
    const lines = splitBytes(await readBytes(session, file), 0x0a);
    paths.push(...lines.map(withoutReturn).filter((line) => line.length > 0));
  }
  for (const file of lists.raw) {
    const bytes = await readBytes(session, file);
    const names = splitBytes(bytes, 0);
    if (names.pop()?.length !== 0 || names.some((name) => name.length === 0)) {
      throw new AppError('USAGE_INVALID', `The list ${file} has an empty path, or no NUL after its last one.`);
    }
    paths.push(...names);
  }
  return paths;
}

function significantLines(text: string): string[] {
  const lines = text.split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}

function splitBytes(bytes: Buffer, separator: number): Buffer[] {
  const parts: Buffer[] = [];
  let start = 0;
  for (let at = bytes.indexOf(separator); at >= 0; at = bytes.indexOf(separator, start)) {
    parts.push(bytes.subarray(start, at));
    start = at + 1;
  }
  return [...parts, bytes.subarray(start)];
}

function withoutReturn(line: Buffer): Buffer {
  return line.at(-1) === 0x0d ? line.subarray(0, -1) : line;
}

async function readText(session: Session, file: string): Promise<string> {
  const bytes = await readBytes(session, file);
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return bytes.subarray(2).toString('utf16le');
  return bytes.toString('utf8').replace(/^\ufeff/, '');
}

async function readBytes(session: Session, file: string): Promise<Buffer> {
  const { cwd, stdin } = session.io;
  try {
    return file === '-' ? await buffer(stdin) : await readFile(resolve(cwd, file));
  } catch (error) {
    throw new AppError('USAGE_INVALID', `The file ${resolve(cwd, file)} cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

// Files with exclude patterns, one a line.

import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { AppError, messageOf } from '@varve/base';
import type { Session } from '../session.ts';

/** The patterns of all files; empty lines and those that begin with `#` are none. USAGE_INVALID for a file that is not there. */
export async function readPatternFiles(session: Session, files: readonly string[]): Promise<string[]> {
  const patterns: string[] = [];
  for (const file of files) {
    const path = resolve(session.io.cwd, file);
    try {
      const lines = (await readFile(path, 'utf8')).split('\n').map((line) => line.trim());
      patterns.push(...lines.filter((line) => line !== '' && !line.startsWith('#')));
    } catch (error) {
      throw new AppError('USAGE_INVALID', `The exclude file ${path} cannot be read: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
  return patterns;
}

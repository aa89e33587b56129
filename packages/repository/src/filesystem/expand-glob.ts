// The paths that a pattern names, as Go's filepath.Glob finds them: globs per component, hidden files included, in order;
// folders that cannot be listed have no entries. Links to folders are followed.

import { lstatSync, readdirSync } from 'node:fs';
import { AppError, systemErrorCode } from '@varve/base';
import { compileGlob, toBinary, type NameMatcher } from './glob.ts';

const special = /[\\[*?]/;

/** Paths that exist, relative ones relative to `cwd` but not resolved. USAGE_INVALID for a malformed pattern. */
export function expandGlob(pattern: string, { cwd }: { readonly cwd: string }): Buffer[] {
  const binary = toBinary(pattern);
  const isAbsolute = binary.startsWith('/');
  const base = `${toBinary(cwd)}/`;
  let found = [isAbsolute ? '/' : ''];
  for (const component of binary.split('/').filter((part) => part !== '')) {
    const matcher = compileGlob(component);
    if (!matcher) throw new AppError('USAGE_INVALID', `The pattern "${pattern}" is not valid.`);
    const names = special.test(component) ? null : component;
    found = found.flatMap((folder) => entries(isAbsolute ? '' : base, folder, names ?? matcher));
  }
  return found.filter((path) => path !== '').map((path) => Buffer.from(path, 'latin1'));
}

/** What a folder has under a name, or under all names that match. */
function entries(base: string, folder: string, wanted: string | NameMatcher): string[] {
  const prefix = folder === '' || folder.endsWith('/') ? folder : `${folder}/`;
  if (typeof wanted === 'string') {
    const path = prefix + wanted;
    return exists(`${base}${path}`) ? [path] : [];
  }
  try {
    const names = readdirSync(Buffer.from(`${base}${prefix}` || '.', 'latin1'), { encoding: 'buffer' }).map(toBinary);
    return names
      .filter(wanted)
      .sort()
      .map((name) => prefix + name);
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return [];
  }
}

function exists(binary: string): boolean {
  try {
    lstatSync(Buffer.from(binary, 'latin1'));
    return true;
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return false;
  }
}

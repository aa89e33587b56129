// The package mirror that this machine already uses, out of its apt sources: test images are built from it, so that a
// machine behind a mirror or proxy needs nothing else. sources.list(5): one-line and deb822 style.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** One repository line: an address, one suite, its components. */
export interface AptSource {
  readonly uri: string;
  readonly suite: string;
  readonly components: readonly string[];
}

/** All binary package sources under `/etc/apt` (or another root), in the order of apt. */
export async function readAptSources(root = '/etc/apt'): Promise<readonly AptSource[]> {
  const names = await readdir(join(root, 'sources.list.d')).catch(() => []);
  const files = [
    join(root, 'sources.list'),
    ...names.toSorted((a, b) => a.localeCompare(b, 'en')).map((name) => join(root, 'sources.list.d', name)),
  ];
  const sources: AptSource[] = [];
  for (const file of files) {
    const text = await readFile(file, 'utf8').catch(() => '');
    if (file.endsWith('.list')) sources.push(...parseOneLine(text));
    else if (file.endsWith('.sources')) sources.push(...parseDeb822(text));
  }
  return sources;
}

/** `deb [options] uri suite component…` */
export function parseOneLine(text: string): readonly AptSource[] {
  return text.split('\n').flatMap((line) => {
    const match = /^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line);
    return match ? [{ uri: match[1] ?? '', suite: match[2] ?? '', components: words(match[3]) }] : [];
  });
}

/** Stanzas of `Field: value`, continued by indented lines. */
export function parseDeb822(text: string): readonly AptSource[] {
  return text
    .replace(/^#.*\n?/gm, '')
    .split(/\n\s*\n/)
    .flatMap((stanza) => {
      const fields = new Map(
        [...stanza.replace(/\n[ \t]+/g, ' ').matchAll(/^([\w-]+):[ \t]*(.*)$/gm)].map((match) => [
          (match[1] ?? '').toLowerCase(),
          match[2] ?? '',
        ]),
      );
      if (!words(fields.get('types')).includes('deb') || fields.get('enabled')?.trim() === 'no') return [];
      const components = words(fields.get('components'));
      return words(fields.get('uris')).flatMap((uri) =>
        words(fields.get('suites')).map((suite) => ({ uri, suite, components })),
      );
    });
}

function words(text: string | undefined): readonly string[] {
  return (text ?? '').split(/\s+/).filter((word) => word !== '');
}

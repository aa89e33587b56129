// Describes a folder of the file system with everything a backup has to keep, one line an entry, so that two folders can be
// compared by the lines and a difference reads well.

import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync, type BigIntStats } from 'node:fs';

export interface DescribeTreeOptions {
  /** Extended attributes of an object, not following links; left out when absent. */
  readonly readAttributes?:
    | ((path: Buffer) => readonly { readonly name: string; readonly value: Uint8Array }[])
    | undefined;
  /** Whether owners count; they cannot be restored without root. Default true. */
  readonly owners?: boolean | undefined;
}

/**
 * Names (bytes as Latin-1, escaped as JSON), types, modes, owners, times in nanoseconds, contents, link targets, device
 * numbers, extended attributes, and which names are the same file. Sorted; the folder itself is the entry `.`.
 */
export function describeTree(folder: string, options: DescribeTreeOptions = {}): string[] {
  const lines: { readonly name: string; readonly line: string }[] = [];
  const firstLinks = new Map<string, string>();
  const stack = [{ name: '.', path: Buffer.from(folder) }];
  for (let top = stack.pop(); top; top = stack.pop()) {
    const { name, path } = top;
    const stat = lstatSync(path, { bigint: true });
    lines.push({ name, line: describe({ name, path, stat }, { ...options, firstLinks }) });
    if (!stat.isDirectory()) continue;
    const children = readdirSync(path, { encoding: 'buffer' }).sort(Buffer.compare).reverse();
    for (const child of children) {
      stack.push({ name: `${name}/${child.toString('latin1')}`, path: Buffer.concat([path, Buffer.from('/'), child]) });
    }
  }
  return lines.map(({ line }) => line);
}

function describe(
  { name, path, stat }: { name: string; path: Buffer; stat: BigIntStats },
  options: DescribeTreeOptions & { firstLinks: Map<string, string> },
): string {
  const parts = [JSON.stringify(name), `mode=${stat.mode.toString(8)}`, `mtime=${stat.mtimeNs}`];
  if (options.owners !== false) parts.push(`owner=${stat.uid}:${stat.gid}`);
  if (stat.isFile()) {
    parts.push(`size=${stat.size}`, `sha256=${createHash('sha256').update(readFileSync(path)).digest('hex')}`);
    if (stat.nlink > 1n) {
      const key = `${stat.dev}:${stat.ino}`;
      const first = options.firstLinks.get(key);
      if (first === undefined) options.firstLinks.set(key, name);
      else parts.push(`same=${JSON.stringify(first)}`);
    }
  }
  if (stat.isSymbolicLink()) parts.push(`target=${JSON.stringify(readlinkSync(path, { encoding: 'latin1' }))}`);
  if (stat.isBlockDevice() || stat.isCharacterDevice()) parts.push(`device=${stat.rdev}`);
  for (const attribute of [...(options.readAttributes?.(path) ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    parts.push(`${attribute.name}=${Buffer.from(attribute.value).toString('hex')}`);
  }
  return parts.join(' ');
}

import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { joinPath } from '../src/filesystem/byte-path.ts';
import { FolderLister, type FileFacts, type FolderListing } from '../src/filesystem/folder-listing.ts';
import { makeOddTree } from './odd-tree.ts';

const slash = 0x2f;

function plain(facts: FileFacts): Record<string, unknown> {
  const { ino, dev, rdev, size, atimeNs, mtimeNs, ctimeNs } = facts;
  const numbers = [facts.mode, facts.nlink, facts.uid, facts.gid].map(Number);
  const types = [facts.isFile(), facts.isDirectory(), facts.isSocket()];
  return { ino, dev, rdev, size, atimeNs, mtimeNs, ctimeNs, numbers, types };
}

/** Compares every folder below with what Node says; yields how many entries there are. */
function compareBelow(lister: FolderLister, root: Buffer): number {
  let entries = 0;
  const folders = [root];
  for (let folder = folders.pop(); folder; folder = folders.pop()) {
    using listing = lister.open(folder);
    expect(listing.names).toEqual(readdirSync(folder, { encoding: 'buffer' }).sort(Buffer.compare));
    for (const name of listing.names) {
      entries++;
      const path = joinPath(folder, name);
      const facts = listing.factsOf(name, path);
      expect(plain(facts)).toEqual(plain(lstatSync(path, { bigint: true })));
      if (facts.isDirectory()) folders.push(path);
    }
  }
  return entries;
}

class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'varve-listing-'));
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

describe.each([
  ['quick', new FolderLister()],
  ['plain', new FolderLister({ isPlain: true })],
])('a %s listing', (_, lister) => {
  test('says of odd entries what Node says', () => {
    using folder = new Folder();
    makeOddTree(join(folder.path, 'odd'));
    expect(compareBelow(lister, Buffer.from(folder.path))).toBeGreaterThan(10);
  });

  test('says of devices what Node says', () => {
    using listing = lister.open(Buffer.from('/dev'));
    for (const name of listing.names) {
      const path = Buffer.from(`/dev/${name.toString()}`);
      const { atimeNs: _atime, mtimeNs: _mtime, ctimeNs: _ctime, ...facts } = plain(listing.factsOf(name, path));
      expect(plain(lstatSync(path, { bigint: true }))).toMatchObject(facts);
    }
  });

  test('has the names of a folder that come in many parts', () => {
    using folder = new Folder();
    for (let i = 0; i < 3000; i++) writeFileSync(join(folder.path, `${i}-${'n'.repeat(i % 200)}`), '');
    expect(compareBelow(lister, Buffer.from(folder.path))).toBe(3000);
  });

  test('tells of what is missing, no folder, or gone meanwhile', () => {
    using folder = new Folder();
    const open = (name: string): FolderListing => lister.open(Buffer.from(join(folder.path, name)));
    writeFileSync(join(folder.path, 'file'), '');
    expect(() => open('missing')).toThrow(expect.objectContaining({ code: 'ENOENT', syscall: 'scandir' }));
    expect(() => open('file')).toThrow(expect.objectContaining({ code: 'ENOTDIR', syscall: 'scandir' }));
    using listing = open('');
    const [name] = listing.names;
    unlinkSync(join(folder.path, 'file'));
    const path = Buffer.concat([Buffer.from(folder.path), Buffer.of(slash), name ?? Buffer.of()]);
    expect(() => listing.factsOf(name ?? Buffer.of(), path)).toThrow(
      expect.objectContaining({ code: 'ENOENT', syscall: 'lstat' }),
    );
  });

  test('leaves no file open', () => {
    using folder = new Folder();
    mkdirSync(join(folder.path, 'inside'));
    chmodSync(join(folder.path, 'inside'), 0o700);
    const before = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 50; i++) {
      using listing = lister.open(Buffer.from(folder.path));
      expect(listing.names).toHaveLength(1);
    }
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });
});

// A folder with every kind of thing that a file system can hold and this process may make.

import { createHash } from 'node:crypto';
import { chmodSync, chownSync, linkSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Libc } from '../src/filesystem/libc.ts';

/** Bytes that do not compress and are the same in every run. */
export function noise(sizeBytes: number, seed: string): Buffer {
  const blocks: Buffer[] = [];
  let block = createHash('sha512').update(seed).digest();
  for (let size = 0; size < sizeBytes; size += block.length) {
    blocks.push(block);
    block = createHash('sha512').update(block).digest();
  }
  return Buffer.concat(blocks).subarray(0, sizeBytes);
}

/** The C library, for attributes and times in tests. */
export function loadLibc(): Libc {
  const libc = Libc.load();
  if (!libc) throw new Error('These tests need koffi and a C library.');
  return libc;
}

export const isRoot = process.getuid?.() === 0;

/** Makes the folder `path`. Devices and other owners only as root. */
export function makeOddTree(path: string): void {
  const libc = loadLibc();
  const at = (...names: string[]): string => join(path, ...names);
  const bytes = (name: Buffer): Buffer => Buffer.concat([Buffer.from(`${path}/`), name]);
  mkdirSync(at('folder/deeper/deepest'), { recursive: true });
  mkdirSync(at('empty folder'));
  writeFileSync(at('plain'), 'hello\n');
  writeFileSync(at('empty'), '');
  writeFileSync(at('large'), noise(9_500_000, 'large'));
  writeFileSync(at('medium'), noise(700_000, 'medium'));
  writeFileSync(at('again'), noise(700_000, 'medium'));
  truncateSync(at('empty'), 0);
  writeFileSync(at('sparse'), '');
  truncateSync(at('sparse'), 3_000_000);
  for (let i = 0; i < 300; i++) writeFileSync(at('folder', `file-${i}`), `content ${i}`);
  writeFileSync(at('folder/deeper/deepest/leaf'), 'leaf');
  for (const name of [
    'emoji😀',
    'new\nline',
    'q"uote\\',
    'tab\tbell\x07esc\x1b',
    'nbsp\u00a0',
    'zw\u200b',
    '<&>',
    '\u2028',
    '\ufffd',
    '～',
  ]) {
    writeFileSync(at(name), name);
  }
  writeFileSync(bytes(Buffer.from('bad\xff\xfename', 'latin1')), 'not UTF-8');
  linkSync(at('plain'), at('folder', 'other name of plain'));
  linkSync(at('plain'), at('third name of plain'));
  symlinkSync('plain', at('link'));
  symlinkSync('/nowhere/ä', at('dangling'));
  libc.makeNode(Buffer.from(at('fifo')), 0o010640, 0n);
  if (isRoot) {
    libc.makeNode(Buffer.from(at('character device')), 0o020666, 259n);
    libc.makeNode(Buffer.from(at('block device')), 0o060640, 286327664n);
    chownSync(at('medium'), 12345, 33);
    chownSync(at('folder'), 1, 2);
  }
  libc.writeAttribute(Buffer.from(at('plain')), 'user.varve', Buffer.of(0, 1, 255));
  libc.writeAttribute(Buffer.from(at('plain')), 'user.empty', Buffer.alloc(0));
  libc.writeAttribute(Buffer.from(at('folder')), 'user.folder', Buffer.from('x'.repeat(3000)));
  chmodSync(at('large'), 0o4755);
  chmodSync(at('again'), 0o2050);
  chmodSync(at('empty folder'), 0o1777);
  const mtimeNs = 1_600_000_000_123_456_789n;
  libc.setTimes(Buffer.from(at('plain')), { atimeNs: mtimeNs, mtimeNs });
  libc.setTimes(Buffer.from(at('link')), { atimeNs: 5n, mtimeNs: 1_000_000_001n });
  libc.setTimes(Buffer.from(at('folder/deeper')), { atimeNs: -1n, mtimeNs: -1_500_000_000n });
}

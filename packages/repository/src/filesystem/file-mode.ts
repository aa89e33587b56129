// Between st_mode and Go's fs.FileMode, which is what a repository stores. Source: storage-format section 2.10.

import { constants } from 'node:fs';
import type { NodeType } from '../tree/tree-node.ts';

const goModeDir = 2 ** 31;
const goModeSymlink = 1 << 27;
const goModeDevice = 1 << 26;
const goModeNamedPipe = 1 << 25;
const goModeSocket = 1 << 24;
const goModeSetuid = 1 << 23;
const goModeSetgid = 1 << 22;
const goModeCharDevice = 1 << 21;
const goModeSticky = 1 << 20;
const goModeIrregular = 1 << 19;

const setuid = 0o4000;
const setgid = 0o2000;
const sticky = 0o1000;

const types = new Map<number, { readonly type: NodeType; readonly goBits: number }>([
  [constants.S_IFREG, { type: 'file', goBits: 0 }],
  [constants.S_IFDIR, { type: 'dir', goBits: goModeDir }],
  [constants.S_IFLNK, { type: 'symlink', goBits: goModeSymlink }],
  [constants.S_IFBLK, { type: 'dev', goBits: goModeDevice }],
  [constants.S_IFCHR, { type: 'chardev', goBits: goModeDevice | goModeCharDevice }],
  [constants.S_IFIFO, { type: 'fifo', goBits: goModeNamedPipe }],
  [constants.S_IFSOCK, { type: 'socket', goBits: goModeSocket }],
]);

/** What kind of object an st_mode tells of. */
export function nodeTypeOf(stMode: number): NodeType {
  return types.get(stMode & constants.S_IFMT)?.type ?? 'irregular';
}

/** Go's mode of an st_mode, unsigned. */
export function goModeOf(stMode: number): number {
  const typeBits = types.get(stMode & constants.S_IFMT)?.goBits ?? goModeIrregular;
  let bits = stMode & 0o777;
  if (stMode & setuid) bits |= goModeSetuid;
  if (stMode & setgid) bits |= goModeSetgid;
  if (stMode & sticky) bits |= goModeSticky;
  return (bits | typeBits) >>> 0;
}

/** The permission bits (07777) of Go's mode, as chmod takes them. */
export function permissionsOf(goMode: number): number {
  let bits = goMode & 0o777;
  if (goMode & goModeSetuid) bits |= setuid;
  if (goMode & goModeSetgid) bits |= setgid;
  if (goMode & goModeSticky) bits |= sticky;
  return bits;
}

/** The st_mode type bits of a kind of object; 0 for what has none on this system. */
export function fileTypeBits(type: NodeType): number {
  for (const [bits, facts] of types) if (facts.type === type) return bits;
  return 0;
}

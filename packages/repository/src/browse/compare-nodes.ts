// Whether two nodes say the same, as restic's comparison of nodes does.

import { parseTime } from '../tree/go-time.ts';
import type { ExtendedAttribute, TreeNode } from '../tree/tree-node.ts';

/** Whether two files have the same blobs in the same order. */
export function isSameContent(a: TreeNode, b: TreeNode): boolean {
  const [left, right] = [a.content, b.content];
  if (left === null || right === null) return left === right;
  return left.length === right.length && left.every((id, i) => id === right[i]);
}

const plainFields = [
  'type',
  'mode',
  'uid',
  'gid',
  'user',
  'group',
  'inode',
  'deviceId',
  'size',
  'links',
  'device',
  'subtree',
  'error',
] as const satisfies readonly (keyof TreeNode)[];

/** Whether two nodes of the same name are equal in everything: metadata, content, and the folder below. */
export function isSameNode(a: TreeNode, b: TreeNode): boolean {
  return (
    plainFields.every((field) => a[field] === b[field]) &&
    (['mtime', 'atime', 'ctime'] as const).every((field) => isSameTime(a[field], b[field])) &&
    isSameContent(a, b) &&
    isSameBytes(a.linkTarget, b.linkTarget) &&
    isSameAttributes(a.extendedAttributes ?? [], b.extendedAttributes ?? []) &&
    JSON.stringify(a.genericAttributes) === JSON.stringify(b.genericAttributes)
  );
}

/** The zone that a time is written in does not count. */
function isSameTime(a: string, b: string): boolean {
  return a === b || parseTime(a) === parseTime(b);
}

function isSameBytes(a: Uint8Array | null | undefined, b: Uint8Array | null | undefined): boolean {
  return Buffer.compare(a ?? new Uint8Array(0), b ?? new Uint8Array(0)) === 0;
}

function isSameAttributes(a: readonly ExtendedAttribute[], b: readonly ExtendedAttribute[]): boolean {
  if (a.length !== b.length) return false;
  const values = new Map(a.map(({ name, value }) => [name, value]));
  return b.every(({ name, value }) => values.has(name) && isSameBytes(values.get(name), value));
}

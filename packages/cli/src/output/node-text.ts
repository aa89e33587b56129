// Nodes of snapshots as lines, and as the JSON of restic's ls and find.

import { formatBytes } from '@varve/base';
import type { TreeNode } from '@varve/repository';
import { formatGoFileMode } from './go-file-mode.ts';
import { printable } from './text.ts';
import { absoluteTime } from './time.ts';

export interface NodeLineOptions {
  /** Modes, owners, sizes and times too. */
  readonly long: boolean;
  readonly humanReadable: boolean;
}

/** `path`, or everything about the node as restic's `-l` shows it. */
export function nodeLine(path: string, node: TreeNode, options: NodeLineOptions): string {
  if (!options.long) return printable(path);
  const target = node.linkTarget === undefined ? '' : ` -> ${printable(node.linkTarget.toString())}`;
  const owner = `${String(node.uid).padStart(5)} ${String(node.gid).padStart(5)}`;
  const size = (options.humanReadable ? formatBytes(node.size) : String(node.size)).padStart(10);
  return `${formatGoFileMode(node.mode)} ${owner} ${size} ${absoluteTime(node.mtime)} ${printable(path)}${target}`;
}

/** As in `restic ls --json`. */
export function listedNodeJson(path: string, node: TreeNode): Record<string, unknown> {
  return {
    name: path.slice(path.lastIndexOf('/') + 1),
    type: node.type,
    path,
    uid: node.uid,
    gid: node.gid,
    size: node.type === 'file' ? node.size : undefined,
    mode: node.mode || undefined,
    permissions: formatGoFileMode(node.mode),
    mtime: node.mtime,
    atime: node.atime,
    ctime: node.ctime,
    inode: node.inode || undefined,
    message_type: 'node',
    struct_type: 'node',
  };
}

/** As in `restic find --json`. `text` makes text of bytes that need not be UTF-8. */
export function foundNodeJson(
  path: string,
  node: TreeNode,
  text: (bytes: Uint8Array) => string,
): Record<string, unknown> {
  return {
    path,
    permissions: formatGoFileMode(node.mode),
    type: node.type,
    mode: node.mode || undefined,
    mtime: node.mtime,
    atime: node.atime,
    ctime: node.ctime,
    uid: node.uid,
    gid: node.gid,
    user: node.user || undefined,
    group: node.group || undefined,
    inode: node.inode || undefined,
    device_id: node.deviceId || undefined,
    size: node.size || undefined,
    links: node.links || undefined,
    linktarget: node.linkTarget?.length ? text(node.linkTarget) : undefined,
    generic_attributes: node.genericAttributes,
    error: node.error || undefined,
  };
}

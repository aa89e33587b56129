// Nodes of what is on no file system: streams, and the folders that only the snapshot has.

import { goModeOf } from '../filesystem/file-mode.ts';
import type { TimeFormatter } from '../tree/go-time.ts';
import type { TreeNode } from '../tree/tree-node.ts';

/** A time as the nodes and snapshots have it. */
export function formatDate(times: TimeFormatter, time: Date): string {
  return times.format(BigInt(time.getTime()) * 1_000_000n);
}

/** A file or folder of root's. `time` is formatted, `stMode` has type and permission bits. */
export function madeNode(type: 'file' | 'dir', { stMode, time }: { stMode: number; time: string }): TreeNode {
  return {
    name: Buffer.alloc(0),
    type,
    mode: goModeOf(stMode),
    mtime: time,
    atime: time,
    ctime: time,
    uid: 0,
    gid: 0,
    user: 'root',
    group: 'root',
    inode: 0n,
    deviceId: 0n,
    size: 0,
    links: 0,
    device: 0n,
    content: type === 'file' ? [] : null,
  };
}

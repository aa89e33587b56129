// Turns what the file system says about an object into a tree node, as restic does: access time is the modification time (unless wanted),
// names of owners from the system's files, extended attributes in the system's order.

import { readlinkSync } from 'node:fs';
import type { TimeFormatter } from '../tree/go-time.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import type { FileFacts } from './folder-listing.ts';
import { goModeOf, nodeTypeOf } from './file-mode.ts';
import type { Libc } from './libc.ts';
import type { UserNames } from './user-names.ts';

export interface NodeReader {
  readonly libc: Libc | undefined;
  readonly times: TimeFormatter;
  readonly users: UserNames;
  /** Note the access time instead of the modification time. */
  readonly withAccessTimes?: boolean | undefined;
}

export interface FoundEntry {
  readonly path: Buffer;
  readonly name: Buffer;
  readonly stat: FileFacts;
}

/** A node without content or subtree. Throws the system's error when attributes or link target cannot be read. */
export function readNode(reader: NodeReader, entry: FoundEntry): TreeNode {
  const attributes = reader.libc?.readAttributes(entry.path) ?? [];
  const node = nodeOfStat(reader, entry);
  return attributes.length > 0 ? { ...node, extendedAttributes: attributes } : node;
}

/** As {@link readNode}, without extended attributes: what `stat` says. */
export function nodeOfStat(reader: NodeReader, { path, name, stat }: FoundEntry): TreeNode {
  const stMode = Number(stat.mode);
  const type = nodeTypeOf(stMode);
  const mtime = reader.times.format(stat.mtimeNs);
  const isDevice = type === 'dev' || type === 'chardev';
  return {
    name,
    type,
    mode: goModeOf(stMode),
    mtime,
    atime: reader.withAccessTimes ? reader.times.format(stat.atimeNs) : mtime,
    ctime: reader.times.format(stat.ctimeNs),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    user: reader.users.user(Number(stat.uid)),
    group: reader.users.group(Number(stat.gid)),
    inode: stat.ino,
    deviceId: stat.dev,
    size: 0,
    links: linksOf(type, stat),
    linkTarget: type === 'symlink' ? readlinkSync(path, { encoding: 'buffer' }) : undefined,
    device: isDevice ? stat.rdev : 0n,
    content: type === 'file' ? [] : null,
  };
}

/** restic records the number of links of files, symbolic links and devices only. */
function linksOf(type: TreeNode['type'], stat: FileFacts): number {
  return type === 'dir' || type === 'fifo' || type === 'socket' ? 0 : Number(stat.nlink);
}

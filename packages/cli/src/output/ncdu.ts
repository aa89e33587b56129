// A node in ncdu's export format. Source: dev.yorhel.nl/ncdu/jsonfmt.

import type { WalkedNode } from '@varve/repository';

const blockBytes = 512;
/** Where Go's mode has setuid, setgid and sticky, and what they are in st_mode. */
const specialBits = [
  [1 << 23, 0o4000],
  [1 << 22, 0o2000],
  [1 << 20, 0o1000],
] as const;

export function ncduNode({ jsonPath, node }: WalkedNode): Record<string, unknown> {
  const special = specialBits.reduce((bits, [goBit, bit]) => ((node.mode & goBit) === 0 ? bits : bits | bit), 0);
  const seconds = Math.floor(new Date(node.mtime).getTime() / 1000);
  return {
    name: jsonPath.slice(jsonPath.lastIndexOf('/') + 1),
    asize: node.size,
    dsize: Math.ceil(node.size / blockBytes) * blockBytes,
    dev: node.deviceId,
    ino: node.inode,
    nlink: node.links,
    notreg: node.type !== 'dir' && node.type !== 'file',
    uid: node.uid,
    gid: node.gid,
    mode: (node.mode & 0o777) | special,
    // ncdu knows no time before 1970.
    mtime: Math.max(0, seconds),
  };
}

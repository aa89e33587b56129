// A folder of a snapshot as a tar stream with all its metadata, for containers and downloads.

import { joinPath, pathComponents } from '../filesystem/byte-path.ts';
import { permissionsOf } from '../filesystem/file-mode.ts';
import type { Repository } from '../repository.ts';
import type { TarEntry, TarEntryType } from '../tar/read-tar.ts';
import { tarEnd, tarHeader, tarPadding } from '../tar/write-tar.ts';
import { parseTime } from '../tree/go-time.ts';
import { assertSafeName } from '../tree/node-name.ts';
import type { NodeType, TreeNode } from '../tree/tree-node.ts';
import { findIndexedNode, type SnapshotPath } from './find-node.ts';
import { readContent } from './list-tree.ts';
import { TreeReader } from './tree-reader.ts';

const types: Readonly<Partial<Record<NodeType, TarEntryType>>> = {
  file: 'file',
  dir: 'dir',
  symlink: 'symlink',
  dev: 'dev',
  chardev: 'chardev',
  fifo: 'fifo',
};

interface Entry {
  readonly name: Buffer;
  readonly node: TreeNode;
}

/**
 * The content of a folder, names relative to it, the folder itself first as `./` (not for `/`, which has no metadata); or a
 * single entry. PATH_NOT_FOUND, RESTORE_PATH_UNSAFE, REPOSITORY_DAMAGED. A stream that throws must not be used.
 */
export async function* streamTar(repository: Repository, options: SnapshotPath): AsyncGenerator<Uint8Array> {
  const { signal } = options;
  await repository.loadIndex({ signal });
  const isRoot = pathComponents(Buffer.from(options.path)).length === 0;
  const node = isRoot ? undefined : await findIndexedNode(repository, options);
  const firstLinks = new Map<string, Buffer>();
  const trees = new TreeReader(repository, signal);
  const stack: Entry[] = [];
  const push = async (folder: Buffer, treeId: string): Promise<void> => {
    const nodes = await trees.nodes(treeId);
    for (const child of nodes.reverse()) {
      assertSafeName(child.name, folder.toString() || '/');
      stack.push({ name: folder.length === 0 ? child.name : joinPath(folder, child.name), node: child });
    }
  };
  if (node && node.type !== 'dir') {
    assertSafeName(node.name, options.path);
    stack.push({ name: node.name, node });
  } else {
    if (node) yield tarHeader(toTarEntry({ name: Buffer.from('./'), node }, 'dir'));
    await push(Buffer.alloc(0), node?.subtree ?? options.treeId);
  }
  for (let top = stack.pop(); top; top = stack.pop()) {
    signal?.throwIfAborted();
    const type = types[top.node.type];
    if (type === undefined) continue;
    const linked = firstLinkOf(top, firstLinks);
    if (linked) {
      yield tarHeader({ ...toTarEntry(top, 'link'), linkName: linked });
      continue;
    }
    const name = type === 'dir' ? Buffer.concat([top.name, Buffer.from('/')]) : top.name;
    yield tarHeader(toTarEntry({ name, node: top.node }, type));
    if (type === 'file') {
      yield* readContent(repository, top.node, signal);
      yield tarPadding(top.node.size);
    } else if (top.node.subtree !== undefined) await push(top.name, top.node.subtree);
  }
  yield tarEnd;
}

/** The name of an earlier link to the same file; notes the first. */
function firstLinkOf({ name, node }: Entry, known: Map<string, Buffer>): Buffer | undefined {
  if (node.type !== 'file' || node.links < 2 || node.inode === 0n) return undefined;
  const key = `${node.deviceId}:${node.inode}`;
  const first = known.get(key);
  if (!first) known.set(key, name);
  return first;
}

function toTarEntry({ name, node }: Entry, type: TarEntryType): TarEntry {
  return {
    type,
    name,
    linkName: node.linkTarget ?? Buffer.alloc(0),
    permissions: permissionsOf(node.mode),
    uid: node.uid,
    gid: node.gid,
    user: node.user ?? '',
    group: node.group ?? '',
    size: type === 'file' ? node.size : 0,
    mtimeNs: parseTime(node.mtime) ?? 0n,
    device: node.device,
    extendedAttributes: node.extendedAttributes ?? [],
  };
}

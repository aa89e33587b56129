// A folder of a snapshot as a tar stream with all its metadata, for containers and downloads.

import { permissionsOf } from '../filesystem/file-mode.ts';
import type { Repository } from '../repository.ts';
import type { TarEntry, TarEntryType } from '../tar/read-tar.ts';
import { tarEnd, tarHeader, tarPadding } from '../tar/write-tar.ts';
import { parseTime } from '../tree/go-time.ts';
import type { NodeType } from '../tree/tree-node.ts';
import { archiveEntries, archiveRoot, type ArchiveEntry, type ArchiveOptions } from './archive-entries.ts';
import { readContent } from './list-tree.ts';

const types: Readonly<Partial<Record<NodeType, TarEntryType>>> = {
  file: 'file',
  dir: 'dir',
  symlink: 'symlink',
  dev: 'dev',
  chardev: 'chardev',
  fifo: 'fifo',
};

/**
 * The content of a folder or a single entry. With relative names the folder itself comes first as `./`, unless it is `/`,
 * which has no metadata. PATH_NOT_FOUND, RESTORE_PATH_UNSAFE, REPOSITORY_DAMAGED. A stream that throws must not be used.
 */
export async function* streamTar(repository: Repository, options: ArchiveOptions): AsyncGenerator<Uint8Array> {
  const { signal, names = 'relative' } = options;
  await repository.loadIndex({ signal });
  const node = await archiveRoot(repository, options);
  const firstLinks = new Map<string, Buffer>();
  if (node?.type === 'dir' && names === 'relative')
    yield tarHeader(toTarEntry({ name: Buffer.from('./'), node }, 'dir'));
  for await (const entry of archiveEntries(repository, { ...options, node })) {
    const type = types[entry.node.type];
    if (type === undefined) continue;
    const linked = firstLinkOf(entry, firstLinks);
    if (linked) {
      yield tarHeader({ ...toTarEntry(entry, 'link'), linkName: linked });
      continue;
    }
    const name = type === 'dir' ? Buffer.concat([entry.name, Buffer.from('/')]) : entry.name;
    yield tarHeader(toTarEntry({ name, node: entry.node }, type));
    if (type !== 'file') continue;
    yield* readContent(repository, entry.node, signal);
    yield tarPadding(entry.node.size);
  }
  yield tarEnd;
}

/** The name of an earlier link to the same file; notes the first. */
function firstLinkOf({ name, node }: ArchiveEntry, known: Map<string, Buffer>): Buffer | undefined {
  if (node.type !== 'file' || node.links < 2 || node.inode === 0n) return undefined;
  const key = `${node.deviceId}:${node.inode}`;
  const first = known.get(key);
  if (!first) known.set(key, name);
  return first;
}

function toTarEntry({ name, node }: ArchiveEntry, type: TarEntryType): TarEntry {
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

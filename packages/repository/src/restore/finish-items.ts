// What the threads get to give restored objects their size and metadata.

import type { NodeMetadata } from '../filesystem/write-metadata.ts';
import { parseTime } from '../tree/go-time.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import { mapOwner, type OwnerMap } from './owner-map.ts';
import type { PlannedItem } from './restore-plan.ts';
import type { FinishItem } from './restore-protocol.ts';

export function toMetadata(node: TreeNode, owners: OwnerMap | undefined): NodeMetadata {
  return {
    type: node.type,
    mode: node.mode,
    ...mapOwner(node, owners),
    mtimeNs: parseTime(node.mtime) ?? 0n,
    atimeNs: parseTime(node.atime) ?? 0n,
    extendedAttributes: node.extendedAttributes ?? [],
  };
}

/** Of a regular file whose content is written. */
export function toFileItem(item: PlannedItem, options: { sparse: boolean; owners: OwnerMap | undefined }): FinishItem {
  const { path, node } = item;
  const needsSize = options.sparse || !item.isNew || node.size === 0;
  return { path, metadata: toMetadata(node, options.owners), size: needsSize ? node.size : undefined };
}

/** Of a symbolic link, device or FIFO, which is made before. */
export function toSpecialItem({ path, node }: PlannedItem, owners: OwnerMap | undefined): FinishItem {
  const metadata = toMetadata(node, owners);
  if (node.type === 'symlink') return { path, metadata, linkTarget: node.linkTarget ?? Buffer.alloc(0) };
  return { path, metadata, device: node.device };
}

// The folders of a snapshot while it is put together: inputs land at their targets, missing parents are made, and at the
// end the trees are encoded from the leaves up. Memory grows with what is placed here, not with what lies below it.

import { AppError } from '@varve/base';
import { encodeTree } from '../tree/encode-tree.ts';
import { printableName } from '../tree/go-quote.ts';
import { isSafeName } from '../tree/node-name.ts';
import type { TreeNode } from '../tree/tree-node.ts';

interface Folder {
  readonly name: Buffer;
  /** Metadata, when an input has told it. */
  node: TreeNode | undefined;
  readonly children: Map<string, Folder | Leaf>;
}

interface Leaf {
  /** Complete: with content or subtree. */
  node: TreeNode;
}

function isFolder(entry: Folder | Leaf): entry is Folder {
  return 'children' in entry;
}

function keyOf(name: Buffer): string {
  return name.toString('latin1');
}

function shown(components: readonly Buffer[]): string {
  return `/${components.map(printableName).join('/')}`;
}

export class TargetTree {
  readonly #root: Folder = { name: Buffer.alloc(0), node: undefined, children: new Map() };

  /** Puts a complete node at a path; its name is the last component. USAGE_INVALID when the place is taken. */
  place(components: readonly Buffer[], node: TreeNode, options: { readonly replace?: boolean } = {}): void {
    const name = components.at(-1);
    if (!name) throw new AppError('USAGE_INVALID', 'The root of a snapshot cannot be a single entry.');
    const folder = this.#folder(components.slice(0, -1));
    const existing = folder.children.get(keyOf(name));
    if (existing && (!options.replace || isFolder(existing))) {
      throw new AppError('USAGE_INVALID', `Two inputs of the snapshot have the same place ${shown(components)}.`);
    }
    folder.children.set(keyOf(name), { node: { ...node, name } });
  }

  /** Tells the metadata of a folder; made when missing. The root has none, and ignores it. */
  describe(components: readonly Buffer[], node: TreeNode): void {
    const folder = this.#folder(components);
    folder.node = { ...node, name: folder.name };
  }

  /** The metadata of the root, when an input has told it. */
  get rootNode(): TreeNode | undefined {
    return this.#root.node;
  }

  get isEmpty(): boolean {
    return this.#root.children.size === 0;
  }

  /** The leaf at a path, for links to it. */
  leaf(components: readonly Buffer[]): TreeNode | undefined {
    const entry = this.#find(components);
    return entry && !isFolder(entry) ? entry.node : undefined;
  }

  /** Changes a leaf that is there. */
  update(components: readonly Buffer[], change: Partial<TreeNode>): void {
    const entry = this.#find(components);
    if (entry && !isFolder(entry)) entry.node = { ...entry.node, ...change };
  }

  /**
   * Stores the trees through `store` (which yields the id) and yields the root's. `defaults` makes the metadata of folders
   * that no input has told.
   */
  finish(options: { readonly store: (tree: Buffer) => string; readonly defaults: (name: Buffer) => TreeNode }): string {
    const order: { folder: Folder; owner: Map<string, Folder | Leaf> | undefined }[] = [];
    const stack: typeof order = [{ folder: this.#root, owner: undefined }];
    for (let top = stack.pop(); top; top = stack.pop()) {
      order.push(top);
      for (const entry of top.folder.children.values()) {
        if (isFolder(entry)) stack.push({ folder: entry, owner: top.folder.children });
      }
    }
    // Parents come before their children in `order`, so from its end on every folder finds its subfolders done.
    let rootId = '';
    for (const { folder, owner } of order.reverse()) {
      const nodes = [...folder.children.values()].map((entry) => {
        if (isFolder(entry)) throw new AppError('INTERNAL', 'A folder was encoded before its subfolder.');
        return entry.node;
      });
      rootId = options.store(encodeTree(nodes.sort((a, b) => Buffer.compare(a.name, b.name))));
      const node = folder.node ?? options.defaults(folder.name);
      owner?.set(keyOf(folder.name), { node: { ...node, name: folder.name, subtree: rootId } });
    }
    return rootId;
  }

  #find(components: readonly Buffer[]): Folder | Leaf | undefined {
    let entry: Folder | Leaf | undefined = this.#root;
    for (const name of components) entry = entry && isFolder(entry) ? entry.children.get(keyOf(name)) : undefined;
    return entry;
  }

  #folder(components: readonly Buffer[]): Folder {
    let folder = this.#root;
    for (const [depth, name] of components.entries()) {
      if (!isSafeName(name)) throw new AppError('USAGE_INVALID', `${shown(components)} is not a path in a snapshot.`);
      let next = folder.children.get(keyOf(name));
      if (!next) folder.children.set(keyOf(name), (next = { name, node: undefined, children: new Map() }));
      if (!isFolder(next)) {
        const taken = shown(components.slice(0, depth + 1));
        throw new AppError(
          'USAGE_INVALID',
          `Nothing can be placed below ${taken}: another input of the snapshot is there.`,
        );
      }
      folder = next;
    }
    return folder;
  }
}

// What a tree refers to, without an object for each of its entries: a scanner for the one shape that restic and we write most
// trees in. Whatever looks different, if only by a blank, or has names, numbers or attributes out of the ordinary, is decoded.

import { isUtf8 } from 'node:buffer';
import { decodeTree } from './decode-tree.ts';
import { treeHead, treeTail } from './encode-tree.ts';
import type { TreeNode } from './tree-node.ts';

export interface TreeLinks {
  /** Ids of the chunks of its files, in their order, with repetitions. */
  readonly data: readonly string[];
  /** Ids of the trees of its folders, in their order. */
  readonly subtrees: readonly string[];
  /** Every name is safe, every file has its list of content, every folder its tree. What is not regular may be so too. */
  readonly isRegular: boolean;
  /** Its entries. */
  readonly nodes: () => readonly TreeNode[];
}

const idLength = 64;
const quote = 0x22;
const blobId = /^[0-9a-f]{64}$/;
const number = '(?:0|[1-9]\\d{0,14})';
const text = '[^"\\\\\\x00-\\x1f]*';
const time = '"\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:\\.\\d{1,9})?(?:Z|[+-]\\d\\d:\\d\\d)"';
const optional = (pattern: string): string => `(?:${pattern})?`;
/** An entry up to its content: the groups are name and type. */
const head = [
  '\\{"name":"((?!\\.\\.?")[^"\\\\/\\x00-\\x1f]+)","type":"(file|dir|symlink|dev|chardev|fifo|socket|irregular)"',
  optional(`,"mode":${number}`),
  `,"mtime":${time},"atime":${time},"ctime":${time},"uid":${number},"gid":${number}`,
  optional(`,"user":"${text}"`),
  optional(`,"group":"${text}"`),
  optional(`,"inode":${number}`),
  optional(`,"device_id":${number}`),
  optional(`,"size":${number}`),
  optional(`,"links":${number}`),
  optional(`,"linktarget":"${text}"`),
  optional(`,"device":${number}`),
  ',"content":',
].join('');

/** REPOSITORY_DAMAGED as {@link decodeTree}. `bytes` have to stay as they are while `nodes` may be called. */
export function linksOfTree(bytes: Uint8Array): TreeLinks {
  const links = scanTree(bytes);
  if (links) return { ...links, isRegular: true, nodes: () => decodeTree(bytes) };
  const nodes = decodeTree(bytes);
  return {
    data: nodes.flatMap(({ content }) => content ?? []),
    subtrees: nodes.flatMap(({ type, subtree }) => (type === 'dir' && subtree !== undefined ? [subtree] : [])),
    isRegular: false,
    nodes: () => nodes,
  };
}

/** Null when the tree is not of the usual shape, or damaged. */
function scanTree(bytes: Uint8Array): Pick<TreeLinks, 'data' | 'subtrees'> | null {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // A character a byte: names are then in the order of their bytes.
  return isUtf8(buffer) ? new TreeScanner(buffer.toString('latin1')).scan() : null;
}

class TreeScanner {
  readonly #tree: string;
  readonly #head = new RegExp(head, 'y');
  readonly #data: string[] = [];
  readonly #subtrees: string[] = [];
  #at = 0;

  constructor(tree: string) {
    this.#tree = tree;
  }

  scan(): Pick<TreeLinks, 'data' | 'subtrees'> | null {
    if (!this.#take(treeHead)) return null;
    let before = '';
    while (!this.#tree.startsWith(treeTail, this.#at)) {
      if (before !== '' && !this.#take(',')) return null;
      this.#head.lastIndex = this.#at;
      const [, name = '', type] = this.#head.exec(this.#tree) ?? [];
      if (name <= before) return null;
      before = name;
      this.#at = this.#head.lastIndex;
      if (!(type === 'file' ? this.#takeContent() : this.#take('null'))) return null;
      if (type === 'dir' && !this.#takeSubtree()) return null;
      if (!this.#take('}')) return null;
    }
    const isWhole = this.#at + treeTail.length === this.#tree.length;
    return isWhole ? { data: this.#data, subtrees: this.#subtrees } : null;
  }

  #take(expected: string): boolean {
    if (!this.#tree.startsWith(expected, this.#at)) return false;
    this.#at += expected.length;
    return true;
  }

  /** No pattern: the list of a large file may be long. */
  #takeContent(): boolean {
    if (this.#take('[]')) return true;
    if (!this.#take('[')) return false;
    do {
      const id = this.#takeId();
      if (id === undefined) return false;
      this.#data.push(id);
    } while (this.#take(','));
    return this.#take(']');
  }

  #takeSubtree(): boolean {
    const id = this.#take(',"subtree":') ? this.#takeId() : undefined;
    if (id === undefined) return false;
    this.#subtrees.push(id);
    return true;
  }

  #takeId(): string | undefined {
    const start = this.#at + 1;
    const end = start + idLength;
    if (this.#tree.charCodeAt(start - 1) !== quote || this.#tree.charCodeAt(end) !== quote) return undefined;
    const id = this.#tree.slice(start, end);
    if (!blobId.test(id)) return undefined;
    this.#at = end + 1;
    return id;
  }
}

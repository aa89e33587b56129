// The tree that a folder had in the parent snapshot, compared as text: as long as its entries come in the same order with the
// same metadata, nothing of it is decoded. The first entry that is different makes it decode the rest.

import type { BlobIndex } from '../blob-index/blob-index.ts';
import { decodeTree } from '../tree/decode-tree.ts';
import { treeHead, treeTail } from '../tree/encode-tree.ts';
import type { TreeNode } from '../tree/tree-node.ts';

const attributes = ',"extended_attributes":[';
const attributesEnd = '],"content":';
const content = ',"content":';
const subtree = '"content":null,"subtree":"';
const idLength = 64;

/** An entry of the parent's tree that is what the file system still has. */
export interface SameEntry {
  /** Its JSON as it stands in the tree. */
  readonly json: string;
  /** Of a folder: the id of its tree. */
  readonly subtree?: string | undefined;
}

export class ParentTree {
  readonly #bytes: Uint8Array | undefined;
  readonly #index: BlobIndex;
  readonly #text: string;
  /** Where the next entry begins; -1 after the first difference. */
  #at: number;
  #nodes: ReadonlyMap<string, TreeNode> | undefined;

  constructor(bytes: Uint8Array | undefined, index: BlobIndex) {
    this.#bytes = bytes;
    this.#index = index;
    this.#text = bytes ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8') : '';
    this.#at = this.#text.startsWith(treeHead) ? treeHead.length : -1;
  }

  /** Whether every entry was the same and none is left: the folder's tree is the parent's. */
  get isSame(): boolean {
    // Past the last entry there is no comma to step over.
    return this.#at >= 0 && this.#text.length - (this.#at - 1) === treeTail.length && this.#text.endsWith(treeTail);
  }

  /** Whether the next entry can still be compared as text; if not, nobody needs to make its head. */
  get comparesText(): boolean {
    return this.#at >= 0;
  }

  /**
   * The next entry, if it is a file that begins with `head` (see `nodeHead`, without extended attributes) and all its
   * chunks are in the index. Attributes are taken over: they do not change without the time of change, which is in the head.
   */
  nextFile(head: string): SameEntry | undefined {
    if (this.#at < 0) return undefined;
    let at = this.#skip(head, this.#at);
    if (at >= 0 && this.#text.startsWith(attributes, at)) {
      at = this.#text.indexOf(attributesEnd, at + attributes.length);
      if (at >= 0) at++;
    }
    if (at >= 0) at = this.#skip(content, at);
    if (at >= 0) at = this.#skipContent(at);
    return this.#end(at);
  }

  /** The next entry, if it is a folder that begins with `head`. */
  nextFolder(head: string): SameEntry | undefined {
    if (this.#at < 0) return undefined;
    let at = this.#skip(subtree, this.#skip(`${head},`, this.#at));
    const id = this.#text.slice(at, at + idLength);
    if (at >= 0) at = this.#skip('"', at + idLength);
    const same = this.#end(at);
    return same && { json: same.json, subtree: id };
  }

  /** The next entry, if it is one without content that begins with `head`. */
  nextOther(head: string): SameEntry | undefined {
    if (this.#at < 0) return undefined;
    return this.#end(this.#skip(`${head},"content":null`, this.#at));
  }

  /** The parent's entry of a name; from the first call on entries are not compared as text any more. */
  find(name: Buffer): TreeNode | undefined {
    this.#at = -1;
    this.#nodes ??= new Map(
      this.#bytes ? decodeTree(this.#bytes).map((node) => [node.name.toString('latin1'), node]) : [],
    );
    return this.#nodes.get(name.toString('latin1'));
  }

  #skip(expected: string, at: number): number {
    return at >= 0 && this.#text.startsWith(expected, at) ? at + expected.length : -1;
  }

  /** The end of a list of ids that begins at `at`; -1 when it is none or a blob is missing. */
  #skipContent(at: number): number {
    if (this.#text.startsWith('[]', at)) return at + 2;
    for (let next = at; ; next += idLength + 3) {
      const isIn = this.#text.startsWith(next === at ? '["' : ',"', next);
      if (!isIn || this.#text.charCodeAt(next + 2 + idLength) !== 0x22) return -1;
      const id = this.#text.slice(next + 2, next + 2 + idLength);
      if (!/^[0-9a-f]+$/.test(id) || !this.#index.has('data', id)) return -1;
      if (this.#text.startsWith(']', next + idLength + 3)) return next + idLength + 4;
    }
  }

  /** Takes the entry whose fields end at `at`. */
  #end(at: number): SameEntry | undefined {
    const end = this.#skip('}', at);
    if (end < 0) return undefined;
    const json = this.#text.slice(this.#at, end);
    const isLast = this.#text.startsWith(treeTail, end);
    if (!isLast && !this.#text.startsWith(',', end)) return undefined;
    this.#at = end + 1;
    return { json };
  }
}

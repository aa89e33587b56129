// Reads tree blobs of restic and rustic: lossless, tolerant of unknown keys, strict about what a restore relies on.
// Everything wrong is REPOSITORY_DAMAGED. Source: storage-format section 2.10.

import { AppError, messageOf } from '@varve/base';
import { parseLossless } from './go-json.ts';
import { goUnquote, printableName } from './go-quote.ts';
import { isTime } from './go-time.ts';
import type { ExtendedAttribute, NodeType, TreeNode } from './tree-node.ts';

const nodeTypes: ReadonlySet<string> = new Set<NodeType>([
  'file',
  'dir',
  'symlink',
  'dev',
  'chardev',
  'fifo',
  'socket',
  'irregular',
]);
const blobId = /^[0-9a-f]{64}$/;
/** A replacement character that the writer put for a byte it could not express, as opposed to one in the text itself. */
const lostByte = /((?:^|[^\\])(?:\\\\)*)\\ufffd/g;
/** Stands for {@link lostByte} while parsing: a lone surrogate cannot come from UTF-8. */
const lostMark = '\ud800';

/** The id of the tree of an empty folder, `{"nodes":[]}` and a line feed. */
export const emptyTreeId = 'ac08ce34ba4f8123618661bef2425f7028ffb9ac740578a3ee88684d2523fee8';

type Json = Readonly<Record<string, unknown>>;

function damaged(what: string): AppError {
  return new AppError('REPOSITORY_DAMAGED', `A folder record of the repository is damaged: ${what}.`, {
    hint: 'Run a check with all data read, and restore from another copy if there is one.',
  });
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Reads the fields of one node, each with its type checked. */
class Fields {
  readonly #json: Json;
  readonly #label: string;

  constructor(json: Json, label: string) {
    this.#json = json;
    this.#label = label;
  }

  #wrong(key: string): AppError {
    return damaged(`${this.#label} has a wrong "${key}"`);
  }

  text(key: string): string | undefined {
    const value = this.#json[key];
    if (value === undefined || value === null) return undefined;
    if (typeof value !== 'string') throw this.#wrong(key);
    return value;
  }

  time(key: string): string {
    const text = this.text(key) ?? '0001-01-01T00:00:00Z';
    if (!isTime(text)) throw this.#wrong(key);
    return text;
  }

  integer(key: string): number {
    const value = this.#json[key];
    if (value === undefined || value === null) return 0;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw this.#wrong(key);
    return value;
  }

  uint64(key: string): bigint {
    const value = this.#json[key];
    if (value === undefined || value === null) return 0n;
    if (typeof value === 'bigint' && value < 1n << 64n) return value;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw this.#wrong(key);
    return BigInt(value);
  }

  id(key: string): string | undefined {
    const value = this.text(key);
    if (value !== undefined && !blobId.test(value)) throw this.#wrong(key);
    return value;
  }

  content(): readonly string[] | null {
    const value = this.#json['content'];
    if (value === undefined || value === null) return null;
    if (!Array.isArray(value)) throw this.#wrong('content');
    for (const id of value) if (typeof id !== 'string' || !blobId.test(id)) throw this.#wrong('content');
    return value as string[];
  }

  attributes(): readonly ExtendedAttribute[] | undefined {
    const key = 'extended_attributes';
    const list = this.#json[key];
    if (list === undefined || list === null) return undefined;
    if (!Array.isArray(list)) throw this.#wrong(key);
    return list.map((item: unknown) => {
      const name = isJson(item) ? item['name'] : undefined;
      const value = isJson(item) ? (item['value'] ?? null) : undefined;
      if (typeof name !== 'string' || (typeof value !== 'string' && value !== null)) throw this.#wrong(key);
      return { name, value: value === null ? null : Buffer.from(value, 'base64') };
    });
  }

  generic(): Json | undefined {
    const value = this.#json['generic_attributes'];
    if (value === undefined || value === null) return undefined;
    if (!isJson(value)) throw this.#wrong('generic_attributes');
    return value;
  }

  linkTarget(): Pick<TreeNode, 'linkTarget' | 'linkTargetLost'> {
    const raw = this.text('linktarget_raw');
    if (raw !== undefined) return { linkTarget: Buffer.from(raw, 'base64') };
    const text = this.text('linktarget');
    if (text === undefined) return {};
    const linkTarget = Buffer.from(text, 'utf8');
    return text.includes(lostMark) ? { linkTarget, linkTargetLost: true } : { linkTarget };
  }
}

function decodeName(json: Json): Buffer {
  const quoted = json['name'];
  if (typeof quoted !== 'string') throw damaged('an entry has no name');
  const name = goUnquote(quoted);
  if (name === undefined) throw damaged(`the name ${JSON.stringify(quoted)} is not quoted rightly`);
  return name;
}

function decodeNode(json: unknown): TreeNode {
  if (!isJson(json)) throw damaged('an entry is not an object');
  const name = decodeName(json);
  const fields = new Fields(json, printableName(name));
  const type = fields.text('type') ?? '';
  if (!nodeTypes.has(type)) throw damaged(`${printableName(name)} has the unknown type "${type}"`);
  const subtree = fields.id('subtree');
  if (type === 'dir' && subtree === undefined) throw damaged(`the folder ${printableName(name)} has no subtree`);
  return {
    name,
    type: type as NodeType,
    mode: fields.integer('mode'),
    mtime: fields.time('mtime'),
    atime: fields.time('atime'),
    ctime: fields.time('ctime'),
    uid: fields.integer('uid'),
    gid: fields.integer('gid'),
    user: fields.text('user'),
    group: fields.text('group'),
    inode: fields.uint64('inode'),
    deviceId: fields.uint64('device_id'),
    size: fields.integer('size'),
    links: fields.integer('links'),
    ...fields.linkTarget(),
    extendedAttributes: fields.attributes(),
    genericAttributes: fields.generic(),
    device: fields.uint64('device'),
    content: fields.content(),
    subtree,
    error: fields.text('error'),
  };
}

function parse(bytes: Uint8Array): unknown {
  try {
    // Fails for more than a text can hold (512 MiB).
    let text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
    if (text.includes('\\ufffd')) text = text.replace(lostByte, '$1\\ud800').replace(lostByte, '$1\\ud800');
    return parseLossless(text);
  } catch (error) {
    throw new AppError('REPOSITORY_DAMAGED', 'A folder record of the repository is not valid JSON.', { cause: error });
  }
}

function parseEntries(bytes: Uint8Array): readonly unknown[] {
  const json = parse(bytes);
  const list = isJson(json) ? json['nodes'] : undefined;
  if (!isJson(json) || (!Array.isArray(list) && list !== null)) throw damaged('it holds no list of nodes');
  return list ?? [];
}

/**
 * What can be read of a damaged tree, in any order, and why the rest cannot. A folder without a tree gets an empty one.
 * REPOSITORY_DAMAGED when it is no list.
 */
export function decodeTreeEntries(bytes: Uint8Array): { nodes: TreeNode[]; failures: string[] } {
  const nodes: TreeNode[] = [];
  const failures: string[] = [];
  for (const entry of parseEntries(bytes)) {
    const isWithoutTree = isJson(entry) && entry['type'] === 'dir' && (entry['subtree'] ?? null) === null;
    try {
      const node = decodeNode(isWithoutTree ? { ...entry, subtree: emptyTreeId } : entry);
      if (isWithoutTree) failures.push(`the folder ${printableName(node.name)} has no subtree`);
      nodes.push(node);
    } catch (error) {
      failures.push(messageOf(error));
    }
  }
  return { nodes, failures };
}

/** The nodes of a tree blob, in strictly ascending order of their names. REPOSITORY_DAMAGED for anything else. */
export function decodeTree(bytes: Uint8Array): TreeNode[] {
  const nodes = parseEntries(bytes).map(decodeNode);
  for (let i = 1; i < nodes.length; i++) {
    const [before, node] = [nodes[i - 1], nodes[i]];
    if (before && node && Buffer.compare(before.name, node.name) >= 0) {
      throw damaged(`its entries are not in ascending order at ${printableName(node.name)}`);
    }
  }
  return nodes;
}

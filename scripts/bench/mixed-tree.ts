// The benchmark's files: a tree like that of a server with a few apps on it (small texts, binaries, already compressed files,
// some copies), the same bytes for the same seed on every machine.

import { createCipheriv, createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface MixedTreeOptions {
  readonly folder: string;
  readonly files: number;
  readonly bytes: number;
  readonly seed: string;
  readonly log: (line: string) => void;
}

/** Shares of the files and of the bytes by kind; what is left of both are copies of texts. */
const kinds = {
  text: { files: 0.89, bytes: 0.28 },
  binary: { files: 0.08, bytes: 0.34 },
  compressed: { files: 0.01, bytes: 0.25 },
  large: { files: 0.0002, bytes: 0.1 },
} as const;

const poolBytes = 32 * 1024 * 1024;
const filesPerFolder = 24;

/** Makes the tree unless it is there already, whole. Yields the folder that holds it. */
export function makeMixedTree(options: MixedTreeOptions): string {
  const { folder, log } = options;
  const tree = join(folder, 'tree');
  const marker = join(folder, 'complete.json');
  const description = JSON.stringify({ files: options.files, bytes: options.bytes, seed: options.seed, form: 2 });
  if (existsSync(marker) && readFileSync(marker, 'utf8') === description) return tree;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(tree, { recursive: true });
  log(`making ${options.files} files, ${(options.bytes / 1e9).toFixed(1)} GB in ${tree}`);
  new TreeWriter(tree, options).write();
  writeFileSync(marker, description);
  return tree;
}

/** Numbers and bytes from a seed: the keystream of AES-256-CTR. */
export class SeededBytes {
  readonly #cipher;
  #block: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(seed: string) {
    this.#cipher = createCipheriv('aes-256-ctr', createHash('sha256').update(seed).digest(), Buffer.alloc(16));
  }

  bytes(count: number): Buffer {
    return this.#cipher.update(Buffer.alloc(count));
  }

  /** A number from 0 to below 1. */
  next(): number {
    if (this.#at + 4 > this.#block.length) {
      this.#block = this.bytes(64 * 1024);
      this.#at = 0;
    }
    const value = this.#block.readUInt32LE(this.#at);
    this.#at += 4;
    return value / 2 ** 32;
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }
}

class TreeWriter {
  readonly #tree: string;
  readonly #options: MixedTreeOptions;
  readonly #random: SeededBytes;
  readonly #texts: Buffer;
  readonly #binaries: Buffer;
  #folder = '';
  #files = 0;

  constructor(tree: string, options: MixedTreeOptions) {
    this.#tree = tree;
    this.#options = options;
    this.#random = new SeededBytes(options.seed);
    this.#texts = textPool(new SeededBytes(`${options.seed}/text`));
    this.#binaries = binaryPool(new SeededBytes(`${options.seed}/binary`));
  }

  write(): void {
    const { files, bytes } = this.#options;
    const count = (share: number): number => Math.round(files * share);
    const mean = ({ files: f, bytes: b }: { files: number; bytes: number }): number => (bytes * b) / (files * f);
    this.#writeMany(count(kinds.text.files), (size) => this.#slice(this.#texts, size), mean(kinds.text), 'txt');
    this.#writeMany(count(kinds.binary.files), (size) => this.#slice(this.#binaries, size), mean(kinds.binary), 'bin');
    const random = (size: number): Buffer => this.#random.bytes(size);
    this.#writeMany(count(kinds.compressed.files), random, mean(kinds.compressed), 'jpg');
    this.#writeMany(count(kinds.large.files), (size) => this.#mixed(size), mean(kinds.large), 'dat');
    const rest = { files: 1, bytes: 1 };
    for (const kind of Object.values(kinds)) {
      rest.files -= kind.files;
      rest.bytes -= kind.bytes;
    }
    const copied = this.#slice(this.#texts, Math.round(mean(rest)));
    this.#writeMany(files - this.#files, () => copied, mean(rest), 'copy');
  }

  #writeMany(count: number, content: (size: number) => Buffer, meanBytes: number, ending: string): void {
    for (let i = 0; i < count; i++) {
      if (this.#files % filesPerFolder === 0) this.#nextFolder();
      writeFileSync(join(this.#folder, `${this.#name()}.${ending}`), content(this.#size(meanBytes)));
      this.#files++;
    }
  }

  #nextFolder(): void {
    const number = Math.floor(this.#files / filesPerFolder);
    // Three levels, with a varying number of folders each.
    this.#folder = join(this.#tree, `app${number % 7}`, `part-${Math.floor(number / 61)}`, `${number}-${this.#name()}`);
    mkdirSync(this.#folder, { recursive: true });
  }

  #name(): string {
    return Math.floor(this.#random.next() * 2 ** 32).toString(36);
  }

  /** Log-normal sizes: many small ones and a few that are much larger than the mean. */
  #size(mean: number): number {
    const normal = Math.sqrt(-2 * Math.log(1 - this.#random.next())) * Math.cos(2 * Math.PI * this.#random.next());
    const sigma = 1.1;
    return Math.max(1, Math.round(mean * Math.exp(sigma * normal - (sigma * sigma) / 2)));
  }

  #slice(pool: Buffer, size: number): Buffer {
    if (size > pool.length / 2) return this.#mixed(size);
    const start = this.#random.below(pool.length - size);
    return Buffer.concat([Buffer.from(`// ${this.#files}\n`), pool.subarray(start, start + size)]);
  }

  /** Texts, binaries and noise in turn. */
  #mixed(size: number): Buffer {
    const parts: Buffer[] = [];
    for (let left = size; left > 0;) {
      const length = Math.min(left, 200_000 + this.#random.below(1_000_000));
      const kind = this.#random.below(3);
      const pool = kind === 0 ? this.#texts : this.#binaries;
      const start = this.#random.below(poolBytes - length);
      parts.push(kind === 2 ? this.#random.bytes(length) : pool.subarray(start, start + length));
      left -= length;
    }
    return Buffer.concat(parts);
  }
}

/** Lines of words by Zipf's law, as sources and logs have them: zstd makes about a quarter of them. */
function textPool(random: SeededBytes): Buffer {
  const letters = 'etaoinshrdlcumwfgypbvk';
  const words = Array.from({ length: 6000 }, () => {
    const length = 2 + random.below(9);
    return Array.from({ length }, () => letters[Math.floor(random.next() ** 2 * letters.length)]).join('');
  });
  const separators = [' ', ' ', ' ', ' ', ', ', '.', '(', ') ', ' = ', ';\n', '\n', '\n  ', '\n    '];
  const pool = Buffer.alloc(poolBytes);
  let at = 0;
  while (at < poolBytes) {
    const word = words[Math.floor(words.length ** random.next()) - 1] ?? '';
    at += pool.write(word + (separators[random.below(separators.length)] ?? ' '), at, 'latin1');
    if (poolBytes - at < 32) break;
  }
  return pool;
}

/** Records with small fields, pointers and noise: zstd makes about half of them. */
function binaryPool(random: SeededBytes): Buffer {
  const pool = random.bytes(poolBytes);
  for (let at = 0; at + 64 <= poolBytes; at += 64) {
    const kind = random.below(4);
    if (kind === 0) pool.copy(pool, at, Math.max(0, at - 4096), Math.max(0, at - 4096) + 64);
    else if (kind === 1) for (let i = 0; i < 64; i += 4) pool.writeUInt32LE(random.below(4000) * 16, at + i);
    else if (kind === 2) pool.fill(0, at + 16, at + 64);
  }
  return pool;
}

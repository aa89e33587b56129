// The entries of a folder and what the system says of them, with half the time of Node's calls: the folder is opened once, its
// names come many at a time (getdents64), and each is looked up from there (statx) instead of along its whole path. Where the
// system lacks these calls, and whenever one of them fails, Node's calls do the same and tell their errors.

import { closeSync, constants, lstatSync, openSync, readdirSync, type BigIntStats } from 'node:fs';
import { createRequire } from 'node:module';
import { endianness } from 'node:os';
import type * as Koffi from 'koffi';
import { isSystemError } from './system-error.ts';

type Foreign = (...args: unknown[]) => unknown;

/** What is needed of Node's stat; numbers that are small may come as numbers. */
export interface FileFacts extends Pick<
  BigIntStats,
  'ino' | 'dev' | 'rdev' | 'size' | 'atimeNs' | 'mtimeNs' | 'ctimeNs' | 'isFile' | 'isDirectory' | 'isSocket'
> {
  readonly mode: number | bigint;
  readonly nlink: number | bigint;
  readonly uid: number | bigint;
  readonly gid: number | bigint;
}

/** An open folder. Dispose of it. */
export interface FolderListing extends Disposable {
  /** In the order of their bytes. */
  readonly names: readonly Buffer[];
  /** `name` is one of the names, `path` its path. Throws as `lstatSync`. */
  factsOf(name: Buffer, path: Buffer): FileFacts;
}

// linux/dirent.h: d_reclen is at 16, d_name at 19.
const entryLengthAt = 16;
const entryNameAt = 19;
const namesBytes = 64 * 1024;
const dot = 0x2e;
// linux/stat.h: struct statx, which is the same on every processor.
const factsBytes = 256;
const nlinkAt = 16;
const uidAt = 20;
const gidAt = 24;
const modeAt = 28;
const inoAt = 32;
const sizeAt = 40;
const atimeAt = 64;
const ctimeAt = 96;
const mtimeAt = 112;
const rdevAt = 128;
const devAt = 136;
const basicFacts = 0x7ff;
const symlinkNoFollow = 0x100;
// sys/stat.h: the type in a mode.
const typeMask = 0o170000;
const socketType = 0o140000;
const fileType = 0o100000;
const folderType = 0o040000;

/** Lists folders. One per thread. */
export class FolderLister {
  readonly #calls: { readonly getdents: Foreign; readonly statx: Foreign } | undefined;
  readonly #names = Buffer.alloc(namesBytes);
  readonly #facts = Buffer.alloc(factsBytes);
  readonly #view = new DataView(this.#facts.buffer, this.#facts.byteOffset, factsBytes);

  /** `isPlain`: with Node's calls only. */
  constructor({ isPlain = false }: { readonly isPlain?: boolean } = {}) {
    this.#calls = isPlain ? undefined : loadCalls();
  }

  /** Throws the system's error when the folder cannot be listed. */
  open(path: Buffer): FolderListing {
    return (this.#calls && this.#openQuickly(path, this.#calls)) ?? listPlainly(path);
  }

  /** Undefined when anything fails: then Node's call tells what. */
  #openQuickly(path: Buffer, { getdents, statx }: { getdents: Foreign; statx: Foreign }): FolderListing | undefined {
    let fd: number;
    try {
      fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      return undefined;
    }
    const names = this.#readNames(fd, getdents);
    if (!names) {
      closeSync(fd);
      return undefined;
    }
    return {
      names,
      factsOf: (name, namePath) => {
        // A name is followed by a zero: see #readNames.
        const isKnown = statx(fd, name, symlinkNoFollow, basicFacts, this.#facts) === 0;
        const isWhole = isKnown && (this.#view.getUint32(0, true) & basicFacts) === basicFacts;
        return isWhole ? new Facts(this.#view) : lstatSync(namePath, { bigint: true });
      },
      [Symbol.dispose]: () => closeSync(fd),
    };
  }

  /** Views of copies of what the system wrote, so that each name has the zero behind it that it had there. */
  #readNames(fd: number, getdents: Foreign): Buffer[] | undefined {
    const names: Buffer[] = [];
    for (;;) {
      const count = Number(getdents(fd, this.#names, namesBytes));
      if (count < 0) return undefined;
      if (count === 0) return names.sort(Buffer.compare);
      const entries = Buffer.from(this.#names.subarray(0, count));
      for (let at = 0; at < count; at += entries.readUInt16LE(at + entryLengthAt)) {
        const start = at + entryNameAt;
        const name = entries.subarray(start, entries.indexOf(0, start));
        if (name[0] === dot && (name.length === 1 || (name.length === 2 && name[1] === dot))) continue;
        names.push(name);
      }
    }
  }
}

/** Undefined where koffi or one of the calls is missing. */
function loadCalls(): { readonly getdents: Foreign; readonly statx: Foreign } | undefined {
  if (process.platform !== 'linux' || endianness() !== 'LE') return undefined;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
    const library = koffi.load(null);
    const func = (prototype: string): Foreign => library.func(prototype) as Foreign;
    return {
      getdents: func('int64_t getdents64(int fd, void *entries, size_t size)'),
      statx: func('int statx(int folder, const void *name, int flags, unsigned int mask, void *facts)'),
    };
  } catch {
    return undefined;
  }
}

function listPlainly(path: Buffer): FolderListing {
  const names = readdirSync(path, { encoding: 'buffer' }).sort(Buffer.compare);
  return { names, factsOf: (_, namePath) => lstatSync(namePath, { bigint: true }), [Symbol.dispose]: () => {} };
}

class Facts implements FileFacts {
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly ino: bigint;
  readonly dev: bigint;
  readonly rdev: bigint;
  readonly size: bigint;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;

  constructor(view: DataView) {
    this.mode = view.getUint16(modeAt, true);
    this.nlink = view.getUint32(nlinkAt, true);
    this.uid = view.getUint32(uidAt, true);
    this.gid = view.getUint32(gidAt, true);
    this.ino = view.getBigUint64(inoAt, true);
    this.size = view.getBigUint64(sizeAt, true);
    this.dev = deviceNumber(view, devAt);
    this.rdev = deviceNumber(view, rdevAt);
    this.atimeNs = timeNs(view, atimeAt);
    this.mtimeNs = timeNs(view, mtimeAt);
    this.ctimeNs = timeNs(view, ctimeAt);
  }

  isFile(): boolean {
    return (this.mode & typeMask) === fileType;
  }

  isDirectory(): boolean {
    return (this.mode & typeMask) === folderType;
  }

  isSocket(): boolean {
    return (this.mode & typeMask) === socketType;
  }
}

function timeNs(view: DataView, at: number): bigint {
  return view.getBigInt64(at, true) * 1_000_000_000n + BigInt(view.getUint32(at + 8, true));
}

/** As `makedev` of the C library joins the two parts (sys/sysmacros.h). */
function deviceNumber(view: DataView, at: number): bigint {
  const major = view.getUint32(at, true);
  const minor = view.getUint32(at + 4, true);
  if (major < 0x1000 && minor < 0x100) return BigInt((major << 8) | minor);
  const [high, low] = [BigInt(major), BigInt(minor)];
  return ((high & 0xfffff000n) << 32n) | ((high & 0xfffn) << 8n) | ((low & 0xffffff00n) << 12n) | (low & 0xffn);
}

// The system calls that Node does not have: extended attributes, times with nanoseconds on links, device nodes. They are
// called in the C library of the process through koffi. Paths are raw bytes. Errors look like Node's (`code`, `path`).

import { createRequire } from 'node:module';
import { constants } from 'node:os';
import type * as Koffi from 'koffi';
import { isSystemError, systemError, type SystemError } from './system-error.ts';

type Foreign = (...args: unknown[]) => unknown;

const atFdCwd = -100;
const atSymlinkNoFollow = 0x100;
const seekData = 3;
const seekHole = 4;
const firstBufferBytes = 4096;
const errorNames = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));
/** Linux: "no data available", which means that there is no such attribute; some systems number it differently. */
const noAttribute = new Set(['ENODATA', 'ENOATTR']);
const unsupported = new Set(['ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

/** One per thread. */
export class Libc {
  readonly #koffi: typeof Koffi;
  readonly #listxattr: Foreign;
  readonly #getxattr: Foreign;
  readonly #setxattr: Foreign;
  readonly #removexattr: Foreign;
  readonly #utimensat: Foreign;
  readonly #mknod: Foreign;
  readonly #lseek: Foreign;
  #buffer = Buffer.alloc(firstBufferBytes);

  private constructor(koffi: typeof Koffi) {
    const library = koffi.load(null);
    const func = (prototype: string): Foreign => library.func(prototype) as Foreign;
    this.#koffi = koffi;
    this.#listxattr = func('int64_t llistxattr(const void *path, void *list, size_t size)');
    this.#getxattr = func('int64_t lgetxattr(const void *path, const void *name, void *value, size_t size)');
    this.#setxattr = func(
      'int lsetxattr(const void *path, const void *name, const void *value, size_t size, int flags)',
    );
    this.#removexattr = func('int lremovexattr(const void *path, const void *name)');
    this.#utimensat = func('int utimensat(int folder, const void *path, const void *times, int flags)');
    this.#lseek = func('int64_t lseek(int fd, int64_t offset, int whence)');
    this.#mknod = func('int mknod(const void *path, uint32_t mode, uint64_t device)');
  }

  /** Undefined where koffi or one of the calls is missing (not Linux). */
  static load(): Libc | undefined {
    try {
      return new Libc(createRequire(import.meta.url)('koffi') as typeof Koffi);
    } catch {
      return undefined;
    }
  }

  /** Names and values of the extended attributes, in the order of the system; none where they are not supported. */
  readAttributes(path: Buffer): { name: string; value: Buffer }[] {
    const cPath = zeroTerminated(path);
    let list: Buffer | undefined;
    try {
      list = this.#sized('llistxattr', path, (buffer) => this.#listxattr(cPath, buffer, buffer.length));
    } catch (error) {
      if (isSystemError(error) && unsupported.has(error.code)) return [];
      throw error;
    }
    if (list.length === 0) return [];
    const attributes: { name: string; value: Buffer }[] = [];
    for (const name of Buffer.from(list).toString('utf8').split('\0').slice(0, -1)) {
      const cName = Buffer.from(`${name}\0`);
      try {
        const value = this.#sized('lgetxattr', path, (buffer) => this.#getxattr(cPath, cName, buffer, buffer.length));
        attributes.push({ name, value: Buffer.from(value) });
      } catch (error) {
        // Removed since it was listed.
        if (!isSystemError(error) || !noAttribute.has(error.code)) throw error;
      }
    }
    return attributes;
  }

  writeAttribute(path: Buffer, name: string, value: Uint8Array): void {
    const result = this.#setxattr(zeroTerminated(path), Buffer.from(`${name}\0`), value, value.length, 0);
    this.#check(result, 'lsetxattr', path);
  }

  removeAttribute(path: Buffer, name: string): void {
    this.#check(this.#removexattr(zeroTerminated(path), Buffer.from(`${name}\0`)), 'lremovexattr', path);
  }

  /** Sets access and modification time, of a link itself and not of what it points to. */
  setTimes(path: Buffer, times: { readonly atimeNs: bigint; readonly mtimeNs: bigint }): void {
    const timespecs = Buffer.alloc(32);
    writeTimespec(timespecs, 0, times.atimeNs);
    writeTimespec(timespecs, 16, times.mtimeNs);
    this.#check(this.#utimensat(atFdCwd, zeroTerminated(path), timespecs, atSymlinkNoFollow), 'utimensat', path);
  }

  /** Makes a device or a FIFO. `mode` has type and permission bits. */
  makeNode(path: Buffer, mode: number, device: bigint): void {
    this.#check(this.#mknod(zeroTerminated(path), mode, device), 'mknod', path);
  }

  /**
   * Where data begins at or after a position of an open file: the position itself when that cannot be told, Infinity when
   * only a hole follows. Moves the file's own position.
   */
  nextData(fd: number, position: number): number {
    const found = Number(this.#lseek(fd, position, seekData));
    if (found >= 0) return found;
    return errorNames.get(this.#koffi.errno()) === 'ENXIO' ? Infinity : position;
  }

  /** Where a hole, or the end, begins at or after a position; the position itself when that cannot be told. */
  nextHole(fd: number, position: number): number {
    return Math.max(position, Number(this.#lseek(fd, position, seekHole)));
  }

  /** Calls until the buffer is large enough; the result is valid until the next call. */
  #sized(syscall: string, path: Buffer, call: (buffer: Buffer) => unknown): Buffer {
    for (;;) {
      const size = Number(call(this.#buffer));
      if (size >= 0) return this.#buffer.subarray(0, size);
      const error = this.#error(syscall, path);
      if (error.code !== 'ERANGE' || this.#buffer.length >= 2 ** 24) throw error;
      this.#buffer = Buffer.alloc(this.#buffer.length * 4);
    }
  }

  #check(result: unknown, syscall: string, path: Buffer): void {
    if (result !== 0) throw this.#error(syscall, path);
  }

  #error(syscall: string, path: Buffer): SystemError {
    const number = this.#koffi.errno();
    const code = errorNames.get(number) ?? `errno ${number}`;
    return systemError(code, syscall, path.toString());
  }
}

function zeroTerminated(path: Buffer): Buffer {
  const terminated = Buffer.allocUnsafe(path.length + 1);
  path.copy(terminated);
  terminated[path.length] = 0;
  return terminated;
}

function writeTimespec(target: Buffer, offset: number, ns: bigint): void {
  const second = 1_000_000_000n;
  const rest = ((ns % second) + second) % second;
  target.writeBigInt64LE((ns - rest) / second, offset);
  target.writeBigInt64LE(rest, offset + 8);
}

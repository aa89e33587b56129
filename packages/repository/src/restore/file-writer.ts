// Writes parts of files in any order, with a bounded number of files kept open. Never through a symbolic link.

import { closeSync, constants, openSync, writeSync } from 'node:fs';

const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const maxOpenFiles = 64;
/** Nobody else may look into a file before it has its owner and mode. */
const firstMode = 0o600;

export class FileWriter {
  /** By file number, the longest unused first. */
  readonly #open = new Map<number, number>();

  /** Throws the system's error. */
  write(file: { readonly number: number; readonly path: Uint8Array }, bytes: Uint8Array, offset: number): void {
    const fd = this.#fd(file);
    for (let done = 0; done < bytes.length;) {
      done += writeSync(fd, bytes, done, bytes.length - done, offset + done);
    }
  }

  close(): void {
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
  }

  #fd({ number, path }: { readonly number: number; readonly path: Uint8Array }): number {
    const known = this.#open.get(number);
    if (known !== undefined) {
      this.#open.delete(number);
      this.#open.set(number, known);
      return known;
    }
    if (this.#open.size >= maxOpenFiles) {
      const [oldest] = this.#open;
      if (oldest) {
        this.#open.delete(oldest[0]);
        closeSync(oldest[1]);
      }
    }
    const fd = openSync(Buffer.from(path), flags, firstMode);
    this.#open.set(number, fd);
    return fd;
  }
}

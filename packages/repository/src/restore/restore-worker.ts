// Entry of a restore worker thread: opens blobs, writes and compares files, sets metadata. All synchronous.

import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, symlinkSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { AppError, isAppError } from '@varve/base';
import { MasterKey } from '../crypto/master-key.ts';
import { UnitCipher } from '../crypto/unit-cipher.ts';
import { fileTypeBits, permissionsOf } from '../filesystem/file-mode.ts';
import { Libc } from '../filesystem/libc.ts';
import { openForReading } from '../filesystem/open-file.ts';
import { isSystemError } from '../filesystem/system-error.ts';
import { writeMetadata, type MetadataWriter } from '../filesystem/write-metadata.ts';
import { loadEngine } from '../native/load-engine.ts';
import { openBlob } from '../pack/pack-reader.ts';
import { serveJobs, type JobServer } from '../threads/serve-jobs.ts';
import { attributeSelection } from './attribute-selection.ts';
import { FileWriter } from './file-writer.ts';
import { throwIfFull } from './full-disk.ts';
import type {
  ComparedFile,
  ComparedResult,
  FinishFailure,
  FinishItem,
  Placement,
  RestoreJob,
  RestoreJobResult,
  RestoreSetup,
  WrittenFile,
} from './restore-protocol.ts';

/** Enough for every chunk: restic's are at most 8 MiB. */
const scratchBytes = 8 * 1024 * 1024;

class RestoreThread {
  readonly #engine = loadEngine();
  readonly #cipher: UnitCipher;
  readonly #sparse: boolean;
  readonly #files = new FileWriter();
  readonly #scratch = Buffer.allocUnsafeSlow(scratchBytes);
  readonly #metadata: MetadataWriter;

  constructor(setup: RestoreSetup) {
    const key = MasterKey.fromParts(setup.key);
    if (!key) throw new AppError('INTERNAL', 'The key that a worker thread got is not valid.');
    this.#cipher = new UnitCipher(this.#engine, key);
    this.#sparse = setup.sparse;
    const { restoresOwners, attributes } = setup;
    this.#metadata = { libc: Libc.load(), restoresOwners, selectsAttribute: attributeSelection(attributes) };
  }

  run(job: RestoreJob): RestoreJobResult {
    try {
      return this.#run(job);
    } finally {
      if ('closes' in job && job.closes) this.#files.close();
    }
  }

  #run(job: RestoreJob): RestoreJobResult {
    switch (job.kind) {
      case 'range':
        return this.#writeRange(job);
      case 'blob': {
        const failures: { file: number; message: string }[] = [];
        const bytesWritten = this.#place(job.plaintext, job.placements, { files: filesByNumber(job.files), failures });
        return { kind: 'blob', bytesWritten, failures };
      }
      case 'compare':
        return { kind: 'compare', files: job.files.map((file) => this.#compare(file)) };
      case 'finish':
        return { kind: 'finish', failures: job.items.flatMap((item, i) => this.#finish(item, i)) };
      case 'close':
        this.#files.close();
        return { kind: 'close' };
    }
  }

  #writeRange(job: Extract<RestoreJob, { kind: 'range' }>): RestoreJobResult {
    const files = filesByNumber(job.files);
    const failures: { file: number; message: string }[] = [];
    const damaged: number[] = [];
    let bytesWritten = 0;
    for (const [i, blob] of job.blobs.entries()) {
      let plaintext: Uint8Array;
      try {
        const stored = job.bytes.subarray(blob.offset, blob.offset + blob.length);
        const facts = {
          id: blob.id,
          type: 'data' as const,
          packId: job.packId,
          uncompressedLength: blob.uncompressedLength,
        };
        plaintext = openBlob(stored, facts, {
          engine: this.#engine,
          cipher: this.#cipher,
          scratch: this.#scratch,
          inPlace: true,
        });
      } catch (error) {
        if (!isAppError(error, 'REPOSITORY_DAMAGED')) throw error;
        damaged.push(i);
        continue;
      }
      bytesWritten += this.#place(plaintext, blob.placements, { files, failures });
    }
    return { kind: 'range', bytesWritten, failures, damaged, buffer: job.bytes.buffer };
  }

  #place(
    plaintext: Uint8Array,
    placements: readonly Placement[],
    out: { files: ReadonlyMap<number, WrittenFile>; failures: { file: number; message: string }[] },
  ): number {
    const isHole = this.#sparse && plaintext.every((byte) => byte === 0);
    let written = 0;
    for (const { file: number, offset } of placements) {
      const file = out.files.get(number);
      if (!file) throw new AppError('INTERNAL', 'A blob is to be written to an unknown file.');
      try {
        if (!isHole || !file.isNew) this.#files.write(file, plaintext, offset);
        written += plaintext.length;
      } catch (error) {
        if (!isSystemError(error)) throw error;
        throwIfFull(error);
        out.failures.push({ file: number, message: error.message });
      }
    }
    return written;
  }

  #compare({ path, content, lengths }: ComparedFile): ComparedResult {
    let fd: number;
    try {
      fd = openForReading(Buffer.from(path));
    } catch (error) {
      if (!isSystemError(error)) throw error;
      return { differing: content.map((_id, i) => i), sizeDiffers: true, error: error.message };
    }
    try {
      const differing: number[] = [];
      let position = 0;
      for (const [i, id] of content.entries()) {
        const length = lengths[i] ?? 0;
        const bytes = Buffer.allocUnsafe(length);
        const count = readFully(fd, bytes, position);
        const isEqual = count === length && this.#engine.sha256(bytes).toString('hex') === id;
        if (!isEqual) differing.push(i);
        position += length;
      }
      return { differing, sizeDiffers: fstatSync(fd).size !== position };
    } catch (error) {
      if (!isSystemError(error)) throw error;
      return { differing: content.map((_id, i) => i), sizeDiffers: true, error: error.message };
    } finally {
      closeSync(fd);
    }
  }

  #finish(item: FinishItem, number: number): FinishFailure[] {
    const path = Buffer.from(item.path);
    try {
      this.#make(path, item);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      throwIfFull(error);
      return [{ item: number, isLost: true, message: error.message, isGeneral: false }];
    }
    const failures = writeMetadata(this.#metadata, { path, metadata: item.metadata });
    return failures.map(({ message, isGeneral }) => ({ item: number, isLost: false, message, isGeneral }));
  }

  #make(path: Buffer, item: FinishItem): void {
    const { type, mode } = item.metadata;
    if (item.linkTarget) symlinkSync(Buffer.from(item.linkTarget), path);
    else if (item.device !== undefined) {
      if (!this.#metadata.libc) throw new AppError('RESTORE_FAILED', 'This system cannot make devices and FIFOs.');
      this.#metadata.libc.makeNode(path, fileTypeBits(type) | (permissionsOf(mode) & 0o700), item.device);
    } else if (item.size !== undefined) {
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
      const fd = openSync(path, flags, 0o600);
      try {
        if (fstatSync(fd).size !== item.size) ftruncateSync(fd, item.size);
      } finally {
        closeSync(fd);
      }
    }
  }
}

function filesByNumber(files: readonly WrittenFile[]): Map<number, WrittenFile> {
  return new Map(files.map((file) => [file.number, file]));
}

function readFully(fd: number, bytes: Buffer, position: number): number {
  let filled = 0;
  while (filled < bytes.length) {
    const count = readSync(fd, bytes, filled, bytes.length - filled, position + filled);
    if (count === 0) break;
    filled += count;
  }
  return filled;
}

function start(setup: RestoreSetup): JobServer<RestoreJob, RestoreJobResult> {
  const thread = new RestoreThread(setup);
  return {
    run: (job) => thread.run(job),
    transfer: (result) => (result.kind === 'range' ? [result.buffer] : []),
  };
}

if (parentPort) serveJobs(parentPort, start);

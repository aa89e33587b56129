// Worker threads that verify packs. Whole packs are transferred to them; each has one under way and one to go on with.

import { Worker } from 'node:worker_threads';
import { AppError, messageOf } from '@varve/base';
import type { MasterKey } from '../crypto/master-key.ts';
import { encodeHeader } from '../pack/pack-header.ts';
import type { SpareBuffers } from '../threads/spare-buffers.ts';
import type { Finding } from './findings.ts';
import type { PackToVerify } from './verify-pack.ts';

/** One under way and one that waits: threads do not wait for the main thread. */
export const packsPerThread = 2;

export interface VerifyRequest {
  readonly number: number;
  readonly packId: string;
  readonly bytes: Uint8Array;
  readonly header: Uint8Array;
}

interface VerifyAnswer {
  readonly number: number;
  readonly findings: Finding[];
  /** The pack's buffer, to be used again. */
  readonly buffer: ArrayBuffer;
}

export class VerifyPool implements AsyncDisposable {
  readonly #workers: Worker[];
  readonly #free: Worker[];
  readonly #waiting: ((worker: Worker) => void)[] = [];
  readonly #pending = new Map<number, { resolve(findings: Finding[]): void; reject(error: unknown): void }>();
  #failure: AppError | null = null;
  #number = 0;

  /** Starts `threads` workers. `spare` gets the buffers of packs that are verified. */
  constructor(key: MasterKey, { threads, spare }: { readonly threads: number; readonly spare: SpareBuffers }) {
    const options = { workerData: key.reveal() };
    this.#workers = Array.from(
      { length: threads },
      () => new Worker(new URL('./verify-worker.ts', import.meta.url), options),
    );
    this.#free = Array.from({ length: packsPerThread }, () => this.#workers).flat();
    for (const worker of this.#workers) {
      worker.on('message', ({ number, findings, buffer }: VerifyAnswer) => {
        spare.give(buffer);
        this.#release(worker);
        this.#pending.get(number)?.resolve(findings);
        this.#pending.delete(number);
      });
      worker.on('error', (error) => this.#fail(error));
    }
  }

  /** Verifies a pack whose `bytes` have a buffer of their own: it is transferred. */
  async verify(pack: PackToVerify): Promise<Finding[]> {
    const worker = await this.#acquire();
    if (this.#failure) throw this.#failure;
    const number = this.#number++;
    const request: VerifyRequest = { number, packId: pack.packId, bytes: pack.bytes, header: encodeHeader(pack.blobs) };
    return new Promise((resolve, reject) => {
      this.#pending.set(number, { resolve, reject });
      worker.postMessage(request, [pack.bytes.buffer as ArrayBuffer]);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  async #acquire(): Promise<Worker> {
    return this.#free.pop() ?? new Promise((resolve) => this.#waiting.push(resolve));
  }

  #release(worker: Worker): void {
    const next = this.#waiting.shift();
    if (next) next(worker);
    else this.#free.push(worker);
  }

  #fail(error: unknown): void {
    this.#failure ??= new AppError('INTERNAL', `A worker thread that verifies packs died: ${messageOf(error)}`, {
      cause: error,
    });
    for (const { reject } of this.#pending.values()) reject(this.#failure);
    this.#pending.clear();
    for (const waiting of this.#waiting.splice(0)) waiting(this.#workers[0] as Worker);
  }
}

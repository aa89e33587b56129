// A storage that fails on demand: at the n-th call that changes something, before it happens, after it happened (the answer is
// lost), in its middle (half a file), or together with the process (nothing happens any more). What a test enumerates to prove
// that a crash at any point is harmless.

import { AppError } from '@varve/base';
import type {
  FileHandle,
  FileInfo,
  FileType,
  ListOptions,
  LoadOptions,
  Storage,
  StorageCallOptions,
} from '@varve/storage';

/**
 * `before`: nothing happened. `after`: it happened, but the caller is told that it failed. `torn`: half of the file is there
 * under its name, what a storage that breaks the contract would leave (or where `leaveBehind` puts it); a torn removal is one
 * that did not happen. `kill`: what a process leaves that was killed at this call: neither it nor any later call, of whatever
 * kind, does anything. They reject, so that the code under test ends and its threads with it.
 */
export type FaultKind = 'before' | 'after' | 'torn' | 'kill';

export interface FaultPlan {
  /** The call that fails, counted from 1 over `save`, `remove` and `replace`; 0 for none. */
  readonly failingCall: number;
  readonly kind: FaultKind;
  /** Whether every later changing call fails too, as after the death of the process or the network. Default true. */
  readonly staysDown?: boolean;
  /** Whether a load, counted from 1, comes back with a flipped bit, as from a bad network or disk. */
  readonly flipsLoad?: (handle: FileHandle, call: number) => boolean;
  /** Keeps the half of a file that a torn save or a kill leaves, under another name, as the contract allows. */
  readonly leaveBehind?: (handle: FileHandle, half: Uint8Array) => void;
}

/** A call that changed, or tried to change, something. */
export interface MutatingCall {
  readonly call: 'save' | 'remove' | 'replace';
  readonly handle: FileHandle;
}

export class FaultyStorage implements Storage {
  readonly location: string;
  readonly connections: number;
  /** Every changing call so far, in order of arrival. */
  readonly calls: MutatingCall[] = [];
  readonly #inner: Storage;
  readonly #plan: FaultPlan;
  #loads = 0;
  #isKilled = false;

  /** Wraps `inner`, which it does not close. */
  constructor(inner: Storage, plan: FaultPlan = { failingCall: 0, kind: 'before' }) {
    this.#inner = inner;
    this.#plan = plan;
    this.location = inner.location;
    this.connections = inner.connections;
  }

  async create(options?: StorageCallOptions): Promise<void> {
    this.#throwIfKilled();
    return this.#inner.create(options);
  }

  async save(
    handle: FileHandle,
    data: Uint8Array | readonly Uint8Array[],
    options?: StorageCallOptions,
  ): Promise<void> {
    const run = (): Promise<void> => this.#inner.save(handle, data, options);
    const { kind, leaveBehind } = this.#plan;
    await this.#change({ call: 'save', handle }, run, async () => {
      const whole = data instanceof Uint8Array ? data : Buffer.concat(data);
      const half = whole.subarray(0, whole.length >> 1);
      if (leaveBehind) leaveBehind(handle, half);
      else if (kind === 'torn') await this.#inner.save(handle, half, options);
    });
  }

  async remove(handle: FileHandle, options?: StorageCallOptions): Promise<void> {
    await this.#change(
      { call: 'remove', handle },
      () => this.#inner.remove(handle, options),
      async () => {},
    );
  }

  /** False where the inner storage has no such call, which then is none of those that are counted. */
  async replace(handle: FileHandle, data: Uint8Array, options?: StorageCallOptions): Promise<boolean> {
    const inner = this.#inner;
    if (!inner.replace) return false;
    let isReplaced = false;
    const run = async (): Promise<void> => {
      isReplaced = (await inner.replace?.(handle, data, options)) ?? false;
    };
    // Replacing is whole or nothing by its contract.
    await this.#change({ call: 'replace', handle }, run, async () => {});
    return isReplaced;
  }

  async load(handle: FileHandle, options?: LoadOptions): Promise<Uint8Array> {
    this.#throwIfKilled();
    const call = ++this.#loads;
    const bytes = Buffer.from(await this.#inner.load(handle, options));
    const middle = bytes.length >> 1;
    if (bytes.length > 0 && this.#plan.flipsLoad?.(handle, call)) bytes[middle] = (bytes[middle] ?? 0) ^ 1;
    return bytes;
  }

  async stat(handle: FileHandle, options?: StorageCallOptions): Promise<FileInfo> {
    this.#throwIfKilled();
    return this.#inner.stat(handle, options);
  }

  async *list(type: FileType, options?: ListOptions): AsyncGenerator<FileInfo> {
    this.#throwIfKilled();
    yield* this.#inner.list(type, options);
  }

  async close(): Promise<void> {}

  async #change(call: MutatingCall, run: () => Promise<void>, tear: () => Promise<void>): Promise<void> {
    this.#throwIfKilled();
    const number = this.calls.push(call);
    const { failingCall, kind, staysDown = true } = this.#plan;
    if (failingCall === 0 || number < failingCall || (number > failingCall && !staysDown)) return run();
    // A dead process does nothing more: only the failing call itself may still have an effect.
    this.#isKilled = kind === 'kill';
    if (number === failingCall && kind === 'after') await run();
    if (number === failingCall && (kind === 'torn' || kind === 'kill')) await tear();
    throw new AppError(
      'STORAGE_UNREACHABLE',
      `The ${call.call} of a ${call.handle.type} file failed as planned (call ${number}).`,
    );
  }

  #throwIfKilled(): void {
    if (this.#isKilled) throw new AppError('STORAGE_UNREACHABLE', 'The process was killed, as planned.');
  }
}

// scrypt (RFC 7914). Its p blocks do not depend on each other, and OpenSSL mixes them one after the other: where that takes
// long, threads do it side by side. What they yield is what Node's own scrypt yields, or Node's own is used.

import { pbkdf2Sync, scrypt } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { AppError, messageOf } from '@varve/base';
import { romixBlockBytes, romixLaneBytes } from './romix.ts';

/** scrypt's cost parameters. */
export interface KeyDerivation {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

/** What a thread is given; structured-cloneable. */
export interface RomixJob {
  readonly blocks: Uint8Array<ArrayBuffer>;
  readonly N: number;
  readonly r: number;
  readonly lanes: 1 | 2;
}

/** Less work (N·r·p) is done sooner than threads have started: about 100 ms. */
const leastParallelWork = 2 ** 19;
const mostThreads = 4;
/** Blocks of a thread from which a second lane saves more than its table costs to touch. */
const leastBlocksForTwoLanes = 3;
/** For the tables of all threads together. */
const mostMemoryBytes = 144 * 1024 * 1024;

/** How the blocks are spread over threads; null when Node's scrypt is to do it alone. */
export function planThreads(
  { N, r, p }: KeyDerivation,
  parallelism: number,
): { readonly threads: number; readonly lanes: 1 | 2 } | null {
  const lanesAtOnce = Math.floor(mostMemoryBytes / romixLaneBytes({ N, r }));
  const threads = Math.min(p, parallelism, mostThreads, lanesAtOnce);
  if (N * r * p < leastParallelWork || threads < 2) return null;
  return { threads, lanes: lanesAtOnce >= 2 * threads && p >= leastBlocksForTwoLanes * threads ? 2 : 1 };
}

/** `bytes` bytes derived from a password. A RangeError when the parameters are not valid. */
export async function deriveBytes(
  password: Uint8Array,
  salt: Uint8Array,
  options: KeyDerivation & { readonly bytes: number },
): Promise<Buffer> {
  const plan = planThreads(options, availableParallelism());
  // Threads that cannot start or do not know vector instructions: Node's own needs neither.
  const derived = plan && (await deriveInThreads(password, salt, { ...options, ...plan }).catch(() => null));
  return derived ?? deriveAlone(password, salt, options);
}

async function deriveInThreads(
  password: Uint8Array,
  salt: Uint8Array,
  options: KeyDerivation & { readonly bytes: number; readonly threads: number; readonly lanes: 1 | 2 },
): Promise<Buffer> {
  const { N, r, p, bytes, threads, lanes } = options;
  const blockBytes = romixBlockBytes(r);
  const blocks = pbkdf2Sync(password, salt, 1, p * blockBytes, 'sha256');
  const parts = Array.from({ length: threads }, (_, thread) => {
    const [from, to] = [Math.floor((p * thread) / threads), Math.floor((p * (thread + 1)) / threads)];
    return new Uint8Array(blocks.subarray(from * blockBytes, to * blockBytes));
  });
  const mixed = await Promise.all(parts.map((part) => mixInThread({ blocks: part, N, r, lanes })));
  return pbkdf2Sync(password, Buffer.concat(mixed), 1, bytes, 'sha256');
}

/** The mixed blocks. The thread ends by itself, and gives its memory back. */
function mixInThread(job: RomixJob): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./romix-worker.ts', import.meta.url), {
      workerData: job,
      transferList: [job.blocks.buffer],
    });
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', () => reject(new Error('The thread ended without a result.')));
  });
}

function deriveAlone(
  password: Uint8Array,
  salt: Uint8Array,
  { N, r, p, bytes }: KeyDerivation & { readonly bytes: number },
): Promise<Buffer> {
  const maxmem = 128 * N * r + 128 * r * p + 1024 * 1024;
  return new Promise((resolve, reject) => {
    scrypt(password, salt, bytes, { N, r, p, maxmem }, (error, derived) => {
      if (!error) resolve(derived);
      else {
        const message = `scrypt with N=${N}, r=${r}, p=${p} failed: ${messageOf(error)}`;
        reject(new AppError('INTERNAL', message, { cause: error }));
      }
    });
  });
}

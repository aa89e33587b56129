// Entry of an archive worker thread: reads, cuts, hashes, compresses, seals and packs; the main thread lists what to do and
// takes finished packs to the storage.

import { parentPort, type MessagePort } from 'node:worker_threads';
import { AppError } from '@varve/base';
import { FolderLister } from '../filesystem/folder-listing.ts';
import { Libc } from '../filesystem/libc.ts';
import { loadEngine } from '../native/load-engine.ts';
import type { FinishedPack, PackPart } from '../pack/pack-builder.ts';
import { serveJobs, type JobServer } from '../threads/serve-jobs.ts';
import type { ThreadMessage } from '../threads/thread-pool.ts';
import { archiveJobs } from './archive-jobs.ts';
import { controlWords, type ArchiveEvent, type Job, type JobResult, type WorkerSetup } from './worker-protocol.ts';

/** How often a thread that waits for room looks whether it was told to end. */
const waitMs = 500;

// Loaded while the main thread is still finding out what to do.
const engine = loadEngine();
const libc = Libc.load();
const lister = new FolderLister();

function start(port: MessagePort, setup: WorkerSetup): JobServer<Job, JobResult> {
  const control = new Int32Array(setup.control);
  const throwIfAborted = (): void => {
    if (Atomics.load(control, controlWords.aborted) !== 0) throw new AppError('CANCELLED', 'The archive was aborted.');
  };
  const onPack = (pack: FinishedPack): void => {
    for (;;) {
      throwIfAborted();
      const unstored = Atomics.load(control, controlWords.unstoredPacks);
      if (unstored < setup.maxUnstoredPacks) break;
      Atomics.wait(control, controlWords.unstoredPacks, unstored, waitMs);
    }
    Atomics.add(control, controlWords.unstoredPacks, 1);
    const message: ThreadMessage<never, ArchiveEvent> = { kind: 'event', event: { kind: 'pack', pack } };
    port.postMessage(message, [pack.bytes.buffer]);
  };
  const onPart = (part: PackPart): void => {
    const message: ThreadMessage<never, ArchiveEvent> = { kind: 'event', event: { kind: 'part', part } };
    port.postMessage(message, [part.bytes.buffer]);
  };
  // What a thread has from the C library outlives it.
  const onFlushed = (): void => engine.release();
  return { run: archiveJobs(setup, { engine, libc, lister, onPack, onPart, onFlushed, throwIfAborted }) };
}

const port = parentPort;
if (port) serveJobs(port, (setup: WorkerSetup) => start(port, setup));

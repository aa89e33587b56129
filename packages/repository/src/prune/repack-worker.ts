// The worker thread that copies blobs into new packs: see repack.ts for the messages.

import { parentPort, type MessagePort } from 'node:worker_threads';
import { AppError } from '@varve/base';
import { MasterKey, type MasterKeyParts } from '../crypto/master-key.ts';
import { loadEngine } from '../native/load-engine.ts';
import type { PackedBlob } from '../pack/blob-type.ts';
import type { FinishedPack, PackPart } from '../pack/pack-builder.ts';
import { serveJobs, type JobServer } from '../threads/serve-jobs.ts';
import type { ThreadMessage } from '../threads/thread-pool.ts';
import { BlobCopier, type CopyJob } from './blob-copier.ts';

export interface RepackSetup {
  readonly key: MasterKeyParts;
  readonly compressesData: boolean;
}

/** A pack that is full, or at the end what is left. */
export type RepackEvent =
  | { readonly kind: 'pack'; readonly pack: FinishedPack }
  | { readonly kind: 'part'; readonly part: PackPart };

function start(port: MessagePort, setup: RepackSetup): JobServer<CopyJob | null, PackedBlob[]> {
  const key = MasterKey.fromParts(setup.key);
  if (!key) throw new AppError('INTERNAL', 'The key that a worker thread got is not valid.');
  const post = (event: RepackEvent): void => {
    const message: ThreadMessage<never, RepackEvent> = { kind: 'event', event };
    port.postMessage(message, [event.kind === 'pack' ? event.pack.bytes.buffer : event.part.bytes.buffer]);
  };
  const copier = new BlobCopier({
    engine: loadEngine(),
    key,
    compressesData: setup.compressesData,
    onPack: (pack) => post({ kind: 'pack', pack }),
    onPart: (part) => post({ kind: 'part', part }),
  });
  return {
    run: (job) => {
      if (job) return copier.copy(job);
      copier.flush();
      return [];
    },
  };
}

const port = parentPort;
if (port) serveJobs(port, (setup: RepackSetup) => start(port, setup));

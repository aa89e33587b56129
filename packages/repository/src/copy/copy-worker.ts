// Entry of a worker thread that takes data blobs from one repository to another: see data-copier.ts.

import { parentPort } from 'node:worker_threads';
import { AppError } from '@varve/base';
import { MasterKey, type MasterKeyParts } from '../crypto/master-key.ts';
import { loadEngine } from '../native/load-engine.ts';
import type { Compression, PackPart } from '../pack/pack-builder.ts';
import { serveJobs, type JobServer } from '../threads/serve-jobs.ts';
import { Resealer, type ResealJob, type ResealResult } from './resealer.ts';

export interface CopyThreadSetup {
  readonly sourceKey: MasterKeyParts;
  readonly destinationKey: MasterKeyParts;
  readonly compression: Compression;
}

/** A run of blobs, or `flush`: hand over what is not a full pack yet. */
export type CopyJob = ({ readonly kind: 'run' } & ResealJob) | { readonly kind: 'flush' };
export type CopyJobResult = ResealResult & { readonly part: PackPart | null };

function start(setup: CopyThreadSetup): JobServer<CopyJob, CopyJobResult> {
  const sourceKey = MasterKey.fromParts(setup.sourceKey);
  const destinationKey = MasterKey.fromParts(setup.destinationKey);
  if (!sourceKey || !destinationKey) throw new AppError('INTERNAL', 'A key that a worker thread got is not valid.');
  const { compression } = setup;
  const resealer = new Resealer({ engine: loadEngine(), sourceKey, destinationKey, type: 'data', compression });
  return {
    run: (job) =>
      job.kind === 'run'
        ? { ...resealer.run(job), part: null }
        : { packs: [], damaged: [], plaintextBytes: 0, part: resealer.takePart() },
    transfer: ({ packs, part }) => [...packs, ...(part ? [part] : [])].map(({ bytes }) => bytes.buffer),
  };
}

if (parentPort) serveJobs(parentPort, start);

// Entry of a thread that mixes some blocks of one scrypt and ends.

import { parentPort, workerData } from 'node:worker_threads';
import { romix } from './romix.ts';
import type { RomixJob } from './scrypt.ts';

// The job comes from scrypt.ts, the only one who starts this file.
const { blocks, N, r, lanes } = workerData as RomixJob;
romix(blocks, { N, r, lanes });
parentPort?.postMessage(blocks, [blocks.buffer]);

// The worker thread that verifies packs: see verify-pool.ts for the messages.

import { parentPort, workerData } from 'node:worker_threads';
import { MasterKey, type MasterKeyParts } from '../crypto/master-key.ts';
import { UnitCipher } from '../crypto/unit-cipher.ts';
import { loadEngine } from '../native/load-engine.ts';
import { parseHeader } from '../pack/pack-header.ts';
import type { VerifyRequest } from './verify-pool.ts';
import { verifyPack, verifyScratchBytes } from './verify-pack.ts';

const engine = loadEngine();
const key = MasterKey.fromParts(workerData as MasterKeyParts);
if (!key || !parentPort) throw new Error('The worker that verifies packs was started without a key.');
const cipher = new UnitCipher(engine, key);
const scratch = Buffer.allocUnsafeSlow(verifyScratchBytes);
const port = parentPort;

port.on('message', ({ number, packId, bytes, header }: VerifyRequest) => {
  const findings = verifyPack({ packId, bytes, blobs: parseHeader(header) }, { engine, cipher, scratch });
  const buffer = bytes.buffer as ArrayBuffer;
  port.postMessage({ number, findings, buffer }, [buffer]);
});
